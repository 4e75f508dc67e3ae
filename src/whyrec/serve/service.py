"""What the service does, without HTTP: takes events, recommends, answers, changes models, erases.

Everything here runs on one thread but what is said to wait for the disk: that is a future.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from whyrec.data.where import rows_where
from whyrec.decide.deploy import Deployment, deploy_check
from whyrec.decide.forgetting import forget_users, user_ids
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.errors import BadInput, NotIdentified, WhyrecError
from whyrec.estimate import FloatArray, jsonable
from whyrec.explain.chinese import sentences_in
from whyrec.explain.reasons import short_words
from whyrec.metrics.ranking import tied
from whyrec.serve.cache import Act, Cache, open_cache
from whyrec.serve.cases import Cases
from whyrec.serve.databases import StorageDown
from whyrec.serve.events import acted
from whyrec.serve.frames import log_frame
from whyrec.serve.heavy import Workers
from whyrec.serve.keys import Keys
from whyrec.serve.models import Registry, Served, seal_of
from whyrec.serve.monitor import Calibration, Drift, Metrics, described, reference_of
from whyrec.serve.questions import arms_of
from whyrec.serve.scorer import Moment, Ranked, Scorer, User
from whyrec.serve.slate import (
    DEPTH,
    POOL,
    RULES,
    LinearBandit,
    Rule,
    RuleBandit,
    chances_of,
    draw,
    drawn_order,
    hashed,
    order_by,
)
from whyrec.serve.store import Decision, Event, Store, open_store
from whyrec.serve.waiting import Busy, Late, Pool

T = TypeVar("T")
log = logging.getLogger("whyrec.serve")
_REMEMBERED = 100_000
_READY_SECONDS = 1.0  # for which an answer of `ready` is good: anybody may ask, and each time writes
_REQUESTS = 7 * 86_400.0  # seconds for which it is known what was asked under a key
_JUMP = 86_400.0  # seconds ahead of when the store was last looked after, from which a clock counts as one that jumped
_MOST_PURGED = 0.1  # share of the rows that a purge may then take


@dataclass(frozen=True)
class Settings:
    """How a service runs. explore: chance epsilon of another item than the best, at every place. rate: calls a second of one caller.

    most_bytes: of a request. seconds: a request may take. retention_days: after which events and recommendations are
    deleted (None: never). mature_seconds: after which a recommended item without an outcome counts as 0 in the monitor.
    log_first: a recommendation is durable before it is given, instead of within 50 ms. outcome_range: of events (None: see
    `scorer.outcome_range`). receive_seconds: for a request to come in. store_seconds: for an answer of the store. trusted_proxies: networks
    whose X-Forwarded-For says who calls. connections: open at once from one address. heavy_seconds, most_cells: of a counterfactual.
    """

    explore: float = 0.05
    rate: int = 2_000
    most_bytes: int = 1 << 20
    seconds: float = 30.0
    retention_days: float | None = None
    mature_seconds: float = 600.0
    random_state: int | None = None
    log_first: bool = False
    outcome_range: tuple[float, float] | None = None
    receive_seconds: float = 10.0
    store_seconds: float = 5.0
    trusted_proxies: tuple[str, ...] = ()
    connections: int = 512
    heavy_seconds: float = 20.0
    most_cells: float = 2e8


@dataclass(frozen=True)
class Wish:
    """What is asked of `Service.recommend`; see the endpoint of that name for the fields."""

    user: str
    k: int = 10
    by: str = "preference"
    mix: float = 0.5
    explore: bool = True
    exclude_seen: bool | None = None
    exclude: Sequence[str] = ()
    candidates: Sequence[str] | None = None
    where: Sequence[str] = ()
    context: Mapping[str, Any] | None = None
    reasons: bool = True
    lang: str = "en"
    time: float | None = None
    identity: str | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class Candidates:
    """figures: effect, low, high and effect order of each of `ranked`, (4, n). orders, keys: places and keys of each rule.

    levels: of a rule whose order is drawn, see `slate.draw`.
    """

    ranked: Ranked
    figures: FloatArray
    orders: dict[str, list[int]]
    keys: dict[str, FloatArray]
    levels: dict[str, FloatArray]


@dataclass(frozen=True)
class Shown:
    """What a bandit learns from: the rule of a slate, whether it was answered, and for LinUCB the user's vector."""

    rule: str
    won: bool
    version: str
    vector: FloatArray | None


class Service:
    """The live service. Close it to commit what waits."""

    def __init__(
        self, models: Path, store: Store, cache: Cache, settings: Settings | None = None, cases: Sequence[Path] = ()
    ) -> None:
        self.settings = settings or Settings()
        self.cases = Cases(cases)
        self.store, self.cache = store, cache
        self.registry = Registry(models, store.get("roles"), store.items())
        self.keys = Keys(store)
        self.metrics = described(Metrics())
        self.calibration = Calibration(self.settings.mature_seconds)
        self.drift = Drift(reference_of(self.registry.roles.primary.scorer))
        self.bandit = RuleBandit()
        self.rng = np.random.default_rng(self.settings.random_state)
        self.erased = store.erased_digests()
        self.lineage: dict[str, str] = store.get("lineage", {})  # version after an erasure -> the one that was fitted
        self._forgetting = threading.RLock()
        self._probing = threading.Lock()
        self._ready: tuple[float, dict[str, Any]] = (-inf, {})
        self._looked: dict[str, tuple[str, int]] = {}
        self._seen_changes = store.changes()
        self.aside = ThreadPoolExecutor(1, thread_name_prefix="whyrec-shadow")
        self.started = time.time()
        self.reads = Pool("read", 8, 256)  # what the hot path waits for: short
        self.heavy = Workers(cases, self.settings.heavy_seconds)
        self.slow = Pool("slow", 2, 16)  # questions
        self.watch = Pool("watch", 2, 32)  # watching, people's rights, models: never behind the questions
        self._rules: OrderedDict[str, Shown] = OrderedDict()  # by recommendation
        self._linears: dict[str, LinearBandit] = {}  # by the version that was fitted
        self._believe()

    def fresh_name(self) -> str:
        """A name that no other event or recommendation has, and that nobody can guess: 96 random bits."""
        return secrets.token_hex(12)

    async def read(self, work: Callable[[], T]) -> T:
        """What the store (or a cache elsewhere) says, off the event loop; StorageDown where it does not come in time."""
        try:
            return await self.reads(work, self.settings.store_seconds)
        except Late as error:
            raise StorageDown(f"{self.store.where}: {error}") from None

    # Events ------------------------------------------------------------------------------------------------------

    async def took(self, events: Sequence[Event], fresh: Sequence[bool]) -> None:
        """Let stored events change what their users are recommended next."""
        acts: dict[str, list[Act]] = {}
        for event, new in zip(events, fresh, strict=True):
            self.metrics.add("whyrec_events_total", event="new" if new else "duplicate")
            if not new:
                continue
            if acted(event):
                acts.setdefault(event.user, []).append((event.item, event.time, event.outcome, event.key))
            for name, value in event.context.items():
                self.drift.see(f"context.{name}", (value,))
            if event.recommendation is not None:
                self.calibration.answer(event.recommendation, event.item, event.outcome)
                if event.outcome > 0:
                    self._won(event.recommendation)

        def push() -> None:
            for user, made in acts.items():
                self.cache.push(user, made)

        if self.cache.local:
            push()
        elif acts:
            with contextlib.suppress(Busy, StorageDown):  # a cache that hangs is behind, and knows of whom
                await self.read(push)

    async def acts(self, identity: str) -> Sequence[Act]:
        """What a user did since the log, off the event loop where it is not in memory."""
        if self.cache.local:
            found = self.cache.acts(identity)
            if found is not None:
                return found
            version = self.cache.version(identity)
            stored = await self.read(lambda: self._stored_acts(identity))
            self.cache.fill(identity, stored, version)
            return stored
        return await self.read(lambda: self._acts(identity))

    def _acts(self, identity: str) -> Sequence[Act]:
        """Waits for the cache and the store."""
        found = self.cache.acts(identity)
        if found is None:
            version = self.cache.version(identity)
            found = self._stored_acts(identity)
            self.cache.fill(identity, found, version)
        return found

    def _stored_acts(self, identity: str) -> list[Act]:
        last = max(served.scorer.length for served in self.registry.loaded())
        stored = self.store.user_events(identity, 4 * last)
        return [(e.item, e.time, e.outcome, e.key) for e in stored if acted(e)][-last:]

    def user(self, served: Served, identity: str, acts: Sequence[Act] | None = None, now: float | None = None) -> User:
        """A user as a model sees them now. acts: of `acts`; without them the store is waited for."""
        forgotten = bool(self.erased) and self.store.digest(identity) in self.erased
        return served.scorer.user(identity, self._acts(identity) if acts is None else acts, now=now, forgotten=forgotten)

    # Recommendations ---------------------------------------------------------------------------------------------

    def recommend(
        self, wish: Wish, acts: Sequence[Act] | None = None
    ) -> tuple[dict[str, Any], Decision, Callable[[], None]]:
        """The answer, the decision that must be durable before it is given, and what to do once it is. acts: as in `user`."""
        served, variant = self.registry.choose(wish.user)
        scorer = served.scorer
        acts = self._acts(wish.user) if acts is None else acts
        user = self.user(served, wish.user, acts, wish.time)
        epsilon = self.settings.explore if wish.explore else 0.0
        context = wish.context or {}
        moment = scorer.moment(context)
        found = self._found(scorer, user, wish, rules_of(wish.by), moment)
        rules = list(found.orders)
        vector = np.concatenate([scorer.vector(user), hashed(context)]) if wish.by == "linucb" else None
        if len(rules) == 1:
            shares = {rules[0]: 1.0}
        elif vector is None:
            shares = self.bandit.shares(rules)
        else:
            shares = self._linear(served.version, len(vector)).shares(rules, vector)
        slate = draw(found.orders, shares, wish.k, epsilon, self.rng, found.levels)
        picks = slate.picks
        codes = found.ranked.codes[picks]
        if scorer.effects is not None and rules in (["preference"], ["softmax"]) and picks:
            found.figures[:, picks] = scorer.effects.predict(user, codes, moment)
        effect, low, high = (_numbers(row) for row in found.figures[:3, picks])
        # Over all that were compared: the chosen are the largest of them.
        signs = scorer.model.signs(*found.figures[:3])[picks]
        score = effect if slate.rule == "effect" else _numbers(found.keys[slate.rule][picks])
        preference = found.ranked.preference[picks].tolist()
        outcomes = scorer.outcome(user, codes, moment) if picks else np.zeros((0, 1))
        expected = _numbers(outcomes[:, 0])
        reasons = []
        if wish.reasons and picks:
            told = [None if e is None else int(sign) for e, sign in zip(effect, signs, strict=True)]
            failed = scorer.model.failed_checks_
            reasons = short_words(scorer.short_reasons(user, codes), told, wish.lang, failed)  # type: ignore[arg-type]
        ids = [scorer.ids[code] for code in codes]
        items = [
            {
                "item": item, "rank": place + 1, "score": score[place], "preference": preference[place],
                "effect": effect[place], "effect_low": low[place], "effect_high": high[place],
                "effect_sign": None if effect[place] is None else int(signs[place]),
                "expected_outcome": expected[place], **arms_of(scorer, outcomes[place]), "propensity": slate.propensity[place],
                "text": scorer.texts[codes[place]], **({"reason": reasons[place]} if reasons else {}),
            }
            for place, item in enumerate(ids)
        ]  # fmt: skip
        now = time.time()
        identity = wish.identity or f"r_{self.fresh_name()}"
        policy = {"rule": slate.rule, "epsilon": epsilon, "candidates": slate.candidates}
        answer: dict[str, Any] = {
            "id": identity, "user": wish.user, "time": now, "model": served.to_dict(), "variant": variant, "by": wish.by,
            "policy": policy, "cold": user.cold, "logged": True, "ties": tied(effect) if slate.rule == "effect" else None,
            "warnings": sentences_in(scorer.model.pair_warnings_, wish.lang),  # type: ignore[arg-type]
            "context_used": list(moment.used) if vector is None else sorted(context),
            "context_ignored": [] if vector is not None else sorted(set(context) - set(moment.used)), "items": items,
        }  # fmt: skip
        body = {
            "by": wish.by, "version": served.version, "policy": policy, "items": ids, "propensity": slate.propensity,
            "chances": slate.chances, "expected": expected, "context": dict(context),
        }  # fmt: skip
        if vector is not None:
            body["vector"] = vector.tolist()
        if wish.identity is not None:
            body["answer"] = answer  # a request that is repeated with its key gets the same answer

        def after() -> None:
            self._remember(identity, slate.rule, wish.by, served.version, vector)
            self.drift.see("history_length", (user.remembered,))
            self.drift.see("shown.preference", preference)
            self.drift.see("shown.effect", effect)
            self.drift.see("shown.popularity", scorer.live.level(codes).tolist())
            for name, value in context.items():
                self.drift.see(f"context.{name}", (value,))
            self.calibration.show(identity, now, {i: e for i, e in zip(ids, expected, strict=True) if e is not None})
            self.metrics.add("whyrec_recommendations_total", by=wish.by, rule=slate.rule)
            if self.registry.roles.shadow is not None and ids:
                self.aside.submit(self._shadow, self.registry.roles.shadow, wish, tuple(acts), epsilon, identity, ids)

        return answer, Decision(identity, wish.user, now, served.name, variant, body), after

    def _found(self, scorer: Scorer, user: User, wish: Wish, rules: tuple[Rule, ...], moment: Moment) -> Candidates:
        """The candidates of a wish, in the order of each rule."""
        if rules == ("softmax",) and not scorer.live.can("log odds"):
            raise BadInput(
                f"by=softmax draws by log odds, and the scores of this model's ranker ({scorer.live.row.name}) are none; ask by preference, "
                "or put a model in force whose ranker gives log odds (two-headed, SASRec)"
            )
        if scorer.effects is None and rules != ("softmax",):
            if "preference" not in rules:
                raise NotIdentified(
                    f"no ranking by {wish.by}: {scorer.model.no_effects_}; rank by preference, or log a treatment"
                )
            rules = ("preference",)
        barred = [scorer.item_code[item] for item in wish.exclude if item in scorer.item_code]
        if not scorer.model.repeats_ if wish.exclude_seen is None else wish.exclude_seen:
            barred += scorer.seen(user).tolist()
        allowed = None
        if wish.candidates is not None:
            known = [scorer.item_code[item] for item in wish.candidates if item in scorer.item_code]
            allowed = np.unique(np.array(known, dtype=np.int64))
        if wish.where:
            holding = rows_where(scorer.model.dataset_.items, wish.where, "item").arg_true().to_numpy().astype(np.int64)
            allowed = holding if allowed is None else np.intersect1d(allowed, holding)
        depth = max(DEPTH, 2 * wish.k)
        compared = rules not in (("preference",), ("softmax",))
        deep = max(POOL, depth) if compared else depth
        ranked = scorer.rank(user, deep, barred=barred, candidates=allowed, moment=moment)
        figures = np.full((4, len(ranked.codes)), np.nan)
        if scorer.effects is not None and compared:
            figures[:] = scorer.effects.predict(user, ranked.codes, moment)
        orders, keys, levels = {}, {}, {}
        for rule in rules:
            places, keys[str(rule)] = order_by(rule, ranked.preference, figures[3], ranked.codes, wish.mix)
            places = places[:depth]
            if rule == "softmax":
                places = places[drawn_order(ranked.preference[places] / wish.temperature, self.rng)]
                levels[str(rule)] = ranked.preference[places] / wish.temperature
            orders[str(rule)] = places.tolist()
        return Candidates(ranked, figures, orders, keys, levels)

    def _shadow(
        self, shadow: Served, wish: Wish, acts: Sequence[Act], epsilon: float, identity: str, ids: list[str]
    ) -> None:
        """What the shadow's own policy would have given to each item that was shown, in place, by what was known then."""
        try:
            scorer = shadow.scorer
            rules = rules_of(wish.by)
            user = self.user(shadow, wish.user, acts, wish.time)
            asked = rules if len(rules) == 1 else ("preference",)
            found = self._found(scorer, user, wish, asked, scorer.moment(wish.context))
            order = next(iter(found.orders.values()))
            best = found.ranked.codes[order]
            picks = [scorer.item_code.get(item, -1) for item in ids]
            levels = next(iter(found.levels.values()), None)
            body = {
                "chances": chances_of(best.tolist(), picks, epsilon, levels), "version": shadow.version,
                "items": [scorer.ids[code] for code in best[: wish.k]],
            }  # fmt: skip
            self.store.add_shadow(identity, shadow.name, wish.user, body)
            self.metrics.add("whyrec_shadow_total", result="logged")
        except Exception:
            self.metrics.add("whyrec_shadow_total", result="failed")
            log.exception("the shadow model failed; recommendations are not touched")

    # The bandit among rules --------------------------------------------------------------------------------------

    def _linear(self, version: str, width: int) -> LinearBandit:
        """Beliefs about one model's users; an erasure makes a new version of the same model."""
        root = self.root(version)
        if root not in self._linears:
            self._linears[root] = LinearBandit(width)
        return self._linears[root]

    def _remember(self, identity: str, rule: str, by: str, version: str, vector: FloatArray | None) -> None:
        if by not in ("bandit", "linucb"):
            return
        if vector is None:
            self.bandit.show(rule)
        else:
            self._linear(version, len(vector)).show(rule, vector)
        self._rules[identity] = Shown(rule, False, version, vector)
        while len(self._rules) > _REMEMBERED:
            self._rules.popitem(last=False)

    def _won(self, identity: str) -> None:
        found = self._rules.get(identity)
        if found is None or found.won:
            return
        self._rules[identity] = Shown(found.rule, True, found.version, found.vector)
        if found.vector is None:
            self.bandit.win(found.rule)
        else:
            self._linear(found.version, len(found.vector)).win(found.rule, found.vector)

    def _believe(self) -> None:
        """Beliefs from the store's own log, so that a restart forgets nothing."""
        won = {(identity, user) for (identity, user, _), outcome in self.store.rewards().items() if outcome > 0}
        for decision in self.store.decisions(_REMEMBERED):
            body = decision.body
            vector = np.array(body["vector"], dtype=np.float64) if "vector" in body else None
            self._remember(decision.id, str(body["policy"]["rule"]), str(body.get("by")), str(body["version"]), vector)
            if (decision.id, decision.user) in won:
                self._won(decision.id)

    # Models ------------------------------------------------------------------------------------------------------

    def gate(self, name: str) -> Deployment:
        """The deploy check of a model that ran in the shadow, on what was really shown; BadInput before there is such a log."""
        version = self.registry.version(name)
        beside = {
            key: body
            for key, body in self.store.shadows(name).items()
            if self.root(str(body.get("version"))) == self.root(version)
        }
        if not beside:
            raise BadInput(
                f"{name} {version} never ran in the shadow: give it that role first, and let it see some traffic"
            )
        frame, column = log_frame(self.store, shadow=name, beside=beside), f"chance_{name}"
        if column not in frame.columns:
            raise BadInput(f"what {name} saw in the shadow is no longer in the log; let it see some traffic again")
        told = frame.filter(pl.col(column).is_not_null())
        rounds = Rounds.of(
            told["reward"].to_numpy(), told["propensity"].to_numpy(), told[column].to_numpy(),
            clusters=told["user"].rank("dense").to_numpy(),
        )  # fmt: skip
        return deploy_check(rounds)

    def keep_roles(self) -> Future[None]:
        """Make the roles of models durable."""
        return self.store.set("roles", self.registry.roles.to_dict())

    def rebase(self) -> None:
        """After another model came in force: what drift is measured against."""
        self.drift = Drift(reference_of(self.registry.roles.primary.scorer))

    # Users -------------------------------------------------------------------------------------------------------

    def export(self, user: str) -> dict[str, Any]:
        """Everything that is kept of a user, here and in the models that are loaded."""
        in_models = {}
        forgotten = self.store.digest(user) in self.erased
        for served in self.registry.loaded():
            code = served.scorer.user_code.get(user)
            if code is not None and not forgotten:
                dataset = served.scorer.model.dataset_
                rows = dataset.log.filter(pl.col("user_code") == code).drop("user_code", "item_code")
                in_models[served.name] = {
                    "attributes": jsonable(_plain(dataset.users[code].to_dicts()[0])),
                    "rows": [jsonable(_plain(row)) for row in rows.to_dicts()],
                }
        return {
            "user": user,
            "events": [event.to_dict() for event in self.store.user_events(user)],
            "recommendations": [
                {"id": d.id, "time": d.time, "model": d.model, "variant": d.variant, **d.body}
                for d in self.store.user_decisions(user)
            ],
            "models": in_models,
            "cases": self.cases.of_user(user),
        }

    def erase(self, user: str) -> dict[str, Any]:
        """Delete a user here and in the folders of models, and make every model answer as if it had never seen them.

        models_to_refit: those whose folder could not be written; they are tried again every hour. files: "pending" where a reader holds what
        was deleted in the store's files, overwritten within a minute of its end. Waits for the disk.
        """
        with self._forgetting:  # so that what follows other servers does not do half of it before, untold
            return self._erase(user)

    def _erase(self, user: str) -> dict[str, Any]:
        identities = [decision.id for decision in self.store.user_decisions(user)]
        counts = self.store.erase(user)
        self.erased = self.store.erased_digests()
        self.cache.drop(user)
        self.cases.forget(user)
        self.calibration.drop(identities)
        for identity in identities:
            self._rules.pop(identity, None)
        rewritten, holding = self._forget(lambda folder: [user])
        return {
            "user": user, "deleted": counts, "models_rewritten": rewritten, "models_to_refit": holding,
            "files": "pending" if self.store.uncleaned else "overwritten", "cache": "dropped" if self.cache.state()["answers"] else "pending",
        }  # fmt: skip

    def _forget(self, whom: Callable[[Path], Collection[str]]) -> tuple[list[str], list[str]]:
        """Write the models of the folder anew without users, and swap those in memory; names of the written, and of those that
        could not be.
        """
        rewritten, failed = [], []
        with self._forgetting:
            for name, folder in sorted(self.registry.discover().items()):
                try:
                    before = self.registry.version(name)
                    if forget_users(folder, whom(folder)):
                        after = self.registry.version(name)
                        self.lineage = {**self.lineage, after: self.root(before)}
                        self.store.set("lineage", self.lineage).result()
                        self.registry.renew(name)
                        rewritten.append(name)
                except (WhyrecError, OSError, pl.exceptions.PolarsError) as error:
                    log.error("model %s still holds users who were erased: %s", name, error)
                    failed.append(name)
        return rewritten, failed

    def forget_pending(self) -> None:
        """Take users who were erased out of models that still hold them: after a crash, or an erasure by another server."""
        if not self.erased:
            return

        def whom(folder: Path) -> list[str]:
            return [user for user in user_ids(folder) if self.store.digest(user) in self.erased]

        state = {name: (seal_of(folder), len(self.erased)) for name, folder in self.registry.discover().items()}
        if state != self._looked:
            self._forget(whom)
            for served in self.registry.loaded():  # of a folder that another server wrote anew
                version = self.registry.version(served.name)
                if version != served.version and self.root(version) == self.root(served.version):
                    self.registry.renew(served.name)
            self._looked = {n: (seal_of(f), len(self.erased)) for n, f in self.registry.discover().items()}

    def root(self, version: str) -> str:
        """The version that was fitted, of one that erasures made of it."""
        return self.lineage.get(version, version)

    def follow(self) -> bool:
        """Take over what other servers changed in the store: items, erased users, roles; whether there was anything new."""
        self.store.claim(not self.cache.local, 0.0)
        changes = self.store.changes()
        if changes == self._seen_changes:
            return False
        self.registry.take_items(self.store.items())
        self.erased, self.lineage = self.store.erased_digests(), self.store.get("lineage", {})
        self.forget_pending()
        roles = self.store.get("roles")
        if roles is not None and self.registry.take(roles):
            self.rebase()
        self._seen_changes = changes
        return True

    def purge(self) -> dict[str, int]:
        """Delete what is older than the retention. Held where the clock jumped ahead and much would go: a clock that is wrong deletes nothing."""
        now = time.time()
        self.store.purge_requests(now - _REQUESTS)
        if self.settings.retention_days is None:
            return {}
        before = now - 86_400 * self.settings.retention_days
        old, rows = self.store.older(before)
        seen = self.store.seen_clock()
        self.metrics.set("whyrec_purge_held", 0.0)
        if now - seen > _JUMP and old > _MOST_PURGED * rows:
            self.metrics.set("whyrec_purge_held", 1.0)
            raise BadInput(
                f"retention: the clock is {(now - seen) / 86_400:,.1f} days ahead of when this store was last looked after, and {old:,} of {rows:,} rows would "
                f"be deleted; nothing was. If the clock is right: whyrec serve purge --days {self.settings.retention_days:g}"
            )
        found = self.store.purge(before)
        self.store.set("clock", now).result()
        return found

    def clean(self) -> None:
        """Overwrite in the files what was deleted, where readers held it."""
        if self.store.uncleaned:
            self.store.clean()

    # Watching ----------------------------------------------------------------------------------------------------

    def monitor(self) -> dict[str, Any]:
        """Drift and calibration as of now, with the share of each rule."""
        rules = rules_of("bandit")
        return {
            "drift": self.drift.indices(),
            "calibration": self.calibration.report(),
            "bandit": {
                rule: {"shown": self.bandit.shown[rule], "answered": self.bandit.won[rule], "share": share}
                for rule, share in self.bandit.shares(rules).items()
            },
        }

    def exposition(self) -> str:
        """The text of /metrics."""
        metrics, monitor = self.metrics, self.monitor()
        metrics.clear("whyrec_drift_psi", "whyrec_drift_alert", "whyrec_model_info", "whyrec_bandit_share")
        for name, found in monitor["drift"].items():
            if found["psi"] is not None:
                metrics.set("whyrec_drift_psi", found["psi"], feature=name)
            metrics.set("whyrec_drift_alert", float(found["alert"]), feature=name)
        calibration = monitor["calibration"]
        for name in ("ratio", "error", "expected", "observed"):
            if calibration[name] is not None:
                metrics.set(f"whyrec_calibration_{name}", calibration[name])
        metrics.set("whyrec_calibration_alert", float(calibration["alert"]))
        for rule, row in monitor["bandit"].items():
            metrics.set("whyrec_bandit_share", row["share"], rule=rule)
        for served in self.registry.loaded():
            metrics.set("whyrec_model_info", 1.0, name=served.name, version=served.version)
        metrics.set("whyrec_store_commits_total", float(self.store.commits))
        metrics.set("whyrec_store_failures_total", float(self.store.failures))
        metrics.set("whyrec_up_seconds", time.time() - self.started)
        metrics.set("whyrec_store_waiting", float(self.store.waiting))
        metrics.set("whyrec_store_answers", float(not (self.store.stuck or self.store.breaker.open)))
        cache = self.cache.state()
        metrics.set("whyrec_cache_answers", float(cache["answers"]), kind=cache["kind"])
        metrics.set("whyrec_cache_failures_total", float(cache["failures"]), kind=cache["kind"])
        metrics.set("whyrec_heavy_ended_total", float(self.heavy.ended))
        for pool in (self.reads, self.slow, self.watch, self.heavy.pool):
            metrics.set("whyrec_pool_inside", float(pool.inside), pool=pool.name)
        return metrics.text()

    def ready(self) -> dict[str, Any]:
        """Whether it can answer, and what of it does not: status `ready` or `not ready`. Waits for the store, as long as it may, once a second."""
        with self._probing:
            if self.lately is None:
                self._ready = (time.monotonic(), self._readiness())
            return self._ready[1]

    @property
    def lately(self) -> dict[str, Any] | None:
        """What `ready` said in this second."""
        return self._ready[1] if time.monotonic() - self._ready[0] < _READY_SECONDS else None

    def _readiness(self) -> dict[str, Any]:
        cache = self.cache.state()
        told = {"model": self.registry.roles.primary.to_dict(), "store": self.store.where, "cache": cache}
        try:
            self.store.probe(self.settings.store_seconds)
        except WhyrecError as error:
            return {"status": "not ready", **told, "detail": str(error)}
        return {"status": "ready", **told}

    def close(self) -> None:
        """Finish what runs beside, commit, close."""
        self.aside.shutdown(wait=True)
        for pool in (self.reads, self.slow, self.watch):
            pool.close()
        self.heavy.close()
        self.store.close()
        with contextlib.suppress(Exception):
            self.cache.close()


def open_service(
    models: Path,
    *,
    store: str | Path,
    cache: str | None = None,
    settings: Settings | None = None,
    cases: Sequence[Path] = (),
) -> Service:
    """A service over a model's folder (or a folder of models), a store and a cache; cases: folders of causal models."""
    opened = open_store(store)
    try:
        kept = open_cache(cache)
        if opened.dialect.shared:
            opened.claim(not kept.local)
        return Service(Path(models), opened, kept, settings, cases)
    except BaseException:
        opened.close()
        raise


def rules_of(by: str) -> tuple[Rule, ...]:
    """The rules behind a way of ranking."""
    if by in ("bandit", "linucb"):
        return RULES
    return ("effect" if by == "uplift" else by,)  # type: ignore[return-value]


def _numbers(values: FloatArray) -> list[float | None]:
    """Values as JSON has them: null for what is not a finite number."""
    return [value if isfinite(value) else None for value in values.tolist()]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Times as text."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
