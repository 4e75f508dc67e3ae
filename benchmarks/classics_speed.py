"""Item-kNN, EASE and ALS beside `implicit` and LensKit: fit, and the ten best for all users, on MovieLens-1M's sequences.

    WHYREC_DATA=DIR WHYREC_PEER_LENSKIT=/path/to/python OMP_NUM_THREADS=1 python benchmarks/classics_speed.py [--million] [out.json]

One thread each, one after the other (`implicit` and whyrec three times, the least counts), the same interactions, seen items left out; NDCG@10 on the test items shows how
equal the accuracy is. LensKit (2025.8.1) runs in its own environment and is skipped, and said to be, where WHYREC_PEER_LENSKIT is not set.
`implicit` has no EASE. --million: also the peak of memory while 100,000 users get ten of 1,000,000 items each (some minutes).
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from whyrec.data.split import Split
from whyrec.recommenders.ease import EASE
from whyrec.recommenders.evaluation import per_user, relevant_items
from whyrec.recommenders.factorisation import ImplicitALS
from whyrec.recommenders.neighbours import ItemKNN
from whyrec.studies.recommender_benchmark import ml_1m_sequences
from whyrec.studies.recommender_peers import lenskit

METHODS = ("item-kNN", "EASE", "ALS")
Found = dict[str, dict[str, object]]


def clocked(work: Callable[[], object]) -> tuple[list[float], object]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return [time.process_time() - cpu, time.perf_counter() - wall], result


def quality(split: Split, lists: np.ndarray) -> float:
    users, relevant = relevant_items(split.train, split.test, True)
    return float(per_user(lists[users], relevant, np.diff(relevant.indptr))[:, 0].mean())


def ours(split: Split) -> Found:
    makers = {"item-kNN": lambda: ItemKNN(200, 10.0), "EASE": lambda: EASE(300.0), "ALS": lambda: ImplicitALS(64, 10.0)}
    users, found = np.arange(split.train.n_users), {}
    for name, make in makers.items():
        fit, model = clocked(lambda make=make: make().fit(split.train))
        top, (lists, _) = clocked(lambda model=model: model.recommend(users, 10))
        found[name] = {"fit": fit, "top": top, "ndcg": quality(split, lists)}
    return found


def of_implicit(split: Split) -> Found:
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import CosineRecommender

    matrix, users, found = split.train.matrix, np.arange(split.train.n_users), {}
    makers = {
        "item-kNN": lambda: CosineRecommender(K=200, num_threads=1),
        "ALS": lambda: AlternatingLeastSquares(64, regularization=10.0, alpha=2.0, iterations=10, random_state=0, num_threads=1),
    }
    with threadpool_limits(1, "blas"):
        for name, make in makers.items():
            model = make()
            fit, _ = clocked(lambda model=model: model.fit(matrix, show_progress=False))
            top, (lists, _) = clocked(lambda model=model: model.recommend(users, matrix, N=10, filter_already_liked_items=True))
            found[name] = {"fit": fit, "top": top, "ndcg": quality(split, lists.astype(np.int32))}
    return found


def of_lenskit(split: Split) -> Found | None:
    python = os.environ.get("WHYREC_PEER_LENSKIT")
    if not python:
        return None
    told = lenskit(python, split, list(METHODS))
    return {method: times | {"ndcg": quality(split, lists)} for method, lists, times in told}


def least(rounds: list[Found]) -> Found:
    """Of each method and part the run of the least CPU time."""
    return {
        name: rounds[0][name] | {part: min(found[name][part] for found in rounds) for part in ("fit", "top")} for name in rounds[0]
    }


def million(users: int = 100_000, items: int = 1_000_000, factors: int = 16) -> dict[str, float]:
    """Ten of a million items for a hundred thousand users: seconds, and how much the peak of memory grew, in GiB."""
    generator = np.random.default_rng(0)
    model = ImplicitALS()
    model.n_users_, model.n_items_ = users, items
    owner = np.repeat(np.arange(users), 10)
    seen = (np.ones(len(owner), dtype=bool), (owner, generator.integers(0, items, len(owner))))
    model.seen_ = sparse.csr_matrix(seen, shape=(users, items))
    model.user_factors_ = generator.standard_normal((users, factors), dtype=np.float32)
    model.item_factors_ = generator.standard_normal((items, factors), dtype=np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The peak is reached within the first blocks of users; the rest only repeats it.
    timed, _ = clocked(lambda: model.recommend(np.arange(2048), 10))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu": timed[0], "users_timed": 2048, "peak_gib": after / 2**20, "grew_gib": (after - before) / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("out", nargs="?")
    asked = parser.parse_args()
    results: dict[str, object] = {}
    if asked.million:
        results["million"] = found = million()
        whole = 4 * 1e11 / 2**30
        print(
            f"top 10 of 1,000,000 items: the peak is {found['peak_gib']:.2f} GiB, {found['grew_gib']:.2f} above what model and log take; the whole "
            f"score matrix of 100,000 users would take {whole:.0f} GiB. {1000 * found['cpu'] / found['users_timed']:.1f} CPU ms a user"
        )
    split = ml_1m_sequences(Path(os.environ.get("WHYREC_DATA", "shared/data")))
    _ = split.train.matrix, split.train.histories
    # Turn and turn about, the least of three: what else the machine does only adds.
    rounds = [(of_implicit(split), ours(split)) for _ in range(3)]
    theirs, own = (least([pair[place] for pair in rounds]) for place in (0, 1))
    tables = {"LensKit": of_lenskit(split), "implicit": theirs, "whyrec": own}
    results["methods"] = tables
    for peer, found in tables.items():
        if found is None:
            print(f"{peer}: skipped, WHYREC_PEER_LENSKIT names no Python with lenskit")
            continue
        for name, row in found.items():
            mine = tables["whyrec"][name]
            ratio = [row["fit"][0] / mine["fit"][0], row["top"][0] / mine["top"][0]]
            beside = "" if peer == "whyrec" else f"; whyrec is {ratio[0]:.2f} and {ratio[1]:.2f} times as fast"
            print(f"{peer:8} {name:8} fit {row['fit'][0]:7.2f}, top ten of all {row['top'][0]:7.2f} CPU s, NDCG@10 {row['ndcg']:.4f}{beside}")
    if asked.out:
        Path(asked.out).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
