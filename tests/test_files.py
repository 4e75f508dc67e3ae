"""Files appear whole or not at all, whatever interrupts the writing."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from whyrec.errors import BadInput
from whyrec.files import atomic_file, atomic_folder, checksum, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_file_is_written_and_replaced(tmp_path):
    target = tmp_path / "new" / "a.txt"
    write_text(target, "one é")
    write_text(target, "two 中")
    assert target.read_text(encoding="utf-8") == "two 中"
    assert names(target.parent) == ["a.txt"]
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_exception_leaves_the_old_file_and_no_temporary(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_temporary_keeps_the_ending(tmp_path):
    with atomic_file(tmp_path / "a.parquet") as temporary:
        assert temporary.suffix == ".parquet"
        temporary.write_bytes(b"x")


def test_full_disk_is_bad_input_and_keeps_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def full(*_args, **_keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BadInput, match=r"a\.txt: No space left on device; free space"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from whyrec.errors import BadInput
from whyrec.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text(Path(sys.argv[1]), "x" * 100_000)
except BadInput as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="file size limits are a POSIX feature")
def test_a_write_that_the_system_refuses_half_way_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(target)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cannot write" in done.stdout
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


_SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a script is started deaf to it
from pathlib import Path
from whyrec.files import atomic_file, atomic_folder
with atomic_file(Path(sys.argv[1])) as file, atomic_folder(Path(sys.argv[2])) as folder:
    file.write_text("half")
    (folder / "a").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_leaves_old_file_and_folder_and_no_temporary(tmp_path):
    file, folder = tmp_path / "a.txt", tmp_path / "folder"
    file.write_text("old")
    folder.mkdir()
    (folder / "a").write_text("old")
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW, str(file), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    process.stdout.close()
    assert file.read_text() == "old"
    assert (folder / "a").read_text() == "old"
    assert names(tmp_path) == ["a.txt", "folder"]


def test_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "model"
    for number in (1, 2):
        with atomic_folder(target) as folder:
            (folder / f"{number}").write_text("x")
    assert names(target) == ["2"]
    assert names(tmp_path) == ["model"]


def test_failed_folder_leaves_the_old_one(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "1").write_text("x")
    with pytest.raises(ValueError, match="no"), atomic_folder(target) as folder:
        (folder / "2").write_text("x")
        raise ValueError("no")
    assert names(target) == ["1"]
    assert names(tmp_path) == ["model"]


def test_failed_rename_puts_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "1").write_text("x")
    rename = Path.rename

    def refuse(self, other):
        if Path(other) == target and not self.name.endswith(".old"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BadInput, match="Input/output error"), atomic_folder(target) as folder:
        (folder / "2").write_text("x")
    assert names(target) == ["1"]
    assert names(tmp_path) == ["model"]


def test_a_file_in_the_place_of_the_parent_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(BadInput, match="cannot write"), atomic_folder(tmp_path / "file" / "model"):
        pass


def test_an_os_error_of_the_caller_that_is_not_about_writing_keeps_its_words(tmp_path):
    with pytest.raises(BadInput, match=r"missing\.csv"), atomic_file(tmp_path / "a.txt"):
        (tmp_path / "missing.csv").read_text()


def test_json_is_strict_and_keeps_order(tmp_path):
    write_json(tmp_path / "a.json", {"b": float("nan"), "a": "中", "c": (1, 2)})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": None, "a": "中", "c": [1, 2]}
    assert text.index('"b"') < text.index('"a"')
    assert "中" in text


def test_checksum_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert checksum(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_nothing_is_left_when_the_process_is_watched_while_it_writes(tmp_path):
    target = tmp_path / "a.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert time.time() - temporary.stat().st_mtime < 60
    assert names(tmp_path) == ["a.txt"]
