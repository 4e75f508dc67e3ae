#!/bin/sh
# networkx 3.6.1: write_gml writes a node named "[]" or "()" as any other name, and parse_gml cannot read its own text back: the quoted
# label "[]" becomes an empty list, which no node can be (TypeError), and "()" becomes an empty tuple, another name than was written.
# A good engineer expects that a quoted label is text.
# Seen: TypeError: unhashable type: 'list' for "[]"; nodes [(), 'price'] for "()".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check networkx==3.6.1
"$folder/venv/bin/python" - <<'PY'
import networkx as nx


def again(name):
    graph = nx.DiGraph()
    graph.add_edge(name, "price")
    text = "\n".join(nx.generate_gml(graph))
    try:
        return list(nx.parse_gml(text).nodes)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


seen = {name: again(name) for name in ("[]", "()", "price of ()")}
print("networkx", nx.__version__, seen)
assert seen["[]"] == "TypeError: unhashable type: 'list'", seen
assert seen["()"] == [(), "price"], seen
assert seen["price of ()"] == ["price of ()", "price"], seen
PY
