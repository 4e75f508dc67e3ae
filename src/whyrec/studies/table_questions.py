"""Questions about a table: whom does a treatment change, which of many arms is best, how does a dose act, what is liked unseen?

Each takes columns by name, checks them, and gives an answer that is JSON-ready; `table_effect` answers the average effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.arms import ESTIMANDS, ArmEffects, Over
from whyrec.cause.balance import balance, given_away
from whyrec.cause.bounds import by_segment
from whyrec.cause.docalib import DoCalib
from whyrec.cause.dose import DoseResponse
from whyrec.cause.graph.read import GraphSource
from whyrec.cause.pair_effects import PairEffects
from whyrec.cause.pair_model import Attributes
from whyrec.cause.preference import PreferenceModel, RatingMethod
from whyrec.cause.segment import segment_effect
from whyrec.cause.table import MissingRule, attributes, read_units
from whyrec.data.columns import known, level_of, numeric, text_of
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray
from whyrec.metrics.effect import effect_calibration, qini, uplift_band
from whyrec.progress import say
from whyrec.studies.arm_contrasts import MOST_ARMS, arm_contrasts
from whyrec.studies.table_effect import checked_columns, fit_units

_MOST_ARMS_SHOWN, _FEWEST_IN_SEGMENT = 20, 50


def table_uplift(
    frame: pl.DataFrame, treatment: str, outcome: str, *, adjust: Sequence[str] | None = None, graph: GraphSource | None = None,
    segment: str | None = None, reference: Any = None, positive: Any = None, cluster: str | None = None,
    propensity: str | None = None, missing: MissingRule = "weights", measured_after: Sequence[str] = (), random_state: int = 0,
) -> tuple[dict[str, Any], pl.DataFrame]:  # fmt: skip
    """What treating changes for each row: the answer, and the table of rows with effect, low, high and rank.

    Rows that miss a value of a confounder have no effect of their own (null), unless `missing` is "indicator". BadInput where a
    column of the table has the name of one that is added.

    The answer has the average, deciles of predicted against doubly robust effects, the Qini coefficient, the uplift curve, the
    balance before and after, features that give the treatment away, segments with effect and bounds. All judgements are of
    rankings that were learnt on other rows (`PairEffects.judged`).
    """
    columns = checked_columns(frame, treatment, outcome, adjust, graph, cluster, propensity, segment, measured_after=measured_after)
    free_names(frame, ("effect", "effect_low", "effect_high", "effect_rank"))
    units = read_units(
        frame, treatment, outcome, columns, reference=reference, positive=positive, cluster=cluster, propensity=propensity,
        missing=missing, measured_after=measured_after,
    )  # fmt: skip
    features = units.features
    if not np.ptp(features, axis=0).any():
        raise BadInput(
            "no column tells the rows apart, so that nothing can be said of whom the treatment changes; name columns that were known before it with "
            "adjust (--adjust), or ask for the average effect (whyrec effect)"
        )
    say("DoCalib: average effect and scores")
    model = fit_units(units, random_state)
    say("Effects of rows")
    effects = PairEffects(random_state=random_state, outcomes=True).fit(model)
    effect, low, high = effects.predict(features)
    judged = effects.judged(model)
    gain, groups = model.effect_scores_[judged.rows], None if model.clusters_ is None else model.clusters_[judged.rows]
    curve = uplift_band(judged.rank, gain, clusters=groups)
    calibration = effect_calibration(judged.effect, gain, folds=judged.fold, clusters=groups)
    content: dict[str, Any] = {
        "effect": model.effect_.to_dict(),
        "naive": model.naive_.to_dict(),
        "adjustment": columns,
        "positivity": model.positivity_.to_dict(),
        "qini": qini(judged.rank, gain, clusters=groups).to_dict(),
        "curve": {name: getattr(curve, name).tolist() for name in ("share", "gain", "low", "high", "random")},
        "calibration": {
            "predicted": calibration.predicted.tolist(), "observed": calibration.observed.tolist(),
            "half_width": calibration.half_width.tolist(), "error": calibration.error, "slope": list(calibration.slope),
        },
        "pairs": {"bend": effects.bend_, "warnings": list(effects.warnings)},
        "learners": dict(zip(effects.learners_, effects.mix_.tolist(), strict=True)),
        "balance": balance(model).to_dicts(),
        "given_away": list(given_away(model)),
        **units.to_dict(),
    }  # fmt: skip
    if segment is not None:
        content["segments"], small = _segments(model, frame[segment].gather(units.kept))
        if small:
            content["notes"].append(f"{segment}: not told of segments of fewer than {_FEWEST_IN_SEGMENT} rows ({', '.join(small)})")
    order = np.empty(len(features), dtype=np.int64)
    order[np.argsort(-effects.rank_score(features), kind="stable")] = np.arange(1, len(features) + 1)
    found = pl.DataFrame(
        {"_row": units.kept, "effect": effect, "effect_low": low, "effect_high": high, "effect_rank": order}
    )
    every = pl.DataFrame({"_row": np.arange(frame.height)}).join(found, on="_row", how="left", maintain_order="left")
    return content, frame.hstack(every.drop("_row"))


def table_arms(
    frame: pl.DataFrame, treatment: str, outcome: str, *, adjust: Sequence[str] | None = None, graph: GraphSource | None = None,
    reference: Any = None, positive: Any = None, cluster: str | None = None, weight: str | None = None,
    propensity: str | None = None, missing: MissingRule = "weights", measured_after: Sequence[str] = (),
    over: Over = "population", random_state: int = 0,
) -> tuple[dict[str, Any], pl.DataFrame]:  # fmt: skip
    """What each of many arms would yield for everybody: the answer, and one row an arm (see `ArmEffects.to_frame`).

    Up to 12 arms are also held against a reference, see `arm_contrasts`; `contrasts` says why where they are not.
    over: whose mean, see `ArmEffects`.
    """
    if over not in ESTIMANDS:
        raise BadInput(f"over={over!r}: choose {' or '.join(ESTIMANDS)}")
    columns = checked_columns(frame, treatment, outcome, adjust, graph, cluster, propensity, weight, measured_after=measured_after)
    units = read_units(
        frame, treatment, outcome, columns, kind="arms", positive=positive, cluster=cluster, weight=weight,
        propensity=propensity, missing=missing, measured_after=measured_after,
    )  # fmt: skip
    if reference is not None:
        level_of(known(frame[treatment]).drop_nulls().unique().sort().to_list(), reference, treatment)
    if np.ptp(units.outcome) == 0:
        raise BadInput(f"column {outcome!r}: every row has {units.outcome[0]:g}; a constant outcome has no effect to estimate")
    model = ArmEffects(over=over, random_state=random_state).fit(
        units.features, units.treatment, units.outcome, clusters=units.clusters, propensity=units.propensity,
        weights=units.weights,
    )  # fmt: skip
    arms = model.to_frame().sort("shrunk", descending=True)
    found = model.discoveries(0.1)
    content = {
        "estimand": ESTIMANDS[over],
        "arms": arms.head(_MOST_ARMS_SHOWN).to_dicts(),
        "logged_mean": model.logged_mean_,
        "better_than_logged": found.to_dicts(),
        "false_discovery_rate": 0.1,
        "adjustment": columns,
        "diagnostics": {**model.diagnostics_.to_dict(), "warnings": list(units.warnings)},
        "spread_between_arms": model.prior_sd_,
        **units.to_dict(),
    }
    if len(model.labels_) <= MOST_ARMS:
        content["contrasts"] = arm_contrasts(
            frame, treatment, outcome, columns, reference=reference, positive=positive, cluster=cluster, weight=weight,
            propensity=propensity, missing=missing, measured_after=measured_after, random_state=random_state,
        )  # fmt: skip
    elif reference is not None:
        raise BadInput(
            f"column {treatment!r} has {len(model.labels_):,} arms, and at most {MOST_ARMS} are held against a reference; keep the rows "
            "of those in question, or leave the reference out"
        )
    else:
        content["contrasts"] = None
    return content, arms


def table_dose(
    frame: pl.DataFrame, treatment: str, outcome: str, *, adjust: Sequence[str] | None = None, graph: GraphSource | None = None,
    cluster: str | None = None, weight: str | None = None, positive: Any = None, missing: MissingRule = "weights",
    measured_after: Sequence[str] = (), random_state: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The dose-response curve of a continuous treatment at its deciles, and the average change per unit."""
    columns = checked_columns(frame, treatment, outcome, adjust, graph, cluster, weight, measured_after=measured_after)
    units = read_units(
        frame, treatment, outcome, columns, kind="dose", positive=positive, cluster=cluster, weight=weight, missing=missing,
        measured_after=measured_after,
    )  # fmt: skip
    model = DoseResponse(random_state=random_state).fit(
        units.features, units.treatment, units.outcome, clusters=units.clusters, weights=units.weights
    )
    return {**model.to_dict(told=units.told), "adjustment": columns, **units.to_dict()}


def free_names(frame: pl.DataFrame, names: Sequence[str]) -> None:
    """BadInput where a column that an answer adds would replace one of the table."""
    taken = [name for name in names if name in frame.columns]
    if taken:
        raise BadInput(
            f"the table has a column {taken[0]!r}, and the answer writes one of that name beside it; rename the table's column"
        )


def table_preference(
    frame: pl.DataFrame, user: str, item: str, outcome: str, *, users: pl.DataFrame | None = None,
    items: pl.DataFrame | None = None, method: RatingMethod = "DoCalib", k: int = 10, hidden: float = 0.3, random_state: int = 0,
) -> tuple[dict[str, Any], pl.DataFrame]:  # fmt: skip
    """What every user would think of every item: the answer, and the k best unrated items of each user.

    users, items: tables with the id in the column of the same name; all other columns are attributes (text becomes indicators).
    hidden: how far reasons to rate that nothing shows move the mean (see `PreferenceModel`); 0 where a recommender chose the pairs.
    The answer has the mean over all pairs beside the mean of the ratings, overlap and calibration of who rates what.
    """
    if len({user, item, outcome}) < 3:
        raise BadInput(f"user, item and outcome are {user!r}, {item!r} and {outcome!r}; each is a column of its own")
    for name in (user, item, outcome):
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the columns are {', '.join(frame.columns)}")
        absent = known(frame[name]).is_null()
        if absent.any():
            row = int(absent.arg_true()[0]) + 1
            raise BadInput(f"column {name!r}, row {row}: no value; fill or drop the row")
    for name in (user, item):
        if name in ("predicted", "rank", "_code"):
            raise BadInput(f"column {name!r}: the answer writes a column of that name; rename it")
    y = numeric(frame, outcome)
    tables = {}
    for name, table in ((user, users), (item, items)):
        ids = frame[name].unique().sort() if table is None else _ids(table, name, frame[name])
        tables[name] = (ids, None if table is None else _attributes(table, name))
    codes = {
        name: frame.join(
            pl.DataFrame({name: ids, "_code": np.arange(len(ids))}), on=name, how="left", maintain_order="left"
        )["_code"].to_numpy()
        for name, (ids, _) in tables.items()
    }
    (user_ids, user_features), (item_ids, item_features) = tables[user], tables[item]
    described = user_features is not None or item_features is not None
    say("Who rates what, and how")
    model = PreferenceModel(method, hidden=hidden, random_state=random_state).fit(
        codes[user],
        codes[item],
        y,
        n_users=len(user_ids),
        n_items=len(item_ids),
        attributes=Attributes(user_features, item_features) if described else None,
    )
    naive = Estimate.from_influence(
        float(y.mean()), y - y.mean(), estimand="mean of the ratings that were given", method="naive",
        assumptions=("whether a pair is rated has nothing to do with the rating",),
        clusters=np.column_stack([codes[user], codes[item]]),
    )  # fmt: skip
    content: dict[str, Any] = {
        "mean": model.mean_.to_dict(),
        "naive": naive.to_dict(),
        "method": method,
        "users": len(user_ids),
        "items": len(item_ids),
        "ratings": frame.height,
    }
    if method != "naive":
        before, after = model.exposure_.reliability_
        content["exposure"] = {
            "effective_ratings": model.exposure_.effective_, "floor": model.exposure_.floor_,
            "calibration_error": {"before": before.ece, "after": after.ece},
        }  # fmt: skip
    return content, _best_unrated(model, codes[user], codes[item], user_ids, item_ids, k, user, item)


def _best_unrated(
    model: PreferenceModel,
    user: Any,
    item: Any,
    user_ids: pl.Series,
    item_ids: pl.Series,
    k: int,
    user_name: str,
    item_name: str,
) -> pl.DataFrame:
    """Rows user, item, predicted, rank: the k best of each user, users in blocks so that scores stay small."""
    parts = []
    n_items = len(item_ids)
    step = max(1, 2_000_000 // n_items)
    for start in range(0, len(user_ids), step):
        block = np.arange(start, min(start + step, len(user_ids)))
        pairs = np.repeat(block, n_items), np.tile(np.arange(n_items), len(block))
        scores = model.rank_score(*pairs).reshape(len(block), n_items)
        predicted = model.predict(*pairs).reshape(len(block), n_items)
        mine = (user >= start) & (user < start + len(block))
        predicted[user[mine] - start, item[mine]] = np.nan
        scores[user[mine] - start, item[mine]] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        values = np.take_along_axis(predicted, best, axis=1)
        frame = pl.DataFrame(
            {
                user_name: user_ids.gather(np.repeat(block, best.shape[1])),
                item_name: item_ids.gather(best.ravel()),
                "predicted": values.ravel(),
                "rank": np.tile(np.arange(1, best.shape[1] + 1), len(block)),
            }
        )
        parts.append(frame.filter(pl.col("predicted").is_finite()))
    return pl.concat(parts)


def _ids(table: pl.DataFrame, name: str, used: pl.Series) -> pl.Series:
    if name not in table.columns:
        raise BadInput(f"the table of {name!r} has no column {name!r}; its columns are {', '.join(table.columns)}")
    ids = table[name]
    if ids.n_unique() < len(ids):
        twice = ids.filter(ids.is_duplicated())[0]
        raise BadInput(f"column {name!r}: {twice!r} stands twice in its table; keep one row an id")
    strange = used.filter(~used.is_in(ids.implode()))
    if len(strange):
        raise BadInput(f"column {name!r}: {strange[0]!r} is in the log and not in the table of attributes; add its row")
    return ids


def _attributes(table: pl.DataFrame, name: str) -> FloatArray | None:
    columns = [column for column in table.columns if column != name]
    if not columns:
        return None
    matrix = attributes(table, columns)
    if not matrix.shape[1]:
        return None
    spread = matrix.std(axis=0)
    scaled: FloatArray = (matrix - matrix.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    return scaled


def _segments(model: DoCalib, segment: pl.Series) -> tuple[list[dict[str, Any]], list[str]]:
    """Effect of each segment with its interval, and, for an outcome of 0 and 1, the bounds of `cause.bounds`; and the segments that are too small."""
    labels = text_of(known(segment)).fill_null("(missing)").to_numpy()
    rows, small = [], []
    for label in np.unique(labels):
        mine = labels == label
        if mine.sum() < _FEWEST_IN_SEGMENT:
            small.append(str(label))
            continue
        found = segment_effect(model, mine, f"effect in {label}")
        rows.append({"segment": str(label), "rows": int(mine.sum()), **found.to_dict()})
    if model.log_.binary and rows:
        bounds = {str(row["segment"]): row for row in by_segment(model, labels).to_dicts()}
        rows = [{**row, "bounds": bounds.get(row["segment"])} for row in rows]
    return rows, small
