//! What a run left in r(), e() and s(): gathered after the user's code without touching anything of it, kept as long as
//! the record, and where there is none it is said why.

use std::{fs, time::Duration};

use longhaul_proto::{
    api::{CancelMode, RunResults, SubmitRequest},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    api::{self, Api},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    wait,
};
use reqwest::Method;
use serde_json::json;

const DATA: &str = "quietly set obs 9\ngenerate double x = _n\ngenerate double z = mod(_n, 4)\n\
                    generate double y = 1/3 + 3*x - z + cond(mod(_n, 2), .5, -.4)\ngenerate twice = 2*x\n";

async fn pair(lab: &Lab, more: &[&str]) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, more);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

async fn submit(api: &Api, request: SubmitRequest) -> RunId {
    api.submit(&SubmitRequest { again: true, ..request }).await.unwrap().run.run_id
}

fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), ..SubmitRequest::default() }
}

/// The answer of the API, when all that will ever be known has come; with its bytes.
async fn results(api: &Api, run: RunId) -> (RunResults, String) {
    let whole = async || {
        let response = api.request(Method::GET, &format!("/api/v1/runs/{run}/results")).send().await.unwrap();
        let body = response.text().await.unwrap();
        let read: RunResults = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
        read.complete.then_some((read, body))
    };
    wait::until(wait::SOON, "the results have come", whole).await
}

async fn why_not(api: &Api, run: RunId) -> String {
    let (found, _) = results(api, run).await;
    assert!(found.results.is_none(), "{found:?}");
    found.why_not.unwrap()
}

#[tokio::test]
async fn what_a_run_left_is_there_in_full_precision_when_its_host_is_gone() {
    let mut lab = lab!();
    lab.config("keep_spool = \"0s\"\n");
    let (mut gateway, mut agent) = pair(&lab, &[]).await;
    // A table that Stata left, and one that has to be made of e(b) and e(V); values that could be taken for our own
    // records, for macros or for quotes; missing values by a letter.
    let hostile = "program hostile, rclass\nreturn scalar third = 1/3\nreturn scalar none = .\nreturn scalar letter = .b\n\
                   return local text `\"a \"quoted\" one\"'\nmatrix A = (1, .c \\ 3, 1/7)\nmatrix rownames A = one \"two words\"\n\
                   matrix colnames A = eq:x _cons\nreturn matrix A = A\nend\nsreturn local where \"here\"\n";
    let code = format!("{DATA}{hostile}regress y x z twice\ndisplay %21x _b[x]\n");
    let from_table = submit(&gateway.api, text(&code)).await;
    let from_e = submit(&gateway.api, text(&format!("{code}hostile\n"))).await;
    for run in [from_table, from_e] {
        let end = gateway.api.wait_end(run).await;
        assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
        results(&gateway.api, run).await;
    }
    let spools = [from_table, from_e].map(|run| Lab::spool(&agent, run));
    agent.kill();
    agent.restart();
    let gone = || spools.iter().all(|spool| !spool.exists()).then_some(());
    wait::until_now(wait::SOON, "the spools go", gone).await;
    agent.kill();
    gateway.kill_and_restart().await;

    let (first, _) = results(&gateway.api, from_table).await;
    let (second, body) = results(&gateway.api, from_e).await;
    let (first, second) = (first.results.unwrap(), second.results.unwrap());
    assert_eq!((first.source.as_str(), second.source.as_str()), ("r(table)", "e(b) and e(V)"));
    assert_eq!(first.coefficients.len(), 4);
    // Two programs computed them apart from each other.
    for (a, b) in first.coefficients.iter().zip(&second.coefficients) {
        assert_eq!((&a.term, &a.mark), (&b.term, &b.mark));
        for (a, b) in [
            (a.estimate, b.estimate),
            (a.std_error, b.std_error),
            (a.statistic, b.statistic),
            (a.p, b.p),
            (a.low, b.low),
            (a.high, b.high),
        ] {
            assert_eq!(a.is_some(), b.is_some());
            let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
            assert!((a - b).abs() <= 1e-9 * a.abs(), "{a} and {b}");
        }
    }
    let omitted = &second.coefficients[2];
    assert_eq!((omitted.term.as_str(), omitted.mark.as_deref(), omitted.p), ("o.twice", Some("omitted"), None));
    // To the last bit, as Stata's own log has it.
    let log = String::from_utf8(gateway.api.output(from_e, "log").await.unwrap()).unwrap();
    let hex = log.lines().find(|line| line.contains('X') && line.starts_with('+')).unwrap();
    let bits = |hex: &str| {
        let fraction = u64::from_str_radix(&hex[3..16], 16).unwrap();
        let exponent = i64::from_str_radix(&hex[17..], 16).unwrap();
        f64::from_bits(u64::try_from(exponent + 1023).unwrap() << 52 | fraction)
    };
    assert!(body.contains(&format!("\"estimate\":{},", bits(hex))), "{hex} in {body}");
    assert!(body.contains("\"third\":0.3333333333333333"), "{body}");
    let r = &second.r;
    assert_eq!((r.scalars["none"], r.scalars["letter"], r.missing["letter"].as_str()), (None, None, ".b"));
    assert!(!r.missing.contains_key("none"));
    assert_eq!(r.macros["text"], "a \"quoted\" one");
    assert_eq!((&r.matrices["A"].rows[1], &r.matrices["A"].columns[0]), (&"two words".to_owned(), &"eq:x".to_owned()));
    assert_eq!((r.matrices["A"].values[0][1], r.matrices["A"].missing["1,2"].as_str()), (None, ".c"));
    assert_eq!(r.matrices["A"].values[1][1], Some(1.0 / 7.0));
    assert_eq!((second.s.macros["where"].as_str(), second.e.macros["cmd"].as_str()), ("here", "regress"));
    assert_eq!(second.e.macros["cmdline"], "regress y x z twice");

    // The command line has the same bytes.
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let json = lab.run(["results", &from_e.short(), "--json"]).await;
    assert_eq!((json.status, json.out.trim_end()), (0, body.trim_end()));
    let json = lab.run(["results", &from_e.short(), "e(N)", "--json"]).await;
    let one: RunResults = serde_json::from_str(&json.out).unwrap_or_else(|e| panic!("{e}: {json:#?}"));
    let one = one.results.unwrap();
    assert!(one.e.scalars.keys().eq(["N"]) && one.r.scalars.is_empty() && one.e.matrices.is_empty(), "{json:#?}");
    let table = lab.run(["results", &from_e.short()]).await;
    assert!(table.status == 0 && table.out.starts_with("coefficients of regress y, N = 9"), "{table:#?}");
    let one = lab.run(["results", &from_e.short(), "r(third)"]).await;
    assert_eq!((one.status, one.out.as_str()), (0, "r(third) = 0.3333333333333333\n"));
    let unknown = lab.run(["results", &from_e.short(), "e(nothing)"]).await;
    assert!(unknown.status == 2 && unknown.err.contains("there is no e(nothing)"), "{unknown:#?}");

    // Nobody sees another's.
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ana", "scope": "use"}));
    let made: serde_json::Value = made.send().await.unwrap().json().await.unwrap();
    let ana = gateway.api.with_token(made["token"].as_str().unwrap());
    let refused = ana.request(Method::GET, &format!("/api/v1/runs/{from_e}/results")).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 404);
}

#[tokio::test]
async fn what_cannot_be_gathered_is_explained_and_nothing_else_changes() {
    let mut lab = lab!();
    let (gateway, agent) = pair(&lab, &["--seats", "4"]).await;
    let api = &gateway.api;
    let ok = format!("{DATA}summarize x\n");
    let no = SubmitRequest { results: Some(false), ..text(&ok) };
    let forged = "shell touch ../sentinel\nsleep 300\nerror 459\n";
    for (request, state, words) in [
        (no, RunState::Succeeded, "the request said so"),
        (text("error 459\n"), RunState::Failed, "this run failed"),
        (text(forged), RunState::Failed, "this run failed"),
        (text("exit, STATA\n"), RunState::Succeeded, "`exit, STATA`"),
        (SubmitRequest { timeout: Some(0.3), ..text("sleep 60000\n") }, RunState::TimedOut, "its time limit"),
    ] {
        let run = submit(api, request).await;
        assert_eq!(api.wait_end(run).await.state, state, "{words}");
        let why = why_not(api, run).await;
        assert!(why.contains(words), "{why}");
    }
    let cancelled = submit(api, text("display \"begun\"\nsleep 60000\n")).await;
    api.wait_output(cancelled, "begun").await;
    let early = api.request(Method::GET, &format!("/api/v1/runs/{cancelled}/results")).send().await.unwrap();
    let early: RunResults = api::read(early).await.unwrap();
    assert!(!early.complete && early.why_not.unwrap().contains("the run goes on"));
    api.cancel(cancelled, CancelMode::Kill).await.unwrap();
    assert_eq!(api.wait_end(cancelled).await.state, RunState::Cancelled);
    assert!(why_not(api, cancelled).await.contains("was cancelled"));
    let client = Mcp::new(api, "claude-code", "2.1.332");
    let said = client.call("stata_run_selection", json!({"selection": ok, "results": false})).await;
    let said = client.call("stata_results", json!({"run": said.run()})).await;
    assert!(said.text.contains("the request said so"), "{said:#?}");
    drop(agent);

    // Agents that were told not to, or cannot.
    for (name, faults, more, words) in [
        ("quiet", "", vec!["--no-results"], "was told to gather none"),
        ("old", "bug=agent_without_results", vec![], "of an earlier version"),
        ("older", "bug=agent_without_do_files", vec![], "of an earlier version"),
    ] {
        lab.env("LONGHAUL_FAULTS", faults);
        let _agent = lab.agent(name, &gateway, &more);
        api.wait_host(name, "up").await;
        let run = submit(api, SubmitRequest { host: Some(name.to_owned()), ..text(&ok) }).await;
        assert_eq!(api.wait_end(run).await.state, RunState::Succeeded);
        let why = why_not(api, run).await;
        assert!(why.contains(words), "{name}: {why}");
        lab.env("LONGHAUL_GATEWAY", api.url()).env("LONGHAUL_TOKEN", api.token());
        let said = lab.run(["results", &run.short()]).await;
        assert!(said.status == 4 && said.err.contains(words), "{said:#?}");
    }
}

/// Runs code whose gathering meets these faults of the stand-in's, under a limit on the run that it reaches only if
/// gathering counts.
async fn with_trouble(at: &str, faults: &str) -> (RunState, f64, Option<String>, Duration) {
    let mut lab = lab!();
    lab.config("gather_timeout = \"4s\"\n");
    lab.env("LONGHAUL_STANDIN_AT", at).env("LONGHAUL_FAULTS", faults);
    let (gateway, _agent) = pair(&lab, &[]).await;
    let clock = longhaul_proto::clock::Clock::system();
    let request = SubmitRequest { timeout: Some(2.0), ..text(&format!("{DATA}regress y x\n")) };
    let run = submit(&gateway.api, request).await;
    let end = gateway.api.wait_end(run).await;
    let took = clock.monotonic();
    assert!(end.rc.is_none() && end.message.is_none() && end.ended_by.is_none(), "{end:#?}");
    let (found, _) = results(&gateway.api, run).await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    let said = mcp.call("stata_results", json!({"run": run.short()})).await;
    let why = found.why_not.clone().unwrap_or_default();
    assert!(!said.is_error && said.text.contains(&why), "{}", said.text);
    (end.state, end.duration.unwrap_or_default(), found.why_not, took)
}

#[tokio::test]
async fn a_gathering_that_fails_hangs_or_dies_changes_neither_verdict_nor_duration() {
    let fine = with_trouble("", "").await;
    assert_eq!((fine.0, fine.2), (RunState::Succeeded, None));
    for (at, words) in [
        ("gather.do:12 run error 459", "gathering stopped before its end"),
        ("gather.do:12 crash kill", "gathering stopped before its end"),
        ("gather.do:3 crash segv", "gathering could not begin"),
        ("gather.do:12 hang", "it took longer than 4 s"),
    ] {
        let (state, duration, why, took) = with_trouble(at, "").await;
        assert_eq!(state, RunState::Succeeded, "{at}");
        let why = why.unwrap();
        assert!(why.contains(words), "{at}: {why}");
        assert!(duration < 1.5, "{at}: {duration}");
        assert!(at.ends_with("hang") == (took > Duration::from_secs(4)), "{at}: {took:?}");
    }
    // The control: what hangs reaches the run's own limit, and counts as its duration.
    let (_, duration, ..) = with_trouble("gather.do:12 hang", "bug=gathering_counts_as_running").await;
    assert!(duration >= 2.0, "{duration}");
}

#[tokio::test]
async fn a_cancel_while_results_are_gathered_ends_that_and_the_run_has_succeeded() {
    let mut lab = lab!();
    lab.env("LONGHAUL_STANDIN_AT", "gather.do:12 hang");
    let (gateway, agent) = pair(&lab, &[]).await;
    let run = submit(&gateway.api, text("display \"done\"\n")).await;
    let sentinel = Lab::spool(&agent, run).join("run/sentinel");
    wait::until_now(wait::SOON, "it has come to its end", || sentinel.exists().then_some(())).await;
    gateway.api.cancel(run, CancelMode::Break).await.unwrap();
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.ended_by), (RunState::Succeeded, None));
    assert!(why_not(&gateway.api, run).await.contains("the run's end was requested while that went on"));
}

/// What a run leaves behind: what was in its Stata at the end of the user's code and at Stata's own, the user's log, and
/// how many lines our do-file has.
async fn traces(results: bool, at: &str) -> (String, String, String) {
    let mut lab = lab!();
    let (before, after, own) = (lab.path().join("before"), lab.path().join("after"), lab.work().join("own.log"));
    let at = format!("gather.do:2 state {}{}", before.display(), at);
    lab.env("LONGHAUL_STANDIN_AT", at).env("LONGHAUL_STANDIN_END_STATE", &after);
    let (gateway, agent) = pair(&lab, &[]).await;
    let code = format!(
        "log using \"{}\", text replace\n{DATA}set seed 42\nset trace on\nglobal kept \"`=1/3'\"\nscalar kept = runiform()\n\
         matrix kept = (1, 2 \\ 3, .a)\nsreturn local kept \"s\"\nprogram kept\ndisplay 1\nend\nfile open kept using kept.txt, write\n\
         regress y x z\ncount if x > 3\npreserve\ncapture error 9\n",
        own.display()
    );
    let request = SubmitRequest { results: Some(results), ..text(&code) };
    let run = submit(&gateway.api, request).await;
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    assert_eq!(
        fs::read_to_string(Lab::spool(&agent, run).join("run/code.do")).unwrap(),
        code,
        "it ran as it was given"
    );
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    // The sentinel's own handle is what is there before and not after.
    let state = |path| -> String {
        read(path).lines().filter(|l| !l.starts_with("file lh")).map(|l| format!("{l}\n")).collect()
    };
    // Our own command at the end is another one; and the times are.
    let path = regex::Regex::new(r"(?m)^(> .*|\. (capture run|file close) .*|.*(opened|closed) on:.*)\n").unwrap();
    let ours = |text: &str| {
        path.replace_all(text, "").replace(&run.short(), "RUN").replace(&lab.path().display().to_string(), "LAB")
    };
    (state(before), state(after), ours(&read(own)))
}

#[tokio::test]
async fn gathering_leaves_nothing_behind() {
    let (before, after, with) = traces(true, "").await;
    for words in [
        "global kept",
        "scalar kept",
        "matrix kept",
        "file kept",
        "program kept",
        "log <unnamed>",
        "_rc  9",
        "(\"N\", Num(6.0))",
    ] {
        assert!(before.contains(words), "{words} in {before}");
    }
    assert_eq!(before, after);
    let (_, _, without) = traces(false, "").await;
    assert!(with.contains("capture error 9"), "{with}");
    assert_eq!(with, without, "a log of the user's that is open receives nothing");
    let lines = longhaul_agent::stata::gather::text("t_1", "/x".as_ref()).lines().count();
    // The control: each of these would be found.
    for leak in [
        "run global leak 1",
        "run scalar leak = 1",
        "run matrix leak = (1)",
        "run set seed 1",
        "run count",
        "run file open leak using leak.txt, write",
        "run sreturn local leak 1",
        "run matrix drop kept",
        "run generate leak = 1",
    ] {
        let (before, after, _) = traces(true, &format!("; gather.do:{lines} {leak}")).await;
        assert_ne!(before, after, "{leak} was not found");
    }
    let (_, _, printed) = traces(true, &format!("; gather.do:{lines} run noisily display \"leak\"")).await;
    assert_ne!(printed, without, "what is printed was not found");
}
