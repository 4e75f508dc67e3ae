#!/bin/sh
# The light core in a bare environment: the wheel is built, installed without extras, and answers; no PyTorch comes along.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
bin="$folder/venv/bin"
"$bin/pip" install --quiet --disable-pip-version-check build
"$bin/python" -m build --outdir "$folder/dist" . >/dev/null
"${PYTHON:-python3}" -m venv "$folder/core"
bin="$folder/core/bin"
"$bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt "$folder"/dist/*.whl
"$bin/python" - <<'PY'
import importlib.util as util
assert not any(util.find_spec(name) for name in ("torch", "transformers", "torch_geometric", "nvidia")), "the core pulls deep learning"
PY
cd "$folder"
du -sm core | cut -f1 | sed 's/$/ MB installed/'
"$bin/whyrec" --version
"$bin/python" - <<'PY'
import time

start = time.monotonic()
import numpy as np
import polars as pl

import whyrec

rng = np.random.default_rng(0)
n = 4000
age = rng.normal(size=n)
ship = (rng.random(n) < 1 / (1 + np.exp(-age))) * 1
table = pl.DataFrame({"age": age, "ship": ship, "spend": ship + 1.5 * age + rng.normal(size=n)})
answer = whyrec.effect(table, "ship", "spend", adjust=["age"]).to_dict()["effect"]
assert answer["interval"][0] < 1 < answer["interval"][1], answer
log = pl.DataFrame(
    {
        "user": rng.integers(0, 150, n), "item": rng.integers(0, 40, n), "time": np.sort(rng.integers(1_600_000_000, 1_700_000_000, n)),
        "treatment": ship, "outcome": (rng.random(n) < 0.2 + 0.2 * ship) * 1,
    }
)
items = pl.DataFrame({"item": range(40), "name": [f"thing {i % 7} of kind {i % 3}" for i in range(40)]})
whyrec.fit(log, items=items, out="model")
model = whyrec.load("model")
assert model.effects_ is not None and model.recommend([3], k=5, by="effect").height == 5
print(whyrec.why(model, 3, 7).to_text().splitlines()[0])
try:
    whyrec.fit(log, ranker="SASRec")
except whyrec.errors.BadInput as error:
    assert "whyrec[deep]" in str(error), error
else:
    raise AssertionError("a transformer without PyTorch")
print(f"answers in {time.monotonic() - start:.0f} s")
PY
