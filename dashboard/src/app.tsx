// The frame: navigation, language, theme, the API key where one is asked for.
import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren, FunctionComponent } from "preact";
import { useKey } from "./api";
import { useRoute } from "./route";
import { useShared, type Theme } from "./state";
import { Overview } from "./pages/overview";
import { DataQuality } from "./pages/data";
import { ModelPage } from "./pages/model";
import { Effects } from "./pages/effects";
import { GraphPage } from "./pages/graph";
import { Policies } from "./pages/policies";
import { UserPage } from "./pages/user";

interface Page {
  path: string;
  en: string;
  zh: string;
  icon: ComponentChildren;
  view: FunctionComponent;
}

const PAGES: readonly Page[] = [
  { path: "", en: "Overview", zh: "总览", view: Overview, icon: <path d="M3 13h4l2-7 3 10 2-5h4" /> },
  { path: "data", en: "Data quality", zh: "数据质量", view: DataQuality, icon: <path d="M4 5h12M4 10h12M4 15h7M14 14l1.5 1.5L18 13" /> },
  { path: "model", en: "Model and baselines", zh: "模型与基线", view: ModelPage, icon: <path d="M4 16V9M10 16V4M16 16v-5" /> },
  { path: "effects", en: "Effects", zh: "效应", view: Effects, icon: <path d="M3 6h9M9 10h8M5 14h7M7 4.5v3M13 8.5v3M8 12.5v3" /> },
  { path: "graph", en: "Causal graph", zh: "因果图", view: GraphPage, icon: <path d="M5 5l5 5M15 5l-5 5M10 10v5M5 5h0M15 5h0M10 16h0" stroke-linecap="round" /> },
  { path: "policies", en: "Policies", zh: "策略比较", view: Policies, icon: <path d="M10 3v14M4 7h12M4 7l-2 5h4zM16 7l-2 5h4z" /> },
  { path: "user", en: "One user", zh: "单个用户", view: UserPage, icon: <path d="M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4 17c.6-3.2 3-5 6-5s5.4 1.8 6 5" /> },
];

export function App() {
  const { w, lang, setLang, theme, setTheme } = useShared();
  const route = useRoute();
  const page = PAGES.find((found) => found.path === route.page) ?? PAGES[0]!;
  const [open, setOpen] = useState(false);
  const heading = useRef<HTMLHeadingElement>(null);
  const arrived = useRef(false);
  const title = w(page.en, page.zh);
  useEffect(() => {
    document.title = `${title} · whyrec`;
  }, [title]);
  useEffect(() => {
    setOpen(false);
    if (arrived.current) {
      heading.current?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    arrived.current = true;
  }, [page]);
  const View = page.view;
  const nextTheme: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
  const themeWords = { system: w("Theme: system", "主题：跟随系统"), light: w("Theme: light", "主题：浅色"), dark: w("Theme: dark", "主题：深色") };
  return (
    <div class="frame">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          heading.current?.focus();
        }}
      >
        {w("Skip to the content", "跳到正文")}
      </a>
      <header class="side">
        <a class="brand" href="#/">
          <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
            <rect width="32" height="32" rx="8" />
            <path d="M9 10.5 15 20M23 10.5 17 20M11.5 9h9" />
            <circle cx="8.5" cy="9" r="3" />
            <circle cx="23.5" cy="9" r="3" />
            <circle cx="16" cy="22.5" r="3.4" />
          </svg>
          whyrec
        </a>
        <button type="button" class="menu" aria-expanded={open} aria-controls="pages" onClick={() => setOpen(!open)}>
          <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
            <path d="M3 6h14M3 10h14M3 14h14" />
          </svg>
          {w("Pages", "页面")}
        </button>
        <nav id="pages" class={open ? "open" : ""} aria-label={w("Pages", "页面")}>
          <ul>
            {PAGES.map((found) => (
              <li key={found.path}>
                <a href={`#/${found.path}`} aria-current={found === page ? "page" : undefined} onClick={() => setOpen(false)}>
                  <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
                    {found.icon}
                  </svg>
                  {w(found.en, found.zh)}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="switches">
          <button type="button" class="quiet" lang={lang === "en" ? "zh-Hans" : "en"} onClick={() => setLang(lang === "en" ? "zh" : "en")}>
            {lang === "en" ? "中文" : "English"}
          </button>
          <button type="button" class="quiet" onClick={() => setTheme(nextTheme[theme])}>
            {themeWords[theme]}
          </button>
        </div>
      </header>
      <main id="main">
        <h1 ref={heading} tabindex={-1}>
          {title}
        </h1>
        <View key={page.path} />
      </main>
      <KeyDialog />
    </div>
  );
}

/** Asks for a key once the service has refused to answer without one. */
function KeyDialog() {
  const { w } = useShared();
  const dialog = useRef<HTMLDialogElement>(null);
  const [value, setValue] = useState("");
  useEffect(() => {
    const show = () => {
      if (dialog.current && !dialog.current.open) dialog.current.showModal();
    };
    window.addEventListener("whyrec:key", show);
    return () => window.removeEventListener("whyrec:key", show);
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="key-title">
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          useKey(value.trim());
          setValue("");
          dialog.current?.close();
          window.dispatchEvent(new Event("whyrec:again"));
        }}
      >
        <h2 id="key-title">{w("This service asks for a key", "此服务需要密钥")}</h2>
        <p class="note">
          {w(
            "Make one with `whyrec serve keys add --name dashboard --scopes ask`. It stays in this tab only.",
            "用 `whyrec serve keys add --name dashboard --scopes ask` 创建。密钥只保留在此标签页中。",
          )}
        </p>
        <label>
          {w("API key", "API 密钥")}
          <input type="password" autocomplete="off" required value={value} onInput={(event) => setValue(event.currentTarget.value)} />
        </label>
        <div class="actions">
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>
            {w("Not now", "暂不")}
          </button>
          <button type="submit">{w("Use this key", "使用此密钥")}</button>
        </div>
      </form>
    </dialog>
  );
}
