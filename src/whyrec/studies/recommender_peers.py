"""Other libraries' recommenders in the same table: their lists, made in their own environment from the same histories."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whyrec.data.dataset import Codes, Dataset
from whyrec.data.split import Split
from whyrec.metrics.significance import bootstrap, holm, sign_flip
from whyrec.progress import say
from whyrec.recommend.base import Recommender, Scores
from whyrec.recommend.evaluation import Measured
from whyrec.recommend.popularity import Popularity
from whyrec.studies.effect_benchmark.tables import Claim
from whyrec.studies.graph_benchmark.peers import run_peer

RECTOOLS = "WHYREC_PEER_RECTOOLS"
_METHODS = ("SASRec", "eSASRec", "BERT4Rec", "EASE")
_LONGEST = 4.0


@dataclass(frozen=True)
class Peer:
    """A peer's lists as a recommender, with the CPU seconds and epochs it took."""

    recommender: Recommender
    seconds: float
    told: str


class Listed(Recommender):
    """Lists made beforehand, (n_users, k), best first, -1 where there is none."""

    def __init__(self, lists: Codes) -> None:
        self.lists = lists

    def _learn(self, dataset: Dataset) -> None:
        pass

    def recommend(
        self, users: Codes, k: int = 10, exclude_seen: bool = True, candidates: Codes | None = None
    ) -> tuple[Codes, Scores]:
        """The lists; scores count down."""
        chosen = self.lists[self._checked_users(users), :k]
        return chosen, np.broadcast_to(-np.arange(chosen.shape[1], dtype=np.float32), chosen.shape)

    def score_all(self, users: Codes) -> Scores:
        """The place in the list, counted back from its end; 0 for items that are not in it."""
        lists = self.lists[self._checked_users(users)]
        scores = np.zeros((len(lists), self.n_items_ + 1), dtype=np.float32)
        np.put_along_axis(scores, lists, np.arange(lists.shape[1], 0, -1, dtype=np.float32), axis=1)
        return scores[:, :-1]


def rectools(split: Split, budget: float, settings: tuple[float, ...], random_state: int) -> dict[str, Peer]:
    """RecTools' lists of 10 by method, each trained for `budget` CPU seconds; empty where its variable is unset.

    A user without history, whom RecTools does not serve, gets the most popular items. settings: width, length, batch (histories) and learning rate of its transformers.
    """
    python = os.environ.get(RECTOOLS)
    if not python:
        return {}
    histories, found = split.train.histories, {}
    popular, _ = Popularity().fit(split.train).recommend(np.arange(split.train.n_users, dtype=np.int32))
    unserved = np.diff(histories.offsets) == 0
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder) / "table.npz", Path(folder) / "lists.npz"
        np.savez(table, offsets=histories.offsets, items=histories.items, users=np.arange(split.train.n_users), k=10)
        for method in _METHODS:
            say(f"{split.train.name}: RecTools {method}")
            asked = [method, str(table), str(out), str(budget), str(random_state), *map(str, settings)]
            told = run_peer(python, "peer_rectools.py", asked, 600 + _LONGEST * budget)
            if told is None:
                continue
            lists = np.where(unserved[:, None], popular, np.load(out)["lists"])
            epochs = f"{told['epochs']} epochs" if "epochs" in told else "closed form"
            model = Listed(lists).fit(split.train)
            found[f"RecTools {method}"] = Peer(model, told["cpu_seconds"], epochs)
    return found


def side_by_side(measured: Measured, random_state: int) -> list[Claim]:
    """NDCG@10 of each method of ours less its namesake's at RecTools, and best less best; paired, Holm over the pairs."""
    values = {name: table[:, 0] for name, table in measured.accuracy.items()}
    theirs = [name for name in values if name.startswith("RecTools ")]
    if not theirs:
        return [Claim(f"RecTools skipped: {RECTOOLS} names no Python that has it", None)]
    pairs = [(name.removeprefix("RecTools "), name) for name in theirs if name.removeprefix("RecTools ") in values]
    ours = [name for name in values if name not in theirs]
    pairs.append((max(ours, key=lambda name: values[name].mean()), max(theirs, key=lambda name: values[name].mean())))
    rows = []
    for own, other in pairs:
        difference = values[own] - values[other]
        low, high = bootstrap(difference[:, None], 0.95, 1000, random_state)
        rows.append((own, other, difference.mean(), low[0], high[0], sign_flip(difference, random_state=random_state)))
    adjusted = holm(np.array([row[-1] for row in rows]))
    return [
        Claim(
            f"NDCG@10 of {own} is not below that of {other}: difference {mean:.4f} [{low:.4f}, {high:.4f}], "
            f"Holm-adjusted p {p:.4f}",
            bool(mean >= 0 or p > 0.05),
        )
        for (own, other, mean, low, high, _), p in zip(rows, adjusted, strict=True)
    ]
