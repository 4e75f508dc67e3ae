"""Learned state to a folder and back: arrays in safetensors, the rest in the sealed `model.json`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from whyrec.errors import IncompatibleModel
from whyrec.saved import opening, saving

_ARRAYS = "arrays.safetensors"


def save_state(model: Any, folder: Path, state: dict[str, Any]) -> None:
    """Write constructor parameters and `state` (arrays, CSR matrices, JSON values) of `model`."""
    from safetensors.numpy import save_file

    arrays: dict[str, Any] = {}
    matrices: dict[str, list[int]] = {}
    plain: dict[str, Any] = {}
    for name, value in state.items():
        if sparse.issparse(value):
            matrix = value.tocsr()
            matrices[name] = [*matrix.shape, int(matrix.dtype == bool)]
            arrays |= {f"{name}.indptr": matrix.indptr, f"{name}.indices": matrix.indices}
            arrays[f"{name}.data"] = matrix.data.astype(np.uint8) if matrix.dtype == bool else matrix.data
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            plain[name] = value
    content = {"parameters": parameters(model), "state": plain, "matrices": matrices}
    with saving(folder, type(model).__name__, content) as inside:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, inside / _ARRAYS)


def load_state(kind: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Constructor parameters and state of a saved model of class `kind`, checksums verified."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    content = opening(folder, kind)
    try:
        arrays = load_file(folder / _ARRAYS)
    except SafetensorError as error:
        raise IncompatibleModel(
            f"{folder / _ARRAYS} is damaged ({error}); copy the model again or fit it anew"
        ) from error
    state: dict[str, Any] = dict(content["state"])
    for name, (rows, columns, boolean) in content["matrices"].items():
        data, indices, indptr = (arrays.pop(f"{name}.{part}") for part in ("data", "indices", "indptr"))
        state[name] = sparse.csr_matrix(
            (data.astype(bool) if boolean else data, indices, indptr), shape=(rows, columns)
        )
    return content["parameters"], state | arrays


def parameters(model: Any) -> dict[str, Any]:
    """What the constructor was given, by name (the scikit-learn contract: it stores parameters and nothing else)."""
    names = list(inspect.signature(type(model)).parameters)
    values = {name: getattr(model, name) for name in names}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
