// One official TypeScript SDK, all its settings as they come, runs a do-file that is silent for longer than it waits for
// an answer, and asks on as the answers say. Prints, as one JSON line, what came.
//
// usage: node silent.mjs MODULES old|new|new-legacy URL TOKEN FILE NAME

import { answer, connect } from "./connect.mjs";

const [modules, which, url, token, file, name] = process.argv.slice(2);
const { client, call } = await connect(modules, which, url, token);
const said = { calls: 1, longest: 0 };
async function timed(tool, args) {
  const began = performance.now();
  const got = answer(await call(tool, args));
  said.longest = Math.max(said.longest, (performance.now() - began) / 1000);
  return got;
}

const began = performance.now();
let got = await timed("stata_run_file", { file_path: file, args: [name] });
for (let run; (run = /stata_wait\(runs: "([0-9a-f]{8})"/.exec(got.text)); said.calls++) {
  got = await timed("stata_wait", { runs: run[1] });
}
Object.assign(said, got, { seconds: (performance.now() - began) / 1000 });
await client.close();
process.stdout.write(JSON.stringify(said), () => process.exit(0));
