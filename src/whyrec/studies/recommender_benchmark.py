"""Recommenders on reference data, each beside popularity: `whyrec benchmark recommenders --data DIR`.

Settings of the classics are chosen from the small grids below by NDCG@10 on each user's last training item, after which the method is
fitted on all training items. The transformers train for a budget of CPU seconds each and stop by the last training
items of a part of the users, which they do not learn from. Test items are looked at once, by the table.
`implicit` stands beside them, and RecTools, RecBole and LensKit do where they are, see `recommender_peers`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.data.dataset import Codes, Dataset
from whyrec.data.schema import Schema
from whyrec.data.split import Split, split_last, split_random, split_time
from whyrec.errors import BadInput
from whyrec.progress import say
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.catalogue import ranker
from whyrec.recommenders.evaluation import Measured, measure
from whyrec.recommenders.factorisation import BiasedMF
from whyrec.recommenders.sequence import SequenceRecommender
from whyrec.studies.cold_items import cold_items
from whyrec.studies.kept_lists import Made, kept, log_key
from whyrec.studies.measured import Benchmark, Claim, Part
from whyrec.studies.recommender_peers import of_implicit, peers, side_by_side

TABLES = ("ml-100k last", "ml-100k time", "ml-100k ratings", "ml-1m-sequences", "cold items")
_QUICK = ("ml-100k last", "ml-100k time", "cold items")
_GENRES = 19
# Unfitted models by method: copied before they learn.
Grid = dict[str, tuple[Recommender, ...]]


def _of(name: str, *settings: dict[str, Any]) -> tuple[Recommender, ...]:
    """A ranker of the catalogue in each of some settings."""
    return tuple(ranker(name).make(given) for given in settings or ({},))


def _item_knn(weighting: str = "cosine", *shrinkages: float) -> tuple[Recommender, ...]:
    given = [{"neighbours": 200, "shrinkage": value, "weighting": weighting} for value in shrinkages or (10.0,)]
    return _of("item-kNN", *given)


GRID: Grid = {
    "popularity": _of("popularity"),
    "item-kNN, cosine": _item_knn("cosine", 10.0, 100.0),
    "item-kNN, BM25": _item_knn("bm25"),
    "item-kNN, TF-IDF": _item_knn("tf-idf"),
    "item-kNN, Jaccard": _item_knn("jaccard"),
    "user-kNN, cosine": _of("user-kNN", *({"neighbours": number, "shrinkage": 1.0} for number in (100, 300))),
    "ALS": _of("ALS", *({"factors": 64, "regularisation": penalty} for penalty in (1.0, 10.0, 50.0))),
    # The last of BPR and of SLIM: found by `whyrec tune` on MovieLens-100K's training items.
    "BPR": _of(
        "BPR",
        *({"factors": 64, "learning_rate": 0.05, "regularisation": penalty, "iterations": 50} for penalty in (0.01, 0.05)),
        {"factors": 16, "learning_rate": 0.0066, "regularisation": 0.02, "iterations": 150},
    ),
    "EASE": _of("EASE", *({"regularisation": penalty} for penalty in (100.0, 300.0, 1000.0))),
    "SLIM": _of("SLIM", {"l1": 5.0, "l2": 100.0, "tolerance": 1e-2}, {"l1": 3.1, "l2": 43.0, "tolerance": 1e-2}),
    "LightGCN": _of("LightGCN", *({"factors": 64, "layers": 2, "epochs": epochs} for epochs in (30, 90))),
}
# Where an epoch is dear, or the time is.
_FEW_EPOCHS: Grid = {"LightGCN": _of("LightGCN", {"factors": 64, "layers": 2, "epochs": 10})}
# CPU seconds that each transformer trains for: MovieLens-100K quick and in full, MovieLens-1M.
BUDGETS = {"quick": 8.0, "ml-100k": 60.0, "ml-1m": 300.0}
_SHOWN = (
    *(
        "method",
        "users",
        "ndcg",
        "ndcg_low",
        "ndcg_high",
        "recall",
        "recall_low",
        "recall_high",
        "mrr",
        "map",
        "hit_rate",
    ),
    *("coverage", "gini", "novelty", "diversity", "popularity_bias", "difference", "p_value", "fit_seconds"),
)
# Choosing and fitting within twice what a transformer trains for.
DELIVERED = "as fit delivers (auto)"
_TIMED: Grid = {"recent popularity": _of("recent popularity", *({"half_life_days": days} for days in (7.0, 30.0, 90.0)))}


def transformers(budget: float, random_state: int) -> Grid:
    """SASRec by cross-entropy, gSASRec, eSASRec and BERT4Rec, each to be trained for `budget` CPU seconds."""
    budgeted: dict[str, Any] = {"epochs": 1000, "patience": None, "budget_seconds": budget, "random_state": random_state}
    return {name: _of(name, budgeted) for name in ("SASRec", "gSASRec", "eSASRec", "BERT4Rec")}


class Chosen(Recommender):
    """What `whyrec fit --ranker auto --budget SECONDS` takes on a log, as one more method: choosing is part of its cost."""

    def __init__(self, budget: float | None = None, random_state: int = 0) -> None:
        self.budget = budget
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        from whyrec.decide.choice import choose

        self.choice_ = choose(dataset, budget=self.budget, random_state=self.random_state)
        made = ranker(self.choice_.ranker).make(self.choice_.settings, random_state=self.random_state)
        self.recommender_ = made.fit(dataset)

    def score_all(self, users: Codes) -> Scores:
        """Of the ranker that was chosen."""
        return self.recommender_.score_all(users)


def recommender_benchmark(
    data: Path,
    *,
    quick: bool = False,
    only: Sequence[str] | None = None,
    budget: float | None = None,
    keep: Path | None = None,
    random_state: int = 0,
) -> Benchmark:
    """Run the tables (or `only` some of TABLES); quick: MovieLens-100K's two rankings without peers, and the cold items.

    budget: CPU seconds that each transformer, and each of a peer's, trains for; by default BUDGETS.
    keep: a folder for the lists of each method as soon as they are made; the same run goes on from them. Lists made by
    another version of the code count as made: empty the folder when a method has changed.

    A table whose data are not below `data` is skipped, and the reason is told.
    """
    unknown = set(only or ()) - set(TABLES)
    if unknown:
        raise BadInput(f"no table {sorted(unknown)[0]!r}; the tables are {', '.join(TABLES)}")
    small = budget or BUDGETS["quick" if quick else "ml-100k"]
    makers: dict[str, Callable[[], Part]] = {
        "ml-100k last": lambda: _movielens("ml-100k last", data, small, quick, keep, random_state),
        "ml-100k time": lambda: _movielens("ml-100k time", data, small, quick, keep, random_state),
        "ml-100k ratings": lambda: ratings(data, 5),
        "ml-1m-sequences": lambda: _sequences(data, budget or BUDGETS["ml-1m"], keep, random_state),
        "cold items": lambda: cold_items(data, random_state),
    }
    found: list[Part] = []
    for name in only or (_QUICK if quick else TABLES):
        start = time.perf_counter()
        try:
            table = makers[name]()
        except BadInput as error:
            found.append(Part(name, skipped=str(error)))
            continue
        found.append(replace(table, seconds=time.perf_counter() - start))
    if all(part.skipped for part in found):
        raise BadInput("; ".join(part.skipped for part in found))
    return Benchmark(tuple(found), quick)


def ml_100k(data: Path) -> tuple[Dataset, np.ndarray]:
    """Ratings as interactions with their time, and genres of items (n_items, 19).

    Rows are sorted by user, time and item code first: that is the rule by which equal times are ordered.
    """
    folder = data / "ml-100k"
    names = ["user", "item", "rating", "time"]
    log = pl.read_csv(_there(folder / "u.data"), separator="\t", has_header=False, new_columns=names)
    log = log.sort("user", "time", "item").with_columns(time=pl.from_epoch("time"), rating=pl.col("rating").cast(float))
    lines = _there(folder / "u.item").read_text(encoding="latin-1").splitlines()
    fields = [line.split("|") for line in lines if line]
    items = pl.DataFrame({"item": [int(row[0]) for row in fields]})
    order = np.argsort(items["item"].to_numpy(), kind="stable")
    genres = np.array([row[-_GENRES:] for row in fields], dtype=np.float64)[order]
    return Dataset.build(log, Schema(time="time", outcome="rating"), items=items, name="MovieLens-100K"), genres


def ml_1m_sequences(data: Path) -> Split:
    """Histories to learn from and the item to predict, with the place in the history for a time."""
    folder = data / "ml-1m-sequences"
    histories, targets = (
        [np.array(line.split(), dtype=np.int64) for line in _there(folder / name).read_text().splitlines()]
        for name in ("train.txt", "test-output.txt")
    )
    if len(histories) != len(targets):
        raise BadInput(f"{folder}: {len(histories)} histories beside {len(targets)} test items; copy the folder again")
    sizes = [len(row) for row in histories]
    place = np.concatenate([np.arange(size) for size in sizes] + [np.array(sizes)])
    users = np.arange(len(sizes))
    log = pl.DataFrame(
        {
            "user": np.concatenate([np.repeat(users, sizes), users]),
            "item": np.concatenate(histories + targets),
            "time": pl.from_epoch(pl.Series(place)),
        }
    )
    whole = Dataset.build(log, Schema(time="time"), name="MovieLens-1M sequences")
    held = np.repeat([False, True], [sum(sizes), len(sizes)])
    return Split(whole.where(~held), whole.where(held), "the item of test-output.txt")


def ranked(
    split: Split,
    grid: Grid,
    vectors: np.ndarray | None,
    random_state: int,
    others: dict[str, Made] | None = None,
    keep: Path | None = None,
) -> tuple[pl.DataFrame, dict[str, str], Measured]:
    """The table of all methods of the grid (and of `others`) on the test part, the settings chosen, as text, and what was measured."""
    asked: dict[str, object] = {"log": log_key(split.train)}
    made = {
        name: kept(
            keep,
            name,
            asked | {"grid": [[type(model).__name__, _given(model)] for model in models]},
            partial(_made, name, models, split),
        )
        for name, models in grid.items()
    }
    made |= others or {}
    fitted = {name: found.recommender(split.train) for name, found in made.items()}
    measured = measure(fitted, split.train, split.test, exclude_seen=True, item_vectors=vectors)
    table = measured.table("popularity", random_state=random_state)
    seconds = pl.Series([found.seconds for found in made.values()], dtype=pl.Float64)
    return table.with_columns(fit_seconds=seconds), {name: found.told for name, found in made.items()}, measured


def _made(name: str, models: tuple[Recommender, ...], split: Split) -> Made:
    """The model of the highest NDCG@10 on each user's last training item, fitted on all of them, and its lists of ten."""
    say(f"{split.train.name}: {name}")
    best = 0
    if len(models) > 1:
        inner = split_last(split.train, 1)
        tried = {str(place): deepcopy(model).fit(inner.train) for place, model in enumerate(models)}
        found = measure(tried, inner.train, inner.test, exclude_seen=True)
        best = int(np.argmax([values[:, 0].mean() for values in found.accuracy.values()]))
    start = time.process_time()
    model = deepcopy(models[best]).fit(split.train)
    seconds = time.process_time() - start
    given = ", ".join(f"{key}={value}" for key, value in _given(models[best]).items()).removeprefix("told=")
    told = f"{given or 'none'} ({f'the best of {len(models)}' if len(models) > 1 else 'not tuned'})"
    if isinstance(model, SequenceRecommender):
        told += f", {model.epochs_} epochs"
    if isinstance(model, Chosen):
        parts = " + ".join(str(part["ranker"]) for part in model.choice_.settings.get("parts", ()))
        told += f", took {model.choice_.ranker}{f' of {parts}' if parts else ''} after {model.choice_.seconds:.0f} CPU seconds"
    lists, _ = model.recommend(np.arange(split.train.n_users, dtype=np.int32), 10)
    return Made(lists, seconds, told)


def _given(model: Recommender) -> dict[str, Any]:
    """Parameters by name; of a transformer those that differ from its defaults."""
    given = {name: value for name, value in vars(model).items() if name != "make"}
    if isinstance(model, SequenceRecommender):
        usual = vars(type(model)())
        given = {name: value for name, value in given.items() if value != usual[name]}
    return given


def ratings(data: Path, repetitions: int) -> Part:
    """RMSE of rating predictors over random 80/20 splits: the same splits for all, settings fixed beforehand."""
    from whyrec.recommenders.svdpp import SVDpp

    dataset, _ = ml_100k(data)
    makers: dict[str, Callable[[int], Any]] = {
        "biases only": lambda seed: BiasedMF(factors=0, random_state=seed),
        "biased factorisation": lambda seed: BiasedMF(random_state=seed),
        "SVD++": lambda seed: SVDpp(random_state=seed),
    }
    errors: dict[str, list[float]] = {name: [] for name in makers}
    for seed in range(repetitions):
        split = split_random(dataset, 0.2, random_state=seed)
        users, items = (split.test.log[f"{role}_code"].to_numpy() for role in ("user", "item"))
        observed = split.test.log["outcome"].to_numpy()
        for name, make in makers.items():
            say(f"ratings, split {seed + 1}: {name}")
            predicted = make(seed).fit(split.train).predict(users, items)
            errors[name].append(float(np.sqrt(np.mean((predicted - observed) ** 2))))
    rows = [
        {"method": name, "rmse": np.mean(found), "lowest": min(found), "highest": max(found)}
        for name, found in errors.items()
    ]
    made = f"{repetitions} random 80/20 splits, seeds 0 to {repetitions - 1}; defaults; predictions not clipped"
    return Part.of("ml-100k ratings", "MovieLens-100K, error of ratings", pl.DataFrame(rows), made)


def _movielens(name: str, data: Path, budget: float, quick: bool, keep: Path | None, random_state: int) -> Part:
    dataset, genres = ml_100k(data)
    if name == "ml-100k last":
        split, how = split_last(dataset, 1), "leave-last-out, equal times by item code"
        title = "MovieLens-100K, leave-last-out"
    else:
        split, how = (
            split_time(dataset, 0.2),
            "the last fifth of the log by time, all rows of the moment of the cut in the test part",
        )
        title = "MovieLens-100K, split by time"
    grid = GRID | _TIMED | (_FEW_EPOCHS if quick else {})
    return _table(name, title, split, how, grid, genres, budget, not quick, keep, random_state)


def _sequences(data: Path, budget: float, keep: Path | None, random_state: int) -> Part:
    split = ml_1m_sequences(data)
    how = "leave-last-out as stored (the item before most test items is missing); one setting a method where costly"
    grid = GRID | _FEW_EPOCHS | {"BPR": GRID["BPR"][:1], "SLIM": GRID["SLIM"][:1]}
    return _table("ml-1m-sequences", "MovieLens-1M sequences", split, how, grid, None, budget, True, keep, random_state)


def _table(
    name: str,
    title: str,
    split: Split,
    how: str,
    grid: Grid,
    vectors: np.ndarray | None,
    budget: float,
    beside: bool,
    keep: Path | None,
    random_state: int,
) -> Part:
    by_order = transformers(budget, random_state)
    ours = by_order | {DELIVERED: (Chosen(2 * budget, random_state),)}
    neighbours = of_implicit(random_state) if beside else {}
    # An epoch of RecBole's on a million targets takes half an hour on one thread.
    others = peers(split, budget, random_state, keep, split.train.matrix.nnz < 500_000) if beside else {}
    frame, settings, measured = ranked(split, grid | ours | neighbours, vectors, random_state, others, keep)
    frame = frame.select(_SHOWN).sort("ndcg", descending=True)
    first = frame.filter(pl.col("method").is_in([*grid, *ours])).row(0, named=True)
    new = int((np.diff(split.train.matrix.indptr)[split.test.interactions["user_code"].unique().to_numpy()] == 0).sum())
    claims = [
        Claim(
            f"NDCG@10 of the best of ours, {first['method']}, is above popularity's: by {first['difference']:.4f}, "
            f"Holm-adjusted p {first['p_value'] or 1.0:.4f}",
            bool(first["p_value"] is not None and first["p_value"] < 0.05),
        ),
        Claim(f"{new} of the users with test items have no training item", None),
        _classics_beside(frame, set(grid), set(by_order)),
        *(side_by_side(measured, random_state) if beside else ()),
    ]
    told = "; ".join(f"{method}: {words}" for method, words in settings.items())
    made = (
        f"{how}; whole catalogue ranked, seen items left out, k = 10. Transformers train for {budget:.0f} CPU seconds. "
        f"Chosen on each user's last training item: {told}"
    )
    return Part.of(name, title, frame, made, tuple(claims))


def _classics_beside(frame: pl.DataFrame, classics: set[str], transformers: set[str]) -> Claim:
    """Which of the two kinds has the best row, said and not judged."""
    best = {}
    for kind, names in (("classic", classics), ("transformer", transformers)):
        row = frame.filter(pl.col("method").is_in(list(names))).row(0, named=True)
        best[kind] = f"{row['method']} {row['ndcg']:.4f} [{row['ndcg_low']:.4f}, {row['ndcg_high']:.4f}]"
    return Claim(f"best classic: {best['classic']}; best transformer: {best['transformer']}", None)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise BadInput(f"{path}: no such file; pass the folder of the reference data with --data")
    return path
