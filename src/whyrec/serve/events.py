"""Which events are choices, where their sender does not say: words that everybody uses alike, and nothing guessed of others."""

from __future__ import annotations

from collections.abc import Mapping

from whyrec.data.events import PASSIVE, plain, usual_outcome
from whyrec.errors import BadInput
from whyrec.serve.store import Event


def outcome_of(event: str, outcome: float | None, said: Mapping[str, float] | None = None) -> float:
    """The outcome of an event: as sent, else as the model's schema says of this event, else 1 for a choice and 0 for what is none.

    said: the schema's `events`. BadInput for an event that none of these knows.
    """
    if outcome is not None:
        return float(outcome)
    if said is not None and event in said:
        return float(said[event])
    usual = usual_outcome(event)
    if usual is not None:
        return usual
    raise BadInput(
        f"event {event!r}: whether it is a choice of the user is not known; send its outcome (1 for a choice, 0 for none), or name it in the "
        "schema that the model is fitted with"
    )


def acted(event: Event) -> bool:
    """Whether an event may be a choice of the user, and so belongs to the history; each model's own rule says of its outcome."""
    return event.outcome > 0 or plain(event.event) not in PASSIVE
