"""Which ranker serves a log best: candidates fitted on its earlier part, judged on what came after as the service would be.

Every user with a past gives up to eight choices of the later part, drawn at random. Each is asked for from the whole catalogue after all
that the user chose at earlier times, acts of the later part included: a ranker that follows a live user is judged by what it then says, one
that does not by what it said at the cut. The mean of a user's choices enters the test, and no ranker sees what it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize

from whyrec.data.dataset import Codes, Dataset
from whyrec.data.split import split_random, split_time
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, jsonable
from whyrec.extras import deep_learning
from whyrec.live.contract import Live, Past, Pasts, live_of
from whyrec.metrics import ranking
from whyrec.progress import say
from whyrec.recommenders.catalogue import Ranker, ranker
from whyrec.recommenders.evaluation import Measured, per_user
from whyrec.recommenders.topk import top_k
from whyrec.represent.history import in_history_order

K = 10
_SHARE = 0.2
_MOST_USERS, _MOST_CHOICES = 1_000, 8
_LEVEL = 0.05
# Fewer users to judge by choose nothing: then the one is taken that reads texts and ranks new items, and the answer says so.
_LEAST_USERS, UNJUDGED, _UNJUDGED_PLAIN = 20, "two-headed", "item-kNN"
# The simplest first: what is chosen where nothing is surely better.
CANDIDATES = ("popularity", "recent popularity", "item-kNN", "EASE", "ALS", "two-headed", "SASRec")
# The blend's likelihood is over what some ranker has among its best of a case; weights far below the largest are left out.
_POOL, _LEAST_SAY, _PENALTY = 100, 0.03, 1.0
# CPU seconds of a fit on one thread of the machine that the benchmarks ran on: EASE by items cubed, the two-headed by events and epochs.
_EASE_SECONDS, _TWO_HEADED_SECONDS = 3e-11, 3.5e-5
# Of a budget: what a transformer trains for when it is judged and when it is fitted for good, and the most that another may take for both.
_JUDGED_SHARE, _FITTED_SHARE, _OTHER_SHARE = 0.2, 0.6, 0.25
# Without a budget: events that a transformer sees in training when it is fitted, within bounds of epochs; a third of the epochs judge it.
_EVENTS, _EPOCHS = 3_000_000, (5, 30)


@dataclass(frozen=True)
class Cases:
    """Choices to be found. users: codes, (n,), one after another; pasts, days: what they chose before, and when they chose; fresh: whether
    any of the past came after the cut; targets: item codes, (n,). since: the moment of the cut, UTC, None where the later part is random.
    """

    users: Codes
    pasts: tuple[Past, ...]
    fresh: tuple[bool, ...]
    days: tuple[float, ...]
    targets: Codes
    since: str | None

    @property
    def n_users(self) -> int:
        """Distinct users."""
        return len(np.unique(self.users))


@dataclass(frozen=True)
class Candidate:
    """A ranker with its settings when it is judged and when it is fitted for good."""

    row: Ranker
    judged: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """What was chosen. methods: a row a candidate, the simplest first: NDCG@10 and hit rate with intervals, the difference from the best
    with the p-value of a paired sign-flip test (Holm), and CPU seconds of the fit. best: that of the highest NDCG. choices, users, since: what
    was found, see `Cases`; no methods where the users were too few to judge by. left_out: candidates that were not tried; each a `reason` ("deep": PyTorch is not installed, "times", "items", "budget", "refused") and its
    figures. seconds: of CPU, of the choice alone.
    """

    ranker: str
    settings: Mapping[str, Any]
    best: str
    choices: int
    users: int
    since: str | None
    methods: tuple[dict[str, Any], ...]
    left_out: Mapping[str, Mapping[str, Any]]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        found: dict[str, Any] = jsonable({**vars(self), "settings": dict(self.settings), "methods": list(self.methods)})
        return found

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Choice:
        """The inverse of `to_dict`."""
        return cls(**{**content, "methods": tuple(content["methods"])})


def choose(
    dataset: Dataset,
    *,
    budget: float | None = None,
    repeats: bool = False,
    among: Sequence[str] = CANDIDATES,
    random_state: int = 0,
    **usual: Any,
) -> Choice:
    """Fit the candidates for a log of this size on its earlier part and choose among them.

    Where fewer than 20 users chose something in the later part after a past of their own, the two-headed ranker is taken, unjudged.
    The simplest is chosen than which the best is not surely better by a paired test at 5%; a blend of all of them is the last
    candidate. budget: CPU seconds of choosing and of fitting what is chosen, about; None: transformers train for epochs by the log's
    size, and the same seed gives the same choice. repeats: whether items that a user had may be recommended again. among: names of
    candidates, the simplest first. usual: what rankers are offered, see `Ranker.make`.
    """
    begun = time.process_time()
    try:
        train, cases = split_cases(dataset, repeats, random_state)
    except BadInput:  # no later part: everything at one moment, or a row or two
        return _unjudged(0, 0, None, begun)
    if train.interactions.height == 0 or cases.n_users < _LEAST_USERS:
        return _unjudged(len(cases.users), cases.n_users, cases.since, begun)
    fitted: dict[str, Candidate] = {}
    asked: dict[str, Live[Any]] = {}
    seconds: dict[str, float] = {}
    tried, left_out = candidates(dataset, budget, among)
    for candidate in tried:
        name = candidate.row.name
        say(f"Judging {name} on {len(cases.users):,} choices of {cases.n_users:,} users")
        start = time.process_time()
        try:
            asked[name] = live_of(
                candidate.row.make(candidate.judged, random_state=random_state, **usual).fit(train), train
            )
        except BadInput as error:
            left_out[name] = {"reason": "refused", "words": str(error)}
            continue
        seconds[name] = time.process_time() - start
        fitted[name] = candidate
    lists, pools = listed(asked, cases, repeats)
    start = time.process_time()
    lists["blend"], says, weights = blended(pools, cases.users)
    parts = [
        (list(fitted)[place], float(weights[place])) for place in np.argsort(-says, kind="stable") if says[place] > 0
    ]
    seconds["blend"] = sum(seconds[name] for name, _ in parts) + time.process_time() - start
    table = judged(lists, cases, dataset.n_items, random_state).with_columns(
        fit_seconds=pl.Series(list(seconds.values()))
    )
    best = str(table["reference"][0])
    chosen = next(row["method"] for row in table.to_dicts() if row["p_value"] is None or row["p_value"] >= _LEVEL)
    if chosen != "blend":
        settings: Mapping[str, Any] = fitted[chosen].settings
    else:
        settings = {
            "parts": [{"ranker": name, "settings": dict(fitted[name].settings)} for name, _ in parts],
            "weights": [weight for _, weight in parts],
        }
    rows = tuple(table.drop("reference").to_dicts())
    return Choice(
        chosen, settings, best, len(cases.users), cases.n_users, cases.since, rows, left_out, time.process_time() - begun
    )  # fmt: skip


def _unjudged(choices: int, users: int, since: str | None, begun: float) -> Choice:
    name = UNJUDGED if deep_learning() else _UNJUDGED_PLAIN
    return Choice(name, {}, name, choices, users, since, (), {}, time.process_time() - begun)


def candidates(
    dataset: Dataset, budget: float | None = None, among: Sequence[str] = CANDIDATES
) -> tuple[list[Candidate], dict[str, dict[str, Any]]]:
    """What is tried on a log of this size, the simplest first, and what is left out, with the reason; see `Choice`."""
    events, tried, left_out = dataset.interactions.height, list[Candidate](), dict[str, dict[str, Any]]()
    epochs = int(np.clip(_EVENTS // max(events, 1), *_EPOCHS))
    known = len(np.unique(dataset.matrix.indices))
    for name in among:
        row = ranker(name)
        dear = {"EASE": _EASE_SECONDS * known**3, "two-headed": 2 * 6 * _TWO_HEADED_SECONDS * events}.get(name, 0.0)
        if not row.available:
            left_out[name] = {"reason": "deep"}
        elif name == "recent popularity" and not dataset.has("time"):
            left_out[name] = {"reason": "times"}
        elif row.most_items is not None and known > row.most_items:
            left_out[name] = {"reason": "items", "items": known, "most": row.most_items}
        elif budget is not None and dear > _OTHER_SHARE * budget:
            left_out[name] = {"reason": "budget", "seconds": dear, "budget": budget}
        elif name == "SASRec" and budget is not None:
            within: dict[str, Any] = {"epochs": 1000, "patience": None}
            shares = (_JUDGED_SHARE, _FITTED_SHARE)
            tried.append(Candidate(row, *({**within, "budget_seconds": share * budget} for share in shares)))
        elif name == "SASRec":
            tried.append(
                Candidate(row, *({"epochs": number, "patience": None} for number in (-(-epochs // 3), epochs)))
            )
        else:
            tried.append(Candidate(row))
    return tried, left_out


def split_cases(dataset: Dataset, repeats: bool, random_state: int = 0) -> tuple[Dataset, Cases]:
    """The earlier part of a log, and up to eight choices of the later part of each user with a past, of at most 1,000 users.

    The last fifth of the rows by time, or a random fifth of a log without times, and then the past is what was not held out.
    """
    timed = dataset.has("time")
    split = split_time(dataset, share=_SHARE) if timed else split_random(dataset, _SHARE, random_state)
    rng = np.random.default_rng(random_state)
    histories, pasts = dataset.histories, Pasts(dataset)
    if timed:
        moments = in_history_order(dataset, dataset.log["time"].dt.epoch("us").to_numpy())
        later = moments >= int(split.test.log["time"].dt.epoch("us").min())  # type: ignore[arg-type]
    else:
        rows = np.zeros(dataset.log.height, dtype=bool)
        rows[_held_rows(dataset, random_state)] = True
        later = in_history_order(dataset, rows)
        moments = later.astype(np.int64)
    owner = np.repeat(np.arange(dataset.n_users), np.diff(histories.offsets))
    places = np.flatnonzero(later)
    found, judges = list[tuple[int, int]](), 0
    for user in rng.permutation(np.unique(owner[places])):
        start, stop = histories.offsets[user], histories.offsets[user + 1]
        own = slice(start, stop)
        able = []
        for place in places[np.searchsorted(places, start) : np.searchsorted(places, stop)]:
            before = moments[own] < moments[place]
            if before.any() and (repeats or not (histories.items[own][before] == histories.items[place]).any()):
                able.append(int(place))
        if able:
            drawn = rng.choice(able, min(_MOST_CHOICES, len(able)), replace=False)
            found += [(int(user), int(place)) for place in np.sort(drawn)]
            judges += 1
        if judges == _MOST_USERS:
            break
    before = [moments[histories.offsets[user] : histories.offsets[user + 1]] < moments[place] for user, place in found]
    since = [later[histories.offsets[user] : histories.offsets[user + 1]] for user, _ in found]
    return split.train, Cases(
        np.array([user for user, _ in found], dtype=np.int32),
        tuple(pasts.of(user).where(kept) for (user, _), kept in zip(found, before, strict=True)),
        tuple(bool((b & s).any()) for b, s in zip(before, since, strict=True)),
        tuple(float(histories.days[place]) for _, place in found),
        np.array([histories.items[place] for _, place in found], dtype=np.int32),
        str(split.test.log["time"].dt.strftime("%Y-%m-%d %H:%M:%S").min()) if timed else None,
    )


@dataclass(frozen=True)
class Pools:
    """Of each case the items that some ranker has among its best: codes, (n, pool), -1 for none; scores, (n, pool, rankers), 0 there;
    target: place of the item that was chosen, -1 where it is in nobody's best.
    """

    codes: Codes
    scores: NDArray[np.float32]
    target: NDArray[np.int64]


def listed(asked: Mapping[str, Live[Any]], cases: Cases, repeats: bool) -> tuple[dict[str, Codes], Pools]:
    """The ten best of each case by each ranker, (n, 10), as the service would list them; and what a blend can be learnt from."""
    n, width = len(cases.users), _POOL * len(asked)
    lists = {name: np.full((n, K), -1, dtype=np.int32) for name in asked}
    codes, scores = np.full((n, width), -1, dtype=np.int32), np.zeros((n, width, len(asked)), dtype=np.float32)
    states = {name: _states(live, cases) for name, live in asked.items()}
    for place in range(n):
        every = np.stack([_preferences(live, states[name][place]) for name, live in asked.items()])
        if not repeats:
            every[:, cases.pasts[place].items] = -np.inf
        best, _ = top_k(every, _POOL)
        for row, name in zip(best, asked, strict=True):
            lists[name][place, : len(row[:K])] = row[:K]
        pool = np.unique(best[best >= 0])
        codes[place, : len(pool)], scores[place, : len(pool)] = pool, every[:, pool].T
    widest = int((codes >= 0).sum(axis=1).max(initial=1))
    codes, scores = codes[:, :widest], scores[:, :widest]
    found = codes == cases.targets[:, None]
    return lists, Pools(codes, scores, np.where(found.any(axis=1), found.argmax(axis=1), -1))


def _states(live: Live[Any], cases: Cases) -> list[Any]:
    """What a ranker makes of the users of the cases: as they stood at the cut where nothing came after it."""
    asked = [place for place in range(len(cases.users)) if cases.fresh[place] or live.timed]
    found = live.states_of([cases.pasts[p] for p in asked], [cases.days[p] for p in asked])
    states = dict(zip(asked, found, strict=True))
    return [states[place] if place in states else live.stored(int(user)) for place, user in enumerate(cases.users)]


def _preferences(live: Live[Any], state: Any) -> NDArray[np.float32]:
    scores, offset = live.scores(state)
    return scores + np.float32(offset)


def blended(pools: Pools, users: Codes) -> tuple[Codes, FloatArray, FloatArray]:
    """The ten best of each case by a blend whose weights the other half of the users gave, (n, 10); then the weights that all users give,
    of scores over their standard deviation and of scores as they are.
    """
    there = pools.codes >= 0
    spread = np.array([float(pools.scores[..., part][there].std()) or 1.0 for part in range(pools.scores.shape[2])])
    scaled = Pools(pools.codes, (pools.scores / spread).astype(np.float32), pools.target)
    lists = np.full((len(users), K), -1, dtype=np.int32)
    half = np.unique(users, return_inverse=True)[1] % 2 == 0
    for learnt, asked in ((half, ~half), (~half, half)):
        total = np.where(
            scaled.codes[asked] >= 0, scaled.scores[asked] @ _weights(scaled, learnt).astype(np.float32), -np.inf
        )
        places = top_k(total, K)[0]
        lists[asked, : places.shape[1]] = np.where(
            places >= 0, np.take_along_axis(scaled.codes[asked], places, axis=1), -1
        )
    weights = _weights(scaled, np.ones(len(users), dtype=bool))
    weights = np.where(weights < _LEAST_SAY * weights.max(), 0.0, weights)
    return lists, weights, weights / spread


def _weights(pools: Pools, rows: NDArray[np.bool_]) -> FloatArray:
    """Weights, 0 or more, of largest multinomial likelihood of the choices among their pools, less a ridge penalty (McFadden, 1974)."""
    told = rows & (pools.target >= 0)
    x, target = pools.scores[told].astype(np.float64), pools.target[told]
    there = pools.codes[told] >= 0
    chosen = x[np.arange(len(x)), target]

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        z = np.where(there, x @ w, -np.inf)
        top = z.max(axis=1, keepdims=True, initial=-1e300)
        chance = np.exp(z - top)
        total = chance.sum(axis=1)
        value = float((np.log(total) + top[:, 0] - chosen @ w).sum()) + _PENALTY * float(w @ w)
        gradient = np.einsum("nc,ncm->m", chance / total[:, None], x) - chosen.sum(axis=0) + 2 * _PENALTY * w
        return value, gradient

    start = np.full(x.shape[2], 1.0 / x.shape[2])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * x.shape[2])
    weights: FloatArray = found.x if found.x.any() else start
    return weights


def judged(lists: Mapping[str, Codes], cases: Cases, n_items: int, random_state: int = 0) -> pl.DataFrame:
    """A row a candidate beside the best: see `Choice`."""
    n = len(cases.targets)
    relevant = sparse.csr_matrix((np.ones(n, dtype=bool), cases.targets, np.arange(n + 1)), shape=(n, n_items))
    counts = np.ones(n, dtype=np.int64)
    users, owner = np.unique(cases.users, return_inverse=True)
    mean = sparse.csr_matrix((np.ones(n), (owner, np.arange(n))), shape=(len(users), n)) / np.bincount(owner)[:, None]
    accuracy = {name: np.asarray(mean @ per_user(found, relevant, counts)) for name, found in lists.items()}
    nothing = np.full((len(users), 3), np.nan)
    measured = Measured(
        users.astype(np.int32), accuracy, dict.fromkeys(lists, nothing),
        {name: {"coverage": ranking.coverage(found, n_items)} for name, found in lists.items()}, dict.fromkeys(lists),
    )  # fmt: skip
    best = max(accuracy, key=lambda name: float(accuracy[name][:, 0].mean()))
    columns = (
        "method", "users", "ndcg", "ndcg_low", "ndcg_high", "hit_rate", "coverage", "reference", "difference", "difference_low",
        "difference_high", "p_value",
    )  # fmt: skip
    return measured.table(best, random_state=random_state).select(columns)


def _held_rows(dataset: Dataset, random_state: int) -> Any:
    """The rows that `split_random` holds out."""
    return np.random.default_rng(random_state).permutation(dataset.log.height)[: round(_SHARE * dataset.log.height)]
