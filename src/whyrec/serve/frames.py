"""The service's own log as tables. Columns that are computed here and columns that callers name never share one space.

A context column NAME stands as `context_NAME`, and no computed column begins so: no field of any request can stand in the place of a
chance, a reward or an id. `whyrec fit` takes `context_NAME` for the schema's context column NAME.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from whyrec.data.read import CONTEXT
from whyrec.errors import BadInput
from whyrec.serve.store import Store

RULE_NAMES = ("preference", "effect", "mix", "softmax", "uniform")  # whose chances the log knows without a shadow


def log_frame(
    store: Store, *, last: int = 100_000, shadow: str | None = None, beside: Mapping[str, dict[str, Any]] | None = None
) -> pl.DataFrame:
    """The service's own log for `whyrec policy evaluate`: a row an item shown, with its chance and what came of it.

    Columns: recommendation, time, user, position (from 1), item, model, version, variant, by, rule, propensity, expected, reward (0 where
    nothing came), chance_RULE of every rule that was computed, chance_uniform among the candidates, chance_MODEL of the
    `shadow` (beside: what it would have done, where that is known already); and context_NAME of every context column.
    A reward is an outcome of the item, of the user to whom it was shown: what others sent of it does not count.
    """
    if shadow in RULE_NAMES:
        raise BadInput(f"a model named {shadow!r} cannot be told from the rule of that name; rename its folder")
    rewards = store.rewards()
    if beside is None:
        beside = {} if shadow is None else store.shadows(shadow)
    rows = []
    for d in store.decisions(last):
        body = d.body
        size = body["policy"]["candidates"]
        named = in_context(body.get("context", {}))
        for place, item in enumerate(body["items"]):
            row = {
                "recommendation": d.id, "time": d.time, "user": d.user, "position": place + 1, "item": item, "model": d.model,
                "version": body.get("version"), "variant": d.variant, "by": body["by"], "rule": body["policy"]["rule"],
                "propensity": body["propensity"][place], "expected": body["expected"][place],
                "reward": rewards.get((d.id, d.user, item), 0.0), "chance_uniform": 1.0 / max(size - place, 1),
            }  # fmt: skip
            row |= {f"chance_{rule}": chances[place] for rule, chances in body["chances"].items()}
            if d.id in beside:
                row[f"chance_{shadow}"] = beside[d.id]["chances"][place]
            rows.append(named | row)
    if not rows:
        raise BadInput("the service has recommended nothing yet: POST /v1/recommend, and events that answer it")
    return _ordered(rows)


def events_frame(store: Store) -> pl.DataFrame:
    """All events for `whyrec fit`: user, item, time, event, outcome, treatment, the chance by which it was shown, and the context.

    treatment: as sent; else 1 for what answers a recommendation, 0 for the rest. propensity: of the recommendation, if it is known.
    """
    chance = {
        (d.id, d.user, item): p
        for d in store.decisions(1 << 31)
        for item, p in zip(d.body["items"], d.body["propensity"], strict=True)
    }
    rows, after = [], 0
    while page := store.events(after, 10_000):
        after = page[-1][0]
        for _, e in page:
            known = {
                "user": e.user, "item": e.item, "time": e.time, "event": e.event, "outcome": e.outcome,
                "treatment": e.treatment if e.treatment is not None else float(e.recommendation is not None),
                "propensity": chance.get((e.recommendation or "", e.user, e.item)),
            }  # fmt: skip
            rows.append(in_context(e.context) | known)
    if not rows:
        raise BadInput("the store has no events yet: POST /v1/events")
    return _ordered(rows)


def in_context(context: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a request's context under the prefix of their own."""
    return {f"{CONTEXT}{name}": value for name, value in context.items()}


def _ordered(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """A table of rows: computed columns first, then the context's."""
    names: list[str] = list(dict.fromkeys(name for row in rows for name in row))
    names.sort(key=lambda name: name.startswith(CONTEXT))
    return pl.from_dicts(rows, infer_schema_length=None, strict=False).select(names)
