// What the model learnt from, and what comes in now: gaps, refusals, drift.
import { ask, query, type Card as ModelCard, type Models } from "../api";
import { Lines } from "../charts/lines";
import { day, figure, percent, whole } from "../format";
import { nameOf } from "../names";
import { useAnswer, useShared } from "../state";
import { Card, Meter, Shown, Stat, Table, Tag } from "../ui";
import { DriftList, useMonitor } from "./overview";

export function useCard() {
  const { lang } = useShared();
  return useAnswer<ModelCard>(async (signal) => {
    const { roles } = await ask<Models>("/v1/models", undefined, signal);
    return ask<ModelCard>(`/v1/models/${encodeURIComponent(roles.primary ?? "")}/card?${query({ lang })}`, undefined, signal);
  }, [lang]);
}

export function DataQuality() {
  const { w, lang } = useShared();
  const card = useCard();
  const monitor = useMonitor(false);
  const value = (v: number | string | null) => (typeof v === "number" ? figure(v, 3) : v === null ? "–" : v.slice(0, 10));
  return (
    <>
      <p class="lead">{w("What the model learnt from, and what comes in now.", "模型学习所用的数据，以及此刻进来的数据。")}</p>
      <Shown answer={card}>
        {({ log, validation, model }) => (
          <div class="grid">
            <dl class="stats wide">
              <Stat label={w("Rows of the log", "日志行数")} value={whole(log.rows)} more={`${model.name} ${model.version}`} />
              <Stat label={w("Interactions", "交互数")} value={whole(log.interactions)} more={percent(log.interactions / Math.max(1, log.rows))} />
              <Stat label={w("Users", "用户")} value={whole(log.users)} more={w(`${figure(log.interactions / log.users, 3)} interactions each`, `人均 ${figure(log.interactions / log.users, 3)} 次交互`)} />
              <Stat label={w("Items", "商品")} value={whole(log.items)} more={log.catalogue.categories === null ? w("without categories", "没有类别") : w(`${whole(log.catalogue.categories)} categories`, `${whole(log.catalogue.categories)} 个类别`)} />
              <Stat
                label={w("Items without text", "无文本商品")}
                value={whole(log.catalogue.without_text)}
                more={percent(log.catalogue.without_text / Math.max(1, log.catalogue.items))}
                state={log.catalogue.without_text ? "bad" : "good"}
              />
              <Stat
                label={w("Density", "稠密度")}
                value={percent(log.interactions / (log.users * log.items), 2)}
                more={w("interactions over pairs", "交互数 / 组合数")}
              />
            </dl>
            <Card wide title={w("Columns of the log", "日志的列")} note={w("Gaps and ranges, as the model was fitted on them.", "模型拟合所用数据的缺失与范围。")}>
              <Table
                label={w("Columns of the log", "日志的列")}
                head={
                  <>
                    <th scope="col">{w("Column", "列")}</th>
                    <th scope="col">{w("Role", "角色")}</th>
                    <th scope="col">{w("Kind", "类型")}</th>
                    <th scope="col">{w("Missing", "缺失")}</th>
                    <th scope="col" class="n">
                      {w("Distinct", "不同值")}
                    </th>
                    <th scope="col" class="n">
                      {w("Lowest", "最小")}
                    </th>
                    <th scope="col" class="n">
                      {w("Median", "中位")}
                    </th>
                    <th scope="col" class="n">
                      {w("Highest", "最大")}
                    </th>
                  </>
                }
              >
                {log.columns.map((row) => {
                  const share = row.missing / Math.max(1, log.rows);
                  return (
                    <tr key={row.column}>
                      <th scope="row">
                        <code>{row.column}</code>
                      </th>
                      <td>{row.role ? nameOf(row.role, lang) : "–"}</td>
                      <td>{nameOf(row.kind, lang)}</td>
                      <td class="gap">
                        <Meter share={share} bad={share > 0.5} />
                        <span>{row.missing === 0 ? w("none", "无") : percent(share)}</span>
                      </td>
                      <td class="n">{whole(row.distinct)}</td>
                      <td class="n">{value(row.low)}</td>
                      <td class="n">{value(row.median)}</td>
                      <td class="n">{value(row.high)}</td>
                    </tr>
                  );
                })}
              </Table>
            </Card>
            {log.over_time.length > 0 && (
              <Card title={w("Rows over time", "随时间的行数")} note={w("The log in 40 equal spans.", "日志分为 40 个等长时段。")}>
                <Lines
                  label={w("Rows of the log over time", "日志行数随时间的变化")}
                  x={log.over_time.map((row) => row.time)}
                  xWords={day}
                  series={[{ key: "a", label: w("rows", "行"), values: log.over_time.map((row) => row.rows) }]}
                  bars
                />
              </Card>
            )}
            {log.over_time.some((row) => row.outcome !== null) && (
              <Card title={w("Outcome over time", "结果随时间的变化")} note={w("Mean of the rows where it is known: a jump asks what changed in the logging.", "已知结果行的均值：若有跳变，应查明记录方式有何变化。")}>
                <Lines
                  label={w("Mean outcome over time", "平均结果随时间的变化")}
                  x={log.over_time.map((row) => row.time)}
                  xWords={day}
                  series={[{ key: "a", label: w("mean outcome", "平均结果"), values: log.over_time.map((row) => row.outcome) }]}
                />
              </Card>
            )}
            <Card wide title={w("How it was read", "读取情况")} note={validation ? w(`${whole(validation.rows_read)} rows read, ${whole(validation.rows_kept)} kept, ${whole(validation.rows_rejected)} rejected.`, `读取 ${whole(validation.rows_read)} 行，保留 ${whole(validation.rows_kept)} 行，剔除 ${whole(validation.rows_rejected)} 行。`) : undefined}>
              {!validation ? (
                <p class="empty">{w("This model was saved without its validation report. Fit it again with `whyrec fit` to keep it.", "此模型保存时未附带校验报告。用 `whyrec fit` 重新拟合即可保留。")}</p>
              ) : validation.issues.length === 0 ? (
                <p class="empty">{w("No fault was found.", "没有发现问题。")}</p>
              ) : (
                <Table
                  label={w("Faults found when the log was read", "读取日志时发现的问题")}
                  head={
                    <>
                      <th scope="col">{w("Fault", "问题")}</th>
                      <th scope="col">{w("Column", "列")}</th>
                      <th scope="col" class="n">
                        {w("Rows", "行数")}
                      </th>
                      <th scope="col">{w("Done", "处置")}</th>
                      <th scope="col">{w("Example", "示例")}</th>
                      <th scope="col">{w("Remedy", "补救")}</th>
                    </>
                  }
                >
                  {validation.issues.map((issue) => (
                    <tr key={issue.kind + issue.column}>
                      <th scope="row">
                        {issue.words ?? issue.kind.replaceAll("_", " ")}
                      </th>
                      <td>
                        <code>{issue.column}</code>
                      </td>
                      <td class="n">{whole(issue.count)}</td>
                      <td>
                        <Tag kind={issue.action === "rejected" ? "bad" : "plain"}>{nameOf(issue.action, lang)}</Tag>
                      </td>
                      <td lang="en">{issue.example}</td>
                      <td>{issue.remedy}</td>
                    </tr>
                  ))}
                </Table>
              )}
            </Card>
          </div>
        )}
      </Shown>
      <h2 class="part">{w("Coming in now", "此刻进来的数据")}</h2>
      <Shown answer={monitor}>
        {(data) => {
          const count = (event: string) => data.events.find((row) => row.event === event)?.count ?? 0;
          const refused = data.requests.filter((row) => row.status.startsWith("4") && row.route.startsWith("/v1/"));
          return (
            <div class="grid">
              <Card title={w("Events since the start", "启动以来的事件")}>
                <dl class="pairs">
                  <dt>{w("Accepted", "已接收")}</dt>
                  <dd>{whole(count("new"))}</dd>
                  <dt>{w("Dropped as repeated", "因重复而丢弃")}</dt>
                  <dd>{whole(count("duplicate"))}</dd>
                  <dt>{w("Requests refused", "被拒绝的请求")}</dt>
                  <dd>{whole(refused.reduce((sum, row) => sum + row.count, 0))}</dd>
                </dl>
                {refused.length > 0 && (
                  <ul class="plain">
                    {refused.map((row) => (
                      <li key={row.route + row.status}>
                        <code>{row.route}</code> {row.status}: {whole(row.count)}
                      </li>
                    ))}
                  </ul>
                )}
              </Card>
              <Card title={w("Live values against the log", "实时数据与日志的对比")} note={w("A context column at 0 values never came with a request.", "值数为 0 的情境列从未随请求到来。")}>
                <DriftList drift={data.drift} />
              </Card>
            </div>
          );
        }}
      </Shown>
    </>
  );
}
