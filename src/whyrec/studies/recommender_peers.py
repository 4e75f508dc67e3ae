"""Other libraries' recommenders in the same table: their lists, made from the same histories.

`implicit` runs beside ours. RecTools, RecBole and LensKit run in their own environments, where the variables
WHYREC_PEER_RECTOOLS, WHYREC_PEER_RECBOLE and WHYREC_PEER_LENSKIT name a Python that has them.
A peer's method is called METHOD of LIBRARY, METHOD being the name that ours has.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from whyrec.data.dataset import Codes, Dataset
from whyrec.data.split import Split
from whyrec.metrics.significance import bootstrap, holm, sign_flip
from whyrec.progress import say
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.evaluation import Measured
from whyrec.recommenders.popularity import Popularity
from whyrec.recommenders.topk import top_k
from whyrec.studies.kept_lists import Made, kept, log_key
from whyrec.studies.measured import Claim
from whyrec.studies.peers import run_peer

VARIABLES = {name: f"WHYREC_PEER_{name.upper()}" for name in ("RecTools", "RecBole", "LensKit")}
RECTOOLS = ("SASRec", "eSASRec", "BERT4Rec", "EASE")
# LensKit's own name of a method, and the settings that `peer_lenskit.py` gives it.
LENSKIT = {
    "item-kNN, cosine": ("item-kNN", "save_nbrs=200, max_nbrs=200"),
    "EASE": ("EASE", "regularization=300"),
    "ALS": ("ALS", "embedding_size=64, regularization=10, epochs=10"),
}
# RecTools: width, length, histories of a batch, learning rate. RecBole: the same, a batch being of targets.
RECTOOLS_SETTINGS = (64, 100, 32, 1e-3)
RECBOLE_SETTINGS = {"SASRec": (64, 50, 2048, 1e-3), "LightGCN": (64, 50, 2048, 5e-3)}
_LONGEST = 4.0


class OfImplicit(Recommender):
    """A model of `implicit`, as it ranks by itself, under our contract. make: gives it unfitted; told: its settings in words."""

    def __init__(self, make: Callable[[], Any], told: str) -> None:
        self.make = make
        self.told = told

    def _learn(self, dataset: Dataset) -> None:
        self.counts_ = dataset.matrix
        with threadpool_limits(1, "blas"):
            self.model_ = self.make()
            self.model_.fit(self.counts_, show_progress=False)

    def recommend(
        self, users: Codes, k: int = 10, exclude_seen: bool = True, candidates: Codes | None = None
    ) -> tuple[Codes, Scores]:
        """What its own `recommend` gives, and the most popular items to users without history; no `candidates` here."""
        users = self._checked_users(users)
        with threadpool_limits(1, "blas"):
            lists, scores = self.model_.recommend(
                users, self.counts_[users], N=min(k, self.n_items_), filter_already_liked_items=exclude_seen
            )
        # A list that would be too short ends in items of the lowest score that a float can be, or in items that the user had.
        ends = scores < -1e38
        if exclude_seen:
            ends |= np.asarray(self.seen_[np.repeat(users, lists.shape[1]), lists.ravel()]).reshape(lists.shape)
        lists = np.where(ends, -1, lists).astype(np.int32)
        popular, _ = top_k(self._popularity()[None], k)
        unserved = np.diff(self.counts_.indptr)[users] == 0
        lists[unserved, : popular.shape[1]] = popular
        return lists, scores

    def score_all(self, users: Codes) -> Scores:
        """Not needed in a table of lists."""
        raise NotImplementedError("a peer of the benchmark gives lists, not scores")


def of_implicit(random_state: int) -> dict[str, tuple[Recommender, ...]]:
    """`implicit`'s models by name, over the same grids as ours, to be chosen among in the same way."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

    def als(penalty: float) -> OfImplicit:
        given = {"factors": 64, "regularization": penalty, "alpha": 2.0, "iterations": 10}
        return OfImplicit(
            lambda: AlternatingLeastSquares(**given, random_state=random_state, num_threads=1), _told(given)
        )

    def bpr(factors: int, rate: float, penalty: float, iterations: int) -> OfImplicit:
        given = {"factors": factors, "learning_rate": rate, "regularization": penalty, "iterations": iterations}
        return OfImplicit(
            lambda: BayesianPersonalizedRanking(**given, random_state=random_state, num_threads=1), _told(given)
        )

    neighbours = {"cosine": CosineRecommender, "BM25": BM25Recommender, "TF-IDF": TFIDFRecommender}
    found: dict[str, tuple[Recommender, ...]] = {
        f"item-kNN, {name} of implicit": tuple(
            OfImplicit(partial(kind, K=size, num_threads=1), f"K={size}") for size in (50, 200)
        )
        for name, kind in neighbours.items()
    }
    found["ALS of implicit"] = tuple(als(penalty) for penalty in (1.0, 10.0, 50.0))
    found["BPR of implicit"] = (bpr(64, 0.05, 0.01, 50), bpr(64, 0.05, 0.05, 50), bpr(16, 0.0066, 0.02, 150))
    return found


def peers(split: Split, budget: float, random_state: int, folder: Path | None, recbole: bool) -> dict[str, Made]:
    """Lists of ten of the libraries that are there, by method; transformers and graphs train for `budget` CPU seconds.

    folder: where lists are kept (see `kept`). recbole: whether RecBole's are wanted. A user without history, whom they do not serve, gets the most
    popular items.
    """
    popular, _ = Popularity().fit(split.train).recommend(np.arange(split.train.n_users, dtype=np.int32))
    unserved = np.diff(split.train.histories.offsets) == 0
    asked: dict[str, object] = {"log": log_key(split.train), "seed": random_state}
    found: dict[str, Made] = {}

    def add(name: str, settings: Any, make: Callable[[], Made | None]) -> None:
        say(f"{split.train.name}: {name}")
        try:
            found[name] = kept(folder, name, asked | {"settings": settings}, partial(_made, make))
        except _NothingMadeError:
            say(f"{split.train.name}: {name} gave no lists")

    def filled(made: Made | None) -> Made | None:
        return made and replace(made, lists=np.where(unserved[:, None], popular, made.lists))

    def scripted(python: str, script: str, method: str, settings: tuple[float, ...]) -> Made | None:
        return filled(_scripted(python, script, method, split, budget, random_state, settings))

    def listed(python: str, method: str, told: str) -> Made | None:
        answers = lenskit(python, split, [method])
        return filled(next((Made(lists, found["fit"][0], told) for _, lists, found in answers), None))

    if python := os.environ.get(VARIABLES["RecTools"]):
        for method in RECTOOLS:
            settings: Any = [] if method == "EASE" else [budget, RECTOOLS_SETTINGS]
            add(
                f"{method} of RecTools",
                settings,
                partial(scripted, python, "peer_rectools.py", method, RECTOOLS_SETTINGS),
            )
    if recbole and (python := os.environ.get(VARIABLES["RecBole"])):
        for method, given in RECBOLE_SETTINGS.items():
            make = partial(scripted, python, "peer_recbole_lists.py", method, given)
            add(f"{method} of RecBole", [budget, given], make)
    if python := os.environ.get(VARIABLES["LensKit"]):
        for name, (method, told) in LENSKIT.items():
            add(f"{name} of LensKit", told, partial(listed, python, method, told))
    return found


class _NothingMadeError(Exception):
    """A peer failed or took too long; it said so."""


def _made(make: Callable[[], Made | None]) -> Made:
    made = make()
    if made is None:
        raise _NothingMadeError
    return made


def _scripted(
    python: str,
    script: str,
    method: str,
    split: Split,
    budget: float,
    random_state: int,
    settings: tuple[float, ...],
) -> Made | None:
    histories = split.train.histories
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder) / "table.npz", Path(folder) / "lists.npz"
        np.savez(table, offsets=histories.offsets, items=histories.items, users=np.arange(split.train.n_users), k=10)
        asked = [method, str(table), str(out), str(budget), str(random_state), *map(str, settings)]
        told = run_peer(python, script, asked, 900 + _LONGEST * budget)
        if told is None:
            return None
        epochs = f"{told['epochs']} epochs" if "epochs" in told else "closed form"
        return Made(np.load(out)["lists"], told["cpu_seconds"], epochs)


def lenskit(python: str, split: Split, methods: list[str]) -> Iterator[tuple[str, Codes, dict[str, list[float]]]]:
    """(method, lists of ten, [CPU, clock] seconds of `fit` and of `top` ten for all) of LensKit's, one thread."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "LK", "RAYON", "NUMBA")}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.csv"
        split.train.interactions.select(user_id="user_code", item_id="item_code").unique(maintain_order=True).write_csv(
            log
        )
        for method in methods:
            told = run_peer(python, "peer_lenskit.py", [str(log), folder, method], 1800, environment=one)
            if told is None:
                continue
            lists = np.full((split.train.n_users, 10), -1, dtype=np.int32)
            with (Path(folder) / f"{method}.csv").open(encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    lists[int(row["user_id"]), int(row["rank"]) - 1] = int(row["item_id"])
            yield method, lists, told


def side_by_side(measured: Measured, random_state: int) -> list[Claim]:
    """NDCG@10 of each method of ours less its namesake's elsewhere, and best less best; paired, Holm over the pairs."""
    values = {name: table[:, 0] for name, table in measured.accuracy.items()}
    theirs = [name for name in values if " of " in name]
    absent = [
        Claim(
            f"{library} is not in this table: {variable} names no Python that has it, or its epochs take too long here",
            None,
        )
        for library, variable in VARIABLES.items()
        if not any(name.endswith(f" of {library}") for name in theirs)
    ]
    if not theirs:
        return absent
    pairs = [(own, name) for name in theirs if (own := name.rsplit(" of ", 1)[0]) in values]
    ours = [name for name in values if name not in theirs]
    pairs.append((max(ours, key=lambda name: values[name].mean()), max(theirs, key=lambda name: values[name].mean())))
    rows = []
    for own, other in pairs:
        difference = values[own] - values[other]
        low, high = bootstrap(difference[:, None], 0.95, 1000, random_state)
        rows.append((own, other, difference.mean(), low[0], high[0], sign_flip(difference, random_state=random_state)))
    adjusted = holm(np.array([row[-1] for row in rows]))
    return absent + [
        Claim(
            f"NDCG@10 of {own} is not below that of {other}: difference {mean:.4f} [{low:.4f}, {high:.4f}], "
            f"Holm-adjusted p {p:.4f}",
            bool(mean >= 0 or p > 0.05),
        )
        for (own, other, mean, low, high, _), p in zip(rows, adjusted, strict=True)
    ]


def _told(given: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in given.items())
