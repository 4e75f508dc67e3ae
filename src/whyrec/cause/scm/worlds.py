"""Abduction, action, prediction over many cases at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from whyrec.cause.graph import CausalGraph
from whyrec.cause.scm.additive import Mechanism
from whyrec.cause.scm.answers import case_name
from whyrec.cause.scm.classes import Binary
from whyrec.cause.scm.columns import Column
from whyrec.cause.scm.interventions import Intervention, intervened
from whyrec.cause.scm.noise import Keys, case_keys, uniforms
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import FloatArray

Values = Mapping[str, FloatArray]
Told = tuple[str, int | None]  # a node, and for a text the place of one label
_MOST_ROWS = 400_000  # cases times draws held at once


@dataclass(frozen=True)
class Plan:
    """What a change reaches on the way to what is asked.

    changes: by node. order: nodes whose value in the other world must be found, causes first, the changed ones
    included. moved: those of them whose mechanism works. ends_: moved nodes that are asked for and cause none of the rest.
    """

    changes: Mapping[str, Intervention]
    columns: Mapping[str, Column]
    mechanisms: Mapping[str, Mechanism]
    design: Callable[[str, Values, int], FloatArray]
    parents: Callable[[str], tuple[str, ...]]
    descendants: Mapping[str, frozenset[str]]
    order: tuple[str, ...]
    moved: tuple[str, ...]
    last: frozenset[str]
    told: tuple[Told, ...]

    @classmethod
    def of(
        cls,
        graph: CausalGraph,
        changes: Mapping[str, Intervention],
        columns: Mapping[str, Column],
        mechanisms: Mapping[str, Mechanism],
        design: Callable[[str, Values, int], FloatArray],
        parents: Callable[[str], tuple[str, ...]],
        target: str | Sequence[str] | None,
    ) -> Plan:
        """BadInput for a target that is no node; a target that the change does not reach stays what it was."""
        after = nx.DiGraph(sorted(intervened(graph, changes).directed))
        after.add_nodes_from(graph.nodes)
        before = nx.DiGraph(sorted(graph.directed))
        before.add_nodes_from(graph.nodes)
        reached = set(changes).union(*(nx.descendants(after, node) for node in changes))
        wanted = [target] if isinstance(target, str) else list(target or [])
        strange = next((name for name in wanted if name not in columns), None)
        if strange is not None:
            raise BadInput(f"target {strange!r} is not in the graph; its nodes are {', '.join(columns)}")
        if not wanted:
            wanted = [name for name in graph.nodes if name in reached and name not in changes]
        if not wanted:
            raise BadInput(f"{' and '.join(changes)} causes nothing in the graph: no node would have been different")
        needed = set(wanted).union(*(nx.ancestors(after, name) for name in wanted)) & reached
        order = tuple(name for name in nx.lexicographical_topological_sort(after) if name in needed)
        moved = tuple(name for name in order if name not in changes or changes[name].keeps_causes)
        last = frozenset(name for name in moved if name not in changes and not set(after.successors(name)) & needed)
        told: list[Told] = []
        for name in wanted:
            places = range(len(columns[name].labels)) if columns[name].labels else [None]
            told += [(name, place) for place in places]
        below = {name: frozenset(nx.descendants(before, name)) for name in graph.nodes}
        return cls(changes, columns, mechanisms, design, parents, below, order, moved, last, tuple(told))

    @property
    def words(self) -> str:
        """What was changed."""
        return ", ".join(change.words for change in self.changes.values())

    def name(self, told: Told) -> str:
        """A target's name."""
        node, place = told
        return node if place is None else f"{node} = {self.columns[node].labels[place]}"

    def ends(self, told: Told) -> tuple[float, float]:
        """What a target's expectation cannot leave."""
        node, place = told
        if place is not None:
            return 0.0, 1.0
        column = self.columns[node]
        return (column.levels[0], column.levels[-1]) if column.levels else (column.floor, np.inf)

    def factual(self, values: Values) -> FloatArray:
        """What was, (cases, targets)."""
        return np.column_stack([_told(values[node], place) for node, place in self.told])

    def warnings(self, values: Values) -> tuple[str, ...]:
        """Where a change goes beyond what was seen."""
        found = []
        for node, change in self.changes.items():
            if all(np.isfinite(values[name]).all() for name in change.reads):
                found.append(change.warning(self.columns[node], change.evaluate(values, self.columns)))
        return tuple(words for words in found if words)

    def check(self, values: Values, table_rows: Sequence[int] = ()) -> None:
        """BadInput for a missing value that the answer hangs on; NotIdentified for noise that cannot be had."""

        def require(name: str, rows: NDArray[np.bool_], why: str) -> None:
            gap = rows & ~np.isfinite(values[name])
            if gap.any():
                where = case_name(int(gap.argmax()), table_rows)
                raise BadInput(f"{where}: {name!r} is missing, and {why}; fill it in")

        for name, column in self.columns.items():
            below = values[name] < column.floor
            if below.any():
                raise BadInput(
                    f"{case_name(int(below.argmax()), table_rows)}: {name} = {values[name][below][0]:g}, and the column is never below "
                    f"{column.floor:g} in the rows that the model was learnt from; mend the case"
                )
        for name in self.moved:
            known = np.isfinite(values[name])
            if self.mechanisms[name].abduction == "none" and known.any():
                raise NotIdentified(
                    f"{name!r} has a mechanism that cannot be inverted: what was seen of it cannot be carried to the other "
                    "world; leave its value out of the case to draw it anew, or give it the mechanism 'linear' or 'flow'"
                )
            for cause in self.parents(name):
                require(cause, known, f"{name!r} is known")
                if cause not in self.order:
                    require(cause, ~known, f"{name!r} must be found")
            for effect in sorted(self.descendants[name]):
                both = ~known & np.isfinite(values[effect])
                if both.any():
                    raise BadInput(
                        f"{case_name(int(both.argmax()), table_rows)}: {name!r} is missing while its effect {effect!r} is known, "
                        f"which says something of it; fill {name!r}, or leave {effect!r} out of the case too"
                    )
        for node, change in self.changes.items():
            for name in change.reads:
                if name not in self.order:
                    require(name, np.ones(len(values[name]), dtype=bool), f"do({node} = ...) reads it")
        for name, _ in self.told:
            if name not in self.order:
                require(name, np.ones(len(values[name]), dtype=bool), "it is asked for")

    def point(self, told: Told, values: Values) -> bool:
        """Whether a target's value follows from the cases alone."""
        return not self._open(values)

    def loose(self, values: Values) -> str:
        """The first node whose noise a case does not fix, named."""
        return repr(self._open(values)[0])

    def _open(self, values: Values) -> list[str]:
        return [
            name
            for name in self.moved
            if self.mechanisms[name].abduction != "point" or not np.isfinite(values[name]).all()
        ]

    def needs_draws(self, values: Values) -> bool:
        """Whether an expectation in closed form does not serve."""
        for name in self._open(values):
            known = np.isfinite(values[name]).all()
            closed = isinstance(self.mechanisms[name], Binary) and name in self.last and known
            if not closed:
                return True
        return False


def expectations(
    plan: Plan, values: Values, mechanisms: Mapping[str, Mechanism], draws: int, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Expected value of each target in the other world, and its extremes over couplings, each (cases, targets)."""
    n = len(next(iter(values.values())))
    count = draws if plan.needs_draws(values) else 1
    size = max(_MOST_ROWS // count, 1)
    keys = case_keys(np.column_stack([values[name] for name in plan.columns]), seed)
    parts = []
    for start in range(0, n, size):
        rows = slice(start, start + size)
        parts.append(_chunk(plan, {k: v[rows] for k, v in values.items()}, mechanisms, keys[rows], count))
    found = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    return found[0], found[1], found[2]


def _chunk(
    plan: Plan, values: Values, mechanisms: Mapping[str, Mechanism], keys: Keys, draws: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    n = len(keys)
    seen = {name: np.tile(column, draws) for name, column in values.items()} if draws > 1 else dict(values)
    other = dict(seen)
    extremes: dict[str, tuple[FloatArray, FloatArray]] = {}
    stream = 0
    for name in plan.order:
        if name in plan.moved:
            mechanism = mechanisms[name]
            x = plan.design(name, other, n * draws)
            before = plan.design(name, seen, n * draws)
            if name in plan.last and isinstance(mechanism, Binary) and np.isfinite(seen[name]).all():
                moved = mechanism.moved(before, seen[name], x)
                assert moved is not None
                other[name], extremes[name] = moved, mechanism.extremes(before, seen[name], x)
            else:
                width = mechanism.width
                uniform = np.stack([uniforms(keys, stream + k, draws).ravel() for k in range(width)], axis=1)
                stream += width
                other[name] = plan.columns[name].within(_carried(mechanism, before, seen[name], x, uniform))
        if name in plan.changes:
            other[name] = plan.changes[name].evaluate(other, plan.columns)
    result = np.column_stack([_told(other[node], place) for node, place in plan.told])
    low = np.column_stack([_told(extremes.get(node, (other[node],))[0], place) for node, place in plan.told])
    high = np.column_stack([_told(extremes.get(node, (other[node],))[-1], place) for node, place in plan.told])
    shape = (draws, n, len(plan.told))
    means = [part.reshape(shape).mean(axis=0) for part in (result, low, high)]
    return means[0], means[1], means[2]


def _carried(
    mechanism: Mechanism, before: FloatArray, seen: FloatArray, after: FloatArray, uniform: FloatArray
) -> FloatArray:
    """Values in the other world with the noise of this one, or with fresh noise where nothing was seen."""
    known = np.isfinite(seen)
    if mechanism.abduction == "none" or not known.any():
        return mechanism.apply(after, mechanism.noise(uniform))
    if known.all():
        return mechanism.apply(after, mechanism.abduct(before, seen, uniform))
    noise = mechanism.noise(uniform)
    noise[known] = mechanism.abduct(before[known], seen[known], uniform[known])
    return mechanism.apply(after, noise)


def _told(values: FloatArray, place: int | None) -> FloatArray:
    if place is None:
        return values
    result: FloatArray = np.where(np.isnan(values), np.nan, (values == place).astype(np.float64))
    return result
