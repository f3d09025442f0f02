//! Offsets, event ids and ranges of the user's part: they lead on, and to its ends.

use longhaul_proto::{
    api::{COMPLETE, NEXT_OFFSET, OutputEvent, Retry, RunView, SubmitRequest},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{api::Api, lab, processes, sse::Events, wait};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;

use super::{Background, Site, check_clean, user, user_text};

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
    for (who, text, _) in site.interfaces(run).await {
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
    for (who, text, alone) in site.interfaces(run).await {
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
    // Long enough that also a machine with much else to do takes several looks.
    lab.file("sub.do", "sleep 150\ndisplay \"inner\"\n");
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
