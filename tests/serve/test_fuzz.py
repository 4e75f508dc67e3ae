"""Every endpoint fed by schemathesis with what its own description allows, and does not: no defect, no crash."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.serve.conftest import Running

from whyrec.serve.client import Client


@pytest.mark.slow
def test_no_request_makes_a_server_error(serve: Callable[..., Running], shop_case: Path, tmp_path: Path) -> None:
    running = serve(explore=0.2, cases=[shop_case])
    with Client(running.url) as client:
        found = client.recommend("u1")
        client.events([{"user": "u1", "item": found.items[0].item, "recommendation": found.id}])
        client.set_role("second", "shadow")
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        pytest.skip("schemathesis is not installed (pip install 'whyrec[dev]')")
    command = [
        str(program), "run", f"{running.url}/openapi.json", "--checks", "not_a_server_error", "--max-examples", "2",
        "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color", "--exclude-path", "/v1/models/rollback",
        "--request-timeout", "20", "--report", "ndjson", "--report-dir", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": ""},
    )  # fmt: skip
    told = done.stdout[-6000:] + done.stderr[-1000:]
    assert done.returncode == 0, told
    requests = int(float(sum(
        float(line.rsplit(" ", 1)[1])
        for line in httpx.get(f"{running.url}/metrics").text.splitlines()
        if line.startswith("whyrec_requests_total")
    )))  # fmt: skip
    assert requests > 500, requests
    assert 'status="500"' not in httpx.get(f"{running.url}/metrics").text
    running.stop()
    print(json.dumps({"requests": requests}))
