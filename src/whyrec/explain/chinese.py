"""Chinese for sentences that the library makes in English: attempts to refute an effect, what it assumes, faults of a log and their remedies.

Each pattern is the English template with its figures as groups (* a number, @ a name, ~ a sentence that is told in Chinese, too); a sentence that
none fits is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Lang = Literal["en", "zh"]
_N = r"([+-]?[\d.,]+(?:e[+-]?\d+)?%?|[+-]?(?:nan|inf))"
_TEMPLATES = (
    # Lines of an answer's text: what stands before the colon first, as the rest is a sentence of its own.
    ("passed: ~", "通过：{}"),
    ("FAILED: ~", "未通过：{}"),
    ("OPEN: ~", "未定：{}"),
    ("WARNING: ~", "警告：{}"),
    ("MISSING: ~", "缺失：{}"),
    ("overlap: ~", "重叠：{}"),
    ("sensitivity: ~", "敏感性：{}"),
    ("assumed by ~: ~", "{} 的假设：{}"),
    ("adjusted for: nothing", "调整的列：无"),
    ("adjusted for: @", "调整的列：{}"),
    ("can find: ~; cannot: ~", "能发现：{}；不能发现：{}"),
    ("good: ~", "良好：{}"),
    ("weak: ~", "较弱：{}"),
    ("fair: ~", "一般：{}"),
    ("poor: ~", "较差：{}"),
    ("naive", "朴素差值"),
    ("regression", "结果回归"),
    ("linear adjustment", "线性调整"),
    ("effect (DoCalib) @", "效应（DoCalib） {}"),
    # Strategies (studies.strategies).
    ("difference of means", "均值之差"),
    ("effect on those whom the instrument moves", "受工具变量影响者的效应"),
    ("within a bin of @ nothing differs (cut at quantiles)", "{} 的同一区间内没有差别（按分位数切分）"),
    ("effect (~) @", "效应（{}） {}"),
    ("of: ~", "估计量：{}"),
    ("effect of one more unit of @ on @", "{} 每增加一个单位对 {} 的效应"),
    ("effect of @ on @ among those who were treated", "{} 对 {} 的效应（受干预者中）"),
    ("effect of @ on @ at @ = *", "{} 对 {} 的效应（在 {} = {} 处）"),
    ("effect of @ on @", "{} 对 {} 的效应"),
    ("doubly robust @", "双重稳健 {}"),
    ("doubly robust", "双重稳健"),
    ("instrument", "工具变量"), ("did", "双重差分"), ("proximal", "近端推断"), ("front-door", "前门"), ("rd", "断点回归"), ("id", "识别公式"),
    # Panels (studies.panel_effects).
    ("sdid", "合成双重差分"), ("synthetic-control", "合成控制"),
    ("naive difference @", "朴素差值 {}"),
    ("mean effect on the treated, in the periods after the start", "干预开始后各期对受干预单位的平均效应"),
    ("treated: * of * units over * periods: @", "受干预：{} / {} 个单位，{} 期：{}"),
    ("standard error: *", "标准误：{}"),
    ("placebos: * treatments that were not; p = *", "安慰剂：{} 个并不存在的干预；p = {}"),
    ("compared with: @", "对照：{}"),
    ("* starts: each cohort against the units that are never treated; a two-way regression, which compares with treated ones, says *",
     "{} 个开始时间：每批只与从未受干预的单位比较；双向回归（会与已受干预者比较）给出 {}"),
    ("without treatment the treated would have gone on as the weighted controls that it followed before", "若无干预，受干预单位会继续像此前所跟随的加权对照那样变化"),
    ("without treatment the treated would have changed as the weighted controls do, against the weighted periods before",
     "若无干预，受干预单位相对加权的此前各期的变化会与加权对照相同"),
    ("without treatment the treated would have changed as the others do on average", "若无干预，受干预单位的变化会与其他单位的平均相同"),
    ("nobody changed before the start in expectation of it", "没有单位因预期而在开始之前就改变"),
    ("the treatment of one unit does not change the others", "一个单位的干预不影响其他单位"),
    ("the treated are like the untreated in how far they stray, relative to how far they strayed before",
     "受干预单位与未受干预单位在偏离程度上相似（相对于此前的偏离程度）"),
    ("units are drawn alike and independent of each other", "各单位同分布且相互独立"),
    ("every unit-period is an independent trial, treated at random", "每个单位的每一期都是独立试验，随机受干预"),
    ("Had the treatment begun at @, with nothing known after @, its effect would be * [*, *]; it must be zero.",
     "若干预始于 {}，且 {} 之后一无所知，其效应为 {} [{}, {}]；应为零。"),
    ("Without one of the * heaviest controls the effect is between * and *; @ changes it most.", "去掉权重最大的 {} 个对照之一后，效应介于 {} 与 {} 之间；{} 影响最大。"),
    ("Before the start the treated strays * from its comparison; * of the placebos stray as far or farther.",
     "开始之前受干预单位偏离其对照 {}；{} 的安慰剂偏离同样远或更远。"),
    ("a comparison that drifts by itself, or a start that was expected", "自行漂移的比较，或被预期到的开始"),
    ("what else came at the time of the treatment", "与干预同时到来的其他因素"),
    ("an effect that one control makes", "由单个对照造成的效应"),
    ("what moved all controls alike", "同样影响所有对照的因素"),
    ("a treated unit that no mix of the others follows", "任何其他单位的组合都无法跟随的受干预单位"),
    ("a fit that is good by chance, or by too many controls", "偶然的或因对照过多而来的良好拟合"),
    ("Had the treated parted from its comparison by * for another reason, there would be no effect; by *, its sign would be open (it strayed * before: "
     "the effect is * times that).", "若受干预单位因其他原因偏离其对照 {}，则没有效应；偏离 {} 则其符号未定（此前偏离 {}：效应是它的 {} 倍）。"),
    ("Had the treated parted from its comparison by * for another reason, there would be no effect; its sign is open as it is (it strayed * before: "
     "the effect is * times that).", "若受干预单位因其他原因偏离其对照 {}，则没有效应；其符号本已未定（此前偏离 {}：效应是它的 {} 倍）。"),
    ("Had the treated parted from its comparison by * for another reason, there would be no effect; by *, its sign would be open (it did not stray before).",
     "若受干预单位因其他原因偏离其对照 {}，则没有效应；偏离 {} 则其符号未定（此前毫无偏离）。"),
    ("Had the treated parted from its comparison by * for another reason, there would be no effect; its sign is open as it is (it did not stray before).",
     "若受干预单位因其他原因偏离其对照 {}，则没有效应；其符号本已未定（此前毫无偏离）。"),
    ("the interval is of the jackknife, p of placebos: they may disagree", "区间来自刀切法，p 来自安慰剂：二者可能不一致"),
    ("the interval is of the bootstrap, p of placebos: they may disagree", "区间来自自助法，p 来自安慰剂：二者可能不一致"),
    ("* placebos only: the interval is that of the largest and has a level of *; more untreated units are needed",
     "只有 {} 个安慰剂：区间取其中最大者，水平为 {}；需要更多未受干预的单位"),
    ("a unit is followed without an error before the start: gaps after are not compared with those before, but as they are",
     "有单位在开始之前被毫无误差地跟随：之后的差距不与之前相比，而按原样比较"),
    # Moments (studies.table_moments).
    ("moments", "时刻效应"),
    ("effect of treating at a moment @", "在一个时刻施加干预的效应 {}"),
    ("treated less untreated moments (naive) @", "受干预时刻减去未受干预时刻（朴素） {}"),
    ("one more of @ changes the effect by @", "{} 每增加一，效应变化 {}"),
    ("* moments of * people; not available *, without an outcome *; mean chance of treatment *",
     "{} 个时刻，{} 人；不可施加 {} 个，没有结果 {} 个；平均干预概率 {}"),
    ("change of the outcome when treated at a moment instead of not, the past as it was, average over moments at which people were available",
     "在过去不变的情况下，某一时刻施加干预与不施加相比结果的变化，对可施加干预的时刻取平均"),
    ("change of the effect for one more of @, other moderators held", "{} 每增加一时效应的变化，其他调节变量不变"),
    ("effect where @ is *, others at their means", "{} 为 {} 时的效应，其他变量取均值"),
    ("effect where @ is * @", "{} 为 {} 时的效应 {}"),
    ("effect where @ is *", "{} 为 {} 时的效应"),
    ("mean of treated less mean of untreated moments", "受干预时刻的均值减去未受干预时刻的均值"),
    ("weighted and centred least squares", "加权中心化最小二乘"),
    ("the chance of treatment is the one of the column, given everything that came before (randomised at each moment)",
     "在此前一切已知的条件下，干预概率等于所给列的值（每个时刻都随机）"),
    ("moderators and controls were known before the treatment of their moment", "调节变量和控制变量在该时刻的干预之前已知"),
    ("one person's treatment changes nobody else's outcome", "一个人的干预不改变他人的结果"),
    ("every moment had the same chance of treatment, whatever came before", "无论此前如何，每个时刻的干预概率都相同"),
    ("only * people: the interval leans on what so few cannot check", "只有 {} 人：区间依赖于如此少的人无法检验的假设"),
    ("one moment weighs * times the mean: its chance of what happened was small", "有一个时刻的权重是均值的 {} 倍：其实际发生情况的概率很小"),
    ("* moments miss @ and are left out: right where that has nothing to do with what the outcome would have been",
     "有 {} 个时刻缺少 {}，已排除：只有当缺失与结果本身无关时才正确"),
    ("strategy: ~, as its columns were named", "策略：{}，因为指定了它的列"),
    ("strategy: ~, as the graph has no set of columns to adjust for and implies it", "策略：{}，因为图中没有可调整的列集，而图蕴含该策略"),
    ("strength: ~", "强度：{}"),
    ("first-stage F * (at least *)", "第一阶段 F 为 {}（至少 {}）"),
    ("controls like the treated, in rows * (at least *)", "与受干预者相似的对照相当于 {} 行（至少 {}）"),
    ("F of the treatment proxies for the outcome proxies * (at least *)", "干预代理对结果代理的 F 为 {}（至少 {}）"),
    ("F of the treatment for the mediators * (at least *)", "干预对中介的 F 为 {}（至少 {}）"),
    ("rows near the cutoff, on the emptier side * (at least *)", "断点附近较少一侧有 {} 行（至少 {}）"),
    ("one earlier period: whether the trends were alike before cannot be seen; name more of them (`before`, oldest first)",
     "只有一个更早的时期：无法看出此前趋势是否相同；请指定更多时期（`before`，从最早开始）"),
    ("From @ to @, before the treatment, the treated changed by * [*, *] more than the others, p = *; it must be zero.",
     "从 {} 到 {}，在干预之前，受干预者比其他人多变化 {} [{}, {}]，p = {}；应为零。"),
    ("A treatment drawn by chance has an effect of * [*, *], p = *; it must be zero.", "随机抽取的干预的效应为 {} [{}, {}]，p = {}；应为零。"),
    ("At *, the middle of the rows below the cutoff, the outcome jumps by * [*, *]; it must be zero.", "在断点以下各行的中点 {} 处，结果跳跃 {} [{}, {}]；应为零。"),
    ("At *, the middle of the rows above the cutoff, the outcome jumps by * [*, *]; it must be zero.", "在断点以上各行的中点 {} 处，结果跳跃 {} [{}, {}]；应为零。"),
    ("Of the * rows nearest to the cutoff * are at or above it, p = *; far from half says that units steer across it.",
     "离断点最近的 {} 行中有 {} 行在断点或其上，p = {}；若远离一半，说明个体会设法越过断点。"),
    ("trends that were apart before the treatment", "干预之前就不同的趋势"),
    ("trends that part when the treatment comes", "随干预而分开的趋势"),
    ("a curve that is taken for a jump", "被误认为跳跃的曲线"),
    ("something else that jumps at the cutoff itself", "在断点处跳跃的其他因素"),
    ("units that steer across the cutoff", "设法越过断点的个体"),
    ("units that do so in both directions alike", "在两个方向上同样如此的个体"),
    ("~ of * would explain the effect away, of * would leave its sign open (standard deviation of what is compared: *).",
     "{}：达到 {} 即可完全解释该效应，达到 {} 即可使其符号未定（所比较量的标准差：{}）。"),
    ("~ of * would explain the effect away; its sign is open as it is (standard deviation of what is compared: *).",
     "{}：达到 {} 即可完全解释该效应；其符号本已未定（所比较量的标准差：{}）。"),
    ("~ The largest gap between earlier periods was *: the effect is * times it.", "{} 更早时期之间的最大差距为 {}：效应是它的 {} 倍。"),
    ("A move of the outcome by @ past the treatment, per unit of it,", "{} 绕过干预对结果的影响（每单位）"),
    ("A move of the outcome by @ past the treatment, per standard deviation of it,", "{} 绕过干预对结果的影响（每标准差）"),
    ("A move of the outcome by the treatment past the mediators", "干预绕过中介对结果的影响"),
    ("Another change of the treated than of the others without treatment", "没有干预时受干预者与其他人变化的差异"),
    ("Another jump at the cutoff than that of the treatment", "断点处除干预之外的其他跳跃"),
    ("@ moves the outcome only through the treatment, and shares no cause with it", "{} 只通过干预影响结果，且与结果没有共同原因"),
    ("the effect is linear; or the treatment is yes or no and the instrument moves nobody the other way, and this is the effect on those whom it moves",
     "效应是线性的；或者干预只有是与否、工具变量不使任何人反向变化，此时为受其影响者的效应"),
    ("the instrument acts on the outcome through the treatment alone", "工具变量只通过干预影响结果"),
    ("nothing unmeasured drives both instrument and outcome, given the features", "给定特征后，没有未测量因素同时影响工具变量和结果"),
    ("the instrument moves nobody against its direction", "工具变量不使任何人反向变化"),
    ("without treatment, treated and control with the same features would have changed alike", "若无干预，特征相同的受干预者与对照的变化相同"),
    ("the treatment was not anticipated in the first period", "在更早的时期没有预料到干预"),
    ("the treatment proxies change the outcome through the treatment only", "干预代理只通过干预影响结果"),
    ("neither the treatment nor its proxies change the outcome proxies", "干预及其代理都不影响结果代理"),
    ("both kinds of proxies vary with the unmeasured cause in enough ways (completeness)", "两类代理都足够充分地随未测量的原因变化（完备性）"),
    ("the bridges have the form that was fitted", "桥函数具有所拟合的形式"),
    ("the whole effect goes through the mediators", "全部效应都经过中介"),
    ("nothing unmeasured joins the treatment and the mediators, or the mediators and the outcome beyond the treatment",
     "没有未测量因素同时影响干预与中介，或在干预之外同时影响中介与结果"),
    ("every value of the mediators may occur with either arm", "中介的每个取值在两组中都可能出现"),
    ("nothing but the treatment jumps at the cutoff, and nobody steers across it", "断点处除干预外没有别的跳跃，也没有人设法越过断点"),
    ("on either side the mean outcome bends no more than a quartic fitted to it does at its most", "两侧平均结果的弯曲不超过对其拟合的四次多项式的最大弯曲"),
    ("the graph is right: no unmeasured cause and no edge is missing from it", "图是正确的：没有遗漏未测量的原因或边"),
    ("every value of the treatment occurs beside every value of what comes before it", "干预的每个取值都与其之前各列的每个取值同时出现"),
    ("weak instrument (first-stage F = *, below *): the interval is right however weak it is, but the estimate leans towards that of no instrument; find a "
     "stronger one, or more rows", "弱工具变量（第一阶段 F = {}，低于 {}）：区间无论多弱都正确，但估计值偏向没有工具变量时的值；请寻找更强的工具变量或更多的行"),
    ("the instrument moves the treatment by *, which cannot be told from nothing at the level *: any effect is compatible with the data; find a stronger "
     "instrument, or more rows", "工具变量使干预变化 {}，在 {} 水平上与零无法区分：任何效应都与数据相容；请寻找更强的工具变量或更多的行"),
    ("weak proxies (F = *, below *): the interval may cover less than it says", "弱代理（F = {}，低于 {}）：区间的覆盖率可能低于所称"),
    ("weak proxies (F = *, below *): the interval may cover less than it says; method='two-stage' bears weaker ones",
     "弱代理（F = {}，低于 {}）：区间的覆盖率可能低于所称；两阶段法能承受更弱的代理"),
    ("doubly robust bridges: refused (@)", "双重稳健的桥函数：被拒绝"),
    ("naive difference @", "朴素差值 {}"),
    ("regression @", "结果回归 {}"),
    ("average change per unit @", "每单位的平均变化 {}"),
    ("dose * @", "剂量 {} {}"),
    ("Qini (0: ranks nothing) @", "Qini（0 表示排序无用） {}"),
    ("mean over all pairs (@) @", "全部组合的平均（{}） {}"),
    ("mean of the ratings given @", "已给评分的平均 {}"),
    ("DoCalib: @ (@ interval, n = *) for ~", "DoCalib：{}（{} 区间，n = {}），{}"),
    ("linear adjustment: @ (@ interval, n = *) for ~", "线性调整：{}（{} 区间，n = {}），{}"),
    ("naive: @ (@ interval, n = *) for ~", "朴素：{}（{} 区间，n = {}），{}"),
    ("* treated rows weigh as much as *, * control rows as *; * of the propensities were raised to a floor; the largest inverse weight is *",
     "{} 个干预行加权后相当于 {} 行，{} 个对照行相当于 {} 行；{} 的倾向得分被抬到下限；最大的逆权重为 {}"),
    ("* treated rows weigh as much as *, * control rows as *; * of the propensities were raised to a floor; the largest inverse weight is *; before "
     "calibration the treated rows weighed as much as *, the control rows as *",
     "{} 个干预行加权后相当于 {} 行，{} 个对照行相当于 {} 行；{} 的倾向得分被抬到下限；最大的逆权重为 {}；校准前干预行相当于 {} 行，对照行相当于 {} 行"),
    ("* treated rows weigh as much as *, * control rows as *; * of the propensities were raised to a floor; the largest inverse weight is *, a row that "
     "weighs * times the mean of its arm",
     "{} 个干预行加权后相当于 {} 行，{} 个对照行相当于 {} 行；{} 的倾向得分被抬到下限；最大的逆权重为 {}，该行的权重为本组平均的 {} 倍"),
    ("* treated rows weigh as much as *, * control rows as *; * of the propensities were raised to a floor; the largest inverse weight is *, a row that "
     "weighs * times the mean of its arm; before calibration the treated rows weighed as much as *, the control rows as *",
     "{} 个干预行加权后相当于 {} 行，{} 个对照行相当于 {} 行；{} 的倾向得分被抬到下限；最大的逆权重为 {}，该行的权重为本组平均的 {} 倍；"
     "校准前干预行相当于 {} 行，对照行相当于 {} 行"),
    ("A hidden cause would have to be tied to treatment and outcome by a risk ratio of * each to explain the effect away (* to make it uncertain), or "
     "explain * of what is left of both.", "隐藏原因与干预和结果的风险比须各达 {} 才能完全解释该效应（{} 即可使其不确定），或须解释二者剩余部分的 {}。"),
    ("E[Y | do(@)] - E[Y | do(@)], ~", "E[Y | do({})] - E[Y | do({})]，{}"),
    ("E[Y | do(@)], ~", "E[Y | do({})]，{}"),
    ("among those who were treated", "受干预者中"),
    ("among those who were not treated", "未受干预者中"),
    ("among those who might have gone either way (weights e (1 - e))", "两种情形皆有可能者中（权重 e (1 - e)）"),
    ("mean outcome over all pairs of user and item, had each been observed", "若全部用户与商品组合都被观测到的平均结果"),
    ("mean of the ratings given", "已给评分的平均"),
    ("An arm without an event leaves no finite risk ratio to explain away (a hidden cause tied to treatment and outcome by * each makes the effect "
     "uncertain); it would have to explain * of what is left of both.",
     "没有事件的一组没有有限的风险比可供解释（隐藏原因与干预和结果的风险比各达 {} 即可使效应不确定）；它须解释二者剩余部分的 {}。"),
    ("An arm without an event leaves no finite risk ratio to explain away (a hidden cause tied to treatment and outcome by * each makes the effect "
     "uncertain); it would have to explain * of what is left of both. If it changes the odds of treatment * times or more, the bounds include zero (with sampling error *).",
     "没有事件的一组没有有限的风险比可供解释（隐藏原因与干预和结果的风险比各达 {} 即可使效应不确定）；它须解释二者剩余部分的 {}。若它使干预的几率改变 {} 倍或更多，界包含零（计入抽样误差为 {}）。"),
    ("An arm without an event leaves no finite risk ratio to explain away (a hidden cause tied to treatment and outcome by * each makes the effect "
     "uncertain); it would have to explain * of what is left of both. Even if it changes the odds of treatment * times, the bounds do not include zero.",
     "没有事件的一组没有有限的风险比可供解释（隐藏原因与干预和结果的风险比各达 {} 即可使效应不确定）；它须解释二者剩余部分的 {}。即使它使干预的几率改变 {} 倍，界也不包含零。"),
    ("effect per treated pair", "每个受干预组合的效应"),
    ("* rows had a logged chance of 0 or 1: no row like them got the other arm, and what it would have been is the outcome model's word alone; leave "
     "them out, or ask among those who might have gone either way (--for overlap)",
     "{} 行的记录概率为 0 或 1：没有与之相似的行属于另一组，其另一种结果只来自结果模型；请去掉这些行，或询问两种情形皆有可能者中的效应（--for overlap）"),
    ("change of the mean outcome of a pair, against treating none", "与一概不干预相比，一个组合的平均结果的变化"),
    ("nothing unmeasured drives both treatment and outcome", "没有未测量因素同时影响干预和结果"),
    ("hardly any two rows share a value", "几乎没有两行的取值相同"),
    ("it is the same in every row", "每一行取值都相同"),
    ("it is the same in all but a few rows", "除少数行外取值都相同"),
    ("the effect is that among those who were treated; the naive difference is of all rows", "该效应是受干预者中的效应；朴素差异针对所有行"),
    ("the effect is that among those who were not treated; the naive difference is of all rows", "该效应是未受干预者中的效应；朴素差异针对所有行"),
    ("the effect is that among those who might have gone either way (weights e (1 - e)); the naive difference is of all rows",
     "该效应是两种情形皆有可能者中的效应（权重 e (1 - e)）；朴素差异针对所有行"),
    ("every treated pair might have been left alone (see positivity)", "每个受干预的组合都有可能不受干预（见正值性）"),
    ("every untreated pair might have been treated (see positivity)", "每个未受干预的组合都有可能受到干预（见正值性）"),
    ("the effect is that of pairs that might have gone either way, and of no others", "该效应只属于两种情形皆有可能的组合"),
    ("A hidden cause would have to be tied to treatment and outcome by a risk ratio of * each to explain the effect away (* to make it uncertain), or "
     "explain * of what is left of both. If it changes the odds of treatment * times or more, the bounds include zero (with sampling error *).",
     "隐藏原因与干预和结果的风险比须各达 {} 才能完全解释该效应（{} 即可使其不确定），或须解释二者剩余部分的 {}。若它使干预几率改变 {} 倍或更多，上下界便包含零（计入抽样误差为 {}）。"),
    ("A hidden cause would have to be tied to treatment and outcome by a risk ratio of * each to explain the effect away (* to make it uncertain), or "
     "explain * of what is left of both. Even if it changes the odds of treatment * times, the bounds do not include zero.",
     "隐藏原因与干预和结果的风险比须各达 {} 才能完全解释该效应（{} 即可使其不确定），或须解释二者剩余部分的 {}。即使它使干预几率改变 {} 倍，上下界也不包含零。"),
    ("values missing in * rows: @; missing is taken as a value of its own; assumed: ~; where effects differ by the moment, a missing value counts as "
     "the average moment", "{} 行中的缺失值：{}；缺失作为单独的取值；假设：{}；当效应随情境而异时，缺失值按平均情境处理"),
    ("values missing in * rows: @; missing is taken as a value of its own; assumed: ~", "{} 行中的缺失值：{}；缺失作为单独的取值；假设：{}"),
    ("values missing in * rows: @; the rows with every value answer, each weighted by the inverse of its chance to be whole (* rows, worth *); assumed: ~",
     "{} 行中的缺失值：{}；由各值齐全的行作答，各按其齐全概率的倒数加权（{} 行，相当于 {} 行）；假设：{}"),
    ("values missing in * rows: @; the rows with every value answer, as they are (* rows, worth *); assumed: ~",
     "{} 行中的缺失值：{}；由各值齐全的行原样作答（{} 行，相当于 {} 行）；假设：{}"),
    ("@ is the same in every row and adjusts for nothing", "{} 在每一行都相同，调整它没有作用"),
    ("@ holds @ or nothing: nothing counts as its other value", "{} 的取值为 {} 或空：空视为另一取值"),
    ("@ was read as times", "{} 按时间读取"),
    ("@ holds numbers as text and was read as numbers", "{} 以文本存放数字，已按数字读取"),
    ("@ is * in * rows, far from all others: if that marks a missing value, leave it empty", "{} 在 {2} 行中为 {1}，与其他值相距甚远：若它表示缺失，请留空"),
    ("@ has * different texts: the commonest * stand alone, the * others (* of rows) are one group, and how these differ is not adjusted for",
     "{} 有 {} 种文本：最常见的 {} 种各自成组，其余 {} 种（占行数的 {}）合为一组，其内部差异未被调整"),
    ("@: @ (1) against @ (0, the reference)", "{}：{}（1）对 {}（0，参照）"),
    ("@: @ counts as 1, @ as 0", "{}：{} 记为 1，{} 记为 0"),
    ("@: not told of segments of fewer than * rows (@)", "{}：少于 {} 行的分组不作说明（{}）"),
    ("calibration of effects: slope @ (standard error *; 1 is right, 0 is nothing learnt)", "效应的校准：斜率 {}（标准误 {}；1 为正确，0 为一无所获）"),
    ("persuaded between * and *", "被说服的比例在 {} 至 {} 之间"),
    ("persuaded between * and *; of treated buyers, between * and * would have bought anyway",
     "被说服的比例在 {} 至 {} 之间；受干预的购买者中，{} 至 {} 本来就会购买"),
    ("@ all but state the treatment; leave them out of --adjust", "{} 几乎等于干预本身；请将其从 --adjust 中去掉"),
    ("* arms, * rows each (median), worth *; mean of the log *", "{} 组，每组 {} 行（中位数），相当于 {} 行；日志的平均值 {}"),
    ("~, shrunk to what arms of the kind yield:", "{}，并向同类各组收缩："),
    ("mean outcome if everybody of the population that the rows were drawn from got the arm", "若这些行所来自的总体全都得到该组，结果的平均值"),
    ("mean outcome of the rows at hand if all of them had got the arm", "若手头这些行全都得到该组，结果的平均值"),
    ("better than the log at a false-discovery rate of *: none", "在错误发现率 {} 下优于日志：无"),
    ("better than the log at a false-discovery rate of *: @", "在错误发现率 {} 下优于日志：{}"),
    ("against @, all intervals at once at *:", "与 {} 相比，所有区间同时以 {} 成立："),
    ("@ @; naive *; * of * attempts to refute passed", "{} {}；朴素 {}；{4} 项反驳检验中 {3} 项通过"),
    ("@: not told (@)", "{}：未给出（{}）"),
    ("after weighting the rows are worth *", "加权后这些行相当于 {} 行"),
    ("* ratings are worth * after weighting; calibration error of who rates what * before and * after",
     "{} 个评分加权后相当于 {} 个；“谁评什么”的校准误差此前为 {}，此后为 {}"),
    ("written: @", "已写入：{}"),
    ("attempts on DoCalib's effect", "对 DoCalib 效应的检验"),
    ("attempts on the linear adjustment", "对线性调整的检验"),
    ("what a hidden cause could do", "隐藏原因可能造成什么"),
    ("sharp bounds under the marginal sensitivity model (bounds hold zero from Gamma * on):", "边际敏感性模型下的紧上下界（自 Gamma {} 起包含零）："),
    ("sharp bounds under the marginal sensitivity model (bounds do not hold zero up to Gamma *):", "边际敏感性模型下的紧上下界（直到 Gamma {} 仍不含零）："),
    ("Gamma *: * to * @", "Gamma {}：{} 至 {} {}"),
    ("robustness value * (* for the interval): a hidden cause that explains less of what is left of both treatment and outcome cannot bring the effect "
     "to zero", "稳健值 {}（对区间为 {}）：若隐藏原因解释的干预与结果剩余部分少于此值，则不能使效应为零"),
    ("as strong as @ (* and *), a bound cut at * as no cause can explain more,: * would be left", "与 {} 同样强（{} 与 {}；界限截断于 {}，因为任何原因都不可能解释更多）：将剩下 {}"),
    ("as strong as @ (* and *): * would be left", "与 {} 同样强（{} 与 {}）：将剩下 {}"),
    ("Rosenbaum bounds over * matched pairs: the effect stays significant at * up to Gamma *", "对 {} 个匹配对的 Rosenbaum 界：直到 Gamma {2}，效应在 {1} 水平上仍显著"),
    ("Rosenbaum bounds over * matched pairs: the effect stays significant at * up to the largest Gamma tried, *",
     "对 {} 个匹配对的 Rosenbaum 界：直到所试的最大 Gamma {2}，效应在 {1} 水平上仍显著"),
    ("@: among the top * by effect only if nothing is hidden and the estimates are exact", "{}：只有在没有隐藏原因且估计精确时，才在按效应的前 {} 名之内"),
    ("@: stays in the top * up to Gamma = * and beyond", "{}：直到 Gamma = {2} 及以上仍在前 {1} 名之内"),
    ("@: stays in the top * up to Gamma = *", "{}：直到 Gamma = {2} 仍在前 {1} 名之内"),
    ("E[Y | do(A = @)] - E[Y | do(A = @)]", "E[Y | do(A = {})] - E[Y | do(A = {})]"),
    ("mean outcome under @ = @ less that under @ = @, among the rows that had either", "{} = {} 下的平均结果减去 {} = {} 下的平均结果，限于得到二者之一的行"),
    ("mean outcome under @ = @ less that under @ = @, among everybody", "{} = {} 下的平均结果减去 {} = {} 下的平均结果，对所有人"),
    ("mean outcome under @ = @ less that under @ = @", "{} = {} 下的平均结果减去 {} = {} 下的平均结果"),
    ("change of the outcome a unit of treatment, linear", "每单位干预的结果变化（线性）"),
    ("average change of E[Y | do(A = a)] per unit of dose", "每单位剂量 E[Y | do(A = a)] 的平均变化"),
    ("gain over treating at random, per pair", "每个组合相对随机干预的增益"),
    ("effect in @", "{} 中的效应"),
    ("change of the outcome of a pair when it is treated instead of not, average over the log's pairs", "一个组合受干预而非不受干预时结果的变化，对日志中的组合取平均"),
    ("mean of the ratings that were given", "已给评分的平均"),
    ("treatment was given as if at random", "干预如同随机给予"),
    ("whether a pair is rated has nothing to do with the rating", "一个组合是否被评分与评分无关"),
    ("the propensity model is right", "倾向模型正确"),
    ("the logged propensity is true", "记录的倾向得分为真"),
    ("the outcome models are right", "结果模型正确"),
    ("interval: propensity taken as known (conservative where it was estimated)", "区间：把倾向得分当作已知（若为估计则偏保守）"),
    ("no interval: the outcome models' own error is not known", "无区间：结果模型自身的误差未知"),
    ("no interval: the segment has no row of one of the two arms", "无区间：该分组缺少两组之一的行"),
    ("no unmeasured common cause", "没有未测量的共同原因"),
    ("the outcome is linear in treatment and covariates", "结果对干预与协变量是线性的"),
    ("nothing unmeasured drives both dose and outcome, given the features", "给定特征后，没有未测量因素同时影响剂量和结果"),
    ("every dose was possible for every row (see the rows that weighting leaves)", "每一行都可能得到每个剂量（见加权后的行数）"),
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
    ("A simulated hidden cause of * of what is left of treatment and outcome takes the effect from * to *; one as strong as @ (* and *), a bound cut at * as no "
     "cause can explain more, to *.",
     "模拟一个解释干预与结果剩余部分各 {} 的隐藏原因，效应从 {} 变为 {}；若与 {} 同样强（{} 与 {}；界限截断于 {}，因为任何原因都不可能解释更多），则变为 {}。"),
    ("A simulated hidden cause of * of what is left of treatment and outcome takes the effect from * to *, whose sign was open already; "
     "one as strong as @ (* and *), a bound cut at * as no cause can explain more, to *.",
     "模拟一个解释干预与结果剩余部分各 {} 的隐藏原因，效应从 {} 变为 {}，其符号本来就未定；若与 {} 同样强（{} 与 {}；界限截断于 {}，因为任何原因都不可能解释更多），则变为 {}。"),
    ("A simulated hidden cause of * of what is left of treatment and outcome takes the effect from * to *; one as strong as @ (* and *) to *.",
     "模拟一个解释干预与结果剩余部分各 {} 的隐藏原因，效应从 {} 变为 {}；若与 {} 同样强（{} 与 {}），则变为 {}。"),
    ("A simulated hidden cause of * of what is left of treatment and outcome takes the effect from * to *, whose sign was open already; "
     "one as strong as @ (* and *) to *.",
     "模拟一个解释干预与结果剩余部分各 {} 的隐藏原因，效应从 {} 变为 {}，其符号本来就未定；若与 {} 同样强（{} 与 {}），则变为 {}。"),
    ("What the models of treatment and outcome both missed moves the effect by *, give or take *; * of it is taken off.",
     "干预模型与结果模型都遗漏的部分使效应偏移 {}，误差约 {}；已扣除其中的 {}。"),
    ("What the models of treatment and outcome both missed moves the average effect over everybody by *, give or take *; nothing is taken off this "
     "effect, which is that ~.", "干预模型与结果模型都遗漏的部分使全体的平均效应偏移 {}，误差约 {}；本效应是{}的效应，未从中扣除。"),
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
    ("what is adjusted for bends (straight models would say *): a little of such a bend may be left, and the interval then covers less than it "
     "says (.90 of 200 simulated logs of 1,000 rows); more rows help",
     "所调整的因素有弯曲（直线模型给出 {}）：可能残留少许弯曲，区间覆盖便低于其声明（200 个各 1,000 行的模拟日志中为 .90）；更多的行会有帮助"),
    ("weak proxies (F = *, below *): the interval may cover less than it says", "代理变量太弱（F = {}，低于 {}）：区间覆盖可能低于其声明"),
    ("weak proxies (F = *, below *): the interval may cover less than it says; method='two-stage' bears weaker ones",
     "代理变量太弱（F = {}，低于 {}）：区间覆盖可能低于其声明；method='two-stage' 可用于更弱的代理变量"),
    ("one of the groups compared is worth * users: an interval of so few holds only if they are like all others; treat fewer or more",
     "所比较的一组相当于 {} 个用户：人数这么少时，只有他们与其他人相似，区间才成立；请干预更少或更多的用户"),
    ("effects bend or jump in what they depend on, which the error of a straight line does not know: the interval of a single pair is a guide only "
     "(in 20 simulated tables it held .78 of the rows, in the worst .45; .74 of the pairs of a log where effects jump with age); averages, segments and claims stand",
     "效应随其依赖的因素弯曲或跳跃，而直线的误差不包含这一点：单个组合的区间仅供参考（在 20 个模拟表中它包含 .78 的行，最差为 .45；在一个效应随年龄跳跃的日志中包含 .74 的组合）；"
     "平均值、分组与论断不受影响"),
    ("confounders miss a value in * of the rows: where a value is missing for what it is itself, such intervals held the truth in .90 of 500 "
     "logs and not .95, and 'complete' is the right reading of missing values",
     "{} 的行缺失混杂因素的值：若某值因其自身而缺失，此类区间在 500 个日志中仅 .90（而非 .95）包含真值，此时应以 'complete' 方式处理缺失值"),
    ("the gaps are scattered over * columns: over five, such intervals held the truth in .93 of 500 logs and not .95",
     "缺失分散在 {} 列中：分散在五列时，此类区间在 500 个日志中 .93（而非 .95）包含真值"),
    ("@: declared to be measured after the treatment and adjusted for, which takes away what the treatment does through it and can make an effect of "
     "nothing; leave it out, unless the treatment cannot change it",
     "{}：被声明为在干预之后测量却被调整，这会去掉干预经由它的作用，并可能无中生有；除非干预不能改变它，否则请去掉"),
    ("@ was declared to be measured after the treatment and is adjusted for: leave it out, unless the treatment cannot change it; in a linear "
     "adjustment the effect is * with it and * without.",
     "{} 被声明为在干预之后测量却被调整：除非干预不能改变它，否则请去掉；线性调整中含它时效应为 {}，不含时为 {}。"),
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
    ("curves and rules of a few columns that drive treatment and outcome and that neither model learnt", "驱动干预与结果、而两个模型都没有学到的曲线和少数列的规则"),
    ("a hidden cause, or a rule of many columns that few rows show", "隐藏原因，或只有少数行体现的多列规则"),
    ("several such columns at once, or one among many causes of the treatment: adjust for what was measured before",
     "同时有几个这样的列，或干预的众多原因之一：请只调整干预之前测量的列"),
    ("nothing unmeasured drives both treatment and outcome, given the features", "给定特征后，没有未测量因素同时影响干预和结果"),
    ("given user, item and exposure state, whether a rating is observed says nothing more about it",
     "给定用户、商品与曝光状态，评分是否被观测不再说明评分本身"),
    ("every pair had a chance of being observed", "每个组合都有机会被观测"),
    ("the propensity or the outcome model is right (either suffices)", "倾向模型或结果模型正确（其一即可）"),
    ("reasons to rate that user, item and exposure state do not show move the mean by at most * of what these move it",
     "用户、商品与曝光状态所未显示的评分原因，对平均值的影响至多为所显示者的 {}"),
    ("ratings are missing at random", "评分随机缺失"),
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
_PLACES = re.compile(r"[*@~]")
_PATTERNS = tuple(
    (
        re.compile(re.escape(english).replace(r"\*", _N).replace("@", "(.+?)").replace(re.escape("~"), "(.+?)"), re.DOTALL),
        chinese,
        tuple(mark == "~" for mark in _PLACES.findall(english)),
    )
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
    for pattern, chinese, told in _PATTERNS:
        found = pattern.fullmatch(sentence)
        if found is not None:
            parts = tuple(_listed(part) if words else part for part, words in zip(found.groups(), told, strict=True))
            return chinese if not parts else _filled(chinese, parts)
    return sentence


def _listed(part: str) -> str:
    """A sentence in Chinese, or a list of names with those that are words in Chinese."""
    found = in_chinese(part)
    return found if found != part else ", ".join(map(in_chinese, part.split(", ")))


def lines_in(lines: Sequence[str], lang: Lang) -> tuple[str, ...]:
    """Lines of an answer's text in a language, each with the room before it."""
    if lang == "en":
        return tuple(lines)
    found = [line for text in lines for line in text.split("\n")]
    return tuple(line[: len(line) - len(line.lstrip())] + in_chinese(line.strip()).replace("(no interval)", "（无区间）") for line in found)


_WORDS = frozenset(
    ("words", "detects", "misses", "warnings", "assumptions", "assumption", "notes", "estimand", "why", "overlap", "left_out")
)  # keys under which an answer's JSON holds sentences


def content_in(content: Any, lang: Lang, *, words: bool = False) -> Any:
    """An answer's content with its sentences in a language; words: whether this part is one."""
    if lang == "en":
        return content
    if isinstance(content, Mapping):
        return {key: content_in(value, lang, words=key in _WORDS or (words and not isinstance(value, Mapping))) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [content_in(value, lang, words=words) for value in content]
    return in_chinese(content) if words and isinstance(content, str) else content


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
