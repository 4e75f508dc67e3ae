// What treating changes: on average, by segment, and how much of that would survive a hidden cause.
import { useState } from "preact/hooks";
import { ask, type Effect } from "../api";
import { Intervals, axisOf, side } from "../charts/intervals";
import { Lines } from "../charts/lines";
import { figure, inUnit, percent, unitOf, whole } from "../format";
import { nameOf } from "../names";
import { note, useRoute } from "../route";
import { useAnswer, useShared } from "../state";
import { Card, Choice, Key, Shown, Slider, Stat, Tag, Warnings } from "../ui";

type Segment = "category" | "activity" | "popularity";
type Order = "effect" | "size" | "name";

export function Effects() {
  const { w, lang } = useShared();
  const route = useRoute();
  const asked = route.values.get("by");
  const [segment, setSegment] = useState<Segment>(asked === "category" || asked === "popularity" ? asked : "activity");
  const [order, setOrder] = useState<Order>("effect");
  const [search, setSearch] = useState("");
  const average = useAnswer<Effect>((signal) => ask("/v1/effect", { lang }, signal), [lang]);
  const parts = useAnswer<Effect>((signal) => ask("/v1/effect", { segment, lang }, signal), [segment, lang]);
  const choose = (value: Segment) => {
    setSegment(value);
    note("effects", { by: value });
  };
  return (
    <>
      <p class="lead">
        {w("What treating a pair changes, with intervals. Everything here holds if nothing unmeasured drives both treatment and outcome.", "干预一个组合会带来的改变及其区间。以下结论成立的前提是：没有未测量因素同时影响干预与结果。")}
      </p>
      <Shown answer={average}>
        {(found) => (
          <div class="grid">
            <Average found={found} />
            <Card
              wide
              title={w("By segment", "按分组")}
              note={w("Mean effect of the log's pairs in each segment; the line marks the average of all. Activity and popularity are those before the rows that are compared.", "日志中各分组组合的平均效应；虚线为全部组合的平均。活跃度与热度取自所比较的行之前。")}
              tools={
                <div class="tools">
                  <Choice
                    label={w("Segment", "分组")}
                    value={segment}
                    options={[
                      { value: "activity", label: w("User activity", "用户活跃度") },
                      { value: "popularity", label: w("Item popularity", "商品热度") },
                      { value: "category", label: w("Item category", "商品类别") },
                    ]}
                    onChange={choose}
                  />
                  <Choice
                    label={w("Order", "排序")}
                    value={order}
                    options={[
                      { value: "effect", label: w("Effect", "效应") },
                      { value: "size", label: w("Pairs", "组合数") },
                      { value: "name", label: w("Name", "名称") },
                    ]}
                    onChange={setOrder}
                  />
                  {segment === "category" && (
                    <label class="field">
                      {w("Find", "查找")}
                      <input type="search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
                    </label>
                  )}
                </div>
              }
            >
              <Shown answer={parts}>
                {({ segments }) => {
                  const rows = (segments ?? [])
                    .filter((row) => segment !== "category" || row.segment.toLowerCase().includes(search.toLowerCase()))
                    .sort((a, b) => (order === "effect" ? b.effect - a.effect : order === "size" ? b.pairs - a.pairs : a.segment.localeCompare(b.segment)));
                  const told = rows.filter((row) => side(...row.interval) !== "open").length;
                  return rows.length ? (
                    <>
                      <Intervals
                        label={w("Effect by segment", "各分组的效应")}
                        reference={found.effect.estimate}
                        referenceWords={w("the average pair of the log", "日志中的平均组合")}
                        rows={rows.map((row) => ({
                          key: row.segment,
                          label: nameOf(row.segment, lang),
                          note: w(`${whole(row.pairs)} pairs`, `${whole(row.pairs)} 个组合`),
                          estimate: row.effect,
                          low: row.interval[0],
                          high: row.interval[1],
                        }))}
                      />
                      <p class="note">
                        {w(`${told} of ${rows.length} segments can be told from zero, each by itself; the intervals are not corrected for looking at many.`, `${rows.length} 个分组中有 ${told} 个单独看可与零区分；区间未对多重比较作修正。`)}
                      </p>
                    </>
                  ) : (
                    <p class="empty">{w("No segment has this in its name.", "没有名称包含此内容的分组。")}</p>
                  );
                }}
              </Shown>
            </Card>
            {found.sensitivity && <Sensitivity found={found} />}
            {found.positivity && <Positivity found={found} />}
            {found.refutations && (
              <Card wide title={w("Attempts to refute it", "反驳检验")} note={w("Each asks something whose answer is known if the estimate is sound.", "每项检验都有一个在估计可靠时应得的已知答案。")}>
                <ul class="refutations">
                  {found.refutations.map((row) => (
                    <li key={row.name}>
                      <div>
                        <b>{nameOf(row.name, lang)}</b>{" "}
                        <Tag kind={row.passed ? "good" : row.open ? "plain" : "bad"}>
                          {row.passed ? w("withstood", "通过") : row.open ? w("open", "未定") : w("did not withstand", "未通过")}
                        </Tag>
                      </div>
                      <p>{row.words}</p>
                      {row.detects && (
                        <p class="note">
                          {w("Can find: ", "能发现：")}
                          {row.detects}
                          {w("; cannot: ", "；不能发现：")}
                          {row.misses}.
                        </p>
                      )}
                    </li>
                  ))}
                </ul>
              </Card>
            )}
          </div>
        )}
      </Shown>
    </>
  );
}

function Average({ found }: { found: Effect }) {
  const { w, lang } = useShared();
  const { effect, naive } = found;
  const [low, high] = effect.interval;
  const axis = axisOf([effect.estimate, low, high, naive.estimate, ...naive.interval]);
  const told = side(low, high);
  const claim = found.failures?.length
    ? told === "up"
      ? w("The interval lies above zero, but not all of it held:", "区间位于零以上，但并非全部成立：")
      : told === "down"
        ? w("The interval lies below zero, but not all of it held:", "区间位于零以下，但并非全部成立：")
        : w("The interval holds zero, and not all of it held:", "区间包含零，且并非全部成立：")
    : told === "up"
      ? w("Under that assumption treating raises the outcome: the interval lies above zero.", "在该前提下，干预提高结果：区间位于零以上。")
      : told === "down"
        ? w("Under that assumption treating lowers the outcome: the interval lies below zero.", "在该前提下，干预降低结果：区间位于零以下。")
        : w("It cannot be told whether treating changes the outcome: the interval holds zero.", "无法判断干预是否改变结果：区间包含零。");
  return (
    <Card wide title={w("The average effect", "平均效应")} note={claim}>
      <Warnings words={found.failures} />
      <dl class="stats">
        <Stat
          label={w("Effect", "效应")}
          value={`${inUnit(effect.estimate, axis.unit, true)} ${axis.unit.word}`}
          more={`${inUnit(low, axis.unit, true)} ${w("to", "至")} ${inUnit(high, axis.unit, true)}`}
        />
        <Stat
          label={w("Naive difference", "朴素差值")}
          value={`${inUnit(naive.estimate, axis.unit, true)} ${axis.unit.word}`}
          more={`${inUnit(naive.interval[0], axis.unit, true)} ${w("to", "至")} ${inUnit(naive.interval[1], axis.unit, true)}`}
        />
        <Stat label={w("Confidence", "置信水平")} value={percent(effect.level ?? 0.95, 0)} more={w(`${whole(effect.n)} independent groups`, `${whole(effect.n)} 个独立组`)} />
      </dl>
      <Intervals
        label={w("The average effect beside the naive difference", "平均效应与朴素差值")}
        axis={axis}
        rows={[
          { key: "effect", label: nameOf(effect.method ?? "effect", lang), strong: true, estimate: effect.estimate, low, high },
          { key: "naive", label: nameOf("naive", lang), estimate: naive.estimate, low: naive.interval[0], high: naive.interval[1] },
        ]}
      />
      {effect.assumptions && (
        <details>
          <summary>{w("What it assumes", "所依赖的假设")}</summary>
          <ul>
            {effect.assumptions.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
        </details>
      )}
    </Card>
  );
}

function Sensitivity({ found }: { found: Effect }) {
  const { w } = useShared();
  const told = found.sensitivity!;
  const [place, setPlace] = useState(0);
  const at = Math.min(place, told.gamma.length - 1);
  const unit = unitOf([...told.low_limit, ...told.high_limit]);
  const [low, high] = [told.low_limit[at] ?? 0, told.high_limit[at] ?? 0];
  const words =
    side(low, high) === "open"
      ? w("zero lies within: the sign of the effect is open", "包含零：效应的符号未定")
      : side(low, high) === "up"
        ? w("still above zero", "仍在零以上")
        : w("still below zero", "仍在零以下");
  const gamma = figure(told.gamma[at], 3);
  return (
    <Card title={w("If there were a hidden cause", "假如存在隐藏原因")} note={w("Bounds of the effect when something unmeasured changes the odds of treatment up to so many times.", "当某个未测量因素最多使干预几率改变若干倍时，效应的上下界。")}>
      <Lines
        label={w("Bounds of the effect by strength of a hidden cause", "效应上下界随隐藏原因强度的变化")}
        x={told.gamma}
        xWords={(x) => `${figure(x, 3)}×`}
        xTicks={[1, 1.5, 2, 2.5, 3].filter((x) => x <= (told.gamma.at(-1) ?? 3))}
        bands={[
          { key: "outer", low: told.low_limit, high: told.high_limit },
          { key: "inner", low: told.low, high: told.high },
        ]}
        series={[]}
        cursor={at}
        height={190}
      />
      <Slider
        label={w("Odds of treatment changed up to", "干预几率最多改变")}
        value={at}
        low={0}
        high={told.gamma.length - 1}
        step={1}
        words={`${gamma}×`}
        onChange={setPlace}
      />
      <p class="reading" role="status">
        {inUnit(low, unit, true)} {w("to", "至")} {inUnit(high, unit, true)} {unit.word}: {words}
      </p>
      <p class="legend">
        <Key kind="band inner">{w("bounds", "上下界")}</Key>
        <Key kind="band outer">{w("with sampling error", "含抽样误差")}</Key>
      </p>
      <details>
        <summary>{w("In other measures", "其他度量")}</summary>
        <p>{told.words}</p>
      </details>
    </Card>
  );
}

function Positivity({ found }: { found: Effect }) {
  const { w, lang } = useShared();
  const told = found.positivity!;
  const most = Math.max(...told.control_shares, ...told.treated_shares, 1e-9);
  const width = 100 / told.control_shares.length;
  return (
    <Card
      title={w("Had every pair a chance of either?", "每个组合都有机会吗？")}
      note={w("Chance of treatment among treated rows (up) and control rows (down). Where only one side has rows, nothing can be compared.", "干预行（上）与对照行（下）的干预概率分布。只有一侧有数据处无法比较。")}
    >
      <svg class="mirror" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={w("Distribution of the propensity by arm", "两组倾向得分的分布")}>
        {told.treated_shares.map((share, n) => (
          <rect key={`t${n}`} class="up" x={n * width + width * 0.1} width={width * 0.8} y={50 - (48 * share) / most} height={(48 * share) / most} />
        ))}
        {told.control_shares.map((share, n) => (
          <rect key={`c${n}`} class="down" x={n * width + width * 0.1} width={width * 0.8} y={50} height={(48 * share) / most} />
        ))}
        <line x1="0" x2="100" y1="50" y2="50" />
      </svg>
      <div class="ends" aria-hidden="true">
        <span>0</span>
        <span>{w("chance of treatment", "干预概率")}</span>
        <span>1</span>
      </div>
      <p class="legend">
        <Key kind="up">{w("treated", "干预")} {whole(told.rows[1])}</Key>
        <Key kind="down">{w("control", "对照")} {whole(told.rows[0])}</Key>
      </p>
      <p>
        <Tag kind={told.verdict === "good" ? "good" : told.verdict === "poor" ? "bad" : "plain"}>{nameOf(told.verdict, lang)}</Tag>{" "}
        {w(`Weighted, they count as ${whole(told.effective[1])} and ${whole(told.effective[0])} rows; ${percent(told.clipped_share, 2)} of the chances were raised to a floor.`, `加权后相当于 ${whole(told.effective[1])} 与 ${whole(told.effective[0])} 行；${percent(told.clipped_share, 2)} 的概率被抬到下限。`)}
      </p>
    </Card>
  );
}
