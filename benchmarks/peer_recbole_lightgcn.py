"""One epoch of RecBole's LightGCN, run by `lightgcn_speed.py` in RecBole's own environment; prints one JSON object.

    python peer_recbole_lightgcn.py FOLDER FACTORS LAYERS BATCH BATCHES

FOLDER holds ml/ml.inter. BATCHES: how many batches are timed; 0 for the whole epoch.
"""

import json
import os
import sys
import time

os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import LightGCN
from recbole.utils import init_seed


def main() -> None:
    folder, factors, layers, size, most = sys.argv[1], *(int(value) for value in sys.argv[2:6])
    torch.set_num_threads(1)
    given = {
        "data_path": folder, "embedding_size": factors, "n_layers": layers, "train_batch_size": size, "reg_weight": 1e-4,
        "learning_rate": 0.005, "use_gpu": False, "show_progress": False, "seed": 0, "state": "ERROR", "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "group_by": None, "order": "RO", "mode": "full"}, "save_dataset": False,
    }  # fmt: skip
    sys.argv = sys.argv[:1]
    config = Config(model="LightGCN", dataset="ml", config_dict=given)
    init_seed(0, True)
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    model = LightGCN(config, train.dataset)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.005)
    model.train()
    cpu, wall, total, count = time.process_time(), time.perf_counter(), 0.0, 0
    for batch in train:
        optimiser.zero_grad()
        loss = model.calculate_loss(batch)
        loss.backward()
        optimiser.step()
        total, count = total + float(loss.detach()), count + 1
        if count == most:
            break
    print(json.dumps({
        "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "batches": count, "of": len(train), "loss": total / count,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
