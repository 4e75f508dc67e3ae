// What if the price were another, in one case: the counterfactual of a saved structural causal model.
import { useEffect, useState } from "preact/hooks";
import { ask, type CaseAnswer, type CaseColumn, type CaseModel, type CaseRow } from "../api";
import { Intervals } from "../charts/intervals";
import { figure, percent } from "../format";
import { nameOf } from "../names";
import { useAnswer, useRested, useShared } from "../state";
import { Card, Refused, Shown, Slider } from "../ui";

/** Hidden where the service has no models of cases. */
export function Cases() {
  const answer = useAnswer<{ cases: CaseModel[] }>((signal) => ask("/v1/cases", undefined, signal), []);
  const [name, setName] = useState<string | null>(null);
  const cases = answer.data?.cases ?? [];
  const model = cases.find((one) => one.name === name) ?? cases[0];
  if (!model) return null;
  return <Case key={model.name} model={model} names={cases.map((one) => one.name)} onName={setName} />;
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

function Case({ model, names, onName }: { model: CaseModel; names: string[]; onName: (name: string) => void }) {
  const { w, lang } = useShared();
  const numbers = model.columns.filter((column) => !isChoice(column));
  const edges = [...model.graph.matchAll(/([\w.]+)\s*->\s*([\w.]+)/g)].map((found) => [found[1]!, found[2]!] as const);
  const causes = new Set(edges.map(([from]) => from));
  const setable = numbers.filter((column) => causes.has(column.name));
  const price = setable.find((column) => column.name === "price") ?? setable.find((column) => /price/.test(column.name)) ?? setable[0];
  const [lever, setLever] = useState(price?.name ?? "");
  const [factor, setFactor] = useState(0.9);
  const [row, setRow] = useState<CaseRow>(() => Object.fromEntries(model.columns.map((column) => [column.name, usual(column)])));
  const [asked, setAsked] = useState({ factor, row, lever });
  const rested = useRested({ factor, row, lever }, 200);
  useEffect(() => setAsked(rested), [rested]);
  const answer = useAnswer<CaseAnswer>(
    asked.lever
      ? (signal) => ask("/v1/counterfactual", { model: model.name, case: asked.row, do: { [asked.lever]: `${asked.lever} * ${asked.factor}` } }, signal)
      : null,
    [asked],
  );
  if (!price) return null;
  const now = Number(row[lever] ?? 0);
  return (
    <Card
      title={w("What if the price were another?", "如果价格不同？")}
      note={w("One case of a saved structural causal model. Set the case, then move the price: what would have been, all else of this very case kept.", "已保存的结构因果模型中的一个案例。设定案例，再移动价格：在此案例其他条件不变时，结果会如何。")}
    >
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
        {setable.length > 1 && (
          <label class="field">
            {w("What is changed", "改变什么")}
            <select value={lever} onChange={(event) => setLever(event.currentTarget.value)}>
              {setable.map((column) => (
                <option key={column.name} value={column.name}>
                  {nameOf(column.name, lang)}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      <Slider
        label={w(`Change ${nameOf(lever, lang)}`, `改变 ${nameOf(lever, lang)}`)}
        value={factor}
        low={0.5}
        high={1.5}
        step={0.05}
        words={`${factor >= 1 ? "+" : "−"}${percent(Math.abs(factor - 1), 0)}: ${figure(now)} → ${figure(now * factor)}`}
        left="−50%"
        right="+50%"
        onChange={setFactor}
      />
      <Shown answer={answer} refused={(error) => <Refused error={error} />}>
        {(found) => (
          <>
            <Intervals
              label={w("Change against what was", "相对于实际的变化")}
              rows={found.rows.map((one) => ({
                key: one.target,
                label: nameOf(one.target, lang),
                note: `${figure(one.factual)} → ${figure(one.counterfactual)}`,
                estimate: one.change,
                low: one.low,
                high: one.high,
              }))}
            />
          </>
        )}
      </Shown>
      <details>
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
    </Card>
  );
}
