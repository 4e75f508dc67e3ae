"""Other libraries, run by a script of `benchmarks/` in their own environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whyrec.progress import say

_PEER_SCRIPTS = Path(__file__).parents[3] / "benchmarks"


def run_peer(
    python: str,
    script: str,
    arguments: Sequence[str],
    limit: float,
    text: str = "",
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """The JSON object that a peer's script prints; None where it takes longer than `limit` seconds or fails."""
    command = [python, str(_PEER_SCRIPTS / script), *arguments]
    given = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    given.pop("PYTHONPATH", None)
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=limit, env=given, check=False
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        say(f"{script} {' '.join(arguments[-2:])}: {type(error).__name__}")
        return None
    if done.returncode:
        say(f"{script} {' '.join(arguments[-2:])}: {done.stderr.strip().splitlines()[-1:]}")
        return None
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
