//! What must be so when the page was followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Stdio,
};

use longhaul_proto::{api::RunView, state::RunState};
use longhaul_tests::lab::json;
use serde_json::{Value, json as object};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::{
    operator,
    site::{PEOPLE, Site},
};

async fn runs(site: &Site) -> Vec<RunView> {
    let path = "/api/v1/runs?limit=500";
    let list: longhaul_proto::api::RunList =
        operator(site).request(reqwest::Method::GET, path).send().await.unwrap().json().await.unwrap();
    list.runs
}

/// How many runs were under way at once: of all, and of one person.
fn most_at_once(runs: &[RunView]) -> (usize, usize) {
    let at = |time: &Option<String>| time.clone().unwrap_or_default();
    let times: Vec<_> = runs.iter().map(|run| (at(&run.started_at), at(&run.finished_at), &run.principal)).collect();
    let mut most = (0, 0);
    for (moment, ..) in &times {
        let mut of = BTreeMap::<&str, usize>::new();
        for (_, _, principal) in times.iter().filter(|(from, to, _)| from <= moment && moment < to) {
            *of.entry(principal.as_str()).or_default() += 1;
        }
        most = (most.0.max(of.values().sum()), most.1.max(of.values().copied().max().unwrap_or(0)));
    }
    most
}

/// Each of the ten ran a do-file that was sent as text and one by its path, under a principal of their own, on several hosts,
/// within the seats.
pub(super) async fn ten_people_worked_on_one_licence(site: &Site) {
    let runs = runs(site).await;
    for person in PEOPLE {
        let own: Vec<&RunView> = runs.iter().filter(|run| run.principal == person).collect();
        assert!(own.len() == 2 && own.iter().all(|run| run.state == RunState::Succeeded), "{person}: {own:#?}");
        let shared = own.iter().filter(|run| run.source.ends_with("/first/main.do")).count();
        assert_eq!(shared, 1, "{person}: {own:#?}");
        for run in own {
            let text = String::from_utf8(operator(site).output(run.run_id, "log").await.unwrap()).unwrap();
            let said = match run.source.ends_with("/first/main.do") {
                true => format!("hello from the shared folder, {person}\n"),
                false => "hello from a laptop\n".to_owned(),
            };
            assert!(text.contains(&format!("\n{said}")), "{person}: {text}");
        }
    }
    let hosts: BTreeSet<_> = runs.iter().filter_map(|run| run.host.clone()).collect();
    assert!(hosts.len() >= 2, "{hosts:?}");
    let (all, of_one) = most_at_once(&runs);
    assert!((2..=4).contains(&all) && of_one <= 2, "{all} and {of_one} at once");
    let pool = operator(site).hosts().await.unwrap().pools.into_iter().find(|pool| pool.name == "lab").unwrap();
    assert_eq!(pool.seats, 4);
}

/// The entry that the page wrote for Claude Code leads to a run, by the bridge that it names.
pub(super) async fn claude_code_runs_a_do_file(site: &Site) {
    let home = site.root("ana").join("home");
    let entry = json(&home.join(".claude.json")).unwrap()["mcpServers"]["longhaul"].clone();
    let program = entry["command"].as_str().unwrap();
    let mut command = tokio::process::Command::new(program);
    command.args(entry["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()));
    let mut command = site.set_up(command, "ana");
    for (name, value) in entry["env"].as_object().into_iter().flatten() {
        command.env(name, value.as_str().unwrap());
    }
    let mut bridge = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, from) = (bridge.stdin.take().unwrap(), bridge.stdout.take().unwrap());
    let path = site.lab.path().join("shared/srv/projects/first/main.do");
    let call = object!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "stata_run_file", "arguments": { "file_path": path, "args": ["Claude"] },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "claude-code", "version": "2.1.330" },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    to.write_all(format!("{call}\n").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(from).lines();
    let answer = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == 1 {
                return message;
            }
        }
        Value::Null
    };
    let answer = tokio::time::timeout(longhaul_tests::wait::SOON, answer).await.expect("an answer");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer:#}"));
    assert!(text.contains("hello from the shared folder, Claude") && answer["result"]["isError"] != true, "{text}");
}

/// The backup was made and put back in the middle of the page: tokens, records and the audit log are those of before.
pub(super) async fn the_restored_gateway_is_the_same(site: &Site) {
    let data = site.root("gateway").join("var/lib");
    assert!(
        data.join("longhaul.lost/gateway/ledger.sqlite").exists()
            && !data.join("longhaul/gateway/restored.json").exists()
    );
    assert_eq!(
        fs::read(data.join("longhaul/gateway-key")).unwrap(),
        fs::read(data.join("longhaul.lost/gateway-key")).unwrap()
    );
    let backups = fs::read_dir(data.join("longhaul-backups")).unwrap().count();
    assert_eq!(backups, 2, "one before the restore, one before the upgrade");
    let verify = format!("longhaul audit verify --data {}", data.join("longhaul").display());
    let audit = site.run("gateway", &verify).await;
    assert_eq!(audit.status, 0, "{audit:#?}");
    let ana = site.run("ana", "longhaul runs && longhaul run hello.do --again").await;
    assert!(ana.status == 0 && ana.out.contains("main.do"), "{ana:#?}");
    assert!(site.journal("gateway", "longhaul-gateway").contains("this ledger was restored from a backup"));
}
