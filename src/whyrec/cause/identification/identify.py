"""`identify`: by which formula an effect follows from the graph and the observed columns, or why by none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.identification import adjustment
from whyrec.cause.identification.expression import Expression, to_text
from whyrec.cause.identification.id_algorithm import Hedge, hedge_words, identify_formula
from whyrec.cause.identification.paths import Instrument, front_door_set, instruments
from whyrec.errors import NotIdentified


@dataclass(frozen=True)
class Identification:
    """What follows of an effect from a graph.

    strategy: "adjustment", "front-door", "id", or None where the effect is not identified. canonical, minimal, optimal:
    adjustment sets, None where there is none. front_door: mediators. instruments: columns that give the effect under
    one more assumption (linear effect, or no defiers); conditional ones are only sought where no adjustment set is. expression: P(outcome | do(treatment)). reason: the proof, or
    what stands in the way, in words. bounds: what limits the effect where it is not identified.
    """

    treatment: str
    outcome: str
    strategy: str | None
    canonical: tuple[str, ...] | None
    minimal: tuple[str, ...] | None
    optimal: tuple[str, ...] | None
    front_door: tuple[str, ...] | None
    instruments: tuple[Instrument, ...]
    expression: Expression | None
    reason: str
    bounds: tuple[str, ...] = ()

    @property
    def identified(self) -> bool:
        """Whether the effect follows without further assumptions."""
        return self.strategy is not None

    def require(self) -> None:
        """NotIdentified, with the reason and what can still be said, where the effect is not identified."""
        if not self.identified:
            raise NotIdentified(f"{self.reason}. {self.remedy()}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""

        def told(names: tuple[str, ...] | None) -> list[str] | None:
            return None if names is None else list(names)

        return {
            "treatment": self.treatment,
            "outcome": self.outcome,
            "identified": self.identified,
            "strategy": self.strategy,
            "canonical": told(self.canonical),
            "minimal": told(self.minimal),
            "optimal": told(self.optimal),
            "front_door": told(self.front_door),
            "instruments": [one.to_dict() for one in self.instruments],
            "expression": to_text(self.expression) if self.expression is not None else None,
            "reason": self.reason,
            "bounds": list(self.bounds),
        }

    def to_text(self) -> str:
        """The answer in lines."""
        lines = [self.reason]
        if self.expression is not None:
            lines.append(f"P({self.outcome} | do({self.treatment})) = {to_text(self.expression)}")
        for name, found in (("all that may be adjusted for", self.canonical), ("fewest", self.minimal),
                            ("most precise", self.optimal)):  # fmt: skip
            if found is not None:
                lines.append(f"  adjustment set, {name}: {', '.join(found) or '(nothing)'}")
        if self.front_door is not None:
            lines.append(f"  front-door set: {', '.join(self.front_door)}")
        for one in self.instruments:
            given = f" given {', '.join(one.given)}" if one.given else ""
            lines.append(f"  instrument: {one.name}{given}")
        if not self.identified:
            lines.append(self.remedy())
        return "\n".join(lines)

    def remedy(self) -> str:
        """What to do where the effect is not identified."""
        if self.instruments:
            first = self.instruments[0].name
            return (
                f"{first} is an instrument: it gives the effect if the effect is linear, or that on those whom {first} "
                f"moves if it moves nobody the other way; without that, bounds: {', '.join(self.bounds)}"
            )
        return f"Measure one of the causes that are missing, or ask for bounds: {', '.join(self.bounds)}"


def identify(
    graph: CausalGraph, treatment: str, outcome: str, observed: Collection[str] | None = None
) -> Identification:
    """Try adjustment, then the front door, then the ID algorithm, which finds a formula whenever there is one.

    observed: columns that the data have (default: all nodes that are not latent). BadInput where a name is unknown or
    the treatment does not cause the outcome in the graph: the effect is then zero by assumption. For a CPDAG only
    adjustment is asked, in all members of the class at once.
    """
    try:
        question = adjustment.ask(graph, treatment, outcome, observed)
    except NotIdentified as error:  # a CPDAG that leaves the first edge open
        return Identification(treatment, outcome, None, None, None, None, None, (), None, str(error), ("Manski",))
    adjustable = not question.connected(question.canonical)
    canonical = minimal = optimal = None
    if adjustable:
        canonical = graph.names(question.canonical)
        minimal = graph.names(adjustment.minimal_mask(question, question.canonical))
        best = adjustment.optimal_mask(question)
        optimal = graph.names(adjustment.pruned(question, question.canonical) if best is None else best)
    if graph.undirected:
        reason = (
            f"adjusting for {', '.join(optimal) or 'nothing'} closes every back-door path in all DAGs of the class"
            if optimal is not None
            else f"{adjustment.open_path(question, question.canonical)} stays open in some DAG of the class"
        )
        return Identification(
            treatment, outcome, "adjustment" if adjustable else None, canonical, minimal, optimal, None, (), None, reason,
            () if adjustable else ("Manski",),
        )  # fmt: skip
    projected = graph.projected(observed)
    formula = identify_formula(projected, (treatment,), (outcome,))
    door = front_door_set(graph, treatment, outcome, observed)
    tools = instruments(graph, treatment, outcome, observed, most=0 if adjustable else 5)
    expression = None if isinstance(formula, Hedge) else formula
    bounds: tuple[str, ...] = ()
    if optimal is not None:
        strategy, reason = "adjustment", (
            f"identified: adjusting for {', '.join(optimal) or 'nothing'} closes every path between {treatment} and "
            f"{outcome} that is not causal"
        )  # fmt: skip
    elif door is not None:
        strategy, reason = "front-door", (
            f"identified by the front door: the whole effect goes through {', '.join(door)}, which nothing unmeasured "
            f"joins to {treatment}, and {treatment} closes what joins them to {outcome}"
        )  # fmt: skip
    elif expression is not None:
        strategy, reason = (
            "id",
            "identified by the ID algorithm, through the formula below; no set of columns to adjust for serves",
        )
    else:
        assert isinstance(formula, Hedge)
        path = adjustment.open_path(question, question.canonical)
        strategy = None
        reason = f"{hedge_words(projected, formula, treatment, outcome)}; {path} stays open"
        bounds = ("Manski", *(["Balke-Pearl"] if any(not one.given for one in tools) else []))
    return Identification(
        treatment, outcome, strategy, canonical, minimal, optimal, door, tools, expression, reason, bounds
    )
