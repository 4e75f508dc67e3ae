// Numbers as people read them. A minus is a minus, a missing number a dash.

const DASH = "–";
const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function raised(power: number): string {
  const digits = [...String(Math.abs(power))].map((digit) => RAISED[Number(digit)]).join("");
  return power < 0 ? `⁻${digits}` : digits;
}

const minus = (text: string) => text.replace(/^-/, "−");

/** A number with so many significant digits: 0.00024 is 2.4×10⁻⁴. */
export function figure(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  if (Math.abs(value) < 1e-12) return "0";
  const power = Math.floor(Math.log10(Math.abs(value)));
  if (power < -3 || power > 6) return `${minus((value / 10 ** power).toFixed(digits - 1))}×10${raised(power)}`;
  const decimals = Math.max(0, digits - 1 - power);
  return minus(value.toLocaleString("en-US", { minimumFractionDigits: 0, maximumFractionDigits: Math.min(decimals, 8) }));
}

export const whole = (value: number | null | undefined) =>
  value === null || value === undefined ? DASH : minus(Math.round(value).toLocaleString("en-US"));

export const percent = (share: number | null | undefined, decimals = 1) =>
  share === null || share === undefined || !Number.isFinite(share) ? DASH : `${minus((100 * share).toFixed(decimals))}%`;

export interface Unit {
  factor: number;
  decimals: number;
  /** "×10⁻⁴", or nothing where the numbers are of a usual size. */
  word: string;
}

/** One unit for numbers that stand beside each other. */
export function unitOf(values: readonly (number | null | undefined)[]): Unit {
  const most = Math.max(0, ...values.map((v) => (v !== null && v !== undefined && Number.isFinite(v) ? Math.abs(v) : 0)));
  if (most === 0) return { factor: 1, decimals: 1, word: "" };
  const power = Math.floor(Math.log10(most));
  if (power < -1 || power > 4) return { factor: 10 ** -power, decimals: 2, word: `×10${raised(power)}` };
  return { factor: 1, decimals: Math.max(0, Math.min(3, 3 - power)), word: "" };
}

export function inUnit(value: number | null | undefined, unit: Unit, sign = false): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  const text = (value * unit.factor).toFixed(unit.decimals);
  const plain = Number(text) === 0 ? text.replace("-", "") : minus(text);
  return sign && Number(text) > 0 ? `+${plain}` : plain;
}

/**
 * Two arms, what is, and the effect, in figures that add up: as many decimals as the effect needs, and the effect is the difference of the arms shown.
 */
export function alike([control, treated, now, effect]: readonly (number | null | undefined)[]): string[] {
  const size = Math.abs(effect ?? 0) || Math.abs(now ?? 0) || 1;
  const decimals = Math.min(8, Math.max(0, 2 - Math.floor(Math.log10(size))));
  const round = (value: number | null | undefined) => Number((value ?? Number.NaN).toFixed(decimals));
  const words = (value: number, sign = false) => (Number.isFinite(value) ? `${sign && value > 0 ? "+" : ""}${minus(value.toFixed(decimals))}` : DASH);
  return [words(round(control)), words(round(treated)), words(round(now)), words(round(treated) - round(control), true)];
}

/** About `count` round numbers between two. */
export function ticks(low: number, high: number, count = 4): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / count;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = size * ([1, 2, 2.5, 5, 10].find((s) => s * size >= raw) ?? 10);
  const found: number[] = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(n * step);
  return found;
}

export function clock(seconds: number, withSeconds = true): string {
  const time = new Date(seconds * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  const text = `${two(time.getHours())}:${two(time.getMinutes())}`;
  return withSeconds ? `${text}:${two(time.getSeconds())}` : text;
}

export function day(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}

export function duration(seconds: number, zh: boolean): string {
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (d) return zh ? `${d} 天 ${h} 小时` : `${d} d ${h} h`;
  if (h) return zh ? `${h} 小时 ${m} 分` : `${h} h ${m} min`;
  if (m) return zh ? `${m} 分钟` : `${m} min`;
  return zh ? `${Math.floor(seconds)} 秒` : `${Math.floor(seconds)} s`;
}

/** Round numbers of an axis with no more decimals than tell them apart. */
export function tickWords(marks: readonly number[], unit: Unit): string[] {
  for (let decimals = 0; decimals <= 6; decimals++) {
    const exact = marks.every((mark) => Math.abs(Number((mark * unit.factor).toFixed(decimals)) - mark * unit.factor) < 1e-9 * Math.max(1, Math.abs(mark * unit.factor)));
    if (exact) return marks.map((mark) => minus(Number((mark * unit.factor).toFixed(decimals)) === 0 ? "0" : (mark * unit.factor).toFixed(decimals)));
  }
  return marks.map((mark) => inUnit(mark, unit));
}
