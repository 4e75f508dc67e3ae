// Lines and bands over a number or the time, with a reading at the pointer.
import { useState } from "preact/hooks";
import { inUnit, tickWords, ticks, unitOf } from "../format";

export interface Series {
  key: string;
  label: string;
  values: readonly (number | null)[];
}

export function Lines(props: {
  label: string;
  x: readonly number[];
  xWords: (x: number) => string;
  xTicks?: readonly number[];
  series: readonly Series[];
  bands?: readonly { key: string; low: readonly number[]; high: readonly number[] }[];
  bars?: boolean;
  zero?: boolean;
  cursor?: number | null;
  unitWords?: string;
  height?: number;
}) {
  const { x, series, bands = [], zero = true } = props;
  const [at, setAt] = useState<number | null>(null);
  const all = [
    ...series.flatMap((line) => line.values.filter((v): v is number => v !== null && Number.isFinite(v))),
    ...bands.flatMap((band) => [...band.low, ...band.high]),
    ...(zero ? [0] : []),
  ];
  let low = Math.min(...all);
  let high = Math.max(...all);
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  if (low === high) high = low + 1;
  if (!zero) low -= (high - low) * 0.08;
  high += (high - low) * 0.06;
  const marks = ticks(low, high, 4);
  const unit = unitOf([low, high]);
  const markWords = tickWords(marks, unit);
  const [first, last] = [x[0] ?? 0, x.at(-1) ?? 1];
  const px = (value: number) => (100 * (value - first)) / (last - first || 1);
  const py = (value: number) => 100 - (100 * (value - low)) / (high - low);
  const shown = props.cursor ?? at;
  const width = 100 / Math.max(1, x.length);

  function follow(event: PointerEvent) {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const wanted = first + share * (last - first);
    let best = 0;
    x.forEach((value, place) => {
      if (Math.abs(value - wanted) < Math.abs((x[best] ?? 0) - wanted)) best = place;
    });
    setAt(best);
  }

  function path(values: readonly (number | null)[]): string {
    let pen = "M";
    return values
      .map((value, place) => {
        if (value === null) {
          pen = "M";
          return "";
        }
        const part = `${pen}${px(x[place] ?? 0).toFixed(2)},${py(value).toFixed(2)}`;
        pen = "L";
        return part;
      })
      .join("");
  }

  return (
    <figure class="lines" style={{ "--height": `${props.height ?? 150}px` }}>
      <div class="plot">
        <div class="y" aria-hidden="true">
          {marks.map((mark, n) => (
            <span key={mark} style={{ top: `${py(mark)}%` }}>
              {markWords[n]}
            </span>
          ))}
        </div>
        <svg
          viewBox="0 0 100 100"
          preserveAspectRatio="none"
          role="img"
          aria-label={props.label}
          onPointerMove={follow}
          onPointerLeave={() => setAt(null)}
        >
          {marks.map((mark) => (
            <line key={mark} class={mark === 0 ? "grid zero" : "grid"} x1="0" x2="100" y1={py(mark)} y2={py(mark)} />
          ))}
          {bands.map((band) => (
            <path
              key={band.key}
              class={`band ${band.key}`}
              d={`M${band.low.map((v, n) => `${px(x[n] ?? 0)},${py(v)}`).join("L")}L${band.high
                .map((v, n) => `${px(x[n] ?? 0)},${py(v)}`)
                .reverse()
                .join("L")}Z`}
            />
          ))}
          {props.bars
            ? series[0]?.values.map((value, place) =>
                value === null ? null : (
                  <rect
                    key={place}
                    class="column"
                    x={place * width + width * 0.1}
                    width={width * 0.8}
                    y={py(Math.max(value, 0))}
                    height={Math.abs(py(value) - py(0))}
                  />
                ),
              )
            : series.map((line) => (
                <g key={line.key} class={`line ${line.key}`}>
                  <path d={path(line.values)} />
                  {line.values.map((value, place) =>
                    value !== null && (line.values[place - 1] ?? null) === null && (line.values[place + 1] ?? null) === null ? (
                      <path key={place} class="lone" d={`M${px(x[place] ?? 0)},${py(value)}h0.001`} />
                    ) : null,
                  )}
                </g>
              ))}
          {shown !== null && x[shown] !== undefined && (
            <line
              class="cursor"
              x1={props.bars ? (shown + 0.5) * width : px(x[shown])}
              x2={props.bars ? (shown + 0.5) * width : px(x[shown])}
              y1="0"
              y2="100"
            />
          )}
        </svg>
        <div class="x" aria-hidden="true">
          {(props.xTicks ?? [first, (first + last) / 2, last]).map((mark) => (
            <span key={mark} style={{ left: `${px(mark)}%` }}>
              {props.xWords(mark)}
            </span>
          ))}
        </div>
      </div>
      <figcaption>
        {shown !== null && x[shown] !== undefined && series.length > 0 && <b>{props.xWords(x[shown])}</b>}
        {series.map((line) => (
          <span key={line.key} class={`key-line ${line.key}`}>
            <i aria-hidden="true" />
            {line.label}
            {shown !== null && x[shown] !== undefined && `: ${inUnit(line.values[shown] ?? null, unit)}`}
          </span>
        ))}
        {(unit.word || props.unitWords) && <span class="unit">{[unit.word, props.unitWords].filter(Boolean).join(" ")}</span>}
      </figcaption>
    </figure>
  );
}
