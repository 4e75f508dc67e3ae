"""Are the arms comparable after weighting, and does some feature give the treatment away?"""

from __future__ import annotations

import numpy as np
import polars as pl

from whyrec.cause.docalib import GIVEN_AWAY, DoCalib
from whyrec.estimate import FloatArray
from whyrec.metrics.ratings import pooled_auc


def balance(model: DoCalib) -> pl.DataFrame:
    """Standardised differences of every feature between the arms, before and after inverse weighting (Austin 2009).

    (mean treated - mean control) / sqrt((var treated + var control) / 2), with the unweighted variances in both. Columns: feature,
    before, after, auc (how well the feature alone tells the arms apart, 0.5 to 1), sorted by |before|. |after| above 0.1
    is usually called imbalance.
    """
    x, a, w = model.features_, model.treatment_, model.weights_
    inverse = np.where(a == 1, 1 / model.propensity_, 1 / (1 - model.propensity_)) * w
    spread = np.sqrt((_moments(x, w * (a == 1))[1] + _moments(x, w * (a == 0))[1]) / 2)
    spread = np.where(spread > 1e-12, spread, 1.0)
    before = (_moments(x, w * (a == 1))[0] - _moments(x, w * (a == 0))[0]) / spread
    after = (_moments(x, inverse * (a == 1))[0] - _moments(x, inverse * (a == 0))[0]) / spread
    auc = np.array([pooled_auc(a.astype(np.float64), column) for column in x.T])
    frame = pl.DataFrame(
        {"feature": list(model.feature_names_), "before": before, "after": after, "auc": np.maximum(auc, 1 - auc)}
    )
    return frame.sort(pl.col("before").abs(), descending=True)


def given_away(model: DoCalib) -> tuple[str, ...]:
    """Features that all but state the treatment (AUC of 0.98 or more alone): a text that names the discount, an id of the campaign.

    Adjusting for such a feature leaves nothing to compare; it is part of the treatment, not a confounder.
    """
    found = balance(model)
    return tuple(found.filter(pl.col("auc") >= GIVEN_AWAY)["feature"].to_list())


def _moments(x: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    share = weight / weight.sum()
    mean = share @ x
    return mean, share @ (x - mean) ** 2
