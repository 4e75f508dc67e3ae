"""The league's run: every rival on the same logs, world by world, kept as it goes."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.errors import BadInput, WhyrecError
from whyrec.progress import track
from whyrec.studies.effect_benchmark.league.rivals import installed
from whyrec.studies.effect_benchmark.league.worlds import Role, World, worlds
from whyrec.studies.measured import Benchmark, Claim, Part

OURS = "DoCalib"
_LEAST = 0.93


def league(
    data: Path | None = None,
    *,
    rows: Sequence[int] = (2_000,),
    logs: int = 100,
    only: Sequence[str] | None = None,
    role: Role | None = None,
    rivals: Sequence[str] | None = None,
    keep: Path | None = None,
    random_state: int = 0,
) -> Benchmark:
    """Bias, error, coverage, width and time of every rival in every world.

    data: folder of the reference data, for worlds on real covariates. role: "judge" leaves out the worlds that designs were chosen on.
    rivals: by name (default: all that are installed). keep: folder in which each answer is written as it is made, from which a run that
    was broken off goes on.
    """
    known = {name: w for name, w in worlds(data).items() if role in (None, w.role)}
    competing = installed()
    for asked, there, what in ((only, known, "world"), (rivals, competing, "rival")):
        unknown = [name for name in asked or () if name not in there]
        if unknown:
            raise BadInput(f"no {what} {unknown[0]!r} here; there are: {'; '.join(there)}")
    if logs < 2:
        raise BadInput(f"logs={logs}: a spread needs at least 2")
    found: list[dict[str, Any]] = []
    chosen = [known[name] for name in only or known]
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, one for each of thousands of fits
        for size in rows:
            for world in track(chosen, f"League, {size:,} rows", total=len(chosen)):
                found += _answers(world, size, logs, list(rivals or competing), keep, random_state)
    frame = pl.DataFrame(found)
    parts = [_part(frame.filter(pl.col("rows") == size), size, logs) for size in rows]
    return Benchmark(tuple(parts))


def _answers(
    world: World, size: int, logs: int, rivals: Sequence[str], keep: Path | None, seed: int
) -> Iterator[dict[str, Any]]:
    """One row a log and rival."""
    competing = installed()
    kept = _kept(keep, world, size, seed)
    for repetition in range(logs):
        missing = [name for name in rivals if (name, repetition) not in kept]
        log = world.draw(size, (seed, size, repetition)) if missing else None
        for name in rivals:
            if (name, repetition) in kept:
                yield kept[name, repetition]
                continue
            assert log is not None
            start = time.process_time()
            row: dict[str, Any] = {
                "world": world.name, "family": world.family, "role": world.role, "rows": size, "log": repetition, "rival": name,
                "refused": False, "error": None, "covers": None, "width": None,
            }  # fmt: skip
            try:
                answer = competing[name](log, repetition)
            except WhyrecError:
                row["refused"] = True
            else:
                row |= {
                    "error": answer.value - world.truth,
                    "covers": answer.low <= world.truth <= answer.high,
                    "width": answer.high - answer.low,
                }
            row["cpu"] = time.process_time() - start
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                with _file(keep, world, size, seed).open("a") as file:
                    file.write(json.dumps(row) + "\n")
            yield row


def _file(keep: Path, world: World, size: int, seed: int) -> Path:
    name = "".join(c if c.isalnum() else "-" for c in world.name)
    return keep / f"{name}-{size}-{seed}.jsonl"


def _kept(keep: Path | None, world: World, size: int, seed: int) -> dict[tuple[str, int], dict[str, Any]]:
    if keep is None or not _file(keep, world, size, seed).exists():
        return {}
    rows = [json.loads(line) for line in _file(keep, world, size, seed).read_text().splitlines()]
    return {(row["rival"], row["log"]): row for row in rows}


def summary(frame: pl.DataFrame) -> pl.DataFrame:
    """By world and rival: bias with its Monte Carlo error, rmse, coverage, width over the oracle's, CPU seconds, refusals."""
    oracle = frame.filter(pl.col("rival") == "oracle").group_by("world").agg(oracle_width=pl.col("width").mean())
    table = frame.group_by("world", "role", "rival", maintain_order=True).agg(
        logs=pl.len(),
        bias=pl.col("error").mean(),
        bias_error=pl.col("error").std() / pl.col("error").count().sqrt(),
        rmse=(pl.col("error") ** 2).mean().sqrt(),
        coverage=pl.col("covers").cast(pl.Float64).mean(),
        width=pl.col("width").mean(),
        refused=pl.col("refused").cast(pl.Float64).mean(),
        cpu=pl.col("cpu").mean(),
    )
    if oracle.height:
        table = table.join(oracle, on="world", how="left", maintain_order="left").with_columns(
            width_of_oracle=pl.col("width") / pl.col("oracle_width")
        )
        table = table.drop("oracle_width")
    return table


def _part(frame: pl.DataFrame, size: int, logs: int) -> Part:
    table = summary(frame)
    ours = table.filter(pl.col("rival") == OURS)
    claims = [_coverage(row) for row in ours.iter_rows(named=True)]
    claims += [claim for name in table["rival"].unique(maintain_order=True) if name not in (OURS, "oracle") for claim in _against(frame, name)]  # fmt: skip
    overall = (
        table.with_columns(best=pl.col("rmse").filter(pl.col("rival") != "oracle").min().over("world"))
        .with_columns(ratio=pl.col("rmse") / pl.col("best"))
        .group_by("rival", maintain_order=True)
        .agg(
            worlds=pl.len(), worst_coverage=pl.col("coverage").min(), mean_coverage=pl.col("coverage").mean(),
            mean_ratio_to_best=pl.col("ratio").mean(), largest_ratio_to_best=pl.col("ratio").max(),
            mean_cpu=pl.col("cpu").mean(), refused=pl.col("refused").mean(),
        )
    )  # fmt: skip
    return Part(
        f"League at {size:,} rows",
        {"over all worlds": overall, "by world": table},
        tuple(claims),
        name=f"league-{size}",
        made=f"at most {logs} fresh logs a world and rival; role 'design': this world was looked at while the estimator was chosen",
    )


def _coverage(row: dict[str, Any]) -> Claim:
    """That ours covers at least .93, three Monte Carlo errors allowed."""
    answered = max(round(row["logs"] * (1 - row["refused"])), 1)
    margin = 3 * sqrt(_LEAST * (1 - _LEAST) / answered)
    coverage = row["coverage"]
    words = (
        f"{row['world']} ({row['role']}): {'no answer' if coverage is None else format(coverage, '.3f')} of {answered} intervals "
        f"hold the truth ({_LEAST} - {margin:.3f} or more), bias {row['bias'] or 0:+.4f}, refused {row['refused']:.0%}"
    )
    return Claim(words, coverage is not None and coverage >= _LEAST - margin)


def _against(frame: pl.DataFrame, name: str) -> list[Claim]:
    """That our squared error is the lower one over all worlds, paired by log and in units of each world's oracle or own scale."""
    wide = (
        frame.filter(pl.col("rival").is_in([OURS, name]) & ~pl.col("refused"))
        .with_columns(square=pl.col("error") ** 2)
        .pivot(on="rival", index=["world", "log"], values="square")
        .drop_nulls()
    )
    if name not in wide.columns or OURS not in wide.columns or not wide.height:
        return []
    means = wide.group_by("world").agg(
        ours=pl.col(OURS).mean().sqrt(), theirs=pl.col(name).mean().sqrt(), logs=pl.len()
    )
    ratio = float((means["ours"] / means["theirs"]).log().mean())  # type: ignore[arg-type]
    better = int((means["ours"] < means["theirs"]).sum())
    words = f"root mean squared error beside {name}: {2.718281828459045**ratio:.2f} times on average of {means.height} worlds, lower in {better}"
    return [Claim(words, ratio < 0)]
