"""Speed and memory of off-policy evaluation, policies and knapsack, beside OBP and OR-Tools where they are installed.

    WHYREC_PEER_OBP=/path/to/python WHYREC_PEER_ORTOOLS=/path/to/python python benchmarks/policy_speed.py [out.json]

Each names a Python of its own environment that has obp 0.5.7 or ortools. Without them the peer is skipped, and said to be.
`whyrec benchmark policies` runs these parts too, after those that measure truth.
"""

import json
import sys
from pathlib import Path

from whyrec.studies.policy_benchmark.constraints import knapsack
from whyrec.studies.policy_benchmark.speed import speed


def main() -> None:
    parts = [speed(), knapsack()]
    print("\n\n".join(part.to_text() for part in parts))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps([part.to_dict() for part in parts], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
