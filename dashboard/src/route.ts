// Where the reader is: #/effects?by=category. Kept in the address, so that a page can be sent to someone.
import { useEffect, useState } from "preact/hooks";

export interface Route {
  page: string;
  values: URLSearchParams;
}

function read(): Route {
  const [page = "", values = ""] = window.location.hash.replace(/^#\/?/, "").split("?");
  return { page, values: new URLSearchParams(values) };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const follow = () => setRoute(read());
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  return route;
}

/** Put values into the address without a step in the history. */
export function note(page: string, values: Record<string, string>): void {
  const text = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "")).toString();
  const wanted = `#/${page}${text ? `?${text}` : ""}`;
  if (window.location.hash !== wanted) window.history.replaceState(null, "", wanted);
}
