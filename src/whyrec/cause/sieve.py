"""Who is treated, and what comes of it: both models from one dictionary of terms, with boosted trees for what it leaves.

The bias of a doubly robust estimate is a product of the errors of both models, so a confounder that either of them misses is
missed where it counts. The dictionary is therefore the union of what treatment and outcome ask for (double selection: Belloni,
Chernozhukov and Hansen 2014): lines, natural splines, levels, steps, and corners and products of two columns (`term_search`), fitted
with next to no shrinkage, since what shrinkage leaves of a confounder is bias. The outcome model serves both arms, with terms of
its own for what the treatment changes, so that each is learnt from all rows. Trees (LightGBM; Ke et al. 2017) learn the rest.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.binned import Binned
from whyrec.cause.glm import expit, fit_linear, fit_logistic
from whyrec.cause.term_search import Chosen, Cut, Target, corners, curves, fewest, steps
from whyrec.cause.terms import Corner, Curve, Levels, Line, Product, Step, Term, design, state_of_term, term_from_state
from whyrec.estimate import FloatArray, IntArray

CANDIDATES = ("mean", "linear", "terms", "terms and trees", "linear and large trees")
STRAIGHT = 1  # the place of the linear candidate
_ROWS_A_COEFFICIENT = 10  # events, of the rarer of two kinds, that a coefficient must have
_ROWS_A_LINE = 20  # rows of the smaller arm a column, from which every column keeps its line
_MOST_ROWS = 100_000  # rows that terms are searched and trees are grown on
_MOST_ROWS_HELD = 40_000  # rows on which the number of trees is chosen
_MOST_COEFFICIENTS = 150
_MOST_WORK = 2e9  # rows times squared coefficients of a fit; beyond, a sample of the rows says as much of so many coefficients
_FAR = 4.0  # robust standard deviations at which an outcome is cut while terms are searched
_QUIET = {"verbosity": -1, "max_bin": 255}
_LARGE = {"num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 20, "lambda_l2": 0.0}
_RIDGE = 1e-4  # of the straight models, on standardised columns
_EFFECT_SPLINES = 1  # splines that compete for what the treatment changes


@dataclass(frozen=True)
class _Found:
    """A term and what it gained."""

    term: Term
    gain: float
    size: int


class Sieve:
    """Propensity and outcomes of both arms; `fit`, then `predict`.

    binary: whether the outcome is 0 or 1. trees: whether boosted trees learn what the terms leave. After `fit`: `terms_` (of the
    propensity, of the outcome), `effect_terms_` (multiplied by the treatment).
    """

    def __init__(self, *, binary: bool, trees: bool = True, random_state: int = 0) -> None:
        self.binary = binary
        self.trees = trees
        self.random_state = random_state

    def fit(
        self,
        features: FloatArray,
        treatment: IntArray,
        outcome: FloatArray,
        weight: FloatArray,
        *,
        binned: Binned | None = None,
        rows: IntArray | None = None,
    ) -> Self:
        """Learn from features (n, d), treatment (n,) of 0 and 1, outcome and row weights (n,).

        binned, rows: the binned features of a larger table and the rows of it that these are, where binning is shared.
        """
        binned = Binned.of(features) if binned is None else binned
        rows = np.arange(len(features)) if rows is None else rows
        a, w = treatment.astype(np.float64), weight / weight.mean()
        self._straighten(features, a, outcome, w, binned)
        features = self._with_scores(features)
        scores = Binned.of(features[:, len(binned.columns) :])
        self.edges_ = [column.edges for column in (*binned.columns, *scores.columns)]
        some = _thinned(len(a), self.random_state)
        self._search(binned, rows[some], scores, some, features[some], a[some], outcome[some], w[some])
        designs = self._regress(features, a, outcome, w)
        self.trees_: tuple[Any, ...] = (None,) * 4
        if self.trees:
            codes = np.column_stack(
                [*(c.codes[rows[some]] for c in binned.columns), *(c.codes[some] for c in scores.columns)]
            ).astype(np.float32)
            both = np.column_stack([codes, a[some].astype(np.float32)])
            lines = design(self.lines_, features)
            of_arm = np.where(a == 1, lines @ self.straight_[2], lines @ self.straight_[1])
            self.trees_ = (
                self._grow(codes, designs[0], self.coefficients_[0], a, w, some, True),
                self._grow(both, designs[1], self.coefficients_[1], outcome, w, some, self.binary),
                self._grow_large(codes, lines @ self.straight_[0], a, w, some, True),
                self._grow_large(both, of_arm, outcome, w, some, self.binary),
            )
        return self

    def chances(self, features: FloatArray) -> FloatArray:
        """Chance of treatment by every candidate (see CANDIDATES), shape (n, 5)."""
        features = self._with_scores(features)
        result = np.empty((len(features), len(CANDIDATES)))
        result[:, 0] = self.means_[0]
        eta = design(self.terms_[0], features) @ self.coefficients_[0]
        straight = design(self.lines_, features) @ self.straight_[0]
        result[:, 1], result[:, 4] = _chance(straight), _chance(straight + self._grown(2, features))
        result[:, 2], result[:, 3] = _chance(eta), _chance(eta + self._grown(0, features))
        return result

    def outcomes(self, features: FloatArray) -> FloatArray:
        """Mean outcome of control and of treated by every candidate, shape (n, 5, 2)."""
        features = self._with_scores(features)
        result = np.empty((len(features), len(CANDIDATES), 2))
        lines, base = design(self.lines_, features), design(self.terms_[1], features)
        changed = design(self.effect_terms_, features) @ self.coefficients_[1][base.shape[1] :]
        for arm in (0, 1):
            eta = base @ self.coefficients_[1][: base.shape[1]] + arm * changed
            straight = lines @ self.straight_[1 + arm]
            scores = (straight, eta, eta + self._grown(1, features, arm), straight + self._grown(3, features, arm))
            result[:, 0, arm] = self.means_[1 + arm]
            for k, score in enumerate(scores, start=1):
                result[:, k, arm] = _chance(score) if self.binary else score
        return result

    def gains(self, columns: int) -> FloatArray:
        """How much the large trees of treatment and outcome gained by each of the first columns, shares of one each, added up; (columns,)."""
        result = np.zeros(columns)
        for trees in self.trees_[2:]:
            if trees is not None:
                gain = trees.feature_importance("gain")[:columns]
                result += gain / max(gain.sum(), 1e-300)
        return result

    def to_state(self) -> dict[str, Any]:
        """Everything that predictions need, JSON-ready."""
        return {
            "binary": self.binary,
            "terms": [[state_of_term(t) for t in of] for of in (*self.terms_, self.effect_terms_, self.lines_)],
            "means": list(self.means_),
            "scored": self.scored_,
            "straight": [c.tolist() for c in self.straight_],
            "coefficients": [c.tolist() for c in self.coefficients_],
            "edges": [edges.tolist() for edges in self.edges_],
            "trees": [None if trees is None else trees.model_to_string() for trees in self.trees_],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `to_state`: the same predictions to the last digit."""
        import lightgbm

        self = cls(binary=state["binary"])
        known = [tuple(term_from_state(term) for term in terms) for terms in state["terms"]]
        of_treatment, of_outcome, of_effect, lines = known
        self.terms_, self.effect_terms_, self.lines_ = (of_treatment, of_outcome), of_effect, lines
        chance, control, treated = state["means"]
        self.means_ = (chance, control, treated)
        self.straight_ = tuple(np.array(c) for c in state["straight"])
        self.scored_ = bool(state["scored"])
        of_treatment_c, of_outcome_c = (np.array(c) for c in state["coefficients"])
        self.coefficients_ = (of_treatment_c, of_outcome_c)
        self.edges_ = [np.array(edges) for edges in state["edges"]]
        grown = [None if text is None else lightgbm.Booster(model_str=text) for text in state["trees"]]
        self.trees_ = tuple(grown)
        return self

    def _grown(self, part: int, features: FloatArray, arm: int = 0) -> FloatArray:
        """What the trees of a part add to its score, (n,)."""
        trees = self.trees_[part]
        if trees is None:
            return np.zeros(len(features))
        codes = [np.searchsorted(edges, features[:, j], side="right") for j, edges in enumerate(self.edges_)]
        inputs = np.column_stack(codes if part % 2 == 0 else [*codes, np.full(len(features), arm)]).astype(np.float32)
        return np.asarray(trees.predict(inputs, raw_score=True), dtype=np.float64)

    def _search(
        self, binned: Binned, rows: IntArray, scores: Binned, some: IntArray, x: FloatArray, a: FloatArray, y: FloatArray,
        w: FloatArray,
    ) -> None:  # fmt: skip
        """Choose the terms of both models, of the columns first and of the straight scores in what those leave.

        A score that competed with the columns would stand for whatever it resembles, and hide a rule of several columns.
        """
        d = len(binned.columns)
        share = float(np.average(a, weights=w))
        penalty = 2 * np.log(max(d, 2))
        small = min(a.sum(), len(a) - a.sum())
        of_treatment, left_a = curves(binned, [Target(rows, a - share, w)], penalty=penalty)
        shown = y if self.binary else _without_far(binned, rows, y, a, w)
        means = [float(np.average(shown[a == arm], weights=w[a == arm])) for arm in (0, 1)]
        value = shown - np.where(a == 1, means[1], means[0])
        (of_outcome, left_main), slope = curves(binned, [Target(rows, value, w)], penalty=penalty), a - share
        of_effect, left_y = curves(
            binned, [Target(rows, left_main, w, slope)], penalty=penalty, largest=_EFFECT_SPLINES
        )
        least_a, least_y = fewest(a, True), fewest(y, self.binary)
        found_a, found_y, found_effect = (_terms(binned, chosen[0]) for chosen in (of_treatment, of_outcome, of_effect))
        found_a += _cut_terms(binned, rows, left_a, w, least_a)
        found_y += _cut_terms(binned, rows, left_y, w, least_y)
        found_effect += _cut_terms(binned, rows, left_y * slope / (share * (1 - share)), w, 2 * least_y)
        if self.scored_:
            left_a = _left(x, found_a, a - share, w)
            found_a += _terms(scores, curves(scores, [Target(some, left_a, w)], penalty=penalty)[0][0], first=d)
            left_y = _left(x, found_y, value, w, found_effect, slope)
            found_y += _terms(scores, curves(scores, [Target(some, left_y, w)], penalty=penalty)[0][0], first=d)
        events = float(min(y.sum(), len(y) - y.sum())) if self.binary else len(y) / 2
        most = max(_MOST_COEFFICIENTS, d + _MOST_COEFFICIENTS / 2)
        budget_a, budget_y = (min(found / _ROWS_A_COEFFICIENT, most) for found in (small, events))
        kept = [_Found(line, np.inf, 1) for line in self.lines_] if self.scored_ else []
        self.terms_ = (
            _union(kept, found_a, [*found_y, *found_effect], budget_a),
            _union(kept if d <= budget_y / 2 else [], [*found_y, *found_effect], found_a, budget_y),
        )
        self.effect_terms_ = _union([], found_effect, [], budget_y / 3)

    def _straighten(self, x: FloatArray, a: FloatArray, y: FloatArray, w: FloatArray, binned: Binned) -> None:
        """The straight models; their scores are columns of the search where rows are many enough that a score is no echo of its rows."""
        every = range(len(binned.columns))
        self.lines_: tuple[Term, ...] = tuple(_line(binned, j) for j in every if not binned.columns[j].constant)
        lines = design(self.lines_, x)
        learn = fit_logistic if self.binary else fit_linear
        arms = [(a == arm) for arm in (0, 1)]
        control, treated = (float(np.average(y[mine], weights=w[mine])) for mine in arms)
        self.means_ = (float(np.average(a, weights=w)), control, treated)
        self.straight_: tuple[FloatArray, ...] = (
            fit_logistic(lines, a, w, _RIDGE),
            *(learn(lines[mine], y[mine], w[mine], _RIDGE) for mine in arms),
        )
        self.scored_ = bool(1 < len(self.lines_) <= min(a.sum(), len(a) - a.sum()) / _ROWS_A_LINE)

    def _with_scores(self, x: FloatArray) -> FloatArray:
        """The features, and beside them the straight models' scores: of treatment, and of the outcome over both arms (Hansen 2008)."""
        if not self.scored_:
            return x
        lines = design(self.lines_, x)
        outcome = lines @ (self.straight_[1] + self.straight_[2])
        return np.column_stack([x, lines @ self.straight_[0], outcome / 2])

    def _regress(self, x: FloatArray, a: FloatArray, y: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients of the terms; gives the terms at the rows, of propensity and of outcome."""
        of_treatment = design(self.terms_[0], x)
        of_outcome = np.column_stack([design(self.terms_[1], x), design(self.effect_terms_, x) * a[:, None]])
        self.coefficients_ = (_fitted(of_treatment, a, w, True), _fitted(of_outcome, y, w, self.binary))
        return of_treatment, of_outcome

    def _grow(
        self, inputs: NDArray[np.float32], terms: FloatArray, coefficients: FloatArray, label: FloatArray, weight: FloatArray,
        some: IntArray, binary: bool,
    ) -> Any:  # fmt: skip
        """Trees upon the terms, stopped where a held-out part gains no more."""
        table, y, w = terms[some], label[some], weight[some]
        few = _thinned(len(some), self.random_state, _MOST_ROWS_HELD)
        held = np.random.default_rng(self.random_state).permutation(len(few)) < max(len(few) // 5, 1)
        seen = few[~held]
        if np.ptp(y[seen]) == 0:
            return None
        early = table[few] @ _fitted(table[seen], y[seen], w[seen], binary)
        parameters = _parameters(len(y), binary, self.random_state)
        rounds = _rounds(inputs[few], y[few], w[few], early, held, parameters)
        return _boost(inputs, y, w, table @ coefficients, rounds, parameters)

    def _grow_large(
        self, inputs: NDArray[np.float32], begin: FloatArray, label: FloatArray, weight: FloatArray, some: IntArray, binary: bool
    ) -> Any:  # fmt: skip
        """Large trees upon the straight models: rules of many columns, which terms of two and small trees upon them take for noise."""
        y, w, begin = label[some], weight[some], begin[some]
        few = _thinned(len(some), self.random_state, _MOST_ROWS_HELD)
        held = np.random.default_rng(self.random_state).permutation(len(few)) < max(len(few) // 5, 1)
        if np.ptp(y[few[~held]]) == 0:
            return None
        parameters = _parameters(len(y), binary, self.random_state) | _LARGE
        return _boost(inputs, y, w, begin, _rounds(inputs[few], y[few], w[few], begin[few], held, parameters), parameters)


def _fitted(table: FloatArray, label: FloatArray, weight: FloatArray, binary: bool) -> FloatArray:
    """Coefficients of terms, with a penalty worth half a row."""
    some = _thinned(len(label), 0, int(_MOST_WORK / table.shape[1] ** 2))
    if len(some) < len(label):
        table, label, weight = table[some], label[some], weight[some]
    return (fit_logistic if binary else fit_linear)(table, label, weight, 0.5 / len(label))


def _chance(score: FloatArray) -> FloatArray:
    return expit(np.clip(score, -30, 30))


@dataclass(frozen=True)
class StackedEffect:
    """The difference of both arms' outcomes by a sieve, its candidates in the given shares (k,): a nuisance model that `fit` made elsewhere."""

    sieve: Sieve
    shares: FloatArray

    def fit(self, features: FloatArray, label: FloatArray, weight: FloatArray) -> Self:
        """Nothing to learn: the sieve is fitted."""
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Effect of the treatment on each row, shape (n,)."""
        means = self.sieve.outcomes(features)
        result: FloatArray = (means[:, :, 1] - means[:, :, 0]) @ self.shares
        return result


def _parameters(rows: int, binary: bool, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary" if binary else "regression",
        "boost_from_average": False,
        "learning_rate": 0.1 if rows < 50_000 else 0.2,
        "num_leaves": 8 if rows < 5_000 else 15,
        "min_data_in_leaf": int(np.clip(rows // 100, 10, 100)),
        "min_sum_hessian_in_leaf": 1e-3,
        "lambda_l2": 1.0,
        "num_threads": 1 if rows < 20_000 else 0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def _rounds(
    inputs: NDArray[np.float32], label: FloatArray, weight: FloatArray, early: FloatArray, held: NDArray[np.bool_],
    parameters: dict[str, Any],
) -> int:  # fmt: skip
    """How many trees upon the scores `early` of the other rows do best on the held-out ones."""
    import lightgbm

    train, valid = (
        lightgbm.Dataset(inputs[of], label[of], weight=weight[of], init_score=early[of], params=_QUIET) for of in (~held, held)
    )
    valid.set_reference(train)
    stop = lightgbm.early_stopping(10, verbose=False)
    grown = lightgbm.train(parameters, train, num_boost_round=300, valid_sets=[valid], callbacks=[stop])
    return max(int(grown.best_iteration), 1)


def _boost(
    inputs: NDArray[np.float32], label: FloatArray, weight: FloatArray, begin: FloatArray, rounds: int, parameters: dict[str, Any]
) -> Any:  # fmt: skip
    """Trees from the scores `begin`."""
    import lightgbm

    whole = lightgbm.Dataset(inputs, label, weight=weight, init_score=begin, params=_QUIET)
    return lightgbm.train(parameters, whole, num_boost_round=rounds)


def _thinned(n: int, seed: int, most: int = _MOST_ROWS) -> IntArray:
    """All rows, or a random sample of the most that are worth their time."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False)).astype(np.int64)


def _without_far(binned: Binned, rows: IntArray, y: FloatArray, a: FloatArray, w: FloatArray) -> FloatArray:
    """The outcome with what lies far from a line cut: a few huge values would be taken for steps and curves of whatever they lie near."""
    lines = np.column_stack([np.ones(len(y)), a, *(c.values[c.codes[rows]] for c in binned.columns if not c.constant)])
    spread = lines.std(axis=0)
    lines = np.where(spread > 0, (lines - lines.mean(axis=0)) / np.where(spread > 0, spread, 1.0), 1.0)
    straight: FloatArray = lines @ fit_linear(lines, y, w, 1e-3)
    left = y - straight
    robust = 1.4826 * float(np.median(np.abs(left - np.median(left))))
    size = robust if robust > 0 else float(left.std())
    return straight + np.clip(left, -_FAR * size, _FAR * size)


def _line(binned: Binned, j: int, place: int | None = None) -> Line:
    column = binned.columns[j]
    share = column.mass / column.mass.sum()
    centre = float(share @ column.values)
    return Line(j if place is None else place, centre, float(np.sqrt(share @ (column.values - centre) ** 2)) or 1.0)


def _left(
    x: FloatArray, found: Sequence[_Found], values: FloatArray, w: FloatArray, more: Sequence[_Found] = (), slope: FloatArray | None = None
) -> FloatArray:  # fmt: skip
    """What a regression on the terms found, and on `more` of them times a slope, leaves of the values (n,)."""
    table = design(tuple({f.term.key: f.term for f in found}.values()), x)
    if slope is not None:
        changed = design(tuple({f.term.key: f.term for f in more}.values()), x)
        table = np.column_stack([table, changed * slope[:, None]])
    result: FloatArray = values - table @ _fitted(table, values, w, False)
    return result


def _terms(binned: Binned, chosen: Sequence[Chosen | None], first: int = 0) -> list[_Found]:
    """The bases that backfitting chose, as terms; first: the place of the first binned column among the features."""
    found = []
    for k, choice in enumerate(chosen):
        if choice is None:
            continue
        column, j = binned.columns[k], first + k
        term: Term
        if choice.basis == 0:
            term, size = _line(binned, k, j), 1
        elif choice.basis == -2:
            term, size = Step(j, float(column.edges[choice.bin - 1])), 1
        elif choice.basis < 0:
            assert column.levels is not None
            term, size = Levels(j, tuple(float(v) for v in column.levels[1:])), len(column.levels) - 1
        else:
            spline = column.splines[choice.basis - 1]
            term, size = Curve(j, spline), spline.mix.shape[1]
        found.append(_Found(term, choice.gain, size))
    return found


def _cut_terms(binned: Binned, rows: IntArray, left: FloatArray, w: FloatArray, least: float) -> list[_Found]:
    """Steps and corners in what is left, as terms; a corner brings its two steps and the product of its columns."""
    found = [_Found(_step(binned, cut), cut.z**2, 1) for cut in steps(binned, rows, left, w, least)]
    for first, second in corners(binned, rows, left, w, least):
        gain = first.z**2
        sides = _step(binned, first), _step(binned, second)
        product = Product(_line(binned, first.column), _line(binned, second.column))
        found += [_Found(term, gain, 1) for term in (Corner(*sides), *sides, product)]
    return found


def _step(binned: Binned, cut: Cut) -> Step:
    return Step(cut.column, float(binned.columns[cut.column].edges[cut.bin - 1]))


def _union(kept: Sequence[_Found], own: Sequence[_Found], other: Sequence[_Found], budget: float) -> tuple[Term, ...]:
    """Terms of a model: those kept in any case, its own, then those of the other model, each the strongest first while coefficients
    are within the budget. Of two curves of a column the larger stays, and its line falls away."""
    largest: dict[int, _Found] = {}
    for found in (*own, *other):
        if isinstance(found.term, Curve | Levels):
            j = found.term.column
            largest[j] = max(largest.get(j, found), found, key=lambda f: f.size)
    result: dict[Hashable, Term] = {}
    size = 0
    for group in (kept, sorted(own, key=lambda f: -f.gain), sorted(other, key=lambda f: -f.gain)):
        for found in group:
            j = getattr(found.term, "column", -1)
            if isinstance(found.term, Curve | Levels) or (isinstance(found.term, Line) and j in largest):
                found = largest[found.term.column]
            key = found.term.key
            if key in result or size + found.size > budget:
                continue
            result[key] = found.term
            size += found.size
    return tuple(result.values())
