"""Training of RecBole's SASRec, timed; runs in RecBole's own environment.

Usage: PYTHON peer_recbole.py TABLE.npz BATCHES LENGTH WIDTH BATCH LOSS. TABLE holds offsets and items. LOSS: CE (all items) or BPR (one negative).
Every target comes with up to LENGTH items before it, as its data augmentation makes them. Prints the targets of an epoch,
the targets and seconds and cpu_seconds of BATCHES training steps after one that warms up, batches included.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")


def main() -> None:
    table, batches, length, width, batch, loss = sys.argv[1:]
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec
    from recbole.utils import init_seed

    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    given = np.load(table)
    sizes = np.diff(given["offsets"])
    place = np.arange(len(given["items"])) - np.repeat(given["offsets"][:-1], sizes)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        rows = np.column_stack([np.repeat(np.arange(len(sizes)), sizes), given["items"], place])
        head = "user_id:token\titem_id:token\ttimestamp:float"
        np.savetxt(Path(folder) / "log" / "log.inter", rows, fmt="%d", delimiter="\t", header=head, comments="")
        sys.argv = sys.argv[:1]
        config = Config(
            model="SASRec",
            dataset="log",
            config_dict={
                "data_path": folder, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "use_gpu": False,
                "MAX_ITEM_LIST_LENGTH": int(length), "hidden_size": int(width), "inner_size": int(width), "n_layers": 2,
                "n_heads": 2, "hidden_dropout_prob": 0.2, "attn_dropout_prob": 0.2, "hidden_act": "relu",
                "loss_type": loss, "train_batch_size": int(batch), "worker": 0, "show_progress": False,
                "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "TO", "group_by": "user", "mode": "full"},
                "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1} if loss == "BPR" else None,
            },
        )  # fmt: skip
        init_seed(0, True)
        dataset = create_dataset(config)
        train = data_preparation(config, dataset)[0]
        network = SASRec(config, train.dataset)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()
    taken, rows = -1, 0
    for interaction in islice(train, int(batches) + 1):
        if taken == 0:
            wall, cpu = time.perf_counter(), time.process_time()
        optimiser.zero_grad()
        network.calculate_loss(interaction).backward()
        optimiser.step()
        taken += 1
        rows += len(interaction) if taken else 0
    told = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(told | {"targets": rows, "epoch": len(train.dataset)}))


if __name__ == "__main__":
    main()
