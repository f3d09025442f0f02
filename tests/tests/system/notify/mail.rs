//! Mail by a real SMTP server: in the clear, with TLS in both ways, with a user; a relay that is down, and one that refuses.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver as Told, channel},
};

use longhaul_proto::api::SubmitRequest;
use longhaul_tests::{lab, lab::Lab, port::free_port, wait};
use rcgen::SanType;
use reqwest::Method;
use serde_json::{Value, json};

use super::{SCALED, add, foreign, list, script, submit, telling, tls::certificate, up, wait_told};

/// A server; dropping it ends it.
struct Smtp {
    child: Child,
    told: Told<String>,
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What TLS and which user it wants.
struct Wants<'a> {
    mode: &'a str,
    pki: &'a Path,
    user: Option<(&'a str, &'a str)>,
}

impl Smtp {
    async fn start(python: &Path, port: u16, wants: &Wants<'_>) -> Self {
        let (user, password) = wants.user.unwrap_or(("-", "-"));
        let (chain, key) = (wants.pki.join("server.pem"), wants.pki.join("server-key.pem"));
        let mut command = Command::new(python);
        command.arg(script("smtp_server.py")).args([&port.to_string(), wants.mode]).args([chain, key]);
        let mut child = command.args([user, password]).stdout(Stdio::piped()).spawn().unwrap();
        let out: ChildStdout = child.stdout.take().unwrap();
        let (tell, told) = channel();
        // Its output comes line by line, as the test waits for it.
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let smtp = Self { child, told };
        let first = smtp.next("the server listens").await;
        assert_eq!(first["port"], port);
        smtp
    }

    /// What it prints next.
    async fn next(&self, what: &str) -> Value {
        let line = wait::until_now(wait::SOON, what, || self.told.try_recv().ok()).await;
        serde_json::from_str(&line).unwrap()
    }
}

/// The settings for a relay at this port.
fn relay(lab: &mut Lab, port: u16, tls: &str) {
    for (name, value) in SCALED {
        lab.env(name, value);
    }
    lab.env("LONGHAUL_SMTP_RELAY", format!("127.0.0.1:{port}")).env("LONGHAUL_SMTP_TLS", tls);
    lab.env("LONGHAUL_MAIL_FROM", "longhaul@lab.org").env("LONGHAUL_MAIL_DOMAINS", "lab.org,unknown.org,busy.org");
}

fn to(address: &str) -> Vec<String> {
    vec![format!("mailto:{address}")]
}

/// A header of a mail, unfolded.
fn header<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let head = text.split("\r\n\r\n").next().unwrap();
    head.split("\r\n").filter_map(|line| line.strip_prefix(&format!("{name}: "))).collect()
}

#[tokio::test]
async fn mail_comes_when_the_relay_is_back() {
    let Some(python) = foreign() else { return };
    let mut lab = lab!();
    let port = free_port();
    relay(&mut lab, port, "off");
    let mut gateway = up(&lab).await;
    add(&gateway.api, "mailto:ana@lab.org").await;
    let name = Some("Bcc: eve@evil.org".to_owned());
    let request = SubmitRequest { name, ..telling("display 1\nerror 111", &to("ben@LAB.org")) };
    let run = gateway.api.submit(&request).await.unwrap().run;
    gateway.api.wait_end(run.run_id).await;
    // The relay is away; the gateway is killed meanwhile.
    let told = wait_told(&gateway.api, "it was tried", |one| one.tries >= 2).await;
    assert!(told.problem.as_ref().unwrap().contains("the mail relay"), "{told:?}");
    gateway.kill_and_restart().await;
    let wants = Wants { mode: "off", pki: lab.path(), user: None };
    let smtp = Smtp::start(&python, port, &wants).await;
    let mut got = [smtp.next("a mail comes").await, smtp.next("another comes").await];
    got.sort_by_key(|mail| mail["to"][0].as_str().unwrap().to_owned());
    assert_eq!((&got[0]["to"], &got[1]["to"]), (&json!(["ana@lab.org"]), &json!(["ben@LAB.org"])));
    for mail in &got {
        let text = mail["text"].as_str().unwrap();
        assert_eq!(mail["from"], "longhaul@lab.org");
        let short = run.run_id.short();
        assert_eq!(header(text, "Subject"), [format!("Longhaul: Bcc: eve@evil.org failed ({short})")], "{text}");
        assert!(header(text, "Bcc").is_empty() && header(text, "Auto-Submitted") == ["auto-generated"], "{text}");
        assert!(header(text, "Message-ID")[0].starts_with("<end_"), "{text}");
        for line in [
            format!("Run {short} failed with r(111) after "),
            format!("Run       {}", run.run_id),
            format!("longhaul show {short}"),
            "Code      r(111)".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}: {text}");
        }
        assert!(!text.contains("display"), "{text}");
    }
    wait_told(&gateway.api, "it is delivered", |one| one.state == "delivered").await;
    let tested = gateway.api.request(Method::POST, "/api/v1/notify/test").send().await.unwrap();
    let tested: Value = tested.json().await.unwrap();
    assert_eq!(tested["receivers"], json!([{"address": "mailto:ana@lab.org", "delivered": true}]));
    assert!(smtp.next("the test comes").await["text"].as_str().unwrap().contains("Subject: Longhaul: a test"));
}

#[tokio::test]
async fn what_the_relay_refuses_is_tried_again_or_given_up() {
    let Some(python) = foreign() else { return };
    let mut lab = lab!();
    let port = free_port();
    relay(&mut lab, port, "off");
    let gateway = up(&lab).await;
    let wants = Wants { mode: "off", pki: lab.path(), user: None };
    let smtp = Smtp::start(&python, port, &wants).await;
    let refused = gateway.api.submit(&telling("display 1", &to("eve@evil.org"))).await.unwrap_err();
    assert!(refused.status == 403 && refused.detail.contains("`mail_domains`"), "{refused:?}");
    for wrong in ["ana@lab.org%0d%0aBcc:eve@evil.org", "ana@lab.org?bcc=eve@evil.org", "ana@lab.org,eve@evil.org"] {
        let refused = gateway.api.submit(&telling("display 1", &to(wrong))).await.unwrap_err();
        assert!(refused.status == 400 && refused.detail.contains("one address"), "{refused:?}");
    }
    let receivers = [to("x@unknown.org"), to("y@busy.org"), to("ana@lab.org")].concat();
    submit(&gateway.api, "display 1", &receivers).await;
    assert_eq!(smtp.next("the good one comes").await["to"], json!(["ana@lab.org"]));
    let all = wait::until(wait::SOON, "one is given up and one is tried again", async || {
        let recent = list(&gateway.api).await.recent;
        let of = |address: &str| recent.iter().find(|one| one.address == address).cloned();
        let (gone, busy) = (of("mailto:x@unknown.org")?, of("mailto:y@busy.org")?);
        (gone.state == "given_up" && busy.tries >= 3).then_some((gone, busy))
    })
    .await;
    assert!(all.0.tries == 1 && all.0.problem.unwrap().contains("550"), "no such user is no such user tomorrow");
    assert!(all.1.state == "waiting" && all.1.problem.unwrap().contains("451"));
}

#[tokio::test]
async fn the_way_to_the_relay_is_encrypted_and_its_user_is_known() {
    let Some(python) = foreign() else { return };
    for (mode, tls) in [("starttls", "starttls"), ("tls", "on")] {
        for (trusted, password) in [(true, "right"), (false, "right"), (true, "wrong")] {
            // What is tried with a wrong password is the same in both.
            if mode == "tls" && password == "wrong" {
                continue;
            }
            let mut lab = lab!();
            let port = free_port();
            relay(&mut lab, port, tls);
            let pki = lab.path().join("pki");
            certificate(&pki, SanType::IpAddress([127, 0, 0, 1].into()));
            if trusted {
                lab.env("LONGHAUL_NOTIFY_CA", pki.join("ca.pem"));
            }
            let secret = lab.path().join("smtp-password");
            longhaul_proto::durable::create_folder(lab.path()).unwrap();
            std::fs::write(&secret, format!("{password}\n")).unwrap();
            std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            lab.env("LONGHAUL_SMTP_USER", "longhaul").env("LONGHAUL_SMTP_PASSWORD_FILE", &secret);
            let gateway = up(&lab).await;
            let wants = Wants { mode, pki: &pki, user: Some(("longhaul", "right")) };
            let smtp = Smtp::start(&python, port, &wants).await;
            submit(&gateway.api, "display 1", &to("ana@lab.org")).await;
            if trusted && password == "right" {
                let mail = smtp.next("a mail comes").await;
                assert_eq!((&mail["tls"], &mail["authenticated"]), (&json!(true), &json!(true)), "{mode}");
            } else {
                let told = wait_told(&gateway.api, "it was tried", |one| one.tries > 0).await;
                let want = if trusted { "535" } else { "certificate" };
                assert!(told.problem.as_ref().unwrap().contains(want), "{mode}: {told:?}");
                assert!(smtp.told.try_recv().is_err());
            }
            assert!(!gateway.daemon.printed().contains(password));
        }
    }
}
