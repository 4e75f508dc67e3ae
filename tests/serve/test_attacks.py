"""The attack list names tests that exist, and each attack once."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_attack_of_the_list_has_its_test() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| `(tests/[^`]+)::(test_\w+)` \|$", text, re.M)
    assert len(rows) >= 50 and f"{len(rows)} attacks" in text
    assert len({attack for attack, _, _ in rows}) == len(rows)
    assert len(rows) == len(
        [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| attack")]
    )
    defined: dict[str, set[str]] = {}
    for _, file, name in rows:
        if file not in defined:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            defined[file] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in defined[file], f"{file}::{name}"
