"""Model folders: a `model.json` that lists every other file with its checksum, and seals itself.

Nothing in the folder is ever executed: weights are safetensors, tables Parquet, the rest JSON or text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whyrec.errors import BadInput, IncompatibleModel
from whyrec.estimate import jsonable
from whyrec.files import atomic_folder, checksum

FORMAT = 1
_MANIFEST = "model.json"


@contextmanager
def saving(path: Path, kind: str, content: dict[str, Any]) -> Iterator[Path]:
    """Yield a folder to write into; when the block succeeds, seal it and put it in place of `path`.

    kind: the class that can read it back. content: JSON-ready parameters and state. An existing folder is
    replaced only when it holds a model (or nothing): somebody's other files are never deleted.
    """
    check_free(path)
    with atomic_folder(path) as folder:
        yield folder
        files = {str(file.relative_to(folder)): checksum(file) for file in sorted(folder.rglob("*")) if file.is_file()}
        manifest = {"format": FORMAT, "whyrec": _version(), "kind": kind, "content": jsonable(content), "files": files}
        manifest["seal"] = _seal(manifest)
        (folder / _MANIFEST).write_text(
            json.dumps(manifest, ensure_ascii=False, indent=1, allow_nan=False), encoding="utf-8"
        )


def check_free(path: Path) -> None:
    """Raise BadInput where a model may not be saved: something stands there that is no model."""
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / _MANIFEST).exists()):
        raise BadInput(f"{path} exists and is not a saved model; name another folder, or remove it first")


def part_of(folder: Path, file: Path) -> bool:
    """Whether a saved model is made of a file: its list of files, or one that the list names."""
    manifest = folder / _MANIFEST
    if not manifest.is_file() or not file.is_relative_to(folder):
        return False
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError, TypeError):
        return file == manifest
    return file == manifest or str(file.relative_to(folder)) in listed


def opening(path: Path, kind: str) -> dict[str, Any]:
    """The content of a saved model, after every checksum has been compared.

    Raises BadInput where there is no model, IncompatibleModel where it was changed, is incomplete, newer than
    this package, or of another kind.
    """
    manifest_path = path / _MANIFEST
    if not manifest_path.is_file():
        raise BadInput(f"{path} holds no model (no {_MANIFEST}); make one with: whyrec fit LOGS --out {path}")
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        seal, version = manifest["seal"], manifest["format"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise IncompatibleModel(f"{manifest_path} is damaged ({error}); copy the model again or fit it anew") from error
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise IncompatibleModel(
            f"{path} is in model format {version} (whyrec {manifest.get('whyrec', '?')}); "
            f"this whyrec reads up to {FORMAT}: upgrade whyrec"
        )
    if _seal(manifest) != seal:
        raise IncompatibleModel(f"{manifest_path} was changed after it was saved; copy the model again or fit it anew")
    if manifest["kind"] != kind:
        raise IncompatibleModel(f"{path} holds a {manifest['kind']}, not a {kind}")
    for name, expected in manifest["files"].items():
        file = path / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise IncompatibleModel(f"{manifest_path} lists {name}, outside the model's folder; fit the model anew")
        if not file.is_file():
            raise IncompatibleModel(f"{file} is missing; copy the whole folder again or fit the model anew")
        if checksum(file) != expected:
            raise IncompatibleModel(
                f"{file} differs from what was saved (checksum); copy it again or fit the model anew"
            )
    content: dict[str, Any] = manifest["content"]
    return content


def _seal(manifest: dict[str, Any]) -> str:
    bare = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(bare, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _version() -> str:
    from whyrec import __version__

    return __version__
