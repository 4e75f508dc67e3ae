"""Whom to send an e-mail, when a third of the customers may get one? Learnt on one half of a randomised campaign, judged on
the other, twenty times (Hillstrom's MineThatData challenge: 64,000 customers, men's e-mail, women's e-mail, none).

Three campaigns: the women's e-mail, the men's, and either (which of the two is drawn as in the log), each against none.
All three are judged together: p-values are corrected for the six comparisons (Holm), so that it does not matter which
campaign one looks at after seeing them. The learner was fixed before any held-out figure was seen to be an S-learner, the
one that published comparisons rank first on this data; it is not chosen by what it earns here.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.decide.arm_scores import ArmScores, arm_scores
from whyrec.decide.budget import NOTHING, allocate
from whyrec.decide.policy_tree import learn_tree
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, IntArray, normal_quantile, two_sided
from whyrec.metrics.significance import holm
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

ARMS = ("no e-mail", "e-mail")
CAMPAIGNS = {"women's e-mail": (2,), "men's e-mail": (1,), "either e-mail": (1, 2)}
RIVALS = ("at random", "by predicted visit")
SHARE = 1 / 3
_LOGGED = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")


def hillstrom(folder: Path) -> tuple[FloatArray, tuple[str, ...], IntArray, FloatArray]:
    """Features, their names, arm (0 none, 1 men's, 2 women's) and visit of each customer."""
    path = Path(folder) / "hillstrom" / "hillstrom.csv"
    if not path.is_file():
        raise BadInput(f"{path}: no such file; get the MineThatData e-mail challenge data, or leave this part out")
    frame = pl.read_csv(path)
    numbers = frame.select("recency", pl.col("history").log1p().alias("log history"), "mens", "womens", "newbie")
    places = frame.select(
        *((pl.col("zip_code") == zone).cast(pl.Int64).alias(zone) for zone in ("Rural", "Urban")),
        *((pl.col("channel") == way).cast(pl.Int64).alias(way) for way in ("Web", "Multichannel")),
    )
    table = pl.concat([numbers, places], how="horizontal")
    arm = frame["treatment"].replace_strict(list(_LOGGED), list(range(3)), return_dtype=pl.Int64).to_numpy()
    return table.to_numpy().astype(np.float64), tuple(table.columns), arm, frame["visit"].to_numpy().astype(np.float64)


def targeting(
    folder: Path, *, splits: int = 20, campaigns: Sequence[str] = tuple(CAMPAIGNS), random_state: int = 0
) -> Part:
    """Visits of the learnt policy against random targeting and targeting by predicted visit, all with a third of e-mails."""
    start = time.monotonic()
    x, names, arm, visit = hillstrom(folder)
    values: list[dict[str, Any]] = []
    gains: list[dict[str, Any]] = []
    for campaign in campaigns:
        sent = CAMPAIGNS[campaign]
        inside = np.isin(arm, (0, *sent))
        t = np.isin(arm[inside], sent).astype(np.int64)
        n, y, z = len(t), visit[inside], x[inside]
        influence: dict[str, FloatArray] = {rival: np.zeros(n) for rival in RIVALS}
        times, rows = np.zeros(n), []
        for split in track(range(splits), f"Targeting: {campaign}"):
            test = np.random.default_rng([random_state, split]).permutation(n) < n // 2
            chance = len(sent) / (1 + len(sent))  # the campaign's design, not the shares of this half
            train, held = (
                arm_scores(z[half], t[half], y[half], np.where(t[half] == 1, chance, 1 - chance), random_state=split)
                for half in (~test, test)
            )
            policies = _policies(z[~test], train, t[~test], y[~test], z[test], names)
            scores = {name: held.of(policy) for name, policy in policies.items()}
            rows.append({name: float(score.mean()) for name, score in scores.items()})
            for rival in RIVALS:
                influence[rival][test] += scores["learnt"] - scores[rival]
            times += test
        table = pl.DataFrame(rows)
        values += [
            {"campaign": campaign, "policy": name, "visits per 1,000": 1000 * float(table[name].to_numpy().mean()),
             "e-mails": {"nobody": 0.0, "everybody": 1.0}.get(name, SHARE)}
            for name in table.columns
        ]  # fmt: skip
        for rival in RIVALS:
            found = _over_splits(influence[rival], times, splits)
            low, high = 1000 * found.interval[0], 1000 * found.interval[1]
            better = int((table["learnt"] > table[rival]).sum())
            gains.append(
                {"campaign": campaign, "learnt against": rival, "visits per 1,000": 1000 * found.estimate, "low": low, "high": high,
                 "better in": f"{better} of {splits}", "p": two_sided(found.estimate / found.standard_error)}
            )  # fmt: skip
    adjusted = holm(np.array([gain["p"] for gain in gains]))
    gains = [gain | {"p, corrected": float(p)} for gain, p in zip(gains, adjusted, strict=True)]
    claims = _judged(gains)
    tables = {"values on held-out customers": pl.DataFrame(values), "gains on held-out customers": pl.DataFrame(gains)}
    return Part("Hillstrom: e-mails for a third of the customers", tables, tuple(claims), time.monotonic() - start)


def _judged(gains: list[dict[str, Any]]) -> list[Claim]:
    """The learnt policy beats both rivals in some campaign after correction for all, and is surely worse in none."""
    sure = [gain for gain in gains if gain["p, corrected"] < 0.05]
    won = {gain["campaign"]: [g for g in sure if g["campaign"] == gain["campaign"] and g["low"] > 0] for gain in gains}
    both = [campaign for campaign, found in won.items() if len(found) == len(RIVALS)]
    shown = "; ".join(
        f"{g['campaign']} {g['learnt against']} {g['visits per 1,000']:+.2f} [{g['low']:.2f}, {g['high']:.2f}], "
        f"corrected p {g['p, corrected']:.4f}"
        for g in gains
    )
    worse = [gain for gain in sure if gain["high"] < 0]
    return [
        Claim(
            "the learnt policy earns more visits than random targeting and than targeting by predicted visit with as many "
            f"e-mails, after correction for all {len(gains)} comparisons, in: {', '.join(both) or 'no campaign'}",
            bool(both),
            shown,
        ),
        Claim("in no campaign is it surely worse than either", not worse, f"{len(worse)} of {len(gains)} comparisons"),
    ]


def _policies(
    x: FloatArray, train: ArmScores, t: IntArray, visit: FloatArray, at: FloatArray, names: tuple[str, ...]
) -> dict[str, FloatArray]:
    """Chances of (none, e-mail), (n, 2), of every policy for customers with features `at`."""
    n = len(at)
    places = round(SHARE * n)
    chance = visit_chances(x, t, visit, at)
    effect = chance[:, 1] - chance[:, 0]
    learnt = allocate(effect, np.ones(1), places).offer
    likely = np.zeros(n, dtype=np.int64)
    likely[np.argsort(-chance[:, 0], kind="stable")[:places]] = 1
    toll = float(
        np.quantile(effect, 1 - SHARE)
    )  # the price of an e-mail at which a third of the customers is worth one
    tree = learn_tree(x, train.score - np.array([0.0, toll]), feature_names=names, action_names=ARMS, least=500)
    return {
        "learnt": _one_hot(np.where(learnt == NOTHING, 0, 1)),
        "at random": np.tile([1 - SHARE, SHARE], (n, 1)),
        "by predicted visit": _one_hot(likely),
        "readable tree": _within(_one_hot(tree.act(at))),
        "nobody": _one_hot(np.zeros(n, dtype=np.int64)),
        "everybody": _one_hot(np.ones(n, dtype=np.int64)),
    }


def _within(policy: FloatArray) -> FloatArray:
    """The policy with its e-mails thinned at random to the share there is, or as few as it sends."""
    sent = float(policy[:, 1].mean())
    share = policy[:, 1] * min(1.0, SHARE / sent if sent else 1.0)
    return np.column_stack([1 - share, share])


def visit_chances(x: FloatArray, t: IntArray, visit: FloatArray, at: FloatArray) -> FloatArray:
    """Chance of a visit without and with the e-mail, (n, 2): an S-learner, one logistic model with the e-mail's own slopes,
    its ridge by cross-validated likelihood.
    """
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    scale = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler()).fit(x)

    def design(features: FloatArray, given: IntArray) -> FloatArray:
        z = scale.transform(features)
        return np.column_stack([z, given, given[:, None] * z])

    model = LogisticRegressionCV(Cs=np.geomspace(1e-4, 1, 5), cv=3, scoring="neg_log_loss", max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model.fit(design(x, t), visit)
    return np.column_stack([model.predict_proba(design(at, np.full(len(at), a)))[:, 1] for a in (0, 1)])


def _one_hot(action: IntArray) -> FloatArray:
    return np.asarray(np.eye(2)[action])


def _over_splits(total: FloatArray, times: FloatArray, splits: int) -> Estimate:
    """Mean over splits of the held-out differences: each customer counts with the mean of its own over its test halves.

    Splits share customers, so that their values are not independent; a customer's differences are put together first.
    """
    share = total / splits * 2  # each split's mean is over half of the customers
    value = float(share.mean())
    influence = share - value * times / times.mean()
    error = float(np.sqrt(influence @ influence)) / len(share)
    half = normal_quantile(0.95) * error
    return Estimate(
        value, (value - half, value + half), error, len(share), "difference of visits", "DR, mean over splits"
    )
