"""Jobs in several processes: the same answers, in the order asked, and the job's own error."""

import os
from functools import partial

import pytest

from whyrec.errors import BadInput
from whyrec.parallel import together


def _square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def _refuse() -> None:
    raise BadInput("column price: row 3 is empty; fill it")


def test_answers_come_by_name_from_other_processes() -> None:
    jobs = {str(number): partial(_square, number) for number in (3, 1, 2)}
    found = together(jobs, "squares", processes=2)
    assert {name: value for name, (value, _) in found.items()} == {"3": 9, "1": 1, "2": 4}
    assert list(found) == ["3", "1", "2"]
    assert os.getpid() not in {where for _, where in found.values()}


def test_one_process_is_this_one() -> None:
    assert together({"a": partial(_square, 2)}, "squares", processes=4)["a"] == (4, os.getpid())


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_in_a_job_is_raised_as_it_is(processes: int) -> None:
    with pytest.raises(BadInput, match="row 3"):
        together({"a": _refuse, "b": partial(_square, 1)}, "jobs", processes=processes)
