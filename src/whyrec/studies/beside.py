"""The recommender of a log beside simple ones, on the last part of the log: the table that a fitted model keeps."""

from __future__ import annotations

from typing import Any

from whyrec.data.dataset import Dataset
from whyrec.data.split import split_random, split_time
from whyrec.errors import BadInput
from whyrec.progress import say
from whyrec.recommenders.base import Recommender

_SHARE = 0.2
_DENSE = 20_000  # items up to which EASE inverts their matrix


def beside_baselines(
    dataset: Dataset, *, text_model: str, cache: str | None = None, epochs: int = 6, random_state: int = 0
) -> dict[str, dict[str, Any]]:
    """By split: how it was cut, and the rows of `evaluate`. The last fifth of the time is held out, of a log without times a random fifth.

    Raises BadInput where the log is too small to hold a part of it out.
    """
    from whyrec.recommenders.ease import EASE
    from whyrec.recommenders.evaluation import evaluate
    from whyrec.recommenders.neighbours import ItemKNN
    from whyrec.recommenders.popularity import Popularity
    from whyrec.recommenders.two_headed import TwoHeadedRecommender

    timed = dataset.has("time")
    split = split_time(dataset, share=_SHARE) if timed else split_random(dataset, _SHARE, random_state)
    if split.train.interactions.height == 0 or split.test.interactions.height == 0:
        raise BadInput("compare: the log is too small to hold a fifth of it out; fit without the comparison")
    methods: dict[str, Recommender] = {"popularity": Popularity(), "item-kNN": ItemKNN()}
    if dataset.n_items <= _DENSE:
        methods["EASE"] = EASE()
    methods["causal recommender"] = TwoHeadedRecommender(
        text_model=text_model, cache=cache, epochs=epochs, random_state=random_state
    )
    say(f"Comparing with {', '.join(list(methods)[:-1])} on {split.how}")
    for method in methods.values():
        method.fit(split.train)
    table = evaluate(methods, split.train, split.test, random_state=random_state)
    return {"temporal" if timed else "random": {"how": split.how, "methods": table.to_dicts()}}
