// Connects one official TypeScript SDK with its own time-outs.
//
// `old` is @modelcontextprotocol/sdk; `new` is @modelcontextprotocol/client, which chooses the newest era, or with
// `new-legacy` the older one. `modules` is a node_modules folder that has both.

import { createRequire } from "node:module";
import path from "node:path";

const info = { name: "typescript-test", version: "1.0.0" };

export async function connect(modules, which, url, token) {
  const require = createRequire(path.join(path.resolve(modules), "x.js"));
  const headers = { Authorization: `Bearer ${token}` };
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
  await client.connect(transport);
  return { client, call };
}

export const text = (result) => result.content.map((block) => block.text ?? "").join("\n");
export const answer = (result) => ({ isError: Boolean(result.isError), text: text(result) });
