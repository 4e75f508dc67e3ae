"""Debiasing: each remedy by hand, and on a log whose planted liking is known, against the plain loss."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.data.simulate_choices import ConfoundedChoices, confounded_choices
from whyrec.errors import BadInput
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.debias import (
    Debias,
    EventStages,
    event_stages,
    event_weights,
    item_propensities,
    with_forecast,
)
from whyrec.recommenders.factorisation import BPR, ImplicitALS
from whyrec.recommenders.lightgcn import LightGCN


def log_of(items: list[int], **more: list[float]) -> Dataset:
    days = [datetime(2024, 1, 1) + timedelta(days=d) for d in range(len(items))]
    roles = {role: role for role in more}
    frame = pl.DataFrame({"user": range(len(items)), "item": items, "time": days, **more})
    return Dataset.build(frame, Schema(time="time", **roles))


def test_popularity_weights_by_hand() -> None:
    # Items 0, 0, 0, 0, 1: propensities 1 and (1/4)^(1/2) = 1/2; weights 1, 1, 1, 1, 2 over their mean 6/5.
    assert item_propensities(np.array([4, 1, 0])) == pytest.approx([1, 0.5, np.sqrt(0.125)])
    assert event_weights(log_of([0, 0, 0, 0, 1])) == pytest.approx(np.array([1, 1, 1, 1, 2]) * 5 / 6)


def test_logged_propensities_are_used_and_clipped() -> None:
    weight = event_weights(log_of([0, 1, 2], propensity=[0.5, 0.5, 0.001]))
    # .001 is raised to a tenth of the median, .05: weights 2, 2, 20.
    assert weight == pytest.approx(np.array([2, 2, 20]) / 8)
    with pytest.raises(BadInput, match=r"propensity 0.0 in row 2 is not in \(0, 1\]"):
        event_weights(log_of([0, 1], propensity=[0.5, 0.0]))


def test_logged_propensities_are_calibrated_against_the_treatment() -> None:
    generator = np.random.default_rng(0)
    truth = generator.choice([0.2, 0.8], 4000)
    shown = (generator.random(4000) < truth).astype(float)
    stated = np.where(truth == 0.2, 0.05, 0.5)
    log = log_of(list(range(4000)), propensity=stated.tolist(), treatment=shown.tolist())
    weight = event_weights(log)
    assert weight[truth == 0.2][0] / weight[truth == 0.8][0] == pytest.approx(4, rel=0.15)


def test_stages_by_hand() -> None:
    stages = event_stages(log_of([0, 0, 0, 1, 1, 1, 1, 0]), stages=2)
    assert stages.stage.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert stages.popularity == pytest.approx(np.array([[1, 1 / 3], [1 / 3, 1]]), abs=1e-6)
    # Trend: 1/3 - 1/3 = 0, floored at a third; 1 + 1/3, capped at 1.
    assert stages.forecast == pytest.approx([1 / 3, 1], abs=1e-6)
    flat = event_stages(Dataset.build(pl.DataFrame({"user": [0, 1], "item": [0, 0]}), Schema()))
    assert flat.popularity.tolist() == [[1.0]]


def test_pd_and_pda_by_hand() -> None:
    popularity = np.array([[1, 0.25]], dtype=np.float32)
    debias = Debias("pd", 0.5, EventStages(np.zeros(1, np.int64), popularity, popularity[0]))
    scores, items, stage = torch.tensor([[2.0, -1.0]]), torch.tensor([[1, 0]]), torch.tensor([0])
    assert debias.adjusted(scores, items, stage)[0].tolist() == pytest.approx([3 * 0.5, np.exp(-1)], rel=1e-6)
    ranked = with_forecast(np.array([[2, -1]], dtype=np.float32), np.array([0.5, 1], dtype=np.float32))
    assert ranked[0] == pytest.approx([1.5, np.exp(-1)], rel=1e-6)


def test_macr_by_hand() -> None:
    debias = Debias("macr", 3.0, width=1)
    with torch.no_grad():
        for layer, weight in ((debias.item_alone, 2.0), (debias.user_alone, 1.0)):
            layer.weight.fill_(weight)
            layer.bias.zero_()
    sigma = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    user, item = debias.user_logit(torch.tensor([[0.5]])), debias.item_logit(torch.tensor([[[1.0], [-1.0]]]))
    adjusted = debias.adjusted(torch.tensor([[4.0, 5.0]]), torch.zeros(1, 2), torch.zeros(1), user, item)
    assert adjusted[0].tolist() == pytest.approx([4 * sigma(2) * sigma(0.5), 5 * sigma(-2) * sigma(0.5)], rel=1e-5)
    own = (-np.log(sigma(2)) * 2) / 2 + (-np.log(sigma(0.5)) - np.log(1 - sigma(0.5))) / 2
    assert float(debias.extra(user, item).detach()) == pytest.approx(0.1 * own, rel=1e-5)
    scale, level = debias.item_factors(torch.tensor([[1.0]]))
    # (s - c) sigma(y_i) = scale s + level.
    assert scale[0] * 7 + level[0] == pytest.approx((7 - 3) * sigma(2), rel=1e-5)


@pytest.fixture(scope="module")
def confounded() -> list[ConfoundedChoices]:
    return [confounded_choices(n_users=200, n_items=100, choices=30, random_state=seed) for seed in range(2)]


def recovered(logs: list[ConfoundedChoices], model: Recommender) -> np.ndarray:
    lists = [model.fit(log.dataset).recommend(np.arange(200), 10)[0] for log in logs]
    return np.array([log.recovered(found) for log, found in zip(logs, lists, strict=True)])


def plain_bpr(**settings: object) -> BPR:
    # Weights of strength 0 are all 1: the plain loss by the same descent.
    given = {"debias": "ips", "debias_strength": 0.0} | settings
    return BPR(8, learning_rate=0.03, regularisation=1e-3, iterations=20, batch_size=1024, **given)


def lightgcn(**settings: object) -> LightGCN:
    return LightGCN(8, 1, epochs=30, learning_rate=0.03, batch_size=1024, **settings)


@pytest.mark.parametrize("make", [plain_bpr, lightgcn])
def test_each_remedy_recovers_the_liking_better(make, confounded: list[ConfoundedChoices]) -> None:
    plain = recovered(confounded, make())
    for settings in ({"debias": "ips"}, {"debias": "pd"}, {"debias": "macr"}):
        better = recovered(confounded, make(**{"debias_strength": None} | settings))
        assert (better > plain + 0.03).all(), (settings, plain, better)


def test_weighted_least_squares_recover_the_liking_better(confounded: list[ConfoundedChoices]) -> None:
    plain, better = (recovered(confounded, ImplicitALS(8, 1.0, debias=kind)) for kind in ("none", "ips"))
    assert (better > plain + 0.03).all()


def test_pda_leverages_popularity_where_pd_removes_it(confounded: list[ConfoundedChoices]) -> None:
    """PDA's lists hold more of what everybody will see, PD's more of what the user likes."""
    log = confounded[0]
    removed, leveraged = (
        lightgcn(debias=kind).fit(log.dataset).recommend(np.arange(200), 10)[0] for kind in ("pd", "pda")
    )
    seen = np.log(log.exposure)
    assert seen[leveraged].mean() > seen[removed].mean() + 0.1
    assert log.recovered(removed) > log.recovered(leveraged)


def test_refusals() -> None:
    data = log_of([0, 1, 0])
    with pytest.raises(BadInput, match="debias is one of none, ips, pd, pda, macr, not 'dice'"):
        LightGCN(debias="dice").fit(data)
    with pytest.raises(BadInput, match="debias_strength"):
        BPR(debias="ips", debias_strength=-1.0).fit(data)
    with pytest.raises(BadInput, match="debias is none or ips"):
        ImplicitALS(debias="pd").fit(data)
    with pytest.raises(BadInput, match="needs the popularity"):
        Debias("pd")
    with pytest.raises(BadInput, match="choices must lie"):
        confounded_choices(choices=500)
