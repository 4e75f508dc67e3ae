"""Debiased learning as a switch: what stands between the scores of a model and its loss, and between them and the list.

A log shows what users chose among what they saw, and they saw the popular more often. `Debias` holds three published
remedies behind one contract that a model with a loss calls: `weights` of the events, `adjusted` scores for its loss,
`extra` loss of its own, and `ranked` scores for its lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput
from whyrec.represent.history import in_history_order

Debiasing = Literal["none", "ips", "pd", "pda", "macr"]
FloatTable = NDArray[np.float32]
# strength where none is given: exponent of popularity (ips, pd, pda), the reference situation's score c (macr).
_STRENGTH = {"none": 0.0, "ips": 0.5, "pd": 0.2, "pda": 0.2, "macr": 4.0}
_STAGES = 10
# Weights are cut where a propensity falls below this share of their median.
_CLIP = 0.1
_MACR_WEIGHT = 1e-1


@dataclass(frozen=True)
class EventStages:
    """Popularity as it was when each event of `dataset.histories` happened.

    stage: of each event, (n,). popularity: (stages, n_items), the share of the stage's events, over the largest share,
    at least one event's worth, so in (0, 1]. forecast: (n_items,), that of the stage after the last.
    """

    stage: NDArray[np.int64]
    popularity: FloatTable
    forecast: FloatTable


def event_stages(dataset: Dataset, stages: int = _STAGES) -> EventStages:
    """Popularity in `stages` spans of time with equally many events (Zhang et al., 2021, section 3.1); one without times.

    The forecast follows the last trend, m_T + (m_T - m_(T-1)) / 2 (their section 3.3 with alpha = 1/2), floored as above.
    """
    days, items = dataset.histories.days, dataset.histories.items
    if len(items) == 0:
        flat = np.ones((1, dataset.n_items), dtype=np.float32)
        return EventStages(np.zeros(0, dtype=np.int64), flat, flat[0])
    edges = np.unique(np.quantile(days, np.linspace(0, 1, stages + 1)[1:-1]))
    stage = np.searchsorted(edges, days, side="right")
    cells = stage * dataset.n_items + items
    counts = np.bincount(cells, minlength=(len(edges) + 1) * dataset.n_items).reshape(-1, dataset.n_items)
    counts = counts[counts.sum(axis=1) > 0] if (counts.sum(axis=1) == 0).any() else counts
    stage = np.unique(stage, return_inverse=True)[1]
    floored = np.maximum(counts, 1).astype(np.float64)
    share = floored / floored.max(axis=1, keepdims=True)
    last = share[-1]
    trend = last + (last - share[-2]) / 2 if len(share) > 1 else last
    forecast = np.clip(trend, share[-1].min(), 1)
    return EventStages(stage.astype(np.int64), share.astype(np.float32), forecast.astype(np.float32))


def item_propensities(counts: NDArray[np.number], strength: float = 0.5) -> FloatTable:
    """Chance that an item was seen, up to a constant: (n_i / max n)^strength, (n_items,), in (0, 1] (Saito et al., 2020, section 5.1).

    An item without events counts as one of half an event.
    """
    level = np.maximum(np.asarray(counts, dtype=np.float64), 0.5)
    return np.asarray((level / level.max(initial=0.5)) ** strength, dtype=np.float32)


def event_weights(dataset: Dataset, strength: float = 0.5) -> FloatTable:
    """Inverse-propensity weights of the events of `dataset.histories`, (n,), with mean 1 (Schnabel et al., 2016; Saito et al., 2020).

    Propensities are the log's own where it has a `propensity` column, made monotone and calibrated against the treatment
    where the log also has one of 0 and 1 (isotonic regression of treatment on propensity), and else a power of the item's
    popularity (`item_propensities`). A propensity below a tenth of the median is raised to it, so that no event weighs
    more than ten median ones before weights are divided by their mean (self-normalisation).
    """
    histories = dataset.histories
    if dataset.has("propensity"):
        logged = _calibrated(dataset, _logged(dataset))
        chance = in_history_order(dataset, logged)
    else:
        counts = np.bincount(histories.items, minlength=dataset.n_items)
        chance = item_propensities(counts, strength)[histories.items].astype(np.float64)
    if len(chance) == 0:
        return np.zeros(0, dtype=np.float32)
    weight = 1 / np.maximum(chance, _CLIP * float(np.median(chance)))
    return np.asarray(weight / weight.mean(), dtype=np.float32)


def _logged(dataset: Dataset) -> NDArray[np.float64]:
    """The propensity column; BadInput names the first row that is none."""
    values = dataset.log["propensity"].cast(float).fill_null(float("nan")).to_numpy().astype(np.float64)
    wrong = ~((values > 0) & (values <= 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadInput(
            f"{dataset.name}: propensity {values[row]} in row {row + 1} is not in (0, 1]; "
            "mend the column, or leave it out of the schema to weigh by popularity"
        )
    return values


def _calibrated(dataset: Dataset, chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Isotonic regression of a 0/1 treatment on its stated propensity; unchanged where the log cannot tell."""
    if not dataset.has("treatment"):
        return chance
    given = dataset.log["treatment"].cast(float, strict=False).fill_null(float("nan")).to_numpy()
    if not (np.isin(given, (0, 1)).all() and 0 < given.mean() < 1):
        return chance
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=float(chance.min()), y_max=1.0, out_of_bounds="clip")
    return np.asarray(model.fit_transform(chance, given), dtype=np.float64)


class Debias(nn.Module):
    """One remedy, as a part of a model. With `kind="none"` it changes nothing.

    `ips`: each event's loss is weighted by one over its propensity, see `event_weights`.

    `pd`, `pda` (Zhang et al., "Causal intervention for leveraging popularity bias", SIGIR 2021): popularity m is a
    confounder of exposure and choice; the loss sees ELU'(s_ui) m_i^strength (their eq. 6), ELU'(s) = ELU(s) + 1, with m
    the item's popularity when the event happened. `pd` ranks by P(C | do(U, I)), that is by s_ui alone (eq. 9); `pda`
    by ELU'(s_ui) times the forecast popularity to the same power (eq. 11).

    `macr` (Wei et al., "Model-agnostic counterfactual reasoning for eliminating popularity bias", KDD 2021): the loss sees
    s_ui sigma(y_i) sigma(y_u) (their eq. 3), with y_i and y_u linear in the item's and the user's state, and adds the
    cross entropies of y_i and y_u alone (eq. 5; weights 0.1). Lists are ranked by (s_ui - strength) sigma(y_i) sigma(y_u)
    (eq. 8): the total effect less the natural direct effect in a situation whose matching score is `strength`.
    """

    popularity: Tensor
    forecast: Tensor

    def __init__(
        self, kind: Debiasing = "none", strength: float | None = None, stages: EventStages | None = None, width: int = 1
    ) -> None:
        super().__init__()
        self.kind, self.strength = kind, checked(kind, strength)
        if kind in ("pd", "pda"):
            if stages is None:
                raise BadInput(f"debias {kind!r} needs the popularity of items over time; pass stages")
            self.register_buffer("popularity", torch.from_numpy(stages.popularity) ** self.strength)
            self.register_buffer("forecast", torch.from_numpy(stages.forecast) ** self.strength)
        if kind == "macr":
            self.item_alone, self.user_alone = nn.Linear(width, 1), nn.Linear(width, 1)

    def item_logit(self, states: Tensor) -> Tensor | None:
        """MACR's y_i of item states (..., d), shape (...); None for the other kinds."""
        return self.item_alone(states)[..., 0] if self.kind == "macr" else None

    def user_logit(self, states: Tensor) -> Tensor | None:
        """MACR's y_u of user states (n, d), shape (n, 1); None for the other kinds."""
        return self.user_alone(states) if self.kind == "macr" else None

    def adjusted(
        self, scores: Tensor, items: Tensor, stage: Tensor, user: Tensor | None = None, item: Tensor | None = None
    ) -> Tensor:
        """What the loss sees. scores, items: (n, c) of n events and c candidates; stage: (n,), see `EventStages`.

        user: `user_logit` of the events' users, (n, 1); item: `item_logit` of the candidates, (n, c).
        """
        if self.kind in ("pd", "pda"):
            return (functional.elu(scores) + 1) * self.popularity[stage[:, None], items]
        if user is not None and item is not None:
            return scores * torch.sigmoid(item) * torch.sigmoid(user)
        return scores

    def extra(self, user: Tensor | None, item: Tensor | None) -> Tensor | float:
        """MACR's own losses, the first candidate of each event being what was chosen; 0 for the other kinds."""
        if user is None or item is None:
            return 0.0
        chosen = torch.zeros_like(item)
        chosen[:, 0] = 1
        both = functional.binary_cross_entropy_with_logits(item, chosen)
        return _MACR_WEIGHT * (both + functional.binary_cross_entropy_with_logits(user.expand_as(item), chosen))

    @torch.no_grad()
    def item_factors(self, states: Tensor) -> tuple[FloatTable, FloatTable] | None:
        """Scale and level of each item, (n_items,) both, where lists are ranked by scale s_ui + level; None where by s_ui."""
        if self.kind != "macr":
            return None
        scale = torch.sigmoid(self.item_alone(states)[:, 0])
        return scale.cpu().numpy(), (-self.strength * scale).cpu().numpy()


def checked(kind: str, strength: float | None) -> float:
    """The strength, or the default of its kind."""
    if kind not in get_args(Debiasing):
        raise BadInput(f"debias is one of {', '.join(get_args(Debiasing))}, not {kind!r}")
    if strength is None:
        return _STRENGTH[kind]
    if not np.isfinite(strength) or (kind != "macr" and strength < 0):
        raise BadInput(f"debias_strength must be a number of 0 or more, got {strength}")
    return float(strength)


def with_forecast(scores: FloatTable, forecast: FloatTable) -> FloatTable:
    """PDA's ranking score, ELU'(s) m^strength; scores: (n, n_items), forecast: m^strength of each item."""
    lifted = np.where(scores > 0, scores + 1, np.exp(np.minimum(scores, 0)))
    return np.asarray(lifted * forecast, dtype=np.float32)
