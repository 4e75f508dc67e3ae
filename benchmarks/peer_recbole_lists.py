"""RecBole's SASRec or LightGCN on histories that are handed to it; runs in RecBole's own environment.

Usage: PYTHON peer_recbole_lists.py METHOD TABLE.npz OUT.npz SECONDS SEED WIDTH LENGTH BATCH RATE. METHOD: SASRec (cross-entropy over all
items) or LightGCN (two layers). TABLE holds offsets and items (every user's training items, oldest first) and k. Training
goes on for SECONDS of CPU time, whole epochs or not, and the last weights are kept. OUT gets lists (users, k) of item
codes, -1 for users without history. Prints seconds, cpu_seconds and epochs (with their fraction) of training.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
import numpy as np

warnings.simplefilter("ignore")


def main() -> None:
    method, table, out, seconds, seed, width, length, batch, rate = sys.argv[1:]
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.general_recommender import LightGCN
    from recbole.model.sequential_recommender import SASRec
    from recbole.utils import init_seed

    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    given = np.load(table)
    offsets, items, k = given["offsets"], given["items"], int(given["k"])
    sizes = np.diff(offsets)
    shared = {
        "use_gpu": False, "worker": 0, "show_progress": False, "state": "ERROR", "seed": int(seed), "train_batch_size": int(batch),
        "learning_rate": float(rate), "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "TO", "group_by": "user", "mode": "full"},
    }  # fmt: skip
    own = {
        "SASRec": {
            "MAX_ITEM_LIST_LENGTH": int(length), "hidden_size": int(width), "inner_size": 4 * int(width), "n_layers": 2, "n_heads": 2,
            "hidden_dropout_prob": 0.2, "attn_dropout_prob": 0.2, "loss_type": "CE", "train_neg_sample_args": None,
        },
        "LightGCN": {"embedding_size": int(width), "n_layers": 2, "reg_weight": 1e-4},
    }[method]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        place = np.arange(len(items)) - np.repeat(offsets[:-1], sizes)
        rows = np.column_stack([np.repeat(np.arange(len(sizes)), sizes), items, place])
        head = "user_id:token\titem_id:token\ttimestamp:float"
        np.savetxt(Path(folder) / "log" / "log.inter", rows, fmt="%d", delimiter="\t", header=head, comments="")
        sys.argv = sys.argv[:1]
        told_columns = {"data_path": folder, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
        config = Config(model=method, dataset="log", config_dict=shared | own | told_columns)
        init_seed(int(seed), True)
        dataset = create_dataset(config)
        train = data_preparation(config, dataset)[0]
        network = {"SASRec": SASRec, "LightGCN": LightGCN}[method](config, train.dataset)
    optimiser = torch.optim.Adam(network.parameters(), lr=float(rate))
    network.train()
    wall, cpu, batches = time.perf_counter(), time.process_time(), 0
    while time.process_time() - cpu < float(seconds):
        for interaction in train:
            optimiser.zero_grad()
            network.calculate_loss(interaction).backward()
            optimiser.step()
            batches += 1
            if time.process_time() - cpu >= float(seconds):
                break
    told = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu, "epochs": round(batches / len(train), 2)}
    network.eval()
    code = np.array([int(token) if token.isdigit() else -1 for token in dataset.field2id_token["item_id"]])
    number = {int(item): place for place, item in enumerate(code) if item >= 0}
    person = {int(token): place for place, token in enumerate(dataset.field2id_token["user_id"]) if token.isdigit()}
    lists = np.full((len(sizes), k), -1, dtype=np.int32)
    with torch.no_grad():
        for user in np.flatnonzero(sizes):
            seen = [number[int(item)] for item in items[offsets[user] : offsets[user + 1]]]
            if method == "SASRec":
                latest = seen[-int(length) :]
                sequence = torch.zeros(1, int(length), dtype=torch.long)
                sequence[0, : len(latest)] = torch.tensor(latest)
                asked = {network.ITEM_SEQ: sequence, network.ITEM_SEQ_LEN: torch.tensor([len(latest)])}
            else:
                asked = {network.USER_ID: torch.tensor([person[int(user)]])}
            scores = network.full_sort_predict(asked).reshape(-1)
            scores[seen] = -torch.inf
            scores[0] = -torch.inf
            values, best = torch.topk(scores, min(k, len(scores)))
            lists[user, : len(best)] = np.where(torch.isfinite(values).numpy(), code[best.numpy()], -1)
    np.savez(out, lists=lists)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
