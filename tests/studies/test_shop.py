"""The studies of the shop on planted effects, and how they hold their graph against the data.

What they find on the real log is looked at where it is made anyway, in test_demo.py.
"""

from whyrec.studies.shop import campaign_effect, discount_effect
from whyrec.studies.shop_world import campaigning_shop, discounted_shop


def test_planted_effects_are_found_by_the_whole_study() -> None:
    tables, truth = discounted_shop(seed=3)
    study = discount_effect(tables)
    assert study.effect.covers(truth)
    campaign = campaign_effect(campaigning_shop(2.0))
    assert campaign.naive.estimate > 3.5
    assert abs(campaign.effect.estimate - 2.0) < 0.25 * (campaign.naive.estimate - 2.0)


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
