// The few building blocks of every page.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { Answer } from "./state";
import { useShared } from "./state";
import type { Refusal } from "./api";

export function Card(props: {
  title: string;
  note?: ComponentChildren;
  tools?: ComponentChildren;
  wide?: boolean;
  children: ComponentChildren;
}) {
  const id = useId();
  return (
    <section class={props.wide ? "card wide" : "card"} aria-labelledby={id}>
      <header>
        <h2 id={id}>{props.title}</h2>
        {props.tools}
      </header>
      {props.note && <p class="note">{props.note}</p>}
      {props.children}
    </section>
  );
}

export function Stat(props: { label: string; value: ComponentChildren; more?: ComponentChildren; state?: "good" | "bad" | undefined }) {
  return (
    <div class="stat">
      <dt>{props.label}</dt>
      <dd>
        <span class="value">{props.value}</span>
        {props.more && <span class={props.state ? `more ${props.state}` : "more"}>{props.more}</span>}
      </dd>
    </div>
  );
}

export function Tag({ kind, children }: { kind: "good" | "bad" | "plain" | "accent"; children: ComponentChildren }) {
  return (
    <span class={`tag ${kind}`}>
      {kind === "good" && <span aria-hidden="true">✓ </span>}
      {kind === "bad" && <span aria-hidden="true">! </span>}
      {children}
    </span>
  );
}

/** Sentences of the service that come before anything else; nothing where there are none. */
export function Warnings({ words }: { words: readonly string[] | undefined }) {
  if (!words?.length) return null;
  return (
    <ul class="warnings">
      {words.map((text) => (
        <li key={text}>{text}</li>
      ))}
    </ul>
  );
}

/** Loading, refused, nothing there, or the answer. */
export function Shown<T>(props: {
  answer: Answer<T>;
  empty?: (data: T) => string | null;
  refused?: (error: Refusal) => ComponentChildren;
  children: (data: T) => ComponentChildren;
}) {
  const { w } = useShared();
  const { data, error, loading, again } = props.answer;
  if (error) return <>{props.refused?.(error) ?? <Refused error={error} again={again} />}</>;
  if (data === null)
    return (
      <div class="waiting" role="status">
        <span class="bar" aria-hidden="true" />
        {loading ? w("Asking the service …", "正在询问服务……") : w("Nothing yet.", "暂无内容。")}
      </div>
    );
  const nothing = props.empty?.(data);
  if (nothing) return <p class="empty">{nothing}</p>;
  return <div class={loading ? "asked again" : "asked"}>{props.children(data)}</div>;
}

// By the kind of problem that the service names; its own words follow below.
const REFUSALS: Record<string, [string, string]> = {
  "unknown-id": ["The service does not know this.", "服务不认识此编号。"],
  "not-identified": ["The log cannot tell this.", "日志无法回答此问题。"],
  "bad-input": ["This does not fit what can be asked.", "所问内容不合要求。"],
  "not-as-described": ["This does not fit what can be asked.", "所问内容不合要求。"],
  "incompatible-model": ["The model cannot be read.", "模型无法读取。"],
  "deploy-check": ["The deploy check does not let it in force.", "未通过上线检查。"],
  "storage-full": ["The disk of the service is full.", "服务的磁盘已满。"],
  "storage-down": ["The store of the service cannot be reached.", "服务的存储不可用。"],
  "http-404": ["There is no such thing here.", "这里没有该内容。"],
};

export function Refused({ error, again }: { error: Refusal; again?: () => void }) {
  const { w } = useShared();
  const words =
    error.kind === "unreachable"
      ? w("The service does not answer. Is it still running?", "服务没有应答。它还在运行吗？")
      : error.status === 401
        ? w("This needs an API key.", "需要 API 密钥。")
        : error.status === 403
          ? w("Your key may not ask this.", "你的密钥无权询问此项。")
          : (w(...(REFUSALS[error.kind] ?? ["The service cannot answer this.", "服务无法回答此问题。"])));
  return (
    <div class="refused" role="status">
      <p>{words}</p>
      {error.detail && (
        <p class="detail" lang="en">
          {error.detail}
        </p>
      )}
      {again && (
        <button type="button" onClick={again}>
          {w("Ask again", "再次询问")}
        </button>
      )}
    </div>
  );
}

/** One of a few: a radio group that looks like a row of buttons. Arrow keys move in it. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly { value: T; label: string; title?: string }[];
  onChange: (value: T) => void;
  hideLabel?: boolean;
}) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class={props.hideLabel ? "unseen" : ""}>{props.label}</legend>
      <div>
        {props.options.map((option) => (
          <label key={option.value} title={option.title}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={props.value === option.value}
              onChange={() => props.onChange(option.value)}
            />
            <span>{option.label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

export function Slider(props: {
  label: string;
  value: number;
  low: number;
  high: number;
  step: number;
  /** The value in words: shown, and read aloud. */
  words: string;
  onChange: (value: number) => void;
  left?: string;
  right?: string;
}) {
  const id = useId();
  const share = (props.value - props.low) / (props.high - props.low || 1);
  return (
    <div class="slider">
      <label for={id}>{props.label}</label>
      <output for={id}>{props.words}</output>
      <input
        id={id}
        type="range"
        min={props.low}
        max={props.high}
        step={props.step}
        value={props.value}
        aria-valuetext={props.words}
        style={{ "--share": `${100 * share}%` }}
        onInput={(event) => props.onChange(Number(event.currentTarget.value))}
      />
      {(props.left || props.right) && (
        <div class="ends" aria-hidden="true">
          <span>{props.left}</span>
          <span>{props.right}</span>
        </div>
      )}
    </div>
  );
}

/** A table that scrolls by itself where it is wider than the screen. */
export function Table(props: { label: string; head: ComponentChildren; children: ComponentChildren }) {
  return (
    <div class="scroll" role="group" aria-label={props.label} tabindex={0}>
      <table>
        <thead>
          <tr>{props.head}</tr>
        </thead>
        <tbody>{props.children}</tbody>
      </table>
    </div>
  );
}

/** A share as a bar behind nothing but itself; the number stands beside it. */
export function Meter({ share, mark, bad }: { share: number; mark?: number; bad?: boolean }) {
  const width = `${100 * Math.max(0, Math.min(1, share))}%`;
  return (
    <svg class={bad ? "meter bad" : "meter"} width="100%" height="8" aria-hidden="true">
      <rect class="track" width="100%" height="8" rx="4" />
      <rect class="fill" width={width} height="8" rx="4" />
      {mark !== undefined && <line class="mark" x1={`${100 * mark}%`} x2={`${100 * mark}%`} y1="0" y2="8" />}
    </svg>
  );
}

/** A sign of a picture beside what it means. */
export function Key({ kind, children }: { kind: string; children: ComponentChildren }) {
  return (
    <span class="meaning">
      <i class={`key ${kind}`} aria-hidden="true" /> {children}
    </span>
  );
}
