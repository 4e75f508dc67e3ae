"""What the service claims of pairs: the sign among all that one answer compares, ties of a list by effect, and why intervals may be too short."""

import httpx
import numpy as np
import pytest

from whyrec.cause.pair_effects import BENT
from whyrec.explain.chinese import in_chinese
from whyrec.metrics.significance import told_from_zero
from whyrec.serve.client import Client


@pytest.fixture
def failed(server, monkeypatch: pytest.MonkeyPatch):
    """The model in force, of which a check is said to have failed."""
    model = server.service.registry.roles.primary.scorer.model
    monkeypatch.setattr(type(model), "failed_checks_", ("simulated confounder",))
    return model


def asked(server, path: str, body: dict) -> dict:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        return http.post(path, json=body).raise_for_status().json()


def test_a_list_by_effect_tells_its_ties_and_others_have_none(server) -> None:
    wish = {"user": "u1", "k": 10, "log": False, "explore": False}
    for by in ("effect", "preference", "mix"):
        found = asked(server, "/v1/recommend", {**wish, "by": by})
        effects = [f"{row['effect']:.8e}" for row in found["items"]]
        assert found["ties"] == (sum(effects.count(one) > 1 for one in effects) if by == "effect" else None)
        assert all(row["effect_sign"] in (-1, 0, 1) for row in found["items"]) and found["warnings"] == []


def test_pairs_are_claimed_among_those_asked_about(server) -> None:
    pairs = [{"user": "u1", "item": f"i{k}"} for k in range(30)]
    rows = asked(server, "/v1/uplift", {"pairs": pairs})
    rows = rows if isinstance(rows, list) else next(value for value in rows.values() if isinstance(value, list))
    effect, low, high = (np.array(v) for v in zip(*((r["effect"], *r["interval"]) for r in rows), strict=True))
    degrees = server.service.registry.roles.primary.scorer.model.effects_.pairs_.projection_.degrees
    assert [row["effect_sign"] for row in rows] == told_from_zero(effect, low, high, degrees=degrees).tolist()
    pair = asked(server, "/v1/counterfactual", {"pair": pairs[0]})
    assert pair["effect_sign"] == told_from_zero(effect[:1], low[:1], high[:1], degrees=degrees)[0]


def test_nothing_is_claimed_where_a_check_failed(server, failed) -> None:
    rows = asked(server, "/v1/recommend", {"user": "u1", "by": "effect", "log": False})["items"]
    assert {row["effect_sign"] for row in rows} == {0}
    assert asked(server, "/v1/counterfactual", {"pair": {"user": "u1", "item": "i3"}})["effect_sign"] == 0


def test_bent_effects_are_told_wherever_a_pair_is(server, monkeypatch: pytest.MonkeyPatch) -> None:
    model = server.service.registry.roles.primary.scorer.model
    monkeypatch.setattr(model.effects_.pairs_, "bend_", 9.0)
    for lang, words in (("en", BENT), ("zh", in_chinese(BENT))):
        assert asked(server, "/v1/recommend", {"user": "u1", "by": "effect", "log": False, "lang": lang})["warnings"] == [words]
        why = httpx.get(f"{server.url}/v1/why", params={"user": "u1", "item": "i3", "lang": lang}, timeout=30).json()
        assert why["warnings"] == [BENT] and any(words in sentence for sentence in why["sentences"])
    assert asked(server, "/v1/counterfactual", {"pair": {"user": "u1", "item": "i3"}})["warnings"] == [BENT]


def test_the_average_effect_is_told_in_the_language_with_what_each_estimate_assumes(server) -> None:
    told = asked(server, "/v1/effect", {"lang": "zh"})
    english = asked(server, "/v1/effect", {})
    for name, estimate in told["relatives"].items():
        assert estimate["assumptions"] == [in_chinese(words) for words in english["relatives"][name]["assumptions"]] != []
        assert not set(estimate["assumptions"]) & set(english["relatives"][name]["assumptions"])
    assert told["sensitivity"]["words"] != english["sensitivity"]["words"]


def test_the_client_knows_the_sign(server) -> None:
    with Client(server.url) as client:
        found = client.recommend("u1", 5, by="effect", log=False)
    assert [row.sign for row in found.items] == [row["effect_sign"] for row in found.content["items"]]
