"""Speed of the service on a catalogue of 100,000 items x 64 dimensions, beside a plain endpoint that ranks a dot product.

    python benchmarks/serve_speed.py                     # makes a model of that size (some minutes), then measures
    python benchmarks/serve_speed.py --model FOLDER      # keeps the model there, or uses the one that is there

The load comes from this process, on loopback, open loop: requests are sent at their times whether or not earlier ones were
answered, and latency counts from the time a request was due. CPU is that of the server's process alone, so that it holds
on a busy machine, too. Prints one JSON object at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

ITEMS, USERS, ROWS, WIDTH = 100_000, 20_000, 400_000, 64
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

YARDSTICK = """
import sys, numpy as np, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
rng = np.random.default_rng(0)
items = rng.normal(size=(64, 100_000)).astype(np.float32)
users = rng.normal(size=(20_000, 64)).astype(np.float32)
class Wish(BaseModel):
    user: str
    k: int = 10
app = FastAPI()
@app.post("/v1/recommend")
async def recommend(wish: Wish):
    scores = users[int(wish.user[1:])] @ items
    best = np.argpartition(scores, -wish.k)[-wish.k:]
    best = best[np.argsort(-scores[best])]
    return {"items": [{"item": int(i), "score": float(scores[i])} for i in best]}
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


def make_model(folder: Path) -> None:
    """A log of that size, fitted for one epoch: what is timed is serving, not what was learnt."""
    from whyrec.data.dataset import Dataset
    from whyrec.data.schema import Schema
    from whyrec.decide.causal_recommender import CausalRecommender

    rng = np.random.default_rng(0)
    item = np.minimum(rng.zipf(1.2, ROWS) - 1, ITEMS - 1)
    item = np.where(rng.random(ROWS) < 0.5, rng.integers(0, ITEMS, ROWS), item)
    treatment = (rng.random(ROWS) < 0.4).astype(float)
    frame = pl.DataFrame(
        {
            "user": [f"u{code}" for code in rng.integers(0, USERS, ROWS)],
            "item": [f"i{code}" for code in item],
            "time": pl.Series(1_700_000_000 + np.sort(rng.integers(0, 8_000_000, ROWS))).cast(pl.Int64),
            "treatment": treatment,
            "outcome": (rng.random(ROWS) < 0.3 + 0.1 * treatment).astype(float),
        }
    ).with_columns(pl.from_epoch("time", time_unit="s"))
    items = pl.DataFrame({"item": [f"i{k}" for k in range(ITEMS)], "category": [f"c{k % 300}" for k in range(ITEMS)]})
    schema = Schema(
        user="user", item="item", time="time", treatment="treatment", outcome="outcome", item_category="category"
    )
    dataset = Dataset.build(frame, schema, items=items, name="speed")
    CausalRecommender(epochs=1).fit(dataset).save(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: Sequence[str], port: int, path: str) -> tuple[subprocess.Popen[bytes], float]:
    """A server, and the seconds until it answers."""
    begun = time.monotonic()
    server = subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, stderr=subprocess.DEVNULL)
    while True:
        if server.poll() is not None:
            raise SystemExit(f"the server ended: {' '.join(command)[:200]}")
        try:
            answered = asyncio.run(ask_once(port, request("GET", path, None)))
            if answered in (200, 405):
                return server, time.monotonic() - begun
        except OSError:
            pass
        time.sleep(0.05)


def request(method: str, path: str, body: Any) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return int(head[9:12]), await reader.readexactly(length)


async def ask_once(port: int, message: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    status, _ = await answer(reader)
    writer.close()
    return status


async def open_loop(port: int, messages: Sequence[bytes], rate: float, connections: int = 32) -> tuple[np.ndarray, int]:
    """Latency in seconds of every message from the time it was due, and how many answers were not 200."""
    pool: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(connections):
        pool.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    took, bad = np.empty(len(messages)), 0
    begun = time.perf_counter() + 0.1

    async def one(place: int, message: bytes) -> None:
        nonlocal bad
        due = begun + place / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = await pool.get()
        connection[1].write(message)
        status, _ = await answer(connection[0])
        took[place] = time.perf_counter() - due
        bad += status != 200
        pool.put_nowait(connection)

    await asyncio.gather(*(one(place, message) for place, message in enumerate(messages)))
    return took, bad


async def closed_loop(port: int, seconds: float, make: Any, connections: int = 64) -> tuple[int, float]:
    """Acknowledged events in a time, from callers who each wait for an answer before they send the next."""
    done, begun = 0, time.perf_counter()

    async def caller(number: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = 0
        while time.perf_counter() - begun < seconds:
            writer.write(make(number, turn))
            status, body = await answer(reader)
            if status == 200:
                done += json.loads(body)["accepted"]
            turn += 1
        writer.close()

    await asyncio.gather(*(caller(number) for number in range(connections)))
    return done, time.perf_counter() - begun


def measured(port: int, process: psutil.Process, messages: Sequence[bytes], rate: float) -> dict[str, float]:
    asyncio.run(open_loop(port, messages[:200], rate))  # warm
    before = process.cpu_times()
    took, bad = asyncio.run(open_loop(port, messages, rate))
    after = process.cpu_times()
    cpu = (after.user + after.system - before.user - before.system) / len(messages)
    p50, p90, p99 = np.quantile(took, [0.5, 0.9, 0.99]) * 1e3
    return {
        "requests": len(messages), "failed": bad, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "cpu_ms": cpu * 1e3,
        "rss_mb": process.memory_info().rss / 2**20,
    }  # fmt: skip


def wishes(n: int, seed: int, **more: Any) -> list[bytes]:
    users = np.random.default_rng(seed).integers(0, USERS, n)
    return [request("POST", "/v1/recommend", {"user": f"u{user}", "k": 10, **more}) for user in users]


def event(number: int, turn: int, batch: int) -> bytes:
    rows = [
        {"user": f"u{(number * 977 + turn * 31 + j) % USERS}", "item": f"i{(number * 131 + turn + j) % ITEMS}"}
        for j in range(batch)
    ]
    return request("POST", "/v1/events", {"events": rows})


def everybody_acts(port: int, acts: int = 2) -> None:
    """Events of every user, so that no history is the one that was stored with the model."""
    for first in range(0, USERS, 500):
        rows = [
            {"user": f"u{user}", "item": f"i{(user * 131 + act) % ITEMS}"}
            for user in range(first, min(first + 500, USERS))
            for act in range(acts)
        ]
        assert asyncio.run(ask_once(port, request("POST", "/v1/events", {"events": rows}))) == 200


def search(folder: Path, queries: int = 200) -> dict[str, Any]:
    """Time and recall@10 of the service's exact search, and of an approximate index where usearch is installed."""
    import torch

    from whyrec.decide.causal_recommender import CausalRecommender
    from whyrec.serve.scorer import Scorer

    torch.set_num_threads(1)
    scorer = Scorer(CausalRecommender.load(folder))
    live = scorer.live
    users = [scorer.user(f"u{code}") for code in np.random.default_rng(1).integers(0, USERS, queries)]
    truth = []
    for user in users:
        z = (
            user.state.query.astype(np.float64) @ live.keys[:, : live.n_items].astype(np.float64)
            + live.popular[: live.n_items]
        )
        truth.append(set(np.argsort(-z, kind="stable")[:10].tolist()))
    plain = [u.state.query @ live.keys[:, : live.n_items] + live.popular[: live.n_items] for u in users]
    from whyrec.serve.scorer import top

    exact = float(np.mean([len(truth[n] & set(top(z, 10).tolist())) / 10 for n, z in enumerate(plain)]))
    begun = time.process_time()
    for user in users:
        scorer.rank(user, 50)
    found: dict[str, Any] = {
        "exact_recall_at_10": exact,
        "exact_cpu_ms": (time.process_time() - begun) / queries * 1e3,
        "exact_includes": "log chance over all items, habits, popularity, 50 best",
    }
    try:
        from usearch.index import Index
    except ImportError:
        return found | {"approximate": "skipped: usearch is not installed"}
    # Inner products as cosines: one more dimension for the level, one to make all keys of equal length (Bachrach et al. 2014).
    keys = np.column_stack([live.keys[:, : live.n_items].T, live.popular[: live.n_items]])
    length = np.linalg.norm(keys, axis=1)
    keys = np.ascontiguousarray(
        np.column_stack([keys, np.sqrt(np.maximum(length.max() ** 2 - length**2, 0))]), np.float32
    )
    index = Index(
        ndim=keys.shape[1], metric="cos", dtype="f32", connectivity=16, expansion_add=128, expansion_search=256
    )
    begun = time.perf_counter()
    index.add(np.arange(len(keys)), keys, threads=1)
    built = time.perf_counter() - begun
    asked = [np.concatenate([u.state.query, [1.0, 0.0]]).astype(np.float32) for u in users]
    begun = time.process_time()
    listed = [index.search(q, 10, threads=1).keys for q in asked]
    took = (time.process_time() - begun) / queries * 1e3
    recall = float(np.mean([len(truth[n] & {int(k) for k in keys_}) / 10 for n, keys_ in enumerate(listed)]))
    return found | {"approximate_recall_at_10": recall, "approximate_cpu_ms": took, "approximate_build_s": built}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder to keep the model in")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="whyrec-speed-"))
    folder = arguments.model or work / "model"
    if not (folder / "model.json").exists():
        print("Making a model of 100,000 items ...", file=sys.stderr, flush=True)
        begun = time.monotonic()
        make_model(folder)
        print(f"  made in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    count = int(arguments.seconds * arguments.rate)
    found: dict[str, Any] = {"items": ITEMS, "width": WIDTH, "rate": arguments.rate}
    port = free_port()
    yardstick, _ = start([sys.executable, "-c", YARDSTICK, str(port)], port, "/v1/recommend")
    found["yardstick"] = measured(port, psutil.Process(yardstick.pid), wishes(count, 1), arguments.rate)
    told("yardstick", found["yardstick"])
    yardstick.terminate()
    yardstick.wait()
    port = free_port()
    command = [sys.executable, "-c", "from whyrec.cli import main; main()", "serve", str(folder), "--port", str(port),
               "--store", str(work / "speed.db"), "--rate", "1000000"]  # fmt: skip
    server, found["start_s"] = start(command, port, "/readyz")
    process = psutil.Process(server.pid)
    for name, more in (("recommend", {}), ("recommend by mix", {"by": "mix"})):
        found[name] = measured(port, process, wishes(count, 2, **more), arguments.rate)
        told(name, found[name])
    for name, batch in (("events one by one", 1), ("events in tens", 10)):
        before = process.cpu_times()
        done, took = asyncio.run(closed_loop(port, arguments.seconds / 2, lambda n, t, b=batch: event(n, t, b)))
        after = process.cpu_times()
        cpu = (after.user + after.system - before.user - before.system) / max(done, 1)
        found[name] = {"acknowledged_per_s": done / took, "server_cpu_ms_per_event": cpu * 1e3}
        told(name, found[name])
    everybody_acts(port)
    for name, more in (("recommend, all live", {}), ("by mix, all live", {"by": "mix"})):
        found[name] = measured(port, process, wishes(count, 3, **more), arguments.rate)
        told(name, found[name])
    found["rss_mb"] = process.memory_info().rss / 2**20
    server.terminate()
    server.wait()
    port = free_port()
    command[command.index("--port") + 1] = str(port)
    server, _ = start([*command, "--log-first"], port, "/readyz")
    for name, more in (("recommend, log first", {}), ("by mix, log first", {"by": "mix"})):
        found[name] = measured(port, psutil.Process(server.pid), wishes(count, 3, **more), arguments.rate)
        told(name, found[name])
    server.terminate()
    server.wait()
    found["search"] = search(folder)
    for name in ("p50_ms", "p99_ms", "cpu_ms"):
        found[f"overhead_{name}"] = found["recommend"][name] - found["yardstick"][name]
    for name in ("start_s", "rss_mb", "search", "overhead_p50_ms", "overhead_p99_ms", "overhead_cpu_ms"):
        told(name, found[name])
    print(json.dumps(found))


def told(name: str, row: Any) -> None:
    values = row if isinstance(row, dict) else {"": row}
    shown = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )
    print(f"{name:<22} {shown.strip()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
