"""Matrix factorisation: of interactions (implicit ALS, BPR) and of ratings (biased)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.progress import track
from whyrec.recommenders.base import RatingPredictor, Recommender, Scores
from whyrec.recommenders.topk import Linear

if TYPE_CHECKING:
    from whyrec.recommenders.debias import Debiasing


class ImplicitALS(Recommender):
    """Alternating least squares on interactions (Hu, Koren and Volinsky, 2008), computed by `implicit`.

    Minimises sum over all pairs of c_ui (p_ui - x_u . y_i)^2 + regularisation (|x_u|^2 + |y_i|^2), with preference
    p_ui = 1 and confidence c_ui = alpha r_ui where u interacted with i r_ui times, and p_ui = 0, c_ui = 1 elsewhere.
    debias: "ips" weighs r_ui by one over its propensity (`event_weights`), so that what was seen less counts more; the
    other kinds change a loss over pairs of items and do not apply to least squares.
    Learns `user_factors_` (n_users, factors) and `item_factors_` (n_items, factors).
    """

    popular_for_unknown = True
    by_user = ("user_factors_",)
    _gram: NDArray[np.float64] | None = None  # Y'Y + regularisation I: made when it is first asked for

    def __init__(
        self,
        factors: int = 64,
        regularisation: float = 10.0,
        alpha: float = 2.0,
        iterations: int = 10,
        debias: Literal["none", "ips"] = "none",
        debias_strength: float | None = None,
        random_state: int = 0,
    ) -> None:
        self.factors = factors
        self.regularisation = regularisation
        self.alpha = alpha
        self.iterations = iterations
        self.debias = debias
        self.debias_strength = debias_strength
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        if self.debias not in ("none", "ips"):
            raise BadInput(f"ImplicitALS: debias is none or ips, not {self.debias!r}; BPR and LightGCN know more kinds")
        counts = dataset.matrix
        if self.debias == "ips":
            counts = _weighted_matrix(dataset, self.debias_strength)
        with threadpool_limits(1, "blas"):
            from implicit.cpu.als import AlternatingLeastSquares

            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularisation,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.random_state,
                calculate_training_loss=False,
                num_threads=1,
            )
            model.fit(counts, show_progress=False)
        self.user_factors_ = np.asarray(model.user_factors, dtype=np.float32)
        self.item_factors_, self._gram = np.asarray(model.item_factors, dtype=np.float32), None

    def score_all(self, users: Codes) -> Scores:
        """Inner products x_u . y_i."""
        return self.score_factors(self.user_factors_[self._checked_users(users)])

    def score_factors(self, factors: Scores) -> Scores:
        """Inner products of factors (n, factors) with those of all items."""
        scores: Scores = factors @ self.item_factors_.T
        return self._filled(scores)

    def fold_in(self, counts: sparse.csr_matrix) -> Scores:
        """Factors (n, factors) that minimise the loss for counts (n, n_items) with the items' as they are (eq. 4 there).

        x = (Y'Y + regularisation I + sum_i (c_i - 1) y_i y_i')^-1 sum_i c_i y_i over the items that were chosen. Every event counts
        alike, also where `debias` weighed those of the log.
        """
        items = self.item_factors_.astype(np.float64)
        base = self._gram
        if base is None:
            base = self._gram = items.T @ items + self.regularisation * np.eye(items.shape[1])
        found = np.zeros((counts.shape[0], items.shape[1]), dtype=np.float32)
        for row in np.flatnonzero(np.diff(counts.indptr)):
            span = slice(counts.indptr[row], counts.indptr[row + 1])
            chosen, confidence = items[counts.indices[span]], self.alpha * counts.data[span].astype(np.float64)
            matrix = base + (chosen.T * (confidence - 1)) @ chosen
            found[row] = np.linalg.solve(matrix, confidence @ chosen)
        return found

    def user_vectors(self) -> Scores:
        """The users' factors."""
        return self.user_factors_

    def _linear(self, users: Codes) -> Linear:
        return Linear(self.user_factors_[users], self.item_factors_)

    def _item_vectors(self) -> NDArray[np.float32]:
        return self.item_factors_


class BPR(Recommender):
    """Bayesian personalised ranking (Rendle et al., 2009), computed by `implicit` on one thread.

    Stochastic gradient descent on sum of -ln sigma(s_ui - s_uj) + regularisation (|p_u|^2 + |q_i|^2 + |q_j|^2 + ...),
    s_ui = p_u . q_i + b_i, over an item i that u had and an item j that u had not. j is drawn from the log (so in
    proportion to its interactions) and not, as in the paper, uniformly from the catalogue: popular items are the
    harder negatives, and b_i is no popularity. A user without history gets the most popular items; an item that nobody had comes last.

    debias, debias_strength: see `Debias`. With any but "none" the same loss is descended in batches of `batch_size`
    events by Adam (with `learning_rate`; about .005 suits it), negatives uniform over what the user never had, since
    `implicit` knows neither weights nor other scores; there a user without history is ranked by b_i.
    Learns `user_factors_` (n_users, factors), `item_factors_` (n_items, factors), `item_bias_` (n_items,).
    """

    by_user = ("user_factors_",)
    # PDA's forecast of each item; empty but with debias="pda".
    forecast_: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    def __init__(
        self,
        factors: int = 64,
        learning_rate: float = 0.05,
        regularisation: float = 0.01,
        iterations: int = 100,
        debias: Debiasing = "none",
        debias_strength: float | None = None,
        batch_size: int = 1024,
        random_state: int = 0,
    ) -> None:
        self.factors = factors
        self.learning_rate = learning_rate
        self.regularisation = regularisation
        self.iterations = iterations
        self.debias = debias
        self.debias_strength = debias_strength
        self.batch_size = batch_size
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        if self.factors < 1 or self.iterations < 1:
            raise BadInput(f"BPR: factors and iterations must be 1 or more, got {self.factors} and {self.iterations}")
        if not self.learning_rate > 0 or not self.regularisation >= 0:
            raise BadInput(
                "BPR: learning_rate must be above 0 and regularisation 0 or more, "
                f"got {self.learning_rate} and {self.regularisation}"
            )
        if dataset.matrix.nnz == 0:
            raise BadInput(f"{dataset.name}: no interaction to learn from; BPR needs what users chose")
        self.forecast_ = np.zeros(0, dtype=np.float32)
        if self.debias != "none":
            self._learn_debiased(dataset)
            return
        with threadpool_limits(1, "blas"):
            from implicit.cpu.bpr import BayesianPersonalizedRanking

            model = BayesianPersonalizedRanking(
                factors=self.factors,
                learning_rate=self.learning_rate,
                regularization=self.regularisation,
                iterations=self.iterations,
                random_state=self.random_state,
                num_threads=1,
            )
            model.fit(dataset.matrix, show_progress=False)
        # implicit keeps b_i as a last column, beside a constant 1 of the user.
        users, items = np.array(model.user_factors, np.float32), np.array(model.item_factors, np.float32)
        if not (np.isfinite(users).all() and np.isfinite(items).all()):
            raise BadInput(f"BPR diverged with learning_rate={self.learning_rate}; lower it, or raise regularisation")
        known = np.bincount(self.seen_.indices, minlength=self.n_items_) > 0
        users[np.diff(self.seen_.indptr) == 0, :-1] = 0
        items[~known, :-1] = 0
        reach = float(np.linalg.norm(users[:, :-1], axis=1).max() * np.linalg.norm(items[:, :-1], axis=1).max())
        items[~known, -1] = items[known, -1].min() - reach - 1
        self.user_factors_, self.item_factors_ = (np.ascontiguousarray(table[:, :-1]) for table in (users, items))
        self.item_bias_ = np.ascontiguousarray(items[:, -1])

    def _learn_debiased(self, dataset: Dataset) -> None:
        from whyrec.recommenders.debias import checked
        from whyrec.recommenders.pair_factors import PairSettings, learn_factors
        from whyrec.recommenders.topk import unknown_last

        checked(self.debias, self.debias_strength)
        settings = PairSettings(
            self.factors, 0, "bpr", 1, self.iterations, self.batch_size, self.learning_rate, self.regularisation, None, True,
            self.debias, self.debias_strength, "cpu", self.random_state,
        )  # fmt: skip
        found = learn_factors("BPR", dataset, self.seen_, settings)
        users, items, bias = found.users, found.items, found.bias
        if found.macr is not None:
            scale, level = found.macr
            items, bias = items * scale[:, None], bias * scale + level
        users[np.diff(self.seen_.indptr) == 0] = 0
        self.user_factors_, (self.item_factors_, self.item_bias_) = users, unknown_last(users, items, self.seen_, bias)
        if found.forecast is not None:
            self.forecast_ = found.forecast

    def score_all(self, users: Codes) -> Scores:
        """p_u . q_i + b_i; its differences are log odds that the user prefers one item to another. Debiased: see `Debias`."""
        return self._scored(self.user_factors_[self._checked_users(users)])

    def score_nobody(self) -> Scores:
        """Of factors of zeros."""
        nobody: Scores = self._scored(np.zeros((1, self.user_factors_.shape[1]), dtype=np.float32))[0]
        return nobody

    def _scored(self, factors: Scores) -> Scores:
        linear = self._inner(factors)
        scores: Scores = linear.queries @ linear.keys.T
        if len(self.forecast_):
            from whyrec.recommenders.debias import with_forecast

            return with_forecast(scores, self.forecast_)
        return self._filled(scores)

    @property
    def popular_for_unknown(self) -> bool:  # type: ignore[override]
        """Not where the loss was debiased: there b_i is what is liked, whatever was shown."""
        return self.debias == "none"

    def _linear(self, users: Codes) -> Linear | None:
        return None if len(self.forecast_) else self._inner(self.user_factors_[users])

    def user_vectors(self) -> Scores:
        """The users' factors."""
        return self.user_factors_

    def _inner(self, factors: Scores) -> Linear:
        """Factors with the bias as one more of them, which a user without history has only where a loss was debiased."""
        levelled = factors.any(axis=1) if self.popular_for_unknown else np.ones(len(factors), dtype=bool)
        queries = np.column_stack([factors, levelled.astype(np.float32)])
        return Linear(queries, np.column_stack([self.item_factors_, self.item_bias_]))

    def _item_vectors(self) -> NDArray[np.float32]:
        return self.item_factors_


class BiasedMF(Recommender, RatingPredictor):
    """Biased matrix factorisation of ratings (Koren, Bell and Volinsky, 2009, eq. 5), by alternating ridge regressions.

    r_ui = mean + b_u + b_i + p_u . q_i. Minimises the squared error of the observed ratings plus
    bias_regularisation (b_u^2 + b_i^2) and regularisation (|p_u|^2 + |q_i|^2), each term once per rating (the
    weighted-lambda form of Zhou et al., 2008) for the factors and once per user or item for the biases.
    A user or item without ratings has bias and factors zero. Without a real outcome every interaction counts as 1.
    Learns `mean_`, `user_bias_`, `item_bias_`, `user_factors_`, `item_factors_`.
    """

    by_user = ("user_bias_", "user_factors_")

    def __init__(
        self,
        factors: int = 16,
        regularisation: float = 0.1,
        bias_regularisation: float = 5.0,
        iterations: int = 10,
        random_state: int = 0,
    ) -> None:
        self.factors = factors
        self.regularisation = regularisation
        self.bias_regularisation = bias_regularisation
        self.iterations = iterations
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        rated = dataset.log if not dataset.has("outcome") else dataset.log.filter(dataset.log["outcome"].is_not_null())
        if rated.height == 0:
            raise BadInput(f"{dataset.name}: no row has an outcome; there is nothing to factorise")
        users, items = rated["user_code"].to_numpy(), rated["item_code"].to_numpy()
        ratings = rated["outcome"].to_numpy().astype(np.float64) if dataset.has("outcome") else np.ones(rated.height)
        self.mean_ = float(ratings.mean())
        user_bias, item_bias = np.zeros(self.n_users_), np.zeros(self.n_items_)
        for _ in range(20):
            user_bias = _bias(users, ratings - self.mean_ - item_bias[items], self.n_users_, self.bias_regularisation)
            item_bias = _bias(items, ratings - self.mean_ - user_bias[users], self.n_items_, self.bias_regularisation)
        residual = ratings - self.mean_ - user_bias[users] - item_bias[items]
        generator = np.random.default_rng(self.random_state)
        rated_items = np.bincount(items, minlength=self.n_items_) > 0
        item_factors = generator.normal(scale=0.1, size=(self.n_items_, self.factors)) * rated_items[:, None]
        user_factors = np.zeros((self.n_users_, self.factors))
        by_user = _ordered(users, items, residual, self.n_users_)
        by_item = _ordered(items, users, residual, self.n_items_)
        with threadpool_limits(1, "blas"):
            for _ in track(range(self.iterations if self.factors else 0), "Matrix factorisation"):
                user_factors = _ridge(by_user, item_factors, self.regularisation)
                item_factors = _ridge(by_item, user_factors, self.regularisation)
        self.user_bias_, self.item_bias_ = user_bias.astype(np.float32), item_bias.astype(np.float32)
        self.user_factors_, self.item_factors_ = user_factors.astype(np.float32), item_factors.astype(np.float32)

    def score_all(self, users: Codes) -> Scores:
        """Predicted ratings."""
        users = self._checked_users(users)
        level = np.float32(self.mean_) + self.user_bias_[users]
        return level[:, None] + self.item_bias_ + self.user_factors_[users] @ self.item_factors_.T

    def score_nobody(self) -> Scores:
        """The mean and the items' biases."""
        level: Scores = np.float32(self.mean_) + self.item_bias_
        return level

    def user_vectors(self) -> Scores:
        """The users' factors."""
        return self.user_factors_

    def predict(self, users: Codes, items: Codes) -> Scores:
        """Predicted ratings of pairs, not clipped to the scale."""
        users, items = self._checked_users(users), self._checked_items(items)
        product = np.einsum("nd,nd->n", self.user_factors_[users], self.item_factors_[items])
        rating: Scores = np.float32(self.mean_) + self.user_bias_[users] + self.item_bias_[items] + product
        return rating

    def _linear(self, users: Codes) -> Linear:
        offset = np.float32(self.mean_) + self.user_bias_[users]
        return Linear(self.user_factors_[users], self.item_factors_, self.item_bias_, offset)

    def _item_vectors(self) -> NDArray[np.float32]:
        return self.item_factors_


def _weighted_matrix(dataset: Dataset, strength: float | None) -> sparse.csr_matrix:
    """`Dataset.matrix` with every event worth its inverse-propensity weight."""
    from whyrec.recommenders.debias import checked, event_weights

    histories = dataset.histories
    users = np.repeat(np.arange(dataset.n_users), np.diff(histories.offsets))
    weight = event_weights(dataset, checked("ips", strength))
    return sparse.coo_matrix((weight, (users, histories.items)), shape=dataset.matrix.shape).tocsr()


def _bias(codes: Codes, residual: NDArray[np.float64], size: int, regularisation: float) -> NDArray[np.float64]:
    total = np.bincount(codes, weights=residual, minlength=size)
    bias: NDArray[np.float64] = total / np.maximum(np.bincount(codes, minlength=size) + regularisation, 1e-12)
    return bias


def _ordered(rows: Codes, columns: Codes, values: NDArray[np.float64], size: int) -> sparse.csr_matrix:
    """Ratings grouped by row, in CSR arrays; repeated pairs stay apart."""
    order = np.argsort(rows, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))])
    width = int(columns.max(initial=0)) + 1
    return sparse.csr_matrix((values[order], columns[order], offsets), shape=(size, width))


def _ridge(ratings: sparse.csr_matrix, factors: NDArray[np.float64], regularisation: float) -> NDArray[np.float64]:
    """Row by row, (Q'Q + regularisation n I)^-1 Q'r over the rated columns; the hot loop, d^3 + n d^2 each."""
    width = factors.shape[1]
    solved = np.zeros((ratings.shape[0], width))
    identity = np.eye(width)
    for row in np.flatnonzero(np.diff(ratings.indptr)):
        span = slice(ratings.indptr[row], ratings.indptr[row + 1])
        chosen = factors[ratings.indices[span]]
        gram = chosen.T @ chosen + (regularisation * len(chosen) + 1e-9) * identity
        solved[row] = np.linalg.solve(gram, chosen.T @ ratings.data[span])
    return solved
