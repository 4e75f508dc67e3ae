"""Errors as RFC 9457 problem details: what was wrong, where, and what to do, in one JSON object."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from whyrec.errors import BadInput, IncompatibleModel, NoOverlap, NotIdentified, UnknownId, WhyrecError
from whyrec.serve.answers import Mismatch
from whyrec.serve.databases import StorageDown, StorageFull
from whyrec.serve.waiting import Busy, Late

MEDIA = "application/problem+json"
TITLES = {
    400: "Bad request", 401: "No valid key", 403: "Not allowed", 404: "Not found", 405: "Method not allowed", 408: "Too slow",
    409: "Refused", 413: "Too large", 415: "Not JSON", 421: "Wrong host", 422: "Not as described", 429: "Too many requests",
    500: "Defect", 503: "Not available", 504: "Took too long", 507: "No room left",
}  # fmt: skip


class Problem(Exception):
    """An answer that is an error. type: a short name that programs compare, kept for good."""

    def __init__(self, status: int, kind: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.more = status, kind, detail, more
        self.headers: dict[str, str] = {}

    def response(self) -> Response:
        """As application/problem+json."""
        body = {
            "type": f"urn:whyrec:{self.kind}", "title": TITLES.get(self.status, "Error"), "status": self.status,
            "detail": self.detail, **self.more,
        }  # fmt: skip
        return Response(orjson.dumps(body), self.status, self.headers, media_type=MEDIA)


def again(problem: Problem, seconds: int = 1) -> Problem:
    """The problem with the time after which to come back."""
    problem.headers["retry-after"] = str(seconds)
    return problem


def problem_of(error: WhyrecError) -> Problem:
    """What a refusal of the package is over HTTP."""
    words = str(error)
    if isinstance(error, StorageFull):
        return Problem(507, "storage-full", words)
    if isinstance(error, StorageDown):
        return again(Problem(503, "storage-down", words))
    if isinstance(error, Busy):
        return again(Problem(503, "busy", words))
    if isinstance(error, Late):
        return Problem(504, "too-slow", words)
    if isinstance(error, Mismatch):
        return Problem(422, "other-request", words)
    if isinstance(error, UnknownId):
        return Problem(404, "unknown-id", words)
    if isinstance(error, NotIdentified | NoOverlap):
        bounds = [bound.to_dict() for bound in getattr(error, "bounds", ())]
        return Problem(422, "not-identified", words, **({"bounds": bounds} if bounds else {}))
    if isinstance(error, IncompatibleModel):
        return Problem(409, "incompatible-model", words)
    if isinstance(error, BadInput):
        return Problem(422, "bad-input", words)
    return Problem(422, "refused", words)
