"""The public names: the same whatever was imported before, seen by type checkers, and the command's own version."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import whyrec
from whyrec.api import HOMES

MODULES = sorted(module.name for module in pkgutil.walk_packages(whyrec.__path__, "whyrec.") if "__main__" not in module.name)
ROOT = Path(__file__).parents[1]


def test_no_public_name_is_a_module_of_the_package() -> None:
    """`whyrec.recommend` was the function until anything imported the package of that name, and then the package."""
    assert set(whyrec.__all__) == {"__version__", *whyrec._HOMES}
    for package, names in (("whyrec", whyrec.__all__), ("whyrec.api", HOMES)):
        inside = {name.removeprefix(f"{package}.") for name in MODULES if name.startswith(f"{package}.")}
        assert not inside & set(names)


@pytest.mark.parametrize("order", [1, -1])
def test_public_names_after_every_module_was_imported(order: int) -> None:
    """Only what stands directly in the package becomes an attribute of it."""
    children = [name for name in MODULES if name.count(".") == 1][::order]
    code = f"""
import importlib, types, whyrec
for name in {children}:
    importlib.import_module(name)
for name in whyrec.__all__:
    assert not isinstance(getattr(whyrec, name), types.ModuleType), name
from whyrec import fit, recommend
assert recommend.__name__ == "recommend" and fit.__name__ == "fit"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_type_checkers_see_the_public_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api")
    monkeypatch.chdir(ROOT)
    script = tmp_path / "user.py"
    asked = [name for name in whyrec.__all__ if name != "__version__"]
    script.write_text(
        "import whyrec\n"
        + "".join(f"reveal_type(whyrec.{name})\n" for name in asked)
        + "reveal_type(whyrec.load('m').recommend)\nwhyrec.ftt\nwhyrec.fit(1, otu=2)\nwhyrec.effect('t.csv', 't', 'y').to_text()\n"
    )
    out, _, _ = api.run([str(script), f"--config-file={ROOT / 'pyproject.toml'}"])  # and the cache that `make check` has filled
    lines = [line for line in out.splitlines() if "user.py" in line]
    told = dict(zip(asked, (line for line in lines if "Revealed type" in line), strict=False))
    assert len(told) == len(asked), out
    for name, line in told.items():
        assert 'type is "Any"' not in line and ("def " in line or "type[" in line), (name, line)
    errors = [line for line in lines if " error: " in line]
    assert len(errors) == 3, out  # no such name; a wrong type; a wrong option
    assert '"ftt"' in errors[0]


def test_version() -> None:
    for command in (["--version"], ["--version", "fit"]):
        done = subprocess.run([sys.executable, "-m", "whyrec", *command], capture_output=True, text=True, check=True)
        assert done.stdout == f"whyrec {whyrec.__version__}\n"
