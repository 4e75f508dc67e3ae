"""The catalogue: every row names something that there is, and every recommender has a row or a reason."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from whyrec.errors import BadInput
from whyrec.recommenders import catalogue
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.catalogue import RANKERS, Ranker, ranker, row_of

HOME = Path(catalogue.__file__).parent
# What is not made by its name alone: popularity within a column of the user table.
NOT_LISTED = {"SegmentPopularity"}


def every_recommender() -> set[str]:
    """Concrete recommenders of the folder."""
    found = set()
    for path in HOME.glob("*.py"):
        module = import_module(f"whyrec.recommenders.{path.stem}")
        for thing in vars(module).values():
            if isinstance(thing, type) and issubclass(thing, Recommender) and not thing.__abstractmethods__:
                found.add(thing.__name__)
    return found


def test_every_recommender_has_a_row() -> None:
    assert {row.kind for row in RANKERS} | NOT_LISTED == every_recommender()
    assert len({row.name for row in RANKERS}) == len(RANKERS)


@pytest.mark.parametrize("row", RANKERS, ids=lambda row: row.name)
def test_a_row_makes_what_it_says(row: Ranker) -> None:
    made = row.make(random_state=7, text_model="somewhere", epochs=3)
    assert type(made).__name__ == row.kind
    assert all(getattr(made, name) == value for name, value in row.settings.items())
    assert getattr(made, "random_state", 7) == 7
    assert row_of(made) is row
    with pytest.raises(BadInput, match="has no setting 'wings'"):
        row.make({"wings": 2})


@pytest.mark.parametrize("name", ["item-kNN", "item-knn", "ItemKNN", "ITEMKNN"])
def test_names_are_found_however_they_are_written(name: str) -> None:
    assert ranker(name).kind == "ItemKNN"


def test_the_list_loads_nothing_heavy() -> None:
    code = "import sys, whyrec.recommenders.catalogue; print([m for m in ('torch', 'polars', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
