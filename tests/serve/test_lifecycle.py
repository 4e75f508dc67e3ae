"""Models come and go under load: shadow, trial, deploy check, hot swap, rollback; and what the monitors say."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.serve.conftest import Running

from whyrec.serve.client import Client, ServiceError
from whyrec.serve.models import place_of
from whyrec.serve.monitor import Calibration, Drift, Reference, calibration_error


def test_hot_swap_drops_no_request(serve: Callable[..., Running]) -> None:
    """Four callers without pause while models change places twelve times: every answer is a recommendation of one of them."""
    running = serve()
    stop, answers, failures = threading.Event(), [], []

    def call(number: int) -> None:
        with httpx.Client(base_url=running.url, timeout=30) as http:
            while not stop.is_set():
                answer = http.post("/v1/recommend", json={"user": f"u{number}", "k": 3, "reasons": False})
                if answer.status_code == 200 and len(answer.json()["items"]) == 3:
                    answers.append(answer.json()["model"]["name"])
                else:
                    failures.append(answer.text)

    callers = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for caller in callers:
        caller.start()
    with Client(running.url) as client:
        for turn in range(12):
            if turn % 3 == 2:
                client.rollback()
            else:
                client.set_role("second" if turn % 2 == 0 else "first", "primary", force=True)
    stop.set()
    for caller in callers:
        caller.join()
    running.stop()
    assert failures == []
    assert len(answers) > 50 and set(answers) == {"first", "second"}


def test_a_trial_splits_users_by_hash_and_logs_it(serve: Callable[..., Running]) -> None:
    running = serve()
    with Client(running.url) as client:
        roles = client.set_role("second", "challenger", share=0.3)["roles"]
        assert roles["challenger"] == "second" and roles["share"] == 0.3
        users = [f"visitor-{n}" for n in range(200)]
        first, again = ({u: client.recommend(u, 1).model for u in users} for _ in range(2))
        assert first == again
        assert {u for u, model in first.items() if model == "second"} == {
            u for u in users if place_of(u, "second") < 0.3
        }
        share = np.mean([model == "second" for model in first.values()])
        assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 200)
        kept = client.export_user(users[0])["recommendations"][0]
        assert kept["variant"] == ("challenger" if first[users[0]] == "second" else "primary")
        assert {row["variant"] for row in client.policy_value("uniform")["variants"]} == {"primary", "challenger"}
        assert client.set_role("second", "none")["roles"]["challenger"] is None
        assert client.recommend(users[0], 1).variant == "primary"
    running.stop()


def _shadowed(running: Running, client: Client, rewarded: Callable[[list[str], str], bool], rounds: int = 160) -> None:
    """Recommendations with a shadow beside; an item is answered where `rewarded(the shadow's list, item)`."""
    service = running.service
    for n in range(rounds):
        found = client.recommend(f"u{n % 80}", 2, exclude_seen=False, candidates=[f"i{j}" for j in range(6)])
        for _ in range(4000):
            beside = service.store.shadows("second")
            if found.id in beside:
                break
            time.sleep(0.005)
        shadow_list = beside[found.id]["items"]
        answers = [
            {"user": found.user, "item": row.item, "recommendation": found.id, "event": "click"}
            for row in found.items
            if rewarded(shadow_list, row.item)
        ]
        if answers:
            client.events(answers)


def test_the_deploy_check_is_the_gate(serve: Callable[..., Running]) -> None:
    running = serve(explore=0.5, random_state=4)
    with Client(running.url) as client:
        with pytest.raises(ServiceError, match="never ran in the shadow"):
            client.set_role("second", "primary")
        client.set_role("second", "shadow")
        _shadowed(running, client, lambda theirs, item: item in theirs, rounds=260)
        verdict = client.check("second")
        assert verdict["deploy"], verdict
        assert client.set_role("second", "primary")["roles"] == {
            "primary": "second", "previous": "first", "challenger": None, "shadow": None, "share": 0.0,
        }  # fmt: skip
        assert client.recommend("u1").model == "second"
        assert client.rollback()["roles"]["primary"] == "first"
        assert client.recommend("u1").model == "first"
    running.stop()
    # Roles are in the store: another start has them.
    again = serve(store=running.store)
    with Client(again.url) as client:
        assert client.models()["roles"]["previous"] == "second"
    again.stop()


def test_a_model_that_would_lose_is_refused_with_reasons(serve: Callable[..., Running]) -> None:
    running = serve(explore=0.5, random_state=4)
    with Client(running.url) as client:
        client.set_role("second", "shadow")
        _shadowed(running, client, lambda theirs, item: item not in theirs, rounds=100)
        with pytest.raises(ServiceError, match="not surely above") as refused:
            client.set_role("second", "primary")
        assert refused.value.status == 409 and refused.value.type == "urn:whyrec:deploy-check"
        assert refused.value.problem["check"]["deploy"] is False
        assert client.models()["roles"]["primary"] == "first"
        assert client.set_role("second", "primary", force=True)["roles"]["primary"] == "second"
    running.stop()


def test_a_damaged_model_is_refused_and_nothing_changes(
    serve: Callable[..., Running], models: Path, tmp_path: Path
) -> None:
    shutil.copytree(models, tmp_path / "models")
    shutil.copytree(models / "second", tmp_path / "models" / "third")
    (tmp_path / "models" / "third" / "log.parquet").write_bytes(b"not what it was")
    running = serve(model=tmp_path / "models")
    with Client(running.url) as client:
        with pytest.raises(ServiceError, match="differs from what was saved") as refused:
            client.set_role("third", "primary", force=True)
        assert refused.value.status == 409
        assert client.recommend("u1").model == "first"
        rows = {row["name"]: row for row in client.models()["models"]}
        assert rows["first"]["role"] == "primary" and rows["first"]["effects"] and not rows["second"]["loaded"]
    running.stop()


def test_drift_by_hand() -> None:
    rng = np.random.default_rng(0)
    reference = Reference.of(rng.normal(size=10_000))
    assert reference is not None
    assert reference.stability(rng.normal(size=5_000)) < 0.01
    assert reference.stability(rng.normal(1.0, size=5_000)) > 0.2
    # Two bins at a half, live shares 0.75 and 0.25 of many values: (0.25 log 1.5) + (-0.25 log 0.5) = 0.2747.
    halves = Reference(np.array([0.0]), np.array([0.5, 0.5]))
    assert halves.stability(np.repeat([-1.0, 1.0], [75_000, 25_000])) == pytest.approx(0.2747, abs=1e-3)
    drift = Drift({"price": reference})
    drift.see("price", [5.0, "rain", None, float("nan"), True] * 250)
    drift.see("unknown", [1.0])
    found = drift.indices()["price"]
    assert found["n"] == 500 and found["alert"]


def test_calibration_by_hand() -> None:
    assert calibration_error(np.repeat([0.2, 0.8], 50), np.repeat([0.0, 1.0], 50), bins=2) == pytest.approx(0.2)
    rng = np.random.default_rng(0)
    for factor, alert in ((1.0, False), (0.3, True)):
        monitor = Calibration(mature=60)
        for n in range(400):
            expected = {f"i{j}": float(p) for j, p in enumerate(rng.uniform(0.1, 0.5, 3))}
            monitor.show(f"r{n}", 1000.0, expected)
            for item, p in expected.items():
                if rng.random() < p * factor:
                    monitor.answer(f"r{n}", item, 1.0)
        assert monitor.report(now=1010.0)["n"] == 0  # not yet mature
        report = monitor.report(now=1100.0)
        assert report["n"] == 1200 and report["alert"] is alert
        assert report["ratio"] == pytest.approx(factor, abs=0.12)


def test_drift_and_calibration_reach_metrics(serve: Callable[..., Running]) -> None:
    running = serve(mature_seconds=0.0)
    with Client(running.url) as client:
        for n in range(60):
            client.recommend(f"u{n}", 10, context={"price": 30.0 + n})
        for _ in range(4):
            client.events([{"user": "u1", "item": "i1", "context": {"price": 40.0 + k}} for k in range(50)])
        monitor = client.monitor()
        assert monitor["drift"]["context.price"]["alert"]
        assert monitor["calibration"]["n"] == 600 and monitor["calibration"]["alert"]  # nobody answered anything
        text = httpx.get(f"{running.url}/metrics").text
    running.stop()
    assert 'whyrec_drift_alert{feature="context.price"} 1' in text
    assert "whyrec_calibration_alert 1" in text
    assert "whyrec_calibration_observed 0" in text
