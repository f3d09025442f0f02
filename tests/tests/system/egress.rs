//! What may leave to AI clients: every tool under every rule, in a golden file (`tests/golden/egress.txt`, written anew with
//! `LONGHAUL_REGENERATE=1`), and no byte of what must stay, in any answer, error, line of progress, task or resource.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::{api::RunView, ids::RunId, state::RunState};
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::{Mcp, Said},
    picture::PNG,
    wait,
};
use serde_json::{Value, json};

const GOLDEN: &str = "golden/egress.txt";

/// The rules of the table.
const RULES: [&str; 7] =
    ["full", "full rows=off", "full graphs=off", "full files=off", "full min_cell=5", "output", "verdict"];

/// What shows that something has left: no echo of a command has these words, since the code puts them together.
const MARKS: [&str; 6] = ["MARKLOG", "MARKCMD", "MARKROW", "MARKGRAPH", "MARKFILE", "MARKBYTES"];

const DATA: &str = "local a MARK\nset obs 40\ngenerate x = _n\ngenerate y = 2 * _n + mod(_n, 3)\ngenerate byte odd = mod(_n, 2)\n\
                    generate str name = \"`a'ROW\" + string(_n)\n";

struct World {
    lab: Lab,
    gateway: Gateway,
    agent: Daemon,
    good: RunId,
    bad: RunId,
    going: RunId,
}

fn client(world: &World) -> Mcp {
    Mcp::new(&world.gateway.api, "claude-code", "2.1.330")
}

/// A lab with a run that left everything, one that failed, and one that goes on.
async fn world(lab: Lab, rule: &str) -> World {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "4", "--egress", rule]);
    gateway.api.wait_host("stata1", "up").await;
    let saved = lab.work().join("saved.dta");
    // What is as old as the start counts as not written by the run.
    let good = format!(
        "sleep 50\n{DATA}save \"{}\", replace\ncopy came.png `a'GRAPH.png\ncopy some.txt `a'FILE.txt\nregress y x\ndisplay \"`a'LOG\"\n",
        saved.display()
    );
    let bundle = json!({"bundle": {"entry": "main.do", "files": {
        "main.do": good, "came.png": {"base64": STANDARD.encode(PNG)}, "some.txt": "MARKBYTES\n",
    }}});
    let mut world = World { lab, gateway, agent, good: none(), bad: none(), going: none() };
    let run = client(&world).call("stata_submit", bundle).await.run();
    world.good = world.gateway.api.get(run).await.unwrap().run_id;
    let end = world.gateway.api.wait_end(world.good).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    let bad = world.lab.file("bad.do", "local a MARK\ndisplay \"`a'LOG\"\n`a'CMD x\n");
    world.bad = world.gateway.api.submit_path(&bad, &[]).await.run_id;
    assert_eq!(world.gateway.api.wait_end(world.bad).await.state, RunState::Failed);
    let gate = world.lab.work().join("gate-on");
    let going = format!(
        "local a MARK\ndisplay \"`a'LOG\"\nlocal waiting = 1\nwhile `waiting' {{\ncapture confirm file \"{}\"\nif _rc == 0 {{\n\
         local waiting = 0\n}}\nelse {{\nsleep 20\n}}\n}}\n",
        gate.display()
    );
    world.going = world.gateway.api.submit_path(&world.lab.file("going.do", going), &[]).await.run_id;
    world.gateway.api.wait_output(world.going, "MARKLOG").await;
    world
}

fn none() -> RunId {
    "00000000-0000-7000-8000-000000000000".parse().unwrap()
}

/// Calls of each tool. A new tool has none, and the test says so.
fn calls(world: &World, tool: &str) -> Vec<(&'static str, Value)> {
    let (good, bad, going) = (world.good.short(), world.bad.short(), world.going.short());
    let fails = "local a MARK\ndisplay \"`a'LOG\"\n`a'CMD x\n";
    let data = |action: &str, vars: &[&str]| {
        let mut asked = json!({"path": world.lab.work().join("saved.dta"), "action": action});
        if !vars.is_empty() {
            asked["vars"] = json!(vars);
        }
        asked
    };
    match tool {
        "stata_run_file" => vec![
            ("of a run that fails", json!({"file_path": world.lab.work().join("bad.do"), "again": true})),
            ("that answers with an earlier run", json!({"file_path": world.lab.work().join("going.do")})),
        ],
        "stata_run_selection" => vec![("of a run that fails", json!({"selection": fails, "again": true}))],
        "stata_submit" => vec![("", json!({"text": "display 1"}))],
        "stata_wait" => vec![
            ("of a run that goes on", json!({"runs": going, "seconds": 1})),
            ("of one that failed", json!({"runs": bad})),
            ("of several", json!({"runs": [good, bad, going], "seconds": 0, "offset": 0})),
        ],
        "stata_runs" => vec![("", json!({}))],
        "stata_log" => vec![
            ("", json!({"run": good})),
            ("by pattern", json!({"run": bad, "pattern": "MARK"})),
            ("of the console", json!({"run": going, "stream": "console"})),
        ],
        "stata_graph" => vec![("", json!({"run": good})), ("by a wrong name", json!({"run": good, "name": "x.png"}))],
        "stata_files" => vec![
            ("", json!({"run": good})),
            ("one", json!({"run": good, "name": "MARKFILE.txt"})),
            ("a graph", json!({"run": good, "name": "MARKGRAPH.png"})),
            ("by a wrong name", json!({"run": good, "name": "x.txt"})),
        ],
        "stata_help" => vec![("", json!({"search": "regress"}))],
        "stata_data" => vec![
            ("describe", data("describe", &[])),
            ("summarize", data("summarize", &["x", "y"])),
            ("codebook", data("codebook", &[])),
            ("tabulate", data("tabulate", &["odd"])),
            ("tabulate of single values", data("tabulate", &["name"])),
            ("tabulate of two", data("tabulate", &["name", "odd"])),
            ("rows", data("rows", &[])),
            ("of few", json!({"path": world.lab.work().join("saved.dta"), "action": "summarize", "in": "1/2"})),
        ],
        "stata_results" => vec![("", json!({"run": good})), ("one", json!({"run": good, "name": "e(b)"}))],
        "stata_cancel" => vec![("of a run that failed", json!({"run": bad}))],
        "stata_hosts" => vec![("", json!({}))],
        other => panic!(
            "{other} is a new tool: say in this table how it is called, and look at what it tells under each rule"
        ),
    }
}

/// All that a client is sent during a call, as one text; and whether it is refused, or another error.
async fn sent(client: &Mcp, tool: &str, arguments: Value) -> (String, Option<&'static str>) {
    let mut call = client.start(tool, arguments, json!({})).await;
    let (mut all, mut ended) = (String::new(), None);
    while let Some(said) = call.next().await {
        match said {
            Said::Progress(progress) => _ = writeln!(all, "{}", progress.message),
            Said::Result(result) => {
                let refused = result.text.contains("egress = ");
                // Of a run that failed the answer is an error, too, and tells of it.
                let error = result.is_error && !result.text.contains("r(199)");
                ended = if refused && error { Some("refused") } else { error.then_some("error") };
                _ = writeln!(all, "{}", result.raw);
            }
        }
    }
    (all, ended)
}

async fn asked(client: &Mcp, method: &str, params: Value) -> String {
    client.request(method, params).send().await.unwrap().text().await.unwrap()
}

/// What each call is told under a rule, a line each, and all that was sent.
async fn table(world: &World) -> (Vec<(String, &'static str)>, String) {
    let (client, mut rows, mut everything) = (client(world), Vec::new(), String::new());
    let listed: Value = {
        let text = asked(&client, "tools/list", json!({})).await;
        let line = text.lines().rev().find_map(|line| line.strip_prefix("data: ").filter(|line| line.starts_with('{')));
        serde_json::from_str(line.unwrap_or(&text)).unwrap()
    };
    for tool in listed["result"]["tools"].as_array().unwrap() {
        let tool = tool["name"].as_str().unwrap();
        for (what, arguments) in calls(world, tool) {
            let (text, ended) = sent(&client, tool, arguments).await;
            let told = match ended {
                Some(ended) => ended,
                _ if text.contains("not told here") => "verdict",
                _ if text.contains("is not told (min_cell)") => "coarse",
                _ => "told",
            };
            rows.push((format!("{tool} {what}").trim_end().to_owned(), told));
            everything.push_str(&text);
        }
    }
    for uri in ["longhaul://hosts", "longhaul://runs"] {
        everything.push_str(&asked(&client, "resources/read", json!({"uri": uri})).await);
    }
    everything.push_str(&asked(&client, "resources/list", json!({})).await);
    for run in [world.good, world.bad, world.going] {
        everything.push_str(&asked(&client, "resources/read", json!({"uri": format!("longhaul://runs/{run}")})).await);
        let log = asked(&client, "resources/read", json!({"uri": format!("longhaul://runs/{run}/log")})).await;
        if run == world.good {
            let told = if log.contains("not told here") { "refused" } else { "told" };
            rows.push(("resource longhaul://runs/{id}/log".to_owned(), told));
        }
        everything.push_str(&log);
    }
    everything.push_str(&a_task(world, &client).await);
    (rows, everything)
}

/// A task, from its beginning to its result.
async fn a_task(world: &World, client: &Mcp) -> String {
    let meta =
        json!({"io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
    let path = world.lab.work().join("slow.do");
    fs::write(&path, "local a MARK\ndisplay \"`a'LOG\"\nsleep 4000\n`a'CMD x\n").unwrap();
    let first = client.start("stata_run_file", json!({"file_path": path}), meta.clone()).await.result().await.raw;
    let handle = first["result"]["taskId"].as_str().unwrap_or_else(|| panic!("{first:#}")).to_owned();
    let mut all = first.to_string();
    let ended = wait::until(wait::SOON, "the task ends", async || {
        let request = client.request("tasks/get", json!({"taskId": handle, "_meta": meta}));
        let text = request.header("mcp-name", &handle).send().await.ok()?.text().await.ok()?;
        (!text.contains("\"working\"")).then_some(text)
    })
    .await;
    all.push_str(&ended);
    all
}

fn marks(text: &str) -> BTreeSet<&'static str> {
    MARKS.into_iter().filter(|mark| text.contains(mark)).collect()
}

/// The marks that may leave under a rule.
fn may(rule: &str) -> BTreeSet<&'static str> {
    let without = |gone: &[&str]| MARKS.into_iter().filter(|mark| !gone.contains(mark)).collect();
    match rule {
        "full" => without(&[]),
        "full rows=off" => without(&["MARKROW"]),
        "full graphs=off" => without(&["MARKGRAPH"]),
        "full files=off" => without(&["MARKFILE", "MARKBYTES"]),
        "full min_cell=5" => without(&[]),
        "output" => without(&["MARKROW", "MARKGRAPH", "MARKFILE", "MARKBYTES"]),
        "verdict" => BTreeSet::new(),
        other => panic!("{other}"),
    }
}

/// The calls by wrong and by right names have the names in them: those of the caller, which is told nothing by them.
fn without_own_words(text: &str) -> String {
    text.replace("called MARKGRAPH.png", "").replace("called MARKFILE.txt", "").replace("\\\"MARK\\\"", "")
}

#[tokio::test]
async fn every_tool_by_every_rule() {
    let mut columns = Vec::new();
    for rule in RULES {
        let world = world(lab!(), rule).await;
        let (rows, everything) = table(&world).await;
        let left = marks(&without_own_words(&everything));
        assert!(left.is_subset(&may(rule)), "under {rule} this left: {:?}", left.difference(&may(rule)));
        assert_eq!(left, may(rule), "under {rule} what may leave does: {rows:#?}");
        // A person reads all of it, whatever the rule.
        let ran =
            world.lab.run(["log", &world.good.short(), "--data", world.gateway.daemon.data.to_str().unwrap()]).await;
        assert!(ran.out.contains("MARKLOG"), "{ran:#?}");
        columns.push(rows);
        let World { mut agent, .. } = world;
        agent.kill();
    }
    let mut text = String::from(
        "What each call of each tool is told under each rule. Written by the test; read it when it changes.\n\n",
    );
    let _ = writeln!(text, "{:<50}{}", "", RULES.map(|rule| format!("{rule:<18}")).concat().trim_end());
    for (n, (call, _)) in columns[0].iter().enumerate() {
        let told: String = columns.iter().map(|column| format!("{:<18}", column[n].1)).collect();
        let _ = writeln!(text, "{call:<50}{}", told.trim_end());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "the table has changed; LONGHAUL_REGENERATE=1 writes it anew:\n{text}");
}

#[tokio::test]
async fn control_without_the_rule_everything_leaves() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=egress_off");
    let world = world(lab, "verdict").await;
    let (_, everything) = table(&world).await;
    assert_eq!(marks(&everything), MARKS.into_iter().collect());
}

/// The narrower of the rule then and the rule now; and a refusal that says who set it and where.
#[tokio::test]
async fn what_ran_under_a_rule_stays_under_it() {
    let mut world = world(lab!(), "verdict").await;
    let log = async |world: &World| client(world).call("stata_log", json!({"run": world.good.to_string()})).await;
    let refused = log(&world).await;
    for words in
        ["the host stata1", "egress = verdict", "set by its administrator in `egress` (--egress)", "longhaul log"]
    {
        assert!(refused.is_error && refused.text.contains(words), "{words}: {}", refused.text);
    }
    let shown = client(&world).call("stata_hosts", json!({})).await;
    assert!(shown.text.contains("leaves to AI clients: verdict"), "{}", shown.text);
    let hosts = world.lab.run(["hosts", "--data", world.gateway.daemon.data.to_str().unwrap()]).await;
    assert!(hosts.out.contains("stata1: leaves to AI clients: verdict"), "{hosts:#?}");

    let again = async |world: &mut World, rule: &str| {
        world.agent.terminate().await;
        world.gateway.api.wait_host("stata1", "silent").await;
        let at = world.agent.spec.args.iter().position(|arg| arg == "--egress").unwrap();
        world.agent.spec.args[at + 1] = rule.into();
        world.agent.restart();
        world.gateway.api.wait_host("stata1", "up").await;
    };
    again(&mut world, "full").await;
    assert!(log(&world).await.is_error, "it ran under a narrower rule");
    world.gateway.kill_and_restart().await;
    world.gateway.api.wait_host("stata1", "up").await;
    assert!(log(&world).await.is_error, "the record has the rule");
    let open = world
        .gateway
        .api
        .submit_path(&world.lab.file("open.do", "local a MARK\ndisplay \"`a'LOG\"\n"), &[])
        .await
        .run_id;
    world.gateway.api.wait_end(open).await;
    let read = async |world: &World| client(world).call("stata_log", json!({"run": open.to_string()})).await;
    assert!(read(&world).await.text.contains("MARKLOG"), "what runs now is under the rule of now");
    again(&mut world, "verdict").await;
    assert!(read(&world).await.is_error, "the rule of now is the narrower one");
}

/// A gateway may narrow the rule of a pool, and not widen an agent's.
#[tokio::test]
async fn a_gateway_narrows_the_rule_of_a_pool() {
    for (pools, rule, told) in
        [("stata1=verdict", "full", false), ("*=output", "full", true), ("*=full", "verdict", false)]
    {
        let mut lab = lab!();
        let (pool, level) = pools.split_once('=').unwrap();
        lab.config(&format!("[egress_pools]\n\"{pool}\" = \"{level}\"\n"));
        let world = world(lab, rule).await;
        let log = client(&world).call("stata_log", json!({"run": world.good.to_string()})).await;
        assert_eq!(!log.is_error, told, "{pools} {rule}: {}", log.text);
        let rows = json!({"path": world.lab.work().join("saved.dta"), "action": "rows"});
        assert!(client(&world).call("stata_data", rows).await.is_error || rule == "full" && level == "full");
    }
    let lab = lab!();
    let ran = lab.run(["agent", "--gateway", "http://127.0.0.1:1", "--egress", "nothing"]).await;
    assert!(ran.status == 2 && ran.err.contains("expected full, output or verdict"), "{ran:#?}");
}

/// What a client learns by asking: how a request about data fails, whose help there is, which paths, which do-files.
/// `full` is the control of each.
#[tokio::test]
async fn what_is_asked_and_how_it_fails_tells_no_more_than_the_rule() {
    for rule in ["full", "output", "verdict"] {
        let lab = lab!();
        let help = lab.path().join("home/ado/personal/marktopic.sthlp");
        fs::create_dir_all(help.parent().unwrap()).unwrap();
        fs::write(help, "{smcl}\n{title:Syntax}\n\n{pstd}MARKHELP is told.\n").unwrap();
        let world = world(lab, rule).await;
        let (client, full) = (client(&world), rule == "full");
        let above_verdict = rule != "verdict";
        let check = async |tool: &str, arguments: Value, words: &str, told: bool| {
            let said = client.call(tool, arguments.clone()).await;
            assert_eq!(said.text.contains(words), told, "{rule}: {tool} {arguments}: {words}: {}", said.text);
            said
        };

        // Errors that tell of what is in the file, and one that tells names of variables.
        let data = |action: &str, more: Value| {
            let mut asked = json!({"path": world.lab.work().join("saved.dta"), "action": action});
            asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            asked
        };
        for named in [true, false] {
            let host = if named { "stata1" } else { "" };
            let columns = json!({"vars": ["odd", "name"], "host": host});
            let said = check("stata_data", data("tabulate", columns), "takes 40 values", full).await;
            assert!(said.is_error && (full || said.text.contains("egress = ")), "{rule}: {}", said.text);
            let range = json!({"in": "1/500", "host": host});
            check("stata_data", data("summarize", range), "it has 40 observations", full).await;
            let misspelt = json!({"vars": ["nane"], "host": host});
            check("stata_data", data("summarize", misspelt), "did you mean name?", above_verdict).await;
        }
        // Of the table itself: no exact numbers, nor the size of the file.
        let said = client.call("stata_data", data("tabulate", json!({"vars": ["name"]}))).await;
        match rule {
            "full" => assert!(said.text.contains("40 observations") && said.text.contains("B)"), "{}", said.text),
            "output" => {
                assert!(said.text.contains("(values of fewer than 5 each)"), "{}", said.text);
                assert!(!said.text.contains("(40 ") && !said.text.contains("B)"), "{}", said.text);
            }
            _ => assert!(said.is_error, "{}", said.text),
        }

        // Help that a do-file may have written, by its name, by its words, and as a similar name.
        check("stata_help", json!({"topic": "marktopic"}), "MARKHELP", above_verdict).await;
        check("stata_help", json!({"search": "markhelp"}), "marktopic", above_verdict).await;
        check("stata_help", json!({"topic": "marktopik"}), "marktopic", above_verdict).await;
        check("stata_help", json!({"topic": "display"}), "help display", true).await;

        // Paths.
        let near = world.lab.work().join("saved.dt");
        let argument = json!({"name": "data", "value": near});
        let params = json!({"ref": {"type": "ref/prompt", "name": "look_at_data"}, "argument": argument});
        let completed = asked(&client, "completion/complete", params).await;
        assert_eq!(completed.contains("saved.dta"), above_verdict, "{rule}: {completed}");
        let wrong = json!({"file_path": world.lab.work().join("goin.do")});
        let said = check("stata_run_file", wrong, "going.do", above_verdict).await;
        assert!(said.is_error, "{}", said.text);

        // What Stata's process took.
        let shown = asked(&client, "resources/read", json!({"uri": format!("longhaul://runs/{}", world.good)})).await;
        assert_eq!(shown.contains("max_rss_bytes"), above_verdict, "{rule}: {shown}");

        // A do-file that an earlier run entered, and that has changed since.
        let inner = world.lab.file("MARKINNER.do", "display 1\n");
        let text = fs::read_to_string(world.lab.work().join("going.do")).unwrap();
        let outer = world.lab.file("outer.do", format!("do \"{}\"\n{text}", inner.display()));
        let run = world.gateway.api.submit_path(&outer, &[]).await.run_id;
        // The agent has read of the do-file when it tells of a command behind it.
        let looping = |run: &RunView| run.progress.as_ref().is_some_and(|progress| progress.text.contains("while"));
        world.gateway.api.wait_run(run, wait::SOON, "it is in its loop", looping).await;
        fs::write(&inner, "display 22\n").unwrap();
        let said = check("stata_run_file", json!({"file_path": outer}), "MARKINNER", above_verdict).await;
        assert!(said.is_error && said.text.contains("`again: true`"), "{rule}: {}", said.text);
    }
}

/// What a run left is under the rule of its time also as a data file; and a host without a rule that is known tells nothing.
#[tokio::test]
async fn data_of_a_run_stays_under_its_rule() {
    let mut world = world(lab!(), "verdict").await;
    let leave = async |world: &World, name: &str| {
        let code = format!("sleep 50\nset obs 40\ngenerate x = _n\nsave {name}.dta\n");
        let run = client(world).call("stata_submit", json!({"text": code})).await.run();
        let run = world.gateway.api.get(run).await.unwrap().run_id;
        assert_eq!(world.gateway.api.wait_end(run).await.state, RunState::Succeeded);
        run
    };
    let data = async |world: &World, run: RunId, name: &str| {
        let asked = json!({"run": run.to_string(), "path": format!("{name}.dta"), "action": "summarize"});
        client(world).call("stata_data", asked).await
    };
    let then = leave(&world, "then").await;
    world.agent.terminate().await;
    world.gateway.api.wait_host("stata1", "silent").await;
    let at = world.agent.spec.args.iter().position(|arg| arg == "--egress").unwrap();
    world.agent.spec.args[at + 1] = "full".into();
    world.agent.restart();
    world.gateway.api.wait_host("stata1", "up").await;
    let now = leave(&world, "now").await;
    let control = wait::until(wait::SOON, "the copy comes", async || {
        Some(data(&world, now, "now").await).filter(|said| !said.is_error)
    });
    let control = control.await;
    assert!(control.text.contains("20.5"), "{}", control.text);
    let said = data(&world, then, "then").await;
    assert!(said.is_error && said.text.contains("egress = verdict"), "{}", said.text);

    // A host that holds a run is not forgotten.
    fs::write(world.lab.work().join("gate-on"), "").unwrap();
    world.gateway.api.wait_end(world.going).await;
    world.agent.terminate().await;
    world.gateway.api.wait_host("stata1", "silent").await;
    let folder = world.gateway.daemon.data.to_str().unwrap().to_owned();
    let forgot = world.lab.run(["hosts", "forget", "stata1", "--data", &folder]).await;
    assert_eq!(forgot.status, 0, "{forgot:#?}");
    let said = data(&world, now, "now").await;
    assert!(said.is_error && said.text.contains("does not know the host stata1 any more"), "{}", said.text);
}
