"""Truth tables of counterfactuals, refutation and sensitivity: what a right answer is, what was found, how often intervals hold it.

Each function is one table; `quick` makes fewer draws. Nothing was tuned on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.docalib import DoCalib
from whyrec.cause.linear_effect import LinearEffect
from whyrec.cause.pair_effects import PairEffects
from whyrec.cause.proximal import proximal_effect
from whyrec.cause.refute import placebo, placebo_runs
from whyrec.cause.refute.linear import simulated_confounder
from whyrec.cause.scm import StructuralCausalModel
from whyrec.cause.scm.latent import LatentCauseModel
from whyrec.cause.sensitivity import PairBounds, marginal_bounds, sharp_bounds, stays_in_top
from whyrec.cause.sensitivity.marginal import binary_largest
from whyrec.data.simulate import COVARIATES, SimulatedLog, World, shop_world
from whyrec.estimate import FloatArray
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part, covers, meets


def counterfactual_truth(quick: bool = False, random_state: int = 0) -> Part:
    """Linear-Gaussian model with an analytic answer: error and coverage of single cases, effects and interventions."""
    graph, draws, n = "a -> x; a -> m; x -> m; x -> y; m -> y", 60 if quick else 300, 500
    kinds = dict.fromkeys("xmy", "linear")
    misses, case_covered, average_covered, sampled, gap = [], 0, 0, [], 0.0
    for draw in track(range(draws), "Counterfactuals of a linear model"):
        frame, truth = _linear(n, random_state + draw)
        model = StructuralCausalModel(graph, mechanisms=kinds, random_state=draw).fit(frame)
        cases = frame.head(20)
        found = model.counterfactual(cases, {"x": 2.0}, "y")
        exact = cases["y"].to_numpy() + truth * (2.0 - cases["x"].to_numpy())
        misses.append(found.value[:, 0] - exact)
        case_covered += int(found.low[0, 0] <= exact[0] <= found.high[0, 0])
        average_covered += int(model.effect({"x": 1}, "y", baseline={"x": 0}).covers(truth))
        if draw < 60:
            sampled.append(float(model.do(x=1.0).sample(4_000, draw)["y"].to_numpy().mean()))
            alone = [
                model.counterfactual(cases[[row]], {"x": 2.0}, "y", intervals=False).value[0, 0] for row in range(20)
            ]
            gap = max(gap, float(np.abs(np.array(alone) - found.value[:, 0]).max()))
    errors = np.array(misses)
    rows = (
        _row("single case, had x been 2", "y + 1.15 (2 - x)", f"mean error {errors.mean():+.4f}, root mean square {np.sqrt((errors**2).mean()):.4f}", case_covered, draws),
        _row("average effect of x", f"{truth:.2f}", "", average_covered, draws),
        _row("mean of y in samples of do(x = 1)", f"{truth:.2f}", f"{np.mean(sampled):.3f} +- {np.std(sampled) / np.sqrt(len(sampled)):.3f}", None, min(draws, 60)),
        _row("batched less looped", "0", f"{gap:.1e}", None, min(draws, 60)),
    )  # fmt: skip
    claims = (
        meets("mean error of single cases", errors.mean(axis=1), 0.0),
        covers("single cases", case_covered, draws),
        covers("average effect", average_covered, draws),
        meets("mean of y in samples of do(x = 1)", sampled, truth),
        Claim(f"batched answers are those of a loop, to {gap:.1e}", gap < 1e-8),
    )
    return _part(
        "Counterfactuals of a linear-Gaussian model against the analytic truth",
        rows, f"{draws} data sets of {n} rows", claims,
    )  # fmt: skip


def household_truth(quick: bool = False, random_state: int = 0, world: World | None = None) -> Part:
    """Simulated logs on real households: had there been no recommendation, or had everybody had one."""
    world = world or shop_world(40 if quick else 80)
    logs, households = (20, 150) if quick else (100, 150)
    weight = world.propensity
    on_treated = -float((world.effect * weight).sum() / weight.sum())
    everywhere = world.average_effect
    would = float((world.control * weight).sum() / (world.treated * weight).sum())
    found: dict[str, list[float]] = {"no": [], "all": [], "naive": [], "buyers": []}
    covered = {"no": 0, "all": 0, "buyers": 0}
    for draw in track(range(logs), "Had there been no recommendation"):
        log = world.draw(households, random_state + draw)
        model = household_model(log, draw)
        given = pl.col("recommended") == 1
        no = model.effect({"recommended": 0}, "bought", given=given)
        every = model.effect({"recommended": 1}, "bought", baseline={"recommended": 0})
        found["no"].append(no.estimate)
        found["all"].append(every.estimate)
        covered["no"] += int(no.covers(on_treated))
        covered["all"] += int(every.covers(everywhere))
        treated = log.treatment == 1
        found["naive"].append(log.outcome[treated].mean() - log.outcome[~treated].mean())
        anyway = model.had_anyway({"recommended": 0}, "bought", given=given)
        found["buyers"].append(anyway.estimate)
        covered["buyers"] += int(anyway.covers(would))
    rows = (
        _row("had there been no recommendation, those who had one", f"{on_treated:+.4f}", _spread(found["no"]), covered["no"], logs),
        _row("recommending to all against to nobody", f"{everywhere:+.4f}", _spread(found["all"]), covered["all"], logs),
        _row("  the naive difference", f"{everywhere:+.4f}", _spread(found["naive"]), None, logs),
        _row("share of recommended buyers who would have bought anyway", f"{would:.4f}", _spread(found["buyers"]), covered["buyers"], logs),
    )  # fmt: skip
    note = f"{households} households a log, clusters of the intervals; purchases move monotonely here, as the coupling assumes"
    claims = [
        claim
        for name, words, truth in (
            ("no", "had there been no recommendation", on_treated),
            ("all", "recommending to all against to nobody", everywhere),
            ("buyers", "would have bought anyway", would),
        )
        for claim in (meets(words, found[name], truth), covers(words, covered[name], logs))
    ]
    return _part("Counterfactuals on the simulator's households", rows, note, claims)


def household_model(log: SimulatedLog, random_state: int = 0) -> StructuralCausalModel:
    """The structural causal model of a simulated log: covariates before the recommendation, both before the purchase."""
    frame = pl.DataFrame(dict(zip(COVARIATES, log.covariates.T, strict=True))).with_columns(
        recommended=log.treatment, bought=log.outcome, household=log.household
    )
    arrows = "; ".join(f"{name} -> recommended; {name} -> bought" for name in COVARIATES)
    model = StructuralCausalModel(
        f"{arrows}; recommended -> bought",
        mechanisms={"recommended": "logistic", "bought": "quadratic logistic"},
        random_state=random_state,
    )
    return model.fit(frame, cluster="household")


def confounder_truth(quick: bool = False, random_state: int = 0) -> Part:
    """A simulated confounder of known strength: what adjusting for it changes, against the formula of the bound."""
    generator = np.random.default_rng(random_state)
    draws, n = (50, 1_000) if quick else (400, 1_000)
    rows, claims = [], []
    for with_t, with_y in ((0.01, 0.01), (0.05, 0.2), (0.2, 0.05), (0.3, 0.3)):
        # population: u tied to t and y so strongly; t and y have unit noise, x is measured
        tie, pull = np.sqrt(with_t / (1 - with_t)), np.sqrt(with_y / (1 - with_y))
        moved, told, exact = [], [], []
        for draw in range(draws):
            x, u, e, f = generator.normal(size=(4, n))
            t = x + tie * u + e
            y = 0.5 * t + x + pull * np.sqrt(1 + tie**2) * u + f
            short, long = LinearEffect.of(y, t, x[:, None]), LinearEffect.of(y, t, np.column_stack([x, u]))
            moved.append(short.value - long.value)
            told.append(_scale(short) * np.sqrt(with_y * with_t / (1 - with_t)))
            if draw < 20:
                shift = short.value - simulated_confounder(short, with_t, with_y, draw)
                exact.append(abs(shift - told[-1]))
        rows.append(
            {
                "strength (treatment, outcome)": f"{with_t:.0%}, {with_y:.0%}",
                "estimate moves by": f"{np.mean(moved):.4f} +- {np.std(moved) / np.sqrt(draws):.4f}",
                "the bound says": f"{np.mean(told):.4f}",
                "planted in the sample, largest gap": f"{max(exact):.1e}",
                "draws": draws,
            }
        )
        words = f"strength {with_t:.0%} and {with_y:.0%}: what adjusting changes less what the bound says"
        claims.append(meets(words, np.subtract(moved, told), 0.0))
        claims.append(Claim(f"the same planted in the sample: gap {max(exact):.1e}", max(exact) < 1e-8))
    return _part(
        "A simulated confounder of known strength moves the estimate by what the bound says",
        rows, "Cinelli and Hazlett 2020, equation 5", claims,
    )  # fmt: skip


def bounds_truth(quick: bool = False, random_state: int = 0) -> Part:
    """Hidden causes at the limit of the marginal sensitivity model: coverage and width of sharp and of plain bounds."""
    rows: list[dict[str, Any]] = []
    claims = []
    for name, uneven, binary, draws in (
        ("even noise", 0.0, False, 60 if quick else 300),
        ("uneven noise", 0.8, False, 12 if quick else 60),
        ("yes or no", 0.0, True, 60 if quick else 300),
    ):
        for gamma in (1.5, 2.0):
            low_in, high_in, sharp, plain, weaker = 0, 0, [], [], 0
            for draw in track(range(draws), f"Bounds, {name}, Gamma {gamma}"):
                x, a, y, low, high = at_the_limit(2_000, gamma, uneven, binary, random_state + draw)
                model = DoCalib(
                    propensity="logistic", outcome="logistic" if binary else "linear", random_state=draw
                ).fit(np.column_stack([x, x**2]), a, y)
                found = sharp_bounds(model, [1.0, gamma], spread="learned" if uneven else "even")
                old = marginal_bounds(model, np.array([gamma]))
                low_in += int(found.low_limit[1] <= low)
                high_in += int(high <= found.high_limit[1])
                weaker += int(found.low_limit[0] <= low and high <= found.high_limit[0])
                sharp.append(found.high[1] - found.low[1])
                plain.append(float(old[1][0] - old[0][0]))
            rows.append(
                {
                    "outcome": name,
                    "Gamma": gamma,
                    "holds truth at the low end": f"{low_in / draws:.3f}",
                    "at the high end": f"{high_in / draws:.3f}",
                    "interval with nothing hidden": f"{weaker / draws:.3f}",
                    "width, sharp": f"{np.mean(sharp):.4f}",
                    "width, Zhao et al.": f"{np.mean(plain):.4f}",
                    "width, truth": f"{high - low:.4f}",
                    "draws": draws,
                }
            )
            claims.append(covers(f"{name}, Gamma {gamma}, low end", low_in, draws, 0.975))
            claims.append(covers(f"{name}, Gamma {gamma}, high end", high_in, draws, 0.975))
    return _part(
        "Bounds under the marginal sensitivity model, the truth at their very ends",
        rows, "each end should hold 97.5%, 'nothing hidden' is the 95% interval that ignores the hidden cause", claims,
    )  # fmt: skip


def at_the_limit(
    n: int, gamma: float, uneven: float, binary: bool, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray, float, float]:
    """x, a, y of a world whose unseen outcomes may be tilted as far as Gamma allows; the average effect if tilted down, and up.

    Seen: y given a, x is normal with mean x + a (1 + x / 2) and spread exp(uneven x), or of yes and no. Unseen Y(1) of the untreated
    has the density of the treated times Gamma above its Gamma / (1 + Gamma) quantile, 1 / Gamma below it, and so on.
    """
    from scipy.special import expit, ndtri
    from scipy.stats import norm

    generator = np.random.default_rng(seed)
    x = generator.uniform(-1, 1, n)
    a = (generator.random(n) < expit(0.7 * x)).astype(np.float64)
    fine = (np.arange(20_000) + 0.5) / 10_000 - 1
    e = expit(0.7 * fine)
    if binary:
        y = (generator.random(n) < expit(-1 + x + a * 0.8)).astype(np.float64)
        one, none = expit(-0.2 + fine), expit(-1 + fine)
        high1, high0 = binary_largest(one, gamma), binary_largest(none, gamma)
        low1, low0 = 1 - binary_largest(1 - one, gamma), 1 - binary_largest(1 - none, gamma)
        high = np.mean(e * one + (1 - e) * high1) - np.mean((1 - e) * none + e * low0)
        low = np.mean(e * one + (1 - e) * low1) - np.mean((1 - e) * none + e * high0)
        return x, a, y, float(low), float(high)
    y = x + a * (1 + x / 2) + np.exp(uneven * x) * generator.normal(size=n)
    tilt = (gamma - 1 / gamma) * float(norm.pdf(ndtri(gamma / (1 + gamma)))) * float(np.mean(np.exp(uneven * fine)))
    return x, a, y, 1.0 - tilt, 1.0 + tilt


def recommendation_truth(quick: bool = False, random_state: int = 0, world: World | None = None) -> Part:
    """ "Stays in the top 10 up to Gamma": claims of a fitted log against worlds whose hidden cause is as strong as claimed.

    In each such world the true effect of every pair lies anywhere within its bounds; "worst" draws the claimed item down and all
    others up, "random" draws each pair's place in its bounds at random. A claim is right where the item is among the 10.
    """
    world = world or shop_world(40)
    logs, households, k = (3, 400, 10) if quick else (8, 600, 10)
    generator = np.random.default_rng(random_state)
    gammas = (1.05, 1.1, 1.25)
    counts = {
        (gamma, basis): np.zeros(3)
        for basis in ("true effects", "estimates and their error", "estimates alone")
        for gamma in gammas
    }
    possible = dict.fromkeys(gammas, 0)
    for draw in track(range(logs), "Items that stay in the top 10"):
        log = world.draw(households, random_state + draw)
        features, shape = _squared(log.covariates), (households, log.products)
        model = DoCalib(propensity="logistic", outcome="logistic", random_state=draw).fit(
            features, log.treatment, log.outcome, clusters=log.household
        )
        pairs, bounds = PairEffects(random_state=draw).fit(model), PairBounds(gammas, learner="boosting").fit(model)
        _estimate, low, high = pairs.predict(features)
        ends = {
            "true effects": (log.effect, None), "estimates and their error": (low, high),
            "estimates alone": (pairs.rank_score(features), None),
        }  # fmt: skip
        stays = {}
        for basis, (least, most) in ends.items():
            down, up = bounds.predict(features, least, most)
            stays[basis] = stays_in_top(down.reshape(*shape, -1), up.reshape(*shape, -1), bounds.gamma_, k)
        for gamma in gammas:
            down, up = (end.reshape(shape) for end in true_bounds(log, gamma))
            worst = stays_in_top(down[..., None], up[..., None], np.array([gamma]), k) > 0
            drawn = down + generator.random(shape) * (up - down)
            top = drawn.argsort(axis=1).argsort(axis=1) >= shape[1] - k
            possible[gamma] += int(worst.sum())
            for basis, found in stays.items():
                claimed = found >= gamma
                counts[gamma, basis] += (claimed.sum(), (claimed & worst).sum(), (claimed & top).sum())
    rows = [
        {
            "claimed from": basis,
            "Gamma": gamma,
            "claims a household": f"{claimed / (logs * households):.3f}",
            "right, worst hidden cause": _share(int(worst_right), int(claimed)),
            "right, random hidden cause": _share(int(random_right), int(claimed)),
            "true claims a household": f"{possible[gamma] / (logs * households):.3f}",
        }
        for (gamma, basis), (claimed, worst_right, random_right) in counts.items()
    ]
    note = (
        f"{logs} logs of {households} households, {world.covariates.shape[1]} candidates, effects of a few per cent: who claims from estimates "
        "alone ignores their error, which is larger here than what a weak hidden cause does"
    )
    return _part("Recommendations that stay in the top 10 by effect", rows, note)


def true_bounds(log: SimulatedLog, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Sharp bounds of every pair's effect from the simulator's own chances, (n,) each."""
    e, m0 = log.propensity, _control(log)
    m1 = m0 + log.effect
    low1, high1 = 1 - binary_largest(1 - m1, gamma), binary_largest(m1, gamma)
    low0, high0 = 1 - binary_largest(1 - m0, gamma), binary_largest(m0, gamma)
    low = e * m1 + (1 - e) * low1 - ((1 - e) * m0 + e * high0)
    high = e * m1 + (1 - e) * high1 - ((1 - e) * m0 + e * low0)
    return low, high


def latent_truth(quick: bool = False, random_state: int = 0) -> Part:
    """A hidden cause seen through noisy proxies: latent variable, proximal estimation, adjustment, nothing."""
    draws, few, varied = (60, 1, 1) if quick else (300, 40, 8)
    truth, n = 1.0, 1_500
    found: dict[str, list[float]] = {}
    held: dict[str, int] = {}
    ranges = []

    def note(name: str, value: float, covers: bool) -> None:
        found.setdefault(name, []).append(value)
        held[name] = held.get(name, 0) + int(covers)

    for draw in track(range(draws), "A hidden cause with proxies"):
        generator = np.random.default_rng([random_state, draw])
        u = generator.normal(size=n)
        proxies = u[:, None] * np.array([0.8, 1.0, 0.7, 0.9, 0.6]) + generator.normal(size=(n, 5))
        t = (generator.random(n) < 1 / (1 + np.exp(-0.6 * u))).astype(np.float64)
        y = truth * t + 1.5 * u + 0.5 * generator.normal(size=n)
        naive = LinearEffect.of(y, t, np.ones((n, 1))).estimate
        note("nothing adjusted", naive.estimate, naive.covers(truth))
        adjusted = LinearEffect.of(y, t, proxies).estimate
        note("proxies as confounders", adjusted.estimate, adjusted.covers(truth))
        two = proximal_effect(y, t, treatment_proxies=proxies[:, :2], outcome_proxies=proxies[:, 2:3])
        note("proximal, two-stage", two.estimate, two.covers(truth))
        if draw < few:
            model = LatentCauseModel(random_state=draw, steps=800, repeats=4)
            model.fit(proxies, t, y, variants=draw < varied)
            note("latent cause (CEVAE)", model.effect_.estimate, model.effect_.covers(truth))
            if model.sensitivity_ is not None:
                ranges.append((model.sensitivity_.low, model.sensitivity_.high))
    rows = [
        {
            "method": name,
            "truth": truth,
            "estimate": _spread(values),
            "coverage": f"{held[name] / len(values):.3f}",
            "draws": len(values),
        }
        for name, values in found.items()
    ]
    low, high = np.mean(ranges, axis=0)
    claims = [
        covers(name, held[name], len(found[name]))
        for name in ("proximal, two-stage", "latent cause (CEVAE)")
        if len(found[name]) > 1
    ]
    wrong = held["proxies as confounders"] / draws
    claims.append(
        Claim(f"to take the proxies for confounders is shown to fail: {wrong:.3f} of the intervals", wrong < 0.5)
    )
    return _part(
        "A hidden common cause, five noisy proxies",
        rows,
        f"over dimensions, decoders and seeds of the latent cause its answers range from {low:.2f} to {high:.2f} on average",
        claims,
    )


def refutation_speed(quick: bool = False, random_state: int = 0) -> Part:
    """1,000 placebo treatments: seconds, and whether their p-values are uniform."""
    generator = np.random.default_rng(random_state)
    rows, claims = [], []
    for kind, n in (
        ("linear, factored once", 100_000 if quick else 1_000_000),
        ("learned, residuals used again", 20_000 if quick else 200_000),
    ):
        x = generator.normal(size=(n, 10))
        t = (generator.random(n) < 1 / (1 + np.exp(-x[:, 0]))).astype(np.float64)
        y = x.sum(axis=1) + 0.5 * t + generator.normal(size=n)
        start = perf_counter()
        if kind.startswith("linear"):
            effect = LinearEffect.of(y, t, x)
            ready = perf_counter()
            runs = placebo(effect, 1_000, random_state + 1)
        else:
            model = DoCalib(propensity="logistic", outcome="linear").fit(x, t, y)
            ready = perf_counter()
            runs = placebo_runs(model, 1_000, random_state + 1)
        rows.append(
            {
                "nuisances": kind,
                "rows": n,
                "fit, s": f"{ready - start:.1f}",
                "1,000 placebos, s": f"{perf_counter() - ready:.1f}",
                "significant at 5%": f"{runs.share_significant:.3f}",
                "uniform, p": f"{runs.uniform_p:.2f}",
            }
        )
        seconds, margin = perf_counter() - ready, 3 * np.sqrt(0.05 * 0.95 / 1_000)
        if kind.startswith("linear"):
            claims.append(Claim(f"{kind}, {n:,} rows: {seconds:.1f} s (under 60)", seconds < 60))
        words = f"{kind}: {runs.share_significant:.3f} significant at 5% (0.05 +- {margin:.3f})"
        claims.append(Claim(words, bool(abs(runs.share_significant - 0.05) <= margin)))
    return _part("1,000 placebo treatments", rows, "ten covariates; seconds of the clock", claims)


def nhefs_truth(quick: bool = False, random_state: int = 0) -> Part:
    """Quitting smoking and weight, against the textbook's adjusted 3.4 to 3.5 kg."""
    from whyrec.studies.nhefs import nhefs_effect

    found = nhefs_effect(random_state=random_state, runs=200 if quick else 1_000)
    rows = [
        {
            "method": estimate.method,
            "kg": f"{estimate.estimate:.2f}",
            "interval": f"[{estimate.interval[0]:.2f}, {estimate.interval[1]:.2f}]",
            "textbook": book,
        }
        for estimate, book in (
            (found.naive, "2.5"),
            (found.linear, "3.5 [2.6, 4.3] (regression with squares)"),
            (found.effect, "3.4 [2.4, 4.5] (inverse probability weights)"),
        )
    ]
    failed = [attempt.name for attempt in (*found.refutations, *found.linear_refutations) if not attempt.passed]
    note = f"attempts that failed: {', '.join(failed) or 'none'}; the interval holds zero from {found.gamma()} on"
    low, high = found.effect.interval
    claims = (
        Claim(
            f"{found.effect.estimate:.2f} kg [{low:.2f}, {high:.2f}], the textbook's 3.4", low < 3.4 < high and low > 0
        ),
        Claim(f"attempts to refute it that succeeded: {', '.join(failed) or 'none'}", not failed),
    )
    return _part("NHEFS: kilograms gained by quitting", rows, note, claims)


TABLES: tuple[Callable[..., Part], ...] = (
    counterfactual_truth, household_truth, confounder_truth, bounds_truth, recommendation_truth, latent_truth, refutation_speed,
    nhefs_truth,
)  # fmt: skip


def _part(title: str, rows: Sequence[dict[str, Any]], made: str, claims: Sequence[Claim] = ()) -> Part:
    return Part.of("", title, pl.DataFrame(list(rows), infer_schema_length=None), made, tuple(claims))


def _linear(n: int, seed: int) -> tuple[pl.DataFrame, float]:
    generator = np.random.default_rng(seed)
    a = generator.normal(size=n)
    x = 0.8 * a + generator.normal(size=n)
    m = 0.5 * x + a + generator.normal(size=n)
    y = 1.5 * x - 0.7 * m + generator.normal(size=n)
    return pl.DataFrame({"a": a, "x": x, "m": m, "y": y}), 1.5 - 0.7 * 0.5


def _squared(covariates: FloatArray) -> FloatArray:
    first, second = np.triu_indices(4)  # the last two are flags
    return np.column_stack([covariates, covariates[:, first] * covariates[:, second]])


def _control(log: SimulatedLog) -> FloatArray:
    from whyrec.data.simulate import purchase

    return purchase(log.covariates)


def _scale(effect: LinearEffect) -> float:
    return effect.scale


def _row(what: str, truth: str, found: str, covered: int | None, draws: int) -> dict[str, Any]:
    share = "" if covered is None else f"{covered / draws:.3f}"
    return {"question": what, "truth": truth, "found": found, "coverage": share, "draws": draws}


def _spread(values: Sequence[float]) -> str:
    error = f" +- {np.std(values, ddof=1) / np.sqrt(len(values)):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):+.4f}{error}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "no claim"
