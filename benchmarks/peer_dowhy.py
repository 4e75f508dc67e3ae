"""DoWhy's identification of one effect; runs in DoWhy's own environment, reads a GML graph on standard input.

Usage: PYTHON peer_dowhy.py MODE TREATMENT OUTCOME < graph.gml. MODE: default (backdoor sets, front door, instruments),
or efficient (efficient-adjustment). A bidirected edge becomes an unobserved node. Prints seconds and cpu_seconds of the
identification alone: neither import nor construction of the graph is counted.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def main() -> None:
    import networkx as nx
    from dowhy.causal_identifier import AutoIdentifier, BackdoorAdjustment, EstimandType

    mode, treatment, outcome = sys.argv[1:4]
    text = sys.stdin.read()
    label = {int(k): name for k, name in re.findall(r'node \[ id (\d+) label "([^"]+)"', text)}
    graph = nx.DiGraph()
    graph.add_nodes_from(label.values())
    observed = list(label.values())
    for number, (a, b, sort) in enumerate(
        re.findall(r'edge \[ source (\d+) target (\d+)( sort "bidirected")? \]', text)
    ):
        if sort:
            graph.add_edges_from([(f"U{number}", label[int(a)]), (f"U{number}", label[int(b)])])
        else:
            graph.add_edge(label[int(a)], label[int(b)])
    identifier = AutoIdentifier(
        estimand_type=EstimandType.NONPARAMETRIC_ATE,
        backdoor_adjustment=BackdoorAdjustment.BACKDOOR_EFFICIENT
        if mode == "efficient"
        else BackdoorAdjustment.BACKDOOR_DEFAULT,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    identifier.identify_effect(graph, action_nodes=[treatment], outcome_nodes=[outcome], observed_nodes=observed)
    print(json.dumps({"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
