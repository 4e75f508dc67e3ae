"""Saved causal models in the service: the library's own answers, and no text of a request that is run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.serve.conftest import Running, whyrec

from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.errors import BadInput
from whyrec.explain.why_not import why_not
from whyrec.serve.cases import Cases
from whyrec.serve.client import Client, ServiceError

CASE = {"usual_price": 2.0, "price": 2.8, "rival_offers": 0.2, "城市": "Zug", "bought": 0}
CAUSES = {"price": {"price": "least(price, usual_price)"}, "rival offers": {"rival_offers": 0}}
ACTIONS = {"10% off": {"price": "price * 0.9"}, "as usual": {"price": "usual_price"}}


@pytest.fixture(scope="module")
def running(serve: Callable[..., Running], shop_case: Path) -> Running:
    return serve(cases=[shop_case.parent])


@pytest.fixture
def client(running: Running) -> Client:
    with Client(running.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(shop_case: Path) -> StructuralCausalModel:
    return StructuralCausalModel.load(shop_case)


def test_models_are_listed_with_what_a_slider_needs(client: Client) -> None:
    (found,) = client.cases()
    assert found["name"] == "shop" and found["rows"] == 1500 and "price -> bought" in found["graph"]
    columns = {column["name"]: column for column in found["columns"]}
    assert set(columns) == set(CASE)
    assert columns["城市"]["labels"] == ["Basel", "Zug"] and columns["城市"]["typical"] in ("Basel", "Zug")
    assert columns["bought"]["levels"] == [0, 1]
    price = columns["price"]
    assert price["levels"] == [] and price["low"] < price["typical"] < price["high"]


def test_a_counterfactual_is_the_librarys(client: Client, model: StructuralCausalModel) -> None:
    told = client.counterfactual(model="shop", case=CASE, do={"price": "price * 0.7"}, target="bought")
    expected = model.counterfactual(CASE, {"price": "price * 0.7"}, "bought").to_dict()
    assert {name: told[name] for name in expected} == expected
    (row,) = told["rows"]
    assert row["factual"] == 0 and 0.2 < row["counterfactual"] < 1 and row["low"] < row["counterfactual"] <= row["high"]
    assert told["model"]["name"] == "shop" and told["model"]["mechanisms"]["bought"]["kind"] == "logistic"
    both = client.counterfactual(model="shop", cases=[CASE, {**CASE, "price": 2.0}], do={"price": "usual_price"})
    assert [row["case"] for row in both["rows"]] == [0, 1]
    assert both["rows"][1]["counterfactual"] == 0  # nothing was changed in it


def test_why_not_is_the_librarys_and_finds_the_price(client: Client, model: StructuralCausalModel) -> None:
    told = client.why_not("shop", CASE, "bought", CAUSES, ACTIONS, lang="zh")
    (expected,) = why_not(model, CASE, CAUSES, "bought", ACTIONS, lang="zh")
    assert {name: told[name] for name in expected.to_dict()} == expected.to_dict()
    assert told["reasons"][0]["cause"] == "price" and told["reasons"][0]["low"] > 0
    assert "最大的原因" in " ".join(told["sentences"])
    gains = {row["action"]: row["gain"] for row in told["actions"]}
    assert gains["as usual"] > gains["10% off"] > 0


@pytest.mark.parametrize(
    "given",
    [
        "(select 1)", "price; drop", "read_csv('/etc/passwd')", "price * price", "greatest(price, least(1, 2))", "price * 0.9 --",
        "least(price)", "exp(price)", "price ** 9", "'text'", "1e308", "least(price, 9999999999999999)", "price[0]", "",
    ],
)  # fmt: skip
def test_no_other_expression_is_taken(client: Client, given: str) -> None:
    for ask in (
        lambda: client.counterfactual(model="shop", case=CASE, do={"price": given}),
        lambda: client.why_not("shop", CASE, "bought", {"price": {"price": given}}),
        lambda: client.why_not("shop", CASE, "bought", CAUSES, {"act": {"price": given}}),
    ):
        with pytest.raises(ServiceError) as raised:
            ask()
        assert raised.value.status == 422 and "price" in str(raised.value)


def test_what_does_not_fit_is_named(client: Client, running: Running) -> None:
    for form, status, words in (
        ({"model": "nothing", "case": CASE, "do": {"price": 1}}, 404, "no causal model"),
        ({"model": "shop", "case": {**CASE, "colour": 1}, "do": {"price": 1}}, 422, "colour"),
        ({"model": "shop", "case": {**CASE, "price": "cheap"}, "do": {"price": 1}}, 422, "give a number"),
        ({"model": "shop", "case": {**CASE, "bought": 7}, "do": {"price": 1}}, 422, "0 or 1"),
        ({"model": "shop", "case": {**CASE, "城市": "Bern"}, "do": {"price": 1}}, 422, "Bern"),
        ({"model": "shop", "case": CASE, "do": {"城市": "Bern"}}, 422, "Bern"),
        ({"model": "shop", "case": CASE, "do": {"price": "weather * 2"}}, 422, "weather"),
        ({"model": "shop", "case": CASE, "do": {"price": "price / 0"}}, 422, "inf"),
        ({"model": "shop", "do": {"price": 1}}, 422, "case"),
        ({"model": "shop", "case": CASE, "do": {"price": 1}, "pair": {"user": "u1", "item": "i1"}}, 422, "other forms"),
    ):
        answer = httpx.post(f"{running.url}/v1/counterfactual", json=form)
        assert answer.status_code == status and words in answer.json()["detail"], answer.text
    with pytest.raises(ServiceError, match="0"):
        client.why_not("shop", {**CASE, "bought": 1}, "bought", CAUSES)


def test_folders_are_checked(shop_case: Path, models: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no causal model"):
        Cases([tmp_path])
    with pytest.raises(BadInput, match="two models"):
        Cases([shop_case, shop_case.parent])
    with pytest.raises(Exception, match="not a StructuralCausalModel"):
        Cases([models / "first"])


def test_help_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    whyrec("serve", "run", "--help")
    assert "--cases" in capsys.readouterr().out


def test_a_users_own_case_is_found_and_erased_with_them(
    serve: Callable[..., Running], models: Path, shop_case: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(shop_case, folder)
    running = serve(model=shutil.copytree(models, tmp_path / "models"), cases=[folder])  # other tests share the models
    with Client(running.url) as client:
        case = client.own_case("shop", "u7")
        assert case is not None and set(case) == set(CASE) and case["bought"] == 0
        (row,) = client.counterfactual(model="shop", case=case, do={"price": "price * 0.5"}, target="bought")["rows"]
        assert row["low"] < row["counterfactual"] <= row["high"]
        assert client.own_case("shop", "nobody") is None
        assert client.export_user("u7")["cases"] == {"shop": case}
        httpx.delete(f"{running.url}/v1/users/u7", timeout=60)
        assert client.own_case("shop", "u7") is None and client.own_case("shop", "u6") is not None
        with pytest.raises(ServiceError, match="404"):
            client.own_case("nothing", "u6")
    running.stop()
    StructuralCausalModel.load(folder)  # its seal holds
