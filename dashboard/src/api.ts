// The service's answers, as far as the pages read them, and the one way to ask for them.

export type Interval = [number | null, number | null];

export interface Estimate {
  estimate: number;
  interval: Interval;
  level?: number;
  standard_error?: number | null;
  n?: number;
  estimand?: string;
  method?: string;
  assumptions?: string[];
  diagnostics?: Record<string, unknown>;
}

export interface Model {
  name: string;
  version: string;
}

export interface Roles {
  primary: string | null;
  challenger: string | null;
  shadow: string | null;
  previous: string | null;
  share: number;
}

export interface Monitor {
  model: Model;
  roles: Roles;
  up_seconds: number;
  explore: number;
  traffic: Record<string, { per_second: number; p50_ms: number; p99_ms: number }>;
  history: { time: number; per_second: number | null; p50_ms: number | null; p99_ms: number | null }[];
  requests: { route: string; status: string; count: number }[];
  events: { event: string; count: number }[];
  drift: Record<string, { psi: number | null; n: number; alert: boolean }>;
  calibration: {
    n: number;
    expected: number | null;
    observed: number | null;
    ratio: number | null;
    error: number | null;
    alert: boolean;
  };
  bandit: Record<string, { shown: number; answered: number; share: number }>;
  store: Record<string, number>;
}

export interface ModelRow extends Model {
  role: string | null;
  loaded: boolean;
  users?: number;
  items?: number;
  rows?: number;
  effects?: boolean;
  loaded_at?: number;
}

export interface Column {
  column: string;
  role: string | null;
  kind: string;
  missing: number;
  distinct: number;
  low: number | string | null;
  median: number | string | null;
  high: number | string | null;
}

export interface Issue {
  kind: string;
  words?: string;
  column: string;
  count: number;
  example: string;
  action: string;
  remedy: string;
}

export interface Card {
  model: Model;
  parameters: Record<string, string | number>;
  training: { losses: number[]; arms: number[] };
  no_effects: string | null;
  log: {
    name: string;
    rows: number;
    users: number;
    items: number;
    interactions: number;
    columns: Column[];
    over_time: { time: number; rows: number; outcome: number | null }[];
    catalogue: {
      items: number;
      without_text: number;
      distinct_texts: number;
      categories: number | null;
      without_category: number | null;
    };
  };
  validation: {
    source: string;
    rows_read: number;
    rows_kept: number;
    rows_rejected: number;
    issues: Issue[];
    notes: string[];
  } | null;
  baselines: Record<string, { how: string; methods: Record<string, number | string | null>[] }> | null;
}

export interface CalibrationCurve {
  predicted: number[];
  observed: number[];
  half_width: number[];
  ece: number;
  ece_by_chance: number;
  ece_interval: Interval;
}

export interface Effect {
  model: Model;
  effect: Estimate;
  naive: Estimate;
  relatives?: Record<string, Estimate>;
  /** What of it did not hold, in sentences of the language asked for. */
  failures?: string[];
  policies?: Record<string, Estimate>;
  decision?: Record<string, Estimate> | null;
  refutations?: {
    name: string;
    estimate: number;
    interval: Interval;
    expected: string;
    passed: boolean;
    open?: boolean;
    words: string;
    detects?: string;
    misses?: string;
  }[];
  sensitivity?: {
    e_value: number | null;
    robustness_value: number | null;
    gamma: number[];
    low: number[];
    high: number[];
    low_limit: number[];
    high_limit: number[];
    gamma_at_zero: number | null;
    gamma_at_zero_limit: number | null;
    words: string;
  };
  positivity?: {
    rows: number[];
    effective: number[];
    edges: number[];
    control_shares: number[];
    treated_shares: number[];
    clipped_share: number;
    verdict: string;
    words: string;
  };
  calibration?: Record<string, { before: CalibrationCurve; after: CalibrationCurve } | null>;
  segments?: { segment: string; pairs: number; effect: number; interval: Interval }[];
}

export interface GraphCheck {
  a: string;
  b: string;
  given: string;
  correlation: number;
  p_value: number;
  verdict: string;
}

export interface Graph {
  model: Model;
  text: string;
  kind: string;
  nodes: string[];
  latent: string[];
  directed: [string, string][];
  bidirected: [string, string][];
  undirected: [string, string][];
  checks: GraphCheck[];
}

export interface PolicyValue {
  target: string;
  values: Record<string, Estimate>;
  chosen?: { method: string } | null;
  rounds?: number;
  effective_sample_size?: number;
  warnings?: string[];
  variants: (Estimate & { variant: string; model: string; users: number })[];
}

export interface Recommended {
  id: string;
  user: string;
  model: Model;
  variant: string;
  cold: boolean;
  /** How many of the list have the effect of another of it; null where it is not by effect. */
  ties: number | null;
  warnings: string[];
  items: RecommendedItem[];
}

export interface RecommendedItem {
  item: string;
  rank: number;
  score: number | null;
  preference: number;
  effect: number | null;
  effect_low: number | null;
  effect_high: number | null;
  /** 1 or -1 where it is told from zero among all that were compared, else 0. */
  effect_sign: number | null;
  expected_outcome: number | null;
  propensity: number;
  text: string;
  reason?: string;
}

export interface Why {
  model: Model;
  user: string;
  item: string;
  text: string;
  rank: number;
  of: number;
  bought: number;
  category_bought: number;
  similar: { item: string; text: string; cosine: number }[];
  effect: number | null;
  low: number | null;
  high: number | null;
  average_effect: number | null;
  drivers: Record<string, number>;
  sentences: string[];
  explanation: {
    k: number;
    rank: number;
    bought: number;
    effect: number | null;
    rank_by_effect: number | null;
    driver_intervals: { group: string; share: number; low: number; high: number }[] | null;
    paths: string[];
    adjusted: string[];
    without: { items: { item: string; text: string }[]; rank: number } | null;
    change: { feature: string; now: number; then: number; rank: number } | null;
    neighbours: { neighbour: number; cosine: number; times: number }[];
    gamma: number | null;
    gamma_sign: number | null;
    sentences: string[];
  } | null;
}

export interface PairAnswer {
  expected_outcome: number;
  outcome_by_arm: Record<string, number>;
  effect?: number;
  interval?: Interval;
  effect_sign?: number | null;
}

export interface CaseColumn {
  name: string;
  labels?: string[] | null;
  levels?: number[] | null;
  low?: number | null;
  high?: number | null;
  typical?: number | string | null;
}

export interface CaseModel {
  name: string;
  graph: string;
  columns: CaseColumn[];
}

export type CaseRow = Record<string, string | number>;

export interface CaseAnswer {
  rows: { target: string; factual: number; counterfactual: number; change: number; low: number | null; high: number | null }[];
}

/** An answer that is no answer: what the service says of it. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    readonly detail: string,
  ) {
    super(detail);
  }
}

const KEY = "whyrec-key";
let key = stored();

function stored(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Keep an API key for as long as this tab lives. */
export function useKey(value: string): void {
  key = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // Without storage the key lasts until the page is loaded again.
  }
}

/** Ask the service: GET, or POST where there is a body. Throws Refusal. */
export async function ask<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refusal(0, "unreachable", "");
  }
  if (answer.ok) return (await answer.json()) as T;
  const told = (await answer.json().catch(() => ({}))) as { type?: string; detail?: string };
  if (answer.status === 401) window.dispatchEvent(new Event("whyrec:key"));
  throw new Refusal(answer.status, (told.type ?? "").split(":").pop() ?? "", told.detail ?? answer.statusText);
}

export function query(values: Record<string, string | number | boolean | undefined>): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined && value !== "") found.set(name, String(value));
  return found.toString();
}

export interface Models {
  models: ModelRow[];
  roles: Roles;
}

export interface WhyNot {
  outcome: string;
  whole: number;
  reasons: { cause: string; share: number; low: number; high: number }[];
  actions: { action: string; chance: number; gain: number; low: number; high: number }[];
  sentences: string[];
}
