// Drives one official TypeScript SDK through what people do with it, and prints, as one JSON line, what came.
//
// usage: node sdk.mjs MODULES old|new|new-legacy URL TOKEN GATED FAILING DRAWING GATE
// GATED is a do-file that ends once the file GATE-NAME is there, NAME being its argument; FAILING one that fails;
// DRAWING one that leaves an image.

import { writeFileSync } from "node:fs";

import { answer, connect } from "./connect.mjs";

const [modules, which, url, token, gated, failing, drawing, gate] = process.argv.slice(2);
const { client, call } = await connect(modules, which, url, token);
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

said.drawing = answer(await call("stata_run_file", { file_path: drawing, args: [which] }));
const run = /stata_graph\(run: "([0-9a-f]{8})"\)/.exec(said.drawing.text)[1];
said.images = (await call("stata_graph", { run })).content.filter((block) => block.type === "image");
const path = /^data: (.*)$/m.exec(said.drawing.text)[1];
said.around = {
  files: answer(await call("stata_files", { run })),
  file: answer(await call("stata_files", { run, name: "notes.csv" })),
  results: answer(await call("stata_results", { run })),
  matrix: answer(await call("stata_results", { run, name: "e(V)" })),
  described: answer(await call("stata_data", { path })),
  rows: answer(await call("stata_data", { path, action: "rows", vars: ["x"], in: "2/3" })),
  help: answer(await call("stata_help", { topic: "regress" })),
  no_help: answer(await call("stata_help", { topic: "no such topic" })),
};

// A run under way: its id, and the call that follows it.
function underWay(name, options) {
  let seen;
  const run = new Promise((resolve) => (seen = resolve));
  const onprogress = ({ message }) => {
    const short = /^running.* ([0-9a-f]{8})$/.exec(message);
    if (short) seen(short[1]);
  };
  return { run, call: call("stata_run_file", { file_path: gated, args: [name], wait: true }, { onprogress, ...options }) };
}

// Cancelled through the tool, while the first call waits.
const waiting = underWay(`${which}-endless`);
said.cancel = answer(await call("stata_cancel", { run: await waiting.run }));
said.cancelled = answer(await waiting.call);

// Withdrawn: the client does not wait any more, and the run goes on.
const abort = new AbortController();
const left = underWay(`${which}-left`, { signal: abort.signal });
const gone = left.call.then(answer, (error) => ({ message: String(error.message ?? error) }));
const leftRun = await left.run;
abort.abort();
said.withdrawn = await gone;
said.still = answer(await call("stata_wait", { runs: leftRun, seconds: 1 }));
writeFileSync(`${gate}-${which}-left`, "");
said.found = answer(await call("stata_wait", { runs: leftRun }));

said.prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name);
const asked = await client.getPrompt({ name: "run_and_explain", arguments: { do_file: failing } });
said.prompt = asked.messages[0].content.text;
const complete = async (ref, argument) => (await client.complete({ ref, argument })).completion.values;
said.completed = await complete(
  { type: "ref/prompt", name: "run_and_explain" },
  { name: "do_file", value: failing.slice(0, -4) },
);
const begun = leftRun.slice(0, 4);
said.ids = [begun, ...(await complete({ type: "ref/resource", uri: "longhaul://runs/{id}" }, { name: "id", value: begun }))];

said.unknown = await call("no_such_tool", {}).then(answer, (error) => ({ message: error.message, code: error.code }));
await client.close();
process.stdout.write(JSON.stringify(said), () => process.exit(0));
