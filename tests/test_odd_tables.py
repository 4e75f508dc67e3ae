"""Every reader and every question before a battery of odd tables: an answer, or an error of whyrec's own that is no `Unexpected`."""

import inspect
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import whyrec
import whyrec.api
from whyrec import cli
from whyrec.api import HOMES, _choices
from whyrec.cli.options import names
from whyrec.errors import BadInput, Unexpected, WhyrecError

N = 80
RNG = np.random.default_rng(0)
T = RNG.permutation(np.repeat([0, 1], N // 2))
X = RNG.normal(size=N) + T
Y = X + T + RNG.normal(size=N)


def _series(values: Any, kind: Any = None) -> pl.Series:
    return pl.Series("odd", values, dtype=kind, strict=False)


COLUMNS: dict[str, pl.Series] = {
    "dates": _series([date(2024, 1, 1) + timedelta(days=k) for k in range(N)]),
    "times": _series([datetime(2024, 1, 1, tzinfo=None) + timedelta(hours=k) for k in range(N)]),
    "zoned": _series([datetime(2024, 1, 1) + timedelta(hours=k) for k in range(N)]).dt.replace_time_zone("Asia/Shanghai"),
    "clock": _series([time(k % 24, 5) for k in range(N)]),
    "durations": _series([timedelta(minutes=k) for k in range(N)]),
    "many texts": _series([f"row {k}" for k in range(N)]),
    "texts": _series(["a", "b", "c", ""] * (N // 4)),
    "categories": _series(["a", "b"] * (N // 2), pl.Categorical),
    "enumeration": _series(["b", "a"] * (N // 2), pl.Enum(["b", "a"])),
    "lists": _series([[1, 2], []] * (N // 2)),
    "structures": _series([{"a": 1, "b": "x"}] * N),
    "bytes": _series([b"a", b"b"] * (N // 2)),
    "all null": _series([None] * N),
    "all null numbers": _series([None] * N, pl.Int64),
    "half null": _series([1.5, None] * (N // 2)),
    "nan": _series([float("nan"), 1.0] * (N // 2)),
    "infinite": _series([float("inf"), 1.0] * (N // 2)),
    "huge": _series([1e300, -1e300] * (N // 2)),
    "huge whole": _series([2**63, 2**64 - 1] * (N // 2), pl.UInt64),
    "wide whole": _series([10**30 + k for k in range(N)], pl.Int128),
    "decimals": _series([Decimal("1.10") + k for k in range(N)]),
    "constant": _series([7] * N),
    "constant text": _series(["same"] * N),
    "booleans": _series([True, False] * (N // 2)),
    "narrow": _series([127, -128] * (N // 2), pl.Int8),
    "codes": _series([0, 1, 2, 3] * (N // 4), pl.UInt8),
    "numbers as text": _series([str(k) for k in range(N)]),
    "mixed words": _series(["1", "two"] * (N // 2)),
    "spend": _series([0.0, 0.0, 3.5, 8.25] * (N // 4)),
}


def table(name: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"t": T, "x": X, "y": Y, "odd": COLUMNS[name], "user": [f"u{k % 9}" for k in range(N)], "item": [k % 7 for k in range(N)]}
    )


def items_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.unique("item", keep="first", maintain_order=True).select("item", "odd") if "item" in frame.columns else frame


def panel_of(frame: pl.DataFrame) -> pl.DataFrame:
    row = pl.int_range(pl.len())
    return frame.with_columns(place=row // 20, step=row % 20, law=((row // 20 == 2) & (row % 20 > 12)).cast(pl.Int64))


def moments_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(n=pl.int_range(pl.len()), p=pl.lit(0.5))


GRAPH = "odd -> t; odd -> y; t -> y"
QUESTIONS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "effect, adjusted": lambda f: whyrec.effect(f, "t", "y", adjust=["x", "odd"]),
    "effect, treatment": lambda f: whyrec.effect(f, "odd", "y", adjust=["x"]),
    "effect, outcome": lambda f: whyrec.effect(f, "t", "odd", adjust=["x"]),
    "effect, arms": lambda f: whyrec.effect(f, "odd", "y", adjust=["x"], kind="arms"),
    "effect, dose": lambda f: whyrec.effect(f, "odd", "y", adjust=["x"], kind="dose"),
    "effect, cluster": lambda f: whyrec.effect(f, "t", "y", adjust=["x"], cluster="odd"),
    "effect, weight": lambda f: whyrec.effect(f, "t", "y", adjust=["x"], weight="odd"),
    "effect, propensity": lambda f: whyrec.effect(f, "t", "y", adjust=["x"], propensity="odd"),
    "effect, indicator": lambda f: whyrec.effect(f, "t", "y", adjust=["odd"], missing="indicator"),
    "panel, outcome": lambda f: whyrec.panel(panel_of(f), "place", "step", "odd", "law"),
    "panel, unit": lambda f: whyrec.panel(panel_of(f), "odd", "step", "y", "law"),
    "panel, time": lambda f: whyrec.panel(panel_of(f), "place", "odd", "y", "law"),
    "panel, treatment": lambda f: whyrec.panel(panel_of(f), "place", "step", "y", "odd"),
    "moments, outcome": lambda f: whyrec.moments(moments_of(f), "user", "n", "t", "odd", "p"),
    "moments, person": lambda f: whyrec.moments(moments_of(f), "odd", "n", "t", "y", "p", controls=["x"]),
    "moments, chance": lambda f: whyrec.moments(moments_of(f), "user", "n", "t", "y", "odd"),
    "moments, available": lambda f: whyrec.moments(moments_of(f), "user", "n", "t", "y", "p", available="odd"),
    "moments, moderator": lambda f: whyrec.moments(moments_of(f), "user", "n", "t", "y", "p", moderators=["odd"]),
    "effect, instrument": lambda f: whyrec.effect(f, "t", "y", instrument="odd", adjust=["x"]),
    "effect, earlier periods": lambda f: whyrec.effect(f, "t", "y", before=["odd", "x"]),
    "effect, earlier periods, adjusted": lambda f: whyrec.effect(f, "t", "y", before=["x"], adjust=["odd"]),
    "effect, treatment proxies": lambda f: whyrec.effect(f, "t", "y", treatment_proxies=["odd"], outcome_proxies=["x"]),
    "effect, outcome proxies": lambda f: whyrec.effect(f, "t", "y", treatment_proxies=["x"], outcome_proxies=["odd"]),
    "effect, mediators": lambda f: whyrec.effect(f, "t", "y", mediators=["odd"]),
    "effect, running": lambda f: whyrec.effect(f, "t", "y", running="odd", cutoff=2),
    "effect, running of the outcome": lambda f: whyrec.effect(f.with_columns(t=(f["x"] > 0.5).cast(pl.Int64)) if "x" in f.columns else f, "t", "odd", running="x", cutoff=0.5),
    "uplift": lambda f: whyrec.uplift(f, "t", "y", adjust=["odd"], segment="odd"),
    "refute": lambda f: whyrec.refute(f, "t", "y", adjust=["odd"], negative_outcome="x", runs=5),
    "graph identify": lambda f: whyrec.graph_identify(GRAPH, "t", "y", data=f),
    "graph identify, treatment": lambda f: whyrec.graph_identify("x -> odd; x -> y; odd -> y", "odd", "y", data=f),
    "graph check": lambda f: whyrec.graph_check("x -> t -> y; odd -> y", f),
    "graph learn": lambda f: whyrec.graph_learn(f, columns=["t", "x", "y", "odd"], draws=0),
    "counterfactual": lambda f: whyrec.counterfactual(f, GRAPH, 1, {"t": 1}),
    "counterfactual of it": lambda f: whyrec.counterfactual(f, "x -> odd; t -> odd", 1, {"t": 1}),
    "why not": lambda f: whyrec.why_not(f, 1, graph="odd -> t; x -> t", outcome="t", causes={"odd": {"x": 0.0}}),
    "preference": lambda f: whyrec.preference(f, outcome="odd", method="naive"),
    "preference, attributes": lambda f: whyrec.preference(f, outcome="y", method="naive", items=items_of(f)),
    "policy evaluate": lambda f: whyrec.policy_evaluate(f.with_columns(p=0.5, q=pl.lit(0.5)), reward="odd", propensity="p", target="q"),
    "policy evaluate, chance": lambda f: whyrec.policy_evaluate(f.with_columns(q=pl.lit(0.5)), reward="y", propensity="odd", target="q"),
    "policy learn": lambda f: whyrec.policy_learn(f, reward="y", action="t", features=["odd", "x"]),
    "policy learn, action": lambda f: whyrec.policy_learn(f, reward="y", action="odd", features=["x"]),
    "log, time": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(time="odd")),
    "log, outcome": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(outcome="odd")),
    "log, treatment": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(treatment="odd", outcome="y")),
    "log, event": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(event="odd")),
    "log, session": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(session="odd")),
    "log, weight": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(weight="odd")),
    "log, propensity": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(propensity="odd")),
    "log, position": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(position="odd")),
    "log, context": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(context=("odd",))),
    "log, user": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(user="odd")),
    "log, item": lambda f: whyrec.read_dataset(f, schema=whyrec.Schema(item="odd")),
    "log, items": lambda f: whyrec.read_dataset(f, items=items_of(f)),
    "log, text": lambda f: whyrec.read_dataset(
        f, items=items_of(f), schema=whyrec.Schema(item_text=("odd",), item_category="odd")
    ),
}


def asked(question: Callable[[pl.DataFrame], Any], frame: pl.DataFrame) -> BadInput | None:
    """The error of whyrec's own, or None where there was an answer; anything else fails the test."""
    try:
        found = question(frame)
    except Unexpected as error:
        raise AssertionError(f"not foreseen: {error}") from error.__cause__
    except WhyrecError as error:
        assert len(str(error)) > 20, "an error says what and where"
        return error if isinstance(error, BadInput) else None
    if hasattr(found, "to_dict"):
        from whyrec.estimate import jsonable

        json.dumps(jsonable(found.to_dict()), allow_nan=False, default=str)
        assert found.to_text()
    return None


# They read columns as "effect, adjusted" does and take seconds: a third of the columns each, another third for the next.
SLOW = ("effect, indicator", "uplift", "refute", "graph identify", "counterfactual", "counterfactual of it", "effect, outcome")
CASES = [
    (question, name)
    for question in QUESTIONS
    for place, name in enumerate(COLUMNS)
    if question not in SLOW or (place + SLOW.index(question)) % 3 == 0
]


@pytest.mark.parametrize(("question", "name"), CASES)
@pytest.mark.filterwarnings("ignore")
def test_an_odd_column_is_answered_or_refused(question: str, name: str) -> None:
    asked(QUESTIONS[question], table(name))


SHAPES = {
    "no rows": table("texts").head(0),
    "one row": table("texts").head(1),
    "two rows": table("spend").head(2),
    "no columns": pl.DataFrame(),
    "one treated": table("spend").filter(pl.Series(np.cumsum(T) * T <= 1)),
    "all alike": pl.concat([table("spend").head(1)] * 30),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.filterwarnings("ignore")
def test_an_odd_shape_is_answered_or_refused(question: str, shape: str) -> None:
    error = asked(QUESTIONS[question], SHAPES[shape])
    if shape in ("no rows", "no columns"):
        assert error is not None


@pytest.mark.parametrize("wrong", [[1, 2], {"a": [1]}, 3, np.zeros((3, 2)), "", "absent.csv", "table.xlsx"])
@pytest.mark.parametrize("question", ["effect, adjusted", "uplift", "refute", "graph learn", "preference", "policy learn"])
def test_what_is_no_table_is_refused(question: str, wrong: Any) -> None:
    asks: dict[str, Callable[[Any], Any]] = {
        "effect, adjusted": lambda f: whyrec.effect(f, "t", "y"),
        "uplift": lambda f: whyrec.uplift(f, "t", "y"),
        "refute": lambda f: whyrec.refute(f, "t", "y"),
        "graph learn": lambda f: whyrec.graph_learn(f),
        "preference": lambda f: whyrec.preference(f),
        "policy learn": lambda f: whyrec.policy_learn(f, reward="y", action="t", features=["x"]),
    }
    assert asked(asks[question], wrong) is not None


FILES = {
    "twice.csv": b"t,y,y\n0,1,2\n1,2,3\n",
    "latin.csv": b"t,y\n0,caf\xe9\n",
    "ragged.csv": b"t,y\n0,1\n1,2,3\n",
    "quote.csv": b't,y\n0,"1\n',
    "binary.csv": b"\x00\x01\x02",
    "header.csv": b"t,y\n",
    "broken.parquet": b"PAR1 and nothing",
    "broken.arrow": b"ARROW1",
    "broken.jsonl": b'{"t": 1}\n{"t": \n',
    "words.csv": b"t,y\nyes,good\nno,bad\nmaybe,3\n",
    "lists.jsonl": b'{"t": 0, "y": [1]}\n{"t": 1, "y": [2]}\n',
}
COMMANDS = {
    "effect": ("effect", "{file}", "--treatment", "t", "--outcome", "y"),
    "panel": ("panel", "{file}", "--unit", "t", "--time", "y", "--outcome", "y", "--treatment", "t"),
    "moments": ("moments", "{file}", "--user", "t", "--time", "t", "--treatment", "t", "--outcome", "y", "--probability", "y"),
    "uplift": ("uplift", "{file}", "--treatment", "t", "--outcome", "y"),
    "refute": ("refute", "{file}", "--treatment", "t", "--outcome", "y"),
    "graph": ("graph", "identify", "t -> y", "--treatment", "t", "--outcome", "y", "--data", "{file}"),
    "learn": ("graph", "learn", "{file}"),
    "counterfactual": ("counterfactual", "{file}", "--graph", "t -> y", "--row", "1", "--do", "t=1"),
    "preference": ("preference", "{file}", "--user", "t", "--item", "y"),
    "policy": ("policy", "learn", "{file}", "--reward", "y", "--action", "t", "--features", "t"),
    "fit": ("fit", "{file}", "--out", "model"),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.filterwarnings("ignore")
def test_the_command_line_gives_its_error_object(
    command: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / file).write_bytes(FILES[file])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["whyrec", *(part.format(file=file) for part in COMMANDS[command]), "--json"])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    out = capsys.readouterr().out
    assert leaving.value.code == 1
    error = json.loads(out)["error"]
    assert error["type"] not in ("Unexpected", "BadUsage") and error["message"]


@pytest.mark.parametrize(
    "arguments",
    [("effect",), ("effect", "t.csv", "--treatmnet", "t"), ("effect", "t.csv", "--kind", "odd"), ("recommend", "m", "-k", "0"),
     ("graph", "identify", "a -> b"), ("nothing",)],
)  # fmt: skip
def test_bad_usage_has_an_error_object_too(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["whyrec", *arguments, "--json"])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "BadUsage"


def test_what_nobody_foresaw_is_whyrecs_own_and_keeps_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("whyrec.studies.table_questions.table_uplift", broken)
    with pytest.raises(Unexpected, match=r"uplift failed.*a defect") as error:
        whyrec.uplift(table("spend"), "t", "y")
    assert isinstance(error.value.__cause__, ZeroDivisionError)
    with pytest.raises(TypeError, match="nonsense"):
        whyrec.uplift(table("spend"), "t", "y", nonsense=1)


@pytest.mark.parametrize("name", [name for name in whyrec.__all__ if name in HOMES])
def test_options_of_a_few_words_take_no_other(name: str) -> None:
    """kind="odd" was read as two values, lang="fr" as English."""
    question = getattr(whyrec, name)
    form = inspect.signature(question)
    needed = {key: "nothing.csv" for key, one in form.parameters.items() if one.default is inspect.Parameter.empty}
    few = [key for key, one in form.parameters.items() if "Literal" in str(one.annotation) or one.annotation in ("Lang", "Kind", "Missing", "Ranking")]
    for key in few:
        with pytest.raises(BadInput, match=f"{key}='odd': the choices are"):
            question(**{**needed, key: "odd"})


def test_every_option_of_a_few_words_is_looked_at() -> None:
    """So that the test above does not pass for want of options."""
    assert {"kind", "missing", "over", "lang"} <= set(_choices(import_module(HOMES["effect"]).effect))
    assert {"by", "lang"} <= set(_choices(import_module(HOMES["recommend"]).recommend))


@pytest.mark.parametrize("name", ["graph_check", "graph_show", "graph_learn"])
def test_a_language_without_a_picture_is_refused(name: str) -> None:
    """Their words are English; those of `effect`, `uplift`, `refute` and `preference` are not (tests/explain/test_chinese_doors.py)."""
    question = getattr(whyrec, name)
    needed = {key: "nothing.csv" for key, one in inspect.signature(question).parameters.items() if one.default is inspect.Parameter.empty}
    with pytest.raises(BadInput, match="language is that of the picture"):
        question(**{**needed, "lang": "zh"})


def test_uplift_with_nothing_to_tell_rows_apart_says_so() -> None:
    """It said that a ranking of equal effects is worth 0 [0, 0]."""
    with pytest.raises(BadInput, match="no column tells the rows apart"):
        whyrec.uplift(pl.DataFrame({"t": T, "y": Y, "x": X}), "t", "y")


@pytest.mark.parametrize("name", [name for name in whyrec.__all__ if name in HOMES])
def test_a_text_is_no_list_of_names(name: str) -> None:
    """adjust="ab" adjusted for the columns a and b."""
    question = getattr(whyrec, name)
    form = inspect.signature(question)
    lists = [key for key, one in form.parameters.items() if str(one.annotation).startswith("Sequence[")]
    needed = {
        key: ["nothing"] if key in lists else "nothing.csv"
        for key, one in form.parameters.items()
        if one.default is inspect.Parameter.empty
    }
    for key in lists:
        with pytest.raises(BadInput, match=r"'ab'.*is one text; give a list"):
            question(**{**needed, key: "ab"})


def test_names_on_the_command_line() -> None:
    assert names(None) is None and names("a, b") == ["a", "b"] and names('"x, y",z') == ["x, y", "z"]
    for empty in ("", "a,", "a,,b", " "):
        with pytest.raises(BadInput, match="empty name"):
            names(empty)


@pytest.mark.parametrize("kind", [str, Path])
def test_files_may_be_told_as_texts(kind: type, tmp_path: Path) -> None:
    """out="graph.dot" was an Unexpected error: a text has no suffix."""
    frame = pl.DataFrame({"x": X, "y": Y})
    found = whyrec.graph_learn(frame, out=kind(tmp_path / "graph.dot"), picture=kind(tmp_path / "graph.svg"), draws=2)
    assert [Path(file).name for file in found.to_dict()["files"]] == ["graph.dot", "graph.svg"]
    whyrec.graph_show("a -> b", out=kind(tmp_path / "short.txt"), picture=kind(tmp_path / "short.svg"))
    whyrec.graph_check("x -> y; z -> y", frame.with_columns(z=pl.col("x") ** 2), picture=kind(tmp_path / "check.svg"))
    whyrec.counterfactual(frame, "x -> y", 1, {"x": 0.0}, out=kind(tmp_path / "model")).to_dict()
    assert {path.name for path in tmp_path.iterdir()} >= {"graph.dot", "graph.svg", "short.txt", "short.svg", "check.svg", "model"}


def test_no_path_is_typed_as_a_path_alone() -> None:
    for name in HOMES:
        for key, one in inspect.signature(getattr(whyrec.api, name)).parameters.items():
            assert "Path" not in str(one.annotation) or "str" in str(one.annotation) or name == "write_table", (name, key)
