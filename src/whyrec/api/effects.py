"""Questions about effects in a table: whom does it help, which arm, which dose, and what would be liked if it were shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from whyrec.api.options import as_path
from whyrec.data.frames import Tabular
from whyrec.data.read import frame_of
from whyrec.errors import BadInput
from whyrec.estimate import assumption_lines, in_brackets, warning_lines

if TYPE_CHECKING:
    from whyrec.cause.arms import Over
    from whyrec.cause.graph.read import GraphSource
    from whyrec.cause.preference import RatingMethod
    from whyrec.data.frames import Frame

Kind = Literal["auto", "binary", "arms", "dose"]
Missing = Literal["weights", "complete", "indicator"]
Lang = Literal["en", "zh"]


@dataclass(frozen=True)
class TableAnswer(Tabular):
    """An answer about a table: `content` as JSON, `lines` in words, `rows` the table of rows or arms where there is one."""

    content: dict[str, Any]
    lines: tuple[str, ...]
    rows: pl.DataFrame | None = field(default=None, repr=False)
    files: tuple[Path, ...] = ()

    def _frame(self) -> pl.DataFrame | None:
        return self.rows

    def to_dict(self) -> dict[str, Any]:
        """The content, and `files` that were written."""
        return {**self.content, "files": [str(file) for file in self.files]}

    def to_text(self) -> str:
        """One line a finding."""
        return "\n".join((*self.lines, *(f"written: {file}" for file in self.files)))


def uplift(
    source: str | Path | Frame, treatment: str, outcome: str, *, adjust: Sequence[str] | None = None,
    graph: GraphSource | None = None, segment: str | None = None, reference: Any = None, positive: Any = None,
    cluster: str | None = None, propensity: str | None = None, missing: Missing = "weights", measured_after: Sequence[str] = (),
    out: str | Path | None = None, picture: str | Path | None = None, lang: Lang = "en", random_state: int = 0,
) -> TableAnswer:  # fmt: skip
    """What a two-valued treatment changes for each row of a table, with intervals; how well effects rank and are calibrated.

    reference, positive, missing, measured_after: as in `effect`.
    out: write the rows with their effects (.parquet or .csv). picture: write a page of pictures (.html).
    """
    from whyrec.cause.graph.read import GraphOnTable, told_gaps
    from whyrec.studies.table_effect import reading
    from whyrec.studies.table_questions import table_uplift

    frame = frame_of(source, cluster)
    drawn = None if graph is None else GraphOnTable.of(graph, frame.columns)
    content, rows = table_uplift(
        frame, treatment, outcome, adjust=adjust, graph=drawn and drawn.graph, segment=segment, reference=reference,
        positive=positive, cluster=cluster, propensity=propensity, missing=missing, measured_after=measured_after,
        random_state=random_state,
    )  # fmt: skip
    content["graph"] = drawn and drawn.to_dict()
    lines = [_line("effect (DoCalib)", content["effect"]), _line("naive difference", content["naive"])]
    lines += assumption_lines({"DoCalib": content["effect"], "naive": content["naive"]})
    lines += [*reading(content), *told_gaps(content["graph"], lang)]
    lines.append(_line("Qini (0: ranks nothing)", content["qini"]))
    slope, error = content["calibration"]["slope"]
    lines.append(
        f"calibration of effects: slope {slope:.2f} (standard error {error:.2f}; 1 is right, 0 is nothing learnt)"
    )
    lines.append("overlap: " + content["positivity"]["words"])
    lines += warning_lines(content["effect"], content["qini"], {"diagnostics": content["pairs"]})
    for row in content.get("segments", []):
        lines.append(_line(f"  {row['segment']}", row))
        lines += [f"    {words}" for words in warning_lines(row)]
        if row.get("bounds"):
            b = row["bounds"]
            told = f"    persuaded between {b['persuaded_low']:.1%} and {b['persuaded_high']:.1%}"
            if b["anyway_low"] is not None:
                told += f"; of treated buyers, between {b['anyway_low']:.0%} and {b['anyway_high']:.0%} would have bought anyway"
            lines.append(told)
    if content["given_away"]:
        lines.append(
            f"WARNING: {', '.join(content['given_away'])} all but state the treatment; leave them out of --adjust"
        )
    return _answer(content, lines, rows, out, picture, lang)


def arms(
    source: str | Path | Frame, treatment: str, outcome: str, *, adjust: Sequence[str] | None = None,
    graph: GraphSource | None = None, reference: Any = None, positive: Any = None, cluster: str | None = None, weight: str | None = None,
    propensity: str | None = None, missing: Missing = "weights", measured_after: Sequence[str] = (), over: Over = "population",
    out: str | Path | None = None, picture: str | Path | None = None,
    lang: Lang = "en", random_state: int = 0,
) -> TableAnswer:  # fmt: skip
    """What each of many arms (items, offers) would yield if everybody got it, shrunk, with discoveries at a false-discovery rate;
    and, of up to 12 arms, the effect of each against a reference with simultaneous intervals, refuted.

    over: everybody of the "population" that the rows were drawn from, or of the "rows" at hand alone.
    """
    from whyrec.cause.graph.read import GraphOnTable, told_gaps
    from whyrec.studies.table_effect import reading
    from whyrec.studies.table_questions import table_arms

    frame = frame_of(source, cluster)
    drawn = None if graph is None else GraphOnTable.of(graph, frame.columns)
    content, rows = table_arms(
        frame, treatment, outcome, adjust=adjust, graph=drawn and drawn.graph, reference=reference, positive=positive,
        cluster=cluster, weight=weight, propensity=propensity, missing=missing, measured_after=measured_after, over=over,
        random_state=random_state,
    )  # fmt: skip
    content["graph"] = drawn and drawn.to_dict()
    d = content["diagnostics"]
    lines = [
        f"{d['arms']:,} arms, {d['median_rows']:.0f} rows each (median), worth {d['median_effective_rows']:.0f}; "
        f"mean of the log {content['logged_mean']:.4g}",
        *reading(content),
        *told_gaps(content["graph"], lang),
        f"{content['estimand']}, shrunk to what arms of the kind yield:",
    ]
    lines += [
        f"{row['arm']!s:<24} {row['shrunk']:.4g}  [{row['shrunk_low']:.4g}, {row['shrunk_high']:.4g}]"
        for row in content["arms"]
    ]
    said = [f"WARNING: {words}" for words in d["warnings"]]
    lines += said
    better = content["better_than_logged"]
    lines.append(
        f"better than the log at a false-discovery rate of 10%: {', '.join(str(row['arm']) for row in better) or 'none'}"
    )
    lines += _contrast_lines(content["contrasts"], said) if content["contrasts"] else []
    return _answer(content, lines, rows, out, picture, lang)


def _contrast_lines(content: dict[str, Any], said: Sequence[str]) -> list[str]:
    """The contrasts: effect with its simultaneous interval, the naive one, what failed, and what a hidden cause must be; but for what was said."""
    lines = [f"against {content['reference']}, all intervals at once at {content['level']:.0%}:"]
    lines += assumption_lines({"DoCalib": content["contrasts"][0]["effect"], "naive": content["contrasts"][0]["naive"]})
    for row in content["contrasts"]:
        low, high = row["simultaneous"]
        naive = row["naive"]["estimate"]
        failed = sum(not attempt["passed"] for attempt in row["refutations"])
        tried = f"{len(row['refutations']) - failed} of {len(row['refutations'])} attempts to refute passed"
        lines.append(
            f"  {row['arm']!s:<22} {row['effect']['estimate']:+.4g}  [{low:.4g}, {high:.4g}]; naive {naive:+.4g}; {tried}"
        )
        lines += [f"    {words}" for words in warning_lines(row["effect"]) if words not in said]
        lines += [f"    FAILED: {attempt['words']}" for attempt in row["refutations"] if not attempt["passed"]]
        if row["sensitivity"].get("words"):
            lines.append(f"    {row['sensitivity']['words']}")
    lines += [f"  {row['arm']}: not told ({row['why']})" for row in content["not_told"]]
    return lines


def dose(
    source: str | Path | Frame, treatment: str, outcome: str, *, adjust: Sequence[str] | None = None,
    graph: GraphSource | None = None, positive: Any = None, cluster: str | None = None, weight: str | None = None,
    missing: Missing = "weights", measured_after: Sequence[str] = (), picture: str | Path | None = None, lang: Lang = "en",
    random_state: int = 0,
) -> TableAnswer:  # fmt: skip
    """The dose-response curve of a continuous treatment (price, discount, hours)."""
    from whyrec.cause.graph.read import GraphOnTable, told_gaps
    from whyrec.studies.table_effect import reading
    from whyrec.studies.table_questions import table_dose

    frame = frame_of(source, cluster)
    drawn = None if graph is None else GraphOnTable.of(graph, frame.columns)
    content = table_dose(
        frame, treatment, outcome, adjust=adjust, graph=drawn and drawn.graph, positive=positive, cluster=cluster,
        weight=weight, missing=missing, measured_after=measured_after, random_state=random_state,
    )  # fmt: skip
    content["graph"] = drawn and drawn.to_dict()
    lines = [_line("average change per unit", content["slope"]), *reading(content), *told_gaps(content["graph"], lang)]
    lines += [_line(f"  dose {row['dose']:.4g}", row) for row in content["curve"]]
    lines += assumption_lines({"DoCalib": content["slope"]})
    lines += warning_lines(content["slope"])
    lines.append(f"after weighting the rows are worth {content['effective_sample_size']:,.0f}")
    return _answer(content, lines, None, None, picture, lang)


def moments(
    source: str | Path | Frame, user: str, time: str, treatment: str, outcome: str, probability: str, *, available: str | None = None,
    moderators: Sequence[str] = (), controls: Sequence[str] = (), lang: Lang = "en",
) -> TableAnswer:  # fmt: skip
    """What a treatment does at the moments at which it is given: causal excursion effects of a trial in which it is drawn again and again.

    source: a row for each person (`user`) and moment (`time`), with the `treatment` (0, 1), the `probability` with which it was drawn, and the `outcome`
    that followed. available: column of 0 and 1, moments without a choice are 0. moderators: what the effect may depend on, known before the
    treatment. controls: what predicts the outcome, known before the treatment; they narrow the interval and cannot bias it. See
    `whyrec.cause.excursion` (Boruvka et al., 2018). NoOverlap where a moment left no choice, BadInput for everything that the table lacks.
    """
    from whyrec.studies.table_moments import describe_moments, table_moments

    content = table_moments(
        frame_of(source, user), user, time, treatment, outcome, probability, available=available, moderators=moderators, controls=controls
    )
    return _answer(content, describe_moments(content), None, None, None, lang)


def preference(
    source: str | Path | Frame, *, user: str = "user", item: str = "item", outcome: str = "rating",
    users: str | Path | Frame | None = None, items: str | Path | Frame | None = None,
    method: RatingMethod = "DoCalib", k: int = 10, hidden: float = 0.3, out: str | Path | None = None, picture: str | Path | None = None,
    lang: Lang = "en", random_state: int = 0,
) -> TableAnswer:  # fmt: skip
    """What users would think of items if they were shown, though ratings are missing not at random.

    hidden: how far reasons to rate that nothing shows move the mean, as a share of what the seen ones move it; 0 where a recommender
    chose the pairs. out: write the k best unrated items of each user (.parquet or .csv).
    """
    from whyrec.studies.table_questions import table_preference

    content, rows = table_preference(
        frame_of(source, user, item), user, item, outcome,
        users=None if users is None else frame_of(users, user), items=None if items is None else frame_of(items, item),
        method=method, k=k, hidden=hidden, random_state=random_state,
    )  # fmt: skip
    lines = [
        _line(f"mean over all pairs ({method})", content["mean"]),
        _line("mean of the ratings given", content["naive"]),
        *assumption_lines({method: content["mean"], "mean of the ratings given": content["naive"]}),
        *warning_lines(content["mean"]),
    ]
    if "exposure" in content:
        e = content["exposure"]
        lines.append(
            f"overlap: {content['ratings']:,} ratings are worth {e['effective_ratings']:,.0f} after weighting; calibration error of "
            f"who rates what {e['calibration_error']['before']:.4f} before and {e['calibration_error']['after']:.4f} after"
        )
    return _answer(content, lines, rows, out, picture, lang)


def _answer(
    content: dict[str, Any], lines: Sequence[str], rows: pl.DataFrame | None, out: str | Path | None, picture: str | Path | None, lang: Lang
) -> TableAnswer:  # fmt: skip
    """The answer in a language, after its files were written."""
    from whyrec.explain.chinese import content_in, lines_in

    files = _written(content, rows, out, picture, lang)
    return TableAnswer(content_in(content, lang), lines_in(lines, lang), rows, files)


def kind_of(source: str | Path | Frame, treatment: str) -> str:
    """How a column is read as a treatment: "binary", "arms" or "dose"; BadInput where there is no such column."""
    from whyrec.cause.table import treatment_kind

    frame = frame_of(source)
    if treatment not in frame.columns:
        raise BadInput(f"no column {treatment!r}; the columns are {', '.join(frame.columns)}")
    return treatment_kind(frame[treatment])


def effects_benchmark(
    data: str | Path,
    *,
    quick: bool = False,
    only: Sequence[str] | None = None,
    out: str | Path | None = None,
    random_state: int = 0,
) -> Any:
    """Every table of truth about effects; see `whyrec.studies.effect_benchmark`."""
    from whyrec.studies.effect_benchmark import effect_benchmark as run

    result = run(Path(data), quick=quick, only=only, random_state=random_state)
    _write_benchmark(result, out)
    return result


def league(
    data: str | Path | None = None,
    *,
    rows: Sequence[int] = (2_000,),
    logs: int = 100,
    only: Sequence[str] | None = None,
    role: Literal["design", "judge"] | None = None,
    rivals: Sequence[str] | None = None,
    keep: str | Path | None = None,
    out: str | Path | None = None,
    random_state: int = 0,
) -> Any:
    """Estimators of an average effect on worlds that differ in kind; see `whyrec.studies.effect_benchmark.league.run`."""
    from whyrec.studies.effect_benchmark.league.run import league as run

    result = run(as_path(data), rows=rows, logs=logs, only=only, role=role, rivals=rivals, keep=as_path(keep), random_state=random_state)
    _write_benchmark(result, out)
    return result


def _write_benchmark(result: Any, out: str | Path | None) -> None:
    from whyrec.files import write_json, write_text

    if out is not None and Path(out).suffix == ".md":
        write_text(Path(out), result.to_markdown())
    elif out is not None:
        write_json(Path(out), result.to_dict())


def _written(
    content: dict[str, Any], rows: pl.DataFrame | None, out: str | Path | None, picture: str | Path | None, lang: Lang
) -> tuple[Path, ...]:
    from whyrec.api.model import write_table
    from whyrec.explain.effect_pages import effect_page
    from whyrec.files import write_text

    files: list[Path] = []
    if out is not None and rows is not None:
        write_table(rows, Path(out))
        files.append(Path(out))
    if picture is not None:
        if Path(picture).suffix != ".html":
            raise BadInput(f"{picture}: pictures are written as one .html file")
        write_text(Path(picture), effect_page(content, lang))
        files.append(Path(picture))
    return tuple(files)


def _line(name: str, value: dict[str, Any]) -> str:
    number = "n/a" if value["estimate"] is None else f"{value['estimate']:.5g}"
    return f"{name:<32} {number}  {in_brackets(*value['interval'], form='.5g')}"
