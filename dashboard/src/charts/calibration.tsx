// What was predicted against what was observed, with the sampling error of each bin; the diagonal is perfect.
import type { CalibrationCurve } from "../api";
import { inUnit, tickWords, ticks, unitOf } from "../format";

const roundTo = (value: number) => (value > 0 ? Number(value.toPrecision(2)) : 0);
const [WIDTH, HEIGHT, LEFT, BOTTOM, EDGE] = [360, 250, 58, 36, 12];

export function Calibration(props: { label: string; curve: CalibrationCurve; xWords: string; yWords: string }) {
  const { predicted, observed, half_width } = props.curve;
  const ends = [...predicted, ...observed.map((value, n) => value + (half_width[n] ?? 0))].filter(Number.isFinite);
  const high = Math.max(...ends, 1e-12) * 1.04;
  // Rare outcomes crowd at the left: a square-root axis gives them room, and still holds zero.
  const positive = predicted.filter((value) => value > 0);
  const rooted = Math.max(...positive) / Math.min(...positive) > 20;
  const bend = (value: number) => (rooted ? Math.sqrt(Math.max(value, 0) / high) : Math.max(value, 0) / high);
  const px = (value: number) => LEFT + bend(value) * (WIDTH - LEFT - EDGE);
  const py = (value: number) => HEIGHT - BOTTOM - bend(value) * (HEIGHT - BOTTOM - EDGE);
  const unit = unitOf([high]);
  const marks = rooted ? [0, 0.05, 0.25, 0.55, 0.95].map((share) => roundTo(high * share)) : ticks(0, high, 4);
  const words = rooted ? marks.map((mark) => inUnit(mark, unit)) : tickWords(marks, unit);
  return (
    <svg class="calibration" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={props.label}>
      {marks.map((mark, n) => (
        <g key={mark}>
          <line class="grid" x1={LEFT} x2={WIDTH - EDGE} y1={py(mark)} y2={py(mark)} />
          <text x={LEFT - 6} y={py(mark) + 4} text-anchor="end">
            {words[n]}
          </text>
          <text x={px(mark)} y={HEIGHT - BOTTOM + 15} text-anchor="middle">
            {words[n]}
          </text>
        </g>
      ))}
      <line class="perfect" x1={px(0)} y1={py(0)} x2={px(high)} y2={py(high)} />
      {predicted.map((value, n) => {
        const [seen, half] = [observed[n] ?? 0, half_width[n] ?? 0];
        return (
          <g key={n} class="bin">
            <line x1={px(value)} x2={px(value)} y1={py(seen - half)} y2={py(seen + half)} />
            <circle cx={px(value)} cy={py(seen)} r="3.6" />
          </g>
        );
      })}
      <text x={(LEFT + WIDTH) / 2} y={HEIGHT - 4} text-anchor="middle">
        {props.xWords} {unit.word}
      </text>
      <text x={12} y={(HEIGHT - BOTTOM) / 2} text-anchor="middle" transform={`rotate(-90 12 ${(HEIGHT - BOTTOM) / 2})`}>
        {props.yWords}
      </text>
    </svg>
  );
}
