"""The server killed under load: what it acknowledged is there, once; it comes back by itself."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.serve.conftest import free_port

from whyrec.serve.store import open_store

# Imports once, then forks a server for every port it is told: a start takes tenths of a second.
FORKS = """
import os, sys
import torch, uvicorn
import whyrec.serve.app
from whyrec.serve.service import open_service
torch.set_num_threads(1)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        service = open_service(sys.argv[1], store=sys.argv[2])
        uvicorn.run(whyrec.serve.app.create_app(service), port=int(line), log_level="critical", access_log=False)
        os._exit(1)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks a server")
def test_a_killed_server_keeps_every_acknowledged_event(models: Path, tmp_path: Path) -> None:
    """SIGKILL, 4 times at random points under load over HTTP (the store alone is killed 48 times in test_store)."""
    store, chance = tmp_path / "killed.db", random.Random(3)
    acknowledged: set[str] = set()
    lists: dict[str, list[str]] = {}
    sent = [0]

    def load(port: int, name: str, lock: threading.Lock, stop: threading.Event) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:
            while not stop.is_set():
                with lock:
                    sent[0] += 1
                    number = sent[0]
                keys = [f"k{number}-{j}" for j in range(1 + number % 4)]
                events = [{"user": f"u{number % 9}", "item": f"i{number % 40}", "key": key} for key in keys]
                try:
                    if number % 5 == 0:
                        # In the log before it is given, with a key; without, before an event that answers it is acknowledged.
                        asked = {"idempotency-key": f"k{number}"} if number % 10 == 0 else {}
                        answer = http.post("/v1/recommend", json={"user": f"u{number % 9}", "k": 2}, headers=asked)
                        if answer.status_code == 200:
                            found = answer.json()
                            items = [row["item"] for row in found["items"]]
                            click = {
                                "user": f"u{number % 9}",
                                "item": items[0],
                                "recommendation": found["id"],
                                "key": keys[0],
                            }
                            if asked:
                                lists[found["id"]] = items
                            elif http.post("/v1/events", json={"events": [click]}).status_code == 200:
                                lists[found["id"]] = items
                                acknowledged.add(keys[0])
                    elif http.post("/v1/events", json={"events": events}).status_code == 200:
                        acknowledged.update(keys)
                except httpx.HTTPError:
                    if stop.wait(0.01):
                        return

    forks = subprocess.Popen(
        [sys.executable, "-c", FORKS, str(models / "first"), str(store)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert forks.stdin is not None and forks.stdout is not None
    assert forks.stdout.readline() == "ready\n"
    for _ in range(4):
        port = free_port()
        forks.stdin.write(f"{port}\n")
        forks.stdin.flush()
        child = int(forks.stdout.readline())
        stop, lock = threading.Event(), threading.Lock()
        before = len(acknowledged)
        callers = [threading.Thread(target=load, args=(port, f"c{n}", lock, stop)) for n in range(4)]
        for caller in callers:
            caller.start()
        deadline = time.monotonic() + 30
        while len(acknowledged) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.25))
        os.kill(child, signal.SIGKILL)
        assert forks.stdout.readline() == "ended\n"
        stop.set()
        for caller in callers:
            caller.join()
        assert len(acknowledged) > before, "the server did not come back"
    forks.stdin.close()
    forks.wait(20)
    opened = open_store(store)
    stored = [key for (key,) in opened.read("SELECT key FROM events")]
    kept = {decision.id: decision.body["items"] for decision in opened.decisions()}
    opened.close()
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)
    assert len(stored) - len(acknowledged) <= 4 * 4 * 5  # in flight when a kill came
    assert lists and all(kept[identity] == items for identity, items in lists.items())
