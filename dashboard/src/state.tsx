// What every page shares: language, theme, and answers that come, fail or come again.
import { createContext, type ComponentChildren } from "preact";
import { useCallback, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Refusal } from "./api";

export type Lang = "en" | "zh";
export type Theme = "system" | "light" | "dark";

interface Shared {
  lang: Lang;
  setLang: (lang: Lang) => void;
  theme: Theme;
  setTheme: (theme: Theme) => void;
  /** The words of the language in use. */
  w: (en: string, zh: string) => string;
}

const Context = createContext<Shared | null>(null);

function kept<T extends string>(name: string, values: readonly T[], otherwise: T): T {
  try {
    const found = localStorage.getItem(name) as T | null;
    return found !== null && values.includes(found) ? found : otherwise;
  } catch {
    return otherwise;
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // A browser without storage asks again next time.
  }
}

export function Sharing({ children }: { children: ComponentChildren }) {
  const [lang, setLang] = useState<Lang>(() => kept("whyrec-lang", ["en", "zh"], navigator.language.startsWith("zh") ? "zh" : "en"));
  const [theme, setTheme] = useState<Theme>(() => kept("whyrec-theme", ["system", "light", "dark"], "system"));
  useEffect(() => {
    document.documentElement.lang = lang === "zh" ? "zh-Hans" : "en";
    keep("whyrec-lang", lang);
  }, [lang]);
  useEffect(() => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    keep("whyrec-theme", theme);
  }, [theme]);
  const value = useMemo<Shared>(
    () => ({ lang, setLang, theme, setTheme, w: (en, zh) => (lang === "zh" ? zh : en) }),
    [lang, theme],
  );
  return <Context.Provider value={value}>{children}</Context.Provider>;
}

export function useShared(): Shared {
  const found = useContext(Context);
  if (!found) throw new Error("no Sharing above this component");
  return found;
}

export interface Answer<T> {
  data: T | null;
  error: Refusal | null;
  loading: boolean;
  again: () => void;
}

/** Ask when what is asked about changes; an answer that comes too late is dropped, the last good one stays meanwhile. */
export function useAnswer<T>(load: ((signal: AbortSignal) => Promise<T>) | null, about: readonly unknown[]): Answer<T> {
  const [state, setState] = useState<{ data: T | null; error: Refusal | null; loading: boolean }>({
    data: null,
    error: null,
    loading: load !== null,
  });
  const [round, setRound] = useState(0);
  const again = useCallback(() => setRound((n) => n + 1), []);
  const latest = useRef(load);
  latest.current = load;
  // Before the next picture: nobody sees an old answer under a new question without its being dimmed.
  useLayoutEffect(() => {
    const asked = latest.current;
    if (asked === null) {
      setState({ data: null, error: null, loading: false });
      return;
    }
    const stop = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    asked(stop.signal)
      .then((data) => !stop.signal.aborted && setState({ data, error: null, loading: false }))
      .catch((error: unknown) => {
        if (stop.signal.aborted) return;
        const refusal = error instanceof Refusal ? error : new Refusal(0, "defect", String(error));
        setState({ data: null, error: refusal, loading: false });
      });
    return () => stop.abort();
  }, [...about, round, load === null]);
  useEffect(() => {
    window.addEventListener("whyrec:again", again);
    return () => window.removeEventListener("whyrec:again", again);
  }, [again]);
  return { ...state, again };
}

/** A value that follows its source once it rests for a while. */
export function useRested<T>(value: T, milliseconds = 180): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return rested;
}

export function useMedia(condition: string): boolean {
  const [holds, setHolds] = useState(() => window.matchMedia(condition).matches);
  useEffect(() => {
    const media = window.matchMedia(condition);
    const follow = () => setHolds(media.matches);
    media.addEventListener("change", follow);
    return () => media.removeEventListener("change", follow);
  }, [condition]);
  return holds;
}
