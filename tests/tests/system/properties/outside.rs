//! From outside, on the real program: an output can be assembled from any pages and ranges byte for byte, and a tool
//! call with any arguments leaves the gateway at work.

use longhaul_proto::api::NEXT_OFFSET;
use longhaul_tests::{api::Api, lab, mcp::Mcp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{pick, setting};
use crate::chance::Chance;

const TOOLS: &[&str] = &[
    "stata_run_file",
    "stata_run_selection",
    "stata_submit",
    "stata_wait",
    "stata_runs",
    "stata_log",
    "stata_cancel",
    "stata_hosts",
    "stata_nothing",
];
const NAMES: &[&str] = &[
    "file_path",
    "selection",
    "session_id",
    "timeout",
    "path",
    "text",
    "bundle",
    "args",
    "run",
    "runs",
    "run_id",
    "offset",
    "tail",
    "pattern",
    "context",
    "wait",
    "mode",
    "host",
    "labels",
    "again",
    "key",
    "limit",
    "state",
    "stream",
    "working_dir",
];

fn value(chance: &mut Chance, deep: u64) -> Value {
    match chance.below(if deep > 0 { 10 } else { 8 }) {
        0 => Value::Null,
        1 => json!(chance.below(2) == 0),
        2 => json!(chance.below(1000)),
        3 => json!(-1),
        4 => json!(1e300),
        5 => json!(u64::MAX),
        6 => json!(*pick(
            chance,
            &["", "x", "/nowhere/a.do", "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21", "0d2f7f3a", "(", "a`b'$c", "\u{0}"]
        )),
        7 => json!("y".repeat(usize::try_from(chance.below(5_000)).unwrap())),
        8 => Value::Array((0..chance.below(4)).map(|_| value(chance, deep - 1)).collect()),
        _ => object(chance, deep - 1),
    }
}

fn object(chance: &mut Chance, deep: u64) -> Value {
    let entries = (0..chance.below(5)).map(|_| ((*pick(chance, NAMES)).to_owned(), value(chance, deep)));
    Value::Object(entries.collect())
}

async fn arguments(api: &Api) {
    let mcp = Mcp::new(api, "fuzz", "1");
    let (first, cases) = (setting("LONGHAUL_PROPERTY_SEED", 1), setting("LONGHAUL_PROPERTY_CASES", 150));
    for seed in first..first + cases {
        let chance = &mut Chance::new(seed);
        let (tool, arguments) = (*pick(chance, TOOLS), object(chance, 2));
        let params = json!({"name": tool, "arguments": arguments});
        let request = mcp.request("tools/call", params).timeout(std::time::Duration::from_secs(60));
        // A run that was made by accident may take its time: only the head of the answer counts.
        let answer = request.send().await.unwrap_or_else(|e| panic!("seed {seed}: {tool} {arguments}: {e}"));
        assert!(answer.status().as_u16() < 500, "seed {seed}: {tool} {arguments}: {}", answer.status());
    }
    let ready = api.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK, "it is well after {cases} calls");
}

#[tokio::test]
async fn any_pages_and_any_arguments() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    let api = &gateway.api;
    api.wait_host_up().await;
    let file = lab
        .file("pages.do", "forvalues i = 1/400 {\n    display \"line `i' of an output that is read in pages é\"\n}\n");
    let run = api.submit_path(&file, &[]).await.run_id;
    let view = api.wait_end(run).await;
    let whole = api.output(run, "log").await.unwrap();
    assert!(view.output_complete && whole.len() as u64 == view.output_bytes && whole.len() > 10_000);
    let part = view.view.unwrap();
    let bounds = [("all", 0, view.output_bytes), ("user", part.start, part.end.unwrap())];

    let (first, cases) = (setting("LONGHAUL_PROPERTY_SEED", 1), setting("LONGHAUL_PROPERTY_CASES", 120));
    for seed in first..first + cases {
        let chance = &mut Chance::new(seed);
        // Around the wrapper's own lines at the beginning, or anywhere.
        let most = *pick(chance, &[150, 24_000]);
        let (which, how, a, b) = (chance.below(2), chance.below(4), chance.below(most), chance.below(most));
        let (name, start, end) = bounds[usize::try_from(which).unwrap()];
        let path = format!("/api/v1/runs/{run}/output?view={name}");
        let (request, from, to) = match how {
            0 => (api.request(Method::GET, &format!("{path}&offset={a}")), a.max(start), end),
            1 => (api.request(Method::GET, &path).header("range", format!("bytes={a}-")), a.max(start), end),
            2 => (
                api.request(Method::GET, &path).header("range", format!("bytes=-{a}")),
                end.saturating_sub(a).max(start),
                end,
            ),
            _ => {
                let (a, b) = (a.min(b), a.max(b));
                let range = format!("bytes={a}-{b}");
                (api.request(Method::GET, &path).header("range", range), a.max(start), (b + 1).min(end))
            }
        };
        let asked = format!("seed {seed}: {name} {how} {a} {b}: {from}..{to} of {}", whole.len());
        let answer = request.send().await.unwrap_or_else(|e| panic!("{asked}: {e}"));
        let nothing = how == 0 && a > end || how > 0 && from >= to;
        if nothing && name == "all" {
            assert!(answer.status().is_client_error(), "{asked}: {}", answer.status());
            continue;
        }
        assert!(answer.status().is_success(), "{asked}: {}", answer.status());
        if nothing {
            // Outside the user's part: the offset is its start or its end, with no bytes.
            let at: u64 = answer.headers()[NEXT_OFFSET].to_str().unwrap().parse().unwrap();
            assert!(at == start || at == end, "{asked}: {at}");
            assert_eq!(answer.bytes().await.unwrap().len(), 0, "{asked}");
            continue;
        }
        let next: u64 = answer.headers()[NEXT_OFFSET].to_str().unwrap().parse().unwrap();
        let bytes = answer.bytes().await.unwrap_or_else(|e| panic!("{asked}: {e}"));
        assert_eq!(next, to, "{asked}");
        assert!(bytes == whole[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()], "{asked}");
    }
    arguments(api).await;
}
