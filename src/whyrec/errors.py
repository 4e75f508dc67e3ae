"""The family of errors that whyrec raises on purpose.

Each message says what was found, where, and what to do about it. What was not foreseen is a defect of whyrec, and comes as
`Unexpected` from the functions of `whyrec` and its commands, so that they raise nothing but this family.
"""

from typing import Any


class WhyrecError(Exception):
    """Base class: the data or the model says no, and the message says why."""


class BadInput(WhyrecError):
    """A file, column or value cannot be used as it is."""


class NoOverlap(WhyrecError):
    """No comparison is possible: some arm was never, or always, given to the units in question."""


class NotIdentified(WhyrecError):
    """The effect does not follow from the graph and the observed columns.

    bounds: what the data still say of it (`whyrec.cause.identification.bounds.Bounds`), where a table was given.
    """

    bounds: tuple[Any, ...] = ()


class IncompatibleModel(WhyrecError):
    """A saved model is damaged, altered, or of a version that this package cannot read."""


class Unexpected(WhyrecError):
    """An error that whyrec did not foresee, and so a defect of whyrec; what a library raised is its `__cause__`."""


class UnknownId(WhyrecError):
    """A user or item that the model has never seen was asked for."""
