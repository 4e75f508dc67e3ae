"""LensKit's item-kNN, EASE and ALS, run by `classics_speed.py` in LensKit's own environment; prints one JSON object a method.

    python peer_lenskit.py LOG.parquet OUT_FOLDER METHODS

LOG has user_id and item_id. Writes OUT_FOLDER/METHOD.csv: user_id, item_id, rank (from 1) of each user's ten best.
"""

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.batch import recommend
from lenskit.data import from_interactions_df
from lenskit.knn import ItemKNNScorer
from lenskit.knn.ease import EASEScorer
from lenskit.pipeline import topn_pipeline

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
SCORERS = {
    "item-kNN": (ItemKNNScorer, {"max_nbrs": 200, "save_nbrs": 200, "feedback": "implicit"}),
    "EASE": (EASEScorer, {"regularization": 300.0}),
    "ALS": (ImplicitMFScorer, {"embedding_size": 64, "epochs": 10, "regularization": 10.0, "weight": 1.0}),
}


def main() -> None:
    log, out = pd.read_csv(sys.argv[1]), Path(sys.argv[2])
    data = from_interactions_df(log)
    users = log["user_id"].unique().tolist()
    for name in sys.argv[3].split(","):
        scorer, config = SCORERS[name]
        pipeline = topn_pipeline(scorer, config, n=10)
        cpu, wall = time.process_time(), time.perf_counter()
        pipeline.train(data)
        fit = [time.process_time() - cpu, time.perf_counter() - wall]
        cpu, wall = time.process_time(), time.perf_counter()
        lists = recommend(pipeline, users, 10, n_jobs=1)
        top = [time.process_time() - cpu, time.perf_counter() - wall]
        frame = lists.to_df()
        frame[["user_id", "item_id", "rank"]].to_csv(out / f"{name}.csv", index=False)
        print(json.dumps({"method": name, "fit": fit, "top": top}), flush=True)


if __name__ == "__main__":
    main()
