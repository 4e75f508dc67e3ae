"""All that speaks for one recommendation, and what would change it: drivers with intervals, paths, counterfactuals, likeness.

- Drivers: each group of features' Shapley share of the pair's *effect* (not of a score), with an interval.
- Paths: how the treatment reaches the outcome in the causal graph, and what was adjusted for.
- What would change it, by preference: the fewest of the user's own choices without which the item leaves the top k (the
  counterfactual explanation of PRINCE, Ghazimatin et al., WSDM 2020, found greedily). By effect: the smallest change of one
  readable feature of the pair that takes it out of the top k (Wachter, Mittelstadt and Russell 2018, one feature at a time).
- Likeness: the users most like this one who took the item.
- How strong an unmeasured cause would have to be, for the item's place and for the sign of its effect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.graph import CausalGraph
from whyrec.decide.causal_recommender import CausalRecommender, Why
from whyrec.decide.effect_shares import Driver, effect_shares
from whyrec.decide.log_effects import LogEffects
from whyrec.decide.standing import standing
from whyrec.estimate import FloatArray, jsonable
from whyrec.explain.reasons import group_name, sentences
from whyrec.live.contract import Pasts

Lang = Literal["en", "zh"]

_MOST_REMOVED = 5
_STEPS = 60
_RIVALS = 200
# Features of a pair that a person can read and somebody could change, with how they are told: exp(x) - 1 of a count, or a share.
_READABLE = {
    "item_purchases": ("count", "times it was chosen", "被选择的次数"),
    "pair_count": ("count", "times the user chose it", "该用户选择它的次数"),
    "category_count": ("count", "times the user chose its category", "该用户选择同类的次数"),
    "item_treated_share": ("share", "share of its occasions that were treated", "它受到干预的比例"),
}


@dataclass(frozen=True)
class Change:
    """One readable feature: what it is, and the nearest value at which the item leaves the top k by effect."""

    feature: str
    now: float
    then: float
    rank: int


@dataclass(frozen=True)
class Explanation:
    """See the module. without: the user's own choices (item, text) that hold the item in the top k, None where none up to five
    do or it is not there; rank_without: its place without them. gamma: up to which it stays in the top k by effect (None: not
    there); gamma_sign: at which the bounds of its effect first hold zero (None without effects, infinite beyond the largest). own_choices:
    whether the ranker can tell what the user's list would be without some of them. neighbours: likeness of the users most like this one who
    chose the item, and how often each did; who they are is nobody's to know.
    """

    why: Why
    k: int
    rank_by_effect: int | None
    drivers: tuple[Driver, ...]
    paths: tuple[str, ...]
    adjusted: tuple[str, ...]
    without: tuple[tuple[Any, str], ...] | None
    rank_without: int | None
    change: Change | None
    neighbours: tuple[tuple[float, int], ...]
    gamma: float | None
    gamma_sign: float | None
    lang: Lang = "en"
    own_choices: bool = True

    def sentences(self) -> tuple[str, ...]:
        """What `Why` says, what would change it, and what all of it rests on."""
        told = sentences(replace(self.why, drivers={}), self.lang)
        if self.why.effect is None:
            return (*told, *_sentences(self))
        return (*told[:-1], *_sentences(self), told[-1])

    def to_dict(self) -> dict[str, Any]:
        """The fields of `Why`, JSON-ready, and k, rank_by_effect, driver_intervals, paths, adjusted, without, change, neighbours, gamma, sentences."""
        result: dict[str, Any] = jsonable(
            {
                **self.why.to_dict(),
                "k": self.k,
                "rank_by_effect": self.rank_by_effect,
                "driver_intervals": [vars(driver) for driver in self.drivers],
                "paths": list(self.paths),
                "adjusted": list(self.adjusted),
                "without": None
                if self.without is None
                else {"items": [{"item": i, "text": t} for i, t in self.without], "rank": self.rank_without},
                "change": None if self.change is None else vars(self.change),
                "neighbours": [{"neighbour": n, "cosine": c, "times": times} for n, (c, times) in enumerate(self.neighbours, 1)],
                "gamma": self.gamma,
                "gamma_sign": self.gamma_sign,
                "sentences": list(self.sentences()),
            }
        )
        return result


def explain(model: CausalRecommender, user: Any, item: Any, *, k: int = 10, lang: Lang = "en") -> Explanation:
    """Explain why an item is (or is not) among the k recommended to a user; UnknownId where either is not in the log."""
    why = model.why(user, item)
    u, i = int(model.dataset_.user_codes([user])[0]), int(model.dataset_.item_codes([item])[0])
    without, rank_without = _held_by(model, u, i, k)
    drivers: tuple[Driver, ...] = ()
    change, rank_by_effect, gamma, gamma_sign = None, None, None, None
    paths, adjusted = _paths(model.effects_content())
    if model.effects_ is not None:
        drivers = drivers_of(model.effects_, u, i)
        rank_by_effect, change = _nearest_change(model, u, i, k)
        gamma, gamma_sign = _hidden(model, user, item, u, i, k)
    return Explanation(
        why, k, rank_by_effect, drivers, paths, adjusted, without, rank_without, change, _like(model, u, i), gamma, gamma_sign, lang,
        model.live.can("live"),
    )  # fmt: skip


def drivers_of(effects: LogEffects, user: int, item: int) -> tuple[Driver, ...]:
    """Shapley shares of a pair's effect with intervals, the largest first; see `effect_shares`."""
    pair = effects.modifiers(np.array([user]), np.array([item]))[0]
    _, found = effect_shares(effects.pairs_, effects.modifier_groups_, effects.mean_modifiers_, pair)
    return tuple(sorted(found, key=lambda driver: -abs(driver.share)))


def _paths(content: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Directed paths from treatment to outcome in the log's graph, and the measured causes that were adjusted for."""
    if not content or not content.get("graph"):
        return (), ()
    graph = CausalGraph.from_text(content["graph"]["text"])
    latent = set(content["graph"]["latent"])
    children: dict[str, list[str]] = {}
    for a, b in sorted(graph.directed):
        children.setdefault(a, []).append(b)
    paths: list[str] = []
    open_ends: list[tuple[str, ...]] = [("treatment",)]
    while open_ends:
        path = open_ends.pop(0)
        if path[-1] == "outcome":
            paths.append(" → ".join(path))
        else:
            open_ends += [(*path, child) for child in children.get(path[-1], ()) if child not in path]
    causes = {a for a, b in graph.directed if b in ("treatment", "outcome")} - latent - {"treatment"}
    return tuple(paths), tuple(sorted(causes))


def _held_by(
    model: CausalRecommender, user: int, item: int, k: int
) -> tuple[tuple[tuple[Any, str], ...] | None, int | None]:
    """The fewest of the user's own choices, found greedily, without which the item is not among the k preferred.

    None of a ranker that cannot tell what a user's list would be without them.
    """
    if not model.live.can("live"):
        return None, None
    dataset, live = model.dataset_, model.live
    past, now = Pasts(dataset).of(user), float(dataset.histories.days.max(initial=0))
    items = past.items

    def rank(kept: NDArray[np.bool_]) -> tuple[int, float]:
        scores, offset = live.scores(live.state(past.where(kept), now))
        scores += np.float32(offset)
        if not model.repeats_:
            scores[np.setdiff1d(items[kept], [item])] = -np.inf
        return int((scores > scores[item]).sum()) + 1, float(scores[item])

    everything = np.ones(len(items), dtype=bool)
    if len(items) == 0 or rank(everything)[0] > k:
        return None, None
    gone: list[int] = []
    kept = everything
    for _ in range(_MOST_REMOVED):
        choices = [code for code in np.unique(items[-live.length :]) if code not in gone]
        if not choices:
            break
        tried = {int(code): rank(kept & (items != code)) for code in choices}
        best = max(tried, key=lambda code: (tried[code][0], -tried[code][1]))
        gone.append(best)
        kept = kept & (items != best)
        if tried[best][0] > k:
            named = tuple((dataset.items["item"][code], dataset.items["text"][code]) for code in gone)
            return named, tried[best][0]
    return None, None


def _nearest_change(model: CausalRecommender, user: int, item: int, k: int) -> tuple[int | None, Change | None]:
    """The item's rank by effect among the preferred, and the nearest change of one feature that takes it out of the top k."""
    effects = model.effects_
    if effects is None:
        return None, None
    depth = min(_RIVALS, model.dataset_.n_items)
    rivals, _ = model.recommender_.recommend(np.array([user]), depth, exclude_seen=not model.repeats_)
    others = rivals[0][(rivals[0] >= 0) & (rivals[0] != item)]
    scores = effects.rank_score(np.full(len(others), user), others)
    pair = effects.modifiers(np.array([user]), np.array([item]))
    own = float(effects.pairs_.rank_score(pair)[0])
    rank = int((scores > own).sum()) + 1
    if rank > k or len(others) < k:
        return rank, None
    nearest: tuple[float, Change] | None = None
    everybody = effects.modifiers(np.full(len(others), user), others)
    for name in (name for name in effects.modifier_names_ if name in _READABLE):
        place = effects.modifier_names_.index(name)
        spread = max(float(everybody[:, place].std()), 1e-9)
        for end in (float(everybody[:, place].min()), float(everybody[:, place].max())):
            grid = _towards(float(pair[0, place]), end, _READABLE[name][0] == "count")
            if len(grid) == 0:
                continue
            moved = np.repeat(pair, len(grid), axis=0)
            moved[:, place] = grid
            ranks = (scores[None, :] > effects.pairs_.rank_score(moved)[:, None]).sum(axis=1) + 1
            out = np.flatnonzero(ranks > k)
            if len(out) == 0:
                continue
            step = float(grid[out[0]])
            distance = abs(step - pair[0, place]) / spread
            if nearest is None or distance < nearest[0]:
                read = np.expm1 if _READABLE[name][0] == "count" else float
                change = Change(name, float(read(pair[0, place])), float(read(step)), int(ranks[out[0]]))
                nearest = (distance, change)
    return rank, None if nearest is None else nearest[1]


def _towards(now: float, end: float, count: bool) -> FloatArray:
    """Values from `now` to `end`, nearest first; whole counts where it is the logarithm of one plus a count."""
    grid = np.linspace(now, end, _STEPS)[1:]
    if count:
        whole = np.rint(np.expm1(grid))
        whole = whole[np.sort(np.unique(whole, return_index=True)[1])]
        grid = np.log1p(whole[whole != np.rint(np.expm1(now))])
    result: FloatArray = grid
    return result


def _hidden(
    model: CausalRecommender, user: Any, item: Any, u: int, i: int, k: int
) -> tuple[float | None, float | None]:
    """Gamma up to which the item stays in the top k by effect, and at which the bounds of its effect hold zero."""
    effects = model.effects_
    bounds = getattr(effects, "bounds_", None)
    if effects is None or bounds is None:
        return None, None
    frame = standing(model, [user], k)
    place = frame.filter(frame["item"] == item)
    pair = effects.modifiers(np.array([u]), np.array([i]))
    value = effects.pairs_.predict(pair)[0]
    low, high = bounds.predict(pair, value)
    holds = (low[0] <= 0) & (high[0] >= 0)
    sign = float(bounds.gamma_[int(holds.argmax())]) if holds.any() else math.inf
    return (float(place["gamma"][0]) if place.height else None), sign


def _like(model: CausalRecommender, user: int, item: int) -> tuple[tuple[float, int], ...]:
    """The three users most like this one, by their states, who took the item: cosine, how often."""
    dataset = model.dataset_
    column = dataset.matrix.tocsc()[:, [item]]
    other = column.indices != user
    takers, times = column.indices[other], column.data[other]
    if len(takers) == 0:
        return ()
    cosine = model.recommender_.user_likeness(user, takers)
    order = np.argsort(-cosine, kind="stable")[:3]
    return tuple((float(cosine[j]), int(times[j])) for j in order)


_WORDS = {
    "en": {
        "path": "In the graph: {paths}; adjusted for {adjusted}.",
        "driver": "{group} accounts for {share:+.4f} of it, interval {low:+.4f} to {high:+.4f}.",
        "guide": "These intervals suppose an effect about linear in the features; where it is curved they hold less often than they say.",
        "drivers_none": "No single group of features can be told from zero in this pair's effect.",
        "without": "It would leave the top {k} (to place {rank:,}) without the user's choices of: {items}.",
        "held": "No {most} of the user's own choices hold it in the top {k} by preference.",
        "change": "By effect it is number {place}; it would drop out of the top {k} if the {what} were {then} instead of {now}.",
        "neighbours": "Users most like this one chose it, too (likeness and times): {said}.",
        "gamma": "By effect it stays in the top {k} up to an unmeasured cause of Gamma = {gamma}.",
        "gamma_none": "Its place in the top {k} by effect holds only if nothing is hidden.",
        "sign": "The sign of its effect is open once an unmeasured cause changes the odds of treatment {gamma} times.",
        "sign_far": "The sign of its effect stands however an unmeasured cause changes the odds of treatment, up to {gamma} times.",
    },
    "zh": {
        "path": "在因果图中：{paths}；已调整 {adjusted}。",
        "driver": "其中“{group}”占 {share:+.4f}，区间 {low:+.4f} 至 {high:+.4f}。",
        "guide": "这些区间假定效应与特征大致呈线性关系；若非线性，实际覆盖率低于所标水平。",
        "drivers_none": "在该配对的效应中，没有一组特征与零可以区分。",
        "without": "若没有该用户对以下商品的选择，它会离开前 {k}（降到第 {rank:,}）：{items}。",
        "held": "该用户自己的选择（至多 {most} 项）并不是它位于偏好前 {k} 的原因。",
        "change": "按效应排第 {place}；若{what}为 {then} 而不是 {now}，它会离开前 {k}。",
        "neighbours": "与该用户最相似的用户也选择过它（相似度与次数）：{said}。",
        "gamma": "未测量因素的强度在 Gamma = {gamma} 以内时，它仍在效应前 {k}。",
        "gamma_none": "只有在没有隐藏因素时，它在效应前 {k} 的位置才成立。",
        "sign": "若未测量因素使干预几率改变 {gamma} 倍，其效应的符号便不能确定。",
        "sign_far": "未测量因素使干预几率改变至多 {gamma} 倍时，其效应的符号仍成立。",
    },
}


def _sentences(found: Explanation) -> list[str]:
    words, told = _WORDS[found.lang], []
    if found.paths:
        told.append(words["path"].format(paths="; ".join(found.paths), adjusted=", ".join(found.adjusted) or "–"))
    clear = [driver for driver in found.drivers if driver.low > 0 or driver.high < 0]
    for driver in clear[:2]:
        values = {name: value for name, value in vars(driver).items() if name != "group"}
        told.append(words["driver"].format(group=group_name(driver.group, found.lang), **values))
    if found.drivers and not clear:
        told.append(words["drivers_none"])
    elif clear:
        told.append(words["guide"])
    if found.without is not None:
        items = "; ".join(text or str(item) for item, text in found.without)
        told.append(words["without"].format(k=found.k, rank=found.rank_without, items=items))
    elif found.why.rank <= found.k and found.own_choices:
        told.append(words["held"].format(most=_MOST_REMOVED, k=found.k))
    if found.change is not None:
        kind, english, chinese = _READABLE[found.change.feature]
        now, then = (f"{v:.0%}" if kind == "share" else f"{v:.3g}" for v in (found.change.now, found.change.then))
        what = english if found.lang == "en" else chinese
        told.append(words["change"].format(place=found.rank_by_effect, k=found.k, what=what, now=now, then=then))
    if found.neighbours:
        said = (f"{cosine:.2f}, {times:,}" for cosine, times in found.neighbours)
        told.append(words["neighbours"].format(said="; ".join(said)))
    if found.gamma is not None:
        shown = "3" if found.gamma == math.inf else f"{found.gamma:.2f}"
        told.append(words["gamma_none" if found.gamma == 0 else "gamma"].format(k=found.k, gamma=shown))
    if found.gamma_sign is not None:
        far = found.gamma_sign == math.inf
        told.append(words["sign_far" if far else "sign"].format(gamma="3" if far else f"{found.gamma_sign:.2f}"))
    return told
