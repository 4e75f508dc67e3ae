"""How often `--ranker auto` does not choose popularity where everybody draws alike, and how often it does where tastes differ.

    python benchmarks/choice_errors.py [--logs 200]

The simplest candidate is left only for one that is surely better (5%), so that the first share should be at most one in twenty.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections import Counter
from pathlib import Path

from whyrec.decide.choice import choose

_WORLDS = Path(__file__).parents[1] / "tests" / "decide" / "test_choice.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=200)
    logs = parser.parse_args().logs
    spec = importlib.util.spec_from_file_location("worlds", _WORLDS)
    assert spec is not None and spec.loader is not None
    worlds = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worlds)
    for kind in ("popular", "tastes"):
        frames = (worlds.world(kind, 50_000 + seed, users=60, events=16) for seed in range(logs))
        found = Counter(choose(worlds.built(frame), among=worlds.CHEAP).ranker for frame in frames)
        print(kind, dict(found.most_common()), flush=True)


if __name__ == "__main__":
    main()
