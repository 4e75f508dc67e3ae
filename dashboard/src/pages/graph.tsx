// The causal graph behind the effects, what follows from it, and what the data say of that.
import { useMemo, useState } from "preact/hooks";
import { ask, type Graph } from "../api";
import { CausalGraph } from "../charts/graph";
import { closedBy, pathsBetween, reach, type Path } from "../charts/paths";
import { figure } from "../format";
import { nameOf } from "../names";
import { useAnswer, useShared } from "../state";
import { Card, Key, Shown, Table, Tag } from "../ui";

export function GraphPage() {
  const { w } = useShared();
  const answer = useAnswer<Graph>((signal) => ask("/v1/graph", undefined, signal), []);
  return (
    <>
      <p class="lead">{w("An arrow says: may cause. What is not drawn is assumed away, and partly tested below.", "箭头表示“可能导致”。未画出的关系即被假定不存在，其中一部分在下方检验。")}</p>
      <Shown answer={answer}>{(graph) => <Explorer graph={graph} />}</Shown>
    </>
  );
}

function Explorer({ graph }: { graph: Graph }) {
  const { w, lang } = useShared();
  const [chosen, setChosen] = useState<string | null>(null);
  const [path, setPath] = useState<Path | null>(null);
  const [tests, setTests] = useState(false);
  const ends = graph.nodes.includes("treatment") && graph.nodes.includes("outcome");
  const paths = useMemo(() => (ends ? pathsBetween(graph.directed, "treatment", "outcome") : []), [graph, ends]);
  const rejected = graph.checks.filter((check) => check.verdict === "rejected");
  const list = (names: Iterable<string>) => [...names].map((name) => nameOf(name, lang)).join(w(", ", "、")) || w("nothing", "无");
  const written = (found: Path) => found.nodes.map((node, n) => (n ? `${found.along[n - 1] ? " → " : " ← "}${nameOf(node, lang)}` : nameOf(node, lang))).join("");
  const held = useMemo(() => {
    const after = reach(graph.directed, "treatment", true);
    return new Set(graph.nodes.filter((node) => node !== "treatment" && !after.has(node) && !graph.latent.includes(node)));
  }, [graph]);
  const fate = (found: Path) => {
    const by = closedBy(found, graph.directed, held);
    return by ? w(`Closed at ${nameOf(by, lang)}.`, `在${nameOf(by, lang)}处阻断。`) : w("It stays open.", "仍未阻断。");
  };
  const groups: { kind: Path["kind"]; title: string; words: string }[] = [
    { kind: "causal", title: w("Causal", "因果路径"), words: w("the effect itself", "效应本身") },
    { kind: "backdoor", title: w("Back doors", "后门路径"), words: w(`association that is not effect; adjusting for ${list(held)}`, `并非效应的关联；对${list(held)}进行调整`) },
  ];
  return (
    <div class="grid">
      <Card
        wide
        title={w("The graph", "图")}
        note={w("Click a node, or move with the arrow keys and press Enter. Dashed nodes are not measured.", "点击节点，或用方向键移动并按回车。虚线节点未被测量。")}
        tools={
          <label class="check">
            <input type="checkbox" checked={tests} onChange={(event) => setTests(event.currentTarget.checked)} />
            {w(`Show rejected independences (${rejected.length})`, `显示被拒绝的独立性 (${rejected.length})`)}
          </label>
        }
      >
        <CausalGraph
          graph={graph}
          chosen={chosen}
          path={path}
          checks={tests ? rejected : []}
          onChoose={(node) => {
            setPath(null);
            setChosen(node);
          }}
        />
        <div class="reading" role="status">
          {path ? (
            <>
              {written(path)}
              {path.kind !== "causal" && `. ${fate(path)}`}
            </>
          ) : chosen ? (
            <>
              <b>{nameOf(chosen, lang)}</b>. {w("Direct causes", "直接原因")}: {list(graph.directed.filter(([, to]) => to === chosen).map(([from]) => from))}. {w("Directly affects", "直接影响")}:{" "}
              {list(graph.directed.filter(([from]) => from === chosen).map(([, to]) => to))}. {w("All that it may affect", "可能影响的全部")}: {list(reach(graph.directed, chosen, true))}.
              {graph.latent.includes(chosen) && ` ${w("It is not measured: nothing can be adjusted for it.", "它未被测量，无法对其进行调整。")}`}
            </>
          ) : (
            w("Nothing is chosen.", "未选择节点。")
          )}
        </div>
        <p class="legend">
          <Key kind="cause">{w("leads to it", "导致它")}</Key>
          <Key kind="effect">{w("follows from it", "由它导致")}</Key>
          <Key kind="dashed">{w("not measured", "未测量")}</Key>
          {tests && <Key kind="check">{w("no arrow, but the data show dependence", "无箭头，但数据显示相关")}</Key>}
        </p>
      </Card>
      {ends && (
        <Card title={w("Paths from treatment to outcome", "从干预到结果的路径")}>
          {groups.map((group) => {
            const found = paths.filter((one) => one.kind === group.kind);
            return (
              <div key={group.kind} class="paths">
                <h3>
                  {group.title} ({found.length})
                </h3>
                <p class="note">{group.words}</p>
                <ul>
                  {found.slice(0, 12).map((one) => (
                    <li key={one.nodes.join(" ")}>
                      <button
                        type="button"
                        class="quiet"
                        aria-pressed={path === one}
                        onClick={() => {
                          setChosen(null);
                          setPath(path === one ? null : one);
                        }}
                      >
                        {written(one)}
                      </button>
                      {one.kind !== "causal" && (closedBy(one, graph.directed, held) ? <Tag kind="good">{w("closed", "已阻断")}</Tag> : <Tag kind="bad">{w("open", "未阻断")}</Tag>)}
                    </li>
                  ))}
                </ul>
                {found.length > 12 && <p class="note">{w(`and ${found.length - 12} longer ones`, `以及 ${found.length - 12} 条更长的路径`)}</p>}
              </div>
            );
          })}
        </Card>
      )}
      <div class="stack">
      <Card title={w("What the data say of it", "数据的检验")} note={w("Independences that the graph implies, tested. A rejected one says that an arrow may be missing; one that holds proves nothing.", "对图所蕴含的独立性的检验。被拒绝说明可能缺少箭头；成立则不证明任何事。")}>
        {graph.checks.length ? (
          <Table
            label={w("Implied independences", "蕴含的独立性")}
            head={
              <>
                <th scope="col">{w("Independent?", "是否独立？")}</th>
                <th scope="col" class="n">
                  {w("Correlation", "相关")}
                </th>
                <th scope="col" class="n">
                  p
                </th>
                <th scope="col">{w("Verdict", "结论")}</th>
              </>
            }
          >
            {graph.checks.map((check) => (
              <tr key={`${check.a} ${check.b} ${check.given}`}>
                <th scope="row">
                  {nameOf(check.a, lang)} · {nameOf(check.b, lang)}
                  {check.given && ` | ${check.given}`}
                </th>
                <td class="n">{figure(check.correlation, 2)}</td>
                <td class="n">{figure(check.p_value, 2)}</td>
                <td>
                  <Tag kind={check.verdict === "rejected" ? "bad" : "plain"}>{check.verdict === "rejected" ? w("rejected", "被拒绝") : check.verdict === "holds" ? w("not rejected", "未被拒绝") : check.verdict}</Tag>
                </td>
              </tr>
            ))}
          </Table>
        ) : (
          <p class="empty">{w("Nothing of it can be tested with what is measured.", "以已测量的数据无法检验。")}</p>
        )}
      </Card>
      <Card title={w("As text", "文本形式")} note={w("For `whyrec` and other tools.", "供 `whyrec` 与其他工具使用。")}>
        <pre tabindex={0} role="group" aria-label={w("The graph as text", "图的文本形式")}>
          {graph.text.replaceAll("; ", "\n")}
        </pre>
      </Card>
      </div>
    </div>
  );
}
