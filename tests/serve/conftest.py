"""Real PostgreSQL and Redis on loopback, started for the tests and stopped after them; and a small fitted model."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

HOW = "apt-get install postgresql redis-server"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str, *folders: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of this session's own, by a user of its own where the tests run as root."""
    folders = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    initdb, control = _program("initdb", *folders), _program("pg_ctl", *folders)
    if initdb is None or control is None:
        pytest.skip(f"PostgreSQL is not installed ({HOW})")
    import pwd
    import tempfile

    as_user: dict[str, str] = {}
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
        as_user = {"user": "postgres"}
    folder = Path(tempfile.mkdtemp(prefix="whyrec-pg-"))
    if as_user:
        shutil.chown(folder, "postgres")
    port = free_port()

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder, **as_user)

    try:
        made = run(initdb, "-D", str(folder / "data"), "-A", "trust", "-U", "whyrec", "--no-sync", "-E", "UTF8")
        if made.returncode:
            pytest.skip(f"initdb failed: {made.stderr[-200:]}")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        started = subprocess.run(
            [control, "-D", str(folder / "data"), "-w", "-l", str(folder / "log"), "-o", options, "start"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=60, cwd=folder, **as_user,
        )  # fmt: skip
        if started.returncode:
            pytest.skip(f"PostgreSQL did not start: {(folder / 'log').read_text()[-300:]}")
        yield f"postgresql://whyrec@127.0.0.1:{port}/postgres"
        run(control, "-D", str(folder / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of this session's own, without files."""
    program = _program("redis-server", "/usr/bin", "/usr/local/bin")
    if program is None:
        pytest.skip(f"Redis is not installed ({HOW})")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            pytest.skip("Redis did not start")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


COMMAND = (sys.executable, "-c", "from whyrec.cli import main; main()")


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT in a folder: the real loading code, without the weight of the real model."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("text-model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "apple", "milk", "bread", "soap", "number", "green", "oat"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def shop_log(rows: int = 2500, users: int = 80, seed: int = 0) -> pl.DataFrame:
    """Users like one kind of item; a treatment adds 0.2 to the chance; price is a column of the moment."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(users, size=rows), rng.integers(40, size=rows)
    treatment = rng.random(rows) < 0.4
    outcome = rng.random(rows) < 0.1 + 0.4 * (user % 4 == item % 4) + 0.2 * treatment
    return pl.DataFrame(
        {
            "user": [f"u{code}" for code in user],
            "item": [f"i{code}" for code in item],
            "time": 1_700_000_000 + np.sort(rng.integers(8_000_000, size=rows)),
            "treatment": treatment.astype(int),
            "outcome": outcome.astype(int),
            "price": rng.normal(3, 0.5, rows).round(2),
        }
    )


KINDS = ("apple", "milk", "bread", "soap")


def shop_dataset(log: pl.DataFrame) -> Any:
    """A log of `shop_log` as a dataset with its items, and the report of its validation."""
    from whyrec.data.read import read_dataset
    from whyrec.data.schema import Schema

    items = pl.DataFrame(
        {
            "item": [f"i{k}" for k in range(40)],
            "text": [f"{KINDS[k % 4]} number {k}" for k in range(40)],
            "category": [KINDS[k % 4] for k in range(40)],
        }
    )
    schema = Schema(
        user="user", item="item", time="time", treatment="treatment", outcome="outcome", context=("price",), item_text=("text",),
        item_category="category",
    )  # fmt: skip
    return read_dataset(log, items=items, schema=schema)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, text_model: Path) -> Path:
    """A folder with two fitted models, "first" and "second"."""
    from whyrec.data.report import without_people
    from whyrec.decide.causal_recommender import CausalRecommender
    from whyrec.studies.beside import beside_baselines

    folder = tmp_path_factory.mktemp("models")
    cache = str(tmp_path_factory.mktemp("texts"))
    for seed, name in enumerate(("first", "second")):
        log = shop_log(seed=seed)
        nobodys = log.head(3).with_columns(user=pl.lit(None, pl.String))  # set aside, and told of
        dataset, report = shop_dataset(pl.concat([log, nobodys]))
        model = CausalRecommender(epochs=2, text_model=str(text_model), cache=cache, random_state=seed).fit(dataset)
        if name == "second":
            beside = beside_baselines(dataset, model.unfitted())
            model.notes_ = {"validation": without_people(report.to_dict()), "baselines": beside}
        model.save(folder / name)
    return folder


@pytest.fixture(scope="session")
def shop_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved causal model named "shop": dearer than usual sells less, on offer elsewhere sells less; 城市 is a text."""
    from whyrec.cause.scm.model import StructuralCausalModel
    from whyrec.cause.scm.own_cases import keep_own_cases

    rng = np.random.default_rng(0)
    n = 1500
    usual = rng.uniform(1, 3, n)
    price = usual * rng.uniform(0.7, 1.6, n)
    offers, city = rng.random(n), rng.choice(["Basel", "Zug"], n)
    chance = 1 / (1 + np.exp(-(3 - 4 * (price - usual) - 1.5 * offers + 0.5 * (city == "Zug"))))
    frame = pl.DataFrame(
        {"usual_price": usual, "price": price, "rival_offers": offers, "城市": city, "bought": (rng.random(n) < chance).astype(int)}
    )  # fmt: skip
    graph = "usual_price -> price; usual_price -> bought; price -> bought; rival_offers -> bought; 城市 -> bought"
    mechanisms = {"price": "linear", "bought": "logistic"}
    folder = tmp_path_factory.mktemp("cases") / "shop"
    StructuralCausalModel(graph, mechanisms=mechanisms, bootstrap=10).fit(frame).save(folder)
    known = frame.filter(pl.col("bought") == 0).head(2).with_columns(user=pl.Series(["u6", "u7"]))
    keep_own_cases(folder, known, "user", frame.columns)
    return folder


@dataclass
class Running:
    """A server on a thread of this process: real sockets, without the seconds that a new process takes to import."""

    url: str
    store: str
    service: Any
    server: Any
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture(scope="session")
def serve(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """Start a server: serve(explore=0.1), serve(store=..., model=..., public=True); other names are `Settings`."""
    import torch
    import uvicorn

    from whyrec.serve.app import create_app
    from whyrec.serve.listen import configuration
    from whyrec.serve.service import Settings, open_service

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started: list[Running] = []

    def start(
        store: str | None = None,
        model: Path | None = None,
        public: bool = False,
        cache: str | None = None,
        cases: Sequence[Path] = (),
        pages: Path | None = None,
        **settings: Any,
    ) -> Running:
        place = store or str(tmp_path_factory.mktemp("serve") / "whyrec.db")
        service = open_service(model or models, store=place, cache=cache, settings=Settings(**settings), cases=cases)
        config = configuration(create_app(service, public=public, pages=pages), service, port=0)
        sockets = [config.bind_socket()]
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
        thread.start()
        running = Running(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", place, service, server, thread)
        started.append(running)
        while not server.started:
            time.sleep(0.01)
        return running

    yield start
    for running in started:
        running.stop()
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def server(serve: Callable[..., Running]) -> Running:
    """One server that tests share: they use users of their own."""
    return serve(explore=0.2, random_state=1)


def whyrec(*arguments: object) -> None:
    """`whyrec ARGUMENTS` in this process."""
    from whyrec import cli

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["whyrec", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        assert not leaving.value.code
