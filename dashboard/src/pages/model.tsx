// The models and their roles, and what the one in force is better than.
import { useState } from "preact/hooks";
import { ask, type Effect, type ModelRow, type Models } from "../api";
import { Calibration } from "../charts/calibration";
import { Intervals } from "../charts/intervals";
import { Lines } from "../charts/lines";
import { figure, percent, whole } from "../format";
import { nameOf } from "../names";
import { useAnswer, useShared } from "../state";
import { Card, Choice, Refused, Shown, Stat, Table, Tag } from "../ui";
import { useCard } from "./data";
import { useMonitor } from "./overview";

type Metric = "ndcg" | "recall" | "hit_rate" | "mrr" | "map";
const METRICS: readonly { value: Metric; label: string }[] = [
  { value: "ndcg", label: "NDCG@10" },
  { value: "recall", label: "Recall@10" },
  { value: "hit_rate", label: "Hit rate@10" },
  { value: "mrr", label: "MRR@10" },
  { value: "map", label: "MAP@10" },
];

export function ModelPage() {
  const { w, lang } = useShared();
  const models = useAnswer<Models>((signal) => ask("/v1/models", undefined, signal), []);
  const card = useCard();
  const effect = useAnswer<Effect>((signal) => ask("/v1/effect", {}, signal), []);
  const monitor = useMonitor(false);
  const [which, setWhich] = useState("propensity");
  const [after, setAfter] = useState<"before" | "after">("after");
  return (
    <>
      <p class="lead">{w("Which model answers, how it was trained, and what it is compared with.", "哪个模型在应答，如何训练，与什么比较。")}</p>
      <div class="grid">
        <Card wide title={w("Models", "模型")}>
          <Shown answer={models}>
            {({ models: rows, roles }) => (
              <Table
                label={w("Models", "模型")}
                head={
                  <>
                    <th scope="col">{w("Model", "模型")}</th>
                    <th scope="col">{w("Version", "版本")}</th>
                    <th scope="col">{w("Role", "角色")}</th>
                    <th scope="col" class="n">
                      {w("Users", "用户")}
                    </th>
                    <th scope="col" class="n">
                      {w("Items", "商品")}
                    </th>
                    <th scope="col" class="n">
                      {w("Rows", "行数")}
                    </th>
                    <th scope="col">{w("Effects", "效应")}</th>
                    <th scope="col">{w("Deploy check", "上线检查")}</th>
                  </>
                }
              >
                {rows.map((row) => (
                  <tr key={row.name}>
                    <th scope="row">{row.name}</th>
                    <td>
                      <code>{row.version}</code>
                    </td>
                    <td>
                      {row.role ? (
                        <Tag kind={row.role === "primary" ? "accent" : "plain"}>
                          {nameOf(row.role, lang)}
                          {row.role === "challenger" && ` ${percent(roles.share, 0)}`}
                        </Tag>
                      ) : (
                        w("none", "无")
                      )}
                    </td>
                    <td class="n">{whole(row.users)}</td>
                    <td class="n">{whole(row.items)}</td>
                    <td class="n">{whole(row.rows)}</td>
                    <td>{row.effects === undefined ? "–" : row.effects ? w("yes", "有") : w("no", "无")}</td>
                    <td>{row.role === "primary" ? w("in force", "已生效") : <Check model={row} />}</td>
                  </tr>
                ))}
              </Table>
            )}
          </Shown>
        </Card>
        <Card title={w("Training", "训练")} note={w("Loss by epoch of the model in force.", "当前模型各轮的损失。")}>
          <Shown answer={card}>
            {({ training, parameters }) => (
              <>
                {training.losses.length > 1 ? (
                  <Lines
                    label={w("Training loss by epoch", "各轮训练损失")}
                    x={training.losses.map((_, n) => n + 1)}
                    xWords={(x) => figure(x, 2)}
                    xTicks={training.losses.length > 8 ? [1, training.losses.length] : training.losses.map((_, n) => n + 1)}
                    series={[{ key: "a", label: w("loss", "损失"), values: training.losses }]}
                    zero={false}
                    height={120}
                  />
                ) : (
                  <p class="empty">{w("One epoch only.", "只有一轮。")}</p>
                )}
                <dl class="pairs">
                  {Object.entries(parameters).map(([name, value]) => (
                    <>
                      <dt>{name.replaceAll("_", " ")}</dt>
                      <dd>{String(value)}</dd>
                    </>
                  ))}
                  <dt>{w("arms of the treatment", "干预的取值")}</dt>
                  <dd>{training.arms.join(", ") || "–"}</dd>
                </dl>
              </>
            )}
          </Shown>
        </Card>
        <Card title={w("Live calibration", "实时校准")} note={w("Outcomes of recommended items against what the model expected of them.", "被推荐商品的结果与模型期望的对比。")}>
          <Shown
            answer={monitor}
            empty={({ calibration }) =>
              calibration.ratio === null
                ? w(`${whole(calibration.n)} outcomes of recommended items are known; 200 are needed before anything is said.`, `已知 ${whole(calibration.n)} 个被推荐商品的结果；至少 200 个才下结论。`)
                : null
            }
          >
            {({ calibration }) => (
              <dl class="stats">
                <Stat label={w("Expected", "期望")} value={figure(calibration.expected)} />
                <Stat label={w("Observed", "观测")} value={figure(calibration.observed)} />
                <Stat
                  label={w("Ratio", "比值")}
                  value={figure(calibration.ratio, 3)}
                  more={calibration.alert ? w("far from expected", "偏离期望") : w("no alert", "无警报")}
                  state={calibration.alert ? "bad" : "good"}
                />
                <Stat label={w("Calibration error", "校准误差")} value={figure(calibration.error)} more={`n = ${whole(calibration.n)}`} />
              </dl>
            )}
          </Shown>
        </Card>
        <Card wide title={w("Ranking against baselines", "与基线的排序比较")}>
          <Shown
            answer={card}
            empty={({ baselines }) =>
              baselines
                ? null
                : w(
                    "No ranking comparison is kept with this model. `whyrec fit LOGS --compare` makes one on the last fifth of the log, `whyrec evaluate MODEL --test LATER` on a later log.",
                    "此模型未保存排序比较。`whyrec fit LOGS --compare` 用日志的最后五分之一比较，`whyrec evaluate MODEL --test LATER` 用之后的日志比较，均会保存。",
                  )
            }
          >
            {({ baselines }) => <Baselines baselines={baselines!} />}
          </Shown>
        </Card>
        <Card
          title={w("The effect by other estimators", "其他估计量得到的效应")}
          note={w(
            "The naive difference takes treatment as if given at random. Estimators that adjust should agree with each other more than with it.",
            "朴素差值假设干预是随机给予的。经过调整的估计量彼此之间应比与它更一致。",
          )}
        >
          <Shown answer={effect}>
            {(found) => (
              <>
              <Intervals
                label={w("The average effect by estimator", "各估计量的平均效应")}
                rows={[
                  { key: "own", label: nameOf(found.effect.method ?? "DoCalib", lang), strong: true, estimate: found.effect.estimate, low: found.effect.interval[0], high: found.effect.interval[1] },
                  ...Object.entries(found.relatives ?? { naive: found.naive }).map(([name, row]) => ({
                    key: name,
                    label: nameOf(name, lang),
                    estimate: row.estimate,
                    low: row.interval[0],
                    high: row.interval[1],
                  })),
                ]}
              />
              <details>
                <summary>{w("What each assumes", "各自的假设")}</summary>
                <ul>
                  {Object.entries({ [found.effect.method ?? "DoCalib"]: found.effect, ...(found.relatives ?? { naive: found.naive }) }).map(([name, row]) => (
                    <li key={name}>
                      <b>{nameOf(name, lang)}</b>: {(row.assumptions ?? []).join(w("; ", "；"))}
                    </li>
                  ))}
                </ul>
              </details>
              </>
            )}
          </Shown>
        </Card>
        <Card title={w("Calibration of the fitted models", "拟合模型的校准")} note={w("Held-out bins with 95% intervals; on the diagonal, predicted and observed agree.", "留出数据分箱与 95% 区间；在对角线上预测与观测一致。")}>
          <Shown answer={effect} empty={(found) => (found.calibration && Object.keys(found.calibration).length ? null : w("Not kept with this model.", "此模型未保存。"))}>
            {(found) => {
              const names = Object.keys(found.calibration ?? {}).filter((name) => found.calibration?.[name]);
              const name = names.includes(which) ? which : (names[0] ?? "");
              const curve = found.calibration?.[name]?.[after];
              return curve ? (
                <>
                  <div class="tools">
                    <Choice label={w("Model", "模型")} value={name} options={names.map((n) => ({ value: n, label: nameOf(n, lang) }))} onChange={setWhich} />
                    <Choice
                      label={w("Calibration", "校准")}
                      value={after}
                      options={[
                        { value: "before", label: w("Before", "校准前") },
                        { value: "after", label: w("After", "校准后") },
                      ]}
                      onChange={setAfter}
                    />
                  </div>
                  <Calibration
                    label={w(`Calibration of ${nameOf(name, lang)}: expected calibration error ${figure(curve.ece)}`, `${nameOf(name, lang)} 的校准：期望校准误差 ${figure(curve.ece)}`)}
                    curve={curve}
                    xWords={w("predicted", "预测")}
                    yWords={w("observed", "观测")}
                  />
                  <p class="note">
                    {w("Expected calibration error", "期望校准误差")} <b>{figure(curve.ece)}</b>; {w("a perfectly calibrated model would show", "完全校准的模型也会有")} {figure(curve.ece_by_chance)} {w("by chance", "的偶然误差")}
                  </p>
                </>
              ) : null;
            }}
          </Shown>
        </Card>
      </div>
    </>
  );
}

function Baselines({ baselines }: { baselines: NonNullable<import("../api").Card["baselines"]> }) {
  const { w } = useShared();
  const [split, setSplit] = useState(Object.keys(baselines)[0] ?? "");
  const [metric, setMetric] = useState<Metric>("ndcg");
  const found = baselines[split];
  const rows = [...(found?.methods ?? [])].sort((a, b) => Number(b[metric] ?? 0) - Number(a[metric] ?? 0));
  const own = (name: string) => /two|causal|whyrec/i.test(name);
  return (
    <>
      <div class="tools">
        <label class="field">
          {w("Held out", "留出方式")}
          <select value={split} onChange={(event) => setSplit(event.currentTarget.value)}>
            {Object.keys(baselines).map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <Choice label={w("Metric", "指标")} value={metric} options={METRICS} onChange={setMetric} />
      </div>
      <p class="note" lang="en">
        {found?.how}
      </p>
      <Intervals
        label={w("Methods with 95% intervals", "各方法及其 95% 区间")}
        zero={false}
        rows={rows.map((row) => ({
          key: String(row.method),
          label: String(row.method),
          strong: own(String(row.method)),
          estimate: Number(row[metric]),
          low: row[`${metric}_low`] === null ? null : Number(row[`${metric}_low`]),
          high: row[`${metric}_high`] === null ? null : Number(row[`${metric}_high`]),
        }))}
      />
    </>
  );
}

/** The deploy check of a model that ran in the shadow, when asked for. */
function Check({ model }: { model: ModelRow }) {
  const { w } = useShared();
  const [asked, setAsked] = useState(false);
  const answer = useAnswer<{ deploy: boolean; reasons: string[] }>(
    asked ? (signal) => ask(`/v1/models/${encodeURIComponent(model.name)}/check`, undefined, signal) : null,
    [asked, model.name],
  );
  if (!asked)
    return (
      <button type="button" class="quiet" onClick={() => setAsked(true)}>
        {w("May it go live?", "能否上线？")}
      </button>
    );
  return (
    <Shown answer={answer} refused={(error) => <Refused error={error} />}>
      {(found) => (
        <>
          <Tag kind={found.deploy ? "good" : "bad"}>{found.deploy ? w("may go live", "可以上线") : w("not yet", "暂不可")}</Tag>
          <ul class="plain" lang="en">
            {found.reasons.map((reason) => (
              <li key={reason}>{reason}</li>
            ))}
          </ul>
        </>
      )}
    </Shown>
  );
}
