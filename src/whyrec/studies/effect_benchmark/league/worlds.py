"""Worlds of the league: logs whose average effect is known, in families that differ in kind.

Each world draws features (n, d), the true chance e(x) of treatment and the true means mu_0(x), mu_1(x); the league draws
treatment and outcome. Half of the worlds are for choosing designs (`role` "design"), half only for judging them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from whyrec.cause.glm import expit
from whyrec.estimate import FloatArray, IntArray

if TYPE_CHECKING:
    from whyrec.data.simulate import World as ShopWorld

Role = Literal["design", "judge"]
Noise = Literal["normal", "binary", "lognormal", "student", "spend"]
Surface = tuple[FloatArray, FloatArray, FloatArray, FloatArray]  # features, e, mu_0, mu_1
_TRUTH_ROWS = 400_000


@dataclass(frozen=True)
class Draw:
    """One log: features (n, d), treatment, outcome (n,), what is true of each row, and clusters (n,) or None."""

    features: FloatArray
    treatment: IntArray
    outcome: FloatArray
    propensity: FloatArray
    means: FloatArray
    clusters: IntArray | None = None

    @property
    def effects(self) -> FloatArray:
        """True effect of each row, (n,)."""
        result: FloatArray = self.means[:, 1] - self.means[:, 0]
        return result

    @property
    def oracle_scores(self) -> FloatArray:
        """Doubly robust scores of the effect under the true nuisances, (n,)."""
        arm, rows = self.treatment, np.arange(len(self.treatment))
        weight = np.where(arm == 1, 1 / self.propensity, -1 / (1 - self.propensity))
        result: FloatArray = self.effects + weight * (self.outcome - self.means[rows, arm])
        return result


@dataclass(frozen=True)
class World:
    """A family of logs. surface: (rows, generator) -> features, e, mu_0, mu_1; noise: of the outcome about its mean; clustered: rows a
    cluster with a shock of their own (0: independent rows)."""

    name: str
    family: str
    role: Role
    surface: Callable[[int, np.random.Generator], Surface]
    noise: Noise = "normal"
    clustered: int = 0

    def draw(self, rows: int, seed: tuple[int, ...]) -> Draw:
        """A log of about `rows` rows; the same seed gives the same log."""
        generator = np.random.default_rng([_code(self.name), *seed])
        x, e, m0, m1 = self.surface(rows, generator)
        n = len(x)
        clusters = None
        shock = np.zeros(n)
        if self.clustered:
            clusters = np.arange(n) // self.clustered
            shock = 0.7 * generator.normal(size=int(clusters[-1]) + 1)[clusters]
        a = (generator.random(n) < e).astype(np.int64)
        mean = np.where(a == 1, m1, m0)
        return Draw(x, a, self._outcome(mean, shock, generator), e, np.column_stack([m0, m1]), clusters)

    @property
    def truth(self) -> float:
        """The average effect in the population."""
        return _truth(self.name)

    def _outcome(self, mean: FloatArray, shock: FloatArray, generator: np.random.Generator) -> FloatArray:
        n = len(mean)
        if self.noise == "binary":
            return (generator.random(n) < mean).astype(np.float64)
        if self.noise == "lognormal":
            return mean * generator.lognormal(-0.5, 1.0, n)
        if self.noise == "spend":  # 70% zeros, the rest lognormal, of the given mean
            return np.where(generator.random(n) < 0.3, mean / 0.3 * generator.lognormal(-0.32, 0.8, n), 0.0)
        draw = generator.standard_t(3, n) if self.noise == "student" else generator.normal(size=n)
        return mean + shock + draw


def _code(name: str) -> int:
    return int.from_bytes(name.encode(), "little") % (2**63)


@cache
def _truth(name: str) -> float:
    """Mean effect over many rows drawn apart from every log; of real covariates over all of them."""
    _, _, m0, m1 = WORLDS[name].surface(_TRUTH_ROWS, np.random.default_rng(20_261_130))
    return float(np.mean(m1 - m0))


def _normal(n: int, d: int, g: np.random.Generator) -> FloatArray:
    return g.normal(size=(n, d))


def _world_n(d: int) -> Callable[[int, np.random.Generator], Surface]:
    """Waves, a two-way step and a square; the average effect is 1."""

    def surface(n: int, g: np.random.Generator) -> Surface:
        x = _normal(n, d, g)
        both = x[:, 1] * x[:, 2] > 0
        e = expit(0.8 * np.sin(2 * x[:, 0]) + 0.6 * both - 0.3)
        m0 = 1.5 * np.sin(2 * x[:, 0]) + both + 0.5 * x[:, 3] ** 2
        return x, e, m0, m0 + 1 + 0.5 * x[:, 3]

    return surface


def _linear(strength: float, wave: float = 0.0) -> Callable[[int, np.random.Generator], Surface]:
    """Linear confounding whose chances have logits of a given spread; wave: how much of both is a sine."""

    def surface(n: int, g: np.random.Generator) -> Surface:
        x = _normal(n, 10, g)
        index = (x[:, 0] + 0.7 * x[:, 1] - 0.5 * x[:, 2]) / np.sqrt(1.74)
        e = expit(strength * ((1 - wave) * index + wave * np.sqrt(2) * np.sin(2 * x[:, 0])))
        m0 = x[:, 0] + 0.5 * x[:, 1] + 0.5 * x[:, 3] + 2 * wave * np.sin(2 * x[:, 0])
        return x, e, m0, m0 + 1 + 0.5 * x[:, 1]

    return surface


def _steps(n: int, g: np.random.Generator) -> Surface:
    """Rules as people write them: thresholds at odd places, alone and together."""
    x = g.uniform(-1, 1, size=(n, 8))
    rule = (x[:, 0] > 0.23) * 1.0 + ((x[:, 1] > -0.4) & (x[:, 2] < 0.37))
    e = expit(np.asarray(-0.9 + 0.9 * rule, dtype=np.float64))
    m0 = 1.2 * (x[:, 0] > 0.23) + 1.5 * ((x[:, 1] > -0.4) & (x[:, 2] < 0.37)) + (x[:, 3] > 0) * x[:, 4]
    return x, e, m0, m0 + 0.5 + 1.0 * (x[:, 5] > 0.5)


def _products(n: int, g: np.random.Generator) -> Surface:
    """Smooth products of columns confound, alone they do not."""
    x = _normal(n, 10, g)
    index = x[:, 0] * x[:, 1] + 0.5 * x[:, 2] * x[:, 3]
    e = expit(0.7 * np.clip(index, -2.5, 2.5))
    m0 = index + x[:, 4]
    return x, e, m0, m0 + 1 + 0.5 * x[:, 0]


def _threeway(n: int, g: np.random.Generator) -> Surface:
    """A rule of three columns confounds."""
    x = _normal(n, 8, g)
    rule = (x[:, 0] > -0.5) & (x[:, 1] > -0.5) & (x[:, 2] < 0.7)
    e = expit(np.asarray(-0.6 + 1.4 * rule, dtype=np.float64))
    m0 = 1.6 * rule + 0.6 * x[:, 3]
    return x, e, m0, m0 + 1.0 - 0.5 * rule


def _sparse(n: int, g: np.random.Generator) -> Surface:
    """A hundred columns, of which six matter."""
    x = _normal(n, 100, g)
    e = expit(0.6 * x[:, 0] - 0.5 * x[:, 1] + 0.4 * np.abs(x[:, 2]) - 0.3)
    m0 = x[:, 0] + 0.8 * x[:, 1] + np.abs(x[:, 2]) + 0.5 * x[:, 3]
    return x, e, m0, m0 + 0.5 + 0.3 * x[:, 4]


def _dense(n: int, g: np.random.Generator) -> Surface:
    """Forty correlated columns, of which all matter a little."""
    common = g.normal(size=(n, 1))
    x: FloatArray = 0.5 * common + np.sqrt(0.75) * _normal(n, 40, g)
    b = np.cos(np.arange(40.0)) / 3
    c = np.cos(np.arange(40.0) + 0.6) / 3
    return x, expit(0.7 * x @ b), x @ c, x @ c + 1.0


def _levels(n: int, g: np.random.Generator) -> Surface:
    """Two categories of 25 levels, given as indicators, and two numbers."""
    city, kind = g.integers(25, size=n), g.integers(25, size=n)
    of_city, of_kind = np.sin(np.arange(25.0) * 2.4), np.cos(np.arange(25.0) * 1.7)
    z = _normal(n, 2, g)
    x = np.column_stack([np.eye(25)[city][:, 1:], np.eye(25)[kind][:, 1:], z])
    e = expit(0.9 * of_city[city] + 0.5 * of_kind[kind] + 0.3 * z[:, 0])
    m0 = 1.2 * of_city[city] - 0.8 * of_kind[kind] + 0.5 * z[:, 0]
    return x, e, m0, m0 + 1 + 0.5 * of_city[city]


def _few_values(n: int, g: np.random.Generator) -> Surface:
    """Survey answers: every column takes a handful of values, and some combinations confound."""
    x = g.integers(0, 5, size=(n, 9)).astype(np.float64)
    both = (x[:, 0] >= 3) ^ (x[:, 1] >= 2)
    e = expit(-0.7 + 0.8 * both + 0.25 * (x[:, 2] - 2))
    m0 = 1.2 * both + 0.4 * (x[:, 2] - 2) ** 2 / 2 + 0.3 * x[:, 3]
    return x, e, m0, m0 + 0.6 + 0.2 * (x[:, 4] - 2)


def _positive(n: int, g: np.random.Generator) -> Surface:
    """A mean that is positive and multiplicative, for outcomes of money."""
    x = _normal(n, 10, g)
    e = expit(0.7 * x[:, 0] - 0.5 * np.abs(x[:, 1]) + 0.3)
    m0 = np.exp(0.5 * x[:, 0] + 0.4 * np.abs(x[:, 1]) - 0.2 * x[:, 2])
    return x, e, m0, 1.2 * m0 + 0.2


def _rare(rate: float) -> Callable[[int, np.random.Generator], Surface]:
    """Chances of an outcome about a given rate."""

    def surface(n: int, g: np.random.Generator) -> Surface:
        x = _normal(n, 10, g)
        e = expit(0.7 * x[:, 0] + 0.6 * (x[:, 1] > 0.3) - 0.5)
        eta = np.log(rate / (1 - rate)) - 0.4 + 0.7 * x[:, 0] + 0.7 * (x[:, 1] > 0.3) + 0.3 * np.sin(2 * x[:, 2])
        return x, e, expit(eta), expit(eta + 0.5)

    return surface


def _kang_schafer(n: int, g: np.random.Generator) -> Surface:
    """Kang and Schafer (2007): features are odd curves of what drives both; here with an effect of 5."""
    z = _normal(n, 4, g)
    x = np.column_stack(
        [np.exp(z[:, 0] / 2), z[:, 1] / (1 + np.exp(z[:, 0])) + 10, (z[:, 0] * z[:, 2] / 25 + 0.6) ** 3, (z[:, 1] + z[:, 3] + 20) ** 2]
    )  # fmt: skip
    e = expit(-z[:, 0] + 0.5 * z[:, 1] - 0.25 * z[:, 2] - 0.1 * z[:, 3])
    m0 = (27.4 * z[:, 0] + 13.7 * (z[:, 1] + z[:, 2] + z[:, 3])) / 10
    return x, e, m0, m0 + 0.5


def _randomised(n: int, g: np.random.Generator) -> Surface:
    """A trial: one in three is treated, whoever it is."""
    x, _, m0, m1 = _world_n(10)(n, g)
    return x, np.full(n, 1 / 3), m0, m1


def _no_effect(n: int, g: np.random.Generator) -> Surface:
    """Strong confounding by curves, and no effect for anybody."""
    x = _normal(n, 8, g)
    bump = np.exp(-((x[:, 0] - 0.3) ** 2) / 0.5)
    e = expit(2.2 * bump - 1 + 0.4 * np.cos(3 * x[:, 1]))
    m0 = 2 * bump + np.cos(3 * x[:, 1]) + 0.3 * x[:, 2]
    return x, e, m0, m0


def _corner(n: int, g: np.random.Generator) -> Surface:
    """An effect for one person in seven, who is treated more often and has more anyway."""
    x = _normal(n, 10, g)
    corner = (x[:, 0] > 0.3) & (x[:, 1] > 0.2)
    e = expit(-0.4 + 0.9 * corner + 0.4 * x[:, 2])
    m0 = 1.0 * corner + 0.7 * x[:, 2]
    return x, e, m0, m0 + 2.0 * corner


def _radial(n: int, g: np.random.Generator) -> Surface:
    """Who lies far out is treated more and has more: a smooth function of a distance."""
    x = _normal(n, 6, g)
    far = np.sqrt((x[:, :3] ** 2).sum(axis=1))
    e = expit(1.2 * (far - 1.6))
    m0 = 1.5 * far + 0.5 * x[:, 3]
    return x, e, m0, m0 + 0.8 + 0.2 * x[:, 4]


def _forest(seed: int, trees: int, depth: int) -> Callable[[int, np.random.Generator], Surface]:
    """Chances and means are sums of the same random trees."""

    def surface(n: int, g: np.random.Generator) -> Surface:
        x = g.uniform(-1, 1, size=(n, 10))
        fixed = np.random.default_rng(seed)
        e, m0 = np.zeros(n), np.zeros(n)
        for _ in range(trees):
            where = np.zeros(n, dtype=np.int64)
            for _ in range(depth):
                where = 2 * where + (x[:, fixed.integers(6)] > fixed.uniform(-0.6, 0.6))
            leaf = fixed.normal(size=2**depth)
            e += 0.35 * leaf[where]
            m0 += (0.4 * leaf + 0.15 * fixed.normal(size=2**depth))[where]
        return x, expit(e), m0, m0 + 1 + 0.5 * x[:, 7]

    return surface


def _majority(n: int, g: np.random.Generator) -> Surface:
    """Two of three conditions on correlated columns decide, as committees and scores of points do."""
    x: FloatArray = 0.5 * g.normal(size=(n, 1)) + np.sqrt(0.75) * _normal(n, 9, g)
    most = ((x[:, 0] > 0.3).astype(int) + (x[:, 1] > -0.2) + (x[:, 2] < 0.1)) >= 2
    e = expit(np.asarray(-0.7 + 1.3 * most, dtype=np.float64))
    m0 = 1.3 * most + 0.5 * x[:, 3]
    return x, e, m0, m0 + 0.7 + 0.4 * x[:, 4]


def _ratio(n: int, g: np.random.Generator) -> Surface:
    """Prices and incomes, of which the ratio counts."""
    price, income = g.lognormal(0.0, 0.6, n), g.lognormal(0.5, 0.5, n)
    rest = _normal(n, 6, g)
    share = price / (price + income)
    e = expit(4.0 * (share - 0.4) + 0.3 * rest[:, 0])
    m0 = 5.0 * np.abs(share - 0.25) + 0.4 * rest[:, 0]
    return np.column_stack([price, income, rest]), e, m0, m0 + 0.6 + 0.5 * share


def _index_curve(n: int, g: np.random.Generator) -> Surface:
    """One index of many columns, through a curve that is not monotone."""
    x = _normal(n, 12, g)
    index = x[:, :6] @ np.array([0.6, -0.5, 0.4, 0.3, -0.3, 0.2])
    e = expit(1.2 * np.tanh(2 * index) + 0.4)
    m0 = 2 * np.tanh(2 * index) + 0.5 * index**2
    return x, e, m0, m0 + 1


def _shop(n: int, g: np.random.Generator) -> Surface:
    """Households x products of the shop (Complete Journey), with the chances of `whyrec.data.simulate`."""
    world = _households()
    flat = world.covariates.reshape(-1, world.covariates.shape[-1])
    rows = g.integers(len(flat), size=n)
    return flat[rows], world.propensity.ravel()[rows], world.control.ravel()[rows], world.treated.ravel()[rows]


@cache
def _households() -> ShopWorld:
    from whyrec.data.simulate import shop_world

    return shop_world()


@cache
def _real(path: str, columns: tuple[str, ...]) -> FloatArray:
    frame = (
        pl.read_parquet(path)
        if path.endswith(".parquet")
        else pl.read_csv(path, separator=";", infer_schema_length=None)
    )
    table = frame.select(pl.col(c).cast(pl.Float64, strict=False) for c in columns).drop_nulls().to_numpy()
    result: FloatArray = (table - table.mean(axis=0)) / table.std(axis=0)
    return result


def _on_real(path: Path, columns: tuple[str, ...]) -> Callable[[int, np.random.Generator], Surface]:
    """Curves and a product of the real columns of a table, which are anything but normal."""

    def surface(n: int, g: np.random.Generator) -> Surface:
        table = _real(str(path), columns)
        x = table[g.integers(len(table), size=n)]
        z = np.clip(x, -2.5, 2.5)
        bend = np.sin(1.5 * z[:, 0]) + 0.5 * (z[:, 1] > 0.2) * z[:, 2]
        e = expit(0.9 * bend - 0.2)
        m0 = 1.2 * bend + 0.4 * z[:, 3] ** 2
        return x, e, m0, m0 + 0.7 + 0.3 * z[:, 1]

    return surface


def worlds(data: Path | None = None) -> dict[str, World]:
    """Every world by name; those on the covariates of reference data only where `data` holds them."""
    known = dict(WORLDS)
    if data is not None:
        for name, role, file, columns in _REAL:
            if (data / file).exists():
                known[name] = World(name, "real covariates", role, _on_real(data / file, columns))
                WORLDS[name] = known[name]
    return known


_REAL: tuple[tuple[str, Role, str, tuple[str, ...]], ...] = (
    ("bank-marketing", "design", "bank-marketing/bank-additional.csv",
     ("age", "euribor3m", "campaign", "cons.conf.idx", "nr.employed", "previous")),
    ("nhanes", "judge", "nhanes/nhanes.parquet", ("Age", "BMI", "BPSysAve", "TotChol", "Pulse", "Poverty")),
)  # fmt: skip

WORLDS: dict[str, World] = {
    world.name: world
    for world in (
        World("N, 10 columns", "waves", "design", _world_n(10)),
        World("N, 20 columns", "waves", "judge", _world_n(20)),
        World("bumps, no effect", "waves", "judge", _no_effect),
        World("steps", "steps", "design", _steps),
        World("three-way rule", "steps", "design", _threeway),
        World("random trees", "steps", "design", _forest(5, 12, 3)),
        World("fewer trees", "steps", "judge", _forest(11, 6, 3)),
        World("small trees", "steps", "judge", _forest(23, 20, 2)),
        World("two of three", "steps", "judge", _majority),
        World("corner", "steps", "design", _corner),
        World("products", "interactions", "judge", _products),
        World("ratio", "interactions", "judge", _ratio),
        World("distance", "interactions", "design", _radial),
        World("index", "interactions", "design", _index_curve),
        World("100 columns", "many columns", "design", _sparse),
        World("40 dense columns", "many columns", "judge", _dense),
        World("levels", "categories", "judge", _levels),
        World("survey", "categories", "design", _few_values),
        World("money", "heavy tails", "design", _positive, "lognormal"),
        World("spend", "heavy tails", "judge", _positive, "spend"),
        World("t noise", "heavy tails", "judge", _world_n(10), "student"),
        World("outcome 1%", "rare", "design", _rare(0.01), "binary"),
        World("outcome 10%", "rare", "judge", _rare(0.10), "binary"),
        World("overlap 1", "overlap", "design", _linear(0.5)),
        World("overlap 2", "overlap", "judge", _linear(1.0)),
        World("overlap 3", "overlap", "design", _linear(1.6, 0.3)),
        World("overlap 4", "overlap", "judge", _linear(2.2)),
        World("Kang-Schafer", "overlap", "design", _kang_schafer),
        World("clusters of 10", "clusters", "judge", _world_n(10), "normal", 10),
        World("shop pairs", "real covariates", "judge", _shop, "binary"),
        World("randomised", "randomised", "design", _randomised),
    )
}
