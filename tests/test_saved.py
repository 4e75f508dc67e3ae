"""Model folders: what was changed, cut short or written by a newer whyrec is refused, and by name."""

import json
import re

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from whyrec.errors import BadInput, IncompatibleModel
from whyrec.saved import FORMAT, _seal, opening, saving

CONTENT = {"epochs": 3, "scale": np.float64(0.1), "names": ("a", "中"), "missing": float("nan")}
FILES = ("weights.safetensors", "inner/table.parquet", "inner/tree.txt", "state.json")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model"
    with saving(path, "Thing", CONTENT) as folder:
        save_file({"w": np.arange(6, dtype=np.float32)}, folder / "weights.safetensors")
        (folder / "inner").mkdir()
        pl.DataFrame({"a": [1, 2]}).write_parquet(folder / "inner" / "table.parquet")
        (folder / "inner" / "tree.txt").write_text("tree\n")
        (folder / "state.json").write_text('{"a": 1}')
    return path


def flip(path, place=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(bytes(content))


def test_content_comes_back(model):
    assert opening(model, "Thing") == {"epochs": 3, "scale": 0.1, "names": ["a", "中"], "missing": None}
    assert set(json.loads((model / "model.json").read_text())["files"]) == set(FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [None, 0, -1])
def test_a_flipped_bit_is_found_and_the_file_named(model, name, place):
    flip(model / name, place)
    with pytest.raises(IncompatibleModel, match=rf"{re.escape(name)} differs from what was saved"):
        opening(model, "Thing")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    with pytest.raises(IncompatibleModel, match=rf"{re.escape(name)} is missing"):
        opening(model, "Thing")


def test_a_flipped_bit_anywhere_in_the_manifest_is_refused(model):
    original = (model / "model.json").read_bytes()
    manifest = json.loads(original)
    accepted = []
    for place in range(0, len(original), 3):
        (model / "model.json").write_bytes(original)
        flip(model / "model.json", place)
        try:
            opening(model, "Thing")
        except IncompatibleModel:
            continue
        accepted.append(place)
    for place in accepted:  # only where the JSON says the same still: one white space for another
        changed = bytearray(original)
        changed[place] ^= 1
        assert json.loads(bytes(changed)) == manifest


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '"x"', "3", "{", "\x00", '{"seal": 1, "format": 1}'])
def test_a_manifest_that_is_none_is_refused(model, text):
    (model / "model.json").write_text(text)
    with pytest.raises(IncompatibleModel, match=r"model\.json"):
        opening(model, "Thing")


def test_manifest_that_is_not_utf8_is_refused(model):
    (model / "model.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(IncompatibleModel, match=r"model\.json is damaged"):
        opening(model, "Thing")


def rewrite(model, **changes):
    manifest = json.loads((model / "model.json").read_text()) | changes
    manifest["seal"] = _seal(manifest)
    (model / "model.json").write_text(json.dumps(manifest))


def test_newer_format_asks_for_an_upgrade(model):
    rewrite(model, format=FORMAT + 1, whyrec="9.9")
    with pytest.raises(IncompatibleModel, match=rf"format {FORMAT + 1} \(whyrec 9\.9\).*upgrade"):
        opening(model, "Thing")


@pytest.mark.parametrize("version", ["1", None, 1.5, -1, True])
def test_format_that_is_no_version_is_refused(model, version):
    rewrite(model, format=version)
    with pytest.raises(IncompatibleModel, match="format"):
        opening(model, "Thing")


def test_another_kind_is_refused(model):
    with pytest.raises(IncompatibleModel, match="holds a Thing, not a Other"):
        opening(model, "Other")


def test_a_file_list_cannot_point_outside_the_folder(model, tmp_path):
    (tmp_path / "secret").write_text("x")
    rewrite(model, files={"../secret": "0" * 64})
    with pytest.raises(IncompatibleModel, match="outside"):
        opening(model, "Thing")


def test_no_model_says_how_to_make_one(tmp_path):
    with pytest.raises(BadInput, match="whyrec fit"):
        opening(tmp_path / "nowhere", "Thing")
    with pytest.raises(BadInput, match=r"no model\.json"):
        opening(tmp_path, "Thing")


def test_saving_replaces_a_model_but_never_somebody_elses_files(model, tmp_path):
    with saving(model, "Thing", {"new": 1}):
        pass
    assert opening(model, "Thing") == {"new": 1}
    assert [file.name for file in model.iterdir()] == ["model.json"]
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(BadInput, match="not a saved model"), saving(photos, "Thing", {}):
        pass
    assert (photos / "holiday.jpg").read_bytes() == b"x"
    file = tmp_path / "notes.txt"
    file.write_text("x")
    with pytest.raises(BadInput, match="not a saved model"), saving(file, "Thing", {}):
        pass
    assert file.read_text() == "x"


def test_saving_into_an_empty_folder_works(tmp_path):
    (tmp_path / "model").mkdir()
    with saving(tmp_path / "model", "Thing", {}):
        pass
    assert opening(tmp_path / "model", "Thing") == {}


def test_a_failure_keeps_the_earlier_model(model):
    with pytest.raises(RuntimeError), saving(model, "Thing", {"new": 1}) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert opening(model, "Thing")["epochs"] == 3
    assert [entry.name for entry in model.parent.iterdir()] == ["model"]


def test_a_saved_folder_can_be_moved(model, tmp_path):
    model.rename(tmp_path / "elsewhere")
    assert opening(tmp_path / "elsewhere", "Thing")["epochs"] == 3
