// What another way of recommending would have earned, from the service's own log; and whom to treat.
import { useMemo, useState } from "preact/hooks";
import { ask, query, type Effect, type Models, type PolicyValue, type Refusal } from "../api";
import { Intervals, side } from "../charts/intervals";
import { figure, percent, whole } from "../format";
import { nameOf } from "../names";
import { useAnswer, useShared } from "../state";
import { Card, Choice, Refused, Shown, Stat, Tag } from "../ui";

const RULES = ["uniform", "preference", "effect", "mix"] as const;

export function Policies() {
  const { w, lang } = useShared();
  const [target, setTarget] = useState("uniform");
  const models = useAnswer<Models>((signal) => ask("/v1/models", undefined, signal), []);
  const value = useAnswer<PolicyValue>((signal) => ask(`/v1/policies/value?${query({ target })}`, undefined, signal), [target]);
  const effect = useAnswer<Effect>((signal) => ask("/v1/effect", {}, signal), []);
  const shadow = models.data?.roles.shadow;
  const targets = useMemo(() => [...RULES, ...(shadow ? [shadow] : [])].map((name) => ({ value: name as string, label: nameOf(name, lang) })), [shadow, lang]);
  const refused = (error: Refusal) =>
    error.status === 422 || error.status === 409 ? (
      <div class="empty">
        <p>{w("The log cannot answer this yet.", "日志尚无法回答此问题。")}</p>
        <p lang="en" class="detail">
          {error.detail}
        </p>
        <p>{w("Recommend with exploration, send the events that answer, and come back.", "请开启探索进行推荐，并回传相应事件，然后再来查看。")}</p>
      </div>
    ) : (
      <Refused error={error} again={value.again} />
    );
  return (
    <>
      <p class="lead">{w("What another policy would have earned from the same log, and whom it pays to treat.", "同一日志下换一种策略会得到什么，以及干预谁最值得。")}</p>
      <div class="grid">
        <Card
          wide
          title={w("Off-policy value", "离线策略价值")}
          note={w("Mean reward of an item shown, had this policy chosen it. The logged chances make the comparison; users are the independent units.", "若由此策略选择，每个展示商品的平均回报。比较依据记录的概率；以用户为独立单位。")}
          tools={<Choice label={w("Policy", "策略")} value={target} options={targets} onChange={setTarget} />}
        >
          <Shown answer={value} refused={refused}>
            {(found) => {
              const logged = found.values.naive;
              const chosen = found.chosen?.method;
              const best = chosen ? found.values[chosen] : undefined;
              const ess = found.effective_sample_size ?? 0;
              return (
                <>
                  <dl class="stats">
                    <Stat label={w("Items shown", "展示商品数")} value={whole(found.rounds)} />
                    <Stat
                      label={w("Effective sample size", "有效样本量")}
                      value={figure(ess, 3)}
                      more={ess < 100 ? w("small: read with care", "偏小：谨慎解读") : percent(ess / Math.max(1, found.rounds ?? 1))}
                      state={ess < 100 ? "bad" : "good"}
                    />
                    <Stat label={w("Estimator chosen", "选用的估计量")} value={chosen ? nameOf(chosen, lang) : "–"} more={w("smallest estimated error", "估计误差最小")} />
                  </dl>
                  <Intervals
                    label={w("Value of the policy by estimator", "各估计量下的策略价值")}
                    zero={false}
                    reference={logged?.estimate ?? null}
                    referenceWords={w("what was really earned", "实际所得")}
                    rows={Object.entries(found.values)
                      .filter(([name]) => name !== "naive")
                      .map(([name, row]) => ({
                        key: name,
                        label: nameOf(name, lang),
                        strong: name === chosen,
                        estimate: row.estimate,
                        low: row.interval[0],
                        high: row.interval[1],
                      }))}
                  />
                  {best && logged && (
                    <p class="reading">
                      {best.interval[0] !== null && best.interval[0] > logged.estimate
                        ? w("The whole interval lies above what was really earned.", "整个区间高于实际所得。")
                        : best.interval[1] !== null && best.interval[1] < logged.estimate
                          ? w("The whole interval lies below what was really earned.", "整个区间低于实际所得。")
                          : w("It cannot be told apart from what was really earned.", "无法与实际所得区分。")}
                    </p>
                  )}
                  {found.warnings && found.warnings.length > 0 && (
                    <ul class="warnings" lang="en">
                      {found.warnings.map((text) => (
                        <li key={text}>{text}</li>
                      ))}
                    </ul>
                  )}
                </>
              );
            }}
          </Shown>
        </Card>
        <Card title={w("Whom to treat", "干预谁")} note={w("Effect per treated pair when a tenth of the pairs is treated, from the model's log.", "从模型日志估计：干预十分之一组合时，每个被干预组合的效应。")}>
          <Shown answer={effect} empty={(found) => (found.policies ? null : w("Not kept with this model.", "此模型未保存。"))}>
            {(found) => (
              <Intervals
                label={w("Effect per treated pair by rule", "各规则下每个被干预组合的效应")}
                rows={Object.entries(found.policies ?? {}).map(([name, row]) => ({
                  key: name,
                  label: nameOf(name, lang),
                  note: row.diagnostics?.share_treated !== undefined ? w(`${percent(Number(row.diagnostics.share_treated), 0)} treated`, `干预 ${percent(Number(row.diagnostics.share_treated), 0)}`) : undefined,
                  estimate: row.estimate,
                  low: row.interval[0],
                  high: row.interval[1],
                }))}
              />
            )}
          </Shown>
        </Card>
        <Card title={w("The decision", "决策")} note={w("Change of the mean outcome of a pair under a budget, against treating none.", "在预算约束下，相对于不干预任何组合，每个组合平均结果的变化。")}>
          <Shown answer={effect} empty={(found) => (found.decision ? null : w("Not kept with this model.", "此模型未保存。"))}>
            {(found) => {
              const { price, difference, ...rows } = found.decision ?? {};
              const told = difference ? side(...difference.interval) : "open";
              return (
                <>
                  <Intervals
                    label={w("Value of each rule", "各规则的价值")}
                    rows={Object.entries({ ...rows, ...(difference ? { difference } : {}) }).map(([name, row]) => ({
                      key: name,
                      label: nameOf(name, lang),
                      strong: name === "difference",
                      estimate: row.estimate,
                      low: row.interval[0],
                      high: row.interval[1],
                    }))}
                  />
                  <p class="reading">
                    {told === "up"
                      ? w("Treating by effect earns more than treating by preference.", "按效应干预优于按偏好干预。")
                      : told === "down"
                        ? w("Treating by effect earns less than treating by preference.", "按效应干预不如按偏好干预。")
                        : w("Whether treating by effect earns more than by preference cannot be told from this log.", "此日志无法判断按效应干预是否优于按偏好干预。")}{" "}
                    {price && (
                      <Tag kind="plain">
                        {w("price of the budget", "预算的影子价格")} {figure(price.estimate)}
                      </Tag>
                    )}
                  </p>
                </>
              );
            }}
          </Shown>
        </Card>
        {value.data && value.data.variants.length > 0 && (
          <Card wide title={w("Variants, as they ran", "各变体的实际表现")} note={w("Mean reward of an item shown: the A/B comparison itself.", "每个展示商品的平均回报：即 A/B 比较本身。")}>
            <Intervals
              label={w("Mean reward by variant", "各变体的平均回报")}
              zero={false}
              rows={value.data.variants.map((row) => ({
                key: row.variant + row.model,
                label: nameOf(row.variant, lang),
                note: w(`${row.model}, ${whole(row.users)} users`, `${row.model}，${whole(row.users)} 位用户`),
                estimate: row.estimate,
                low: row.interval[0],
                high: row.interval[1],
              }))}
            />
          </Card>
        )}
      </div>
    </>
  );
}
