"""The report of the demo: the shop and the proof, for a reader who was not there."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl

from whyrec.estimate import Estimate
from whyrec.explain import plots
from whyrec.explain.page import Page, Words, hidden_share, hidden_share_words, number, with_interval
from whyrec.explain.report import (
    calibration_charts,
    checks_part,
    chooser,
    data_section,
    effects_section,
    estimates_chart,
    failures_part,
    graph_checks_part,
    graph_part,
    limits_section,
    method_name,
    overlap_chart,
    recommendations_section,
)

Lang = Literal["en", "zh"]


def demo_report(found: Any, lang: Lang = "en") -> str:
    """The whole page. found: what `whyrec.studies.demo.demo` collected."""
    t = chooser(lang)
    page = Page(t("Why would they buy it? A shop, and a proof", "他们为什么会买？一家商店，一个证明"), lang)
    _summary(page, found, t, lang)
    data_section(page, found.model, t)
    _validation(page, found.validation, t)
    _baselines(page, found.baselines, t, lang)
    for key, study in found.studies.items():
        _study(page, key, study, t, lang)
    content = found.model.effects_content()
    if content is not None:
        effects_section(page, content, t, lang)
    recommendations_section(page, found.model, t, lang)
    _why_not(page, found.why_not, t, lang)
    _randomised(page, found.randomised, t, lang)
    _proof(page, found.proof, t, lang)
    limits_section(page, t)
    return page.render()


def _summary(page: Page, found: Any, t: Words, lang: Lang) -> None:
    page.text(
        t(
            "This page was made from 75,000 real purchase lines of a grocery chain (Complete Journey, CC0) and 20,000 real impressions of a fashion shop "
            "(Open Bandit, CC BY 4.0). It asks what each household would buy next, what discounts and campaigns change, and whether the method that answers tells the truth.",
            "本页由一家连锁超市的 75,000 行真实购买记录（Complete Journey，CC0）和一家时装店的 20,000 次真实展示（Open Bandit，CC BY 4.0）生成。"
            "问题是：每个家庭接下来会买什么，折扣和活动改变什么，以及回答这些问题的方法是否可信。",
        ),
        "lead",
    )
    discount, campaign = found.studies["discount"], found.studies["campaign"]
    for name, study in ((t("Discount", "折扣"), discount), (t("Campaign", "活动"), campaign)):
        effect, naive = study.effect, study.naive
        page.text(
            t(
                f"{name}: {_told(effect, 2)} by DoCalib; the plain comparison says {_told(naive, 2)}. {study.conclusion}",
                f"{name}：DoCalib 估计 {_told(effect, 2)}；直接比较为 {_told(naive, 2)}。",
            ),
            "key",
        )
        held = {
            "refutations": [refutation.to_dict() for refutation in study.refutations],
            "positivity": study.positivity.to_dict(),
            "graph_checks": study.graph_checks.to_dicts(),
        }
        failures_part(page, held, lang, f"{name}: ")
    failures_part(page, found.model.effects_content(), lang, t("Recommendation: ", "推荐："))
    ours = found.proof.summary.filter(pl.col("method") == "DoCalib").to_dicts()[0]
    naive = found.proof.summary.filter(pl.col("method") == "naive").to_dicts()[0]
    page.text(
        t(
            f"Proof: over {found.proof.draws} logs drawn from a known truth, DoCalib's bias is {ours['bias']:+.5f} and the plain comparison's {naive['bias']:+.5f}; "
            f"its 95% interval covered the truth in {ours['coverage']:.0%} of them.",
            f"证明：在由已知真值模拟的 {found.proof.draws} 份日志中，DoCalib 的偏差为 {ours['bias']:+.5f}，直接比较为 {naive['bias']:+.5f}；"
            f"其 95% 区间在 {ours['coverage']:.0%} 的日志中覆盖真值。",
        ),
        "key",
    )


def _validation(page: Page, validation: Any, t: Words) -> None:
    page.heading(t("Data quality", "数据质量"))
    page.text(
        t(
            f"{validation.rows_read:,} purchase lines read, {validation.rows_kept:,} kept, {validation.rows_rejected:,} rejected.",
            f"读取购买记录 {validation.rows_read:,} 行，保留 {validation.rows_kept:,} 行，拒绝 {validation.rows_rejected:,} 行。",
        )
    )
    frame = validation.to_frame()
    if frame.height:
        columns = [name for name in ("issue", "column", "count", "action", "remedy") if name in frame.columns]
        page.table(
            t("What validation found", "检查结果"),
            columns,
            [[_way(row[c], t) for c in columns] for row in frame.to_dicts()],
            len(columns),
        )


def _baselines(page: Page, baselines: Any, t: Words, lang: Lang) -> None:
    page.section(t("Who finds the next purchases?", "谁能找到接下来的购买？"))
    page.text(
        t(
            "Every method ranks the whole catalogue for every household; what it bought in the held-out part is relevant: repeat purchases included, as groceries are bought again, and, harder, products new to the household only. "
            "Intervals are bootstrapped over households; the p-value compares with the best method, corrected for the number of comparisons.",
            "每种方法为每个家庭对全部商品排序；保留部分中的购买为相关项：一种包括重复购买，另一种更难，只计对该家庭而言的新商品。区间由对家庭的自助法得到；p 值与最佳方法比较，并经多重比较校正。",
        )
    )
    for name, (how, frame) in baselines.items():
        ordered = frame.sort("ndcg", descending=True).to_dicts()
        chinese = "保留：每个家庭的最后一次购物" if name.startswith("last basket") else "保留：最后五分之一的时间"
        title = t(f"Held out: {how}", chinese + ("，只计新商品" if "new" in name else ""))
        rows = [
            [
                method_name(r["method"], lang), with_interval(r["ndcg"], r["ndcg_low"], r["ndcg_high"], 4),
                with_interval(r["recall"], r["recall_low"], r["recall_high"], 4), number(r["coverage"], 3),
                number(r["popularity_bias"], 2), "–" if r["p_value"] is None else number(r["p_value"], 3),
            ]
            for r in ordered
        ]  # fmt: skip
        ours = next(place for place, r in enumerate(ordered) if r["method"] == "causal recommender")
        page.table(
            title,
            [
                t("method", "方法"), "NDCG@10", "Recall@10", t("catalogue coverage", "目录覆盖率"), t("popularity bias", "热度偏差"),
                t("p against best", "与最佳比较的 p"),
            ],
            rows, 1, ours,
        )  # fmt: skip
        page.chart(
            plots.intervals(
                [
                    plots.Interval(
                        method_name(r["method"], lang),
                        r["ndcg"],
                        r["ndcg_low"],
                        r["ndcg_high"],
                        0 if r["method"] == "causal recommender" else 1,
                    )
                    for r in ordered
                ],
                unit="NDCG@10",
                description=title,
                legend=(t("ours", "我们的方法"), t("compared with", "对照方法")),
            )
        )
        if ours:
            page.text(
                t(
                    f"Here {ordered[0]['method']} is ahead of the causal recommender.",
                    f"这里{method_name(ordered[0]['method'], lang)}优于因果推荐。",
                ),
                "key warn",
            )


def _study(page: Page, key: str, study: Any, t: Words, lang: Lang) -> None:
    from whyrec.cause.graph import CausalGraph

    treatment, outcome = {"discount": ("discount", "units"), "campaign": ("campaign", "spend")}[key]
    titles = {
        "discount": t(study.question, "零售折扣会使商品每周的销量改变多少？"),
        "campaign": t(study.question, "收到促销活动会使家庭在活动商品上的支出改变多少？"),
    }
    page.section(titles[key])
    page.heading(t("What is assumed", "假设"))
    graph = CausalGraph.from_text(f"{study.graph.strip().rstrip(';')}; {study.unmeasured}")
    hidden = {name for name in graph.nodes if name in study.unmeasured and name not in study.graph}
    graph = CausalGraph.from_edges(graph.directed, graph.bidirected, latent=hidden)
    graph_part(page, graph, t, treatment, outcome, study.graph_checks.to_dicts())
    graph_checks_part(page, study.graph_checks.to_dicts(), t)
    page.heading(t("The answer", "答案"))
    naive, effect = study.naive, study.effect
    chart = {"DoCalib": effect.to_dict(), "naive": naive.to_dict()}
    unit = t(
        effect.estimand,
        "每个商品每周的销量变化（件）" if key == "discount" else "活动期间家庭在活动商品上的支出变化（抽样美元）",
    )
    page.chart(estimates_chart(chart, unit if len(unit) < 90 else t("effect", "效应"), t, lang))
    page.text(t(study.why_naive_misleads, "直接比较有误导性：得到干预的单位本来就不同。"))
    page.text(t(study.conclusion, f"DoCalib：{_told(effect, 3)}。"), "key")
    if study.check is not None:
        page.text(
            t(
                f"Where the answer must be zero (before the start): {_told(study.check, 3)}.",
                f"答案必须为零之处（开始之前）：{_told(study.check, 3)}。",
            )
        )
    _alternatives(page, study.alternatives, t)
    calibration_charts(
        page, {part: {when: c.to_dict() for when, c in curves.items()} for part, curves in study.calibration.items()}, t
    )
    overlap_chart(page, study.positivity.to_dict(), t)
    checks_part(page, [r.to_dict() for r in study.refutations], study.sensitivity.to_dict(), t)
    _contour(page, study.panel, t)
    if study.notes and t("en", "zh") == "en":
        page.items(list(study.notes))


def _contour(page: Page, panel: Any, t: Words) -> None:
    """What a hidden cause would leave of the linear adjustment on the same rows (Cinelli and Hazlett 2020)."""
    from whyrec.cause.linear_effect import LinearEffect
    from whyrec.cause.sensitivity import contour
    from whyrec.explain.sensitivity_plots import contour_painter

    if panel is None:
        return
    varied = panel.features.std(axis=0) > 1e-9
    names = [name for name, kept in zip(panel.feature_names, varied, strict=True) if kept]
    line = LinearEffect.of(
        panel.outcome,
        panel.treatment,
        panel.features[:, varied],
        clusters=panel.clusters,
        weights=panel.weights,
        names=names,
    )
    found = contour(line)
    page.text(
        t(
            "The same for a linear adjustment on the same rows: each line joins hidden causes that would leave the effect it names; the numbered points are as strong as measured columns.",
            "同样的行上线性调整的敏感性：每条线连接会使效应变为所标数值的隐藏原因；编号点的强度等于已测量的列。",
        )
    )
    page.chart(plots.draw(contour_painter(found, t), description=found.to_text(), height=3.8, narrow_height=5.2))


_WAYS = {
    "one half of the households shows the price, the other half's units count": "一半家庭显示价格，另一半计销量",
    "the same, counting only weeks that were seen": "同上，只计观察到价格的周",
    "unseen weeks imputed, five times": "未观察到的周五次插补",
    "weeks without a sale left out": "去掉没有销售的周",
    "last seen price carried on": "沿用最近一次价格",
    "unseen weeks taken as undiscounted": "未观察到的周视为无折扣",
    "unseen weeks taken as discounted": "未观察到的周视为有折扣",
    "while it runs": "活动期间", "before it starts": "开始之前", "all households": "所有家庭",
    "chance between 5% and 95%": "概率在 5% 到 95% 之间", "naive difference": "直接比较", "regression adjustment": "回归调整",
    "BTS to random": "由学习策略的日志估计随机策略", "random to BTS": "由随机策略的日志估计学习策略",
    "outlier": "异常值", "kept": "保留", "rejected": "拒绝",
}  # fmt: skip


def _way(words: Any, t: Words) -> str:
    """Words of a table's cell in the page's language."""
    return t(str(words), _WAYS.get(str(words), str(words)))


def _alternatives(page: Page, frame: pl.DataFrame, t: Words) -> None:
    if frame is None or frame.height == 0:
        return
    words = [
        name
        for name in frame.columns
        if frame[name].dtype == pl.String and name not in ("kind", "reading", "refutations")
    ]

    rows = [
        [
            ", ".join(_way(row[name], t) for name in words),
            with_interval(row["estimate"], row["low"], row["high"]),
            hidden_share(row),
            _refuted(row["refutations"], t),
        ]
        for row in frame.to_dicts()
    ]
    page.table(
        t("The same question asked in other ways", "用其他方式问同一问题"),
        [
            t("way", "方式"),
            t("effect", "效应"),
            t("a hidden cause must explain", "隐藏原因须解释"),
            t("attempts to refute it", "反驳尝试"),
        ],
        rows,
        1,
    )
    page.text(hidden_share_words(t), "quiet")


_ATTEMPTS = {
    "placebo treatment": "安慰剂干预", "random common cause": "随机共同原因", "random halves": "随机半数样本",
    "column after the treatment": "干预之后的列", "missed by both models": "两个模型都遗漏的部分",
    "simulated confounder": "模拟混杂", "data-generating resample": "按拟合模型重抽样",
    "negative control outcome": "阴性对照结果",
}  # fmt: skip


def _refuted(told: str, t: Words) -> str:
    """ "5 of 5 passed; failed: ..." in the page's language."""
    if t("en", "zh") == "en" or not told:
        return told
    counts, *rest = told.split("; ")
    passed, _, tried = counts.removesuffix(" passed").partition(" of ")
    parts = [f"{tried} 项中 {passed} 项通过"]
    for part in rest:
        word, _, names = part.partition(": ")
        listed = "、".join(_ATTEMPTS.get(name, name) for name in names.split(", "))
        parts.append(f"{'未通过' if word == 'failed' else '未定'}：{listed}")
    return "；".join(parts)


def _why_not(page: Page, example: Any, t: Words, lang: Lang) -> None:
    page.section(t("Why was it not bought?", "为什么没有买？"))
    page.text(
        t(
            f"Household {example.household} had bought {example.text} (product {example.product}) before, shopped in week {example.week}, and left it on the shelf at "
            f"{example.price:.2f} dollars. Of the last weeks' occasions this is the one with most to explain. Shares are counterfactuals of a structural causal model with this "
            "occasion's own noise.",
            f"家庭 {example.household} 以前买过 {example.text}（商品 {example.product}），第 {example.week} 周来购物，但没有以 {example.price:.2f} 美元买它。"
            "这是最近几周中最值得解释的一次。份额是结构因果模型在该次情形自身噪声下的反事实。",
        )
    )
    page.chart(example.found.picture())
    page.items(list(example.found.sentences()))


def _randomised(page: Page, result: Any, t: Words, lang: Lang) -> None:
    page.section(t("Proof, first part: a policy that really ran", "证明之一：真实运行过的策略"))
    page.text(
        t(
            "Two policies ran side by side in a fashion shop: one learned (Thompson sampling), one chose at random. From the log of one alone we estimate what the other earns, and hold it against what it really earned. "
            "With 69 and 46 clicks in 10,000 impressions each the intervals are wide: this shows that the values agree, not which of two close policies is better.",
            "两种策略在一家时装店同时运行：一种会学习（汤普森抽样），一种随机选择。我们只用其中一份日志估计另一种策略的收益，再与其真实收益对照。"
            "每份日志 10,000 次展示中只有 69 和 46 次点击，区间很宽：它只能说明数值一致，不能分辨两个相近策略的优劣。",
        )
    )
    for direction, frame in result.table.group_by("direction", maintain_order=True):
        rows = frame.to_dicts()
        truth = rows[0]
        intervals = [
            plots.Interval(
                method_name(r["method"], lang),
                1000 * r["value"],
                1000 * r["low"],
                1000 * r["high"],
                0 if r["method"] in ("DR", "SNDR") else 1,
            )
            for r in rows
        ]
        intervals.append(
            plots.Interval(
                t("what it really earned", "真实收益"),
                1000 * truth["truth"],
                1000 * truth["truth_low"],
                1000 * truth["truth_high"],
                2,
            )
        )
        page.heading(_way(direction[0], t))
        page.chart(
            plots.intervals(
                intervals,
                unit=t("clicks per 1,000 impressions", "每千次展示的点击数"),
                description=_way(direction[0], t),
                reference=1000 * truth["truth"],
                legend=(t("doubly robust", "双重稳健"), t("others", "其他"), t("truth", "真值")),
            )
        )
        page.table(
            t("Clicks per 1,000 impressions", "每千次展示的点击数"),
            [t("method", "方法"), t("note", "说明"), t("value", "数值"), t("relative error", "相对误差"), t("covers the truth", "覆盖真值")],
            [
                [
                    method_name(r["method"], lang), t(r["note"], ""), with_interval(1000 * r["value"], 1000 * r["low"], 1000 * r["high"], 2),
                    f"{r['relative_error']:.0%}", t("yes", "是") if r["covers"] else t("no", "否"),
                ]
                for r in rows
            ], 2,
        )  # fmt: skip


def _proof(page: Page, result: Any, t: Words, lang: Lang) -> None:
    page.section(t("Proof, second part: known truth", "证明之二：已知真值"))
    page.text(
        t(
            f"The same households and products; who is shown what, and who buys, is drawn from a documented simulator in which recommending persuades some pairs, changes nothing for those who would buy anyway, "
            f"and follows popularity and affinity. {result.draws} logs were drawn; the true average effect is {result.truth:.5f}.",
            f"使用同样的家庭和商品；展示与购买由有文档的模拟器产生：推荐说服了一部分配对，对本来就会购买的没有作用，展示取决于热度和偏好。共抽取 {result.draws} 份日志；真实平均效应为 {result.truth:.5f}。",
        )
    )
    rows = result.summary.to_dicts()
    page.table(
        t("Average effect and ranking by effect", "平均效应与按效应排序"),
        [
            t("method", "方法"), t("bias", "偏差"), t("standard error of the bias", "偏差的标准误"), t("coverage of the 95% interval", "95% 区间覆盖率"),
            t("interval width", "区间宽度"), "CP@10",
        ],
        [
            [
                method_name(r["method"], lang), "–" if r["bias"] is None else f"{r['bias']:+.5f}", number(r["bias_error"], 5),
                "–" if r["coverage"] is None else f"{r['coverage']:.0%}", number(r["interval_width"], 5), number(r["cp_at_10"], 4),
            ]
            for r in rows
        ], 1, next((place for place, r in enumerate(rows) if r["method"] == "DoCalib"), None),
    )  # fmt: skip
    drawn = [
        plots.Interval(
            method_name(r["method"], lang), r["bias"], r["bias"] - 1.96 * r["bias_error"], r["bias"] + 1.96 * r["bias_error"],
            0 if r["method"] == "DoCalib" else 1,
        )
        for r in rows if r["bias"] is not None
    ]  # fmt: skip
    page.chart(
        plots.intervals(
            drawn,
            unit=t("mean error of the average effect over the logs", "平均效应的平均误差"),
            description="; ".join(f"{row.label} {row.value:+.5f}" for row in drawn),
            reference=0.0,
            legend=(t("ours", "我们的方法"), t("compared with", "对照方法")),
        )
    )
    page.text(
        t(
            "CP@10: average true effect of the ten products that the method would recommend by effect; higher is better.",
            "CP@10：该方法按效应推荐的十个商品的平均真实效应；越高越好。",
        ),
        "quiet",
    )


def _told(estimate: Estimate, digits: int) -> str:
    """An estimate and its interval."""
    return with_interval(estimate.estimate, estimate.interval[0], estimate.interval[1], digits)
