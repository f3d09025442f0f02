//! The example for a reverse proxy, in real nginx: over TLS and HTTP/2, with nothing held back and no silence taken for
//! the end.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use longhaul_proto::{api::SubmitRequest, ids::RunId, state::RunState};
use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab, finish},
    mcp::Mcp,
    need, wait,
};
use rustix::process::Signal;
use serde_json::json;

const EXAMPLE: &str = include_str!("../../../deploy/nginx/longhaul.conf");
/// Shorter than the runs here are silent, as the proxy's default is shorter than those of people.
const SILENCE: &str = "2s";

/// Real nginx with the example; ended when dropped.
struct Nginx {
    process: Child,
    /// Its port without TLS.
    plain: u16,
    /// Its port with TLS.
    tls: u16,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn program() -> Option<PathBuf> {
    let found = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"].iter().map(PathBuf::from);
    let found = found.into_iter().find(|path| path.exists());
    let tools = ["curl", "openssl"].iter().all(|name| Command::new(name).arg("version").output().is_ok());
    if found.is_none() || !tools {
        need::skip("nginx", "no nginx with curl and openssl here");
        return None;
    }
    found
}

impl Nginx {
    /// The example with these ports and certificates, and a limit on silence in its scale.
    fn start(lab: &Lab, program: &Path, gateway: u16, silence: &str) -> Self {
        let folder = lab.path().join("nginx");
        fs::create_dir_all(folder.join("logs")).unwrap();
        let (plain, tls) = (free_port(), free_port());
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=longhaul.lab", "-addext", "subjectAltName=DNS:longhaul.lab", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut example = EXAMPLE.to_owned();
        for (from, to) in [
            ("127.0.0.1:7447".to_owned(), format!("127.0.0.1:{gateway}")),
            (
                "listen 443 ssl http2;".to_owned(),
                format!("listen 127.0.0.1:{tls} ssl http2; listen 127.0.0.1:{plain};"),
            ),
            ("/etc/longhaul/proxy/fullchain.pem".to_owned(), certificate.display().to_string()),
            ("/etc/longhaul/proxy/key.pem".to_owned(), key.display().to_string()),
            ("proxy_read_timeout 10m;".to_owned(), format!("proxy_read_timeout {silence};")),
        ] {
            assert!(example.contains(&from), "the example has {from}");
            example = example.replace(&from, &to);
        }
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {}/{name};\n", folder.display()))
            .collect();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/logs/error.log;\nevents {{}}\nhttp {{\n\
             access_log {0}/logs/access.log;\n{temporary}{example}\n}}\n",
            folder.display()
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let process = Command::new(program)
            .arg("-p")
            .arg(&folder)
            .args(["-e", "logs/error.log", "-c"])
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, plain, tls }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        longhaul_tests::processes::signal(i32::try_from(self.process.id()).unwrap(), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// A gateway behind nginx, which waits so long for a silent answer; and its clients' side through it.
async fn behind(config: &str, silence: &str) -> Option<(Lab, Gateway, Nginx, Api)> {
    let program = program()?;
    let mut lab = lab!();
    let own = "allowed_hosts = [\"127.0.0.1\", \"longhaul.lab\"]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    lab.config(&format!("{own}{config}"));
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let port = gateway.api.address().rsplit(':').next().unwrap().parse().unwrap();
    let nginx = Nginx::start(&lab, &program, port, silence);
    let api = Api::new(&format!("http://127.0.0.1:{}", nginx.plain), gateway.api.token());
    let port = nginx.plain;
    wait::until_now(wait::SOON, "nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await;
    Some((lab, gateway, nginx, api))
}

async fn submit(api: &Api, code: &str) -> RunId {
    let request = SubmitRequest { text: Some(code.to_owned()), again: true, ..SubmitRequest::default() };
    api.submit(&request).await.unwrap().run.run_id
}

#[tokio::test]
async fn events_come_through_as_they_happen() {
    let Some((lab, gateway, _nginx, api)) = behind("", "1m").await else { return };
    let run = api.submit_path(&lab.gated(), &["proxied"]).await.run_id;
    let mut events = api.events(run, 0).await.unwrap();
    let mut text = String::new();
    while !text.contains("started proxied") {
        let event = tokio::time::timeout(wait::SOON, events.next()).await.expect("not held back").expect("an event");
        text.push_str(&event.data);
    }
    assert!(!gateway.api.get(run).await.unwrap().state.is_end(), "before the run's end");
    let mcp = Mcp::new(&api, "claude-code", "2.1.330");
    let mut call = mcp.start("stata_wait", json!({"runs": run.to_string()}), json!({"progressToken": 7})).await;
    call.progress("a first line", |_| true).await;
    lab.open_gate("proxied");
    assert_eq!(api.wait_end(run).await.state, RunState::Succeeded);
}

/// A call whose run is silent for longer than the proxy waits; its text, `None` = it was cut off.
async fn silent_call(config: &str) -> Option<Option<String>> {
    let (_lab, gateway, _nginx, api) = behind(config, SILENCE).await?;
    let mcp = Mcp::new(&api, "claude-code", "2.1.330");
    let code = json!({"selection": "display \"first\"\nsleep 5000\ndisplay \"last\"\n"});
    let call = mcp.start("stata_run_selection", code, json!({"progressToken": 7})).await;
    let (_, result) = call.all().await;
    let run = gateway.api.list().await.unwrap().runs[0].run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded, "cut off or not, the run goes on");
    Some(result.map(|result| result.text))
}

#[tokio::test]
async fn a_call_that_is_silent_for_longer_than_the_proxy_waits_is_kept_alive() {
    let Some(text) = silent_call("progress_every = \"500ms\"\n").await else { return };
    assert!(text.as_ref().is_some_and(|text| text.contains("last")), "{text:?}");
}

/// The control: with fewer signs of life than the proxy wants, it ends the call.
#[tokio::test]
async fn without_signs_of_life_the_proxy_would_end_the_call() {
    let Some(text) = silent_call("progress_every = \"1h\"\n").await else { return };
    assert_eq!(text, None);
}

#[tokio::test]
async fn large_uploads_go_through() {
    let Some((_lab, gateway, _nginx, api)) = behind("", "1m").await else { return };
    // More than nginx takes by default, and more than it holds in memory.
    let code = format!("display \"it came\"\nexit\n{}", "* a line of a large do-file\n".repeat(400_000));
    assert!(code.len() > 10 << 20);
    let run = submit(&api, &code).await;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
}

#[tokio::test]
async fn it_speaks_tls_and_http_2_to_clients() {
    let Some((lab, gateway, nginx, api)) = behind("", "1m").await else { return };
    let run = submit(&api, "display \"over tls\"\n").await;
    gateway.api.wait_end(run).await;
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "--http2", "--max-time", "20", "--cacert"]).arg(lab.path().join("nginx/cert.pem"));
    curl.arg("--resolve").arg(format!("longhaul.lab:{}:127.0.0.1", nginx.tls));
    curl.arg("-H").arg(format!("Authorization: Bearer {}", api.token())).args(["-w", "\nHTTP %{http_version}\n"]);
    curl.arg(format!("https://longhaul.lab:{}/api/v1/runs/{run}/events", nginx.tls));
    let ran = finish(curl).await;
    assert!(ran.status == 0 && ran.out.contains("over tls") && ran.out.contains("\nHTTP 2\n"), "{ran:#?}");
}

#[test]
fn its_limit_on_silence_is_longer_than_the_gateway_is_ever_silent() {
    let limit = EXAMPLE.lines().find_map(|line| line.trim().strip_prefix("proxy_read_timeout ")).unwrap();
    let minutes: u64 = limit.trim_end_matches(';').strip_suffix('m').unwrap().parse().unwrap();
    let most = longhaul_gateway::Options::default().frontend.heartbeat * 3;
    assert!(Duration::from_secs(60 * minutes) > most);
}
