"""Interference: tests that find it where it is, and not where it is not."""

import numpy as np
import pytest

from whyrec.decide.interference import peer_effects, slate_competition, spillover_test
from whyrec.errors import BadInput, NoOverlap


def slates(competition: float, seed: int, n: int = 1500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pull = rng.uniform(0.1, 0.9, 20)
    shown = rng.random((n, 20)).argsort(axis=1)[:, :3]
    own = pull[shown]
    rest = own.sum(axis=1, keepdims=True) - own
    chance = np.clip(0.5 * own - competition * (rest - 1.0) + 0.2, 0, 1)
    return (rng.random((n, 3)) < chance).astype(float), shown, pull


def test_competition_is_measured_and_absence_covered() -> None:
    found = [slate_competition(*slates(0.2, k)) for k in range(60)]
    assert np.mean([e.estimate for e in found]) == pytest.approx(-0.2, abs=0.02)
    none = [slate_competition(*slates(0.0, k)) for k in range(300)]
    cover = np.mean([e.covers(0.0) for e in none])
    assert abs(cover - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / 300) + 0.005


def test_slates_that_never_vary_say_nothing() -> None:
    y, shown, pull = slates(0.0, 0)
    with pytest.raises(NoOverlap, match="log slates that vary"):
        slate_competition(y, np.tile([0, 1, 2], (len(y), 1)), pull)
    with pytest.raises(BadInput, match="outside the catalogue"):
        slate_competition(y, shown, pull[:5])
    with pytest.raises(BadInput, match="2 or more positions"):
        slate_competition(y[:, :1], shown[:, :1], pull)


def network(spill: float, seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    edges = np.concatenate([np.column_stack([np.arange(n), (np.arange(n) + 1) % n]), rng.integers(0, n, (n // 2, 2))])
    edges = edges[edges[:, 0] != edges[:, 1]]
    t = (rng.random(n) < 0.3).astype(int)
    met = np.zeros(n)
    for a, b in edges:
        met[a] += t[b]
        met[b] += t[a]
    return edges, t, 1.0 * t + spill * (met > 0) + rng.normal(size=n)


def test_spillover_is_found_and_p_values_are_uniform_without_it() -> None:
    with_it = [spillover_test(*network(1.5, k), 0.3, draws=199, random_state=k).p_value for k in range(40)]
    assert np.mean(np.array(with_it) <= 0.05) > 0.7
    without = np.array([spillover_test(*network(0.0, k), 0.3, draws=199, random_state=k).p_value for k in range(300)])
    assert np.mean(without <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert abs(np.mean(without <= 0.5) - 0.5) <= 3 * np.sqrt(0.25 / 300) + 0.01


def test_direct_and_peer_effects_cover() -> None:
    hits = {"direct": 0, "spill-over": 0}
    for k in range(200):
        found = peer_effects(*network(0.5, k), 0.3)
        hits["direct"] += found["direct"].covers(1.0)
        hits["spill-over"] += found["spill-over"].covers(0.5)
    for count in hits.values():
        assert count / 200 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200) - 0.01


def test_repeated_and_reversed_edges_are_one() -> None:
    edges, t, y = network(0.5, 0)
    one, two = peer_effects(edges, t, y, 0.3), peer_effects(np.concatenate([edges, edges[:, ::-1]]), t, y, 0.3)
    assert one["spill-over"].estimate == pytest.approx(two["spill-over"].estimate)
    assert one["spill-over"].standard_error == pytest.approx(two["spill-over"].standard_error)


def test_bad_networks() -> None:
    edges, t, y = network(0.0, 0)
    none = np.zeros((0, 2), dtype=int)
    for call in (spillover_test, peer_effects):
        with pytest.raises(NoOverlap, match="no two users are linked"):
            call(none, t, y, 0.3)
        with pytest.raises(BadInput, match="above 0 and below 1"):
            call(edges, t, y, 1.0)
        with pytest.raises(BadInput, match="is not among the 400 users"):
            call(edges + 400, t, y, 0.3)
        with pytest.raises(BadInput, match="give 0 and 1"):
            call(edges, t + 0.5, y, 0.3)
        with pytest.raises(BadInput, match="pairs of user codes"):
            call(edges.astype(float), t, y, 0.3)
    with pytest.raises(NoOverlap, match="treat fewer or more"):
        peer_effects(edges, np.zeros(400, dtype=int), y, 0.3)
