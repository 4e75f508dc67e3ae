"""The report: what a product manager would read and an engineer would trust.

`model_report` describes a fitted model; its sections are functions that the demo's report uses as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from whyrec.estimate import assumption_lines
from whyrec.explain import plots
from whyrec.explain.chinese import in_chinese, lines_in
from whyrec.explain.failures import CHECKS, VERDICTS, failures
from whyrec.explain.graph_picture import graph_picture, rejected_lines
from whyrec.explain.page import Page, Words, hidden_share, hidden_share_words, number, with_interval
from whyrec.explain.policy_plots import decision_part
from whyrec.explain.rankers import COLUMNS, NAMES, choice_rows, choice_words, ranker_words, text_words
from whyrec.explain.reasons import group_name, sentences, short_reasons

if TYPE_CHECKING:
    from whyrec.cause.graph import CausalGraph
    from whyrec.decide.causal_recommender import CausalRecommender, Ranking

Lang = Literal["en", "zh"]

_METHODS = {
    "naive": "直接比较",
    "IPS": "逆倾向加权",
    "SNIPS": "自归一化逆倾向加权",
    "regression": "回归",
    "DoCalib": "DoCalib（双重校准、双重稳健）",
    "at random": "随机",
    "by popularity": "按热度",
    "by preference": "按偏好",
    "by effect": "按效应",
    "by both": "两者结合",
    **NAMES,
    "matrix factorisation": "矩阵分解",
    "causal recommender": "因果推荐",
    "random": "随机",
}


_NODES = {
    "discount": "折扣", "units": "销量", "popularity": "热度", "season": "季节", "traffic": "客流", "price": "价格",
    "past_discounts": "以往折扣", "category_discounts": "同类折扣", "product_kind": "商品种类", "promotion_plan": "促销计划",
    "campaign": "活动", "spend": "支出", "past_spend": "以往支出", "past_visits": "以往到店", "past_campaigns": "以往活动",
    "past_redemptions": "以往兑券", "demographics": "人口特征", "campaign_design": "活动设计", "loyalty": "忠诚度",
    "user": "用户", "item": "商品", "intent": "意图", "context": "情境", "position": "位置", "treatment": "干预",
    "exposure": "展示", "outcome": "结果", "relevance": "相关性", "examination": "是否看到",
}  # fmt: skip


def node_name(name: str, lang: str) -> str:
    """A graph node's name in a language."""
    return _NODES.get(name, name) if lang == "zh" else name.replace("_", " ")


def chooser(lang: Lang) -> Words:
    """`t(english, chinese)` for a language."""
    return (lambda english, chinese: chinese) if lang == "zh" else (lambda english, chinese: english)


def method_name(name: str, lang: Lang) -> str:
    """A method's name in a language."""
    return _METHODS.get(name, name) if lang == "zh" else name


def model_report(model: CausalRecommender, lang: Lang = "en") -> str:
    """A page about a fitted or loaded model: data, effects, calibration, sample recommendations, limits."""
    t = chooser(lang)
    page = Page(t(f"whyrec: {model.dataset_.name}", f"whyrec：{model.dataset_.name}"), lang)
    content = model.effects_content()
    first_screen(page, content, t, lang)
    data_section(page, model, t)
    if content is None:
        page.section(t("Effects", "效应"))
        page.text(
            t(
                f"No effect can be told from this log: {model.no_effects_}.",
                f"这份日志不能说明效应：{model.no_effects_}",
            ),
            "key warn",
        )
    else:
        effects_section(page, content, t, lang)
    recommendations_section(page, model, t, lang)
    limits_section(page, t)
    return page.render()


def first_screen(page: Page, content: Mapping[str, Any] | None, t: Words, lang: Lang) -> None:
    """The effect of the log in a box, and in a box each what of it did not hold: before anything else."""
    if content is None:
        return
    effect, naive = content["effect"], content["naive"]
    told = [with_interval(e["estimate"], e["interval"][0], e["interval"][1], 4) for e in (effect, naive)]
    page.text(
        t(
            f"Treating a pair changes the outcome by {told[0]} by DoCalib; the plain comparison says {told[1]}.",
            f"干预一个配对使结果变化 {told[0]}（DoCalib）；直接比较为 {told[1]}。",
        ),
        "key",
    )
    failures_part(page, content, lang)


def failures_part(page: Page, content: Mapping[str, Any] | None, lang: Lang, of: str = "") -> None:
    """A box for each thing that did not hold; of: whose effect it is."""
    for words in failures(content, lang):
        page.text(f"{of}{words}", "key warn")


def data_section(page: Page, model: CausalRecommender, t: Words) -> None:
    """How much there is, and how it is spread over time."""
    dataset = model.dataset_
    page.section(t("Data", "数据"))
    page.text(
        t(
            f"{dataset.log.height:,} rows of {dataset.n_users:,} users and {dataset.n_items:,} items; "
            f"{dataset.interactions.height:,} of them are choices the users made ({dataset.schema.choice_rule(dataset.has('outcome'))}).",
            f"{dataset.log.height:,} 行，{dataset.n_users:,} 个用户，{dataset.n_items:,} 个商品；其中 {dataset.interactions.height:,} 行是用户的选择"
            f"（{dataset.schema.choice_rule(dataset.has('outcome'), 'zh')}）。",
        )
    )
    if dataset.has("time"):
        weekly = (
            dataset.interactions.drop_nulls("time")
            .sort("time")
            .group_by_dynamic("time", every="1w")
            .agg(pl.len().alias("rows"))
        )
        if 2 < weekly.height < 2_000:
            page.chart(
                plots.lines(
                    weekly["time"].to_list(),
                    [("rows", weekly["rows"].to_numpy().astype(float))],
                    x_label=t("week", "周"),
                    y_label=t("choices per week", "每周选择次数"),
                    description=t("Choices per week over the log", "日志中每周的选择次数"),
                )
            )


def effects_section(page: Page, content: Mapping[str, Any], t: Words, lang: Lang) -> None:
    """Average effect beside the others, calibration, overlap, policies, refutations and sensitivity of a log's effects."""
    page.section(t("What treating a pair changes", "干预一个配对会改变什么"))
    estimates = {"DoCalib": content["effect"], **content["relatives"]}
    if content.get("graph"):
        from whyrec.cause.graph import CausalGraph

        drawn = CausalGraph.from_text(content["graph"]["text"])
        drawn = CausalGraph.from_edges(drawn.directed, drawn.bidirected, latent=content["graph"]["latent"])
        graph_part(page, drawn, t, "treatment", "outcome", content["graph_checks"])
        graph_checks_part(page, content["graph_checks"], t)
    page.chart(
        estimates_chart(estimates, t("change of the outcome per treated pair", "每个被干预配对的结果变化"), t, lang)
    )
    for words in content["effect"].get("diagnostics", {}).get("warnings") or ():
        page.text(t(f"WARNING: {words}", f"警告：{in_chinese(str(words))}"))
    page.items(lines_in(assumption_lines(estimates), lang))
    calibration_charts(page, content["calibration"], t)
    overlap_chart(page, content["positivity"], t)
    if content.get("policies"):
        policies_part(page, content["policies"], t, lang)
    if content.get("decision"):
        decision_part(page, content["decision"], t)
    checks_part(page, content["refutations"], content["sensitivity"], t)


def _has_interval(estimate: Mapping[str, Any]) -> bool:
    return None not in estimate["interval"]


def estimates_chart(estimates: Mapping[str, Mapping[str, Any]], unit: str, t: Words, lang: Lang) -> str:
    """Estimates with intervals, ours in blue."""
    rows = [
        plots.Interval(
            method_name(name, lang) + ("" if _has_interval(e) else t(" (no interval)", "（无区间）")),
            e["estimate"],
            e["interval"][0] if _has_interval(e) else e["estimate"],
            e["interval"][1] if _has_interval(e) else e["estimate"],
            0 if name == "DoCalib" else 1,
        )
        for name, e in estimates.items()
        if e["estimate"] is not None
    ]  # fmt: skip
    words = "; ".join(
        f"{row.label} {with_interval(row.value, row.low, row.high, 4) if row.low < row.high else f'{row.value:.4f}'}"
        for row in rows
    )
    return plots.intervals(
        rows,
        unit=unit,
        description=words,
        reference=0.0,
        legend=(t("ours", "我们的方法"), t("compared with", "对照方法")),
    )


def calibration_charts(page: Page, calibration: Mapping[str, Mapping[str, Any]], t: Words) -> None:
    """Reliability of the nuisance models before and after calibration."""
    page.heading(t("Are the models calibrated?", "模型校准了吗？"))
    page.text(
        t(
            "On the dashed line a prediction of 30% comes true in 30 of 100 cases. Distance from it is bias that weighting would carry into the effect. "
            "An outcome model whose error on held-out rows calibration does not lower is left as it is: both curves are then the same.",
            "在虚线上，预测为 30% 的事件在 100 次中发生 30 次；偏离虚线的部分会通过加权带入效应。"
            "如果校准不能降低留出数据上的误差，结果模型保持不变，两条曲线相同。",
        )
    )
    titles = {
        "propensity": t("chance of treatment", "干预概率"),
        "outcome_control": t("outcome, untreated", "未干预时的结果"),
        "outcome_treated": t("outcome, treated", "干预时的结果"),
    }
    for part, curves in calibration.items():
        shown = [
            (
                f"{word} (ECE {curves[when]['ece']:.4f})",
                np.array(curves[when]["predicted"], dtype=float),
                np.array(curves[when]["observed"], dtype=float),
                np.array(curves[when]["half_width"], dtype=float),
            )
            for when, word in (("before", t("before", "校准前")), ("after", t("after", "校准后")))
        ]
        page.chart(
            plots.reliability(
                shown,
                x=t(f"predicted {titles[part]}", f"预测的{titles[part]}"),
                y=t("observed", "实际"),
                description=t(
                    f"Reliability of {titles[part]} before and after calibration", f"{titles[part]}校准前后的可靠性"
                ),
            )
        )


def overlap_chart(page: Page, positivity: Mapping[str, Any], t: Words) -> None:
    """Propensities of both arms, and what they allow."""
    page.heading(t("Could everybody have got either?", "每个配对都可能得到两种处理吗？"))
    page.chart(
        plots.histogram(
            [
                (t("untreated", "未干预"), np.array(positivity["control_shares"], dtype=float)),
                (t("treated", "干预"), np.array(positivity["treated_shares"], dtype=float)),
            ],
            np.array(positivity["edges"], dtype=float),
            x=t("chance of treatment", "干预概率"),
            y=t("share of rows", "行的比例"),
            description=t("Chances of treatment of treated and untreated rows", "干预与未干预行的干预概率"),
        )
    )
    if positivity.get("words"):
        page.text(
            t(positivity["words"], f"重叠程度：{VERDICTS.get(positivity['verdict'], positivity['verdict'])}"), "quiet"
        )


def policies_part(page: Page, policies: Mapping[str, Mapping[str, Any]], t: Words, lang: Lang) -> None:
    """Value per treated pair of the ways to choose whom to treat."""
    page.heading(t("Whom should one treat?", "应该干预谁？"))
    page.text(
        t(
            "If only one pair in ten may be treated: what a treated pair gains, by how the pairs are chosen. Estimated off-line from the same log; "
            "the choice never saw the scores that judge it.",
            "如果只能干预十分之一的配对：按不同方式挑选时，每个被干预配对的收益。由同一日志离线估计；挑选时没有用到用来评判的分数。",
        )
    )
    rows = [
        plots.Interval(
            method_name(name, lang),
            e["estimate"],
            e["interval"][0],
            e["interval"][1],
            0 if "effect" in name or "both" in name else 1,
        )
        for name, e in policies.items()
    ]
    words = "; ".join(f"{row.label} {with_interval(row.value, row.low, row.high, 5)}" for row in rows)
    page.chart(
        plots.intervals(
            rows,
            unit=t("change of the outcome per treated pair", "每个被干预配对的结果变化"),
            description=words,
            reference=0.0,
            legend=(t("uses effects", "使用效应"), t("does not", "不使用")),
        )
    )
    shares = "; ".join(f"{method_name(name, lang)} {hidden_share(e['diagnostics'])}" for name, e in policies.items())
    page.text(f"{t('A hidden cause must explain', '隐藏原因须解释')}: {shares}. {hidden_share_words(t)}", "quiet")


def checks_part(page: Page, refutations: Sequence[Mapping[str, Any]], sensitivity: Mapping[str, Any], t: Words) -> None:
    """Refutations as a table and sensitivity to what was not measured as a band."""
    page.heading(t("Attempts to refute it", "反驳检验"))
    rows = [
        [
            t(r["name"], CHECKS.get(r["name"], r["name"])),
            t("passed", "通过") if r["passed"] else t("OPEN", "未定") if r.get("open") else t("FAILED", "未通过"),
            t(r["words"], in_chinese(str(r["words"]))),
            t(r.get("detects", ""), in_chinese(str(r.get("detects", "")))),
            t(r.get("misses", ""), in_chinese(str(r.get("misses", "")))),
        ]
        for r in refutations
    ]
    page.table(
        t("Each should pass if the effect is real", "如果效应真实，每项都应通过"),
        [
            t("check", "检验"),
            t("result", "结果"),
            t("what was seen", "所见"),
            t("can find", "能发现"),
            t("cannot find", "不能发现"),
        ],
        rows,
        5,
    )
    page.heading(t("What if something was not measured?", "如果有未测量的因素？"))
    gamma = np.array(sensitivity["gamma"], dtype=float)
    zero = sensitivity["gamma_at_zero"]
    page.chart(
        plots.band(
            gamma,
            np.array(sensitivity["low"], dtype=float),
            np.array(sensitivity["high"], dtype=float),
            x_label=t(
                "Gamma: how many times a hidden cause may change the odds of treatment",
                "Gamma：隐藏因素可使干预的几率改变的倍数",
            ),
            y_label=t("bounds of the effect", "效应的界"),
            description=sensitivity["words"],
            mark=zero,
            mark_label="" if zero is None else f"Γ = {zero:.2f}",
        )
    )
    page.text(
        t(
            sensitivity["words"],
            f"E 值 {number(sensitivity['e_value'], 2)}，稳健值 {number(sensitivity['robustness_value'], 3)}；"
            + ("在所画范围内界不含零。" if zero is None else f"当 Gamma 达到 {zero:.2f} 时界包含零。"),
        )
    )


def graph_part(
    page: Page,
    graph: CausalGraph,
    t: Words,
    treatment: str,
    outcome: str,
    checks: Sequence[Mapping[str, Any]] = (),
) -> None:
    """The graph drawn, with the implied independences that the data reject as dotted lines, and said in text."""
    against = rejected_lines(checks)
    page.chart(
        graph_picture(
            graph.tiers(),
            sorted(graph.directed),
            sorted(graph.bidirected),
            description=graph.to_text(),
            labels={name: node_name(name, page.lang) for name in graph.nodes},
            latent=graph.latent,
            treatment=treatment,
            outcome=outcome,
            lines=against,
        )
    )
    page.text(
        t(
            "Arrows go from causes to effects; blue is what is changed, orange what is measured; dashed is what was not measured.",
            "箭头由原因指向结果；蓝色是被改变的量，橙色是被测量的结果；虚线表示未测量。",
        ),
        "quiet",
    )
    if against:
        page.text(
            t(
                "A dotted line joins two columns that the graph holds independent and the data do not; the number is their "
                "partial correlation.",
                "虚点线连接图中认为独立、而数据显示相关的两列；数字为偏相关系数。",
            ),
            "quiet",
        )


def graph_checks_part(page: Page, checks: Sequence[Mapping[str, Any]], t: Words) -> None:
    """What the graph says must be independent, and whether the data agree."""
    if not checks:
        page.text(
            t("The graph implies no independence that these columns could test.", "该图没有这些列能够检验的独立性。"),
            "quiet",
        )
        return
    rejected = sum(check["verdict"] == "rejected" for check in checks)
    tested = sum(check["verdict"] != "untested" for check in checks)
    page.text(
        t(
            f"The graph implies {tested} independences that the data can test (one row of each unit, corrected for "
            f"their number); {rejected} rejected. "
            + (
                "Between the nodes of a rejected line an arrow is missing. Every measured node of the graph is adjusted for, "
                "so that the arrow would not change the adjustment; what was not measured is a matter for the sensitivity below."
                if rejected
                else "That no test rejects does not prove the graph."
            ),
            f"该图有 {tested} 条数据可以检验的独立性（每个单位取一行，并校正检验次数），其中 {rejected} 条被拒绝。"
            + (
                "被拒绝的一行表示两点之间缺少箭头。图中所有测量到的变量都已被调整，因此补上箭头不会改变调整；未测量的因素见下面的敏感性分析。"
                if rejected
                else "没有被拒绝并不证明图是对的。"
            ),
        )
    )
    page.table(
        t("Tested implications of the graph", "图的可检验推论"),
        [
            t("independent", "独立"),
            t("given", "给定"),
            t("verdict", "结论"),
            t("correlation", "相关"),
            t("p, corrected", "校正后的 p"),
        ],
        [
            [
                f"{node_name(c['a'], page.lang)} ⟂ {node_name(c['b'], page.lang)}",
                ", ".join(node_name(name, page.lang) for name in c["given"].split(", ") if name) or "–",
                t(c["verdict"], {"rejected": "被拒绝", "untested": "未检验"}.get(c["verdict"], "成立")),
                *("–" if c[name] is None else number(c[name], 3) for name in ("correlation", "p_value")),
            ]
            for c in checks
        ],
        3,
    )


def recommendations_section(page: Page, model: CausalRecommender, t: Words, lang: Lang, people: int = 2) -> None:
    """Top lists of the most active users, with reasons, and the drivers of one effect."""
    page.section(t("Recommendations and their reasons", "推荐及其理由"))
    space = " " if lang == "en" else ""
    page.text(space.join(ranker_words(model.ranker_, lang)))
    if told := text_words(model.text_model_, model.notes_.get("texts", {}), lang):
        page.text(space.join(told))
    if model.choice_ is not None:
        page.text(space.join(choice_words(model.choice_, lang)))
        rows, chosen = choice_rows(model.choice_, lang)
        if rows:
            page.table(t("Rankers that were tried, the simplest first", "所尝试的排序器，从最简单的开始"), COLUMNS[lang], rows, 1, chosen)
    busiest = np.argsort(-np.diff(model.dataset_.histories.offsets), kind="stable")[:people]
    ids = [model.dataset_.users["user"][int(code)] for code in busiest]
    rankings: tuple[Ranking, ...] = ("preference", "effect") if model.effects_ else ("preference",)
    for by in rankings:
        frame = model.recommend(ids, 5, by=by)
        reasons = short_reasons(model, frame, lang)
        stays = _stays(model, ids, t) if by == "effect" else {}
        rows = [
            [
                str(row["user"]),
                str(row["rank"]),
                row["text"][:70] or str(row["item"]),
                reason,
                "–"
                if row["effect"] is None
                else f"{row['effect']:+.4f} [{row['effect_low']:+.4f}, {row['effect_high']:+.4f}]",
                *([stays.get((row["user"], row["item"]), "–")] if stays else []),
            ]
            for row, reason in zip(frame.to_dicts(), reasons, strict=True)
        ]
        page.table(
            t(f"Five best by {by}", "按偏好的前五名" if by == "preference" else "按效应的前五名"),
            [
                t("user", "用户"),
                t("rank", "名次"),
                t("item", "商品"),
                t("why", "理由"),
                t("effect of treating it", "干预的效应"),
                *([t("stays in the five up to Gamma", "保持在前五名到 Gamma")] if stays else []),
            ],
            rows,
            4,
        )
    first = model.recommend(ids[:1], 1)
    why = model.why(ids[0], first["item"][0])
    page.heading(t("One recommendation in full", "一条推荐的完整解释"))
    page.items(sentences(why, lang))
    if why.drivers:
        drivers = sorted(why.drivers.items(), key=lambda entry: -abs(entry[1]))
        page.chart(
            plots.contributions(
                [group_name(name, lang) for name, _ in drivers],
                np.array([share for _, share in drivers]),
                unit=t("share of the pair's effect above the average pair", "该配对的效应高于平均的部分"),
                description="; ".join(f"{group_name(name, lang)} {share:+.5f}" for name, share in drivers),
            )
        )


def _stays(model: CausalRecommender, users: Sequence[Any], t: Words) -> dict[tuple[Any, Any], str]:
    """For each recommended pair the Gamma of a hidden cause up to which the item stays; empty for a model without bounds."""
    from whyrec.decide.standing import standing

    if model.effects_ is None or model.effects_.bounds_ is None:
        return {}
    largest = float(model.effects_.bounds_.gamma_[-1])
    return {
        (row["user"], row["item"]): t("not even at 1", "1 也不能")
        if row["gamma"] == 0
        else f"{row['gamma']:.2f}"
        if row["gamma"] <= largest
        else f"> {largest:.1f}"
        for row in standing(model, users, 5).to_dicts()
    }


def limits_section(page: Page, t: Words) -> None:
    """What cannot be concluded."""
    page.section(t("Limits", "局限"))
    page.items(
        [
            t(
                "Every effect here is from a log, not an experiment: it holds if nothing unmeasured drives both treatment and outcome. The sensitivity charts say how strong such a cause would have to be.",
                "这里的效应来自日志而非实验：前提是没有未测量的因素同时影响干预和结果。敏感性图说明这样的因素需要多强才能推翻结论。",
            ),
            t(
                "An interval speaks of chance, not of a wrong assumption.",
                "区间只说明随机误差，不说明假设的错误。",
            ),
            t(
                "The effect on one pair is far less certain than the average: its interval is from a linear projection widened by the disagreement of the learners.",
                "单个配对的效应远不如平均效应确定：其区间来自线性投影，并按各学习器之间的分歧加宽。",
            ),
            t(
                "One pair's treatment is taken not to change another's outcome; products that replace each other break this.",
                "假定对一个配对的干预不影响其他配对；相互替代的商品会违反这一点。",
            ),
        ]
    )
