// Estimates with their intervals on one axis. A filled dot can be told from zero, a hollow one cannot: by its own interval, or by the sign that an
// answer claims of it among all that it compares.
import type { ComponentChildren } from "preact";
import { useShared } from "../state";
import { Key } from "../ui";
import { inUnit, tickWords, ticks, unitOf, type Unit } from "../format";

export interface IntervalRow {
  key: string;
  label: ComponentChildren;
  note?: ComponentChildren;
  estimate: number | null;
  low: number | null;
  high: number | null;
  strong?: boolean;
}

const known = (value: number | null | undefined): value is number =>
  value !== null && value !== undefined && Number.isFinite(value);

export interface Axis {
  low: number;
  high: number;
  unit: Unit;
}

/** An axis that holds every interval; zero too, where what is drawn is an effect. */
export function axisOf(values: readonly (number | null | undefined)[], zero = true): Axis {
  const all = [...values.filter(known), ...(zero ? [0] : [])];
  let low = Math.min(...all);
  let high = Math.max(...all);
  if (!Number.isFinite(low) || low === high) [low, high] = [(low || 0) - 1, (high || 0) + 1];
  const room = (high - low) * 0.06;
  return { low: low - room, high: high + room, unit: unitOf(values) };
}

export const placeOn = (axis: Axis, value: number) => `${(100 * (value - axis.low)) / (axis.high - axis.low)}%`;

/** Which side of zero an interval lies on; open where it holds zero or is not known. */
export function side(low: number | null, high: number | null): "up" | "down" | "open" {
  if (known(low) && low > 0) return "up";
  if (known(high) && high < 0) return "down";
  return "open";
}

const SIDES = { "1": "up", "-1": "down", "0": "open" } as const;

export function Bar(props: { sign?: number | null | undefined; axis: Axis; estimate: number | null; low: number | null; high: number | null; reference?: number | null; zero?: boolean }) {
  const { axis, estimate, low, high, reference, zero = true } = props;
  const at = (value: number) => placeOn(axis, value);
  const kind = !zero ? "plain" : known(props.sign) ? SIDES[String(props.sign) as keyof typeof SIDES] : side(low, high);
  return (
    <svg class={`interval ${kind}`} width="100%" height="18" aria-hidden="true">
      {zero && <line class="zero" x1={at(0)} x2={at(0)} y1="-7" y2="25" />}
      {known(reference) && <line class="reference" x1={at(reference)} x2={at(reference)} y1="-7" y2="25" />}
      {known(low) && known(high) && <line class="span" x1={at(low)} x2={at(high)} y1="9" y2="9" />}
      {known(estimate) && <circle cx={at(estimate)} cy="9" r="4.5" />}
    </svg>
  );
}

export function Intervals(props: {
  rows: readonly IntervalRow[];
  label: string;
  reference?: number | null;
  referenceWords?: string;
  zero?: boolean;
  axis?: Axis;
}) {
  const { w } = useShared();
  const { rows, zero = true } = props;
  const axis = props.axis ?? axisOf([...rows.flatMap((row) => [row.estimate, row.low, row.high]), props.reference], zero);
  const marks = ticks(axis.low, axis.high, 4);
  const words = tickWords(marks, axis.unit);
  return (
    <div class="intervals">
      <ul aria-label={props.label}>
        {rows.map((row) => (
          <li key={row.key} class={row.strong ? "strong" : ""}>
            <span class="label">
              {row.label}
              {row.note && <small>{row.note}</small>}
            </span>
            <Bar axis={axis} estimate={row.estimate} low={row.low} high={row.high} reference={props.reference ?? null} zero={zero} />
            <span class="figures">
              <b>{inUnit(row.estimate, axis.unit, zero)}</b>{" "}
              {known(row.low) && known(row.high) ? (
                <span>
                  {inUnit(row.low, axis.unit, zero)} {w("to", "至")} {inUnit(row.high, axis.unit, zero)}
                </span>
              ) : (
                <span>{w("no interval", "无区间")}</span>
              )}
            </span>
          </li>
        ))}
      </ul>
      <div class="axis" aria-hidden="true">
        <span />
        <svg width="100%" height="18">
          {marks.map((mark, n) => (
            <text key={mark} x={placeOn(axis, mark)} y="13" text-anchor="middle">
              {words[n]}
            </text>
          ))}
        </svg>
        <span>{axis.unit.word}</span>
      </div>
      <p class="legend">
        {zero && (
          <>
            <Key kind="filled">{w("can be told from zero", "可与零区分")}</Key>
            <Key kind="hollow">{w("cannot be told from zero", "无法与零区分")}</Key>
          </>
        )}
        {known(props.reference) && (
          <>
            <Key kind="dashed">{props.referenceWords}</Key>
          </>
        )}
        {axis.unit.word && <span class="unit">{w(`figures ${axis.unit.word}`, `数值 ${axis.unit.word}`)}</span>}
      </p>
    </div>
  );
}
