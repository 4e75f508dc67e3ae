"""A blend: several rankers at once, their scores added up by weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.catalogue import ranker
from whyrec.recommenders.store import parameters
from whyrec.saved import opening, saving

_SPREAD_USERS = 200


class Blend(Recommender):
    """sum_m w_m s_m(u, i), a linear combination of scores (CombSUM: Fox and Shaw, 1994; learnt weights: Lee, 1997).

    parts: each {"ranker": a name of the catalogue, "settings": its own, by name}. weights: one a part, 0 or more; None: one over the
    standard deviation of the part's scores over items, the mean of 200 users, so that every part has the same say. `choose` learns them.
    Learns `parts_` (fitted recommenders) and `weights_` (n_parts,).
    """

    def __init__(
        self,
        parts: Sequence[Mapping[str, Any]] = ({"ranker": "item-kNN"}, {"ranker": "EASE"}),
        weights: Sequence[float] | None = None,
        text_model: str = "auto",
        cache: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.parts = parts
        self.weights = weights
        self.text_model = text_model
        self.cache = cache
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        weights = None if self.weights is None else np.asarray(self.weights, dtype=np.float32)
        if not self.parts or (
            weights is not None
            and (weights.shape != (len(self.parts),) or not (weights >= 0).all() or not weights.any())
        ):
            raise BadInput("a blend has parts, each with a weight of 0 or more, one of them above 0")
        usual = {"text_model": self.text_model, "cache": self.cache, "random_state": self.random_state}
        self.parts_ = [
            ranker(str(part["ranker"])).make(part.get("settings"), **usual).fit(dataset) for part in self.parts
        ]
        self.weights_ = self._even() if weights is None else weights

    def _even(self) -> Scores:
        """One over the spread of each part's scores."""
        users = np.flatnonzero(np.diff(self.seen_.indptr))[:_SPREAD_USERS].astype(np.int32)
        spread = [float(part.score_all(users).std(axis=1).mean()) if len(users) else 1.0 for part in self.parts_]
        return np.array([1 / value if value > 0 else 0.0 for value in spread], dtype=np.float32)

    def score_all(self, users: Codes) -> Scores:
        """The weighted sum."""
        users = self._checked_users(users)
        total = np.zeros((len(users), self.n_items_), dtype=np.float32)
        for part, weight in zip(self.parts_, self.weights_, strict=True):
            total += weight * part.score_all(users)
        return total

    def score_nobody(self) -> Scores:
        """The weighted sum of what the parts say of nobody."""
        parts = [weight * part.score_nobody() for part, weight in zip(self.parts_, self.weights_, strict=True)]
        total: Scores = np.sum(parts, axis=0, dtype=np.float32)
        return total

    def forget(self, users: Codes) -> None:
        """By every part."""
        super().forget(users)
        for part in self.parts_:
            part.forget(users)

    @property
    def main_(self) -> Recommender:
        """The part that stands first, which says what items and users are alike."""
        return self.parts_[0]

    def user_vectors(self) -> Any:
        """Of the first part."""
        return self.main_.user_vectors()

    def _item_vectors(self) -> Any:
        return self.main_._item_vectors()

    def save(self, folder: Path) -> None:
        """A folder a part."""
        content = {
            "parameters": parameters(self),
            "weights": self.weights_.tolist(),
            "kinds": [type(p).__name__ for p in self.parts_],
        }
        with saving(Path(folder), "Blend", content) as inside:
            for place, part in enumerate(self.parts_):
                part.save(inside / str(place))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        content = opening(Path(folder), "Blend")
        model = cls(**content["parameters"])
        model.weights_ = np.array(content["weights"], dtype=np.float32)
        model.parts_ = [
            ranker(kind).recommender.load(Path(folder) / str(place)) for place, kind in enumerate(content["kinds"])
        ]
        model.n_users_, model.n_items_ = model.main_.n_users_, model.main_.n_items_
        model.seen_ = model.main_.seen_
        return model
