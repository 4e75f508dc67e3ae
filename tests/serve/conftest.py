"""Real PostgreSQL and Redis on loopback, started for the tests and stopped after them; and a small fitted model."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

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
