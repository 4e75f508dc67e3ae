"""`whyrec counterfactual` and `whyrec refute` from end to end, good and bad."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec import cli
from whyrec.cause.scm.own_cases import forget_own_case, own_case
from whyrec.errors import BadInput

GRAPH = "age -> price; age -> buy; price -> buy; kind -> buy"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["whyrec", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    age, kind = rng.normal(40, 10, 400), rng.choice(["tea", "milk"], 400)
    price = 2 + 0.02 * age + rng.normal(size=400) * 0.3
    offer = (rng.random(400) < 0.3 + 0.4 * (age > 40)).astype(int)
    buy = (rng.random(400) < 1 / (1 + np.exp(price - 2.5 - (kind == "tea") - 0.8 * offer))).astype(int)
    path = tmp_path_factory.mktemp("cases") / "units.csv"
    pl.DataFrame(
        {"age": age, "kind": kind, "price": price, "offer": offer, "buy": buy, "rain": rng.normal(size=400)}
    ).write_csv(path)
    return path


def test_a_kept_model_answers_the_same_and_needs_no_graph(run: Call, table: Path, tmp_path: Path) -> None:
    asked = ("--row", 1, "--do", "price=2", "--json")
    code, out, err = run("counterfactual", table, "--graph", GRAPH, *asked, "--out", tmp_path / "scm")
    assert code == 0, err
    first = json.loads(out)
    assert first["folder"] == str(tmp_path / "scm")
    code, out, err = run("counterfactual", tmp_path / "scm", *asked)
    assert code == 0, err
    assert json.loads(out)["rows"] == first["rows"]
    code, _, err = run("counterfactual", tmp_path / "scm", "--graph", GRAPH, *asked)
    assert code == 1 and "has its graph" in err
    code, _, err = run("counterfactual", table, *asked)
    assert code == 1 and "needs a causal graph" in err


def test_counterfactual_of_rows_and_of_a_described_case(run: Call, table: Path) -> None:
    code, out, err = run(
        "counterfactual", table, "--graph", GRAPH, "--row", 1, "--row", 3, "--do", "price=price*0.5", "--json"
    )
    assert code == 0, err
    answer = json.loads(out)
    assert answer["do"].startswith("price = ") and [row["row"] for row in answer["rows"]] == [1, 3]
    assert {"case", "row", "target", "factual", "counterfactual", "change", "low", "high", "least", "most"} == set(
        answer["rows"][0]
    )
    assert answer["point"] == {"buy": False}
    assert answer["model"]["mechanisms"]["price"]["kind"] in ("linear", "quadratic", "boosted")
    code, out, _ = run("counterfactual", table, "--graph", GRAPH, "--row", 7, "--row", 3, "--do", "price=1")
    assert (
        code == 0
        and out.index("  row 7: buy was ") < out.index("  row 3: buy was ")
        and "case" not in out.split("assumes")[0]
    )
    case = "age=50, kind=tea, price=3.5, buy=0"
    code, out, _ = run("counterfactual", table, "--graph", GRAPH, "--case", case, "--do", "price=1", "--target", "buy")
    assert code == 0
    assert "case 1: buy was 0, would have been 0." in out and "extrapolates" in out and "under any coupling" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--row", 9999, "--do", "price=1"], 1, "row 9999 of a table of 400 rows"),
        (["--row", 1, "--do", "cost=1"], 1, "'cost' is not in the graph"),
        (["--row", 1, "--do", "price"], 1, "write COLUMN=VALUE"),
        (["--row", 1, "--do", "age=buy"], 1, "makes a cycle"),
        (["--row", 1, "--do", "kind=soap"], 1, "never seen"),
        (["--case", "age 3", "--do", "price=1"], 1, "COLUMN=VALUE"),
        (["--case", "{broken", "--do", "price=1"], 1, "not JSON"),
        (["--case", "age=3,price=,kind=tea,buy=1", "--do", "price=1"], 1, "'price' is missing"),
        (["--row", 1, "--do", "price=1", "--exact"], 1, "no invertible mechanism"),
        (["--row", 1, "--do", "price=1", "--mechanism", "buy=flow"], 1, "choose from logistic"),
        (["--row", 1, "--do", "price=1", "--mechanism", "buy"], 2, "COLUMN=KIND"),
        (["--do", "price=1"], 2, "name the case in one way"),
    ],
)
def test_questions_that_cannot_be_answered_say_why(
    run: Call, table: Path, arguments: list[object], code: int, message: str
) -> None:
    found, _, err = run("counterfactual", table, "--graph", GRAPH, *arguments)
    assert found == code
    assert message in " ".join(err.replace("│", " ").split())


def test_refute_prints_everything_and_draws(run: Call, table: Path, tmp_path: Path) -> None:
    ask = ("refute", table, "--treatment", "offer", "--outcome", "buy", "--adjust", "age,price,kind", "--runs", 50)
    code, out, err = run(*ask, "--negative-outcome", "rain", "--pictures", tmp_path / "pictures", "--json")
    assert code == 0, err
    answer = json.loads(out)
    names = [attempt["name"] for attempt in answer["refutations"]]
    assert names[-2:] == ["column after the treatment", "negative control outcome"] and len(names) == 8
    assert all(attempt["detects"] and attempt["misses"] for attempt in answer["refutations"])
    assert {"gamma", "low", "high", "low_limit", "high_limit", "gamma_at_zero", "gamma_at_zero_limit", "level"} == set(
        answer["bounds"]
    )
    assert answer["contour"]["benchmarks"] and answer["placebo"]["runs"] == 50
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "bounds.svg",
        "contour.svg",
        "placebo.svg",
    ]
    code, out, _ = run(*ask)
    assert code == 0 and "robustness value" in out and "passed: 50 treatments" in out and "can find:" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--treatment", "offer"], "name the columns"),
        (["--treatment", "bid", "--outcome", "buy"], "no column 'bid'"),
        (["--treatment", "age", "--outcome", "buy", "--adjust", "price"], "a binary treatment has two"),
        (
            ["--treatment", "offer", "--outcome", "buy", "--adjust", "age", "--negative-outcome", "age"],
            "column of its own",
        ),
    ],
)
def test_effects_that_cannot_be_refuted_say_why(run: Call, table: Path, arguments: list[str], message: str) -> None:
    code, out, err = run("refute", table, *arguments, "--json")
    assert code == 1
    assert message in err and message in json.loads(out)["error"]["message"]


def test_one_line_in_python(table: Path) -> None:
    found = whyrec.counterfactual(
        pl.read_csv(table), GRAPH, {"age": 50, "kind": "tea", "price": 3.0, "buy": 0}, {"price": 1}
    )
    assert 0 <= found.found.value[0, 0] <= 1
    assert "would have been" in found.to_text()
    assert whyrec.StructuralCausalModel.__name__ == "StructuralCausalModel"
    gap = pl.read_csv(table).with_columns(age=pl.when(pl.int_range(pl.len()) != 4).then("age"))
    with pytest.raises(BadInput, match=r"^row 5: 'age' is missing"):
        whyrec.counterfactual(gap, GRAPH, [2, 5], {"price": 1})
    with pytest.raises(BadInput, match="no row was named"):
        whyrec.counterfactual(pl.read_csv(table), GRAPH, [], {"price": 1})


def test_why_not_names_reasons_and_actions(run: Call, table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table)
    row = int((frame["buy"] == 0).arg_true()[0]) + 1
    asked = (
        "why-not", table, "--outcome", "buy", "--graph", f"{GRAPH}; offer -> buy", "--row", row,
        "--cause", "price: price=2", "--cause", "no offer: offer=1", "--action", "half price: price=price*0.5",
    )  # fmt: skip
    code, out, err = run(*asked, "--json", "--picture", tmp_path / "why.svg")
    assert code == 0, err
    answer = json.loads(out)
    (case,) = answer["cases"]
    assert {row["cause"] for row in case["reasons"]} == {"price", "no offer"}
    assert case["actions"][0]["action"] == "half price" and case["row"] == row
    picture = (tmp_path / "why.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg") and f"<title>buy: row {row}</title>" in picture
    code, out, _ = run(*asked, "--lang", "zh")
    assert code == 0 and "概率" in out and f"第 {row} 行" in out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--row", 1, "--case", "buy=0"), 2, "one way"),
        (("--row", 1, "--cause", "price"), 2, "NAME: COLUMN=VALUE"),
        (("--row", 1), 1, "at least one cause"),
        (("--user", "7", "--cause", "price: price=2"), 1, "sample 'shop'"),
        (("--row", 100_000, "--cause", "price: price=2"), 1, "rows count from 1"),
    ],
)
def test_why_not_with_bad_questions(run: Call, table: Path, options: tuple, code: int, words: str) -> None:
    found, _, err = run("why-not", table, "--outcome", "buy", "--graph", GRAPH, *options)
    assert found == code
    assert words in err.replace("\n", " ").replace("│", "")


def test_each_users_last_case_is_kept_beside_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=200)
    table = pl.DataFrame({"who": [f"u{k % 50}" for k in range(200)], "a": a, "y": a + rng.normal(size=200)})
    whyrec.counterfactual(
        table, "a -> y", {"a": 1.0, "y": 1.0}, {"a": 0}, cluster="who", mechanisms={"y": "linear"}, out=tmp_path / "m"
    )
    (row,) = table[153].to_dicts()  # the last of u3
    assert own_case(tmp_path / "m", "u3") == {"a": row["a"], "y": row["y"]}
    assert forget_own_case(tmp_path / "m", "u3") and own_case(tmp_path / "m", "u3") is None
    assert not forget_own_case(tmp_path / "m", "u3") and own_case(tmp_path / "m", "u4") is not None
