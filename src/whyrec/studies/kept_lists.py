"""What each method of a benchmark recommended, kept on disk, so that a run that was broken off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from whyrec.data.dataset import Codes, Dataset
from whyrec.files import write_json
from whyrec.recommenders.base import Recommender, Scores


@dataclass(frozen=True)
class Made:
    """A method's lists, (n_users, k), best first, -1 where there is none; the CPU seconds its fit took; its settings in words."""

    lists: Codes
    seconds: float
    told: str

    def recommender(self, train: Dataset) -> Recommender:
        """The lists as a recommender among others."""
        return Listed(self.lists).fit(train)


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


def kept(folder: Path | None, method: str, asked: dict[str, object], make: Callable[[], Made]) -> Made:
    """What `make` makes, or what it made before for the same question, where a folder keeps answers.

    asked: all that the lists hang on; JSON-ready.
    """
    if folder is None:
        return make()
    key = sha256(json.dumps({"method": method} | asked, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{key}.json"
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        return Made(np.array(found["lists"], dtype=np.int32), found["seconds"], found["told"])
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {"method": method, "asked": asked} | asdict(made) | {"lists": made.lists.tolist()})
    return made


def log_key(dataset: Dataset) -> str:
    """What tells one training log from another."""
    histories = dataset.histories
    parts = (histories.offsets, histories.items, np.array([dataset.n_users, dataset.n_items]))
    return sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:16]
