"""Text states: the model's own numbers, kept once, never trusted when damaged."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from whyrec.errors import BadInput
from whyrec.represent import text as module
from whyrec.represent.text import TextEncoder


@pytest.fixture
def encoder(tiny_bert: Path, tmp_path: Path) -> TextEncoder:
    return TextEncoder(tiny_bert, batch_size=3, cache=tmp_path / "cache")


def reference(folder: Path, text: str) -> np.ndarray:
    """One text alone, no padding: mean over its tokens, unit length."""
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", truncation=True, max_length=40)
    with torch.inference_mode():
        mean = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0].mean(dim=0).numpy()
    return mean / np.linalg.norm(mean)


def test_padding_and_order_do_not_matter(encoder: TextEncoder, tiny_bert: Path) -> None:
    texts = ["apple", "good pears and good bread", "tea", "", "apple tea bread", None, "apple"]
    states = encoder.encode(texts)
    assert states.shape == (7, 16)
    assert states.dtype == np.float32
    for row, text in zip(states, texts, strict=True):
        expected = reference(tiny_bert, text) if text else np.zeros(16)
        np.testing.assert_allclose(row, expected, atol=2e-6)
    np.testing.assert_array_equal(states[0], states[6])


def test_each_text_is_encoded_once(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    original = module._pooled
    monkeypatch.setattr(module, "_pooled", lambda t, n, texts, m: calls.append(texts) or original(t, n, texts, m))
    first = encoder.encode(["apple", "tea", "apple"])
    second = encoder.encode(["tea", "bread", "apple"])
    assert sorted(text for batch in calls for text in batch) == ["apple", "bread", "tea"]
    np.testing.assert_array_equal(first[0], second[2])


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_cache_is_not_trusted(encoder: TextEncoder, damage: str) -> None:
    clean = encoder.encode(["apple", "tea", "bread"])
    shards = list(Path(encoder.cache).rglob("*.safetensors"))
    assert shards
    for shard in shards:
        content = bytearray(shard.read_bytes())
        content[-3] ^= 64
        shard.write_bytes({"flip": bytes(content), "cut": bytes(content[:40]), "empty": b""}[damage])
    np.testing.assert_array_equal(encoder.encode(["apple", "tea", "bread"]), clean)


def test_another_cut_is_another_model(tiny_bert: Path, tmp_path: Path) -> None:
    long = "apple " * 30
    short = TextEncoder(tiny_bert, max_tokens=4, cache=tmp_path).encode([long])
    whole = TextEncoder(tiny_bert, max_tokens=32, cache=tmp_path).encode([long])
    assert np.abs(short - whole).max() > 1e-4


def test_unwritable_cache_costs_time_not_the_answer(tiny_bert: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    states = TextEncoder(tiny_bert, cache=blocked / "cache").encode(["tea"])
    np.testing.assert_allclose(states[0], reference(tiny_bert, "tea"), atol=2e-6)


def test_ten_megabytes_in_one_text(encoder: TextEncoder) -> None:
    began = time.perf_counter()
    states = encoder.encode(["apple " * 1_700_000, "x" * 10_000_000])
    assert time.perf_counter() - began < 20
    assert np.isfinite(states).all()


def test_any_script_and_lone_surrogates(encoder: TextEncoder) -> None:
    states = encoder.encode(["茶", "🍎🍐 good", "\u200b", "   "])
    assert np.isfinite(states).all()
    np.testing.assert_allclose(np.linalg.norm(states[:2], axis=1), 1, rtol=1e-5)
    assert not states[3].any()


def test_nothing_to_encode(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 16)
    assert encoder.encode(["", None]).shape == (2, 16)


def test_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be loaded"):
        TextEncoder(tmp_path, cache=tmp_path / "cache").encode(["tea"])


def test_packaged_model_knows_what_is_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    states = TextEncoder(cache=tmp_path).encode(["frozen cheese pizza", "pizza with mozzarella", "motor oil"])
    assert states.shape == (3, 384)
    assert states[0] @ states[1] > states[0] @ states[2] + 0.2


@pytest.fixture
def small_integers(tiny_bert: Path, tmp_path: Path) -> TextEncoder:
    pytest.importorskip("onnxruntime")
    return TextEncoder(tiny_bert, batch_size=3, cache=tmp_path / "cache", precision="int8")


def test_eight_bits_are_near_the_whole(small_integers: TextEncoder, tiny_bert: Path, tmp_path: Path) -> None:
    texts = ["apple", "good pears and good bread", "tea", "", None, "茶", "🍎🍐 good", "apple " * 200_000]
    states = small_integers.encode(texts)
    whole = TextEncoder(tiny_bert, cache=tmp_path).encode(texts)
    cosine = (states * whole).sum(axis=1)
    assert cosine == pytest.approx([1, 1, 1, 0, 0, 1, 1, 1], abs=0.02)
    assert np.abs(states - whole).max() > 1e-6
    assert not states[[3, 4]].any()


def test_the_int8_file_is_kept_and_never_trusted_when_damaged(small_integers: TextEncoder, tmp_path: Path) -> None:
    clean = small_integers.encode(["apple", "tea"])
    (file,) = (tmp_path / "cache").rglob("int8.onnx")
    made = file.stat().st_mtime_ns
    small_integers.encode(["bread"])
    assert file.stat().st_mtime_ns == made
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 64
    file.write_bytes(bytes(content))
    for shard in (tmp_path / "cache").rglob("*.safetensors"):
        shard.unlink()
    np.testing.assert_array_equal(small_integers.encode(["apple", "tea"]), clean)


def test_int8_in_a_folder_that_cannot_be_written(tiny_bert: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    states = TextEncoder(tiny_bert, cache=blocked / "cache", precision="int8").encode(["tea"])
    assert states[0] @ reference(tiny_bert, "tea") > 0.98


def test_an_unknown_precision_is_named(tiny_bert: Path) -> None:
    with pytest.raises(BadInput, match="precision is one of float32, int8, not 'int4'"):
        TextEncoder(tiny_bert, precision="int4").encode(["tea"])  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_kept_network_is_loaded_once(tiny_bert: Path, tmp_path: Path, precision, monkeypatch) -> None:
    pytest.importorskip("onnxruntime")
    encoder = TextEncoder(tiny_bert, cache=tmp_path, precision=precision, keep=True)
    encoder.warm()
    monkeypatch.setattr(TextEncoder, "_network", lambda _: pytest.fail("loaded again"))
    assert encoder.encode(["tea"]).shape == (1, 16)
