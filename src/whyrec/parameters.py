"""scikit-learn's contract of estimators, without scikit-learn: what the constructor was given is read, changed and shown."""

from __future__ import annotations

import inspect
from typing import Any, Self

from whyrec.errors import BadInput


class Parameters:
    """`get_params`, `set_params` and a repr for a class whose constructor stores its parameters and nothing else; `sklearn.base.clone` works by them."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the constructor was given, by name; deep: also the parameters of what was given, as `name__parameter`."""
        own = {name: getattr(self, name) for name in self._names()}
        if not deep:
            return own
        inner = {name: value.get_params() for name, value in own.items() if hasattr(value, "get_params") and not isinstance(value, type)}
        return {**own, **{f"{name}__{key}": value for name, found in inner.items() for key, value in found.items()}}

    def set_params(self, **changes: Any) -> Self:
        """Change parameters by name (`name__parameter` of what was given); BadInput for one that there is not. Fitted attributes stay until the next fit."""
        names = self._names()
        for key, value in changes.items():
            name, _, inner = key.partition("__")
            if name not in names:
                raise BadInput(f"{type(self).__name__} has no parameter {name!r}; its parameters are {', '.join(names)}")
            if inner:
                getattr(self, name).set_params(**{inner: value})
            else:
                setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """The parameters that are not the defaults, and whether it is fitted."""
        defaults = {name: one.default for name, one in inspect.signature(type(self)).parameters.items()}
        told = ", ".join(f"{name}={value!r}" for name, value in self.get_params(deep=False).items() if not _same(value, defaults[name]))
        fitted = any(name.endswith("_") and not name.startswith("_") for name in vars(self))
        return f"{type(self).__name__}({told}){'' if fitted else ', not fitted'}"

    def _names(self) -> list[str]:
        return list(inspect.signature(type(self)).parameters)


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and isinstance(value, str | int | float | tuple | dict) and value == default)
