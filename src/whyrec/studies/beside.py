"""The recommender of a log beside simple ones, on the last part of the log: the table that a fitted model keeps."""

from __future__ import annotations

from typing import Any

from whyrec.data.dataset import Dataset
from whyrec.data.split import split_random, split_time
from whyrec.errors import BadInput
from whyrec.progress import say
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.catalogue import ranker

_SHARE = 0.2


def beside_baselines(dataset: Dataset, ranker_of_model: Recommender, random_state: int = 0) -> dict[str, dict[str, Any]]:
    """By split: how it was cut, and the rows of `evaluate`. The last fifth of the time is held out, of a log without times a random fifth.

    ranker_of_model: unfitted; "causal recommender" in the table.

    Raises BadInput where the log is too small to hold a part of it out.
    """
    from whyrec.recommenders.evaluation import evaluate

    timed = dataset.has("time")
    split = split_time(dataset, share=_SHARE) if timed else split_random(dataset, _SHARE, random_state)
    if split.train.interactions.height == 0 or split.test.interactions.height == 0:
        raise BadInput("compare: the log is too small to hold a fifth of it out; fit without the comparison")
    rows = (ranker(name) for name in ("popularity", "item-kNN", "EASE"))
    methods = {row.name: row.make() for row in rows if row.most_items is None or dataset.n_items <= row.most_items}
    methods = {name: method for name, method in methods.items() if type(method) is not type(ranker_of_model)}
    methods["causal recommender"] = ranker_of_model
    say(f"Comparing with {', '.join(list(methods)[:-1])} on {split.how}")
    for method in methods.values():
        method.fit(split.train)
    table = evaluate(methods, split.train, split.test, random_state=random_state)
    return {"temporal" if timed else "random": {"how": split.how, "methods": table.to_dicts()}}
