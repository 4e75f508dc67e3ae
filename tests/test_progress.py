"""Bars are drawn for who asked, one for each loop that somebody follows."""

from __future__ import annotations

import pytest

from whyrec.progress import say, show_progress, track


def _nested() -> int:
    return sum(b for _ in track(range(3), "rounds") for b in track(range(4), "parts of a round", total=4))


def test_a_library_call_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    say("a line")
    assert _nested() == 18
    assert capsys.readouterr() == ("", "")


def test_bars_inside_bars_do_not_fill_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress():
        assert _nested() == 18
        assert list(track("ab", "afterwards")) == ["a", "b"]
        for _ in track(range(9), "left early"):
            break
        assert list(track("ab", "after that")) == ["a", "b"]
    told = capsys.readouterr().err
    assert "rounds" in told and "3/3" in told and "parts of a round" not in told
    assert "afterwards" in told and "after that" in told
