"""Pictures, sounds and films to vectors, by any encoder of `transformers`, each distinct file encoded once.

Weights come from the Hugging Face hub, or from a folder written by `save_pretrained`, which is read without the network.
Pictures are resized and normalised here with Pillow and NumPy: torchvision is not needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput
from whyrec.progress import track
from whyrec.represent.text_cache import TextCache
from whyrec.represent.threads import one_thread

Modality = Literal["image", "audio", "video"]
FloatTable = NDArray[np.float32]
_BATCH = 16
_RATE = 16_000
_MOST_SECONDS = 30
# Mean and deviation of the pictures that most encoders were trained on, by channel; what CLIP's own say is read from its folder.
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class FileEncoder:
    """Encodes files of one kind. kind: `image`, `audio` or `video`. model: a folder, or a name on the hub.

    frames: of a film, spread evenly over its length. cache: folder of what was encoded before, as in `TextEncoder`.
    """

    kind: Modality
    model: str
    cache: str | None = None
    frames: int = 8

    def encode(self, paths: Sequence[str | Path | None]) -> FloatTable:
        """States of unit length, (len(paths), width); a row of zeros where the path is empty or missing.

        Raises BadInput that names row and file where a file is not there or is none of its kind.
        """
        given = [None if path is None or not str(path).strip() else Path(path) for path in paths]
        keys = [None if path is None else _digest(path, row, self.kind) for row, path in enumerate(given, 1)]
        store = TextCache(self.cache, self._identity())
        known = store.read({key for key in keys if key})
        missing: dict[str, int] = {}
        for place, key in enumerate(keys):
            if key and key not in known:
                missing.setdefault(key, place)
        network = None
        if missing or not known:
            network = _Network(self.kind, self.model)
        if missing and network is not None:
            fresh: dict[str, FloatTable] = {}
            wanted = list(missing.items())
            starts = range(0, len(wanted), _BATCH)
            for start in track(starts, f"Reading {self.kind}s", total=len(starts)):
                part = wanted[start : start + _BATCH]
                states = self._states(network, [(place + 1, given[place]) for _, place in part])
                fresh |= dict(zip((key for key, _ in part), states, strict=True))
            store.add(fresh)
            known |= fresh
        width = len(next(iter(known.values()))) if known else (network.width if network else 0)
        zeros = np.zeros(width, dtype=np.float32)
        laid = [zeros if key is None else known[key] for key in keys]
        return np.stack(laid) if laid else np.zeros((0, width), dtype=np.float32)

    def _states(self, network: _Network, rows: list[tuple[int, Path | None]]) -> FloatTable:
        files = [(row, path) for row, path in rows if path is not None]
        if self.kind == "audio":
            return _unit(network.sounds([_read(path, row, "a sound", sound) for row, path in files]))
        if self.kind == "image":
            return _unit(network.pictures([_read(path, row, "a picture", picture) for row, path in files]))
        # A film is the mean of its frames' states (Karpathy et al., 2014, the late fusion of single frames).
        films = [_read(path, row, "a film", lambda file: film(file, self.frames)) for row, path in files]
        return _unit(np.stack([_unit(network.pictures(frames)).mean(axis=0) for frames in films]))

    def _identity(self) -> str:
        """A digest that changes with the weights, the kind and the number of frames."""
        folder = Path(self.model)
        digest = hashlib.sha256(f"{self.kind}, {self.frames if self.kind == 'video' else 1} frames, ".encode())
        if not folder.is_dir():
            digest.update(f"hub {self.model}".encode())
            return digest.hexdigest()
        for path in sorted(folder.glob("*")):
            if path.suffix in {".json", ".safetensors", ".bin"}:
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def encoder_of(kind: str, model: str, cache: str | None = None) -> FileEncoder:
    """The encoder of a kind of file; BadInput for a kind that there is none for."""
    if kind not in ("image", "audio", "video"):
        raise BadInput(f"modality {kind!r} is none of image, audio, video")
    return FileEncoder(cast(Modality, kind), model, cache)


def picture(path: Path) -> Any:
    """An RGB picture by Pillow, whole in memory; transparency on white."""
    image_module = _pillow()
    with image_module.open(path) as opened:
        return _rgb(opened)


def film(path: Path, frames: int) -> list[Any]:
    """`frames` pictures spread evenly: of a folder of pictures (by name), or of an animation that Pillow reads (GIF, WebP, APNG)."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        if not files:
            raise ValueError("the folder is empty")
        return [picture(files[place]) for place in _spread(len(files), frames)]
    image_module = _pillow()
    try:
        opened = image_module.open(path)
    except image_module.UnidentifiedImageError as error:
        raise ValueError(
            "not an animation that Pillow reads; lay its frames as pictures into a folder and name the folder"
        ) from error
    with opened:
        found = []
        for place in _spread(getattr(opened, "n_frames", 1), frames):
            opened.seek(int(place))
            found.append(_rgb(opened))
        return found


def sound(path: Path) -> FloatTable:
    """At most 30 seconds of one channel at 16 kHz, the mean of the file's channels."""
    try:
        import soundfile
    except ImportError as error:
        raise BadInput("sounds need soundfile; pip install 'whyrec[modalities]'") from error
    from scipy.signal import resample_poly

    with soundfile.SoundFile(str(path)) as opened:
        rate = int(opened.samplerate)
        wave = opened.read(_MOST_SECONDS * rate, dtype="float32", always_2d=True).mean(axis=1)
    if not len(wave):
        raise ValueError("it holds no sample")
    if not np.isfinite(wave).all():
        raise ValueError("a sample is not a finite number")
    if rate != _RATE:
        divisor = int(np.gcd(rate, _RATE))
        wave = resample_poly(wave, _RATE // divisor, rate // divisor)
    return np.asarray(wave, dtype=np.float32)


def pixels(images: Sequence[Any], size: int, mean: Sequence[float], deviation: Sequence[float]) -> FloatTable:
    """Shorter side to `size` (bicubic), centre cut square, scaled to [0, 1], normalised by channel: (n, 3, size, size)."""
    laid = []
    for image in images:
        width, height = image.size
        scale = size / min(width, height)
        resized = image.resize((max(size, round(width * scale)), max(size, round(height * scale))), 3)
        left, top = (resized.width - size) // 2, (resized.height - size) // 2
        laid.append(np.asarray(resized.crop((left, top, left + size, top + size)), dtype=np.float32) / 255)
    normal = (np.stack(laid) - np.asarray(mean, np.float32)) / np.asarray(deviation, np.float32)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), dtype=np.float32)


class _Network:
    """A loaded encoder. Its state of a file is what it pools itself, or the mean over its last layer."""

    def __init__(self, kind: Modality, model: str) -> None:
        import torch
        from transformers import AutoModel
        from transformers.utils import logging

        folder = Path(model)
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            network = AutoModel.from_pretrained(model, local_files_only=folder.is_dir(), use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(
                f"{kind} model {model!r} cannot be loaded ({reason}); name a folder or a name on the hub"
            ) from error
        finally:
            if bars:
                logging.enable_progress_bar()
        self.settings = _settings(model)
        self.model = model
        self.projection: Any = getattr(network, "visual_projection", None)
        if kind != "audio":
            network = getattr(network, "vision_model", network) if self.projection is not None else network
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = network.float().eval().to(self.device)
        if self.projection is not None:
            self.projection = self.projection.to(self.device)
        config = network.config
        own = getattr(config, "vision_config", config)
        size = getattr(own, "image_size", 224)
        self.size = int(size[0] if isinstance(size, list | tuple) else size)
        self.width = int(own.hidden_size if self.projection is None else self.projection.out_features)

    def pictures(self, images: Sequence[Any]) -> FloatTable:
        """(n, width)."""
        mean, deviation = (
            self.settings.get(name, value) for name, value in (("image_mean", _MEAN), ("image_std", _DEVIATION))
        )
        return self._pooled(pixel_values=pixels(images, self.size, mean, deviation))

    def sounds(self, waves: Sequence[FloatTable]) -> FloatTable:
        """(n, width), one sound at a time: an encoder's padding would reach its state."""
        return np.concatenate([self._pooled(**self._heard(wave)) for wave in waves])

    def _heard(self, wave: FloatTable) -> dict[str, FloatTable]:
        """What the encoder takes: its own features where its folder names an extractor, else the standardised wave."""
        if self.settings.get("feature_extractor_type"):
            from transformers import AutoFeatureExtractor

            extractor = AutoFeatureExtractor.from_pretrained(self.model, local_files_only=Path(self.model).is_dir())
            return {
                name: np.asarray(value)
                for name, value in extractor(wave, sampling_rate=_RATE, return_tensors="np").items()
            }
        # Shorter than one frame of any of the common encoders: padded with silence.
        padded = np.pad(wave, (0, max(0, 800 - len(wave))))
        return {"input_values": ((padded - padded.mean()) / (padded.std() + 1e-7))[None].astype(np.float32)}

    def _pooled(self, **given: FloatTable) -> FloatTable:
        import torch

        with torch.inference_mode(), one_thread():
            found = self.network(**{name: torch.from_numpy(value).to(self.device) for name, value in given.items()})
            pooled = getattr(found, "pooler_output", None)
            states = found.last_hidden_state.flatten(2).mean(dim=-1) if found.last_hidden_state.ndim == 4 else None
            if states is None:
                states = found.last_hidden_state.mean(dim=1) if pooled is None else pooled
            if self.projection is not None:
                states = self.projection(states)
        return np.asarray(states.flatten(1).cpu().numpy(), dtype=np.float32)


def _settings(model: str) -> dict[str, Any]:
    """What the model's folder says of its inputs; nothing where it does not, or where the model is on the hub."""
    path = Path(model) / "preprocessor_config.json"
    if Path(model).is_dir():
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    from transformers.utils import cached_file

    found = cached_file(model, path.name, _raise_exceptions_for_missing_entries=False)
    return dict(json.loads(Path(found).read_text(encoding="utf-8"))) if found else {}


def _digest(path: Path, row: int, kind: str) -> str:
    """SHA-256 of the file's bytes, or of those of a folder's files in order."""
    if not path.exists():
        raise BadInput(f"row {row}: {path}: no such {kind} file; mend the path, or leave it empty where there is none")
    try:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        digest = hashlib.sha256()
        for file in files:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise BadInput(f"row {row}: {path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _read(path: Path, row: int, what: str, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except BadInput:
        raise
    except Exception as error:  # Pillow and libsndfile raise a dozen kinds for files that are not what they say.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"row {row}: {path}: cannot be read as {what} ({reason}); replace the file, or leave its path empty"
        ) from error


def _rgb(image: Any) -> Any:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = _pillow().new("RGBA", image.size, (255, 255, 255, 255))
        image = _pillow().alpha_composite(white, image)
    return image.convert("RGB")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise BadInput("pictures need Pillow; pip install 'whyrec[modalities]'") from error
    return Image


def _spread(count: int, wanted: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(np.int64))


def _unit(states: FloatTable) -> FloatTable:
    length = np.linalg.norm(states, axis=1, keepdims=True)
    return np.asarray(states / np.maximum(length, 1e-12), dtype=np.float32)
