"""Do constrained decisions lose little? A knapsack of offers, and the trade-offs of diverse and calibrated lists."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.data.samples import movielens
from whyrec.data.split import split_random
from whyrec.decide.budget import allocate
from whyrec.decide.calibrated import calibrated, interests, miscalibration
from whyrec.decide.diversity import by_relevance, dpp, mean_dissimilarity, mmr
from whyrec.decide.fairness import exposure, fair_lists
from whyrec.errors import NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray
from whyrec.metrics.ranking import hits, ndcg
from whyrec.studies.measured import Claim, Part

PEER = "WHYREC_PEER_ORTOOLS"
_K, _CANDIDATES = 10, 100
_SOLVE = """
import json, sys, time
import numpy as np
from ortools.linear_solver import pywraplp
table = np.load(sys.argv[1])
gain, cost, budget = table["gain"], table["cost"], float(table["budget"])
start = time.perf_counter()
solver = pywraplp.Solver.CreateSolver("SCIP")
x = [[solver.BoolVar("") for _ in row] for row in gain]
for row in x:
    solver.Add(sum(row) <= 1)
solver.Add(sum(float(c) * v for row, costs in zip(x, cost) for v, c in zip(row, costs)) <= budget)
solver.Maximize(sum(float(g) * v for row, gains in zip(x, gain) for v, g in zip(row, gains)))
solver.SetTimeLimit(120000)
status = solver.Solve()
print(json.dumps({"optimal": status == pywraplp.Solver.OPTIMAL, "gain": solver.Objective().Value(),
                  "bound": solver.Objective().BestBound(), "seconds": time.perf_counter() - start}))
"""


def knapsack(folder: Path | None = None, *, users: int = 10_000, offers: int = 5, random_state: int = 0) -> Part:
    """10,000 users x 5 offers: gain and time of the allocation, against OR-Tools where its interpreter is named.

    The environment variable WHYREC_PEER_ORTOOLS names a Python that has ortools; without it the bound of the linear
    relaxation stands for the optimum, which is never above it.
    """
    start = time.monotonic()
    rows = []
    for name, share, drawn in (
        ("independent", 0.2, 0),
        ("gains follow costs", 0.05, 1),
        ("whole numbers, tight", 0.01, 2),
    ):
        rng = np.random.default_rng([random_state, drawn])
        cost = np.sort(rng.uniform(1, 20, (users, offers)), axis=1)
        gain = (
            rng.normal(3, 3, (users, offers))
            if drawn == 0
            else cost * rng.uniform(0.2, 0.8, (users, 1)) + rng.normal(0, 1, cost.shape)
        )
        if drawn == 2:
            cost = np.round(cost)
        budget = share * float(cost.mean(axis=1).sum())
        began, used = time.perf_counter(), time.process_time()
        found = allocate(gain, cost, budget)
        seconds, processor = time.perf_counter() - began, time.process_time() - used
        peer = _ortools(gain, cost, budget)
        best = peer["gain"] if peer and peer["optimal"] else found.bound
        rows.append(
            {
                "problem": name, "budget": budget, "spent": found.spent, "gain": found.gain, "bound": found.bound,
                "optimum (OR-Tools)": peer["gain"] if peer else None, "share of optimum": found.gain / best,
                "seconds": seconds, "processor": processor, "OR-Tools seconds": peer["seconds"] if peer else None,
            }
        )  # fmt: skip
    table = pl.DataFrame(rows, infer_schema_length=None)
    share, slowest = float(table["share of optimum"].to_numpy().min()), float(table["seconds"].to_numpy().max())
    against = (
        "OR-Tools' optimum"
        if os.environ.get(PEER)
        else f"the relaxation's bound ({PEER} is unset: OR-Tools was skipped)"
    )
    claims = (
        Claim("the allocation is within 1% of the optimum", share >= 0.99, f"at least {share:.4%} of {against}"),
        Claim("and takes under 2 s", slowest < 2, f"{slowest:.2f} s at most"),
    )
    return Part(f"Budget: {users:,} users x {offers} offers", {"": table}, claims, time.monotonic() - start)


def lists(folder: Path, *, random_state: int = 0) -> Part:
    """MovieLens latest-small: what diversity, calibration and fair exposure cost in NDCG@10."""
    from whyrec.recommenders.factorisation import ImplicitALS

    start = time.monotonic()
    dataset = movielens(Path(folder) / "ml-latest-small")
    split = split_random(dataset, 0.2, random_state=random_state)
    model = ImplicitALS(random_state=random_state).fit(split.train)
    kinds, names = _genres(dataset)
    test = split.test.matrix > 0
    relevant = np.asarray(test.sum(axis=1)).ravel()
    users = np.flatnonzero((relevant > 0) & (np.asarray(split.train.matrix.sum(axis=1)).ravel() > 0))
    codes, scores = (np.asarray(v) for v in model.recommend(users.astype(np.int32), _CANDIDATES))
    codes, scores = codes.astype(np.int64), np.nan_to_num(scores.astype(np.float64))
    mix = interests(split.train.matrix[users], kinds)
    known = mix.sum(axis=1) > 0
    users, codes, scores, mix = users[known], codes[known], scores[known], mix[known]

    def judged(places: IntArray) -> dict[str, FloatArray]:
        shown = np.where(places < 0, -1, np.take_along_axis(codes, np.maximum(places, 0), axis=1))
        found = hits(shown.astype(np.int32), test[users].tocsr())
        return {
            "ndcg": ndcg(found, relevant[users]),
            "diversity": mean_dissimilarity(shown, kinds),
            "miscalibration": miscalibration(shown, kinds, mix),
        }

    free = judged(np.tile(np.arange(_K), (len(users), 1)))
    rows = [_row("by score alone", 0.0, free, free)]
    for strength in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9):
        for name, reorder in (("MMR", mmr), ("DPP", dpp)):
            rows.append(
                _row(
                    name,
                    strength,
                    judged(by_relevance(reorder(scores, codes, kinds, _K, diversity=strength), scores)),
                    free,
                )
            )
        rows.append(
            _row("calibrated", strength, judged(calibrated(scores, codes, kinds, mix, _K, calibration=strength)), free)
        )
    table = pl.DataFrame(rows).sort("method", "strength", maintain_order=True)
    halved = table.filter(
        (pl.col("method") == "calibrated") & (pl.col("miscalibration") <= 0.5 * rows[0]["miscalibration"])
    )
    cheapest = halved.sort("ndcg", descending=True).to_dicts()[0] if halved.height else None
    more = table.filter(pl.col("method").is_in(["MMR", "DPP"]) & (pl.col("diversity") >= 1.1 * rows[0]["diversity"]))
    spread = more.sort("ndcg", descending=True).to_dicts()[0] if more.height else None
    claims = [
        Claim(
            "miscalibration is halved for less than 5% of NDCG@10",
            bool(cheapest and cheapest["ndcg lost"] < 0.05),
            f"{cheapest['miscalibration']:.3f} from {rows[0]['miscalibration']:.3f}, NDCG {cheapest['ndcg lost']:.1%} lost "
            f"[{cheapest['lost low']:.1%}, {cheapest['lost high']:.1%}]" if cheapest else "never halved",
        ),
        Claim(
            "a tenth more diversity costs less than 5% of NDCG@10",
            bool(spread and spread["ndcg lost"] < 0.05),
            f"{spread['method']}: {spread['diversity']:.3f} from {rows[0]['diversity']:.3f}, NDCG {spread['ndcg lost']:.1%} lost" if spread else "never reached",
        ),
    ]  # fmt: skip
    fair = _fair(codes, scores, dataset, split.train)
    return Part(f"Lists of {_K} for {len(users)} users of MovieLens latest-small (ALS, {len(names)} genres)",
                {"trade-off": table, "exposure of the long tail": fair}, tuple(claims), time.monotonic() - start)  # fmt: skip


def _fair(codes: IntArray, scores: FloatArray, dataset: Dataset, train: Dataset) -> pl.DataFrame:
    """A least share of exposure for items outside the 5% most popular, and what it costs."""
    popularity = np.asarray(train.matrix.sum(axis=0)).ravel()
    tail = np.ones(dataset.n_items, dtype=np.int64)
    tail[np.argsort(-popularity, kind="stable")[: dataset.n_items // 20]] = 0
    base = np.maximum(scores - scores.min(axis=1, keepdims=True), 0.0)
    share = exposure(codes[:, :_K], tail, 2)[1]
    rows = []
    for wanted in (share, 1.5 * share, 2 * share, 3 * share):
        try:
            found = fair_lists(base, codes, tail, np.array([0.0, wanted]), _K)
        except NoOverlap as error:
            rows.append(
                {
                    "least share": wanted,
                    "share": None,
                    "score lost": None,
                    "low": None,
                    "high": None,
                    "note": str(error)[:60],
                }
            )
            continue
        lost: Estimate = found.price
        rows.append(
            {"least share": wanted, "share": float(found.after[1]), "score lost": lost.diagnostics["share"],
             "low": lost.interval[0] / lost.diagnostics["before"], "high": lost.interval[1] / lost.diagnostics["before"], "note": ""}
        )  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def _genres(dataset: Dataset) -> tuple[FloatArray, tuple[str, ...]]:
    """Each movie's genres alike, rows that sum to 1 (0 without genres)."""
    words = [str(text or "").split(", ") for text in dataset.items["genres"].fill_null("").to_list()]
    names = tuple(sorted({word for row in words for word in row if word}))
    place = {name: k for k, name in enumerate(names)}
    table = np.zeros((dataset.n_items, len(names)))
    for item, row in enumerate(words):
        for word in row:
            if word:
                table[item, place[word]] = 1 / len(row)
    return table, names


def _row(method: str, strength: float, found: dict[str, FloatArray], free: dict[str, FloatArray]) -> dict[str, Any]:
    lost = free["ndcg"] - found["ndcg"]
    base = float(free["ndcg"].mean())
    error = (
        float((lost - lost.mean() / base * (free["ndcg"] - base) - lost.mean()).std(ddof=1) / np.sqrt(len(lost))) / base
    )
    share = float(lost.mean()) / base
    return {
        "method": method, "strength": strength, "ndcg": float(found["ndcg"].mean()), "ndcg lost": share,
        "lost low": share - 1.96 * error, "lost high": share + 1.96 * error,
        "diversity": float(np.nanmean(found["diversity"])), "miscalibration": float(found["miscalibration"].mean()),
    }  # fmt: skip


def _ortools(gain: FloatArray, cost: FloatArray, budget: float) -> dict[str, Any] | None:
    import tempfile

    python = os.environ.get(PEER)
    if not python:
        return None
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "table.npz", gain=gain, cost=cost, budget=budget)
        run = subprocess.run(
            [python, "-c", _SOLVE, str(Path(folder) / "table.npz")],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    if run.returncode:
        raise RuntimeError(f"{PEER}={python}: {run.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(run.stdout)
    return found
