"""The recommenders by name: what makes each, in which settings `fit` takes it, what a search may try, what it can do.

`fit`, `tune`, the benchmark, the comparison beside a model, the service and the tests read this list; nothing heavy is loaded by it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args

from whyrec.errors import BadInput
from whyrec.recommenders.space import Choice, Real, Space, Whole

if TYPE_CHECKING:
    from whyrec.recommenders.base import Recommender

# live: what a user did since the log changes the ranking. new items: items that the log lacks are ranked, by their text.
# states: users and items have dense states of few numbers. heads: exposure and outcome of pairs are predicted. log odds: differences of
# scores are log odds of the next choice, so that a moment can tilt them and a slate can be drawn by them.
Ability = Literal["live", "new items", "states", "heads", "log odds"]


@dataclass(frozen=True)
class Ranker:
    """A row. name: in tables and commands. path: module and class. settings: in which `fit` takes it, over the class's defaults.

    space: what `tune` searches by default, empty where it has none. cost: of a fit, in words. most_items: the largest catalogue that it
    is offered for by itself. live: module and class by which one user is asked for now, see `whyrec.live`.
    """

    name: str
    path: str
    cost: str
    abilities: frozenset[Ability] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    space: Space = field(default_factory=dict, hash=False)
    live: str = "whyrec.live.contract:Fixed"
    most_items: int | None = None

    @property
    def kind(self) -> str:
        """Name of the class, by which a saved model and `tune` call it."""
        return self.path.partition(":")[2]

    @property
    def recommender(self) -> type[Recommender]:
        """The class."""
        found: type[Recommender] = _loaded(self.path)
        return found

    @property
    def available(self) -> bool:
        """Whether its modules are installed."""
        try:
            return self.recommender is not None
        except ModuleNotFoundError:
            return False

    def make(self, settings: Mapping[str, Any] | None = None, **usual: Any) -> Recommender:
        """An unfitted recommender. settings: of its constructor, over those of `fit`; BadInput for one that it has not.

        usual: what every recommender is offered (a seed, a text model) and those take that have such a parameter.
        """
        known = list(inspect.signature(self.recommender).parameters)
        given = {**self.settings, **(settings or {})}
        for name in given:
            if name not in known:
                raise BadInput(f"{self.name} has no setting {name!r}; it has {', '.join(known) or 'none'}")
        offered = {name: value for name, value in usual.items() if name in known}
        return self.recommender(**{**offered, **given})


# Of SASRec and its kin: learning rate, dropout and position were chosen on validation items of MovieLens-1M.
_TRANSFORMER: dict[str, Any] = {"length": 100, "dropout": 0.1, "position": "rotary", "learning_rate": 6e-3}
_NEAR: Space = {
    "neighbours": Whole(20, 1000, log=True),
    "shrinkage": Real(0.1, 300, log=True),
    "weighting": Choice(("cosine", "bm25", "tf-idf", "jaccard")),
}
_FOLLOWS: frozenset[Ability] = frozenset({"live"})
_STATES: frozenset[Ability] = frozenset({"states"})
_SEQUENCE: frozenset[Ability] = frozenset({"live", "states", "log odds"})
_COUNTS, _SEQUENCES = "whyrec.live.counts:Counts", "whyrec.live.sequence:Sequence"
_HOME = "whyrec.recommenders"

RANKERS: tuple[Ranker, ...] = (
    Ranker("popularity", f"{_HOME}.popularity:Popularity", "nothing"),
    Ranker(
        "recent popularity", f"{_HOME}.popularity:RecentPopularity", "nothing", space={"half_life_days": Real(1, 365, log=True)}
    ),
    Ranker("content-based", f"{_HOME}.content:ContentBased", "the item texts once", _STATES),
    Ranker("item-kNN", f"{_HOME}.neighbours:ItemKNN", "seconds", _FOLLOWS, space=_NEAR, live=_COUNTS),
    Ranker("user-kNN", f"{_HOME}.neighbours:UserKNN", "seconds; users squared", space=_NEAR),
    Ranker(
        "EASE", f"{_HOME}.ease:EASE", "seconds to minutes; items cubed", _FOLLOWS,
        space={"regularisation": Real(10, 5000, log=True)}, live=_COUNTS, most_items=20_000,
    ),
    Ranker(
        "SLIM", f"{_HOME}.slim:SLIM", "minutes; a regression for each item", _FOLLOWS,
        space={"l1": Real(0.1, 30, log=True), "l2": Real(1, 1000, log=True)}, live=_COUNTS, most_items=10_000,
    ),
    Ranker(
        "ALS", f"{_HOME}.factorisation:ImplicitALS", "seconds", _FOLLOWS | _STATES,
        space={
            "factors": Choice((16, 32, 64, 128)), "regularisation": Real(0.1, 200, log=True), "alpha": Real(0.5, 40, log=True),
            "iterations": Whole(5, 20),
        },
        live="whyrec.live.factors:FoldIn",
    ),
    Ranker(
        "BPR", f"{_HOME}.factorisation:BPR", "seconds", _STATES,
        space={
            "factors": Choice((16, 32, 64, 128)), "learning_rate": Real(0.005, 0.2, log=True),
            "regularisation": Real(0.0003, 0.1, log=True), "iterations": Whole(20, 300, log=True),
        },
    ),
    Ranker(
        "LightGCN", f"{_HOME}.lightgcn:LightGCN", "minutes", _STATES,
        space={
            "factors": Choice((32, 64)), "layers": Whole(1, 3), "loss": Choice(("bpr", "softmax")),
            "learning_rate": Real(0.001, 0.03, log=True), "regularisation": Real(1e-6, 1e-2, log=True),
            "epochs": Whole(10, 60, log=True),
        },
    ),
    Ranker("biased MF", f"{_HOME}.factorisation:BiasedMF", "seconds; predicts ratings", _STATES),
    Ranker("SVD++", f"{_HOME}.svdpp:SVDpp", "seconds; predicts ratings", _STATES),
    Ranker("two-tower", f"{_HOME}.two_tower:TwoTowerRecommender", "minutes, and the item texts once", _STATES),
    Ranker("SASRec", f"{_HOME}.sasrec:SASRec", "minutes", _SEQUENCE, settings=_TRANSFORMER, live=_SEQUENCES),
    # NDCG@10 on validation items of MovieLens-1M after 100 CPU seconds is .127 with 256 negatives a batch, .149 with 1,024.
    Ranker(
        "eSASRec", f"{_HOME}.sasrec:SASRec", "minutes", _SEQUENCE,
        settings={**_TRANSFORMER, "loss": "sampled_softmax", "block": "ligr", "negatives": 1024}, live=_SEQUENCES,
    ),
    Ranker(
        "gSASRec", f"{_HOME}.sasrec:SASRec", "minutes", _FOLLOWS | _STATES,
        settings={**_TRANSFORMER, "loss": "gbce", "negatives": 1024}, live=_SEQUENCES,
    ),
    Ranker("BERT4Rec", f"{_HOME}.bert4rec:BERT4Rec", "minutes", _SEQUENCE, settings=_TRANSFORMER, live=_SEQUENCES),
    Ranker("blend", f"{_HOME}.blend:Blend", "that of its parts", _FOLLOWS, live="whyrec.live.blend:Blended"),
    Ranker("given scores", f"{_HOME}.given:GivenScores", "nothing; another system's"),
    Ranker("given states", f"{_HOME}.given:GivenStates", "nothing; another system's", _STATES),
    Ranker(
        "two-headed", f"{_HOME}.two_headed:TwoHeadedRecommender", "minutes, and the item texts once", frozenset(get_args(Ability)),
        live="whyrec.live.two_headed:TwoHeaded",
    ),
)  # fmt: skip


def ranker(name: str) -> Ranker:
    """A row by its name or its class's, whatever the case and the hyphens ("item-kNN", "itemknn", "ItemKNN"); BadInput for another."""
    wanted = _plain(name)
    for row in RANKERS:
        if wanted in (_plain(row.name), _plain(row.kind)):
            return row
    raise BadInput(f"no ranker {name!r}; there are {', '.join(row.name for row in RANKERS)}")


def row_of(recommender: Recommender) -> Ranker:
    """The row of a recommender, by its class and settings; one that the catalogue does not know serves the users of its log by `score_all`."""
    kind = type(recommender).__name__
    unknown = Ranker(kind, f"{type(recommender).__module__}:{kind}", "")

    def alike(row: Ranker) -> int:
        return sum(getattr(recommender, name, None) == value for name, value in row.settings.items())

    return max((row for row in RANKERS if row.kind == kind), key=alike, default=unknown)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower()).removesuffix("recommender")


def _loaded(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
