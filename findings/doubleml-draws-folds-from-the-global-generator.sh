#!/bin/sh
# DoubleML 0.11.4: DoubleMLIRM takes no seed and draws its folds from NumPy's global generator, so that two fits of the same data
# with deterministic learners differ, and an np.random.seed before each makes them equal. A good engineer expects a random_state
# argument as in scikit-learn, or the same answer twice.
# Seen: three fits give three estimates; after np.random.seed(1) two fits give the same digits.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check doubleml==0.11.4 scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import inspect
import warnings

import numpy as np

warnings.simplefilter("ignore")
import doubleml as dml
from sklearn.linear_model import LinearRegression, LogisticRegression

generator = np.random.default_rng(0)
x = generator.normal(size=(500, 3))
a = (generator.random(500) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
y = a + x[:, 0] + generator.normal(size=500)
data = dml.DoubleMLData.from_arrays(x, y, a)


def fit() -> float:
    return float(dml.DoubleMLIRM(data, LinearRegression(), LogisticRegression()).fit().coef[0])


plain = [fit() for _ in range(3)]
seeded = []
for _ in range(2):
    np.random.seed(1)
    seeded.append(fit())
names = set(inspect.signature(dml.DoubleMLIRM.__init__).parameters)
print("doubleml", dml.__version__, "three fits:", plain, "after the global seed:", seeded)
assert not names & {"random_state", "seed"}, names
assert len(set(plain)) == 3, plain
assert seeded[0] == seeded[1], seeded
PY
