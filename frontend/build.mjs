// Bundles src/entries/* into dashboard/static/build with hashed names and a manifest that the
// `asset` template tag reads: {"board.js": "board-ABC123.js", "page.css": "page-DEF456.css", …}.
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "dashboard", "static", "build");
const watch = process.argv.includes("--watch");

const entries = readdirSync(join(here, "src", "entries")).map((name) => join("src", "entries", name));

const manifest = {
  name: "manifest",
  setup(build) {
    build.onEnd((result) => {
      if (result.errors.length > 0) return;
      const names = {};
      const kept = new Set(["manifest.json"]);
      for (const [file, made] of Object.entries(result.metafile.outputs)) {
        const name = relative(out, join(here, file));
        kept.add(name);
        if (made.entryPoint) names[basename(made.entryPoint, extname(made.entryPoint)) + extname(name)] = name;
      }
      for (const name of readdirSync(join(here, "icons"))) {
        cpSync(join(here, "icons", name), join(out, name));
        kept.add(name);
        names[name] = name;
      }
      writeFileSync(join(out, "manifest.json"), JSON.stringify(names, null, 2) + "\n");
      for (const name of readdirSync(out)) if (!kept.has(name)) rmSync(join(out, name), { recursive: true });
      writeFileSync(join(out, "THIRD-PARTY.txt"), licences());
    });
  },
};

/** The licence texts of what ends up in the bundles: Lit and the two fonts. */
function licences() {
  const shipped = ["lit", "lit-html", "lit-element", "@lit/reactive-element", "@fontsource-variable/inter", "@fontsource/jetbrains-mono"];
  return shipped
    .map((name) => `${name}\n${"=".repeat(name.length)}\n\n${readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8")}`)
    .join("\n\n");
}

const options = {
  absWorkingDir: here,
  entryPoints: entries,
  outdir: out,
  bundle: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox114", "safari16.4"],
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  assetNames: "[name]-[hash]",
  splitting: true,
  minify: !watch,
  sourcemap: watch ? "linked" : false,
  legalComments: "none",
  metafile: true,
  loader: { ".woff2": "file" },
  plugins: [manifest],
  logLevel: "warning",
};

mkdirSync(out, { recursive: true });
if (watch) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  await esbuild.build(options);
}
