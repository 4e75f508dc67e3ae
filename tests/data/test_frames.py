"""Tables of every kind of frame: the same digits at every public door, and back in the kind that came in."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import whyrec
import whyrec.api
from whyrec.api import HOMES
from whyrec.data.frames import as_ids, as_kind, origin_of, to_polars
from whyrec.errors import BadInput, WhyrecError
from whyrec.estimate import jsonable

pa = pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")


def _duck(frame: pl.DataFrame) -> Any:
    return duckdb.from_arrow(frame.to_arrow())


def _pandas(frame: pl.DataFrame) -> Any:
    return as_kind(frame, "pandas")


def _wrapped(frame: pl.DataFrame) -> Any:
    import narwhals as nw

    return nw.from_native(_pandas(frame))


class OnlyArrow:
    """What shows nothing but the Arrow stream."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.frame.__arrow_c_stream__(requested_schema)


KINDS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "pandas": _pandas,
    "pandas, nullable": lambda f: _pandas(f).convert_dtypes(),
    "pandas, of objects": lambda f: _pandas(f).astype(object),
    "pandas by arrow": lambda f: f.to_pandas(use_pyarrow_extension_array=True),
    "pandas, row labels": lambda f: _pandas(f).set_axis(np.arange(f.height)[::-1] + 7),
    "polars, lazy": lambda f: f.lazy(),
    "pyarrow": lambda f: f.to_arrow(),
    "duckdb": _duck,
    "arrow stream": OnlyArrow,
    "narwhals": _wrapped,
    "columns": lambda f: f.to_dict(as_series=False),
    "columns of arrays": lambda f: {name: _pandas(f)[name] for name in f.columns},
    "rows": lambda f: f.to_dicts(),
}
N = 120
RNG = np.random.default_rng(1)
T = RNG.permutation(np.repeat([0, 1], N // 2))
X = RNG.normal(size=N) + T
TABLE = pl.DataFrame(
    {
        "t": T, "x": X, "y": X + T + RNG.normal(size=N), "kind": ["a", "b", "c"] * (N // 3), "flag": RNG.random(N) < 0.5,
        "user": [f"u{k % 9}" for k in range(N)], "item": [k % 7 for k in range(N)], "p": np.full(N, 0.5), "q": RNG.uniform(0.2, 0.8, N),
        "time": [datetime(2024, 1, 1 + k % 28, k % 24) for k in range(N)], "gap": [None if k % 11 == 3 else k for k in range(N)],
    }
)  # fmt: skip
ITEMS = pl.DataFrame({"item": range(7), "text": [f"thing {k}" for k in range(7)], "price": [1.5 * k for k in range(7)]})
LOG = pl.DataFrame({"user": RNG.integers(0, 20, 300), "item": RNG.integers(0, 40, 300), "time": range(1_700_000_000, 1_700_000_300)})
GRAPH = "x -> t; x -> y; t -> y"


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_is_the_same_in_every_kind(kind: str) -> None:
    read = to_polars(KINDS[kind](TABLE))
    assert read.columns == TABLE.columns
    assert read.with_columns(pl.col("gap").cast(pl.Int64)).to_dicts() == TABLE.to_dicts()
    assert {name: read[name].dtype for name in ("user", "item", "x", "flag")} == {"user": pl.String, "item": pl.Int64, "x": pl.Float64, "flag": pl.Boolean}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_a_column_holds_it_comes_through(data: st.DataObject) -> None:
    """Property: numbers, texts, truth and times, with gaps, are what they were after each kind of frame, and back."""
    kind = data.draw(st.sampled_from([name for name in KINDS if name != "duckdb"]))
    one = data.draw(
        st.sampled_from(
            [st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), st.text(alphabet="ab 0é用", max_size=4), st.booleans(),
             st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1))]
        )
    )
    values = data.draw(st.lists(one | st.none(), min_size=1, max_size=6).filter(lambda found: any(v is not None for v in found)))
    frame = pl.DataFrame({"a": values, "n": range(len(values))})
    if kind.startswith("pandas, nullable") and frame["a"].dtype == pl.Float64:
        kind = "pandas"  # convert_dtypes makes whole numbers of floats that are
    assert to_polars(KINDS[kind](frame)).to_dicts() == frame.to_dicts()
    assert to_polars(as_kind(frame, "pandas")).to_dicts() == frame.to_dicts()


def rounds(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("t", "x", "y", "p", "q", "kind")


CAUSES = {"other t": {"t": 0.0}}
# Every public question that takes a table; `cast` makes a table of another kind.
QUESTIONS: dict[str, Callable[[Callable[[pl.DataFrame], Any]], Any]] = {
    "effect": lambda cast: whyrec.effect(cast(TABLE), "t", "y", adjust=["x", "kind"], cluster="user"),
    "arms": lambda cast: whyrec.arms(cast(TABLE), "kind", "y", adjust=["x"]),
    "dose": lambda cast: whyrec.dose(cast(TABLE), "q", "y", adjust=["x"]),
    "panel": lambda cast: whyrec.panel(
        cast(TABLE.with_columns(place=pl.Series(np.arange(N) // 10), step=pl.Series(np.arange(N) % 10), law=pl.Series(((np.arange(N) // 10 == 3) & (np.arange(N) % 10 > 5)).astype(int)))),
        "place", "step", "y", "law",
    ),
    "moments": lambda cast: whyrec.moments(cast(TABLE.with_row_index("n")), "user", "n", "t", "y", "p", controls=["x"]),
    "uplift": lambda cast: whyrec.uplift(cast(TABLE), "t", "y", adjust=["x", "flag"]),
    "refute": lambda cast: whyrec.refute(cast(TABLE), "t", "y", adjust=["x"], runs=5),
    "preference": lambda cast: whyrec.preference(
        cast(TABLE.unique(["user", "item"], keep="first", maintain_order=True).head(40)), outcome="y", method="naive", items=cast(ITEMS.select("item", "price"))
    ),
    "counterfactual": lambda cast: whyrec.counterfactual(cast(TABLE), GRAPH, cast(TABLE.select("t", "x", "y").head(2)), {"t": 1}),
    "why_not": lambda cast: whyrec.why_not(cast(TABLE), cast(TABLE.filter(pl.col("t") == 0).select("t", "x", "y").head(1)), graph=GRAPH, outcome="t", causes={"x": {"x": 0.0}}),
    "graph_learn": lambda cast: whyrec.graph_learn(cast(TABLE.select("t", "x", "y")), draws=0),
    "graph_check": lambda cast: whyrec.graph_check("x -> t -> y", cast(TABLE)),
    "graph_identify": lambda cast: whyrec.graph_identify(GRAPH, "t", "y", data=cast(TABLE.select("t", "x", "y"))),
    "policy_evaluate": lambda cast: whyrec.policy_evaluate(cast(rounds(TABLE)), reward="y", propensity="p", target="q"),
    "policy_compare": lambda cast: whyrec.policy_compare(cast(rounds(TABLE)), reward="y", propensity="p", targets=["q"]),
    "policy_learn": lambda cast: whyrec.policy_learn(cast(rounds(TABLE)), reward="y", action="t", features=["x"], propensity="p"),
    "deploy_check": lambda cast: whyrec.deploy_check(cast(rounds(TABLE)), reward="y", propensity="p", target="q"),
    "read_dataset": lambda cast: whyrec.read_dataset(
        cast(TABLE.select("user", "item", "time", outcome="flag")), items=cast(ITEMS), users=cast(pl.DataFrame({"user": [f"u{k}" for k in range(9)], "age": range(9)}))
    ),
    "fit": lambda cast: whyrec.fit(cast(TABLE.select("user", "item", "time")), items=cast(ITEMS), ranker="popularity").model.recommend(["u1"], 3),
    "evaluate": lambda cast: whyrec.evaluate(fitted(), cast(TABLE.select("user", "item", "time").tail(40))),
    "tune": lambda cast: whyrec.tune("EASE", cast(LOG), trials=1, k=3),
    "Dataset": lambda cast: whyrec.Dataset.build(cast(TABLE.select("user", "item")), whyrec.Schema(), items=cast(ITEMS)),
    "DoCalib": lambda cast: whyrec.DoCalib(propensity="logistic", outcome="linear").fit(cast(TABLE.select("x", "flag")), T, TABLE["y"]),
    "StructuralCausalModel": lambda cast: whyrec.StructuralCausalModel(GRAPH, bootstrap=3).fit(cast(TABLE)).counterfactual(
        cast(TABLE.select("t", "x", "y").head(1)), {"t": 1}
    ),
    "CausalGraph": lambda cast: whyrec.read_graph("x -> t -> y").check(cast(TABLE)),
}  # fmt: skip
MODEL: list[Any] = []


def fitted() -> Any:
    if not MODEL:
        MODEL.append(whyrec.fit(TABLE.select("user", "item", "time"), items=ITEMS, ranker="popularity").model)
    return MODEL[0]


def digits(found: Any) -> str:
    if isinstance(found, tuple):
        found = found[0].log
    if isinstance(found, whyrec.Dataset):
        found = found.log
    return json.dumps(timeless(jsonable(found.to_dicts() if isinstance(found, pl.DataFrame) else found.to_dict())), default=str, sort_keys=True)


def timeless(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: timeless(value) for name, value in told.items() if not name.endswith("seconds")}
    return [timeless(value) for value in told] if isinstance(told, list) else told


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.filterwarnings("ignore")
def test_a_question_gives_the_same_digits_for_every_kind(question: str) -> None:
    """Each with three kinds, so that every pair of kinds meets many questions; what kinds are is tested above."""
    ask, place = QUESTIONS[question], list(QUESTIONS).index(question)
    told = digits(ask(lambda frame: frame))
    names = list(KINDS)
    slow = question in ("refute", "uplift", "tune", "why_not", "effect", "evaluate")
    for name in ("pandas",) if slow else ("pandas", names[1 + place % (len(names) - 1)], names[1 + (5 * place + 3) % (len(names) - 1)]):
        found = digits(ask(KINDS[name]))
        assert found == told, name


def test_every_public_question_that_takes_a_table_is_asked() -> None:
    for name in (name for name in whyrec.__all__ if name in HOMES):
        annotations = [str(one.annotation) for one in inspect.signature(getattr(whyrec.api, name)).parameters.values()]
        assert not any("pl.DataFrame" in one for one in annotations), f"{name} takes polars alone"
        if any("Frame" in one or one.split(" |")[0] == "Source" for one in annotations):
            assert name in QUESTIONS, name


def test_answers_come_back_in_the_kind_that_came_in() -> None:
    indexed = _pandas(TABLE.with_columns(household=pl.int_range(500, 500 + N))).set_index("household")
    found = whyrec.uplift(indexed, "t", "y", adjust=["x"])
    assert isinstance(found.to_frame(), pl.DataFrame) and "household" in found.to_frame().columns
    same = found.to_frame("same")
    assert isinstance(same, pd.DataFrame) and same.index.name == "household" and list(same.index[:2]) == [500, 501]
    assert list(same.columns)[: len(indexed.columns)] == list(indexed.columns)
    shuffled = _pandas(TABLE).set_axis(np.arange(N)[::-1])
    again = whyrec.uplift(shuffled, "t", "y", adjust=["x"])
    assert list(again.to_frame("same").index) == list(shuffled.index) and again.to_frame("pandas").index[0] == 0
    assert "index" not in again.to_frame().columns
    assert isinstance(whyrec.graph_check("x -> t -> y", TABLE.to_arrow()).to_frame("same"), pa.Table)
    assert isinstance(whyrec.policy_evaluate(rounds(TABLE), reward="y", propensity="p", target="q").to_frame("pandas"), pd.DataFrame)
    assert isinstance(whyrec.graph_check("x -> t -> y", TABLE).to_frame("same"), pl.DataFrame)
    with pytest.raises(BadInput, match="kind='numpy': the choices are polars, pandas, pyarrow, same"):
        found.to_frame("numpy")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no table"):
        whyrec.dose(TABLE, "q", "y", adjust=["x"]).to_frame()


def test_an_index_of_pandas_is_a_column_where_it_says_something() -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    assert to_polars(frame.set_axis([3, 9])).columns == ["a"]  # row labels that a filter left
    assert to_polars(frame.set_axis(["x", "y"])).to_dict(as_series=False) == {"index": ["x", "y"], "a": [1, 2]}
    assert to_polars(frame.rename_axis("id")).columns == ["id", "a"]  # pandas 3 makes a RangeIndex of ids that happen to be evenly spaced
    assert to_polars(frame.set_axis(pd.Index([3, 9], name="id"))).to_dict(as_series=False) == {"id": [3, 9], "a": [1, 2]}
    several = frame.set_axis(pd.MultiIndex.from_tuples([("u", 1), ("v", 2)], names=["user", None]))
    assert to_polars(several).columns == ["user", "level_1", "a"] and origin_of(several).index == ("user", "level_1")
    with pytest.raises(BadInput, match="column 'a' stands twice"):
        to_polars(frame.set_axis(pd.Index([3, 9], name="a")))


def test_missing_values_and_categories_of_pandas() -> None:
    frame = pd.DataFrame({"f": [1.0, np.nan], "c": pd.Categorical([1, None]), "s": ["a", None], "d": pd.to_datetime(["2024-01-02", None])})
    assert to_polars(frame).to_dicts() == [
        {"f": 1.0, "c": "1", "s": "a", "d": datetime(2024, 1, 2)}, {"f": None, "c": None, "s": None, "d": None},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"a": [1, 2], "b": [1]}, "differ in length"), ({"a": [1, "x"]}, "column 'a' mixes values of types int, str"), ({"a": 3}, "no column"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "column 'a' stands twice"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "2 levels"),
        (pl.LazyFrame({"a": [1]}).select("b"), "cannot be read as a table"), (np.zeros((3, 2)), "not ndarray"), (3, "not int"), ([1, 2], "not list"),
        (pl.Series([1]), "not Series"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_told(table: Any, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        whyrec.effect(table, "t", "y")


USERS = ["u1", "u4"]


@pytest.mark.parametrize("users", [np.array(USERS), pd.Series(USERS), pd.Index(USERS), pl.Series(USERS), pa.array(USERS), tuple(USERS), iter(USERS)])
def test_users_in_any_list(users: Any) -> None:
    model = fitted()
    assert whyrec.recommend(model, users, k=2).frame["user"].to_list() == ["u1", "u1", "u4", "u4"]
    if not hasattr(users, "__next__"):
        assert model.recommend(users, 2)["user"].to_list() == ["u1", "u1", "u4", "u4"]


def test_one_text_is_no_list_of_users() -> None:
    model = fitted()
    with pytest.raises(BadInput, match=r"users='u1' is one text; give a list: \['u1'\]"):
        whyrec.recommend(model, "u1")  # type: ignore[arg-type]
    assert model.recommend("u1", 2)["user"].to_list() == ["u1", "u1"]  # one user, and no letters
    for wrong in (pd.DataFrame({"user": USERS}), np.array([USERS])):
        with pytest.raises(BadInput, match="users: a list of ids is asked for"):
            whyrec.recommend(model, wrong)
    items = whyrec.similar(model, np.array([1, 2]), k=1).frame
    assert items["item"].to_list() == [1, 2]
    assert as_ids(None, "users") is None


def test_pandas_is_read_without_pyarrow() -> None:
    """A user of pandas need not have it: polars alone would ask for it at the first text."""
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import pandas as pd, whyrec\n"
        "from whyrec.data.frames import to_polars, as_kind\n"
        "frame = pd.DataFrame({'s': ['a', None], 'n': pd.array([1, None], dtype='Int64'), 'c': pd.Categorical(['x', 'y'])})\n"
        "read = to_polars(frame)\n"
        "assert read.to_dicts() == [{'s': 'a', 'n': 1, 'c': 'x'}, {'s': None, 'n': None, 'c': 'y'}], read\n"
        "assert as_kind(read, 'pandas')['s'].isna().tolist() == [False, True]\n"
        "try: as_kind(read, 'pyarrow')\n"
        "except whyrec.data.frames.BadInput as error: assert 'pip install pyarrow' in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_narwhals_loads_only_where_it_is_needed() -> None:
    code = "import sys, whyrec, whyrec.data.frames; assert not {'narwhals', 'pandas', 'pyarrow', 'duckdb'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_and_frames_are_refused_by_one_family(tmp_path: Path) -> None:
    with pytest.raises(WhyrecError):
        whyrec.effect(tmp_path / "absent.csv", "t", "y")
