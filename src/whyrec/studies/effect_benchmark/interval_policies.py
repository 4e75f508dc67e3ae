"""Designs of `intervals`: values of a policy by each estimator, tails, slates, prices, embeddings, looks at every round, and neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from whyrec.decide.interference import peer_effects, slate_competition
from whyrec.decide.off_policy.continuous import ContinuousMethod, continuous_value
from whyrec.decide.off_policy.distribution import cvar, quantile
from whyrec.decide.off_policy.loggers import weighted_value
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.off_policy.sequences import bernstein_sequence, normal_mixture_sequence
from whyrec.decide.off_policy.slates import slate_values
from whyrec.decide.off_policy.value import off_policy_values, terms_of, weights_of
from whyrec.errors import NoOverlap
from whyrec.studies.effect_benchmark.held import Held, of_ends, of_estimate

_TARGET, _RATES = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.8, 1.2])


def policies(rng: np.random.Generator) -> Iterator[Held]:
    """Clicks of three actions, rewards by a target that prefers the rarest: 3,000 rounds, and 400 with rare clicks; losses with a tail."""
    for rows, logging, rate in ((3_000, np.array([0.5, 0.3, 0.2]), 0.3), (400, np.array([0.7, 0.2, 0.1]), 0.05)):
        a = rng.choice(3, rows, p=logging)
        y = (rng.random(rows) < rate * _RATES[a]).astype(float)
        truth, q = rate * float(_TARGET @ _RATES), rate * np.array([0.7, 0.7, 1.0])
        log = Rounds.of(
            y, logging[a], _TARGET[a], predicted_logged=q[a], predicted_target=np.full(rows, float(_TARGET @ q)),
            marginal_weight=(_TARGET @ [1, 1, 0] / (logging @ [1, 1, 0]) * (a < 2) + _TARGET[2] / logging[2] * (a == 2)),
        )  # fmt: skip
        for name, found in off_policy_values(log, random_state=int(rng.integers(1 << 30))).items():
            if found.has_interval and name not in ("naive", "MIPS", "SNMIPS", "OffCEM"):
                yield of_estimate(f"policy value by {name}, {rows:,} rounds, clicks of {rate:.0%}", found, truth)
    logging = np.array([0.6, 0.3, 0.1])
    a = rng.choice(3, 1_000, p=logging)
    y = rng.lognormal(-0.5, 1, 1_000) * _RATES[a]
    log = Rounds.of(y, logging[a], _TARGET[a])
    for name in ("IPS", "SNIPS"):
        found = off_policy_values(log, [name], random_state=int(rng.integers(1 << 30)))[name]
        yield of_estimate(f"policy value by {name}, 1,000 rounds, lognormal rewards", found, float(_TARGET @ _RATES))


def embeddings(rng: np.random.Generator) -> Iterator[Held]:
    """100 actions of ten kinds, whose reward is their kind's: by the embedding's weights, 2,000 rounds and 300."""
    kind = np.arange(100) % 10
    rate = 0.1 + 0.04 * np.arange(10)
    logging, target = (scale / scale.sum() for scale in (1.0 + (kind < 5), 1.0 + 2 * (kind >= 5)))
    cells = [np.bincount(kind, weights=chance) for chance in (logging, target)]
    for rows in (2_000, 300):
        a = rng.choice(100, rows, p=logging)
        y = (rng.random(rows) < rate[kind[a]]).astype(float)
        log = Rounds.of(
            y, logging[a], target[a], predicted_logged=np.full(rows, 0.25), predicted_target=np.full(rows, 0.25),
            marginal_weight=(cells[1] / cells[0])[kind[a]],
        )  # fmt: skip
        for name, found in off_policy_values(log, ["MIPS", "OffCEM"], random_state=int(rng.integers(1 << 30))).items():
            yield of_estimate(f"policy value by {name}, {rows:,} rounds", found, float(cells[1] @ rate))


def tails(rng: np.random.Generator) -> Iterator[Held]:
    """Quantiles and tail means: normal outcomes, 2,000 rounds; lognormal ones, 200 rounds, a target that the log seldom took."""
    from scipy.special import ndtr, ndtri
    from scipy.stats import norm

    logging, target = np.array([0.7, 0.3]), np.array([0.2, 0.8])
    a = (rng.random(2_000) < 0.3).astype(int)
    log = Rounds.of(rng.normal(size=2_000), logging[a], target[a])
    z = float(ndtri(0.9))
    for part, found, truth in (
        ("median", quantile(log, 0.5), 0.0), ("10% quantile", quantile(log, 0.1), -z),
        ("mean of the worst tenth", cvar(log, 0.1), -float(norm.pdf(z)) / 0.1),
    ):  # fmt: skip
        yield of_estimate(f"{part}, normal outcomes, 2,000 rounds", found, truth)
    chance = np.array([0.9, 0.1])
    a = (rng.random(200) < 0.1).astype(int)
    if not a.any():
        return
    log = Rounds.of(rng.lognormal(0, 1, 200), chance[a], target[a])
    for part, found, truth in (
        ("median", quantile(log, 0.5), 1.0), ("10% quantile", quantile(log, 0.1), float(np.exp(-z))),
        ("mean of the worst tenth", cvar(log, 0.1), float(np.exp(0.5) * ndtr(-z - 1)) / 0.1),
        ("mean of the best tenth", cvar(log, 0.1, upper=True), float(np.exp(0.5) * (1 - ndtr(z - 1))) / 0.1),
    ):  # fmt: skip
        yield of_estimate(f"{part}, lognormal outcomes, 200 rounds worth about 25", found, truth)


def slates(rng: np.random.Generator) -> Iterator[Held]:
    """Slates of three positions of four items each: clicks of 20% in 1,000 slates, of 2% in 300."""
    logging, target = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    worth = np.array([0.5, 0.75, 1.0, 1.5])
    for rows, rate in ((1_000, 0.2), (300, 0.02)):
        shown = rng.choice(4, (rows, 3), p=logging)
        y = (rng.random((rows, 3)) < rate * worth[shown]).astype(float)
        truth = 3 * rate * float(target @ worth)
        left = rate * float(target @ worth) * np.arange(2, -1, -1)
        predicted = 0.8 * rate * worth[shown] + left
        every = np.tile(0.8 * rate * float(target @ worth) + left, (rows, 1))
        found = slate_values(y, logging[shown], target[shown], predicted_logged=predicted, predicted_target=every)
        for name, value in found.items():
            yield of_estimate(f"slates by {name}, {rows:,} of 3 positions, clicks of {rate:.0%}", value, truth)


def prices(rng: np.random.Generator) -> Iterator[Held]:
    """Uniform prices on [0, 2], a reward that peaks at the context's price, a target .2 below it: 2,000 rounds, and 300."""
    methods: tuple[ContinuousMethod, ...] = ("kernel IPS", "kernel SNIPS", "kernel DR")
    for rows in (2_000, 300):
        x, a = rng.uniform(0.5, 1.5, rows), rng.uniform(0, 2, rows)
        y, target = 1 - (a - x) ** 2 + 0.2 * rng.normal(size=rows), x - 0.2
        q, v = (0.9 - 0.5 * (point - 1) ** 2 for point in (a, target))
        for name in methods:
            found = continuous_value(
                y, a, np.full(rows, 0.5), target, method=name, bounds=(0, 2), predicted_logged=q, predicted_target=v
            )
            yield of_estimate(f"prices by {name}, {rows:,} rounds", found, 0.96)


def loggers(rng: np.random.Generator) -> Iterator[Held]:
    """Two loggers put together by precision: 1,000 rounds of each; 100 of each, rare clicks, the one far from the target."""
    target, worth = np.array([0.1, 0.3, 0.6]), np.array([0.4, 1.0, 1.4])
    for rows, rate, near in ((1_000, 0.4, 0.2), (100, 0.1, 0.05)):
        chances = np.array([[0.9 - near, 0.1, near], [0.05, 0.15, 0.8]])
        who = np.repeat([0, 1], rows)
        a = (rng.random((2 * rows, 1)) > np.cumsum(chances[who], axis=1)).sum(axis=1).clip(0, 2)
        y = (rng.random(2 * rows) < rate * worth[a]).astype(float)
        found = weighted_value(Rounds.of(y, chances[who, a], target[a]), who)
        yield of_estimate(f"two loggers by precision, {rows:,} rounds each, clicks of {rate:.0%}", found, rate * float(target @ worth))


def looks(rng: np.random.Generator, rows: int = 3_000) -> Iterator[Held]:
    """The value of a policy watched at every round from the 300th on: held is held at all of them."""
    logging = np.array([0.5, 0.3, 0.2])
    for rate in (0.3, 0.02):
        a = rng.choice(3, rows, p=logging)
        log = Rounds.of((rng.random(rows) < rate * _RATES[a]).astype(float), logging[a], _TARGET[a])
        terms, truth = terms_of("IPS", log, weights_of("IPS", log)), rate * float(_TARGET @ _RATES)
        for name, found in (
            ("normal mixture", normal_mixture_sequence(terms.b + terms.a, tightest_at=300)),
            ("empirical Bernstein", bernstein_sequence(log)),
        ):  # fmt: skip
            low, high = float(found.low[299:].max()), float(found.high[299:].min())
            yield of_ends(f"{name} sequence at all looks, clicks of {rate:.0%}", (low, high), truth)


def neighbours(rng: np.random.Generator) -> Iterator[Held]:
    """Users who are each other's neighbours, treated by a coin of 20%: 1,000 in a ring of four links each, and 120 with hubs."""
    for users, hubs in ((1_000, False), (120, True)):
        own = np.arange(users)
        links = np.concatenate([np.column_stack([own, (own + step) % users]) for step in (1, 2)])
        if hubs:
            links = np.concatenate([links[:users], np.column_stack([own, rng.integers(0, 6, users)])])
            links = links[links[:, 0] != links[:, 1]]
        t = (rng.random(users) < 0.2).astype(float)
        met = np.zeros(users)
        np.add.at(met, links[:, 0], t[links[:, 1]])
        np.add.at(met, links[:, 1], t[links[:, 0]])
        shock = rng.normal(size=users)
        y = t + 0.5 * (met > 0) + shock + 0.5 * np.roll(shock, 1)
        try:
            effects = peer_effects(links, t, y, 0.2)
        except NoOverlap:  # refused, and told
            continue
        for name, found in effects.items():
            words = f"{name} effect among neighbours, {users:,} users{' with hubs' if hubs else ''}"
            yield of_estimate(words, found, 1.0 if name == "direct" else 0.5)


def competition(rng: np.random.Generator) -> Iterator[Held]:
    """What the attraction of the rest of a slate does to a position: 500 slates, and 40."""
    pull = np.linspace(0.1, 0.9, 10)
    for rows in (500, 40):
        items = np.argsort(rng.random((rows, 10)), axis=1)[:, :3]
        rest = pull[items].sum(axis=1, keepdims=True) - pull[items]
        y = pull[items] - 0.3 * rest + 0.5 * rng.normal(size=(rows, 1)) + rng.normal(size=(rows, 3))
        yield of_estimate(f"competition within {rows} slates", slate_competition(y, items, pull), -0.3)
