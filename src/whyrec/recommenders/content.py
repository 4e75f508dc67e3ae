"""Content-based: items that read like what the user had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whyrec.data.dataset import Codes, Dataset
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.topk import Linear
from whyrec.represent.text import Precision


class ContentBased(Recommender):
    """Cosine between an item's text state and the user's profile, the mean text state of the history (Lops et al., 2011, ch. 3).

    text_model, cache and text_precision as in `TextEncoder`. Items without text, and users whose items have none, score 0.
    Learns `item_states_` (n_items, width) of unit length and `user_states_` (n_users, width) of unit length.
    """

    popular_for_unknown = True
    by_user = ("user_states_",)

    def __init__(
        self, text_model: str = "auto", cache: str | None = None, text_precision: Precision = "float32"
    ) -> None:
        self.text_model = text_model
        self.cache = cache
        self.text_precision = text_precision

    def _learn(self, dataset: Dataset) -> None:
        from whyrec.represent.text import text_encoder

        texts = dataset.items["text"].to_list()
        self.item_states_ = text_encoder(self.text_model, texts, cache=self.cache, precision=self.text_precision).encode(texts)
        totals = np.asarray(dataset.matrix @ self.item_states_, dtype=np.float32)
        length = np.linalg.norm(totals, axis=1, keepdims=True)
        self.user_states_ = np.divide(totals, length, out=np.zeros_like(totals), where=length > 0)

    def score_all(self, users: Codes) -> Scores:
        """Cosines, between -1 and 1."""
        cosine: Scores = self.user_states_[self._checked_users(users)] @ self.item_states_.T
        return self._filled(cosine)

    def user_vectors(self) -> NDArray[np.float32]:
        """The users' profiles."""
        vectors: NDArray[np.float32] = self.user_states_
        return vectors

    def _linear(self, users: Codes) -> Linear:
        return Linear(self.user_states_[users], self.item_states_)

    def _item_vectors(self) -> NDArray[np.float32]:
        return self.item_states_
