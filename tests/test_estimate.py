"""Estimates: the Wald interval against closed forms, clusters, and what becomes of NaN in JSON."""

import json
import math

import numpy as np
import pytest

from whyrec.estimate import Estimate, clustered_error, jsonable, normal_quantile


def from_sample(values, **options):
    return Estimate.from_influence(values.mean(), values - values.mean(), estimand="mean", method="mean", **options)


def test_interval_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    estimate = from_sample(values)
    error = values.std(ddof=1) / math.sqrt(400)
    assert estimate.standard_error == pytest.approx(error)
    low, high = values.mean() - 1.965927 * error, values.mean() + 1.965927 * error  # Student's, 399 degrees
    assert estimate.interval == pytest.approx((low, high), rel=1e-6)
    assert estimate.n == 400


def test_level_widens_the_interval():
    values = np.random.default_rng(0).normal(size=100)
    narrow, wide = from_sample(values, level=0.8), from_sample(values, level=0.99)
    ratio = (wide.interval[1] - wide.interval[0]) / (narrow.interval[1] - narrow.interval[0])
    assert ratio == pytest.approx(2.6264 / 1.2902, rel=1e-3)  # Student's, 99 degrees
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)


def test_copies_of_a_row_in_one_cluster_add_no_certainty():
    values = np.random.default_rng(1).normal(size=200)
    single = from_sample(values)
    copied = from_sample(np.repeat(values, 5), clusters=np.repeat(np.arange(200), 5))
    naive = from_sample(np.repeat(values, 5))
    assert copied.standard_error == pytest.approx(single.standard_error)
    assert copied.n == 200
    assert naive.standard_error < 0.5 * single.standard_error


def test_cluster_labels_may_be_text_in_any_order():
    values = np.random.default_rng(2).normal(size=60)
    codes = np.random.default_rng(3).integers(12, size=60)
    by_number = from_sample(values, clusters=codes)
    by_text = from_sample(values, clusters=np.array([f"user {code}" for code in codes]))
    assert by_text.standard_error == pytest.approx(by_number.standard_error)


def test_one_unit_has_no_finite_standard_error():
    estimate = from_sample(np.array([1.0, 2.0, 3.0]), clusters=np.zeros(3))
    assert not math.isfinite(estimate.standard_error)
    assert json.loads(json.dumps(estimate.to_dict(), allow_nan=False))["interval"] == [None, None]


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(800):
        shared = np.repeat(rng.normal(size=50), 4)
        covered += from_sample(1.0 + shared + rng.normal(size=200), clusters=np.repeat(np.arange(50), 4)).covers(1.0)
    assert 0.92 <= covered / 800 <= 0.97  # three binomial standard errors around 0.945


def test_dictionary_and_frame_hold_the_same_numbers():
    estimate = from_sample(
        np.arange(10.0), assumptions=("a",), diagnostics={"x": np.float64(np.nan), "y": np.arange(2)}
    )
    content = estimate.to_dict()
    row = estimate.to_frame().row(0, named=True)
    assert content["interval"] == [row["low"], row["high"]]
    assert content["estimate"] == row["estimate"] == 4.5
    assert content["diagnostics"] == {"x": None, "y": [0, 1]}
    assert content["assumptions"] == ["a"]
    assert "4.5 [" in repr(estimate)


def test_jsonable_turns_everything_into_what_json_knows():
    value = {1: (np.int64(3), np.bool_(True), {np.float32(0.5)}), "bad": [math.inf, -math.inf, math.nan, None, "text"]}
    assert jsonable(value) == {"1": [3, True, [0.5]], "bad": [None, None, None, None, "text"]}
    json.dumps(jsonable(value), allow_nan=False)


def test_two_groupings_cover_where_one_does_not() -> None:
    """A mean over users x items with a shock of each: by user alone the shared items are not seen."""
    draws, users, items = 500, 60, 40
    random = np.random.default_rng(0)
    user, item = (codes.ravel() for codes in np.indices((users, items)))
    found = {"user": 0, "both": 0}
    for _ in range(draws):
        values = random.normal(size=users)[user] + random.normal(size=items)[item] + random.normal(size=users * items)
        for name, clusters in (("user", user), ("both", np.column_stack([user, item]))):
            estimate = Estimate.from_influence(
                float(values.mean()), values - values.mean(), estimand="mean", method="mean", clusters=clusters
            )
            found[name] += estimate.covers(0.0)
    slack = 3 * np.sqrt(0.95 * 0.05 / draws)
    assert found["user"] / draws < 0.85
    assert abs(found["both"] / draws - 0.95) < slack


def test_two_groupings_by_hand() -> None:
    """Influence 1, -1, 1, -1 in users a, a, b, b and items x, y, x, y: users sum to 0, items to 2 and -2."""
    influence = np.array([1.0, -1.0, 1.0, -1.0])
    clusters = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    error, units, degrees, _ = clustered_error(influence, clusters)
    # By item: sums 2 and -2, spread sqrt(8) sqrt(2) / 4 = 1; by user 0; crossing sqrt(4) sqrt(4/3) / 4; at least either.
    assert error == pytest.approx(1.0)
    assert (units, degrees) == (2, pytest.approx(1.0))
    assert clustered_error(influence, clusters[:, 0])[0] == pytest.approx(0.0)


@pytest.mark.parametrize("sizes", [[10, 10, 10, 10, 10], [1, 2, 30, 4, 5], [7, 3]])
def test_degrees_of_freedom_are_those_of_the_quadratic_form(sizes: list[int]) -> None:
    """tr(M)^2 / tr(M^2) of the matrix itself, and the textbook's one less than the number where clusters are equal."""
    n = np.array(sizes, dtype=float)
    w = n / n.sum()
    b = n / np.sqrt(1 - 2 * w + w @ w)
    form = np.outer(b, b) * (np.eye(len(w)) - w[:, None] - w[None, :] + w @ w)
    found = clustered_error(np.arange(n.sum()), np.repeat(np.arange(len(n)), sizes))
    assert found.degrees == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))
    if len(set(sizes)) == 1:
        assert found.degrees == pytest.approx(len(sizes) - 1)


@pytest.mark.parametrize(("units", "alike"), [(5, True), (12, True), (12, False)])
def test_few_clusters_cover_and_say_that_they_are_few(units: int, alike: bool) -> None:
    """A mean said at .95 covered .891 with 5 clusters and .924 with 12 by the normal quantile."""
    rng, draws, covered = np.random.default_rng(17), 1_000, 0
    for _ in range(draws):
        sizes = np.full(units, 10) if alike else np.ceil(10 * rng.lognormal(0, 1, units)).astype(int)
        group = np.repeat(np.arange(units), sizes)
        values = rng.normal(size=units)[group] + rng.normal(size=len(group))
        found = from_sample(values, clusters=group)
        covered += found.covers(0.0)
        assert any("clusters" in words for words in found.warnings)
    assert covered / draws >= 0.93
    assert not from_sample(rng.normal(size=100), clusters=np.arange(100)).warnings


def test_an_estimate_without_interval_says_so_everywhere() -> None:
    found = from_sample(np.arange(10.0)).without_interval("nobody knows it")
    assert "(no interval)" in repr(found) and "nobody knows it" in found.assumptions[-1]
    assert found.to_dict()["interval"] == [None, None] and found.to_dict()["standard_error"] is None


def test_what_cannot_be_is_cut_off() -> None:
    found = from_sample(np.array([0.0, 0.0, 1.0])).within((0.0, 1.0))
    assert found.interval[0] == 0.0 and found.interval[1] <= 1.0


def test_an_interval_beyond_what_is_possible_says_that_nothing_is_known():
    """Clicks worth two rounds were said to be 1 [1, 1]."""
    odd = Estimate(14.9, (1.2, 28.0), 7.0, 1_000, "mean", "IPS").within((0.0, 1.0))
    assert odd.estimate == 1 and odd.interval == (0.0, 1.0) and "beyond what is possible" in odd.warnings[0]
    cut = Estimate(0.9, (0.7, 1.1), 0.1, 100, "mean", "IPS").within((0.0, 1.0))
    assert cut.interval == (0.7, 1.0) and not cut.warnings
    assert cut.diagnostics["cut_off"] and "cut_off" not in Estimate(0.5, (0.4, 0.6), 0.1, 100, "mean", "IPS").within((0.0, 1.0)).diagnostics
