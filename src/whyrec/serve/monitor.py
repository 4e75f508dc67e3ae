"""What the service measures of itself: traffic, latency, drift of what comes in and goes out, calibration of what it said."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.estimate import FloatArray
from whyrec.serve.scorer import Scorer

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
ALERT = 0.2  # stability index from which a distribution counts as moved (Siddiqi 2006)
_FEWEST = 200  # live values before an index is told
_BINS = 10
_WINDOW = 5_000
_REFERENCE_USERS = 200
_SELF = "/v1/monitor"


class Metrics:
    """Counters, gauges and histograms in Prometheus' text form."""

    def __init__(self) -> None:
        self._help: dict[str, tuple[str, str]] = {}
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        self._histograms: dict[str, dict[tuple[tuple[str, str], ...], list[float]]] = {}
        self.latest: deque[tuple[float, str, float]] = deque(maxlen=20_000)
        self.begun = time.time()

    def describe(self, name: str, kind: str, words: str) -> None:
        """Name a metric before it is used."""
        self._help[name] = (kind, words)

    def add(self, name: str, amount: float = 1.0, /, **labels: str) -> None:
        """Count."""
        values, key = self._values.setdefault(name, {}), tuple(sorted(labels.items()))
        values[key] = values.get(key, 0.0) + amount

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        self._values.setdefault(name, {})[tuple(sorted(labels.items()))] = value

    def clear(self, *names: str) -> None:
        """Forget the values of gauges whose labels may have gone."""
        for name in names:
            self._values.pop(name, None)

    def observe(self, route: str, seconds: float) -> None:
        """Time of a request of a route."""
        row = self._histograms.setdefault("whyrec_request_seconds", {}).setdefault(
            (("route", route),), [0.0] * (len(BUCKETS) + 2)
        )
        for place, bound in enumerate(BUCKETS):
            if seconds <= bound:
                row[place] += 1
        row[-2] += 1
        row[-1] += seconds
        self.latest.append((time.time(), route, seconds))

    def recent(self, seconds: float = 60.0) -> dict[str, dict[str, float]]:
        """Requests a second and quantiles of latency in milliseconds, by route, over the last seconds."""
        since = time.time() - seconds
        by_route: dict[str, list[float]] = {}
        for when, route, took in self.latest:
            if when >= since:
                by_route.setdefault(route, []).append(took)
        return {
            route: {
                "per_second": len(took) / seconds,
                **{f"p{q}_ms": float(np.quantile(took, q / 100)) * 1e3 for q in (50, 99)},
            }
            for route, took in sorted(by_route.items())
        }

    def history(self, seconds: float = 600.0, bins: int = 60) -> list[dict[str, float | None]]:
        """Questions and events a second and their latency in bins of the last seconds, oldest first; None before what is remembered.

        Pages, probes and the monitor itself are left out.
        """
        now, width = time.time(), seconds / bins
        whole = len(self.latest) == self.latest.maxlen
        rows = [(when, took) for when, route, took in list(self.latest) if route.startswith("/v1/") and route != _SELF]
        known = min((when for when, _, _ in list(self.latest)), default=now) if whole else self.begun
        when, took = np.array(rows, dtype=np.float64).reshape(-1, 2).T
        place = np.floor((when - (now - seconds)) / width).astype(np.int64)
        found: list[dict[str, float | None]] = []
        for code in range(bins):
            start, part = now - seconds + code * width, took[place == code]
            row: dict[str, float | None] = {"time": start, "per_second": None, "p50_ms": None, "p99_ms": None}
            if start + width > known:
                row["per_second"] = len(part) / width
            if len(part):
                row["p50_ms"], row["p99_ms"] = (float(q) * 1e3 for q in np.quantile(part, (0.5, 0.99)))
            found.append(row)
        return found

    def counts(self, name: str, *labels: str) -> list[dict[str, Any]]:
        """A counter since the start: its labels, and how often."""
        return [
            {**{label: dict(key)[label] for label in labels}, "count": value}
            for key, value in list(self._values.get(name, {}).items())
        ]

    def text(self) -> str:
        """The exposition."""
        lines = []
        for name, values in self._values.items():
            kind, words = self._help.get(name, ("gauge", name))
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labels(key)} {value:.10g}" for key, value in values.items()]
        for name, rows in self._histograms.items():
            lines += [f"# HELP {name} {self._help.get(name, ('', name))[1]}", f"# TYPE {name} histogram"]
            for key, row in rows.items():
                bounds = [*map(str, BUCKETS), "+Inf"]
                counts = [*row[: len(BUCKETS)], row[-2]]
                lines += [
                    f"{name}_bucket{_labels((*key, ('le', b)))} {c:.0f}" for b, c in zip(bounds, counts, strict=True)
                ]
                lines += [f"{name}_count{_labels(key)} {row[-2]:.0f}", f"{name}_sum{_labels(key)} {row[-1]:.10g}"]
        return "\n".join(lines) + "\n"


def _labels(key: Iterable[tuple[str, str]]) -> str:
    words = ",".join(f'{name}="{_escaped(value)}"' for name, value in key)
    return f"{{{words}}}" if words else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@dataclass(frozen=True)
class Reference:
    """A distribution cut at its own quantiles: edges between bins, share of each bin."""

    edges: FloatArray
    shares: FloatArray

    @classmethod
    def of(cls, values: FloatArray, bins: int = _BINS) -> Reference | None:
        """Bins of about equal share; None where there is nothing to compare with."""
        values = values[np.isfinite(values)]
        if len(values) < bins:
            return None
        edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
        return cls(edges, _shares(values, edges))

    def stability(self, values: FloatArray) -> float:
        """Population stability index, sum_b (q_b - p_b) log(q_b / p_b), of values against this."""
        q = _shares(values, self.edges)
        return float(np.sum((q - self.shares) * np.log(q / self.shares)))


def _shares(values: FloatArray, edges: FloatArray) -> FloatArray:
    """Share of each bin, half a value added to each, so that no logarithm is of 0."""
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
    return np.asarray(counts / counts.sum(), dtype=np.float64)


class Drift:
    """How far what is served has moved from what a model was fitted on."""

    def __init__(self, reference: Mapping[str, Reference]) -> None:
        self.reference = dict(reference)
        self.live: dict[str, deque[float]] = {name: deque(maxlen=_WINDOW) for name in reference}

    def see(self, name: str, values: Iterable[Any]) -> None:
        """Live values of a feature or score; words and gaps are left out."""
        if name in self.live:
            self.live[name].extend(
                float(v) for v in values if isinstance(v, int | float) and v == v and abs(v) != float("inf")
            )

    def indices(self) -> dict[str, dict[str, Any]]:
        """Stability index, live values and whether it alerts, by name; index None until enough was seen."""
        found = {}
        for name, reference in self.reference.items():
            values = np.fromiter(self.live[name], dtype=np.float64)
            index = reference.stability(values) if len(values) >= _FEWEST else None
            found[name] = {"psi": index, "n": len(values), "alert": index is not None and index > ALERT}
        return found


def reference_of(scorer: Scorer, random_state: int = 0) -> dict[str, Reference]:
    """Distributions at the end of a model's log: context columns, history, and what would be recommended to some users."""
    dataset = scorer.model.dataset_
    values: dict[str, FloatArray] = {}
    for name in dataset.schema.context:
        column = dataset.log[name]
        if column.dtype.is_numeric():
            values[f"context.{name}"] = column.drop_nulls().to_numpy().astype(np.float64)
    rng = np.random.default_rng(random_state)
    everybody = list(scorer.user_code)
    some = rng.choice(len(everybody), min(_REFERENCE_USERS, len(everybody)), replace=False)
    rows: dict[str, list[float]] = {
        "history_length": [],
        "shown.preference": [],
        "shown.effect": [],
        "shown.popularity": [],
    }
    for place in some:
        user = scorer.user(everybody[place])
        barred = () if scorer.model.repeats_ else scorer.seen(user)
        ranked = scorer.rank(user, 10, barred=barred)
        rows["history_length"].append(user.remembered)
        rows["shown.preference"].extend(ranked.preference)
        rows["shown.popularity"].extend(scorer.live.level(ranked.codes).tolist())
        if scorer.effects is not None:
            rows["shown.effect"].extend(scorer.effects.predict(user, ranked.codes)[0])
    values |= {name: np.array(found, dtype=np.float64) for name, found in rows.items()}
    made = {name: Reference.of(found) for name, found in values.items()}
    return {name: reference for name, reference in made.items() if reference is not None}


class Calibration:
    """Whether outcomes follow what was expected of the items shown, once they had time to.

    mature: seconds after which an item without an outcome counts as 0.
    """

    def __init__(self, mature: float = 600.0, most: int = 20_000) -> None:
        self.mature, self.most = mature, most
        self._open: OrderedDict[str, tuple[float, dict[str, float], dict[str, float]]] = OrderedDict()

    def show(self, identity: str, when: float, expected: Mapping[str, float]) -> None:
        """Items of a recommendation with their expected outcomes."""
        self._open[identity] = (when, dict(expected), {})
        while len(self._open) > self.most:
            self._open.popitem(last=False)

    def answer(self, identity: str, item: str, outcome: float) -> None:
        """What came of one of them."""
        found = self._open.get(identity)
        if found is not None:
            found[2][item] = max(outcome, found[2].get(item, 0.0))

    def drop(self, identities: Iterable[str]) -> None:
        """Forget recommendations."""
        for identity in identities:
            self._open.pop(identity, None)

    def report(self, now: float | None = None) -> dict[str, Any]:
        """n, mean expected and observed outcome, their ratio and the expected calibration error; None below 200 items."""
        limit = (time.time() if now is None else now) - self.mature
        pairs = [
            (value, answers.get(item, 0.0))
            for when, expected, answers in self._open.values()
            if when <= limit
            for item, value in expected.items()
        ]
        if len(pairs) < _FEWEST:
            return {"n": len(pairs), "expected": None, "observed": None, "ratio": None, "error": None, "alert": False}
        expected, observed = np.array(pairs, dtype=np.float64).T
        curve = calibration_error(expected, observed)
        mean, seen = float(expected.mean()), float(observed.mean())
        spread = float(observed.std(ddof=1)) / np.sqrt(len(observed))
        far = abs(seen - mean) > max(4 * spread, 0.25 * abs(mean))
        return {
            "n": len(pairs), "expected": mean, "observed": seen, "ratio": seen / mean if mean else None, "error": curve,
            "alert": bool(far),
        }  # fmt: skip


def calibration_error(expected: FloatArray, observed: FloatArray, bins: int = _BINS) -> float:
    """Mean distance of expected and observed outcomes over bins of equal size (ECE), in the outcome's unit."""
    parts: Sequence[Any] = np.array_split(np.argsort(expected, kind="stable"), bins)
    return float(
        sum(abs(expected[part].mean() - observed[part].mean()) * len(part) for part in parts if len(part))
        / len(expected)
    )


def described(metrics: Metrics) -> Metrics:
    """The metrics with their words."""
    for name, kind, words in (
        ("whyrec_requests_total", "counter", "Requests by route and status."),
        ("whyrec_request_seconds", "histogram", "Time of requests by route."),
        ("whyrec_events_total", "counter", "Events taken, new or dropped as duplicates."),
        ("whyrec_recommendations_total", "counter", "Recommendations by what was asked and which rule was drawn."),
        ("whyrec_shadow_total", "counter", "Decisions that the shadow model was asked about."),
        ("whyrec_drift_psi", "gauge", "Population stability index against the model's log; above 0.2 has moved."),
        ("whyrec_drift_alert", "gauge", "1 where the stability index is above 0.2."),
        ("whyrec_calibration_ratio", "gauge", "Observed over expected outcome of recommended items."),
        ("whyrec_calibration_error", "gauge", "Expected calibration error of recommended items' outcomes."),
        ("whyrec_calibration_expected", "gauge", "Mean expected outcome of recommended items."),
        ("whyrec_calibration_observed", "gauge", "Mean observed outcome of recommended items."),
        ("whyrec_calibration_alert", "gauge", "1 where observed outcomes are surely far from the expected."),
        ("whyrec_bandit_share", "gauge", "Chance of each rule when by=bandit."),
        ("whyrec_model_info", "gauge", "Models in memory."),
        ("whyrec_store_commits_total", "counter", "Groups committed."),
        ("whyrec_store_failures_total", "counter", "Groups that the store refused."),
        ("whyrec_store_waiting", "gauge", "Pieces of work in the queue of the store's writer."),
        ("whyrec_store_answers", "gauge", "0 where the database does not answer."),
        ("whyrec_cache_answers", "gauge", "0 where the cache did not answer when it was last asked."),
        ("whyrec_cache_failures_total", "counter", "Times that the cache did not answer."),
        ("whyrec_pool_inside", "gauge", "Work that runs or waits, by pool of threads."),
        ("whyrec_purge_held", "gauge", "1 where a purge was held as the clock jumped ahead."),
        ("whyrec_heavy_ended_total", "counter", "Heavy questions whose process was ended at the deadline."),
        ("whyrec_in_flight", "gauge", "Requests being answered."),
        ("whyrec_loop_lag_seconds", "gauge", "By how much the event loop was late, at most, in the last ten seconds."),
        ("whyrec_up_seconds", "gauge", "Seconds since the start."),
    ):
        metrics.describe(name, kind, words)
    return metrics
