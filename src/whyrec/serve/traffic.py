"""The two requests that come most, events and recommendations: what they wait for, and what makes a repetition harmless.

Nothing here waits for a disk or a network on the event loop: reading goes to a pool of threads, writing to the store's own thread, and both
have a deadline.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson

from whyrec.errors import BadInput, WhyrecError
from whyrec.serve.answers import Asked, Mismatch, fingerprint_of, own_key, owner_key, take_events
from whyrec.serve.databases import StorageDown, StorageFull
from whyrec.serve.events import outcome_of
from whyrec.serve.forms import EventForm, EventsForm, Form, RecommendBatch, RecommendForm
from whyrec.serve.problems import problem_of
from whyrec.serve.service import Service, Wish
from whyrec.serve.store import Event, Work, insert_decision

T = TypeVar("T")
_AHEAD = 86_400.0  # seconds by which a client's clock may be ahead
_EARLY = 0.15  # seconds within which another server logs what it recommended
log = logging.getLogger("whyrec.serve")


class Traffic:
    """What answers events and recommendations over a service. owner: of a request, whose keys it shares (see `keys.Key.owner`)."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def events(self, form: EventsForm, key: str | None, owner: str) -> dict[str, Any]:
        """Store events; keys, how many were new, and the recommendations that are unknown."""
        service = self.service
        now = time.time()
        scorer = service.registry.roles.primary.scorer
        said = scorer.model.dataset_.schema.events
        low, high = service.settings.outcome_range or scorer.outcome_range
        found = []
        for place, event in enumerate(form.events):
            if event.key is not None:
                name = owner_key(owner, "event" if owner else "", event.key)
            else:
                name = f"e_{service.fresh_name()}" if key is None else owner_key(owner, "request", f"{key}:{place}")
            made = _event(event, name, now, said)
            if not low <= made.outcome <= high:
                raise BadInput(
                    f"events.{place}.outcome: {made.outcome:g} is not within {low:g} to {high:g}, the range of the model's outcome; send it in the "
                    "unit of the model's log, or serve with --outcome-range LOW,HIGH"
                )
            found.append(made)
        asked = None
        if key is not None:
            asked = Asked(owner_key(owner, "request", key), fingerprint_of(form.model_dump_json().encode()))
        taken = await self._stored(take_events(found, asked, wait=service.store.dialect.shared))
        if taken.early:
            await asyncio.sleep(_EARLY)
            taken = await self._stored(take_events(found, asked))
        if taken.refused is not None:
            raise taken.refused
        await service.took(taken.events, taken.fresh)
        fresh = sum(taken.fresh)
        return {
            "accepted": fresh, "duplicates": len(found) - fresh, "keys": [own_key(e.key) for e in found],
            "unknown_recommendations": list(taken.unknown),
        }  # fmt: skip

    async def recommend(self, form: RecommendForm, key: str | None, owner: str) -> dict[str, Any]:
        """The answer to one wish; with a key, the first answer to it."""
        return await self._recommended(form, None if key is None else self._asked(form, key, owner, "recommend"))

    async def recommend_batch(self, form: RecommendBatch, key: str | None, owner: str) -> dict[str, Any]:
        """Answers in the order of the wishes; a problem in the place of one that cannot be answered."""

        async def one(place: int, wish: RecommendForm) -> dict[str, Any]:
            try:
                asked = None if key is None else self._asked(form, f"{key}:{place}", owner, "batch")
                return await self._recommended(wish, asked)
            except Mismatch:
                raise
            except WhyrecError as error:
                found: dict[str, Any] = orjson.loads(bytes(problem_of(error).response().body))
                return found

        return {"results": list(await asyncio.gather(*(one(place, wish) for place, wish in enumerate(form.requests))))}

    def _asked(self, form: Form, key: str, owner: str, kind: str) -> Asked:
        """The id of the recommendation that a key makes: apart for every caller, and nobody can compute it who does not know the store."""
        name = self.service.store.digest(owner_key(owner, kind, key))
        return Asked(f"r_{name[:24]}", fingerprint_of(form.model_dump_json().encode()))

    async def _recommended(self, form: RecommendForm, asked: Asked | None) -> dict[str, Any]:
        service = self.service
        if asked is not None:
            before = await self._before(asked)
            if before is not None:
                return before
        wish = dict(form.__dict__)
        kept = wish.pop("log")
        acts = await service.acts(form.user)
        answer, decision, after = service.recommend(Wish(**wish, identity=None if asked is None else asked.key), acts)
        if not kept:
            return answer | {"logged": False}
        if asked is not None:
            decision.body["fingerprint"] = asked.fingerprint
        work = insert_decision(decision)
        if asked is None and not service.settings.log_first:
            # Nobody waits for its log. It stands before every event that answers it, and is durable when that is.
            service.store.later(work)
            answer["logged"] = service.store.refused is None
        else:
            try:
                if not await self._stored(work) and asked is not None:
                    return await self._before(asked) or answer  # the same request came twice at once
            except (StorageFull, StorageDown) as error:
                log.error("a recommendation was given and could not be logged: %s", error)
                answer["logged"] = False
        if answer["logged"]:
            after()
        return answer

    async def _before(self, asked: Asked) -> dict[str, Any] | None:
        """What was answered under a key; Mismatch where something else was asked."""
        found = await self.service.read(lambda: self.service.store.decision(asked.key))
        if found is None or "answer" not in found.body:
            return None
        if found.body.get("fingerprint", asked.fingerprint) != asked.fingerprint:
            raise Mismatch("Idempotency-Key: it came before with another request; take a new key for a new request")
        answer: dict[str, Any] = found.body["answer"]
        return answer

    async def _stored(self, work: Work[T]) -> T:
        """The answer of work once it is durable; StorageDown at the deadline, after which it may still be kept."""
        future = self.service.store.soon(work)
        try:
            async with asyncio.timeout(self.service.settings.store_seconds):
                return await future
        except TimeoutError:
            raise StorageDown(
                f"{self.service.store.where} did not answer within {self.service.settings.store_seconds:g} s; send it again with the same key"
            ) from None


def _event(form: EventForm, key: str, now: float, said: Mapping[str, float] | None) -> Event:
    outcome = outcome_of(form.event, form.outcome, said)
    when = float(form.time) if form.time is not None else now
    if when > now + _AHEAD:
        raise BadInput(
            f"event {form.event!r} of user {form.user!r}: its time is {(when - now) / 86_400:,.0f} days ahead of the server's clock; mend it"
        )
    return Event(
        key, form.user, form.item, form.event, when, float(outcome), form.treatment, form.recommendation, dict(form.context)
    )  # fmt: skip
