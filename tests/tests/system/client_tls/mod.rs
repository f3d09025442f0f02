//! TLS between clients and the gateway: who listens hears nothing, who is not trusted is refused, and what must be
//! encrypted is not answered in the clear. [`exchange`]: certificates change under open streams; [`programs`]: the
//! clients of others, and what is told to them; [`socket`]: no port at all; [`collector`]: traces.

mod collector;
mod exchange;
mod programs;
mod socket;

use std::{fs, path::PathBuf};

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab, Ran},
    need,
    trust::Recorder,
    wait,
};
use reqwest::Method;

/// The fingerprint that a gateway printed at its start.
fn fingerprint(gateway: &Gateway) -> String {
    let printed = gateway.daemon.printed();
    let (_, after) = printed.split_once("--ca-fingerprint ").unwrap_or_else(|| panic!("{printed}"));
    after.split_whitespace().next().unwrap().to_owned()
}

/// A data folder of a client elsewhere, which holds nothing of the gateway.
fn elsewhere(lab: &Lab) -> String {
    lab.path().join("elsewhere").to_str().unwrap().to_owned()
}

/// A file with the gateway's token, as its operator would send it.
fn token_file(lab: &Lab, gateway: &Gateway) -> PathBuf {
    let path = lab.path().join("token");
    fs::write(&path, gateway.api.token()).unwrap();
    path
}

async fn login(lab: &Lab, url: &str, gateway: &Gateway, fingerprint: &str) -> Ran {
    let (data, token) = (elsewhere(lab), token_file(lab, gateway));
    let token = token.to_str().unwrap();
    lab.run(["login", url, "--ca-fingerprint", fingerprint, "--token-file", token, "--data", &data]).await
}

/// Code in a request's text.
fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), ..SubmitRequest::default() }
}

/// Words that a client sends and gets through a wire at which an eavesdropper listens: those that he hears, of the code,
/// the output, the token and the path of a request.
async fn heard(encrypted: bool) -> Vec<&'static str> {
    let mut lab = lab!();
    let wire = Recorder::new().await;
    let scheme = if encrypted { "https" } else { "http" };
    let url = format!("{scheme}://{}", wire.addr);
    lab.env("LONGHAUL_ADVERTISE", &url);
    let how = if encrypted { "auto" } else { "off" };
    let gateway = lab.up(&["--tls", how]).await;
    wire.to(gateway.api.address().parse().unwrap());
    gateway.api.wait_host_up().await;
    // By HTTP, as programs do.
    let run =
        gateway.api.at(&url).submit(&text("display \"the \" + \"finding\" // coefficient-of-ana")).await.unwrap().run;
    gateway.api.at(&url).wait_end(run.run_id).await;
    let log = gateway.api.at(&url).output(run.run_id, "log").await.unwrap();
    assert!(String::from_utf8_lossy(&log).contains("the finding"), "{}", String::from_utf8_lossy(&log));
    // By the command line, which comes to trust it as on any machine.
    if encrypted {
        let ran = login(&lab, &url, &gateway, &fingerprint(&gateway)).await;
        assert!(ran.status == 0 && ran.err.contains("scope operate"), "{ran:#?}");
    } else {
        lab.env("LONGHAUL_TOKEN", gateway.api.token());
    }
    let data = elsewhere(&lab);
    let ran = lab.run(["log", "last", "--gateway", &url, "--data", &data]).await;
    assert!(ran.status == 0 && ran.out.contains("the finding"), "{ran:#?}");
    assert!(wire.bytes() > 1000, "all of it went through the wire");
    let words = [
        ("code", "coefficient-of-ana"),
        ("output", "the finding"),
        ("token", gateway.api.token()),
        ("path", "/api/v1/runs"),
    ];
    words.iter().filter(|(_, words)| wire.heard(words)).map(|(what, _)| *what).collect()
}

#[tokio::test]
async fn who_listens_between_client_and_gateway_hears_no_code_output_token_or_path() {
    assert_eq!(heard(true).await, Vec::<&str>::new());
}

/// The control: the same in the clear.
#[tokio::test]
async fn in_the_clear_all_of_it_is_heard() {
    assert_eq!(heard(false).await, ["code", "output", "token", "path"]);
}

#[tokio::test]
async fn a_gateway_of_another_root_is_refused_and_gets_no_token() {
    let mut lab = lab!();
    let right = lab.serving("right", &["gateway", "--tls", "auto"]).await;
    let wrong = lab.serving("wrong", &["gateway", "--tls", "auto"]).await;
    let data = elsewhere(&lab);
    let url = wrong.api.url().to_owned();
    let ran = login(&lab, &url, &right, &fingerprint(&right)).await;
    assert_eq!(ran.status, 4, "{ran:#?}");
    assert!(ran.err.contains("another root") && ran.err.contains(&fingerprint(&wrong)), "{ran:#?}");
    assert!(!lab.path().join("elsewhere/logins.json").exists(), "nothing is kept");
    let ran = lab.run(["login", &url, "--ca-fingerprint", "abc", "--data", &data]).await;
    assert!(ran.status == 2 && ran.err.contains("64 hexadecimal digits"), "{ran:#?}");
    let ran = lab.run(["login", &url, "--data", &data]).await;
    assert!(ran.status == 4 && ran.err.contains("--ca-fingerprint SHA256"), "{ran:#?}");
    // The right one was pinned, and another machine answers in its place; and a root that a setting names.
    lab.env("LONGHAUL_TOKEN", right.api.token());
    let runs = ["runs", "--gateway", &url, "--data", &data];
    for root in [Some(right.daemon.data.join("ca.pem")), None] {
        match &root {
            Some(root) => lab.env("LONGHAUL_GATEWAY_CA", root),
            None => lab.env("LONGHAUL_GATEWAY_CA", ""),
        };
        let ran = lab.run(runs).await;
        assert!(ran.status == 4 && ran.err.contains("no root that is trusted here"), "{root:?}: {ran:#?}");
        assert!(ran.err.contains("--ca-fingerprint"), "{ran:#?}");
    }
    // The controls: the root that is right, and a client that believes anything.
    lab.env("LONGHAUL_GATEWAY_CA", wrong.daemon.data.join("ca.pem"));
    lab.env("LONGHAUL_TOKEN", wrong.api.token());
    let ran = lab.run(runs).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    lab.env("LONGHAUL_GATEWAY_CA", "").env("LONGHAUL_FAULTS", "bug=any_certificate");
    let ran = lab.run(runs).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
}

#[tokio::test]
async fn a_name_that_the_certificate_has_not_and_a_port_without_tls_are_told_apart() {
    let mut lab = lab!();
    let gateway = lab.serving("encrypted", &["gateway", "--tls", "auto"]).await;
    let clear = lab.serving("clear", &["gateway"]).await;
    let data = elsewhere(&lab);
    lab.env("LONGHAUL_TOKEN", gateway.api.token()).env("LONGHAUL_GATEWAY_CA", gateway.daemon.data.join("ca.pem"));
    // Every name below `localhost` is this machine, and none of them is in the certificate.
    let other = gateway.api.url().replace("127.0.0.1", "127.0.0.2");
    let ran = lab.run(["runs", "--gateway", &other, "--data", &data]).await;
    let reached = !ran.err.contains("cannot reach");
    assert!(ran.status == 4 && (!reached || ran.err.contains("for other names")), "{ran:#?}");
    let tls = clear.api.url().replace("http://", "https://");
    let ran = lab.run(["runs", "--gateway", &tls, "--data", &data]).await;
    assert!(ran.status == 4 && ran.err.contains("it speaks no TLS to clients"), "{ran:#?}");
    // The way back: a gateway that speaks TLS, on this machine, in the clear.
    let plain = gateway.api.url().replace("https://", "http://");
    let ran = lab.run(["runs", "--gateway", &plain, "--data", &data]).await;
    assert_eq!(ran.status, 0, "this machine itself may speak in the clear: {ran:#?}");
}

/// Where a gateway listens on all addresses.
async fn everywhere(lab: &Lab, more: &[&str]) -> Gateway {
    let args = [&["gateway", "--listen", "0.0.0.0:0"], more].concat();
    lab.serving("everywhere", &args).await
}

async fn asked(api: &Api, url: &str, path: &str) -> (u16, String) {
    let answer = api.at(url).request(Method::GET, path).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn other_machines_are_answered_by_tls_alone() {
    let Some(address) = need::second_address() else { return };
    for bug in ["", "bug=plain_is_served"] {
        let mut lab = lab!();
        lab.env("LONGHAUL_FAULTS", bug);
        let gateway = everywhere(&lab, &[]).await;
        let port = gateway.api.address().rsplit_once(':').unwrap().1.to_owned();
        assert!(gateway.api.url().starts_with("https://127.0.0.1:"), "{}", gateway.api.url());
        let far = format!("http://{address}:{port}");
        for path in ["/api/v1/whoami", "/healthz", "/mcp"] {
            let (status, text) = asked(&gateway.api, &far, path).await;
            let refused = status == 400 && text.contains("use https://") && text.contains("revoke it");
            assert_eq!(refused, bug.is_empty(), "{path}: {status} {text}");
        }
        // By TLS under the same address, which the certificate is for; and in the clear from this machine.
        let (status, _) = asked(&gateway.api, &format!("https://{address}:{port}"), "/api/v1/whoami").await;
        assert_eq!(status, 200);
        let (status, _) = asked(&gateway.api, &format!("http://127.0.0.1:{port}"), "/api/v1/whoami").await;
        assert_eq!(status, 200);
        if bug.is_empty() {
            let said = || gateway.daemon.printed().contains("came in the clear from another machine").then_some(());
            wait::until_now(wait::SOON, "the log says so", said).await;
            let (_, metrics) = asked(&gateway.api, gateway.api.url(), "/metrics").await;
            assert!(!metrics.contains("refused_total{reason=\"clear\"} 0"), "{metrics}");
            assert!(metrics.contains("refused_total{reason=\"clear\"} "), "{metrics}");
        }
    }
}

#[tokio::test]
async fn in_the_clear_where_others_listen_only_on_purpose() {
    let lab = lab!();
    let data = elsewhere(&lab);
    let args = ["gateway", "--listen", "0.0.0.0:0", "--data", &data, "--tls", "off"];
    let ran = lab.run(args).await;
    assert!(ran.status == 4 && ran.err.contains("--insecure-network") && ran.err.contains("0.0.0.0:"), "{ran:#?}");
    // The control: on purpose; and its operator reads what that means.
    let gateway = everywhere(&lab, &["--tls", "off", "--insecure-network"]).await;
    assert!(gateway.api.url().starts_with("http://127.0.0.1:"), "{}", gateway.api.url());
    assert!(gateway.daemon.printed().contains("every machine on the way reads tokens"), "{}", gateway.daemon.printed());
    let (status, _) = asked(&gateway.api, gateway.api.url(), "/api/v1/whoami").await;
    assert_eq!(status, 200);
    // Settings that contradict each other.
    let both: [(&[&str], &str); 3] = [
        (&["--tls-cert", "c.pem"], "--tls-key"),
        (&["--tls", "auto", "--tls-cert", "c.pem", "--tls-key", "k.pem"], "--tls"),
        (&["--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem"], "/nowhere/c.pem"),
    ];
    for (more, words) in both {
        let ran = lab.run([&["gateway", "--listen", "127.0.0.1:0", "--data", &data], more].concat()).await;
        assert!(ran.status != 0 && ran.err.contains(words), "{more:?}: {ran:#?}");
    }
}

#[tokio::test]
async fn agents_join_a_gateway_whose_clients_speak_tls_by_either_form_of_its_address() {
    let lab = lab!();
    let gateway = lab.serving("gateway", &["gateway", "--tls", "auto"]).await;
    let plain = gateway.api.url().replace("https://", "http://");
    let _agents = [lab.agent("stata1", &gateway, &[]), lab.agent("stata2", &gateway, &["--gateway", &plain])];
    for name in ["stata1", "stata2"] {
        gateway.api.wait_host(name, "up").await;
        let run = SubmitRequest { host: Some(name.to_owned()), ..text("display 1") };
        let run = gateway.api.submit(&run).await.unwrap().run;
        assert_eq!(gateway.api.wait_end(run.run_id).await.state, RunState::Succeeded, "{name}");
    }
}
