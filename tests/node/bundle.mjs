// node bundle.mjs <svix package>: hooks.jsx as one script, on stdout, with that version of Svix's client.
import { stdout, argv } from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const { outputFiles } = await build({
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  entryPoints: ["hooks.jsx"],
  alias: { svix: argv[2] },
  bundle: true,
  write: false,
  minify: true,
  // svix 1 asks for Node's version wherever it runs
  define: { "process.env.NODE_ENV": '"production"', process: "undefined" },
});
stdout.write(outputFiles[0].text);
