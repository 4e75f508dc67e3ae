// What if the price were another, in one case: the counterfactual of a saved structural causal model; and why it did not happen.
import { useState } from "preact/hooks";
import { ask, type CaseAnswer, type CaseColumn, type CaseModel, type CaseRow, type WhyNot } from "../api";
import { Intervals } from "../charts/intervals";
import { figure, percent } from "../format";
import { nameOf } from "../names";
import { useAnswer, useRested, useShared } from "../state";
import { Card, Shown, Slider } from "../ui";

/** Hidden where the service has no models of cases. */
export function Cases({ user }: { user: string }) {
  const answer = useAnswer<{ cases: CaseModel[] }>((signal) => ask("/v1/cases", undefined, signal), []);
  const [name, setName] = useState<string | null>(null);
  const cases = answer.data?.cases ?? [];
  const model = cases.find((one) => one.name === name) ?? cases[0];
  const chosen = model?.name;
  const own = useAnswer<{ user: string; case: CaseRow | null }>(
    chosen && user ? (signal) => ask(`/v1/cases/${encodeURIComponent(chosen)}/users/${encodeURIComponent(user)}`, undefined, signal) : null,
    [chosen, user],
  );
  if (!model) return null;
  const mine = own.data?.user === user ? own.data.case : null;
  return <Case key={`${model.name} ${mine ? user : ""}`} model={model} own={mine} user={user} names={cases.map((one) => one.name)} onName={setName} />;
}

const isChoice = (column: CaseColumn) => Boolean(column.labels?.length || column.levels?.length);

/** Values of a column of few values: words where it has them. */
function options(column: CaseColumn): (string | number)[] {
  return column.labels?.length ? column.labels : (column.levels ?? []);
}

function usual(column: CaseColumn): string | number {
  if (column.typical !== undefined && column.typical !== null) return column.typical;
  return isChoice(column) ? options(column)[0]! : ((column.low ?? 0) + (column.high ?? 1)) / 2;
}

interface CaseProps {
  model: CaseModel;
  own: CaseRow | null;
  user: string;
  names: string[];
  onName: (name: string) => void;
}

/** own: the user's own last case, where the model keeps one; otherwise a typical one, to be set. */
function Case({ model, own, user, names, onName }: CaseProps) {
  const { w, lang } = useShared();
  const edges = [...model.graph.matchAll(/([^\s;]+)\s*->\s*([^\s;]+)/g)].map((found) => [found[1]!, found[2]!] as const);
  const causes = new Set(edges.map(([from]) => from));
  const levers = model.columns.filter((column) => !isChoice(column) && causes.has(column.name));
  // What happens or not, and leads to nothing else: the outcome of the case.
  const outcome = model.columns.find((column) => !causes.has(column.name) && column.levels?.length === 2);
  const price = levers.find((column) => column.name === "price") ?? levers.find((column) => column.name.includes("price")) ?? levers[0];
  const [lever, setLever] = useState(price?.name ?? "");
  const [factor, setFactor] = useState(0.9);
  const typical: CaseRow = Object.fromEntries(
    model.columns.map((column) => [column.name, column === outcome ? (options(column)[0] ?? 0) : usual(column)]),
  );
  const [row, setRow] = useState<CaseRow>(own ?? typical);
  const isOwn = own !== null && model.columns.every((column) => row[column.name] === own[column.name]);
  const [why, setWhy] = useState(false);
  const asked = useRested(JSON.stringify({ factor, row, lever }), 200);
  const answer = useAnswer<CaseAnswer>(
    lever
      ? (signal) => {
          const { factor: times, row: given, lever: moved } = JSON.parse(asked) as { factor: number; row: CaseRow; lever: string };
          return ask("/v1/counterfactual", { model: model.name, case: given, do: { [moved]: `${moved} * ${times}` } }, signal);
        }
      : null,
    [asked],
  );
  const reasons = useAnswer<WhyNot>(
    why && outcome
      ? (signal) => {
          const { row: given, factor: times, lever: moved } = JSON.parse(asked) as { factor: number; row: CaseRow; lever: string };
          const parents = levers.filter((column) => edges.some(([from, to]) => from === column.name && to === outcome.name));
          const at = (name: string) => (name === "price" && "usual_price" in given ? "usual_price" : usual(model.columns.find((one) => one.name === name)!));
          return ask(
            "/v1/why-not",
            {
              model: model.name,
              case: given,
              outcome: outcome.name,
              causes: Object.fromEntries(parents.slice(0, 6).map((column) => [column.name, { [column.name]: at(column.name) }])),
              actions: { [`${moved} × ${times}`]: { [moved]: `${moved} * ${times}` } },
              lang,
            },
            signal,
          );
        }
      : null,
    [asked, why, lang],
  );
  if (!price) return null;
  const now = Number(row[lever] ?? 0);
  const happened = outcome !== undefined && row[outcome.name] !== options(outcome)[0];
  return (
    <Card
      title={w(`What if ${nameOf(lever, lang)} were another?`, `如果${nameOf(lever, lang)}不同？`)}
      note={
        isOwn
          ? w(
              `The last case of user ${user} in a saved structural causal model, all else of this very case kept.`,
              `已保存的结构因果模型中用户 ${user} 最近的案例，此案例其余条件不变。`,
            )
          : w(
              "One case of a saved structural causal model, all else of this very case kept. It is a case that you set, not this user's.",
              "已保存的结构因果模型中的一个案例，此案例其余条件不变。案例由你设定，并非上面的用户。",
            )
      }
      tools={
        <div class="tools">
          {names.length > 1 && (
            <label class="field">
              {w("Model", "模型")}
              <select value={model.name} onChange={(event) => onName(event.currentTarget.value)}>
                {names.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
          )}
          {levers.length > 1 && (
            <label class="field">
              {w("What is changed", "改变什么")}
              <select value={lever} onChange={(event) => setLever(event.currentTarget.value)}>
                {levers.map((column) => (
                  <option key={column.name} value={column.name}>
                    {nameOf(column.name, lang)}
                  </option>
                ))}
              </select>
            </label>
          )}
        </div>
      }
    >
      <div class="halves">
        <div>
          <Slider
            label={w(`Change of ${nameOf(lever, lang)}`, `${nameOf(lever, lang)}的变化`)}
            value={factor}
            low={0.5}
            high={1.5}
            step={0.05}
            words={`${factor >= 1 ? "+" : "−"}${percent(Math.abs(factor - 1), 0)}: ${figure(now)} → ${figure(now * factor)}`}
            left="−50%"
            right="+50%"
            onChange={setFactor}
          />
          {own && (
            <button type="button" class="quiet" onClick={() => setRow(isOwn ? typical : own)}>
              {isOwn ? w("Ask of a typical case", "改问典型案例") : w("Ask of this user's own case", "改问该用户自己的案例")}
            </button>
          )}
          <details open>
            <summary>{w("The case", "案例")}</summary>
            <div class="case">
              {model.columns.map((column) =>
                isChoice(column) ? (
                  <label class="field" key={column.name}>
                    {nameOf(column.name, lang)}
                    <select
                      value={String(row[column.name])}
                      onChange={(event) => {
                        const found = options(column).find((option) => String(option) === event.currentTarget.value);
                        if (found !== undefined) setRow({ ...row, [column.name]: found });
                      }}
                    >
                      {options(column).map((option) => (
                        <option key={String(option)} value={String(option)}>
                          {String(option)}
                        </option>
                      ))}
                    </select>
                  </label>
                ) : (
                  <Slider
                    key={column.name}
                    label={nameOf(column.name, lang)}
                    value={Number(row[column.name])}
                    low={column.low ?? 0}
                    high={column.high ?? 1}
                    step={((column.high ?? 1) - (column.low ?? 0)) / 100 || 0.01}
                    words={figure(Number(row[column.name]))}
                    onChange={(value) => setRow({ ...row, [column.name]: value })}
                  />
                ),
              )}
            </div>
          </details>
        </div>
        <div>
          <h3>{w("What would have been", "本会如何")}</h3>
          <Shown answer={answer}>
            {(found) => (
              <>
                <Intervals
                  label={w("Change against what was", "相对于实际的变化")}
                  rows={found.rows.map((one) => ({
                    key: one.target,
                    label: nameOf(one.target, lang),
                    note: `${figure(one.factual)} → ${figure(one.counterfactual)}` + (one.low === null ? "" : ` [${figure(one.low)}, ${figure(one.high)}]`),
                    estimate: one.change,
                    low: one.low === null ? null : one.low - one.factual,
                    high: one.high === null ? null : one.high - one.factual,
                  }))}
                />
                <p class="note">{w("Change of each column that follows from it, with its interval.", "由此改变的各列的变化及其区间。")}</p>
              </>
            )}
          </Shown>
          {outcome && !happened && (
            <>
              <button type="button" class="quiet" aria-expanded={why} onClick={() => setWhy(!why)}>
                {w(`Why not ${nameOf(outcome.name, lang)}?`, `为什么没有发生（${nameOf(outcome.name, lang)}）？`)}
              </button>
              {why && (
                <Shown answer={reasons}>
                  {(found) => (
                    <>
                      <p class="note">{w("Each reason out of the way means: at its typical value, the price at its usual.", "“排除某原因”指：将其设为典型值，价格设为平常价。")}</p>
                      <Intervals
                        label={w("Shares of the reasons", "各原因的份额")}
                        rows={found.reasons.map((one) => ({ key: one.cause, label: nameOf(one.cause, lang), estimate: one.share, low: one.low, high: one.high }))}
                      />
                      <ul class="sentences">
                        {found.sentences.map((text) => (
                          <li key={text}>{text}</li>
                        ))}
                      </ul>
                    </>
                  )}
                </Shown>
              )}
            </>
          )}
        </div>
      </div>
    </Card>
  );
}
