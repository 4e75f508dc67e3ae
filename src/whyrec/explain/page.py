"""The bare bones of a report: one HTML file without a single outside request."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Chooses between English and Chinese words.
Words = Callable[[str, str], str]

_STYLE = """
:root{color-scheme:light;--ink:#1a1a1a;--quiet:#595959;--line:#dddddd}
*{box-sizing:border-box}
body{margin:0 auto;max-width:900px;padding:1.2rem;color:var(--ink);background:#fff;overflow-wrap:break-word;
font:16px/1.55 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans CJK SC","Microsoft YaHei","PingFang SC",sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:.4rem 0}
h2{font-size:1.3rem;margin:2.4rem 0 .5rem;border-top:2px solid var(--ink);padding-top:.8rem}
h3{font-size:1.05rem;margin:1.6rem 0 .3rem}
p{margin:.5rem 0;max-width:46rem}
.lead{font-size:1.1rem}
.quiet{color:var(--quiet);font-size:.9rem}
.key{border-left:4px solid #0072B2;padding:.3rem .8rem;margin:.8rem 0;background:#f3f8fb}
.warn{border-left-color:#D55E00;background:#fdf5ef}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;margin:.6rem 0;min-width:60%}
caption{text-align:left;font-weight:600;padding:.3rem 0}
td{min-width:3.2rem}
th,td{padding:.3rem .7rem .3rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.ours td{font-weight:600}
.chart{margin:.6rem 0}.chart svg{max-width:100%;height:auto}.narrow{display:none}
nav a{margin-right:1rem;display:inline-block}a{color:#005a8c}
@media(max-width:640px){body{padding:.8rem}.wide{display:none}.narrow{display:block}h1{font-size:1.4rem}}
@media print{body{max-width:none;font-size:10pt;padding:0}h2,h3{break-after:avoid}.scroll{overflow:visible}
table{font-size:7.5pt}td.n,th.n{padding-right:.4rem}.chart,tr,.key{break-inside:avoid}nav{display:none}}
"""


class Page:
    """Collects sections and renders them; text given as `words` is escaped, charts are trusted."""

    def __init__(self, title: str, lang: str) -> None:
        self.title, self.lang = title, lang
        self.parts: list[str] = []
        self.sections: list[str] = []

    def section(self, title: str) -> None:
        """A heading of the first order; it appears in the contents."""
        self.sections.append(title)
        self.parts.append(f'<h2 id="s{len(self.sections)}">{html.escape(title)}</h2>')

    def heading(self, title: str) -> None:
        """A heading of the second order."""
        self.parts.append(f"<h3>{html.escape(title)}</h3>")

    def text(self, words: str, kind: str = "") -> None:
        """A paragraph; kind: "lead", "quiet", "key", "key warn" or nothing."""
        self.parts.append(f'<p class="{kind}">{html.escape(words)}</p>' if kind else f"<p>{html.escape(words)}</p>")

    def items(self, words: Sequence[str]) -> None:
        """A bulleted list."""
        self.parts.append("<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in words) + "</ul>")

    def chart(self, drawing: str) -> None:
        """A chart from `whyrec.explain.plots` or `graph_picture`."""
        self.parts.append(drawing)

    def table(
        self,
        caption: str,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        text_columns: int = 1,
        ours: int | None = None,
    ) -> None:
        """A table; the first `text_columns` columns are words, the others numbers; row `ours` stands out."""

        def cell(tag: str, column: int, words: str) -> str:
            kind = "" if column < text_columns else ' class="n"'
            return f"<{tag}{kind}>{html.escape(words)}</{tag}>"

        top = "".join(cell("th", column, words) for column, words in enumerate(head))
        body = "".join(
            f"<tr{' class=ours' if place == ours else ''}>"
            + "".join(cell("td", column, words) for column, words in enumerate(row))
            + "</tr>"
            for place, row in enumerate(rows)
        )
        self.parts.append(
            f'<div class="scroll"><table><caption>{html.escape(caption)}</caption><thead><tr>{top}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def render(self) -> str:
        """The whole page."""
        contents = "".join(
            f'<a href="#s{place}">{html.escape(title)}</a> ' for place, title in enumerate(self.sections, 1)
        )
        return (
            f'<!doctype html><html lang="{"zh-CN" if self.lang == "zh" else "en"}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head><body>"
            f"<h1>{html.escape(self.title)}</h1><nav>{contents}</nav><main>{''.join(self.parts)}</main></body></html>"
        )


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A value and its interval for a table; the value alone where there is none."""
    if low != low or high != high:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def hidden_share(found: Mapping[str, Any]) -> str:
    """Robustness value of an estimate, and of its interval: "19.0% (12.1%)"."""
    return f"{found['robustness_value']:.1%} ({found['robustness_value_interval']:.1%})"


def hidden_share_words(t: Words) -> str:
    """What `hidden_share` means."""
    return t(
        "A hidden cause must explain that share of what is left of both treatment and outcome to bring the effect to zero "
        "(in brackets: to bring zero into its interval, 0% where it is there already).",
        "隐藏原因须同时解释干预与结果剩余变异的这一比例，才能使效应为零（括号内：使区间包含零；区间已含零时为 0%）。",
    )
