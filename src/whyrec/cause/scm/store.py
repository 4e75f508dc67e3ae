"""A fitted structural causal model to a folder and back, to the same digits: nothing in it is ever executed.

Mechanisms are trees of plain values, arrays, LightGBM's own text and weights of networks; only the classes named here
are ever made from what stands in a file. The rows of the fit go along, as intervals refit mechanisms on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from whyrec.cause.graph import CausalGraph
from whyrec.cause.nuisance import Boosting, Constant, Linear
from whyrec.cause.scm.additive import Additive, Pool, Root, Scaled
from whyrec.cause.scm.choice import Choice
from whyrec.cause.scm.classes import Binary, Categorical
from whyrec.cause.scm.columns import Column
from whyrec.cause.scm.flow import BINS, Conditioner, Flow
from whyrec.cause.scm.support import Supported
from whyrec.errors import BadInput, IncompatibleModel
from whyrec.saved import opening, saving

if TYPE_CHECKING:
    from whyrec.cause.scm.model import StructuralCausalModel

KIND = "StructuralCausalModel"
_ARRAYS, _ROWS = "arrays.safetensors", "rows.parquet"
_CLASSES = {
    kind.__name__: kind
    for kind in (Root, Additive, Binary, Categorical, Flow, Supported, Scaled, Pool, Boosting, Linear, Constant)
}
_SOFTMAX = ("coef_", "intercept_", "classes_", "n_features_in_")
_WEIGHT, _UNIT = "whyrec weight", "whyrec unit"

Arrays = dict[str, Any]


def save(model: StructuralCausalModel, folder: Path) -> None:
    """Write a fitted model, whole or not at all; BadInput for one that `do` made, or whose mechanisms are the user's own."""
    from safetensors.numpy import save_file

    if model.interventions_:
        raise BadInput("save: save the model that was fitted, not what do() made of it")
    arrays: Arrays = {}
    mechanisms = {name: _written(mechanism, name, arrays) for name, mechanism in model.mechanisms_.items()}
    content = {
        "graph": model.named_graph_.to_dict(),
        "parameters": {"bootstrap": model.bootstrap, "level": model.level, "random_state": model.random_state},
        "columns": {name: vars(column) for name, column in model.columns_.items()},
        "mechanisms": mechanisms,
        "scores": {name: choice.scores for name, choice in model.choices_.items()},
        "left_out": model.left_out_,
    }
    rows = model.frame_.with_columns(pl.Series(_WEIGHT, model.weights_), pl.Series(_UNIT, model.units_))
    with saving(Path(folder), KIND, content) as inside:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, inside / _ARRAYS)
        rows.write_parquet(inside / _ROWS)


def load(folder: Path) -> StructuralCausalModel:
    """Read a saved model; IncompatibleModel where the folder was altered or a newer whyrec wrote it."""
    from safetensors.numpy import load_file

    from whyrec.cause.scm.model import StructuralCausalModel

    folder = Path(folder)
    content = opening(folder, KIND)
    arrays: Arrays = load_file(folder / _ARRAYS)
    rows = pl.read_parquet(folder / _ROWS)
    graph = CausalGraph.from_dict(content["graph"])
    model = StructuralCausalModel(graph, **content["parameters"])
    model.columns_ = {
        name: Column(**{**found, "labels": tuple(found["labels"]), "levels": tuple(found["levels"])})
        for name, found in content["columns"].items()
    }
    model.weights_ = rows[_WEIGHT].to_numpy()
    model.units_ = rows[_UNIT].to_numpy()
    model.frame_ = rows.drop(_WEIGHT, _UNIT)
    model.mechanisms_ = {name: _read(found, arrays) for name, found in content["mechanisms"].items()}
    model.choices_ = {
        name: Choice(mechanism, {kind: (score[0], score[1]) for kind, score in content["scores"][name].items()})
        for name, mechanism in model.mechanisms_.items()
    }
    model.left_out_ = content["left_out"]
    model._stand_on(graph)
    return model


def _written(value: Any, place: str, arrays: Arrays) -> Any:
    """A JSON tree of a value; its arrays go into `arrays` under their place in the tree."""
    import lightgbm
    import torch

    kind = type(value).__name__
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return {"array": place}
    if isinstance(value, tuple | list):
        return {"tuple": [_written(entry, f"{place}.{k}", arrays) for k, entry in enumerate(value)]}
    if isinstance(value, lightgbm.Booster):
        return {"trees": value.model_to_string(num_iteration=-1)}
    if isinstance(value, torch.nn.Module):
        state = {name: tensor.numpy() for name, tensor in value.state_dict().items()}
        arrays |= {f"{place}.{name}": array for name, array in state.items()}
        return {"network": {name: f"{place}.{name}" for name in state}}
    if kind == "LogisticRegression":
        return {"softmax": {name: _written(getattr(value, name), f"{place}.{name}", arrays) for name in _SOFTMAX}}
    if kind not in _CLASSES or not isinstance(value, _CLASSES[kind]):
        raise BadInput(f"save: {place} is a {kind}, which whyrec cannot write; use its own mechanisms to save a model")
    return {
        "object": kind,
        "of": {name: _written(part, f"{place}.{name}", arrays) for name, part in vars(value).items()},
    }


def _read(found: Any, arrays: Arrays) -> Any:
    """The value that `_written` wrote."""
    if not isinstance(found, dict):
        return found
    if "array" in found:
        return arrays[found["array"]]
    if "tuple" in found:
        return tuple(_read(entry, arrays) for entry in found["tuple"])
    if "trees" in found:
        import lightgbm

        return lightgbm.Booster(model_str=found["trees"])
    if "network" in found:
        return _network({name: arrays[place] for name, place in found["network"].items()})
    if "softmax" in found:
        from sklearn.linear_model import LogisticRegression

        made: Any = LogisticRegression()
        for name in _SOFTMAX:
            setattr(made, name, _read(found["softmax"][name], arrays))
        return made
    if found["object"] not in _CLASSES:
        raise IncompatibleModel(f"the model holds a {found['object']}, which this whyrec does not know; upgrade whyrec")
    kind = _CLASSES[found["object"]]
    value = kind.__new__(kind)
    vars(value).update({name: _read(part, arrays) for name, part in found["of"].items()})
    return value


def _network(state: Arrays) -> Any:
    """The conditioner of a flow from its weights."""
    import torch

    hidden, d = state["net.0.weight"].shape
    network = Conditioner.build(d, hidden, 3 * BINS - 1)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return network
