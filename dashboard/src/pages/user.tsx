// One user: what would be recommended, why, and what would be otherwise.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, query, type PairAnswer, type Recommended, type RecommendedItem, type Why } from "../api";
import { Bar, Intervals, axisOf, type Axis } from "../charts/intervals";
import { alike, figure, inUnit, percent, whole } from "../format";
import { nameOf } from "../names";
import { note, useRoute } from "../route";
import { useAnswer, useMedia, useRested, useShared } from "../state";
import { Card, Choice, Key, Meter, Shown, Slider, Tag, Warnings } from "../ui";
import { Cases } from "./cases";

type By = "preference" | "effect" | "mix";

export function UserPage() {
  const { w, lang } = useShared();
  const route = useRoute();
  const wide = useMedia("(min-width: 1080px)");
  const [user, setUser] = useState(route.values.get("user") ?? "");
  const [typed, setTyped] = useState(user);
  const [by, setBy] = useState<By>("preference");
  const [mix, setMix] = useState(0.5);
  const [explore, setExplore] = useState(false);
  const [item, setItem] = useState<string | null>(route.values.get("item"));
  const search = useRested(typed);
  const matches = useAnswer<{ users: string[]; of: number }>((signal) => ask(`/v1/users?${query({ limit: 20, search })}`, undefined, signal), [search]);
  const restedMix = useRested(mix, 120);
  const first = matches.data?.users[0];
  useEffect(() => {
    if (!user && first && !typed) {
      setUser(first);
      setTyped(first);
    }
  }, [first, user, typed]);
  useEffect(() => {
    if (user) note("user", { user, item: item ?? "" });
  }, [user, item]);
  const answer = useAnswer<Recommended>(
    user ? (signal) => ask("/v1/recommend", { user, k: 10, by, mix: restedMix, explore, lang, log: false }, signal) : null,
    [user, by, by === "mix" ? restedMix : 0, explore, lang],
  );
  const choose = (name: string) => {
    setUser(name);
    setTyped(name);
    setItem(null);
  };
  const listed = answer.data?.items.find((row) => row.item === item)?.effect_sign;
  const detail = item && user ? <Detail key={`${user} ${item}`} user={user} item={item} sign={listed} /> : null;
  return (
    <>
      <p class="lead">
        {w("What this user would be shown, and why. Looking here is not logged and changes nothing.", "该用户会看到什么，以及原因。在此查看不会被记录，也不改变任何东西。")}
      </p>
      <form
        class="tools asks"
        onSubmit={(event) => {
          event.preventDefault();
          if (typed.trim()) choose(typed.trim());
        }}
      >
        <label class="field">
          {w("User", "用户")}
          <input
            list="users"
            value={typed}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setTyped(event.currentTarget.value)}
            onChange={(event) => event.currentTarget.value.trim() && choose(event.currentTarget.value.trim())}
          />
          <datalist id="users">
            {matches.data?.users.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
        </label>
        <button type="submit">{w("Show", "查看")}</button>
        <Choice
          label={w("Rank by", "排序依据")}
          value={by}
          options={(["preference", "effect", "mix"] as const).map((value) => ({ value, label: nameOf(value, lang) }))}
          onChange={setBy}
        />
        <label class="check">
          <input type="checkbox" checked={explore} onChange={(event) => setExplore(event.currentTarget.checked)} />
          {w("Explore, as the service does", "按服务的方式探索")}
        </label>
      </form>
      {by === "mix" && (
        <Slider
          label={w("What if effect weighed more?", "如果更看重效应？")}
          value={mix}
          low={0}
          high={1}
          step={0.05}
          words={w(`${percent(mix, 0)} effect`, `效应占 ${percent(mix, 0)}`)}
          left={w("preference only", "仅偏好")}
          right={w("effect only", "仅效应")}
          onChange={setMix}
        />
      )}
      <div class={wide ? "split" : ""}>
        <Card title={w(`For user ${user || "…"}`, `用户 ${user || "…"}`)}>
          <Shown answer={answer} empty={(found) => (found.items.length ? null : w("There is nothing to recommend.", "没有可推荐的商品。"))}>
            {(found) => {
              const axis = axisOf(found.items.flatMap((row) => [row.effect, row.effect_low, row.effect_high]));
              return (
                <>
                  <Warnings words={found.warnings} />
                  {found.cold && <Tag kind="plain">{w("no history: nothing of this user is known", "无历史：对该用户一无所知")}</Tag>}
                  <ol class="recommended">
                    {found.items.map((row) => (
                      <li key={row.item}>
                        <Row row={row} axis={axis} explore={explore} open={item === row.item} onOpen={() => setItem(item === row.item ? null : row.item)} />
                        {!wide && item === row.item && detail}
                      </li>
                    ))}
                  </ol>
                  <p class="legend">
                    <Key kind="filled">{w("told from zero among all compared", "在全部比较对象中可与零区分")}</Key>
                    <Key kind="hollow">{w("cannot be told from zero", "无法与零区分")}</Key>
                    <span class="unit">{w(`effect of treating, figures ${axis.unit.word || "in the outcome's unit"}`, `干预的效应，数值 ${axis.unit.word || "以结果为单位"}`)}</span>
                  </p>
                  {found.ties !== null && found.ties > 0 && (
                    <p class="note">
                      {w(
                        `${whole(found.ties)} of ${whole(found.items.length)} have the same effect as another: they stand in the order of the effect before calibration, then of preference.`,
                        `${whole(found.items.length)} 个中有 ${whole(found.ties)} 个与另一个效应相同：它们按校准前的效应、再按偏好排序。`,
                      )}
                    </p>
                  )}
                </>
              );
            }}
          </Shown>
          <Another onChoose={setItem} />
        </Card>
        {wide && (
          <div class="beside" role="region" aria-label={w("Why?", "为什么？")} tabIndex={0}>
            {detail ?? (
              <Card title={w("Why?", "为什么？")}>
                <p class="empty">{w("Choose an item on the left to see why, and what would change it.", "在左侧选择一个商品，查看原因以及什么会改变它。")}</p>
              </Card>
            )}
          </div>
        )}
        {!wide && detail && !answer.data?.items.some((row) => row.item === item) && detail}
      </div>
      <Cases user={user} />
    </>
  );
}

function Row(props: { row: RecommendedItem; axis: Axis; explore: boolean; open: boolean; onOpen: () => void }) {
  const { w } = useShared();
  const { row, axis } = props;
  return (
    <button type="button" class="row" aria-expanded={props.open} onClick={props.onOpen}>
      <span class="rank">{row.rank}</span>
      <span class="what">
        <b>{row.text || row.item}</b>
        <small>
          <code>{row.item}</code> {row.reason && `· ${row.reason}`}
        </small>
      </span>
      <span class="effect">
        <Bar axis={axis} estimate={row.effect} low={row.effect_low} high={row.effect_high} sign={row.effect_sign} />
        <small>
          {row.effect === null
            ? w("no effect known", "效应未知")
            : (
                <>
                  <b>{inUnit(row.effect, axis.unit, true)}</b> {inUnit(row.effect_low, axis.unit, true)} {w("to", "至")} {inUnit(row.effect_high, axis.unit, true)}
                </>
              )}
        </small>
      </span>
      <span class="numbers">
        <span>
          <small>{w("expected", "期望")}</small> {figure(row.expected_outcome, 2)}
        </span>
        {props.explore && (
          <span>
            <small>{w("chance", "概率")}</small> {percent(row.propensity)}
          </span>
        )}
      </span>
    </button>
  );
}

/** Any other item, by its text. */
function Another({ onChoose }: { onChoose: (item: string) => void }) {
  const { w } = useShared();
  const [typed, setTyped] = useState("");
  const search = useRested(typed);
  const found = useAnswer<{ items: { item: string; text: string }[] }>(
    search.trim().length > 1 ? (signal) => ask(`/v1/items?${query({ limit: 8, search: search.trim() })}`, undefined, signal) : null,
    [search],
  );
  return (
    <div class="another">
      <label class="field">
        {w("Ask about another item", "询问其他商品")}
        <input type="search" value={typed} placeholder={w("part of its text or id", "文本或编号的一部分")} onInput={(event) => setTyped(event.currentTarget.value)} />
      </label>
      {found.data && (
        <ul class="found" aria-label={w("Items found", "找到的商品")}>
          {found.data.items.length === 0 && <li class="empty">{w("No item is like this.", "没有这样的商品。")}</li>}
          {found.data.items.map((row) => (
            <li key={row.item}>
              <button type="button" class="quiet" onClick={() => onChoose(row.item)}>
                {row.text || row.item} <code>{row.item}</code>
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Detail({ user, item, sign }: { user: string; item: string; sign: number | null | undefined }) {
  const { w, lang } = useShared();
  const why = useAnswer<Why>((signal) => ask(`/v1/why?${query({ user, item, lang, detail: true })}`, undefined, signal), [user, item, lang]);
  const ref = useRef<HTMLDivElement>(null);
  return (
    <div class="detail-panel" ref={ref}>
      <Card title={w("Why this item, for this user", "为什么是这个商品、这位用户")}>
        <Shown answer={why}>
          {(found) => {
            const more = found.explanation;
            const drivers = more?.driver_intervals ?? Object.entries(found.drivers ?? {}).map(([group, share]) => ({ group, share, low: null, high: null }));
            return (
              <>
                <p class="subject">
                  <b>{found.text || found.item}</b> <code>{found.item}</code>
                </p>
                <ul class="sentences">
                  {found.sentences.slice(1).map((text) => (
                    <li key={text}>{text}</li>
                  ))}
                </ul>
                <Treatment user={user} item={item} why={found} sign={sign} />
                {found.similar.length > 0 && (
                  <>
                    <h3>{w("Most like it in the history", "历史中与之最相似的商品")}</h3>
                    <ul class="meters">
                      {found.similar.map((row) => (
                        <li key={row.item}>
                          <span>{row.text || row.item}</span>
                          <Meter share={row.cosine} />
                          <span class="n">{figure(row.cosine, 2)}</span>
                        </li>
                      ))}
                    </ul>
                  </>
                )}
                {more && (
                  <div class="ended">
                    <h3>{w("The whole explanation, as of the end of the model's log", "完整解释（截至模型日志末尾）")}</h3>
                    {(found.rank !== more.rank || found.bought !== more.bought) && (
                      <p class="note">
                        {w(
                          `The user has acted since: rank ${whole(more.rank)} and effect ${figure(more.effect)} then, rank ${whole(found.rank)} and effect ${figure(found.effect)} now.`,
                          `此后该用户又有行为：当时排名 ${whole(more.rank)}、效应 ${figure(more.effect)}，现在排名 ${whole(found.rank)}、效应 ${figure(found.effect)}。`,
                        )}
                      </p>
                    )}
                    <ul class="sentences">
                      {more.sentences
                        .slice(1)
                        .filter((text) => !found.sentences.includes(text))
                        .map((text) => (
                          <li key={text}>{text}</li>
                        ))}
                    </ul>
                  </div>
                )}
                {drivers.length > 0 && (
                  <>
                    <h3>{w("What drives the effect", "什么推动了效应")}</h3>
                    <p class="note">{w("Shapley shares of this pair's effect against the average pair, in the outcome's unit.", "该组合的效应相对平均组合的 Shapley 份额，以结果为单位。")}</p>
                    <Intervals
                      label={w("Shares of the effect by group of features", "各组特征对效应的份额")}
                      rows={drivers.map((row) => ({ key: row.group, label: nameOf(row.group, lang), estimate: row.share, low: row.low, high: row.high }))}
                    />
                  </>
                )}
                {more && (
                  <>
                    <h3>{w("What would change it", "什么会改变它")}</h3>
                    <dl class="pairs">
                      <dt>{w("Rank by preference", "偏好排名")}</dt>
                      <dd>
                        {whole(more.rank)} / {whole(found.of)}
                      </dd>
                      {more.rank_by_effect !== null && (
                        <>
                          <dt>{w("Rank by effect", "效应排名")}</dt>
                          <dd>{whole(more.rank_by_effect)}</dd>
                        </>
                      )}
                      {more.without && (
                        <>
                          <dt>{w("Without in the history:", "若历史中没有：")} {more.without.items.map((row) => row.text || row.item).join("; ")}</dt>
                          <dd>{w(`rank ${whole(more.without.rank)}`, `排名 ${whole(more.without.rank)}`)}</dd>
                        </>
                      )}
                      {more.change && (
                        <>
                          <dt>
                            {w("If", "若")} {more.change.feature.replaceAll("_", " ")} {figure(more.change.now)} → {figure(more.change.then)}
                          </dt>
                          <dd>{w(`rank ${whole(more.change.rank)} by effect`, `效应排名 ${whole(more.change.rank)}`)}</dd>
                        </>
                      )}
                      {more.gamma !== null && (
                        <>
                          <dt>{w("A hidden cause makes it uncertain from odds", "隐藏原因使其不确定的几率倍数")}</dt>
                          <dd>{figure(more.gamma)}×</dd>
                        </>
                      )}
                    </dl>
                  </>
                )}
              </>
            );
          }}
        </Shown>
      </Card>
    </div>
  );
}

/** What if it were treated, or not: the expected outcome in each arm. sign: what the list claims of it, among all that it compares. */
function Treatment({ user, item, why, sign }: { user: string; item: string; why: Why; sign: number | null | undefined }) {
  const { w } = useShared();
  const answer = useAnswer<PairAnswer>((signal) => ask("/v1/counterfactual", { pair: { user, item } }, signal), [user, item]);
  const [place, setPlace] = useState<number | null>(null);
  if (why.effect === null) return null;
  return (
    <>
      <h3>{w("What if it were treated?", "如果对它进行干预？")}</h3>
      <Shown answer={answer}>
        {(found) => {
          const arms = Object.keys(found.outcome_by_arm).sort((a, b) => Number(a) - Number(b));
          const at = Math.min(place ?? arms.length - 1, arms.length - 1);
          const arm = arms[at] ?? "0";
          const most = Math.max(...Object.values(found.outcome_by_arm), found.expected_outcome, 1e-12);
          const value = found.outcome_by_arm[arm] ?? null;
          const [low, high] = found.interval ?? [null, null];
          const axis = axisOf([found.effect, low, high]);
          const told = sign ?? found.effect_sign;
          const two = arms.length === 2 && found.effect !== undefined;
          const [control, treated, now, effect] = alike([found.outcome_by_arm["0"], found.outcome_by_arm["1"], found.expected_outcome, found.effect]);
          const rows = [
            [w("Not treated", "不干预"), found.outcome_by_arm["0"], control],
            [w("Treated", "干预"), found.outcome_by_arm["1"], treated],
            [w("As things are", "现状"), found.expected_outcome, now],
          ] as const;
          return (
            <>
              {arms.length > 1 && !two && (
                <Slider
                  label={w("Treatment", "干预")}
                  value={at}
                  low={0}
                  high={arms.length - 1}
                  step={1}
                  words={arm}
                  left={arms[0]!}
                  right={arms.at(-1)!}
                  onChange={setPlace}
                />
              )}
              <ul class="meters" aria-label={w("Expected outcome", "期望结果")}>
                {(two ? rows : ([[w("Expected outcome then", "此时的期望结果"), value, figure(value)], [w("As things are", "现状"), found.expected_outcome, figure(found.expected_outcome)]] as const)).map(
                  ([name, share, words]) => (
                    <li key={name}>
                      <span>{name}</span>
                      <Meter share={(share ?? 0) / most} />
                      <span class="n">{words}</span>
                    </li>
                  ),
                )}
              </ul>
              {two && (
                <p class="note">
                  {w(`Expected outcomes: ${treated} treated less ${control} not treated is the effect, ${effect}.`, `期望结果：干预 ${treated} 减去不干预 ${control} 即为效应 ${effect}。`)}
                </p>
              )}
              {found.effect !== undefined && (
                <>
                  <Bar axis={axis} estimate={found.effect} low={low} high={high} reference={why.average_effect} sign={told} />
                  <p class="reading">
                    {w("Effect of treating", "干预的效应")} <b>{inUnit(found.effect, axis.unit, true)}</b> ({inUnit(low, axis.unit, true)} {w("to", "至")} {inUnit(high, axis.unit, true)}) {axis.unit.word}:{" "}
                    {told === 1 ? w("it raises the outcome", "它提高结果") : told === -1 ? w("it lowers the outcome", "它降低结果") : w("it cannot be told from no change", "无法与无变化区分")}
                    {sign === 0 && found.effect_sign ? w(", one of all that were compared for this list", "（在此列表比较的全部对象之中）") : ""}
                  </p>
                </>
              )}
            </>
          );
        }}
      </Shown>
    </>
  );
}
