"""Questions about policies: what one would earn, which is better, whether it may go live, and learning one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from whyrec.api.options import as_path, refuse_unused
from whyrec.data.frames import Tabular
from whyrec.data.read import frame_of
from whyrec.decide.deploy import Deployment
from whyrec.decide.deploy import deploy_check as check
from whyrec.decide.off_policy.distribution import cvar, quantile
from whyrec.decide.off_policy.intervals import Kind
from whyrec.decide.off_policy.rounds import Rounds, effective_sample_size
from whyrec.decide.off_policy.select import Choice, choose_estimator
from whyrec.decide.off_policy.value import difference, off_policy_values, terms_of, weights_of
from whyrec.decide.policy_gradient import learn_greedy, learn_softmax
from whyrec.decide.policy_log import (
    LearntPolicy,
    PolicyLog,
    chances_of,
    feature_matrix,
    feature_names,
    levels_of,
    read_policy,
)
from whyrec.decide.policy_tree import learn_tree
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, assumption_lines, in_brackets, jsonable, normal_quantile, two_sided
from whyrec.files import write_json, write_text
from whyrec.metrics.significance import holm

if TYPE_CHECKING:
    from whyrec.data.read import Source

Learner = Literal["tree", "greedy", "softmax"]
_WARN_BELOW = 100.0


@dataclass(frozen=True)
class PolicyValues(Tabular):
    """values: by method. chosen: among them by the data. tail: quantiles and CVaR of a round. warnings: what the log cannot bear."""

    values: Mapping[str, Estimate]
    chosen: Choice
    tail: tuple[Estimate, ...]
    rounds: int
    effective_sample_size: float
    mean_weight: float
    warnings: tuple[str, ...]
    picture: Path | None = None

    def _frame(self) -> pl.DataFrame:
        return _estimates(self.values, "method")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: values, chosen, tail, rounds, effective_sample_size, mean_weight, warnings, picture."""
        found: dict[str, Any] = jsonable(
            {
                "values": {name: e.to_dict() for name, e in self.values.items()},
                "chosen": self.chosen.to_dict(),
                "tail": [e.to_dict() for e in self.tail],
                "rounds": self.rounds,
                "effective_sample_size": self.effective_sample_size,
                "mean_weight": self.mean_weight,
                "warnings": self.warnings,
                "picture": None if self.picture is None else str(self.picture),
            }
        )
        return found

    def to_text(self) -> str:
        """A line a method, then the choice, the tail and the warnings."""
        lines = [
            f"{self.rounds:,} rounds, worth {self.effective_sample_size:,.0f} for this policy; the weights average {self.mean_weight:.3f} (1 where all it would do was tried)"
        ]
        lines += [f"  {name:<18} {e.estimate:>10.4g}  {in_brackets(*e.interval)}" for name, e in self.values.items()]
        lines.append(
            f"chosen by the data: {self.chosen.method}, {self.chosen.value:.4g} (least estimated error; its interval does not know that it was chosen)"
        )
        lines += [f"  {e!r}" for e in self.tail]
        lines += assumption_lines({**self.values, **{e.method: e for e in self.tail}})
        of_values = (words for e in (*self.values.values(), *self.tail) for words in e.warnings)
        told = dict.fromkeys((*self.warnings, *(words for words in of_values if not words.startswith("the rounds are worth"))))
        lines += [f"warning: {words}" for words in told]
        return "\n".join(lines + ([f"picture: {self.picture}"] if self.picture else []))


@dataclass(frozen=True)
class LearntAnswer:
    """policy: what was learnt on one part of the log; deployment: how it did on the other; file: where it was written."""

    policy: LearntPolicy = field(repr=False)
    deployment: Deployment
    learnt_on: int
    file: Path | None
    picture: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: policy, words, learnt_on, deployment, file, picture."""
        found: dict[str, Any] = jsonable(
            {
                "policy": self.policy.to_dict(),
                "words": self.policy.to_text(),
                "learnt_on": self.learnt_on,
                "deployment": self.deployment.to_dict(),
                "file": None if self.file is None else str(self.file),
                "picture": None if self.picture is None else str(self.picture),
            }
        )
        return found

    def to_text(self) -> str:
        """The policy in words, then the decision on the held-out part."""
        lines = [
            self.policy.to_text(),
            "",
            f"Learnt on {self.learnt_on:,} rounds; judged on the others:",
            self.deployment.to_text(),
        ]
        return "\n".join(lines + ([f"written to {self.file}"] if self.file else []))


@dataclass(frozen=True)
class Comparison(Tabular):
    """values: of each policy and of the logging one. against: each policy less the logging one, and pairs of policies.

    p_values: of no difference, Holm-corrected over all comparisons, in the order of `against`. warnings: as of `PolicyValues`, by policy.
    """

    values: Mapping[str, Estimate]
    against: Mapping[str, Estimate]
    p_values: tuple[float, ...]
    warnings: tuple[str, ...] = ()
    picture: Path | None = None

    def _frame(self) -> pl.DataFrame:
        return _estimates({**self.values, **self.against}, "policy")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: values, differences (each with its p_value), warnings, picture."""
        found: dict[str, Any] = jsonable(
            {
                "values": {name: e.to_dict() for name, e in self.values.items()},
                "differences": {
                    name: {**e.to_dict(), "p_value": p}
                    for (name, e), p in zip(self.against.items(), self.p_values, strict=True)
                },
                "warnings": self.warnings,
                "picture": None if self.picture is None else str(self.picture),
            }
        )
        return found

    def to_text(self) -> str:
        """Values, then paired differences, then warnings."""
        lines = [f"  {name:<20} {e.estimate:>10.4g}  {in_brackets(*e.interval)}" for name, e in self.values.items()]
        lines.append("paired differences (p values corrected for all of them):")
        lines += [
            f"  {name:<34} {e.estimate:>+10.4g}  [{e.interval[0]:+.4g}, {e.interval[1]:+.4g}]  p = {p:.3g}"
            for (name, e), p in zip(self.against.items(), self.p_values, strict=True)
        ]
        lines += assumption_lines(self.values)
        lines += [f"warning: {words}" for words in self.warnings]
        return "\n".join(lines + ([f"picture: {self.picture}"] if self.picture else []))


def _estimates(values: Mapping[str, Estimate], name: str) -> pl.DataFrame:
    """A row an estimate: what it is of, estimate, low, high."""
    rows = [{name: of, "estimate": e.estimate, "low": e.interval[0], "high": e.interval[1]} for of, e in values.items()]
    return pl.DataFrame(rows).with_columns(pl.col(pl.Float64).fill_nan(None))


def policy_evaluate(
    log: Source,
    *,
    reward: str,
    propensity: str,
    target: str | None = None,
    policy: LearntPolicy | str | Path | None = None,
    action: str | None = None,
    cluster: str | None = None,
    predicted_logged: str | None = None,
    predicted_target: str | None = None,
    methods: Sequence[str] | None = None,
    interval: Kind | None = None,
    level: float = 0.95,
    picture: str | Path | None = None,
    random_state: int = 0,
) -> PolicyValues:
    """What a policy would have earned, from a log of another: every estimator with its interval.

    The target is a column of its chances of the logged actions (target), or a policy file of `policy_learn` (policy, with
    action), or policy="uniform" (every action of the log alike). With a policy file the reward model is fitted on its features.
    """
    rounds = _rounds(
        log, reward, propensity, target, policy, action, cluster, predicted_logged, predicted_target, random_state
    )
    values = off_policy_values(rounds, methods, interval=interval, level=level, random_state=random_state)
    chosen = choose_estimator(rounds)
    tail: tuple[Estimate, ...] = ()
    if len(np.unique(rounds.reward)) > 2:
        tail = (quantile(rounds, 0.5, level=level), cvar(rounds, 0.1, level=level))
    effective, mean = effective_sample_size(rounds.weight), float(rounds.weight.mean())
    if picture is not None:
        from whyrec.explain.policy_plots import values_picture, write_picture

        drawing = values_picture(values, unit=f"mean {reward} of a round", logged=values.get("naive"))
        write_picture(Path(picture), drawing, title="Value of the policy, by every estimator")
    return PolicyValues(
        values,
        chosen,
        tail,
        len(rounds),
        effective,
        mean,
        log_warnings(rounds),
        None if picture is None else Path(picture),
    )


def policy_compare(
    log: Source,
    *,
    reward: str,
    propensity: str,
    targets: Sequence[str],
    cluster: str | None = None,
    method: str = "SNIPS",
    level: float = 0.95,
    picture: str | Path | None = None,
) -> Comparison:
    """Several policies on one log: their values, and their differences from the logging policy and from each other, paired.

    targets: columns of each policy's chances of the logged actions. method: IPS or SNIPS (no model is needed).
    """
    if method not in ("IPS", "SNIPS"):
        raise BadInput(f"method={method!r}: compare by 'IPS' or 'SNIPS'")
    if not targets:
        raise BadInput("name one or more columns of target chances")
    found = PolicyLog.of(frame_of(log), reward=reward, propensity=propensity, cluster=cluster)
    rounds = {name: found.rounds(_chances(found, name)) for name in dict.fromkeys(targets)}
    values = {name: off_policy_values(r, [method], level=level)[method] for name, r in rounds.items()}
    first = next(iter(rounds.values()))
    values["logging policy"] = off_policy_values(first, ["naive"], level=level)["naive"]
    terms = {name: terms_of(method, r, weights_of(method, r)) for name, r in rounds.items()}
    terms["logging policy"] = terms_of("naive", first, weights_of("naive", first))
    names = list(terms)
    pairs = [(one, "logging policy") for one in names[:-1]]
    pairs += [(one, other) for place, one in enumerate(names[:-1]) for other in names[place + 1 : -1]]
    against = {
        f"{one} less {other}": difference(values[one], values[other], terms[one], terms[other], found.clusters)
        for one, other in pairs
    }
    warnings = tuple(f"{name}: {words}" for name, r in rounds.items() for words in log_warnings(r))
    p = holm(np.array([_p_value(e) for e in against.values()]))
    if picture is not None:
        from whyrec.explain.policy_plots import values_picture, write_picture

        write_picture(
            Path(picture),
            values_picture(values, unit=f"mean {reward} of a round", logged=values["logging policy"]),
            title="Values of policies",
        )
    return Comparison(values, against, tuple(float(v) for v in p), warnings, None if picture is None else Path(picture))


def policy_learn(
    log: Source,
    *,
    reward: str,
    action: str,
    features: Sequence[str],
    propensity: str | None = None,
    cluster: str | None = None,
    learner: Learner = "tree",
    depth: int = 2,
    penalty: float = 1.0,
    cost: float = 0.0,
    free: str | None = None,
    held_out: float = 0.5,
    model: str = "linear",
    out: str | Path | None = None,
    picture: str | Path | None = None,
    random_state: int = 0,
) -> LearntAnswer:
    """Learn a policy on one part of a log and judge it on the other, against the policy that logged it.

    learner: "tree" (a person can read it), "greedy" (largest expected gain) or "softmax" (doubly robust gradient with variance penalty). cost: of every action
    but `free`, in the reward's unit, so that an offer must earn it. propensity: None only for a log that was randomised with
    one chance an action. out: file for the policy, which `policy_evaluate` reads.
    """
    if not 0.1 <= held_out <= 0.9:
        raise BadInput(f"held_out={held_out}: a share of the rows between 0.1 and 0.9")
    if learner not in ("tree", "greedy", "softmax"):
        raise BadInput(f"learner={learner!r}: choose 'tree', 'greedy' or 'softmax'")
    if learner != "tree" and depth != 2:
        refuse_unused({"depth": depth}, f"a {learner} policy is no tree")
    if learner != "softmax" and penalty != 1.0:
        refuse_unused({"penalty": penalty}, f"a {learner} policy is not penalised")
    frame = frame_of(log)
    for name in features:
        if name in (reward, action, propensity):
            raise BadInput(
                f"column {name!r} is no feature: it is known only when the decision was made or after; leave it out of the features"
            )
    names = feature_names(frame, features)
    whole = PolicyLog.of(frame, reward=reward, propensity=propensity, action=action, cluster=cluster)
    test = _held_out(whole, held_out, random_state)
    if whole.propensity is None:
        whole = _with_shares(whole)
    if free is not None and free not in whole.names:
        raise BadInput(f"free={free!r}: not an action of the log; it has {', '.join(whole.names[:20])}")
    refuse_unused({"free": free if cost == 0 else None}, "where actions cost nothing")
    tolls = np.array([0.0 if name == free else cost for name in whole.names])
    train, held = _part(whole, ~test), _part(whole, test)
    scores = train.scores(feature_matrix(train.frame, names), model=model, random_state=random_state).score - tolls
    x = feature_matrix(train.frame, names)
    found: LearntPolicy
    actions = whole.names
    if learner == "tree":
        found = learn_tree(x, scores, depth=depth, feature_names=names, action_names=actions)
    elif learner == "greedy":
        found = learn_greedy(x, scores, feature_names=names, action_names=actions)
    else:
        found = learn_softmax(x, scores, penalty=penalty, feature_names=names, action_names=actions)
    found = replace(found, levels=levels_of(frame, features))
    rounds = _modelled(held, found, model, random_state, tolls)
    deployment = check(rounds, random_state=random_state)
    if out is not None:
        write_json(Path(out), found.to_dict())
    if picture is not None:
        from whyrec.explain.policy_plots import values_picture, write_picture

        values = {"learnt policy": deployment.value, "logging policy": deployment.logged}
        write_picture(
            Path(picture),
            values_picture(values, unit=f"mean {reward} of a round", logged=deployment.logged),
            title="The learnt policy on held-out rounds",
        )
    return LearntAnswer(
        found,
        deployment,
        len(train.reward),
        None if out is None else Path(out),
        None if picture is None else Path(picture),
    )


def deploy_check(
    log: Source,
    *,
    reward: str,
    propensity: str,
    target: str | None = None,
    policy: LearntPolicy | str | Path | None = None,
    action: str | None = None,
    cluster: str | None = None,
    margin: float = 0.0,
    confidence: float = 0.95,
    least_effective: float = 100.0,
    random_state: int = 0,
) -> Deployment:
    """May the policy replace the one that logged? See `whyrec.decide.deploy.deploy_check`; targets as in `policy_evaluate`."""
    rounds = _rounds(log, reward, propensity, target, policy, action, cluster, None, None, random_state)
    return check(
        rounds, margin=margin, confidence=confidence, least_effective=least_effective, random_state=random_state
    )


def policy_benchmark(
    data: str | Path | None = None, *, quick: bool = False, out: str | Path | None = None, random_state: int = 0
) -> Any:
    """The benchmark of policies; see `whyrec.studies.policy_benchmark.run`. out: a .json or .md file of the tables."""
    from whyrec.studies.policy_benchmark.run import policy_benchmark as run

    found = run(as_path(data), quick=quick, random_state=random_state)
    if out is not None and Path(out).suffix == ".md":
        write_text(Path(out), found.to_markdown())
    elif out is not None:
        write_json(Path(out), found.to_dict())
    return found


def _rounds(
    log: Source, reward: str, propensity: str, target: str | None, policy: LearntPolicy | str | Path | None, action: str | None,
    cluster: str | None, predicted_logged: str | None, predicted_target: str | None, random_state: int,
) -> Rounds:  # fmt: skip
    if (target is None) == (policy is None):
        raise BadInput(
            "give the policy once: a column of its chances of the logged actions (target), or a policy (policy)"
        )
    frame = frame_of(log)
    if target is not None:
        refuse_unused({"action": action}, "a column of chances (target) says all of the policy")
        found = PolicyLog.of(frame, reward=reward, propensity=propensity, cluster=cluster)
        modelled = {
            key: None if name is None else _numbers(found, name)
            for key, name in (("predicted_logged", predicted_logged), ("predicted_target", predicted_target))
        }
        return found.rounds(_chances(found, target), **modelled)
    unused = {"predicted_logged": predicted_logged, "predicted_target": predicted_target}
    refuse_unused(
        unused,
        "predictions go with a column of chances (target); a policy file has a reward model fitted on its features",
    )
    if action is None:
        raise BadInput("name the column of logged actions with action; the policy is asked for their chances")
    if str(policy) == "uniform":
        found = PolicyLog.of(frame, reward=reward, propensity=propensity, action=action, cluster=cluster)
        return found.rounds(np.full(len(found.reward), 1 / len(found.names)))
    known = read_policy(Path(policy)) if isinstance(policy, str | Path) else policy
    assert known is not None
    found = PolicyLog.of(frame, reward=reward, propensity=propensity, action=action, cluster=cluster, names=known.names)
    return _modelled(found, known, "linear", random_state, np.zeros(known.n_actions))


def _modelled(log: PolicyLog, policy: LearntPolicy, model: str, random_state: int, tolls: FloatArray) -> Rounds:
    """The log beside a learnt policy with a reward model on its features, cross-fitted; rewards less what actions cost."""
    assert log.action is not None
    rows = np.arange(len(log.reward))
    chances = chances_of(policy, log.frame)
    scores = log.scores(feature_matrix(log.frame, policy.features), model=model, random_state=random_state)
    predicted = scores.predicted - tolls
    net = PolicyLog(log.frame, log.reward - tolls[log.action], log.propensity, log.action, log.names, log.clusters)
    return net.rounds(
        chances[rows, log.action],
        predicted_logged=predicted[rows, log.action],
        predicted_target=(chances * predicted).sum(axis=1),
    )


def _held_out(log: PolicyLog, share: float, random_state: int) -> Any:
    units = (
        np.arange(len(log.reward)) if log.clusters is None else np.unique(log.clusters, return_inverse=True)[1].ravel()
    )
    drawn = np.random.default_rng(random_state).random(int(units.max()) + 1) < share
    test = drawn[units]
    if test.all() or not test.any():
        raise BadInput(f"{len(test):,} rounds are too few to hold some out")
    return test


def _part(log: PolicyLog, rows: Any) -> PolicyLog:
    arrays = (None if c is None else c[rows] for c in (log.reward, log.propensity, log.action))
    reward, propensity, action = arrays
    assert reward is not None
    return PolicyLog(
        log.frame.filter(pl.Series(rows)),
        reward,
        propensity,
        action,
        log.names,
        None if log.clusters is None else log.clusters[rows],
    )


def _with_shares(log: PolicyLog) -> PolicyLog:
    """The shares of the actions as chances: right for a log that was randomised alike for all."""
    assert log.action is not None
    shares = np.bincount(log.action, minlength=len(log.names)) / len(log.action)
    return PolicyLog(log.frame, log.reward, shares[log.action], log.action, log.names, log.clusters)


def _numbers(log: PolicyLog, name: str) -> FloatArray:
    from whyrec.decide.policy_log import numbers_of

    return numbers_of(log.frame, name, "give it in every round")


def _chances(log: PolicyLog, name: str) -> FloatArray:
    """A policy's chances of the logged actions, (n,); BadInput names column and row of what is none."""
    values = _numbers(log, name)
    outside = (values < 0) | (values > 1)
    if outside.any():
        row = int(np.argmax(outside))
        raise BadInput(f"column {name!r}, row {row + 1}: {values[row]:g} is not a chance between 0 and 1")
    return values


def _p_value(found: Estimate) -> float:
    """Of no difference, by the side of the interval that looks at zero, so that the two never contradict each other."""
    side = found.estimate - found.interval[0] if found.estimate > 0 else found.interval[1] - found.estimate
    if side <= 0 or math.isnan(side):
        return 1.0 if found.estimate == 0 else 0.0
    return two_sided(found.estimate / side * normal_quantile(found.level))


def log_warnings(rounds: Rounds) -> tuple[str, ...]:
    """What this log cannot bear for this policy: too few effective rounds, or weights that do not average to 1."""
    effective, mean = effective_sample_size(rounds.weight), float(rounds.weight.mean())
    told = []
    if effective < _WARN_BELOW:
        told.append(
            f"the rounds are worth {effective:,.0f} for this policy; below {_WARN_BELOW:.0f} intervals cover less than they say: log more exploration"
        )
    error = float(rounds.weight.std() / np.sqrt(len(rounds)))
    if abs(mean - 1) > 4 * error + 0.02:
        told.append(
            f"the weights average {mean:.3f}, not 1: {'part of what the policy would do was never tried' if mean < 1 else 'the logged chances are not those by which actions were chosen'}"
        )
    return tuple(told)
