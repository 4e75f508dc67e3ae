"""Encoded texts on disk, found by the content of the text and the identity of the model."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput
from whyrec.files import atomic_file

_log = logging.getLogger(__name__)
States = Mapping[str, NDArray[np.float32]]


def default_cache() -> Path:
    """whyrec/text under $XDG_CACHE_HOME, or under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whyrec" / "text"


class TextCache:
    """Sixteen shards a model, by the first digit of the text's SHA-256; each carries the digest of its own content.

    A shard that is damaged or unreadable counts as absent: its texts are encoded again and it is written anew.
    """

    def __init__(self, folder: str | Path | None, identity: str) -> None:
        self.folder = (Path(folder) if folder else default_cache()) / identity[:32]

    def read(self, texts: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """States of those texts that were stored before."""
        found: dict[str, NDArray[np.float32]] = {}
        for digit, part in _by_digit(texts).items():
            shard = self._shard(digit)
            found |= {text: shard[key] for text, key in part.items() if key in shard}
        return found

    def add(self, states: States) -> None:
        """Store states, each shard whole or not at all. A folder that cannot be written costs time, never the answer."""
        from safetensors.numpy import save_file

        for digit, part in _by_digit(states).items():
            merged = self._shard(digit) | {key: states[text] for text, key in part.items()}
            keys = np.frombuffer(b"".join(merged), dtype=np.uint8).reshape(-1, 32)
            values = np.stack(list(merged.values()))
            try:
                with atomic_file(self.folder / f"{digit}.safetensors") as path:
                    save_file({"keys": keys, "states": values}, path, metadata={"sha256": _digest(keys, values)})
            except (BadInput, OSError) as error:
                _log.warning("encoded texts are not kept: %s", error)
                return

    def _shard(self, digit: str) -> dict[bytes, NDArray[np.float32]]:
        from safetensors import SafetensorError, safe_open

        path = self.folder / f"{digit}.safetensors"
        if not path.is_file():
            return {}
        try:
            with safe_open(path, framework="numpy") as file:
                keys, states = file.get_tensor("keys"), file.get_tensor("states")
                expected = (file.metadata() or {}).get("sha256")
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            _log.warning("%s is damaged (%s): its texts are encoded again", path, error)
            return {}
        if expected != _digest(keys, states):
            _log.warning("%s is damaged (checksum): its texts are encoded again", path)
            return {}
        return {key.tobytes(): state for key, state in zip(keys, states, strict=True)}


def _by_digit(texts: Iterable[str]) -> dict[str, dict[str, bytes]]:
    parts: dict[str, dict[str, bytes]] = defaultdict(dict)
    for text in texts:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
        parts[digest.hexdigest()[0]][text] = digest.digest()
    return parts


def _digest(keys: NDArray[np.uint8], states: NDArray[np.float32]) -> str:
    return hashlib.sha256(keys.tobytes() + states.tobytes()).hexdigest()
