import json
from functools import cache

import pytest

from whyrec.studies.shop import EffectStudy, campaign_effect, discount_effect
from whyrec.studies.shop_world import campaigning_shop, discounted_shop


@cache
def discounts() -> EffectStudy:
    return discount_effect()


@cache
def campaigns() -> EffectStudy:
    return campaign_effect()


def test_a_discount_sells_more_and_the_interval_excludes_nothing_happening() -> None:
    study = discounts()
    assert study.effect.interval[0] > 0
    assert study.effect.estimate == pytest.approx(study.alternatives["estimate"][0], rel=0.25)


def test_ways_to_treat_unseen_weeks_agree_where_they_allow_for_them() -> None:
    relative = discounts().alternatives.filter(kind="allows")["relative"]
    assert relative.max() < 1.5 * relative.min()  # type: ignore[operator]
    worst = discounts().alternatives.filter(kind="worst").sort("estimate")
    assert worst["high"][0] < 0 < worst["low"][1]
    assert "The sign does not hang on the choice, the size does" in discounts().conclusion


def test_a_campaign_is_not_credited_with_what_was_there_before() -> None:
    study = campaigns()
    assert study.check is not None
    assert abs(study.effect.estimate) < 0.1 * study.naive.estimate
    before = study.alternatives.filter(window="before it starts", method="naive difference")["estimate"]
    assert before.min() > 3  # type: ignore[operator]
    found_before = not study.check.covers(0.0)
    assert ("no effect of this size can be credited" in study.conclusion) == found_before


def test_planted_effects_are_found_by_the_whole_study() -> None:
    tables, truth = discounted_shop(seed=3)
    study = discount_effect(tables)
    assert study.effect.covers(truth)
    campaign = campaign_effect(campaigning_shop(2.0))
    assert campaign.naive.estimate > 3.5
    assert abs(campaign.effect.estimate - 2.0) < 0.25 * (campaign.naive.estimate - 2.0)


@pytest.mark.parametrize("study", [discounts, campaigns])
def test_a_study_speaks_and_becomes_json(study: object) -> None:
    result: EffectStudy = study()  # type: ignore[operator]
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert {
        "question",
        "graph",
        "unmeasured",
        "naive",
        "effect",
        "alternatives",
        "refutations",
        "sensitivity",
        "conclusion",
    } <= set(told)
    assert "panel" not in told
    assert result.question in repr(result)
    assert (
        f"{result.naive.diagnostics['mean_treated']:.2f}" in result.why_naive_misleads
        or "dollars" in result.why_naive_misleads
    )
    assert result.effect.n > 500


def test_the_graph_is_held_against_one_row_of_each_cluster() -> None:
    """A planted dependence between two nodes that the graph keeps apart is rejected, and noise is not."""
    import numpy as np
    import polars as pl

    from whyrec.studies.panel import Panel
    from whyrec.studies.shop import _graph_checks

    random = np.random.default_rng(0)
    season = random.normal(size=4_000)
    columns = {"season": season, "price": random.normal(size=4_000), "traffic": season + random.normal(size=4_000)}
    frame = pl.DataFrame({**columns, "treatment": random.integers(0, 2, 4_000), "outcome": random.normal(size=4_000)})
    frame = frame.with_columns(unit=pl.int_range(4_000) // 4, weight=pl.lit(1.0))
    panel = Panel.from_frame(frame, list(columns), "unit", "units")
    names = {name: name for name in columns}
    checks = _graph_checks("season -> price; price -> other; traffic -> other", "hidden -> other", panel, names, 0)
    verdicts = {frozenset((row["a"], row["b"])): row["verdict"] for row in checks.to_dicts()}
    assert verdicts[frozenset(("season", "traffic"))] == "rejected"
    assert verdicts[frozenset(("price", "traffic"))] == "holds"
