//! Each person has receivers of their own, by every way in, and no more is told than the rule of a host lets out.

use longhaul_proto::api::{SubmitRequest, TestedView};
use longhaul_tests::{lab, mcp::Mcp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Receiver, add, allowing, list, person, secret, submit, telling, up};

#[tokio::test]
async fn receivers_of_others_are_not_seen_and_not_told() {
    let mut lab = lab!();
    let receiver = Receiver::answering("200 OK").await;
    allowing(&mut lab, &[receiver.url("")]);
    let gateway = lab.up(&["--seats", "8", "--serve-all"]).await;
    gateway.api.wait_host_up().await;
    let (ann, bob) = (person(&gateway, "ann", "use").await, person(&gateway, "bob", "use").await);
    add(&ann, &receiver.url("/ann")).await;
    add(&bob, &receiver.url("/bob")).await;
    let own = list(&ann).await;
    assert_eq!(own.receivers.iter().map(|one| one.address.clone()).collect::<Vec<_>>(), [receiver.url("/ann")]);
    // Operators do not see them either: there is no way to ask for another's.
    assert!(list(&gateway.api).await.receivers.is_empty());
    let path = format!("/api/v1/notify/receivers?address={}", receiver.url("/ann"));
    let removed = bob.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NOT_FOUND);

    // By MCP too, which has no parameter for it.
    let mcp = Mcp::new(&ann, "claude-code", "2.1.330");
    let ran = mcp.call("stata_run_selection", json!({"selection": "display 1"})).await;
    assert!(!ran.is_error, "{}", ran.text);
    let got = receiver.wait(1).await;
    assert!(got[0].line.contains("/ann") && got[0].json()["data"]["principal"] == "ann", "{got:?}");
    submit(&bob, "display 2", &[]).await;
    let got = receiver.wait(2).await;
    assert!(got[1].line.contains("/bob"), "{got:?}");
    assert!(list(&ann).await.recent.iter().all(|one| one.address == receiver.url("/ann")));
    // Each has a secret of their own, shown once.
    let (anns, bobs) = (secret(&ann, false).await, secret(&bob, false).await);
    assert!(anns != bobs && got[0].signed_by(&anns) && !got[0].signed_by(&bobs) && got[1].signed_by(&bobs));
    let again = ann.request(Method::POST, "/api/v1/notify/secret").send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);
    let detail: Value = again.json().await.unwrap();
    assert!(detail["detail"].as_str().unwrap().contains("--rotate"), "{detail}");
    // Another one: for a while both sign, so that receivers can be changed one by one.
    let rotated = secret(&ann, true).await;
    submit(&ann, "display 3", &[]).await;
    let got = receiver.wait(3).await;
    assert!(rotated != anns && got[2].signed_by(&rotated) && got[2].signed_by(&anns));

    // A token that may not read is told nothing.
    let ci = person(&gateway, "ci", "submit").await;
    let refused = ci.submit(&telling("display 4", &[receiver.url("/ci")])).await.unwrap_err();
    assert!(refused.status == 403 && refused.detail.contains("read_own"), "{refused:?}");
    assert_eq!(ci.request(Method::GET, "/api/v1/notify").send().await.unwrap().status(), StatusCode::FORBIDDEN);

    let audit = gateway.api.request(Method::GET, "/api/v1/audit").send().await.unwrap().text().await.unwrap();
    for event in ["receiver_added", "notify_secret_shown", "notify_secret_rotated"] {
        assert!(audit.contains(&format!("\"event\":\"{event}\"")), "{event}: {audit}");
    }
    assert!(!audit.contains("/ann\"") && !audit.contains(&anns), "no path of a receiver and no secret is in it");
}

#[tokio::test]
async fn the_command_line_does_all_of_it() {
    let mut lab = lab!();
    let receiver = Receiver::answering("200 OK").await;
    let away = format!("http://127.0.0.1:{}", longhaul_tests::port::free_port());
    allowing(&mut lab, &[receiver.url(""), away.clone()]);
    let gateway = up(&lab).await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let run = async |words: &[&str]| lab.run(words.iter().copied().chain(["--data", &data])).await;
    let none = run(&["notify", "list"]).await;
    assert!(none.status == 0 && none.err.contains("you have no receivers"), "{none:?}");
    let url = receiver.url("/in");
    let added = run(&["notify", "add", &url]).await;
    assert!(added.status == 0 && added.err.contains("is told of the ends"), "{added:?}");
    let listed = run(&["notify", "list"]).await;
    assert!(listed.out.contains(&url) && listed.out.contains("RECEIVER"), "{listed:?}");
    let shown = run(&["notify", "secret"]).await;
    let key = shown.out.trim().to_owned();
    assert!(shown.status == 0 && key.starts_with("whsec_") && shown.err.contains("shown this once"), "{shown:?}");
    let again = run(&["notify", "secret"]).await;
    assert!(again.status != 0 && again.err.contains("--rotate"), "{again:?}");
    let rotated = run(&["notify", "secret", "--rotate"]).await;
    assert!(rotated.status == 0 && rotated.err.contains("the one before signs"), "{rotated:?}");

    let tested = run(&["notify", "test"]).await;
    assert!(tested.status == 0 && tested.out.contains("taken"), "{tested:?}");
    let got = receiver.wait(1).await;
    assert!(got[0].json()["type"] == "test" && got[0].signed_by(&key), "{got:?}");
    let lost = format!("{away}/x");
    assert_eq!(run(&["notify", "add", &lost]).await.status, 0);
    let tested = run(&["notify", "test", &lost, "--json"]).await;
    let told: TestedView = serde_json::from_str(&tested.out).unwrap();
    assert!(tested.status == 1 && !told.delivered && told.problem.unwrap().contains("refused"), "{tested:?}");
    assert_eq!(run(&["notify", "remove", &lost]).await.status, 0);
    let gone = run(&["notify", "remove", &lost]).await;
    assert!(gone.status != 0 && gone.err.contains("no such receiver"), "{gone:?}");

    let file = lab.file("a.do", "display 1\n");
    let one = receiver.url("/one");
    let ran = run(&["run", file.to_str().unwrap(), "--notify", &one, "--name", "by hand"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let got = receiver.wait(3).await;
    let mut lines: Vec<_> = got[1..].iter().map(|got| got.line.clone()).collect();
    lines.sort();
    assert_eq!(lines, ["POST /in HTTP/1.1", "POST /one HTTP/1.1"]);
    assert_eq!(got[1].json()["data"]["name"], "by hand");
    let refused = run(&["run", file.to_str().unwrap(), "--again", "--notify", "https://evil.org/"]).await;
    assert!(refused.status != 0 && refused.err.contains("notify_allow"), "{refused:?}");
    // Without a gateway that stays there is none to tell it.
    let alone = lab.path().join("alone");
    let args =
        ["run", file.to_str().unwrap(), "--engine", "standin", "--notify", &one, "--data", alone.to_str().unwrap()];
    let alone = lab.run(args).await;
    assert!(alone.status == 2 && alone.err.contains("--notify needs a gateway that stays"), "{alone:?}");
}

#[tokio::test]
async fn a_rule_of_a_host_holds_for_what_is_told() {
    for (rule, named) in [("verdict", false), ("output", true), ("full", true)] {
        let mut lab = lab!();
        let receiver = Receiver::answering("200 OK").await;
        allowing(&mut lab, &[receiver.url("")]);
        let gateway = lab.gateway().await;
        let _agent = lab.agent("stata1", &gateway, &["--egress", rule]);
        gateway.api.wait_host_up().await;
        let name = Some("patient 4711".to_owned());
        let request = SubmitRequest { name, ..telling("display \"4711\"\nerror 9", &[receiver.url("/")]) };
        let run = gateway.api.submit(&request).await.unwrap().run.run_id;
        let end = gateway.api.wait_end(run).await;
        let got = receiver.wait(1).await;
        assert_eq!(got[0].body.contains("4711"), named, "{rule}: {}", got[0].body);
        let about = got[0].json()["data"].clone();
        assert_eq!((&about["state"], &about["rc"], &about["host"]), (&json!("failed"), &json!(9), &json!("stata1")));
        let told: std::collections::BTreeSet<_> = about.as_object().unwrap().keys().cloned().collect();
        let known = [
            "attempts",
            "cause",
            "created_at",
            "duration",
            "finished_at",
            "host",
            "name",
            "pool",
            "principal",
            "rc",
            "result",
            "run_id",
            "started_at",
            "state",
            "trace_id",
        ];
        assert!(told.iter().all(|field| known.contains(&field.as_str())), "{told:?}");
        assert!(end.message.is_none_or(|message| !got[0].body.contains(&message)));
    }
}
