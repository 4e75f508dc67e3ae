"""The HTTP API: one endpoint a question, thin over `Service`.

Answers of the hot endpoints are written by orjson from plain dictionaries; requests are checked by pydantic. What takes
longer than a few milliseconds runs on a thread, two such questions at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import orjson
import polars as pl
from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from pydantic import StringConstraints, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from whyrec import __version__
from whyrec.errors import BadInput, UnknownId, WhyrecError
from whyrec.estimate import jsonable
from whyrec.represent.moment import read_context
from whyrec.serve import questions
from whyrec.serve.card import model_card
from whyrec.serve.forms import (
    CounterfactualForm,
    EffectForm,
    EventsForm,
    Form,
    Id,
    ItemsForm,
    Lang,
    PairsForm,
    RecommendBatch,
    RecommendForm,
    RoleForm,
    WhyNotForm,
)
from whyrec.serve.frames import RULE_NAMES, log_frame
from whyrec.serve.limits import LOOPBACK, OWNER, Gate
from whyrec.serve.listen import Pulse
from whyrec.serve.models import Served
from whyrec.serve.problems import MEDIA, TITLES, Problem, problem_of
from whyrec.serve.service import Service
from whyrec.serve.traffic import Traffic

T = TypeVar("T")
F = TypeVar("F", bound=Form)
log = logging.getLogger("whyrec.serve")
_HOURLY, _CLEAN, _FOLLOW, _COLLECT, _BEAT = 3600.0, 60.0, 1.0, 600.0, 0.25
Idempotency = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=150, pattern=r"^[\x21-\x7e]+$",
           description="The same key again gives the same result and stores nothing twice; with another body it is refused."),
]  # fmt: skip


def _owner(request: Request) -> str:
    return str(request.scope.get(OWNER, ""))


Owner = Annotated[str, Depends(_owner)]
ContextText = Annotated[str, StringConstraints(max_length=300)]
Model = Annotated[str | None, Query(max_length=64, description="A loaded model by name; by default the user's own.")]
After = Annotated[int, Query(ge=0, le=2**53, description="The `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000)]
_PROBLEM = {"content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": TITLES[code], **_PROBLEM} for code in (400, 401, 403, 404, 409, 413, 415, 421, 422, 429, 503, 504, 507)
}  # fmt: skip


def create_app(
    service: Service, *, public: bool = False, hosts: frozenset[str] = LOOPBACK, pages: Path | None = None, pulse: Pulse | None = None
) -> FastAPI:
    """The application over a service. pages: folder of static files that are served at `/`, where there is one. pulse: is beaten."""
    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        stopped = threading.Event()
        warm = asyncio.create_task(asyncio.to_thread(_warm, service, stopped))
        keepers = [asyncio.create_task(work) for work in (_keep_house(service), _collect(), _beat(service, pulse))]
        if service.store.dialect.shared:
            keepers.append(asyncio.create_task(_follow(service)))
        yield
        for keeper in keepers:
            keeper.cancel()
        stopped.set()
        service.heavy.close()
        await asyncio.gather(warm, *keepers, return_exceptions=True)
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="whyrec", version=__version__, lifespan=life, docs_url=None, redoc_url=None, responses=PROBLEMS,
        description="A causal recommender: what would this user do if we showed this item, gave this discount, showed nothing? "
        "Errors are problem details (RFC 9457). Times are seconds since 1970.",
    )  # fmt: skip
    app.state.service = service
    _describe(app)

    traffic, aside, watch = Traffic(service), service.slow, service.watch

    def served_of(user: str, name: str | None) -> Served:
        return service.registry.choose(user)[0] if name is None else service.registry.named(name)

    # Events and recommendations ----------------------------------------------------------------------------------

    async def quick_events(body: bytes, key: str | None, owner: str) -> bytes:
        return _dumps(await traffic.events(_read(EventsForm, body), key, owner))

    async def quick_recommend(body: bytes, key: str | None, owner: str) -> bytes:
        return _dumps(await traffic.recommend(_read(RecommendForm, body), key, owner))

    @app.post("/v1/events", tags=["events"], responses=_example(STORED))
    async def events(form: EventsForm, owner: Owner, key: Idempotency = None) -> Response:
        """Store events; the answer means that they are on the disk. They count in the user's next recommendation.

        `unknown_recommendations` names those that the log does not have: their events are kept, and answer none.
        """
        return _json(await traffic.events(form, key, owner))

    @app.get("/v1/events", tags=["events"])
    async def event_page(after: After = 0, limit: Limit = 100) -> Response:
        """Stored events, oldest first, page by page; `next` is null on the last page."""
        rows = await watch(lambda: service.store.events(after, limit))
        shown = [{"seq": seq, **event.to_dict()} for seq, event in rows]
        return _json({"events": shown, "next": rows[-1][0] if len(rows) == limit else None})

    @app.post("/v1/recommend", tags=["questions"], responses=_example(RECOMMENDED))
    async def recommend(form: RecommendForm, owner: Owner, key: Idempotency = None) -> Response:
        """Items for a user, best first: with the chance of each, what showing (treating) it changes, and why.

        It is in the log within 50 ms, and surely before an event that answers it is acknowledged; with an Idempotency-Key, and under
        `whyrec serve --log-first`, it is in the log before it is given. `logged` is false while the store takes nothing.

        Send the answer's `id` as `recommendation` of the events that follow from it.
        """
        return _json(await traffic.recommend(form, key, owner))

    @app.post("/v1/recommend/batch", tags=["questions"])
    async def recommend_batch(form: RecommendBatch, owner: Owner, key: Idempotency = None) -> Response:
        """Several wishes at once; `results` in their order, a problem in the place of one that cannot be answered."""
        return _json(await traffic.recommend_batch(form, key, owner))

    # Questions ---------------------------------------------------------------------------------------------------

    async def of_pairs(
        form: PairsForm, model: str | None, ask: Callable[..., list[dict[str, Any]]]
    ) -> Response:  # fmt: skip
        pairs = form.pairs
        by_user: dict[str, list[int]] = {}
        for place, pair in enumerate(pairs):
            by_user.setdefault(pair.user, []).append(place)
        found: list[dict[str, Any]] = [{}] * len(pairs)
        for user, places in by_user.items():
            served = served_of(user, model)
            moment = served.scorer.moment(form.context)
            rows = ask(served.scorer, service.user(served, user, await service.acts(user)), [pairs[place].item for place in places], moment)
            told = {"model": served.to_dict()} | (_context_told(form.context, moment.used) if form.context else {})
            for place, row in zip(places, rows, strict=True):
                found[place] = {**row, **told}
            await asyncio.sleep(0)  # others' requests come between
        return _json({"pairs": found})

    @app.post("/v1/preference", tags=["questions"])
    async def preference(form: PairsForm, model: Model = None) -> Response:
        """What users would think of items: rank and log chance among all, and the expected outcome."""
        return await of_pairs(form, model, questions.preferences)

    @app.post("/v1/uplift", tags=["questions"])
    async def uplift(form: PairsForm, model: Model = None) -> Response:
        """What recommending (treating) these items to these users changes, with intervals."""
        return await of_pairs(form, model, questions.uplifts)

    @app.post("/v1/effect", tags=["questions"])
    async def effect(form: EffectForm, model: Model = None) -> Response:
        """The average effect with its refutations and sensitivity, as estimated when the model was fitted; and by segment."""
        served = service.registry.roles.primary if model is None else service.registry.named(model)
        found = await aside(lambda: questions.average_effect(served.scorer, form.segment, form.lang))
        return _json({"model": served.to_dict(), **found})

    @app.post("/v1/counterfactual", tags=["questions"])
    async def counterfactual(form: CounterfactualForm, model: Model = None) -> Response:
        """Had it been otherwise, in this one case: a pair of the model, a case of a saved causal model, or of a table with its graph."""
        cases = form.cases or ([] if form.case is None else [form.case])
        if form.model is not None:
            if form.pair is not None or form.rows is not None or form.graph is not None or (form.case and form.cases):
                raise BadInput("model: send with it case or cases, and do; pair, rows and graph are other forms")
            if not cases or form.do is None:
                raise BadInput("send model with case (or cases) and do")
            name, do, target = form.model, form.do, form.target
            return _json(await service.heavy.ask("case", {"name": name, "cases": cases, "do": do, "target": target}))
        if form.pair is not None and form.rows is None:
            served = served_of(form.pair.user, model)
            user = service.user(served, form.pair.user, await service.acts(form.pair.user))
            found = questions.pair_counterfactual(served.scorer, user, form.pair.item, form.do)
            return _json({"model": served.to_dict(), **found})
        if form.pair is not None or form.rows is None or form.graph is None or not cases or form.do is None:
            raise BadInput("send pair, or model with case and do, or rows with graph, case (or cases) and do")
        rows, graph, do = form.rows, form.graph, form.do
        most = service.settings.most_cells
        return _json(await service.heavy.ask("table", {"rows": rows, "graph": graph, "cases": cases, "do": do, "target": form.target, "most": most}))

    @app.get("/v1/cases", tags=["questions"])
    async def causal_models() -> Response:
        """The causal models of cases that are served, with their graph and columns; whyrec serve --cases FOLDER."""
        return _json(service.cases.to_dict())

    @app.get("/v1/cases/{name}/users/{user:path}", tags=["questions"])
    async def own_case(name: str, user: Id) -> Response:
        """A user's own last case in a causal model, to ask the two questions below of; null where the model keeps none."""
        return _json({"user": user, "case": await aside(lambda: service.cases.own(name, user))})

    @app.post("/v1/why-not", tags=["questions"])
    async def why_not(form: WhyNotForm) -> Response:
        """Why it did not happen in a case: shares of the reasons, and what actions would have gained, with intervals."""
        return _json(await service.heavy.ask("why_not", {"name": form.model, **form.model_dump(exclude={"model"})}))

    @app.get("/v1/why", tags=["questions"])
    async def why(
        user: Annotated[Id, Query()],
        item: Annotated[Id, Query()],
        lang: Lang = "en",
        model: Model = None,
        detail: Annotated[
            bool, Query(description="Also the model's whole explanation, as of the end of its log.")
        ] = False,
        context: Annotated[
            list[ContextText], Query(max_length=32, description="The moment: a column each, such as weather=rain.")
        ] = [],  # noqa: B006
    ) -> Response:
        """Why this item for this user, as of now: evidence, effect with interval, what drives it; in words.

        detail adds `explanation`: drivers with intervals, paths in the graph, what would change it, people like the user, and how
        strong a hidden cause would have to be; null where user or item came after the model was fitted.
        """
        from whyrec.explain.reasons import sentences

        served = served_of(user, model)
        known = service.user(served, user, await service.acts(user))
        moment = served.scorer.moment(read_context(context))
        found = served.scorer.why(known, item, moment)
        answer = {"model": served.to_dict(), **jsonable(found.to_dict()), "sentences": list(sentences(found, lang))}
        if context:
            answer |= _context_told(read_context(context), moment.used)
        if detail:
            answer["explanation"] = await aside(lambda: questions.explanation(served.scorer, known, item, lang))
        return _json(answer)

    @app.get("/v1/graph", tags=["questions"])
    async def graph(
        form: Annotated[Literal["json", "svg"], Query(alias="format")] = "json", lang: Lang = "en", model: Model = None
    ) -> Response:
        """The causal graph behind the effects, what the data say of it, and its picture."""
        served = service.registry.roles.primary if model is None else service.registry.named(model)
        found = await aside(lambda: questions.graph_of(served.scorer, lang))
        if form == "svg":
            return Response(found["svg"], media_type="image/svg+xml")
        return _json({"model": served.to_dict(), **found})

    @app.get("/v1/policies/value", tags=["policies"])
    async def value(
        target: Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9._-]+$", description="preference, effect, mix, softmax, uniform, or a model that ran in the shadow.")] = "uniform",
        last: Annotated[int, Query(ge=1, le=100_000)] = 20_000,
    ) -> Response:  # fmt: skip
        """What another policy would have earned, from this service's own log, with intervals; and each variant's mean reward."""
        from whyrec.api.policies import policy_evaluate

        def work() -> dict[str, Any]:
            known = target in RULE_NAMES
            frame = log_frame(service.store, last=last, shadow=None if known else target)
            column = f"chance_{target}"
            if column not in frame.columns or frame[column].null_count() == frame.height:
                raise BadInput(
                    f"the log has no chances of {target!r}: it has {', '.join(n[7:] for n in frame.columns if n.startswith('chance_'))}"
                )
            told = frame.filter(pl.col(column).is_not_null())
            found = policy_evaluate(told, reward="reward", propensity="propensity", target=column, cluster="user")
            return {"target": target, **found.to_dict(), "variants": jsonable(questions.variants(frame))}

        return _json(await aside(work))

    @app.get("/v1/policies/log", tags=["policies"])
    async def policy_log(last: Annotated[int, Query(ge=1, le=100_000)] = 20_000) -> Response:
        """The log for `whyrec policy evaluate`, as CSV: a row an item shown, with its chance and what came of it."""
        text = await aside(lambda: log_frame(service.store, last=last).write_csv())
        return Response(text, media_type="text/csv")

    # Items, models, users ----------------------------------------------------------------------------------------

    @app.post("/v1/items", tags=["items"])
    async def add_items(form: ItemsForm) -> Response:
        """Items that came after the model was fitted: known by their text, recommended from the next request on.

        `not_ranked_by` names the models in memory whose ranker ranks the items of its log alone: in their lists they do not stand.
        """
        rows = [item.model_dump(exclude_none=True) for item in form.items]
        await asyncio.wrap_future(service.store.put_items(rows))
        await watch(lambda: service.registry.add_items(rows))
        deaf = [served.name for served in service.registry.loaded() if not served.scorer.live.can("new items")]
        return _json(
            {"items": [row["id"] for row in rows], "catalogue": service.registry.roles.primary.scorer.n_items, "not_ranked_by": deaf}
        )

    @app.get("/v1/items", tags=["items"])
    async def items(
        after: After = 0, limit: Limit = 100, search: Annotated[str | None, Query(max_length=100, description="Part of the text or id.")] = None
    ) -> Response:  # fmt: skip
        """The catalogue, page by page."""
        scorer = service.registry.roles.primary.scorer

        def work() -> dict[str, Any]:
            part, code = (search or "").casefold(), after
            rows: list[dict[str, str]] = []
            while code < scorer.n_items and len(rows) < limit:
                if not part or part in scorer.texts[code].casefold() or part in scorer.ids[code].casefold():
                    rows.append({"item": scorer.ids[code], "text": scorer.texts[code]})
                code += 1
            return {"items": rows, "of": scorer.n_items, "next": code if code < scorer.n_items else None}

        return _json(await aside(work))

    @app.get("/v1/items/{item:path}/similar", tags=["items"])
    async def similar(
        item: Id, k: Annotated[int, Query(ge=1, le=100)] = 10, model: Model = None
    ) -> Response:  # fmt: skip
        """Items like an item, nearest first in the ranker's item space."""
        served = service.registry.roles.primary if model is None else service.registry.named(model)
        return _json({"item": item, "similar": await aside(lambda: served.scorer.similar(item, k)), "model": served.to_dict()})

    @app.get("/v1/users", tags=["users"])
    async def users(
        after: After = 0, limit: Limit = 100, search: Annotated[str | None, Query(max_length=100)] = None
    ) -> Response:
        """Ids of the users of the model in force, page by page."""
        everybody = [u for u in service.registry.roles.primary.scorer.user_code if not search or search in u]
        gone = service.erased
        page = [u for u in everybody[after : after + limit] if not gone or service.store.digest(u) not in gone]
        return _json(
            {"users": page, "of": len(everybody), "next": after + limit if after + limit < len(everybody) else None}
        )

    @app.get("/v1/models", tags=["models"])
    async def models() -> Response:
        """Every model of the folder, with its role."""
        return _json(await watch(service.registry.to_dict))

    @app.get("/v1/models/{name}/card", tags=["models"])
    async def card(name: str, lang: Lang = "en") -> Response:
        """What a loaded model knows of itself: its log's columns and gaps, how it was read, training, baselines beside it."""
        served = service.registry.named(name)
        found = await aside(lambda: model_card(served.scorer.model, service.registry.discover().get(name), lang))
        return _json({"model": served.to_dict(), **found})

    @app.get("/v1/models/{name}/check", tags=["models"])
    async def check(name: str) -> Response:
        """May it go into force? The deploy check, on what was shown while the model ran in the shadow."""
        await watch(lambda: _known(service, name))
        return _json(jsonable((await watch(lambda: service.gate(name))).to_dict()))

    @app.post("/v1/models/{name}/role", tags=["models"])
    async def role(name: str, form: RoleForm) -> Response:
        """Give a model a role: shadow (logged, unseen), challenger (a share of the users), primary (after the deploy check), none."""
        await watch(lambda: _known(service, name))
        registry = service.registry
        if form.role == "challenger" and form.share is None:
            raise BadInput("share: say how large a share of the users a challenger answers, such as 0.1")
        if form.role == "none":
            if registry.roles.primary.name == name:
                raise BadInput(f"{name} is in force; put another in force first")
            if registry.roles.challenger is not None and registry.roles.challenger.name == name:
                registry.try_on(None, 0.0)
            if registry.roles.shadow is not None and registry.roles.shadow.name == name:
                registry.shadow(None)
        else:
            if form.role == "primary" and not form.force and name != registry.roles.primary.name:
                verdict = await watch(lambda: service.gate(name))
                if not verdict.deploy:
                    raise Problem(409, "deploy-check", "; ".join(verdict.reasons), check=jsonable(verdict.to_dict()))
            served = await watch(lambda: registry.load(name))
            if form.role == "primary":
                registry.promote(served)
                await watch(service.rebase)
            elif form.role == "challenger":
                registry.try_on(served, float(form.share or 0.0))
            else:
                registry.shadow(served)
        await asyncio.wrap_future(service.keep_roles())
        log.warning("model %s: role %s%s", name, form.role, " without the deploy check" if form.force else "")
        return _json(await watch(registry.to_dict))

    @app.post("/v1/models/rollback", tags=["models"])
    async def rollback() -> Response:
        """Put the previous model in force again."""
        service.registry.rollback()
        await watch(service.rebase)
        await asyncio.wrap_future(service.keep_roles())
        return _json(await watch(service.registry.to_dict))

    @app.get("/v1/users/{user:path}", tags=["users"])
    async def export(user: Id) -> Response:
        """Everything that is kept of a user."""
        return _json(await watch(lambda: service.export(user)))

    @app.delete("/v1/users/{user:path}", tags=["users"])
    async def erase(user: Id) -> Response:
        """Erase a user: events, recommendations, cache, and from the folders of models; models answer as if they had never seen them."""
        return _json(await watch(lambda: service.erase(user)))

    # Watching ----------------------------------------------------------------------------------------------------

    @app.get("/v1/monitor", tags=["watching"])
    async def monitor() -> Response:
        """Traffic, latency, drift, calibration and the store, for people; /metrics is the same for programs."""
        found = await watch(lambda: {**service.monitor(), "store": service.store.counts()})
        roles = service.registry.roles
        return _json(
            {
                "model": roles.primary.to_dict(), "roles": roles.to_dict(), "up_seconds": time.time() - service.started,
                "traffic": service.metrics.recent(), "history": service.metrics.history(),
                "requests": service.metrics.counts("whyrec_requests_total", "route", "status"),
                "events": service.metrics.counts("whyrec_events_total", "event"), "explore": service.settings.explore, **found,
            }
        )  # fmt: skip

    @app.get("/metrics", tags=["watching"], include_in_schema=False)
    async def metrics() -> Response:
        return Response(await watch(service.exposition), media_type="text/plain; version=0.0.4")

    @app.get("/healthz", tags=["watching"])
    async def healthz() -> Response:
        """The process lives."""
        return _json({"status": "ok", "version": __version__})

    @app.get("/readyz", tags=["watching"])
    async def readyz() -> Response:
        """It can answer: a model is loaded and the store takes writes; what it is not ready for, and the state of the cache."""
        found = service.lately
        if found is None:
            found = await watch(service.ready)
        return Response(_dumps(found), 200 if found["status"] == "ready" else 503, media_type="application/json")

    if pages is not None and (pages / "index.html").is_file():
        app.mount("/", StaticFiles(directory=pages, html=True))
    quick = {"/v1/events": quick_events, "/v1/recommend": quick_recommend}
    app.add_middleware(Gate, service=service, public=public, hosts=hosts, quick=quick)
    return app


def _describe(app: FastAPI) -> None:
    """Errors as problems, in the answers and in the OpenAPI text."""

    @app.exception_handler(WhyrecError)
    async def refused(_: Request, error: WhyrecError) -> Response:
        return problem_of(error).response()

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return _misfit([(fault["loc"], fault["msg"]) for fault in error.errors()]).response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        found = Problem(error.status_code, f"http-{error.status_code}", str(error.detail))
        found.headers.update(error.headers or {})
        return found.response()

    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            text = plain()
            text["components"]["schemas"]["Problem"] = {
                "type": "object", "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                    "detail": {"type": "string"}, "errors": {"type": "array", "items": {"type": "object"}},
                },
            }  # fmt: skip
            text["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            text["security"] = [{}, {"key": []}]
            app.openapi_schema = text
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _read(form: type[F], body: bytes) -> F:
    """A body as a form; the same problem as the framework's where it does not fit."""
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise _misfit([(("body", *fault["loc"]), fault["msg"]) for fault in faults]) from None


def _misfit(faults: Sequence[tuple[Sequence[Any], str]]) -> Problem:
    told = [{"where": ".".join(map(str, where)), "what": what} for where, what in faults[:20]]
    words = "; ".join(f"{fault['where']}: {fault['what']}" for fault in told[:3])
    return Problem(422, "not-as-described", words, errors=told)


def _context_told(context: Mapping[str, Any], used: Sequence[str]) -> dict[str, list[str]]:
    """Which columns of a context took part, and which changed nothing: unknown to the model, or of a level that it never saw."""
    return {"context_used": list(used), "context_ignored": sorted(set(context) - set(used))}


def _known(service: Service, name: str) -> None:
    if name not in service.registry.discover():
        raise UnknownId("no such model in the folder of models; GET /v1/models lists them")


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _json(value: Any) -> Response:
    return Response(_dumps(value), media_type="application/json")


def _warm(service: Service, stopped: threading.Event) -> None:
    """Load the text model before the first new item comes, and make ready the intervals of cases."""
    with contextlib.suppress(WhyrecError):
        service.registry.roles.primary.scorer.encoder.warm()
    if service.cases.models and not stopped.is_set():
        service.heavy.start()
    gc.freeze()  # what is loaded stays: the collector need not walk over it


async def _collect() -> None:
    """Walk over the old objects seldom: `whyrec serve` leaves them out of the collections that requests set off.

    A walk over what some thousand live users left behind takes 30 ms, and stops every request for as long.
    """
    while True:
        await asyncio.sleep(_COLLECT)
        gc.collect()


async def _beat(service: Service, pulse: Pulse | None) -> None:
    """Say that the event loop turns, and by how much it was late."""
    late: deque[float] = deque(maxlen=40)
    while True:
        begun = time.monotonic()
        await asyncio.sleep(_BEAT)
        late.append(time.monotonic() - begun - _BEAT)
        service.metrics.set("whyrec_loop_lag_seconds", max(late))
        if pulse is not None:
            pulse.beat()


async def _keep_house(service: Service) -> None:
    """Delete what is older than the retention, and whom models still hold though erased, now and every hour; in files every minute."""
    due = 0.0
    while True:
        works: list[Callable[[], object]] = [service.clean]
        if time.monotonic() >= due:
            works += [service.purge, service.forget_pending]
            due = time.monotonic() + _HOURLY
        for work in works:
            try:
                await asyncio.to_thread(work)
            except WhyrecError as error:
                log.error("what is to be deleted could not be: %s", error)
        await asyncio.sleep(_CLEAN)


async def _follow(service: Service) -> None:
    """Take over what other servers on the same store changed, every second."""
    while True:
        await asyncio.sleep(_FOLLOW)
        try:
            await asyncio.to_thread(service.follow)
        except WhyrecError as error:
            log.error("what another server changed could not be taken over: %s", error)


def _example(value: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": value}}}}


STORED = {"accepted": 1, "duplicates": 0, "keys": ["order-77-line-1"], "unknown_recommendations": []}
RECOMMENDED = {
    "id": "r_5f0c2d9b4f6a7e8812345678", "user": "1", "time": 1767225600.0, "model": {"name": "demo", "version": "0f3a9c21d4e5"},
    "variant": "primary", "by": "preference", "policy": {"rule": "preference", "epsilon": 0.05, "candidates": 50}, "cold": False,
    "logged": True, "ties": None, "warnings": [], "context_used": [], "context_ignored": [],
    "items": [
        {"item": "1082185", "rank": 1, "score": -2.31, "preference": -2.31, "effect": 0.0041, "effect_low": 0.0012,
         "effect_high": 0.007, "effect_sign": 1, "expected_outcome": 0.1175, "outcome_by_arm": {"0": 0.1160, "1": 0.1201}, "propensity": 0.951, "text": "bananas, tropical fruit, produce",
         "reason": "chosen 4 times before; treating it raises the outcome"},
    ],
}  # fmt: skip
