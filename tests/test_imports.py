"""The arrows of the architecture, and how long the front door takes to open."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "whyrec"
# A folder may import from those of a lower rank, and from itself. Equal rank: siblings that never meet.
RANK = {
    "metrics": 0,
    "data": 1,
    "represent": 2,
    "recommenders": 3,
    "cause": 3,
    "live": 4,
    "decide": 5,
    "explain": 6,
    "studies": 7,
    "api": 8,
    "serve": 9,
    "cli": 10,
    "__init__": 11,
    "__main__": 11,
}
BOTTOM = {"errors", "estimate", "extras", "files", "parallel", "progress", "saved", "parameters"}


def imported_parts(path: Path) -> set[str]:
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("whyrec."):
            parts.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "whyrec":
            parts.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            parts.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("whyrec."))
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}: relative import; write the whole name")
    return parts


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_go_downward(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for part in imported_parts(path) - BOTTOM - {"__version__"}:
        if own in BOTTOM:
            raise AssertionError(f"{path} is at the bottom and imports {part}")
        assert part == own or RANK[part] < RANK[own], f"{own} must not import {part}"


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, whyrec, whyrec.cli; print([m for m in ('torch', 'sklearn', 'polars', 'numpy', 'lightgbm', 'matplotlib') if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_an_effect_of_a_table_loads_no_deep_learning() -> None:
    script = (
        "import sys, numpy, polars, whyrec\n"
        "g = numpy.random.default_rng(0); x = g.normal(size=300); t = (g.random(300) < .5) * 1\n"
        "whyrec.effect(polars.DataFrame({'x': x, 't': t, 'y': x + t + g.normal(size=300)}), 't', 'y', adjust=['x'])\n"
        "assert not {'torch', 'torch_geometric', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
