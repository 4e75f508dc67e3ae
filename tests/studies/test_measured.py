"""Parts of benchmarks: claims are marked, counted and never judged where they are only reported."""

import json

import polars as pl

from whyrec.studies.measured import Benchmark, Claim, Part

PART = Part.of(
    "errors", "Errors", pl.DataFrame({"method": ["IPS"], "bias": [0.5], "bias_low": [0.25], "bias_high": [0.75]}),
    "10 logs", (Claim("bias is small", False, "0.5"), Claim("it is told", None), Claim("rows: 1", True)),
)  # fmt: skip


def test_claims_are_marked_and_counted() -> None:
    run = Benchmark((PART, Part("Absent", skipped="no data")), quick=True)
    found = json.loads(json.dumps(run.to_dict(), allow_nan=False))
    assert (found["claims"], found["holds"], found["failed"]) == (2, 1, ["errors: bias is small: 0.5"])
    assert found["parts"][0]["claims"][1] == {"words": "it is told", "holds": None, "found": ""}
    assert found["parts"][0]["tables"][""] == PART.frame.to_dicts() and found["parts"][1]["skipped"] == "no data"
    text = run.to_text()
    assert "FAILS: bias is small: 0.5" in text and "reported: it is told" in text
    assert "skipped: no data" in text and text.endswith("1 of 2 claims hold")


def test_intervals_stand_in_the_cell_of_what_they_are_of() -> None:
    written = PART.to_markdown()
    assert "| method | bias |\n|---|---|\n| IPS | 0.5 [0.25, 0.75] |" in written
    assert "10 logs. 0 s." in written and "- **Does not hold**: bias is small: 0.5" in written
