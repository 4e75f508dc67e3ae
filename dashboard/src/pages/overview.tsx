// Is it well? Traffic, latency, drift, calibration, what is stored.
import { useEffect, useState } from "preact/hooks";
import { ask, type Effect, type Monitor } from "../api";
import { Lines } from "../charts/lines";
import { clock, duration, figure, percent, whole } from "../format";
import { nameOf } from "../names";
import { useAnswer, useShared } from "../state";
import { Card, Meter, Shown, Stat, Table, Tag, Warnings } from "../ui";

const EVERY = 5_000;
export const DRIFT_ALERT = 0.2;

export function useMonitor(live: boolean) {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!live) return;
    const timer = setInterval(() => document.visibilityState === "visible" && setTurn((n) => n + 1), EVERY);
    return () => clearInterval(timer);
  }, [live]);
  return useAnswer<Monitor>((signal) => ask("/v1/monitor", undefined, signal), [turn]);
}

export function Overview() {
  const { w, lang } = useShared();
  const [live, setLive] = useState(true);
  const answer = useMonitor(live);
  const zh = lang === "zh";
  return (
    <>
      <div class="lead">
        <p>{w("What the service measures of itself, now.", "服务此刻对自身的测量。")}</p>
        <label class="check">
          <input type="checkbox" checked={live} onChange={(event) => setLive(event.currentTarget.checked)} />
          {w("Follow every 5 s", "每 5 秒更新")}
        </label>
      </div>
      <Shown answer={answer}>
        {(data) => {
          const drifts = Object.entries(data.drift);
          const alerts = drifts.filter(([, row]) => row.alert).length;
          const told = drifts.filter(([, row]) => row.psi !== null).length;
          const rates = Object.entries(data.traffic).filter(([route]) => route.startsWith("/v1/") && route !== "/v1/monitor");
          const perSecond = rates.reduce((sum, [, row]) => sum + row.per_second, 0);
          const recommend = data.traffic["/v1/recommend"];
          const { calibration } = data;
          const times = data.history.map((row) => row.time);
          const failed = data.requests.filter((row) => row.status.startsWith("5")).reduce((sum, row) => sum + row.count, 0);
          return (
            <div class="grid">
              <dl class="stats wide">
                <Stat
                  label={w("Model in force", "当前模型")}
                  value={data.model.name}
                  more={`${data.model.version} · ${w("up", "已运行")} ${duration(data.up_seconds, zh)}`}
                />
                <Stat label={w("Requests a second", "每秒请求数")} value={figure(perSecond, 3)} more={w("last minute", "最近一分钟")} />
                <Stat
                  label={w("Recommend, p99", "推荐 p99")}
                  value={recommend ? `${figure(recommend.p99_ms, 3)} ms` : "–"}
                  more={recommend ? `p50 ${figure(recommend.p50_ms, 3)} ms` : w("none in the last minute", "最近一分钟没有")}
                />
                <Stat
                  label={w("Drift", "漂移")}
                  value={told ? `${alerts} / ${told}` : "–"}
                  more={
                    told === 0
                      ? w("too few live values yet", "实时数据尚少")
                      : alerts
                        ? w("features have moved", "个特征已偏移")
                        : w("none has moved", "没有偏移")
                  }
                  state={told === 0 ? undefined : alerts ? "bad" : "good"}
                />
                <Stat
                  label={w("Calibration", "校准")}
                  value={calibration.ratio === null ? "–" : `${figure(calibration.ratio, 2)}×`}
                  more={
                    calibration.ratio === null
                      ? w(`${whole(calibration.n)} of 200 outcomes needed`, `已有 ${whole(calibration.n)} / 200 个结果`)
                      : w("observed over expected", "观测值 / 期望值")
                  }
                  state={calibration.ratio === null ? undefined : calibration.alert ? "bad" : "good"}
                />
                <Stat
                  label={w("Server errors", "服务器错误")}
                  value={whole(failed)}
                  more={w("since the start", "自启动以来")}
                  state={failed ? "bad" : "good"}
                />
              </dl>
              <Unheld />
              <Card title={w("Traffic", "流量")} note={w("Questions and events a second, last ten minutes.", "最近十分钟每秒的提问与事件数。")}>
                <Lines
                  label={w("Requests a second over the last ten minutes", "最近十分钟每秒请求数")}
                  x={times}
                  xWords={(x) => clock(x)}
                  series={[{ key: "a", label: w("requests a second", "每秒请求数"), values: data.history.map((row) => row.per_second) }]}
                  bars
                />
              </Card>
              <Card title={w("Latency", "延迟")} note={w("Milliseconds inside the service, all questions and events.", "服务内部毫秒数，含全部提问与事件。")}>
                <Lines
                  label={w("Median and 99th percentile of latency in milliseconds", "延迟的中位数与 99 百分位（毫秒）")}
                  x={times}
                  xWords={(x) => clock(x)}
                  series={[
                    { key: "b", label: "p99", values: data.history.map((row) => row.p99_ms) },
                    { key: "a", label: "p50", values: data.history.map((row) => row.p50_ms) },
                  ]}
                  unitWords="ms"
                />
              </Card>
              <div class="stack">
              <Card
                title={w("Drift", "漂移")}
                note={w(
                  "Population stability index of live values against the model's log; above 0.2 (the mark) a feature has moved.",
                  "实时数据相对模型日志的群体稳定性指数 (PSI)；超过 0.2（刻线）即视为偏移。",
                )}
              >
                <DriftList drift={data.drift} />
              </Card>
              <Card
                title={w("Bandit among the rules", "规则间的赌博机")}
                note={w('Chance of each rule when "by" is "bandit" (Thompson sampling).', "当 by 为 bandit 时各规则被选中的概率（汤普森采样）。")}
              >
                <ul class="meters">
                  {Object.entries(data.bandit).map(([rule, row]) => (
                    <li key={rule}>
                      <span>{nameOf(rule, lang)}</span>
                      <Meter share={row.share} />
                      <span class="n">
                        {percent(row.share, 0)} · {whole(row.answered)}/{whole(row.shown)}
                      </span>
                    </li>
                  ))}
                </ul>
                <p class="legend">{w("chance · answered/shown", "概率 · 有响应/已展示")}</p>
              </Card>
              </div>
              <div class="stack">
              <Card title={w("Routes", "接口")} note={w("Last minute.", "最近一分钟。")}>
                {rates.length ? (
                  <Table
                    label={w("Traffic by route", "各接口流量")}
                    head={
                      <>
                        <th scope="col">{w("Route", "接口")}</th>
                        <th scope="col" class="n">
                          {w("a second", "每秒")}
                        </th>
                        <th scope="col" class="n">
                          p50 ms
                        </th>
                        <th scope="col" class="n">
                          p99 ms
                        </th>
                      </>
                    }
                  >
                    {rates.map(([route, row]) => (
                      <tr key={route}>
                        <th scope="row">
                          <code>{route}</code>
                        </th>
                        <td class="n">{figure(row.per_second, 2)}</td>
                        <td class="n">{figure(row.p50_ms, 3)}</td>
                        <td class="n">{figure(row.p99_ms, 3)}</td>
                      </tr>
                    ))}
                  </Table>
                ) : (
                  <p class="empty">{w("Nobody has asked anything in the last minute.", "最近一分钟没有人提问。")}</p>
                )}
              </Card>
              <Card title={w("Stored", "已存储")}>
                <dl class="pairs">
                  <dt>{w("Events", "事件")}</dt>
                  <dd>{whole(data.store.events)}</dd>
                  <dt>{w("Recommendations logged", "已记录的推荐")}</dt>
                  <dd>{whole(data.store.decisions)}</dd>
                  <dt>{w("Items added while serving", "运行中新增的商品")}</dt>
                  <dd>{whole(data.store.items)}</dd>
                  <dt>{w("Chance of exploring, at each place", "每个位置的探索概率")}</dt>
                  <dd>{percent(data.explore)}</dd>
                </dl>
              </Card>
              </div>
            </div>
          );
        }}
      </Shown>
    </>
  );
}

/** What of the effects of the model in force did not hold, on the first screen. */
function Unheld() {
  const { w, lang } = useShared();
  const effect = useAnswer<Effect>((signal) => ask("/v1/effect", { lang }, signal), [lang]);
  if (!effect.data?.failures?.length) return null;
  return (
    <Card wide title={w("What of the effects did not hold", "效应中未成立的部分")}>
      <Warnings words={effect.data.failures} />
    </Card>
  );
}

export function DriftList({ drift }: { drift: Monitor["drift"] }) {
  const { w, lang } = useShared();
  const top = Math.max(0.4, ...Object.values(drift).map((row) => row.psi ?? 0));
  return (
    <ul class="meters">
      {Object.entries(drift).map(([name, row]) => (
        <li key={name}>
          <span>{nameOf(name, lang)}</span>
          <Meter share={(row.psi ?? 0) / top} mark={DRIFT_ALERT / top} bad={row.alert} />
          <span class="n">
            {row.psi === null ? w(`${whole(row.n)} of 200 values`, `${whole(row.n)} / 200 个值`) : figure(row.psi, 2)}{" "}
            {row.psi !== null && (row.alert ? <Tag kind="bad">{w("moved", "偏移")}</Tag> : <Tag kind="good">{w("steady", "平稳")}</Tag>)}
          </span>
        </li>
      ))}
    </ul>
  );
}
