"""Options that would change nothing are refused, so that nobody believes that they did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whyrec.errors import BadInput
from whyrec.saved import part_of


def refuse_unused(given: Mapping[str, Any], why: str) -> None:
    """BadInput where an option was given that the answer would not use."""
    named = [name for name, value in given.items() if value is not None and value is not False]
    if named:
        raise BadInput(f"{why}; {', '.join(named)} would change nothing: leave {'them' if len(named) > 1 else 'it'} out")


def refuse_idle_language(lang: str, picture: Any) -> None:
    """BadInput where a language was chosen for a picture that nobody asked for: the words of such an answer are English."""
    refuse_unused({"lang": lang if lang != "en" and picture is None else None}, "the language is that of the picture, and none was asked for")


WRITTEN = ("out", "picture", "pictures", "keep")  # arguments that name what an answer writes


def keep_inputs(given: Mapping[str, Any]) -> None:
    """BadInput where what an answer writes would take the place of what it is read from: a file, a part of a saved model, or a file in the folder
    of a model that is saved anew; or of the other thing that it writes.
    """
    written = {name: place for name in WRITTEN if (place := _place(given.get(name))) is not None}
    if len(set(written.values())) < len(written):
        raise BadInput(f"{' and '.join(written)} are the same file; one would be written over the other: name two")
    read = {name: value if isinstance(value, list | tuple) else (value,) for name, value in given.items() if name not in WRITTEN}
    for name, place in written.items():
        for source, values in read.items():
            for path in (path for value in values for path in _read_from(value, place)):
                anew = part_of(place, place / "model.json") and path.is_relative_to(place)
                if anew or (place.is_file() and (path.samefile(place) or part_of(path, place))):
                    raise BadInput(f"{name}: {place} is, or holds, what {source} names, which would be lost; name another place")


def _read_from(source: Any, written: Path) -> list[Path]:
    """What is read: a file, a folder, and of a table in parts (a folder or a pattern) the part that an answer would be written over."""
    from whyrec.data.formats import TABLES, is_pattern, part_files

    place = _place(source, there=True)
    if place is not None:
        part = place.is_dir() and not (place / "model.json").exists() and written.is_relative_to(place) and written.is_file() and written.suffix in TABLES
        return [place, *([written] if part else [])]
    if isinstance(source, str | Path) and 0 < len(str(source)) < 4_096 and "\n" not in str(source) and is_pattern(Path(source)):
        return [file.resolve() for file in part_files(Path(source))]
    return []


def _place(path: Any, *, there: bool = False) -> Path | None:
    """Where a path leads; None for what is none, such as a graph's text or a table. there: None where nothing is, too."""
    if not isinstance(path, str | Path) or not str(path):
        return None
    try:
        place = Path(path).resolve()
        return place if not there or place.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def as_path(told: str | Path | None) -> Path | None:
    """A path that may have been told as a text."""
    return None if told is None else Path(told)
