"""RecTools' recommenders on histories that are handed to it; runs in RecTools' own environment.

Usage: PYTHON peer_rectools.py METHOD TABLE.npz OUT.npz SECONDS SEED [WIDTH LENGTH BATCH RATE]. METHOD: SASRec (softmax), eSASRec (LiGR
layers, sampled softmax of 256), BERT4Rec, EASE. TABLE holds offsets and items (every user's training items, oldest
first), users (whose lists are wanted) and k. Training stops after SECONDS of CPU time and keeps the epoch of the lowest
loss on the last items of up to 500 users, which it does not train on. OUT gets lists (users, k) of item codes, -1 where
there is none. Prints seconds, cpu_seconds and epochs of training, and val_losses.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def held(interactions, n=500, seed=0):
    """True for the last interaction of up to n users, at most a fifth of those with three or more."""
    last = ~interactions["user_id"].duplicated(keep="last").to_numpy()
    able = interactions.groupby("user_id").size()
    able = able[able >= 3].index.to_numpy()
    chosen = np.random.default_rng(seed).permutation(able)[: min(n, len(able) // 5)]
    return last & interactions["user_id"].isin(chosen).to_numpy()


def trainer(seconds=60.0, started=None):
    from pytorch_lightning import Callback, Trainer

    class Budget(Callback):
        best, losses = None, ()

        def on_train_start(self, trainer, module):
            self.begun = time.process_time()

        def on_train_batch_end(self, trainer, module, *rest):
            if time.process_time() - self.begun > seconds:
                trainer.should_stop = True
                trainer.limit_train_batches = 0

        def on_validation_end(self, trainer, module):
            if trainer.sanity_checking:
                return
            loss = float(trainer.callback_metrics["val_loss"])
            self.losses = (*self.losses, loss)
            if loss <= min(self.losses):
                self.best = {name: value.clone() for name, value in module.state_dict().items()}

        def on_train_end(self, trainer, module):
            if self.best is not None:
                module.load_state_dict(self.best)

    return Trainer(
        max_epochs=100_000,
        accelerator="cpu",
        devices=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
        num_sanity_val_steps=0,
        callbacks=[Budget()],
    )


def model(method, seconds, width, length, batch, rate):
    if method == "EASE":
        from rectools.models import EASEModel

        return EASEModel(regularization=300.0)
    from rectools.models import BERT4RecModel, SASRecModel
    from rectools.models.nn.transformers.ligr import LiGRLayers

    shared = {
        "n_blocks": 2, "n_heads": 2, "n_factors": width, "session_max_len": length, "batch_size": batch, "lr": rate,
        "get_val_mask_func": held, "get_trainer_func": trainer, "get_trainer_func_kwargs": {"seconds": seconds},
        "train_min_user_interactions": 2,
    }  # fmt: skip
    if method == "BERT4Rec":
        return BERT4RecModel(**shared)
    if method == "eSASRec":
        return SASRecModel(transformer_layers_type=LiGRLayers, loss="sampled_softmax", n_negatives=256, **shared)
    return SASRecModel(**shared)


def main() -> None:
    method, table, out, seconds, seed, *rest = sys.argv[1:]
    width, length, batch, rate = (float(value) for value in rest) if rest else (64, 100, 128, 1e-3)
    import pandas as pd
    import torch
    from pytorch_lightning import seed_everything
    from rectools.dataset import Dataset

    torch.set_num_threads(1)
    seed_everything(int(seed))
    given = np.load(table)
    offsets, items, users, k = given["offsets"], given["items"], given["users"], int(given["k"])
    sizes = np.diff(offsets)
    place = np.arange(len(items)) - np.repeat(offsets[:-1], sizes)
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(len(sizes)), sizes),
            "item_id": items,
            "weight": 1,
            "datetime": pd.to_datetime(place, unit="s"),
        }
    )
    dataset = Dataset.construct(frame)
    fitted = model(method, float(seconds), int(width), int(length), int(batch), rate)
    wall, cpu = time.perf_counter(), time.process_time()
    fitted.fit(dataset)
    told = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    if method != "EASE":
        budget = fitted.fit_trainer.callbacks[0]
        told |= {"epochs": fitted.fit_trainer.current_epoch, "val_losses": list(budget.losses)}
    known = users[sizes[users] > 0]
    answer = fitted.recommend(known, dataset, k=k, filter_viewed=True, on_unsupported_targets="ignore")
    lists = np.full((len(users), k), -1, dtype=np.int32)
    row = pd.Series(np.arange(len(users)), index=users)[answer["user_id"]].to_numpy()
    lists[row, answer["rank"].to_numpy() - 1] = answer["item_id"].to_numpy()
    np.savez(out, lists=lists)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
