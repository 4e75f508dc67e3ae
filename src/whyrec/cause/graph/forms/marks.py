"""What attributes say of a node or an edge; shared by DOT, dagitty, GML and networkx graphs.

Attributes that only draw are passed over by name (Graphviz's list), and numbers other than 0 and 1 as data; any other that is
not known is refused, since it may be how its author writes a latent node or a common cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NoReturn

from whyrec.cause.graph.forms.parts import MARKS, Mark, Marks

Refuse = Callable[[str, str], NoReturn]  # (attribute, words)

# https://graphviz.org/doc/info/attrs.html, and those that xdot adds
_GRAPHVIZ = """_background area arrowhead arrowsize arrowtail bb beautify bgcolor center charset class cluster clusterrank color
    colorscheme comment compound concentrate constraint Damping decorate defaultdist dim dimen dir diredgeconstraints
    distortion dpi edgehref edgetarget edgetooltip edgeURL epsilon esep fillcolor fixedsize fontcolor fontname fontnames
    fontpath fontsize forcelabels gradientangle group head_lp headclip headhref headlabel headport headtarget headtooltip
    headURL height href id image imagepath imagepos imagescale inputscale K key label label_scheme labelangle labeldistance
    labelfloat labelfontcolor labelfontname labelfontsize labelhref labeljust labelloc labeltarget labeltooltip labelURL
    landscape layer layerlistsep layers layerselect layersep layout len levels levelsgap lhead lheight linelength lp ltail
    lwidth margin maxiter mclimit mindist minlen mode model newrank nodesep nojustify normalize notranslate nslimit nslimit1
    oneblock ordering orientation outputorder overlap overlap_scaling overlap_shrink pack packmode pad page pagedir pencolor
    penwidth peripheries pin pos quadtree quantum radius rank rankdir ranksep ratio rects regular remincross repulsiveforce
    resolution root rotate rotation samehead sametail samplepoints scale searchsize sep shape shapefile showboxes sides size
    skew smoothing sortv splines start style stylesheet tail_lp tailclip tailhref taillabel tailport tailtarget tailtooltip
    tailURL target TBbalance tooltip truecolor URL vertices viewport voro_margin weight width xdotversion xlabel xlp z
    _draw_ _ldraw_ _hdraw_ _tdraw_ _hldraw_ _tldraw_"""
_DRAWN = frozenset((*_GRAPHVIZ.split(), "beta", "eps", "value"))  # coefficients of dagitty, weights of GML
_LATENT = ("latent", "l", "unobserved", "u")
_ROLES = ("exposure", "e", "source", "outcome", "o", "target", "adjusted", "a")
_SELECTED = ("selected", "s")
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_HEADS: dict[str, Mark] = {
    "none": "tail", "normal": "arrow", "vee": "arrow", "open": "arrow", "onormal": "arrow", "empty": "arrow",
    "odot": "circle", "dot": "circle",
}  # fmt: skip
_ENDS = {"forward": (False, True), "back": (True, False), "both": (True, True), "none": (False, False)}
_DIRECTION = ("dir", "arrowhead", "arrowtail")


def is_latent(attributes: Mapping[str, str | None], refuse: Refuse, square: bool = False) -> bool:
    """Whether a node is latent by its attributes; a flag without a value (dagitty's) is None.

    latent, unobserved, l, u; observed=no; where none of these stands, style=dashed, and shape=square if `square` (causal-learn's
    way; others draw what was measured so).
    """
    said: set[bool] = set()
    for key, value in attributes.items():
        if key in _LATENT or key == "observed":
            said.add(_truth(key, value, refuse) != (key == "observed"))
        elif key in _ROLES and not (key == "target" and value is not None):  # Graphviz's: where a link opens
            _truth(key, value, refuse)
        elif key in _SELECTED:
            refuse(
                key,
                "a node that rows were selected by is not supported; take the mark out, and say of which rows you ask",
            )
        elif key not in _DRAWN and not _is_data(value):
            refuse(
                key, f"attribute {key!r} is not understood; take it out, or write latent for a node that the data lack"
            )
        elif value is None:
            refuse(key, f"attribute {key!r} has no value")
    if len(said) == 2:
        refuse(
            "observed" if "observed" in attributes else "latent", "the node is said to be latent and observed; keep one"
        )
    if said:
        return said == {True}
    return _has_style(attributes, "dashed") or (square and attributes.get("shape") == "square")


def edge_marks(
    attributes: Mapping[str, str | None], arrow: str, marks: Marks, refuse: Refuse, dagitty: bool = False
) -> Marks:
    """The marks at both ends of an edge; `marks` are those that its sign `arrow` has, `->` and `--` being Graphviz's.

    dir says at which ends a mark is drawn, arrowtail and arrowhead which one; dagitty knows the signs alone.
    """
    check_edge(attributes, refuse)
    if _has_style(attributes, "invis"):
        refuse("style", "an edge that is not drawn: is it there, or only to place the nodes? Take it out, or its style")
    given = [key for key in _DIRECTION if key in attributes]
    if dagitty or arrow not in ("->", "--"):
        if given:
            refuse(
                given[0], f"{arrow} says which marks the edge has, and not {given[0]}; use another arrow, such as <->"
            )
        return marks
    drawn = attributes.get("dir") or ("forward" if arrow == "->" else "none")
    if drawn not in _ENDS:
        refuse("dir", f"dir={drawn} is none of {', '.join(_ENDS)}")
    tail, head = (
        _mark(key, attributes.get(key), shown, refuse)
        for key, shown in zip(("arrowtail", "arrowhead"), _ENDS[drawn], strict=True)
    )
    return tail, head


def check_edge(attributes: Mapping[str, str | None], refuse: Refuse) -> None:
    """Refuse an attribute of edges that is not known."""
    for key, value in attributes.items():
        if key not in _DRAWN and not _is_data(value):
            refuse(
                key,
                f"attribute {key!r} of an edge is not understood; take it out, or write dir=both for a common cause",
            )
        if value is None:
            refuse(key, f"attribute {key!r} has no value")


def graph_attribute(key: str, refuse: Refuse) -> None:
    """Refuse an attribute of a whole graph that is none of Graphviz's."""
    if key not in _DRAWN:
        refuse(key, f"attribute {key!r} of a graph is not understood; take it out")


def plain_node(attributes: Mapping[str, Any], refuse: Refuse) -> tuple[str | None, bool]:
    """Label (or `name`) and latency of a node of GML or networkx, where lists and objects are data."""
    told = {key: _word(value) for key, value in attributes.items() if key != "name" and _speaks(value)}
    label = attributes.get("label", attributes.get("name"))
    return (None if label is None else str(label)), is_latent(told, refuse)


def plain_edge(attributes: Mapping[str, Any], directed: bool, refuse: Refuse) -> Marks:
    """Marks of an edge of GML or networkx: `sort` (or type) as whyrec writes it, bidirected, or dir and its arrowheads."""
    told = {key: _word(value) for key, value in attributes.items() if _speaks(value)}
    sort = told.pop("type" if told.get("type") in MARKS else "sort", None)  # pgmpy's ADMG says type
    if sort is None and "bidirected" in told and _truth("bidirected", told["bidirected"], refuse):
        sort = "bidirected"
    told.pop("bidirected", None)
    arrow = "->" if directed else "--"
    marks = edge_marks(told, arrow, MARKS["directed"], refuse)
    if sort is None:
        return marks
    if sort not in MARKS:
        refuse("sort", f"sort {sort!r} is none of {', '.join(MARKS)}")
    return MARKS[sort]


def _speaks(value: Any) -> bool:
    """Whether a value could say something of the graph: words, truths and numbers, and no list or object."""
    return isinstance(value, str | Real)


def _is_data(value: str | None) -> bool:
    """Whether an attribute of an unknown name is a number that is no yes or no, such as a coefficient."""
    return value is not None and value not in (*_YES, *_NO) and re.fullmatch(_NUMBER, value) is not None


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _has_style(attributes: Mapping[str, str | None], name: str) -> bool:
    return name in re.split(r"[,\s]+", attributes.get("style") or "")


def _mark(key: str, value: str | None, shown: bool, refuse: Refuse) -> Mark:
    mark = _HEADS.get("normal" if value is None or value == "" else value)
    if mark is None:
        refuse(key, f"{key}={value} says nothing that is known here; use one of {', '.join(_HEADS)}")
    if not shown and value not in (None, "none", "normal"):
        refuse(key, f"{key}={value} is not drawn without dir=both; add that, or take it out")
    return mark if shown else "tail"


def _truth(key: str, value: str | None, refuse: Refuse) -> bool:
    if value is None or value.lower() in _YES:
        return True
    if value.lower() not in _NO:
        refuse(key, f"{key}={value!r} is neither yes nor no")
    return False
