"""The command line from end to end: a tiny log, every question, bad inputs, an interrupted fit."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec import api, cli
from whyrec.errors import BadInput, NotIdentified

COMMAND = (sys.executable, "-c", "from whyrec.cli import main; main()")


def make_log(rows: int = 1200, users: int = 60, items: int = 40, seed: int = 0) -> pl.DataFrame:
    """Popular items are treated more often and chosen more often; the treatment adds 0.2 to the chance."""
    rng = np.random.default_rng(seed)
    user = rng.integers(users, size=rows)
    item = np.minimum(rng.exponential(items / 4, rows).astype(int), items - 1)
    treatment = rng.random(rows) < 0.3 + 0.3 * (item < 10)
    outcome = rng.random(rows) < 0.2 + 0.2 * ((user + item) % 3 == 0) + 0.2 * treatment
    return pl.DataFrame(
        {
            "user": [f"u{code}" for code in user],
            "item": [f"i{code}" for code in item],
            "time": 1_600_000_000 + np.sort(rng.integers(8_000_000, size=rows)),
            "treatment": treatment.astype(int),
            "outcome": outcome.astype(int),
        }
    )


def make_items(items: int = 40) -> pl.DataFrame:
    kinds = ("apple", "milk", "bread", "soap")
    return pl.DataFrame(
        {"item": [f"i{k}" for k in range(items)], "text": [f"{kinds[k % 4]} number {k}" for k in range(items)]}
    )


def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """`whyrec ARGUMENTS` in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False, env=_quiet()
    )


def _quiet() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


@pytest.fixture
def whyrec(monkeypatch, capsys):
    """`whyrec ARGUMENTS` in this process: (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["whyrec", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with log.csv, later.csv, items.csv and what `whyrec fit` made of them."""
    path = tmp_path_factory.mktemp("shop")
    make_log().write_csv(path / "log.csv")
    make_log(rows=400, seed=1).drop("treatment").write_csv(path / "later.csv")
    make_items().write_csv(path / "items.csv")
    done = run("fit", path / "log.csv", "--items", path / "items.csv", "--out", path / "model", "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    (path / "fit.json").write_text(done.stdout)
    (path / "fit.err").write_text(done.stderr)
    return path


def test_fit_prints_one_object_and_progress_elsewhere(folder):
    answer = json.loads((folder / "fit.json").read_text())
    assert (answer["rows"], answer["users"], answer["items"]) == (1200, 60, 40)
    assert answer["validation"]["rows_read"] == 1200
    low, high = answer["effect"]["interval"]
    assert low < answer["effect"]["estimate"] < high
    assert 0.05 < answer["effect"]["estimate"] < 0.35, "the log's own effect is 0.2, its standard error 0.03"
    assert answer["no_effects"] is None
    assert "Fitting" in (folder / "fit.err").read_text()
    assert (folder / "model" / "model.json").is_file()


def test_another_ranker_of_another_system_and_one_that_the_log_chooses(folder, tmp_path, whyrec):
    log = pl.read_csv(folder / "log.csv").drop("treatment")
    log.write_csv(tmp_path / "log.csv")
    pairs = log.select("user", "item").unique(maintain_order=True).with_row_index("score")
    pairs.write_csv(tmp_path / "scores.csv")
    (tmp_path / "tuned.json").write_text(json.dumps({"model": "EASE", "parameters": {"regularisation": 9.0}}))
    given = {
        "item-kNN": ("--ranker", "itemknn"), "EASE": ("--settings", tmp_path / "tuned.json"), "given scores": ("--scores", tmp_path / "scores.csv"),
        None: ("--ranker", "AUTO", "--budget", "2"),
    }  # fmt: skip
    for name, arguments in given.items():
        code, out, err = whyrec("fit", tmp_path / "log.csv", "--out", tmp_path / "m", *arguments, "--json")
        assert code == 0, err
        ranker = json.loads(out)["ranker"]
        assert name in (None, ranker["name"]) and (ranker["choice"] is None) == (name is not None)
        code, out, err = whyrec("evaluate", tmp_path / "m", "--test", folder / "later.csv", "--json")
        assert code == 0, err
        assert {row["method"] for row in json.loads(out)["methods"]} == {"causal recommender", "popularity"}


def test_model_in_another_folder_recommends_the_same_to_the_last_digit(folder, tmp_path):
    shutil.copytree(folder / "model", tmp_path / "elsewhere")
    first = run("recommend", folder / "model", "--by", "mix", "--out", tmp_path / "first.parquet", "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["recommendations"] == {"file": str(tmp_path / "first.parquet"), "rows": 600} and set(told) == {"recommendations", "warnings"}
    api.recommend(tmp_path / "elsewhere", by="mix", out=tmp_path / "second.parquet")
    one, two = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("first", "second"))
    assert one.equals(two)
    assert one["user"].n_unique() == 60
    assert one.group_by("user").agg(pl.col("rank").sort())["rank"].to_list() == [list(range(1, 11))] * 60


@pytest.mark.parametrize("by", ["preference", "effect", "mix"])
def test_recommend_ranks_by_what_was_asked(folder, whyrec, by):
    code, out, _ = whyrec("recommend", folder / "model", "--user", "u1", "--user", "u0", "-k", 5, "--by", by, "--json")
    assert code == 0
    rows = json.loads(out)["recommendations"]
    assert [row["user"] for row in rows] == ["u1"] * 5 + ["u0"] * 5
    assert [row["rank"] for row in rows[:5]] == [1, 2, 3, 4, 5]
    scores = [row["score"] for row in rows[:5]]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        assert row["effect_low"] <= row["effect"] <= row["effect_high"]
        assert row["by"] == by
        assert row["reason"]
        if by != "mix":
            assert row["score"] == row[by]


def test_recommend_writes_csv_and_chinese_reasons(folder, whyrec, tmp_path):
    code, out, _ = whyrec("recommend", folder / "model", "-k", 2, "--lang", "zh", "--out", tmp_path / "r.csv")
    assert code == 0
    assert "120 rows written" in out
    reasons = pl.read_csv(tmp_path / "r.csv")["reason"]
    assert reasons.str.contains(r"[\u4e00-\u9fff]").all()
    assert whyrec("recommend", folder / "model", "--out", tmp_path / "r.txt")[0] == 1
    assert not (tmp_path / "r.txt").exists()


def test_why_in_both_languages(folder, whyrec):
    code, out, _ = whyrec("why", folder / "model", "--user", "u1", "--item", "i3", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["rank"] >= 1
    assert answer["of"] == 40
    # exact up to the rounding of a few hundred sums
    assert sum(answer["drivers"].values()) == pytest.approx(answer["effect"] - answer["average_effect"], abs=1e-9)
    code, out, _ = whyrec("why", folder / "model", "--user", "u1", "--item", "i3", "--lang", "zh")
    assert code == 0
    assert "用户" in out


def test_evaluate_beside_popularity(folder, whyrec):
    code, out, _ = whyrec("evaluate", folder / "model", "--test", folder / "later.csv", "--json")
    assert code == 0
    methods = json.loads(out)["methods"]
    assert {row["method"] for row in methods} == {"causal recommender", "popularity"}
    for row in methods:
        assert 0 <= row["ndcg_low"] <= row["ndcg"] <= row["ndcg_high"] <= 1
    told = methods
    from whyrec.decide.causal_recommender import CausalRecommender

    baselines = CausalRecommender.load(folder / "model").notes_["baselines"]  # kept beside the model, its seal unharmed
    assert baselines["later.csv"]["methods"] == told and "later rows" in baselines["later.csv"]["how"]
    code, out, _ = whyrec("evaluate", folder / "model", "--test", folder / "later.csv")
    assert code == 0
    assert max(map(len, out.splitlines())) < 120
    assert "ndcg" in out


def test_effect_stored_in_a_model(folder, whyrec):
    code, out, _ = whyrec("effect", folder / "model", "--json")
    assert code == 0
    stored = json.loads((folder / "fit.json").read_text())["effect"]
    assert json.loads(out)["effect"]["estimate"] == stored["estimate"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("recommend", "{model}", "--user", "nobody"), "'nobody' is not in the model's data"),
        (("why", "{model}", "--user", "u1", "--item", "nothing"), "'nothing' is not in the model's data"),
        (("recommend", "{folder}"), "holds no model"),
        (("evaluate", "{model}", "--test", "{folder}/nowhere.csv"), "no such file"),
        (("fit", "{folder}/log.csv", "--out", "{folder}"), "is not a saved model"),
    ],
)
def test_what_cannot_be_answered_exits_1_and_says_why(folder, whyrec, arguments, words):
    filled = [part.format(model=folder / "model", folder=folder) for part in arguments]
    code, out, err = whyrec(*filled, "--json")
    assert code == 1
    assert words in err
    assert words in json.loads(out)["error"]["message"]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("recommend",),
        ("no-such-command",),
        ("recommend", "model", "-k", "0"),
        ("recommend", "model", "--by", "luck"),
        ("recommend", "model", "--by", "mix", "--mix", "1.5"),
        ("fit", "log.csv"),
        ("fit", "log.csv", "--out", "m", "--ranker", "best"),
        ("tune", "auto", "log.csv"),
    ],
)
def test_bad_usage_exits_2(whyrec, arguments):
    code, out, err = whyrec(*arguments)
    assert code == 2
    assert out == ""
    assert "Usage" in err


def test_evaluate_on_strangers_is_bad_input(folder, tmp_path, whyrec):
    make_log(rows=50).with_columns(pl.col("user") + "x").write_csv(tmp_path / "later.csv")
    code, _, err = whyrec("evaluate", folder / "model", "--test", tmp_path / "later.csv")
    assert code == 1
    assert "no row has both a user and an item of the model" in err


def test_evaluate_of_one_user_has_figures_and_no_interval(folder, tmp_path, whyrec):
    later = make_log(seed=9).filter(pl.col("user") == "u3").with_columns(pl.col("time") + 10_000_000)
    later.write_csv(tmp_path / "later.csv")
    code, out, _ = whyrec("evaluate", folder / "model", "--test", tmp_path / "later.csv", "--json")
    rows = json.loads(out)["methods"]
    assert code == 0 and {row["users"] for row in rows} == {1}
    assert all(row["ndcg"] is not None and row["ndcg_low"] is row["ndcg_high"] is row["difference_low"] is None for row in rows)
    code, out, _ = whyrec("evaluate", folder / "model", "--test", tmp_path / "later.csv")
    assert code == 0 and "WARNING: 1 user with something to find; an interval takes two or more: evaluate on a log of more users" in out
    # One item is no fault of a later log either, and a few users are too few to be sure.
    make_log(seed=9).filter(pl.col("item") == "i0").with_columns(pl.col("time") + 10_000_000).head(12).write_csv(tmp_path / "one.csv")
    code, out, _ = whyrec("evaluate", folder / "model", "--test", tmp_path / "one.csv")
    assert code == 0 and "intervals over so few cover less than they say" in out


def test_a_changed_model_is_refused(folder, tmp_path, whyrec):
    shutil.copytree(folder / "model", tmp_path / "model")
    weights = tmp_path / "model" / "recommender" / "arrays.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    code, _, err = whyrec("recommend", tmp_path / "model", "--user", "u1")
    assert code == 1
    assert "arrays.safetensors differs from what was saved" in err


TINY = make_log(rows=120, users=12, items=8)


def _csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv().encode()


def _truncated_parquet(tmp_path: Path) -> bytes:
    TINY.write_parquet(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    return content[: len(content) // 2]


BAD_LOGS = {
    "empty file": ("log.csv", lambda _: b"", "the file is empty"),
    "header only": ("log.csv", lambda _: b"user,item,outcome\n", "no rows"),
    "missing column": ("log.csv", lambda _: _csv(TINY.drop("item")), "no column looks like the item"),
    "one user": ("log.csv", lambda _: _csv(TINY.with_columns(user=pl.lit("u1"))), "column 'user' holds one user only"),
    "one item": ("log.csv", lambda _: _csv(TINY.with_columns(item=pl.lit("i1"))), "column 'item' holds one item only"),
    "no choice": ("log.csv", lambda _: _csv(TINY.with_columns(outcome=pl.lit(0))), "no row has a positive outcome"),
    "all NaN": ("log.csv", lambda _: _csv(TINY.with_columns(outcome=pl.lit("NaN"))), "column 'outcome'"),
    "text outcome": ("log.csv", lambda _: _csv(TINY.with_columns(outcome=pl.lit("good"))), "'good' is not a number"),
    "propensities": ("log.csv", lambda _: _csv(TINY.with_columns(propensity=pl.lit(1.5))), "column 'propensity'"),
    "not UTF-8": ("log.csv", lambda _: _csv(TINY).replace(b"u1,", b"u\xff1,", 1), "UTF-8"),
    "truncated Parquet": ("log.parquet", _truncated_parquet, "truncated"),
    "unknown ending": ("log.xlsx", lambda _: b"PK", "unknown ending"),
}


@pytest.mark.parametrize("name", BAD_LOGS)
def test_a_log_that_cannot_be_fitted_exits_1_with_file_and_remedy(name, tmp_path, whyrec):
    file, make, words = BAD_LOGS[name]
    (tmp_path / file).write_bytes(make(tmp_path))
    code, out, err = whyrec("fit", tmp_path / file, "--out", tmp_path / "model")
    assert code == 1
    assert out == ""
    assert words in err
    assert file in err
    assert "Traceback" not in err
    assert not (tmp_path / "model").exists()


def test_duplicate_item_ids_are_named(tmp_path, whyrec):
    TINY.write_csv(tmp_path / "log.csv")
    pl.concat([make_items(8), make_items(8)[2:3]]).write_csv(tmp_path / "items.csv")
    code, _, err = whyrec("fit", tmp_path / "log.csv", "--items", tmp_path / "items.csv", "--out", tmp_path / "model")
    assert code == 1
    assert "id 'i2' stands in more than one row" in err
    assert "items.csv" in err


def test_strict_refuses_what_is_otherwise_left_out(tmp_path, whyrec):
    faulty = TINY.with_columns(propensity=pl.Series([0.5] * 119 + [-0.1]))
    faulty.write_csv(tmp_path / "log.csv")
    code, _, err = whyrec("fit", tmp_path / "log.csv", "--strict", "--out", tmp_path / "model")
    assert code == 1
    assert "propensity" in err
    assert "121" in err, "the line of the file"


NO_EFFECTS = {
    "every outcome 1": (TINY.with_columns(outcome=pl.lit(1)), "the outcome is 1 in every row"),
    "none treated": (TINY.with_columns(treatment=pl.lit(0)), "no treated row"),
    "all treated": (TINY.with_columns(treatment=pl.lit(1)), "no untreated row"),
    "no treatment column": (TINY.drop("treatment"), "no treatment column"),
}


@pytest.mark.parametrize("name", NO_EFFECTS)
def test_a_log_without_a_comparison_fits_and_says_that_it_has_no_effects(name, tmp_path, whyrec):
    log, words = NO_EFFECTS[name]
    fitted = api.fit(log, out=tmp_path / "model", epochs=1)
    answer = fitted.to_dict()
    assert answer["effect"] is None
    assert words in answer["no_effects"]
    assert words in fitted.to_text()
    code, out, _ = whyrec("recommend", tmp_path / "model", "--user", "u1", "-k", 3, "--json")
    assert code == 0
    assert [row["effect"] for row in json.loads(out)["recommendations"]] == [None] * 3
    code, _, err = whyrec("recommend", tmp_path / "model", "--user", "u1", "--by", "effect")
    assert code == 1
    assert words in err
    with pytest.raises(BadInput, match="has no effects"):
        api.effect(tmp_path / "model")
    assert "nothing is said" in api.why(fitted.model, "u1", "i1").to_text()


def test_values_that_cannot_be_are_left_out_and_counted():
    wrong = TINY.with_columns(
        outcome=pl.Series([float("nan"), float("inf"), -float("inf")] + [1.0, 0.0, 1.0] * 39),
        propensity=pl.Series([0.5] * 118 + [-0.5, 1.5]),
    ).drop("treatment")
    fitted = api.fit(wrong, epochs=1)
    report = fitted.validation
    assert (report.rows_read, report.rows_kept) == (120, 115)
    assert np.isfinite(fitted.model.recommend(["u1"], 3)["score"].to_numpy()).all()


def test_a_text_of_ten_megabytes_is_reported_and_fits():
    items = make_items(8).with_columns(
        text=pl.when(pl.col("item") == "i3").then(pl.lit("long word " * 1_000_000)).otherwise(pl.col("text"))
    )
    fitted = api.fit(TINY.drop("treatment"), items=items, epochs=1)
    assert [issue.kind for issue in fitted.validation.issues] == ["long_text"]
    assert max(map(len, api.why(fitted.model, "u1", "i3").sentences)) < 400


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupted_fit_exits_130_and_leaves_nothing(folder, tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "fit", str(folder / "log.csv"), "--out", str(tmp_path / "model")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_quiet(),
    )
    assert process.stderr is not None
    assert "Judging" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """Units whose treatment follows age; the true effect is 1."""
    rng = np.random.default_rng(0)
    age, noise = rng.normal(size=1200), rng.normal(size=1200)
    region = rng.integers(3, size=1200)
    treated = rng.random(1200) < 1 / (1 + np.exp(-age))
    visit = 2 * age + treated + 0.5 * region + noise
    frame = pl.DataFrame(
        {
            "age": age,
            "region": [("north", "south", "west")[code] for code in region],
            "email": treated.astype(int),
            "visit": visit,
            "after": visit + rng.normal(size=1200),
            "person": [f"p{k // 2}" for k in range(1200)],
        }
    )
    path = tmp_path_factory.mktemp("units") / "units.csv"
    frame.write_csv(path)
    return path


@pytest.mark.parametrize(
    "how",
    [("--adjust", "age, region"), ("--graph", "age -> email; age -> visit; region -> visit; email -> visit")],
    ids=["adjust", "graph"],
)
def test_effect_of_a_table_recovers_a_known_effect(units, whyrec, how):
    code, out, err = whyrec(
        "effect", units, "--treatment", "email", "--outcome", "visit", *how, "--cluster", "person", "--json"
    )
    assert code == 0, err
    answer = json.loads(out)
    estimate, error = answer["effect"]["estimate"], answer["effect"]["standard_error"]
    assert abs(estimate - 1) < 4 * error < 0.6
    assert answer["naive"]["estimate"] > 2, "age moves both"
    assert answer["effect"]["n"] == 600, "persons, not rows"
    assert "age" in answer["adjustment"]
    assert answer["refutations"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--treatment", "email"), "name the columns"),
        (("--treatment", "mail", "--outcome", "visit"), "no column 'mail'"),
        (("--treatment", "email", "--outcome", "visit", "--adjust", "email"), "'email' is named twice"),
        (("--treatment", "email", "--outcome", "visit", "--adjust", "age", "--graph", "age -> email"), "not both"),
        (
            ("--treatment", "email", "--outcome", "visit", "--graph", "email <-> visit; email -> visit"),
            "not identified",
        ),
        (("--treatment", "email", "--outcome", "visit", "--graph", "email => visit"), "is not an edge"),
        (("--treatment", "email", "--outcome", "region", "--adjust", "age"), "column 'region', row 1"),
        (("--treatment", "email", "--outcome", "visit", "--adjust", "person"), "600 different texts"),
    ],
)
def test_effect_says_what_is_wrong_with_the_question(units, whyrec, arguments, words):
    code, out, err = whyrec("effect", units, *arguments)
    assert code == 1
    assert out == ""
    assert words in err


def test_effect_of_python_raises_the_same(units):
    with pytest.raises(NotIdentified):
        api.effect(units, "email", "visit", graph="hidden -> email; hidden -> visit; email -> visit")


@pytest.mark.parametrize(
    ("arguments", "said", "not_said"),
    [
        (("fit", "{file}", "--out", "m", "--budget", "0"), "--budget 0", "budget="),
        (("effect", "{file}", "--treatment", "t", "--outcome", "y", "--before", "x,gone"), "gone", "`before`"),
        (("fit", "{file}", "--out", "m", "--ranker", "EASE", "--budget", "3"), "budget would change nothing", "budget="),
    ],
)
def test_errors_speak_of_options(tmp_path, monkeypatch, capsys, arguments, said, not_said):
    from whyrec import cli

    file = tmp_path / "t.csv"
    file.write_text("user,item,t,x,y\n" + "".join(f"u{k % 5},i{k % 7},{k % 2},{k},{k % 3}\n" for k in range(40)))
    monkeypatch.setattr("sys.argv", ["whyrec", *(part.format(file=file) for part in arguments)])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main()
    told = capsys.readouterr().err
    assert left.value.code == 1 and said in told and not_said not in told


def test_only_parameters_of_the_command_become_options():
    from whyrec.cli import in_options

    options = {"budget": "--budget", "time_format": "--time-format", "k": "-k"}
    said = "budget=0 and time_format='%d', k=0; other=1, 'budget=3', my.budget=4, price<=5, name them with `budget` or `rest`; ridge=budget=2"
    assert in_options(said, options) == (
        "--budget 0 and --time-format '%d', -k 0; other=1, 'budget=3', my.budget=4, price<=5, name them with --budget or `rest`; ridge=budget=2"
    )
