"""Rankers by effect on a small market where the effect of every pair is known."""

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.decide.uplift_rankers import UpliftRanker
from whyrec.errors import BadInput
from whyrec.metrics.effect import causal_precision, random_causal_precision


def market(seed: int = 0) -> dict[str, np.ndarray]:
    """Popular items are bought anyway; recommending helps the others, and popular ones are recommended most."""
    generator = np.random.default_rng(seed)
    user, item = (codes.ravel() for codes in np.indices((200, 40)))
    popular = np.linspace(-1.5, 1.5, 40)[item]
    p = 1 / (1 + np.exp(-popular))
    control = 1 / (1 + np.exp(1.5 - popular))
    effect = 0.25 / (1 + np.exp(2 * popular))
    z = (generator.random(len(user)) < p).astype(int)
    y = (generator.random(len(user)) < control + z * effect).astype(float)
    return {"user": user, "item": item, "z": z, "y": y, "p": p, "effect": effect, "popular": popular}


@pytest.mark.parametrize("method", ["DLCE", "DR"])
def test_ranking_by_effect_is_not_ranking_by_popularity(method: str) -> None:
    m = market()
    model = DoCalib(propensity="logistic", outcome="logistic").fit(
        m["popular"][:, None], m["z"], m["y"], clusters=m["user"]
    )
    ranker = UpliftRanker(method, factors=0).fit(m["user"], m["item"], m["z"], m["y"], propensity=m["p"], model=model)
    score = ranker.score(m["user"], m["item"])
    ours = causal_precision(score, m["effect"], m["user"])
    random = random_causal_precision(m["effect"], m["user"])
    assert ours > 1.3 * random > random > causal_precision(m["popular"], m["effect"], m["user"])
    again = UpliftRanker(method, factors=0).fit(m["user"], m["item"], m["z"], m["y"], propensity=m["p"], model=model)
    np.testing.assert_array_equal(again.score(m["user"], m["item"]), score)


def test_ulrmf_takes_recommended_purchases_for_positive() -> None:
    m = market()
    ranker = UpliftRanker("ULRMF", factors=0).fit(m["user"], m["item"], m["z"], m["y"])
    score = ranker.score(np.zeros(40, dtype=int), np.arange(40))
    rate = np.bincount(m["item"], weights=m["z"] * m["y"])
    assert np.corrcoef(score, rate)[0, 1] > 0.95


def test_what_is_missing_is_asked_for() -> None:
    m = market()
    rows = m["user"], m["item"], m["z"]
    with pytest.raises(BadInput, match="pass propensity"):
        UpliftRanker("DLCE").fit(*rows, m["y"])
    with pytest.raises(BadInput, match="pass model"):
        UpliftRanker("DR").fit(*rows, m["y"])
    with pytest.raises(BadInput, match="0 and 1"):
        UpliftRanker("ULRMF").fit(*rows, m["y"] + 0.5)
    with pytest.raises(BadInput, match="no method"):
        UpliftRanker("X").fit(*rows, m["y"])
