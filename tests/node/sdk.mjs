// Drives one official TypeScript SDK through what people do with it, and prints, as one JSON line, what came.
//
// usage: node sdk.mjs MODULES old|new|new-legacy URL TOKEN GATED FAILING GATE
// MODULES is a node_modules folder; GATED a do-file that ends once the file GATE-NAME is there, NAME being its argument.
// `old` is @modelcontextprotocol/sdk; `new` is @modelcontextprotocol/client, which chooses the newest era, or with
// `new-legacy` the older one. Time-outs are the SDKs' own.

import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const [modules, which, url, token, gated, failing, gate] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "x.js"));
const headers = { Authorization: `Bearer ${token}` };
const info = { name: "typescript-test", version: "1.0.0" };

let client, transport, call;
if (which === "old") {
  const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
  const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
  transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  client = new Client(info);
  call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
} else {
  const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
  transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  client = new Client(info, { versionNegotiation: { mode: which === "new" ? "auto" : "legacy" } });
  call = (name, args, options) => client.callTool({ name, arguments: args }, options);
}
const text = (result) => result.content.map((block) => block.text ?? "").join("\n");
const answer = (result) => ({ isError: Boolean(result.isError), text: text(result) });

await client.connect(transport);
const said = { tools: (await client.listTools()).tools.map((tool) => tool.name) };

// Progress is live: the do-file ends only because of it.
said.progress = [];
const whole = await call("stata_run_file", { file_path: gated, args: [which], wait: true }, {
  onprogress: (progress) => {
    said.progress.push(progress);
    writeFileSync(`${gate}-${which}`, "");
  },
});
said.whole = answer(whole);

said.failing = answer(await call("stata_run_file", { file_path: failing }));

// Cancelled through the tool, while the first call waits.
let seen;
const run = new Promise((resolve) => (seen = resolve));
const waiting = call("stata_run_file", { file_path: gated, args: [`${which}-endless`], wait: true }, {
  onprogress: ({ message }) => {
    const short = /running.* ([0-9a-f]{8})$/.exec(message);
    if (short) seen(short[1]);
  },
});
said.cancel = answer(await call("stata_cancel", { run: await run }));
said.cancelled = answer(await waiting);

said.unknown = await call("no_such_tool", {}).then(answer, (error) => ({ message: error.message, code: error.code }));
await client.close();
console.log(JSON.stringify(said));
process.exit(0);
