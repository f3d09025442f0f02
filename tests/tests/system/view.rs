//! Only the user's part, in every interface: banner, serial number and wrapper lines never appear in anything that
//! shows output, from the first byte on, however slow the engine is to start and whichever client followed before it
//! did.
//!
//! Offsets, event ids and ranges are those of the raw log in both views; an offset before the user's part means its
//! start, one behind it, once the run has ended, its end.

use std::{fs, path::PathBuf, process::ExitStatus};

use longhaul_proto::{
    api::{COMPLETE, NEXT_OFFSET, OutputEvent, Retry, RunView, SubmitRequest},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    processes,
    sse::Events,
    wait,
};
use reqwest::{Method, Response, StatusCode};
use rustix::process::Signal;
use serde_json::json;

/// A serial number that is easy to find where it does not belong.
const SERIAL: &str = "501806012345";

/// What is Stata's or the wrapper's, and never the user's.
const NOT_THE_USERS: [&str; 11] = [
    SERIAL,
    "Serial number",
    "Licensed to",
    "Stand-in license",
    "running in batch mode",
    "do lh-",
    ". cd `",
    "code.do",
    "file open lh",
    "file close lh",
    "set more off",
];

/// Fails when `text`, which `who` showed, contains anything that is not the user's.
fn check_clean(who: &str, text: &str) {
    for words in NOT_THE_USERS {
        assert!(!text.contains(words), "{who} shows {words:?}:\n{text}");
    }
}

/// A site whose engine prints its banner and then waits for a file.
struct Site {
    lab: Lab,
    gateway: Gateway,
    hold: PathBuf,
}

impl Site {
    async fn new() -> Self {
        Self::of(lab!()).await
    }

    async fn of(mut lab: Lab) -> Self {
        let hold = lab.path().join("hold");
        lab.env("LONGHAUL_STANDIN_START_HOLD", &hold).env("LONGHAUL_STANDIN_SERIAL", SERIAL);
        let gateway = lab.up(&[]).await;
        lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
        gateway.api.wait_host_up().await;
        Self { lab, gateway, hold }
    }

    fn api(&self) -> &Api {
        &self.gateway.api
    }

    fn let_start(&self) {
        fs::write(&self.hold, "").unwrap();
    }

    async fn submit(&self, name: &str, profile: bool) -> RunId {
        let request = SubmitRequest {
            path: Some(self.lab.gated().display().to_string()),
            args: vec![name.to_owned()],
            project_profile: profile,
            again: true,
            ..SubmitRequest::default()
        };
        self.api().submit(&request).await.expect("accepted").run.run_id
    }

    /// Waits until the banner is in the log and nothing else is.
    async fn banner_shows(&self, run: RunId) {
        self.api().wait_output(run, SERIAL).await;
        self.api().wait_run(run, wait::SOON, "it is running", |v| v.state == RunState::Running).await;
    }

    /// Every interface that shows output of this run, by its name; and whether that is output alone.
    async fn faces(&self, run: RunId) -> Vec<(String, String, bool)> {
        let mut all = Vec::new();
        for query in ["", "&offset=0", "&tail=500"] {
            let text = user(self.api(), run, query, None).await.text().await.unwrap();
            all.push((format!("the API, view=user{query}"), text, true));
        }
        let text = user(self.api(), run, "", Some("bytes=0-")).await.text().await.unwrap();
        all.push(("the API, a range".to_owned(), text, true));
        let id = run.to_string();
        for args in [vec!["log", &id], vec!["log", "--tail", "500", &id]] {
            let ran = self.lab.run(&args).await;
            assert_eq!(ran.status, 0, "{ran:#?}");
            check_clean("stderr", &ran.err);
            all.push((format!("longhaul {args:?}"), ran.out, true));
        }
        let mcp = Mcp::new(self.api(), "client", "1").without_progress();
        for arguments in [
            json!({"run": id}),
            json!({"run": id, "tail": 500}),
            json!({"run": id, "offset": 0}),
            json!({"run": id, "pattern": "started|erial|lh|cd", "context": 3}),
        ] {
            let said = mcp.call("stata_log", arguments.clone()).await;
            assert!(!said.is_error, "{arguments}: {said:#?}");
            all.push((format!("stata_log {arguments}"), said.text, false));
        }
        let said = mcp.call("stata_wait", json!({"runs": id, "seconds": 1})).await;
        all.push(("stata_wait".to_owned(), said.text, false));
        let uri = format!("longhaul://runs/{id}/log");
        let read = mcp.request("resources/read", json!({"uri": uri})).send().await.unwrap();
        all.push(("the resource".to_owned(), read.text().await.unwrap(), false));
        let view = self.api().get(run).await.unwrap();
        all.push(("progress".to_owned(), view.progress.map(|p| p.text).unwrap_or_default(), false));
        all
    }
}

/// The user's part as the API returns it.
async fn user(api: &Api, run: RunId, query: &str, range: Option<&str>) -> Response {
    let mut request = api.request(Method::GET, &format!("/api/v1/runs/{run}/output?view=user{query}"));
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{query} {range:?}: {}", response.status());
    response
}

async fn user_text(api: &Api, run: RunId) -> String {
    user(api, run, "", None).await.text().await.unwrap()
}

/// A command in the background, with its output in files.
struct Background {
    child: tokio::process::Child,
    out: PathBuf,
    err: PathBuf,
}

impl Background {
    fn start(lab: &Lab, name: &str, args: &[&str]) -> Self {
        let file = |end: &str| lab.path().join(format!("{name}.{end}"));
        let (out, err) = (file("out"), file("err"));
        let mut command = lab.command(args);
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    async fn says(&self, words: &str) {
        let said = || (self.out() + &self.err()).contains(words).then_some(());
        wait::until_now(wait::SOON, &format!("the command says {words:?}"), said).await;
    }

    async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(wait::SOON * 2, self.child.wait()).await.expect("it ends").unwrap()
    }
}

async fn every_face(profile: bool) {
    let site = Site::new().await;
    if profile {
        site.lab.file("profile.do", "set more off\n");
    }
    let run = site.submit("mine", profile).await;
    site.banner_shows(run).await;
    for (who, text, alone) in site.faces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text.is_empty(), "{who} shows what is not there yet: {text}");
    }
    assert_eq!(site.api().get(run).await.unwrap().view, None, "the user's part has not started");

    site.let_start();
    let live = wait::until(wait::SOON, "the user's output is shown", async || {
        let text = user_text(site.api(), run).await;
        text.contains("started mine\n").then_some(text)
    })
    .await;
    assert!(live.starts_with(". file open count using"), "{live}");
    for (who, text, alone) in site.faces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text.starts_with(". file open count using"), "{who}: {text}");
        assert!(who == "progress" || text.contains("started mine"), "{who}: {text}");
    }

    site.lab.open_gate("mine");
    let end = site.api().wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    let part = end.view.expect("the user's part");
    let raw = site.api().output(run, "log").await.unwrap();
    let whole = String::from_utf8(raw[part.start as usize..part.end.unwrap() as usize].to_vec()).unwrap();
    assert!(whole.starts_with(&live) && whole.ends_with("end of do-file\n"), "{whole}");
    for (who, text, alone) in site.faces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text == whole, "{who}: {text}");
    }
}

#[tokio::test]
async fn no_face_shows_the_banner_or_the_wrapper() {
    every_face(false).await;
}

#[tokio::test]
async fn a_profile_changes_nothing_of_that() {
    every_face(true).await;
}

/// A run of an agent that sends no safe end: what is shown of it while it runs, and once it has ended.
async fn of_an_earlier_version(more: &str) -> (Site, RunId, String) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", format!("bug=views_of_an_earlier_version{more}"));
    let site = Site::of(lab).await;
    site.let_start();
    let run = site.submit("mine", false).await;
    site.api().wait_output(run, "started mine").await;
    let started = |v: &RunView| v.view.is_some();
    let view = site.api().wait_run(run, wait::SOON, "its part has started", started).await;
    assert_eq!(view.view.unwrap().safe_end, None, "{view:#?}");
    let live = user_text(site.api(), run).await;
    (site, run, live)
}

#[tokio::test]
async fn a_run_of_an_older_agent_is_shown_when_it_has_ended() {
    let (site, run, live) = of_an_earlier_version("").await;
    let (lab, api) = (&site.lab, site.api());
    assert_eq!(live, "", "which lines are the wrapper's cannot be told yet");
    for (who, text, alone) in site.faces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text.is_empty(), "{who}: {text}");
    }
    let mut log = Background::start(lab, "log", &["log", "-f", &run.to_string()]);
    log.says("of an earlier version").await;
    lab.open_gate("mine");
    let end = api.wait_end(run).await;
    let (raw, part) = (api.output(run, "log").await.unwrap(), end.view.unwrap());
    let whole = String::from_utf8(raw[part.start as usize..part.end.unwrap() as usize].to_vec()).unwrap();
    assert!(whole.contains("started mine") && whole.ends_with("end of do-file\n"), "{whole}");
    for (who, text, alone) in site.faces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text == whole, "{who}: {text}");
    }
    assert!(log.end().await.success());
    assert_eq!(log.out(), whole);
}

#[tokio::test]
async fn shown_at_once_it_would_show_too_much() {
    let (_site, _, live) = of_an_earlier_version(";bug=view_ignores_safe_end").await;
    assert_ne!(live, "", "the control");
}

#[tokio::test]
async fn who_followed_before_the_start_sees_the_users_part_alone() {
    let site = Site::new().await;
    let (lab, api) = (&site.lab, site.api());
    site.let_start();
    let busy = site.submit("busy", false).await;
    api.wait_output(busy, "started busy").await;
    fs::remove_file(&site.hold).unwrap();
    let run = site.submit("mine", false).await;
    let mut log = Background::start(lab, "log", &["log", "-f", &run.to_string()]);
    log.says("queued").await;
    lab.open_gate("busy");
    site.banner_shows(run).await;
    log.says("running on").await;
    assert_eq!(log.out(), "");
    site.let_start();
    log.says("started mine\n").await;
    lab.open_gate("mine");
    assert!(log.end().await.success());
    assert_eq!(log.out(), user_text(api, run).await);
    check_clean("log -f", &(log.out() + &log.err()));
}

#[tokio::test]
async fn run_shows_the_users_part_alone_with_a_profile_and_a_slow_engine() {
    let site = Site::new().await;
    site.lab.file("profile.do", "set more off\nsleep 100\n");
    let file = site.lab.file("a.do", "display \"mine\"\n");
    let mut ran = Background::start(&site.lab, "run", &["run", "--project-profile", file.to_str().unwrap()]);
    let run = wait::until(wait::SOON, "it is there", async || {
        site.api().list().await.unwrap().runs.first().map(|r| r.run_id)
    })
    .await;
    site.banner_shows(run).await;
    ran.says("running on").await;
    site.let_start();
    assert!(ran.end().await.success());
    assert_eq!(ran.out(), ". display \"mine\"\nmine\n\n. \nend of do-file\n");
    check_clean("run", &(ran.out() + &ran.err()));
}

#[tokio::test]
async fn progress_is_never_a_line_of_the_banner() {
    let site = Site::new().await;
    let file = site.lab.gated();
    let client = Mcp::new(site.api(), "client", "1");
    let mut call = client.start("stata_run_file", json!({"file_path": file, "args": ["mine"]}), json!({})).await;
    let running = call.progress("it is running", |p| p.message.starts_with("running")).await;
    check_clean("progress", &running.message);
    let run = site.api().list().await.unwrap().runs[0].run_id;
    site.banner_shows(run).await;
    // The first message to a client that starts to wait now.
    let waiting = client.start("stata_wait", json!({"runs": run.to_string(), "seconds": 1}), json!({})).await;
    let (progress, result) = waiting.all().await;
    assert!(!progress.is_empty(), "it is said that the run is alive");
    progress.iter().for_each(|p| check_clean("progress", &p.message));
    check_clean("stata_wait", &result.expect("a result").text);
    site.let_start();
    site.lab.open_gate("mine");
    let (progress, result) = call.all().await;
    progress.iter().for_each(|p| check_clean("progress", &p.message));
    check_clean("the result", &result.expect("a result").text);
}

/// Events of the user's part after an id.
async fn events(api: &Api, run: RunId, last: Option<u64>) -> Events {
    let mut request = api.request(Method::GET, &format!("/api/v1/runs/{run}/events?view=user"));
    if let Some(last) = last {
        request = request.header("last-event-id", last.to_string());
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "Last-Event-ID {last:?}");
    Events::new(response)
}

/// Reads on to the next output (`Ok`), or to the end (`Err`).
async fn output(events: &mut Events) -> Result<OutputEvent, RunView> {
    let reading = async {
        loop {
            let event = events.next().await.expect("an end before the stream's");
            match event.kind.as_str() {
                "end" => return Err(serde_json::from_str(&event.data).unwrap()),
                "" => {
                    let output: OutputEvent = serde_json::from_str(&event.data).unwrap();
                    assert_eq!(event.id, output.next.to_string());
                    return Ok(output);
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(wait::SOON, reading).await.expect("an event in time")
}

#[tokio::test]
async fn events_are_the_users_part_and_every_id_leads_on() {
    let site = Site::new().await;
    let (api, run) = (site.api(), site.submit("mine", false).await);
    let mut early = events(api, run, None).await;
    site.banner_shows(run).await;
    site.let_start();
    let mut text = String::new();
    let mut last = 0;
    while !text.contains("started mine\n") {
        let event = output(&mut early).await.expect("it goes on");
        text.push_str(&event.text);
        last = event.next;
    }
    // The reader leaves and comes back with what it has.
    drop(early);
    let mut again = events(api, run, Some(last)).await;
    site.lab.open_gate("mine");
    let end = loop {
        match output(&mut again).await {
            Ok(event) => {
                assert_eq!(event.offset, last, "no byte is left out or sent twice");
                text.push_str(&event.text);
                last = event.next;
            }
            Err(end) => break end,
        }
    };
    let part = end.view.expect("the user's part");
    check_clean("events", &text);
    assert_eq!(text, user_text(api, run).await);
    assert_eq!(Some(last), part.end, "no id is behind the user's part");

    // After the end each id leads to it: the last one, one of an earlier gateway that overshot, one beyond the log.
    for id in [last, last + 1, end.output_bytes, end.output_bytes + 1_000] {
        assert!(output(&mut events(api, run, Some(id)).await).await.is_err(), "{id}");
    }
    for id in [0, 1, part.start] {
        let first = output(&mut events(api, run, Some(id)).await).await.expect("the whole");
        assert_eq!((first.offset, first.text.as_str()), (part.start, text.as_str()), "{id}");
    }
}

#[tokio::test]
async fn ranges_around_both_ends_mean_those_ends() {
    let site = Site::new().await;
    site.let_start();
    site.lab.open_gate("mine");
    let (api, run) = (site.api(), site.submit("mine", false).await);
    let end = api.wait_end(run).await;
    let part = end.view.unwrap();
    let (start, stop) = (part.start, part.end.unwrap());
    let raw = api.output(run, "log").await.unwrap();
    let check = async |query: &str, range: Option<String>, from: u64, to: u64| {
        let answer = user(api, run, query, range.as_deref()).await;
        let asked = format!("{query} {range:?} of {start}..{stop}");
        let want = if range.is_some() && from < to { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        assert_eq!(answer.status(), want, "{asked}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let (next, complete) = (header(NEXT_OFFSET), header(COMPLETE));
        assert_eq!((next, complete), (to.to_string(), (to == stop).to_string()), "{asked}");
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(&bytes[..], &raw[from as usize..to as usize], "{asked}");
    };
    for offset in [0, 1, start - 1, start] {
        check(&format!("&offset={offset}"), None, start, stop).await;
        check("", Some(format!("bytes={offset}-")), start, stop).await;
    }
    check(&format!("&offset={}", start + 1), None, start + 1, stop).await;
    for offset in [stop, stop + 1, end.output_bytes, end.output_bytes + 1_000] {
        check(&format!("&offset={offset}"), None, stop, stop).await;
        check("", Some(format!("bytes={offset}-")), stop, stop).await;
        check("", Some(format!("bytes={start}-{offset}")), start, stop).await;
    }
    check("", Some("bytes=0-10".to_owned()), start, start).await;
    check("", Some(format!("bytes=0-{start}")), start, start + 1).await;
    check("", Some("bytes=-7".to_owned()), stop - 7, stop).await;
    check("&tail=0", None, stop, stop).await;
}

#[tokio::test]
async fn a_second_attempt_is_shown_after_the_users_part_of_the_dead_one() {
    let site = Site::new().await;
    site.let_start();
    let (lab, api) = (&site.lab, site.api());
    let request = SubmitRequest {
        path: Some(lab.gated().display().to_string()),
        args: vec!["mine".to_owned()],
        retry: Some(Retry::IfProvenDead),
        ..SubmitRequest::default()
    };
    let run = api.submit(&request).await.unwrap().run.run_id;
    let mut log = Background::start(lab, "log", &["log", "-f", &run.to_string()]);
    log.says("started mine\n").await;
    let mut stream = events(api, run, None).await;
    let engines = processes::engines(lab.path());
    assert_eq!(engines.len(), 1, "{engines:?}");
    processes::signal(engines[0].pid, Signal::KILL);
    let started = async || (user_text(api, run).await.matches("started mine\n").count() == 2).then_some(());
    wait::until(wait::SOON, "both attempts are shown", started).await;
    for (who, text, _) in site.faces(run).await {
        check_clean(&who, &text);
    }
    lab.open_gate("mine");
    let end = api.wait_end(run).await;
    assert_eq!((end.state, end.attempt), (RunState::Succeeded, 2), "{end:#?}");
    let whole = user_text(api, run).await;
    check_clean("the user's part", &whole);
    assert_eq!(whole.matches(". file open count using").count(), 2, "{whole}");
    assert!(log.end().await.success());
    assert_eq!(log.out(), whole);
    let mut text = String::new();
    while let Ok(event) = output(&mut stream).await {
        text.push_str(&event.text);
    }
    assert_eq!(text, whole);
    // Page by page, as a reader with an offset does: no page has a byte between the attempts in it.
    let (mut at, mut pages) = (0, String::new());
    loop {
        let page = user(api, run, &format!("&offset={at}"), None).await;
        at = page.headers()[NEXT_OFFSET].to_str().unwrap().parse().unwrap();
        let (complete, bytes) = (page.headers()[COMPLETE] == "true", page.text().await.unwrap());
        assert!(!bytes.is_empty(), "a page at {at}");
        pages.push_str(&bytes);
        if complete {
            break;
        }
    }
    assert_eq!(pages, whole);
    for (who, text, alone) in site.faces(run).await {
        check_clean(&who, &text);
        assert!(!alone || who.contains("offset") || who.contains("range") || text == whole, "{who}: {text}");
    }
}

/// Reads a live run's user part again and again; returns what was shown, in order, and the final part.
async fn looks(faults: Option<&str>) -> (Vec<String>, String) {
    let mut lab = lab!();
    if let Some(faults) = faults {
        lab.env("LONGHAUL_FAULTS", faults);
    }
    // The wrapper's last line takes its time, so that the bytes after the user's part are there for a while.
    lab.env("LONGHAUL_STANDIN_AT", "4 silence 700");
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    lab.file("sub.do", "sleep 30\ndisplay \"inner\"\n");
    let file = lab.file("a.do", "forvalues i = 1/8 { \n do sub.do \n}\n");
    let run = gateway.api.submit_path(&file, &[]).await.run_id;
    let mut seen: Vec<String> = Vec::new();
    loop {
        let ended = gateway.api.get(run).await.unwrap().state.is_end();
        let text = user_text(&gateway.api, run).await;
        if seen.last() != Some(&text) {
            seen.push(text.clone());
        }
        if ended {
            return (seen, text);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_shown_live_is_always_a_prefix_of_what_is_shown_at_the_end() {
    let (seen, whole) = looks(None).await;
    assert!(seen.len() > 3, "it was seen growing: {seen:#?}");
    for text in &seen {
        assert!(whole.starts_with(text), "{text}\nis no beginning of\n{whole}");
    }
    // The control: shown as far as it is there, the log includes the wrapper's lines.
    let (seen, whole) = looks(Some("bug=view_ignores_safe_end")).await;
    assert!(seen.iter().any(|text| !whole.starts_with(text)), "{seen:#?}");
}
