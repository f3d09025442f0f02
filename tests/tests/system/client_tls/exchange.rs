//! Certificates change and end: under open streams, in files of the operator's own, and by a clock.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use longhaul_gateway::{
    ca::authority::{Authority, Leaf, new_key},
    key_store::Folder,
};
use longhaul_proto::{certificate, clock::Clock, ids::RunId, tasks::Tasks};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    port::free_port,
    wait,
};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use reqwest::Method;
use tokio::{sync::watch, task::JoinHandle};

use super::elsewhere;

/// The certificate that a new connection is shown.
async fn shown(api: &Api) -> String {
    // A client of its own: another would reuse its connection.
    let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).tls_info(true).build().unwrap();
    let answer = http.get(format!("{}/healthz", api.url())).send().await.unwrap();
    certificate::fingerprint(answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap().peer_certificate().unwrap())
}

/// Whether another certificate is shown within some seconds.
async fn changes(api: &Api, from: &str, within: Duration) -> bool {
    let clock = Clock::system();
    while clock.monotonic() < within {
        if shown(api).await != from {
            return true;
        }
        tokio::time::sleep(wait::POLL).await;
    }
    false
}

/// A run that waits for its gate, and one stream of its log that is never opened again.
struct Followed {
    run: RunId,
    heard: watch::Receiver<u64>,
    text: JoinHandle<Option<String>>,
}

impl Followed {
    async fn start(lab: &Lab, api: &Api) -> Self {
        let run = api.submit_path(&lab.gated(), &["open"]).await.run_id;
        api.wait_output(run, "started open").await;
        let (hear, mut heard) = watch::channel(0);
        let mut events = api.events(run, 0).await.unwrap();
        let text = Tasks::new().spawn(async move {
            let mut text = String::new();
            while let Some(event) = events.next().await {
                let Ok(part) = serde_json::from_str::<longhaul_proto::api::OutputEvent>(&event.data) else { continue };
                text.push_str(&part.text);
                hear.send_replace(part.next);
            }
            Some(text)
        });
        heard.wait_for(|bytes| *bytes > 0).await.unwrap();
        Self { run, heard, text }
    }

    /// The stream goes on to the run's end.
    async fn goes_on(self, lab: &Lab, api: &Api) {
        assert!(!self.text.is_finished(), "the stream is open");
        let before = *self.heard.borrow();
        lab.open_gate("open");
        let end = api.wait_end(self.run).await;
        let text = tokio::time::timeout(wait::SOON, self.text).await.unwrap().unwrap().unwrap();
        assert!(text.len() as u64 > before && text.contains("finished open"), "{end:?}: {text}");
    }
}

/// A certificate of an authority in this folder for this machine, and its key, written to `c.pem` and `k.pem` there.
fn own(folder: &Path, days: u64) {
    fs::create_dir_all(folder).unwrap();
    let now_s = Clock::system().unix_ms() / 1000;
    let authority = Authority::ensure(&Folder::new(folder), now_s).unwrap();
    let key = new_key().unwrap();
    let leaf = Leaf {
        names: vec![SanType::IpAddress([127, 0, 0, 1].into()), SanType::DnsName("localhost".try_into().unwrap())],
        subject: "gw.lab".to_owned(),
        uses: vec![ExtendedKeyUsagePurpose::ServerAuth],
        lifetime: Duration::from_secs(days * 24 * 3600),
    };
    fs::write(folder.join("c.pem"), authority.issue(leaf, &key, now_s).unwrap()).unwrap();
    fs::write(folder.join("k.pem"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("k.pem"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// A gateway with a certificate of the operator's own, its clients' side over TLS.
async fn with_own_files(lab: &Lab, folder: &Path) -> (Gateway, Api) {
    own(folder, 90);
    let (certificate, key) = (folder.join("c.pem"), folder.join("k.pem"));
    let files = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let gateway = lab.up(&files).await;
    let url = gateway.api.url().replace("http://", "https://");
    let root = fs::read_to_string(folder.join("ca.pem")).unwrap();
    let api = Api::trusting(&url, gateway.api.token(), &root);
    (gateway, api)
}

/// `doctor` beside a gateway whose certificate an authority of the lab's own issued.
#[tokio::test]
async fn doctor_says_what_clients_need_for_an_authority_of_the_labs_own() {
    let lab = lab!();
    let folder = lab.path().join("pki");
    own(&folder, 90);
    let (certificate, key, root) = (folder.join("c.pem"), folder.join("k.pem"), folder.join("ca.pem"));
    let port = free_port();
    let (listen, advertise) = (format!("0.0.0.0:{port}"), format!("https://127.0.0.1:{port}"));
    let mut spec = lab.spec("gateway", ["gateway", "--listen", &listen, "--advertise", &advertise]);
    spec.args.extend([
        "--tls-cert".into(),
        certificate.into(),
        "--tls-key".into(),
        key.into(),
        "--data".into(),
        lab.path().join("gateway").into(),
    ]);
    let mut daemon = Daemon::start("gateway", &lab.path().join("gateway"), spec);
    longhaul_tests::lab::ready(&mut daemon).await;
    let token = longhaul_tests::lab::json(&daemon.data.join("credentials.json")).unwrap()["token"].clone();
    let doctor = async |words: &[&str], root: Option<&Path>| {
        let mut command = lab.command([&["doctor"], words].concat());
        command.env("LONGHAUL_ENGINE", "standin").env("LONGHAUL_TOKEN", token.as_str().unwrap());
        command.envs(root.map(|root| ("LONGHAUL_GATEWAY_CA", root)));
        longhaul_tests::lab::finish(command).await
    };
    // Of the same user: it comes by the socket, and the others' need is told.
    let data = ["--data", daemon.data.to_str().unwrap()];
    let here = doctor(&data, None).await;
    assert!(here.out.contains("-- certificate: issued by an authority that the roots"), "{here:#?}");
    assert!(here.out.contains("`gateway_ca` in their configuration") && here.out.contains("ok token"), "{here:#?}");
    // Of another machine: without that root nothing is sent, with it all is well.
    let other = elsewhere(&lab);
    let there = ["--gateway", &advertise, "--data", &other];
    let without = doctor(&there, None).await;
    assert!(without.status == 4 && without.out.contains("not trusted"), "{without:#?}");
    for words in [&data, &there[..]] {
        let with = doctor(words, Some(&root)).await;
        assert!(with.out.contains("ok certificate: ends 20") && with.out.contains("ok token"), "{with:#?}");
        assert!(!with.out.contains("-- certificate"), "{with:#?}");
    }
}

async fn ready(api: &Api) -> (u16, String) {
    let answer = api.request(Method::GET, "/readyz").send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn own_files_are_read_again_under_an_open_stream_and_a_bad_one_is_not_taken() {
    let lab = lab!();
    let folder = lab.path().join("pki");
    let (gateway, api) = with_own_files(&lab, &folder).await;
    api.wait_host_up().await;
    let followed = Followed::start(&lab, &api).await;
    let first = shown(&api).await;
    fs::write(folder.join("c.pem"), "nothing of the kind").unwrap();
    let noted = async || ready(&api).await.1.contains("could not be exchanged").then_some(());
    wait::until(wait::SOON, "the gateway notes it", noted).await;
    assert!(gateway.daemon.printed().contains("BEGIN CERTIFICATE"), "{}", gateway.daemon.printed());
    assert_eq!(shown(&api).await, first, "the old one is shown all the while");
    own(&folder, 10);
    assert!(changes(&api, &first, wait::SOON).await);
    let (status, text) = ready(&api).await;
    assert!(status == 200 && text.contains("ends in 9 days"), "{text}");
    followed.goes_on(&lab, &api).await;
}

/// The control: without the mechanism the first certificate stays.
#[tokio::test]
async fn without_a_look_at_the_files_the_first_certificate_stays() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=certificate_not_renewed");
    let folder = lab.path().join("pki");
    let (_gateway, api) = with_own_files(&lab, &folder).await;
    let first = shown(&api).await;
    own(&folder, 10);
    assert!(!changes(&api, &first, Duration::from_secs(5)).await);
}

/// A life of six seconds in place of thirty days: each certificate is exchanged in its last third, the stream that was
/// open before stays, and every client that verifies is served all the time.
#[tokio::test]
async fn certificates_are_renewed_in_time_under_an_open_stream() {
    let mut lab = lab!();
    lab.env("LONGHAUL_CERTIFICATE_LIFETIME", "6s");
    let gateway = lab.up(&["--tls", "auto"]).await;
    let api = &gateway.api;
    api.wait_host_up().await;
    let followed = Followed::start(&lab, api).await;
    let root = fs::read_to_string(gateway.daemon.data.join("ca.pem")).unwrap();
    let mut seen = vec![shown(api).await];
    wait::until(wait::SOON, "three more certificates", async || {
        let new = Api::trusting(api.url(), api.token(), &root);
        let answer = new.request(Method::GET, "/healthz").send().await;
        assert!(answer.is_ok(), "a client that verifies is served at any time: {answer:?}");
        let now = shown(api).await;
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        (seen.len() > 3).then_some(())
    })
    .await;
    followed.goes_on(&lab, api).await;
}

/// The time that a gateway reads, off by some days.
fn shift(lab: &Lab, days: i64) {
    fs::write(lab.path().join("clock"), (days * 24 * 3600 * 1000).to_string()).unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_refused_with_words() {
    let mut lab = lab!();
    for days in [-40, 0] {
        shift(&lab, days);
        let clock = format!("clock={}", lab.path().join("clock").display());
        lab.env("LONGHAUL_FAULTS", clock);
        // With a clock that is behind it makes one that ended ten days ago.
        let gateway = lab.serving(&format!("gateway{days}"), &["gateway", "--tls", "auto"]).await;
        lab.env("LONGHAUL_FAULTS", "").env("LONGHAUL_TOKEN", gateway.api.token());
        lab.env("LONGHAUL_GATEWAY_CA", gateway.daemon.data.join("ca.pem"));
        let data = elsewhere(&lab);
        let ran = lab.run(["runs", "--gateway", gateway.api.url(), "--data", &data]).await;
        let refused = ran.status == 4 && ran.err.contains("its certificate has expired");
        assert_eq!(refused, days == -40, "{ran:#?}");
        let doctor = lab.run(["doctor", "--gateway", gateway.api.url(), "--data", &data]).await;
        let told = doctor.out.contains("not trusted") && doctor.out.contains("has expired");
        assert_eq!(told, days == -40, "{doctor:#?}");
    }
}

#[tokio::test]
async fn monitors_learn_when_certificates_end_and_that_one_has() {
    let mut lab = lab!();
    shift(&lab, 0);
    let clock = format!("clock={};bug=certificate_not_renewed", lab.path().join("clock").display());
    lab.env("LONGHAUL_FAULTS", clock);
    let gateway = lab.serving("gateway", &["gateway", "--tls", "auto"]).await;
    let metrics = gateway.api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let ends = |which: &str| -> i64 {
        let line = format!("longhaul_certificate_expiry_timestamp_seconds{{certificate=\"{which}\"}} ");
        metrics.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
    };
    let left = |which| (ends(which) - Clock::system().unix_ms() / 1000) / (24 * 3600);
    assert!((29..=30).contains(&left("server")) && left("ca") > 3600, "{metrics}");
    assert_eq!(ready(&gateway.api).await.0, 200);
    lab.env("LONGHAUL_FAULTS", "");
    let data = gateway.daemon.data.to_str().unwrap();
    let doctor = lab.run(["doctor", "--data", data]).await.out;
    assert!(doctor.contains("ok certificate: ends 20"), "{doctor}");
    assert!(doctor.contains("(in 29 days)") || doctor.contains("(in 30 days)"), "{doctor}");
    assert!(doctor.contains(&format!("SHA-256 {}", super::fingerprint(&gateway))), "{doctor}");
    shift(&lab, 31);
    let told = async || Some(ready(&gateway.api).await).filter(|(status, _)| *status == 503);
    let (_, text) = wait::until(wait::SOON, "it is not ready", told).await;
    assert!(text.contains("certificate has expired"), "{text}");
    // The control: time goes back, and it holds again.
    shift(&lab, 0);
    assert_eq!(ready(&gateway.api).await.0, 200);
}
