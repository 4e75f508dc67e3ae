"""A typed client: `with Client("http://127.0.0.1:8000", key=...) as service: service.recommend("c-17", k=5)`.

Events carry keys of their own, so that a request whose answer was lost is sent again without storing anything twice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx

from whyrec.errors import WhyrecError

By = Literal["preference", "effect", "uplift", "mix", "bandit", "linucb", "softmax"]
_AGAIN = (429, 503)


class ServiceError(WhyrecError):
    """The service said no. status, type, problem: of the problem details (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status, self.problem = status, dict(problem)
        self.type = str(problem.get("type", ""))


@dataclass(frozen=True)
class Recommended:
    """One item of a recommendation. effect, low, high: what showing (treating) it changes; None where that cannot be told. sign: 1 or -1 where it is
    told from zero among all that were compared, else 0.
    """

    item: str
    rank: int
    score: float | None
    preference: float
    effect: float | None
    low: float | None
    high: float | None
    sign: int | None
    expected_outcome: float | None
    propensity: float
    text: str
    reason: str | None


@dataclass(frozen=True)
class Recommendation:
    """Items for a user. id: to be sent as `recommendation` with the events that follow. content: the answer as it came."""

    id: str
    user: str
    model: str
    version: str
    variant: str
    items: tuple[Recommended, ...]
    content: dict[str, Any]

    @classmethod
    def of(cls, content: dict[str, Any]) -> Self:
        """From the answer of POST /v1/recommend."""
        items = tuple(
            Recommended(
                row["item"], row["rank"], row["score"], row["preference"], row["effect"], row["effect_low"], row["effect_high"],
                row["effect_sign"], row["expected_outcome"], row["propensity"], row["text"], row.get("reason"),
            )
            for row in content["items"]
        )  # fmt: skip
        model = content["model"]
        return cls(content["id"], content["user"], model["name"], model["version"], content["variant"], items, content)


@dataclass(frozen=True)
class Stored:
    """How many events were new and how many were there before; keys: of all, in order; unknown_recommendations: that the log does not have."""

    accepted: int
    duplicates: int
    keys: tuple[str, ...]
    unknown_recommendations: tuple[str, ...] = ()


class Client:
    """Speaks to one service. retries: further tries where the connection broke or the service was busy."""

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, key: str | None = None, timeout: float = 30.0, retries: int = 2
    ) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)
        self.retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def events(self, events: Sequence[Mapping[str, Any]]) -> Stored:
        """Store events (user, item, and event, time, outcome, treatment, recommendation, context, key as they are known)."""
        keyed = [{"key": f"c_{secrets.token_hex(12)}", **event} for event in events]
        found = self._ask("POST", "/v1/events", {"events": keyed})
        return Stored(found["accepted"], found["duplicates"], tuple(found["keys"]), tuple(found.get("unknown_recommendations", ())))

    def recommend(
        self, user: str | int, k: int = 10, *, by: By = "preference", context: Mapping[str, Any] | None = None, **more: Any
    ) -> Recommendation:  # fmt: skip
        """Items for a user; more: the other fields of the endpoint (mix, explore, exclude, candidates, where, lang ...)."""
        form = {"user": str(user), "k": k, "by": by, "context": dict(context or {}), **more}
        return Recommendation.of(self._ask("POST", "/v1/recommend", form, again=f"c_{secrets.token_hex(12)}"))

    def recommend_many(self, wishes: Sequence[Mapping[str, Any]]) -> list[Recommendation | ServiceError]:
        """Several at once; an error in the place of what cannot be answered."""
        found = self._ask(
            "POST", "/v1/recommend/batch", {"requests": list(map(dict, wishes))}, again=f"c_{secrets.token_hex(12)}"
        )
        return [
            Recommendation.of(row) if "items" in row else ServiceError(row["status"], row) for row in found["results"]
        ]

    def similar(self, item: str, k: int = 10, *, model: str | None = None) -> list[dict[str, Any]]:
        """Items like an item, nearest first: item, text, cosine."""
        asked = {"k": k} | ({} if model is None else {"model": model})
        found: list[dict[str, Any]] = self._ask("GET", f"/v1/items/{quote(item, safe='')}/similar", params=asked)["similar"]
        return found

    def event_page(self, after: int = 0, limit: int = 100) -> dict[str, Any]:
        """A page of stored events, and `next`, where the next begins."""
        return self._ask("GET", "/v1/events", params={"after": after, "limit": limit})

    def preference(
        self, pairs: Sequence[tuple[str, str]], *, context: Mapping[str, Any] | None = None, model: str | None = None
    ) -> list[dict[str, Any]]:
        """Rank, log chance and expected outcome of (user, item) pairs, in a moment."""
        return self._pairs("/v1/preference", pairs, context, model)

    def uplift(
        self, pairs: Sequence[tuple[str, str]], *, context: Mapping[str, Any] | None = None, model: str | None = None
    ) -> list[dict[str, Any]]:
        """Effect of (user, item) pairs with interval, in a moment."""
        return self._pairs("/v1/uplift", pairs, context, model)

    def effect(
        self,
        segment: str | None = None,
        *,
        lang: Literal["en", "zh"] = "en",
        model: str | None = None,
    ) -> dict[str, Any]:
        """The average effect with what was tried to refute it, and by segment."""
        return self._ask("POST", "/v1/effect", {**_given(segment=segment), "lang": lang}, params=_given(model=model))

    def counterfactual(self, **form: Any) -> dict[str, Any]:
        """Of a pair (pair={"user", "item"}), a saved causal model (model, case or cases, do, target), or a table (rows, graph, ...)."""
        return self._ask("POST", "/v1/counterfactual", form)

    def cases(self) -> list[dict[str, Any]]:
        """The causal models of cases: name, graph, columns, rows."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/cases")["cases"]
        return found

    def own_case(self, model: str, user: str) -> dict[str, Any] | None:
        """A user's own last case in a causal model; None where it keeps none."""
        found: dict[str, Any] | None = self._ask(
            "GET", f"/v1/cases/{quote(model, safe='')}/users/{quote(str(user), safe='')}"
        )["case"]
        return found

    def why_not(
        self,
        model: str,
        case: Mapping[str, Any],
        outcome: str,
        causes: Mapping[str, Mapping[str, Any]],
        actions: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        lang: Literal["en", "zh"] = "en",
    ) -> dict[str, Any]:
        """Why it did not happen: shares of the reasons, and what the actions would have gained."""
        form = {"model": model, "case": dict(case), "outcome": outcome, "causes": causes, "actions": actions or {}}
        return self._ask("POST", "/v1/why-not", {**form, "lang": lang})

    def why(
        self,
        user: str,
        item: str,
        *,
        lang: Literal["en", "zh"] = "en",
        detail: bool = False,
        context: Mapping[str, Any] | None = None,
        model: str | None = None,
    ) -> dict[str, Any]:
        """Why this item for this user, in a moment; detail: with the model's whole explanation."""
        more = _given(detail="true" if detail else None, model=model)
        told = [f"{name}={value}" for name, value in (context or {}).items()]
        return self._ask("GET", "/v1/why", params={"user": user, "item": item, "lang": lang, "context": told, **more})

    def graph(self, *, lang: Literal["en", "zh"] = "en", model: str | None = None) -> dict[str, Any]:
        """The causal graph of a model (by default the one in force), with what the data say of it and its picture (svg)."""
        return self._ask("GET", "/v1/graph", params={"lang": lang, **_given(model=model)})

    def policy_value(self, target: str = "uniform", *, last: int = 20_000) -> dict[str, Any]:
        """What another policy would have earned, from the service's own log."""
        return self._ask("GET", "/v1/policies/value", params={"target": target, "last": last})

    def policy_log(self, *, last: int = 20_000) -> str:
        """The service's own log as CSV, for `whyrec policy evaluate`."""
        return self._answer("GET", "/v1/policies/log", params={"last": last}).text

    def add_items(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Items that the model was not fitted with: id, text, category."""
        return self._ask("POST", "/v1/items", {"items": list(map(dict, items))})

    def items(self, after: int = 0, limit: int = 100, search: str | None = None) -> dict[str, Any]:
        """A page of the catalogue."""
        return self._ask(
            "GET", "/v1/items", params={"after": after, "limit": limit, **({"search": search} if search else {})}
        )

    def models(self) -> dict[str, Any]:
        """Models and their roles."""
        return self._ask("GET", "/v1/models")

    def set_role(self, name: str, role: str, *, share: float | None = None, force: bool = False) -> dict[str, Any]:
        """Give a model a role: primary, challenger (with share), shadow, none."""
        form: dict[str, Any] = {"role": role, "force": force} | ({"share": share} if share is not None else {})
        return self._ask("POST", f"/v1/models/{quote(name, safe='')}/role", form)

    def card(self, name: str, *, lang: Literal["en", "zh"] = "en") -> dict[str, Any]:
        """What a loaded model knows of itself: its log, how it was read, training, baselines."""
        return self._ask("GET", f"/v1/models/{quote(name, safe='')}/card", params={"lang": lang})

    def check(self, name: str) -> dict[str, Any]:
        """The deploy check of a model that ran in the shadow."""
        return self._ask("GET", f"/v1/models/{quote(name, safe='')}/check")

    def rollback(self) -> dict[str, Any]:
        """Put the previous model in force."""
        return self._ask("POST", "/v1/models/rollback")

    def users(self, after: int = 0, limit: int = 100, search: str | None = None) -> dict[str, Any]:
        """A page of the ids of the model's users."""
        return self._ask("GET", "/v1/users", params={"after": after, "limit": limit, **_given(search=search)})

    def export_user(self, user: str) -> dict[str, Any]:
        """Everything kept of a user."""
        return self._ask("GET", f"/v1/users/{quote(str(user), safe='')}")

    def erase_user(self, user: str) -> dict[str, Any]:
        """Erase a user."""
        return self._ask("DELETE", f"/v1/users/{quote(str(user), safe='')}")

    def monitor(self) -> dict[str, Any]:
        """Traffic, drift, calibration."""
        return self._ask("GET", "/v1/monitor")

    def metrics(self) -> str:
        """The figures of /metrics, in Prometheus' text."""
        return self._answer("GET", "/metrics").text

    def healthy(self) -> bool:
        """Whether the process lives."""
        try:
            return self._http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def ready(self) -> bool:
        """Whether the service can answer."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _pairs(
        self, path: str, pairs: Sequence[tuple[str, str]], context: Mapping[str, Any] | None, model: str | None
    ) -> list[dict[str, Any]]:
        form = {"pairs": [{"user": user, "item": item} for user, item in pairs], "context": dict(context or {})}
        found: list[dict[str, Any]] = self._ask("POST", path, form, params=_given(model=model))["pairs"]
        return found

    def _ask(
        self, method: str, path: str, form: Any = None, *, params: Mapping[str, Any] | None = None, again: str | None = None
    ) -> dict[str, Any]:  # fmt: skip
        found: dict[str, Any] = self._answer(method, path, form, params=params, again=again).json()
        return found

    def _answer(
        self, method: str, path: str, form: Any = None, *, params: Mapping[str, Any] | None = None, again: str | None = None
    ) -> httpx.Response:  # fmt: skip
        headers = {"idempotency-key": again} if again else {}
        for left in range(self.retries, -1, -1):
            try:
                answer = self._http.request(method, path, json=form, params=params, headers=headers)
            except httpx.TransportError as error:
                if left == 0:
                    raise ServiceError(
                        0, {"title": "No answer", "detail": f"{self._http.base_url}: {error}"}
                    ) from error
            else:
                if answer.is_success:
                    return answer
                if answer.status_code not in _AGAIN or left == 0:
                    raise ServiceError(answer.status_code, _problem(answer))
            time.sleep(0.2 * (self.retries - left + 1))
        raise AssertionError("unreachable")


def _given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        found: dict[str, Any] = answer.json()
        return found
    except ValueError:
        return {"title": answer.reason_phrase, "detail": answer.text[:200]}
