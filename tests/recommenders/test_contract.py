"""Every recommender against the common battery."""

import inspect
from pathlib import Path

import pytest
from tests import estimator_checks as checks

from whyrec.recommenders.bert4rec import BERT4Rec
from whyrec.recommenders.content import ContentBased
from whyrec.recommenders.ease import EASE
from whyrec.recommenders.factorisation import BPR, BiasedMF, ImplicitALS
from whyrec.recommenders.lightgcn import LightGCN
from whyrec.recommenders.neighbours import ItemKNN, UserKNN
from whyrec.recommenders.popularity import Popularity, RecentPopularity, SegmentPopularity
from whyrec.recommenders.sasrec import SASRec
from whyrec.recommenders.slim import SLIM
from whyrec.recommenders.svdpp import SVDpp
from whyrec.recommenders.two_headed import TwoHeadedRecommender
from whyrec.recommenders.two_tower import TwoTowerRecommender

# Transformers of a few hundred weights.
SEQUENCE = {"width": 8, "length": 6, "layers": 1, "negatives": 3, "epochs": 3, "batch_events": 60, "device": "cpu"}
SMALL, TINY = checks.small_dataset(), checks.tiny_dataset()
MAKERS = {
    "popularity": Popularity,
    "recent popularity": lambda: RecentPopularity(half_life_days=7),
    "popularity by segment": lambda: SegmentPopularity("segment", prior=5),
    "content": ContentBased,
    "item-kNN": lambda: ItemKNN(neighbours=4, shrinkage=1),
    "user-kNN": lambda: UserKNN(neighbours=4, shrinkage=1),
    "item-kNN, BM25": lambda: ItemKNN(neighbours=4, shrinkage=1, weighting="bm25"),
    "item-kNN, TF-IDF": lambda: ItemKNN(neighbours=4, shrinkage=1, weighting="tf-idf"),
    "user-kNN, Jaccard": lambda: UserKNN(neighbours=4, shrinkage=1, weighting="jaccard"),
    "EASE": lambda: EASE(regularisation=5),
    "SLIM": lambda: SLIM(l1=0.1, l2=1),
    "ALS": lambda: ImplicitALS(factors=4, iterations=3),
    "BPR": lambda: BPR(factors=4, iterations=5),
    "ALS, weighted": lambda: ImplicitALS(factors=4, iterations=3, debias="ips"),
    "BPR, deconfounded": lambda: BPR(factors=4, iterations=3, batch_size=32, debias="pd"),
    "BPR, counterfactual": lambda: BPR(factors=4, iterations=3, batch_size=32, debias="macr"),
    "LightGCN": lambda: LightGCN(factors=4, layers=2, epochs=3, batch_size=32, device="cpu"),
    "LightGCN, sampled": lambda: LightGCN(
        factors=4, layers=2, loss="softmax", negatives=4, epochs=3, batch_size=32, fan_out=2, device="cpu"
    ),
    "LightGCN, forecast": lambda: LightGCN(factors=4, layers=1, epochs=3, batch_size=32, debias="pda", device="cpu"),
    "LightGCN, counterfactual": lambda: LightGCN(
        factors=4, layers=1, epochs=3, batch_size=32, debias="macr", device="cpu"
    ),
    "biased MF": lambda: BiasedMF(factors=2, iterations=3),
    "SVD++": lambda: SVDpp(factors=2, epochs=3, batch_ratings=40),
    "two-tower": lambda: TwoTowerRecommender(width=8, epochs=2, batch_size=32, negatives=4),
    "two-headed": lambda: TwoHeadedRecommender(
        width=8, length=20, epochs=2, negatives=4, batch_events=60, device="cpu"
    ),
}
MAKERS |= {
    "SASRec": lambda: SASRec(**SEQUENCE),
    "gSASRec": lambda: SASRec(loss="gbce", position="rotary", **SEQUENCE),
    "eSASRec": lambda: SASRec(loss="sampled_softmax", block="ligr", position="time", validation_users=0, **SEQUENCE),
    "BERT4Rec": lambda: BERT4Rec(**SEQUENCE),
}
CHECKS = {name: check for name, check in vars(checks).items() if name.startswith("check_")}


@pytest.fixture(autouse=True, scope="module")
def text_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("method", MAKERS)
def test_contract(method: str, check: str, tmp_path: Path) -> None:
    available = {"make": MAKERS[method], "dataset": SMALL, "tiny": TINY, "folder": tmp_path}
    CHECKS[check](**{name: available[name] for name in inspect.signature(CHECKS[check]).parameters})
