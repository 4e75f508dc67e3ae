"""Discovery beside causal-learn and identification beside DoWhy, in one run: prints the ratios and writes JSON.

Run: WHYREC_DATA=DATA WHYREC_PEER_CAUSALLEARN=PYTHON WHYREC_PEER_DOWHY=PYTHON python benchmarks/graphs_beside_peers.py
[--quick] [OUT.json]. A peer whose variable is unset is skipped, and the table says so.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from whyrec.progress import show_progress
from whyrec.studies.graph_benchmark import Setting, beside_causal_learn, identification_speed


def main() -> None:
    setting = Setting(Path(os.environ.get("WHYREC_DATA", "shared/data")), "--quick" in sys.argv, 0)
    with show_progress():
        tables = [make(setting) for make in (identification_speed, beside_causal_learn)]
    for table in tables:
        print(table.to_text(), end="\n\n")
    out = [name for name in sys.argv[1:] if name.endswith(".json")]
    if out:
        Path(out[0]).write_text(json.dumps({t.name: t.to_dict() for t in tables}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
