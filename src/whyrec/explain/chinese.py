"""Chinese for sentences that the library makes in English: attempts to refute an effect, what it assumes, faults of a log and their remedies.

Each pattern is the English template with its figures as groups; a sentence that none fits is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Lang = Literal["en", "zh"]
_N = r"([+-]?[\d.,]+(?:e[+-]?\d+)?%?|[+-]?(?:nan|inf))"
_TEMPLATES = (
    ("* treatments drawn by chance have effects of * on average, 95% of them between * and *; * are significant at 5% (5% "
     "expected; p-values no smaller than uniform: p = *).",
     "随机抽取的 {} 组干预的平均效应为 {}，其中 95% 在 {} 至 {} 之间；{} 在 5% 水平上显著（应为 5%；p 值不小于均匀分布：p = {}）。"),
    ("With a covariate of pure noise the effect is *, * standard errors from *.",
     "加入纯噪声协变量后效应为 {}，与 {2} 相差 {1} 个标准误。"),
    ("With covariates of pure noise the effect is * and never further than * standard errors from * in * runs.",
     "加入纯噪声协变量后效应为 {}，{3} 次中与 {2} 的距离从未超过 {1} 个标准误。"),
    ("Half of the units gives * on average, 95% of halves between * and *: * times the spread that the standard error promises.",
     "半数单位平均给出 {}，95% 的半样本在 {} 至 {} 之间：离散程度为标准误所示的 {} 倍。"),
    ("A simulated hidden cause of * of what is left of treatment and outcome takes the effect from * to *.",
     "模拟一个解释干预与结果剩余部分各 {} 的隐藏原因，效应从 {} 变为 {}。"),
    ("A simulated hidden cause of * of what is left of treatment and outcome takes the effect from * to *, whose sign was open already.",
     "模拟一个解释干预与结果剩余部分各 {} 的隐藏原因，效应从 {} 变为 {}；其符号本来就未定。"),
    ("A simulated hidden cause of * of what is left of treatment and outcome takes the effect from * to *; one as strong as @ (* and *) to *.",
     "模拟一个解释干预与结果剩余部分各 {} 的隐藏原因，效应从 {} 变为 {}；若与 {} 同样强（{} 与 {}），则变为 {}。"),
    ("A simulated hidden cause of * of what is left of treatment and outcome takes the effect from * to *, whose sign was open already; "
     "one as strong as @ (* and *) to *.",
     "模拟一个解释干预与结果剩余部分各 {} 的隐藏原因，效应从 {} 变为 {}，其符号本来就未定；若与 {} 同样强（{} 与 {}），则变为 {}。"),
    ("In * data sets drawn from the fitted models, * of the 95% intervals hold the effect of * that was planted.",
     "从拟合模型抽取的 {} 个数据集中，{} 的 95% 区间包含植入的效应 {}。"),
    ("In * data sets drawn from the fitted model, * of the 95% intervals hold the effect of * that was planted.",
     "从拟合模型抽取的 {} 个数据集中，{} 的 95% 区间包含植入的效应 {}。"),
    ("On @, which it cannot change, the treatment has an effect of * [*, *], p = *; it must be zero unless something unmeasured moves both.",
     "干预对其无法改变的 {} 的效应为 {} [{}, {}]，p = {}；除非有未测量因素同时影响二者，否则应为零。"),
    ("On an outcome that it cannot change the treatment has an effect of * [*, *], p = *; it must be zero unless something unmeasured moves both.",
     "干预对其无法改变的结果的效应为 {} [{}, {}]，p = {}；除非有未测量因素同时影响二者，否则应为零。"),
    ("@, which cannot change the outcome, has an effect of * [*, *], p = *; it must be zero unless something unmeasured moves both.",
     "不可能改变结果的 {} 的效应为 {} [{}, {}]，p = {}；除非有未测量因素同时影响二者，否则应为零。"),
    ("An exposure that cannot change the outcome has an effect of * [*, *], p = *; it must be zero unless something unmeasured moves both.",
     "不可能改变结果的暴露的效应为 {} [{}, {}]，p = {}；除非有未测量因素同时影响二者，否则应为零。"),
    ("Nothing is adjusted for, so nothing that comes after the treatment is.", "没有调整任何列，因此也没有调整干预之后的列。"),
    ("None of the * adjusted columns looks like a consequence of the treatment.", "{} 个被调整的列中没有一个像是干预的结果。"),
    ("@ tells who was treated beyond the logged chances: it was measured after the treatment, or the logged chances are "
     "not those of the draw; in a linear adjustment the effect is * with it and * without.",
     "在记录的概率之外，{} 仍能说明谁受了干预：它是在干预之后测量的，或者记录的概率不是抽取时的概率；线性调整中含它时效应为 {}，不含时为 {}。"),
    ("@ alone tells who was treated, and the other columns say nothing of it: a confounder if it was measured before the "
     "treatment; if after, leave it out, for to adjust for it makes an effect of nothing; in a linear adjustment the effect is "
     "* with it and * without.",
     "只有 {} 能说明谁受了干预，其他列与此无关：若在干预之前测量，它是混杂因素；若在之后，请将其去掉，因为对它调整会无中生有；"
     "线性调整中含它时效应为 {}，不含时为 {}。"),
    ("* clusters, worth * of equal size: an interval of so few holds only if they are drawn alike; gather more clusters",
     "{} 个簇，相当于 {} 个同样大小的簇：簇这么少时，只有它们同样抽取，区间才成立；请收集更多的簇"),
    ("the models of treatment and outcome seem to miss the same things: the interval allows for a bias of * (* standard "
     "errors) and may still be too short; more rows, or columns that say more directly what decided on the treatment, would help",
     "干预模型与结果模型似乎遗漏了同样的东西：区间已为 {} 的偏差（{} 个标准误）留出余地，仍可能偏短；更多的行，或更直接说明由什么决定干预的列，会有帮助"),
    ("few events: the outcomes of the treated are worth *, those of the control *; below * the interval is that of exact shares of "
     "both arms", "事件很少：干预组的结果相当于 {} 个，对照组相当于 {} 个；少于 {} 个时，区间取自两组比例的精确区间"),
    ("a few units decide (skewness * of the parts of *): an interval that leans on the normal law may cover less than it says; it takes "
     "about * units, and more where large ones were not seen",
     "少数单位起决定作用（{1} 个单位的各部分偏度为 {0}）：依赖正态律的区间覆盖可能低于其声明；大约需要 {2} 个单位，若有未见到的大值则需更多"),
    ("the rounds are worth * for this policy; below * a 95% interval may hold the truth nearer 90 times in 100: log more exploration",
     "对该策略而言，这些轮次相当于 {} 轮；低于 {} 轮时，95% 区间包含真值的次数可能更接近百分之九十：请记录更多探索"),
    ("the worst * of the rounds are worth * rounds for this policy; below * the interval of their mean is too short: log more, or ask for "
     "a larger share", "对该策略而言，最差的 {} 相当于 {} 轮；低于 {} 轮时其均值的区间偏短：请记录更多，或询问更大的份额"),
    ("the best * of the rounds are worth * rounds for this policy; below * the interval of their mean is too short: log more, or ask for "
     "a larger share", "对该策略而言，最好的 {} 相当于 {} 轮；低于 {} 轮时其均值的区间偏短：请记录更多，或询问更大的份额"),
    ("weak proxies (F = *, below *): the interval may cover less than it says", "代理变量太弱（F = {}，低于 {}）：区间覆盖可能低于其声明"),
    ("weak proxies (F = *, below *): the interval may cover less than it says; method='two-stage' bears weaker ones",
     "代理变量太弱（F = {}，低于 {}）：区间覆盖可能低于其声明；method='two-stage' 可用于更弱的代理变量"),
    ("one of the groups compared is worth * users: an interval of so few holds only if they are like all others; treat fewer or more",
     "所比较的一组相当于 {} 个用户：人数这么少时，只有他们与其他人相似，区间才成立；请干预更少或更多的用户"),
    ("errors that are too small, as where rows depend on each other", "过小的标准误，例如各行相互依赖时"),
    ("a hidden cause, or a column that should not be adjusted for: a drawn treatment has neither",
     "隐藏原因，或不该调整的列：随机抽取的干预两者皆无"),
    ("an estimate that does not bear one more column", "经不起多加一列的估计"),
    ("a hidden cause, which is not noise", "隐藏原因，因为它不是噪声"),
    ("an error that a few units make wrong", "因少数单位而出错的标准误"),
    ("a bias that all units share", "所有单位共有的偏差"),
    ("an effect so near zero that a weak hidden cause would turn it", "离零太近、弱的隐藏原因便能改变其符号的效应"),
    ("whether there is such a cause", "是否存在这样的原因"),
    ("overlap so poor that intervals fail even where the models are true", "重叠太差，即使模型正确区间也不成立"),
    ("models that are wrong, or a hidden cause", "错误的模型，或隐藏原因"),
    ("a hidden cause that moves this outcome as well", "同时影响这一结果的隐藏原因"),
    ("one that moves the outcome in question alone", "只影响所问结果的原因"),
    ("a hidden cause that moves this exposure as well", "同时影响这一暴露的隐藏原因"),
    ("one that moves the treatment in question alone", "只影响所问干预的原因"),
    ("one adjusted column that the treatment moves, where the treatment is left to chance given the others",
     "在给定其他列后干预属随机时，一个受干预影响的被调整列"),
    ("several such columns at once, or one among many causes of the treatment: adjust for what was measured before",
     "同时有几个这样的列，或干预的众多原因之一：请只调整干预之前测量的列"),
    ("nothing unmeasured drives both treatment and outcome, given the features", "给定特征后，没有未测量因素同时影响干预和结果"),
    ("every pair had a chance of either arm (see positivity)", "每个组合都有机会属于任一组（见正值性）"),
    ("the treatment of one pair does not change the outcome of another", "一个组合的干预不改变另一个组合的结果"),
    ("the propensity or the outcome models are right (either suffices)", "倾向模型或结果模型正确（其一即可）"),
    ("give every row its @", "请为每一行填写 {}"),
    ("write ISO 8601 (2024-05-31T18:30:00) or seconds since 1970; a 0 among times of today is a missing one",
     "请使用 ISO 8601（2024-05-31T18:30:00）或自 1970 年起的秒数；今日时间之中的 0 视为缺失"),
    ("years away from all others; correct them if the clock or the unit was wrong, for histories are in their order",
     "与其他时间相差数年；若时钟或单位有误请改正，因为历史按其排序"),
    ("whether a confounder's value is missing depends on treatment, outcome and the columns without gaps only",
     "混杂因素的值是否缺失只取决于干预、结果以及没有缺失的列"),
    ("whether a confounder's value is missing has nothing to do with outcome or effect, given what is adjusted for",
     "给定所调整的因素后，混杂因素的值是否缺失与结果和效应无关"),
    ("they count as different ones; write each in one way if they are the same", "它们被视为不同的编号；若为同一个，请统一写法"),
    ("it counts as an id like any other; leave it empty if it means that none is known", "它被视为普通编号；若表示未知，请留空"),
    ("the whole interval lay beyond what is possible, so that nothing is known: the assumptions do not fit these rows",
     "整个区间都在可能范围之外，因此一无所知：假设与这些行不符"),
    ("rows that miss a value of a column that is used are like the others", "所用列中缺失某值的行与其余的行相似"),
    ("who decided on the treatment did not know the missing values of the confounders either",
     "决定干预的人同样不知道混杂因素的缺失值"),
    ("times after @ UTC are taken for errors; correct the clock or pass a later `now`",
     "晚于 {} UTC 的时间视为错误；请校正时钟或传入更晚的 `now`"),
    ("NaN and infinity are no outcomes; leave the value empty where it is unknown", "NaN 与无穷不是结果；未知时请留空"),
    ("a propensity is the probability of what was logged: above 0, at most 1", "倾向得分是所记录行为的概率：大于 0，至多为 1"),
    ("a weight is a number of 0 or more", "权重是不小于 0 的数"),
    ("infinity is no measurement; leave the value empty where it is unknown", "无穷不是测量值；未知时请留空"),
    ("the first copy stays; add a column that tells repeated events apart if they are real",
     "保留第一份；若重复事件属实，请增加一列加以区分"),
    ("kept, for without a time a repeated row may be a repeated event", "予以保留：没有时间时，重复的行可能是重复的事件"),
    ("it counts as missing", "视为缺失"),
    ("rows without a propensity cannot be weighted by it", "没有倾向得分的行无法据此加权"),
    ("look at them; `clean(outcome_outliers=...)` winsorises or drops if they are errors",
     "请检查；若为错误，可用 `clean(outcome_outliers=...)` 缩尾或删除"),
    ("no effect can be estimated and no rating learned from it; add rows with another outcome",
     "无法据此估计效应或学习评分；请加入结果不同的行"),
    ("without both arms no effect can be estimated; add rows of the other arm", "缺少一组便无法估计效应；请加入另一组的行"),
    ("the @ keeps its rows but has no description; add it to the @ table", "该 {0} 的行被保留但没有描述；请将其加入 {0} 表"),
)  # fmt: skip
_PATTERNS = tuple(
    (re.compile(re.escape(english).replace(r"\*", _N).replace("@", "(.+?)")), chinese)
    for english, chinese in _TEMPLATES
)
KINDS = {
    "missing_id": "缺少编号",
    "unparseable_time": "无法解析的时间",
    "future_time": "未来的时间",
    "impossible_value": "不可能的取值",
    "duplicate_row": "重复的行",
    "not_a_number": "不是数",
    "missing_propensity": "缺少倾向得分",
    "far_time": "远离其他的时间",
    "ids_spelt_alike": "写法相近的编号",
    "id_says_missing": "像是缺失的编号",
    "outlier": "离群值",
    "constant_outcome": "结果恒定",
    "no_treated_rows": "没有受干预的行",
    "no_untreated_rows": "没有未受干预的行",
    "constant_treatment": "干预恒定",
    "not_in_user_table": "不在用户表中",
    "not_in_item_table": "不在商品表中",
}


def in_chinese(sentence: str) -> str:
    """A sentence of the library in Chinese, its figures as they are; as it is where it is none of those known."""
    for pattern, chinese in _PATTERNS:
        found = pattern.fullmatch(sentence)
        if found is not None:
            return chinese if not found.groups() else _filled(chinese, found.groups())
    return sentence


def _filled(chinese: str, figures: tuple[str, ...]) -> str:
    """Numbered places take their own figure, the others the figures that no numbered place takes, in order."""
    named = {int(place) for place in re.findall(r"{(\d)}", chinese)}
    rest = iter([figure for place, figure in enumerate(figures) if place not in named])
    return re.sub(r"{(\d?)}", lambda at: figures[int(at[1])] if at[1] else next(rest), chinese)


def sentences_in(rows: Sequence[str], lang: Lang) -> list[str]:
    """Sentences in a language."""
    return [in_chinese(row) for row in rows] if lang == "zh" else list(rows)


def refutations_in(rows: Sequence[Mapping[str, Any]], lang: Lang) -> list[dict[str, Any]]:
    """Refutations (`Refutation.to_dict`) with their words in a language."""
    if lang == "en":
        return [dict(row) for row in rows]
    told = ("words", "detects", "misses")
    return [{**row, **{name: in_chinese(str(row[name])) for name in told if row.get(name)}} for row in rows]


def validation_in(validation: Mapping[str, Any] | None, lang: Lang) -> dict[str, Any] | None:
    """A validation report (`ValidationReport.to_dict`) with the words of its issues in a language."""
    if validation is None or lang == "en":
        return None if validation is None else dict(validation)
    issues = [
        {**row, "words": KINDS.get(str(row["kind"]), row["kind"]), "remedy": in_chinese(str(row["remedy"]))}
        for row in validation["issues"]
    ]
    return {**validation, "issues": issues}
