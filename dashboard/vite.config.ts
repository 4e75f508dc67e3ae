import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "vite";

const inside = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? inside(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
  );

/** Digest of what the pages are built from: a test compares it, so that no page is older than its source. */
function sources(): string {
  const digest = createHash("sha256");
  for (const file of ["index.html", "package.json", "vite.config.ts", ...inside("src")].sort()) {
    digest.update(`${file}\0`).update(readFileSync(file)).update("\0");
  }
  return digest.digest("hex");
}

// The pages are part of the Python package: what is built here is committed and goes into the wheel.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/whyrec/serve/pages",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000" } },
  plugins: [
    {
      name: "sources",
      generateBundle() {
        this.emitFile({ type: "asset", fileName: "sources.txt", source: `${sources()}\n` });
      },
    },
  ],
});
