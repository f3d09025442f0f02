//! Every command that asks a gateway asks the one that `--gateway` names, and no other.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use longhaul_proto::tasks::Tasks;
use longhaul_tests::{lab, lab::Lab, wait};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Words behind each command that has `--gateway`, so that it comes to ask.
const COMMANDS: [(&str, &str); 43] = [
    ("agents approve", "stata1"),
    ("agents invitations", ""),
    ("agents invite", "stata1"),
    ("agents list", ""),
    ("agents revoke", "stata1"),
    ("agents withdraw", "stata1"),
    ("audit", ""),
    ("cancel", "last"),
    ("data", "auto.dta"),
    ("declare-dead", "last"),
    ("do-files", "last"),
    ("doctor", ""),
    ("drain", "stata1"),
    ("events", ""),
    ("files", "last"),
    ("get", "last"),
    ("hosts", ""),
    ("hosts forget", "stata1"),
    ("log", "last"),
    ("notify add", "https://example.org/hook"),
    ("notify list", ""),
    ("notify remove", "https://example.org/hook"),
    ("notify secret", ""),
    ("notify test", ""),
    ("packages install", "reghdfe --host stata1"),
    ("quotas", ""),
    ("release", "last"),
    ("rerun", "last"),
    ("results", "last"),
    ("resume", "stata1"),
    ("run", "short.do"),
    ("runs", ""),
    ("runs adopt", "last"),
    ("search", "last x"),
    ("show", "last"),
    ("stata", "-b do short.do"),
    ("stata-help", "regress"),
    ("token add", "ana"),
    ("token list", ""),
    ("token revoke", "ana"),
    ("token rotate", "ana"),
    ("trust-clock", ""),
    ("wait", "last"),
];

/// Commands that have it and ask nothing by themselves, or in another way; with the tests that show where they go.
const ELSEWHERE: [&str; 4] = [
    "agent",       // registration.rs
    "mcp install", // clients/configured.rs
    "mcp print",   // clients/mod.rs
    "stdio",       // clients/bridge.rs
];

/// Takes connections, counts them, and answers that it is not there now.
struct Counting {
    url: String,
    asked: Arc<AtomicUsize>,
    _tasks: Tasks,
}

impl Counting {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, tasks) = (Arc::new(AtomicUsize::new(0)), Tasks::new());
        let count = Arc::clone(&asked);
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 1024]).await;
                let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        Self { url, asked, _tasks: tasks }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// All commands that have the flag, as their help tells.
async fn with_the_flag(lab: &Lab) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![Vec::<String>::new()]);
    while let Some(words) = open.pop() {
        let help = lab.run(words.iter().map(String::as_str).chain(["--help"])).await.out;
        if help.contains("--gateway <") {
            found.push(words.join(" "));
        }
        let below = help.split_once("\nCommands:\n").map_or("", |(_, below)| below);
        let below = below.lines().take_while(|line| line.starts_with("  "));
        let names =
            below.filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with(char::is_lowercase));
        for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
            open.push(words.iter().cloned().chain([name.to_owned()]).collect());
        }
    }
    found.sort();
    found
}

/// Which of two gateways a command asks: the one that the flag names, where there is one, and the one of the environment.
async fn asks(lab: &Lab, command: &str, words: &str, flag: bool) -> (bool, bool) {
    let (named, other) = (Counting::start().await, Counting::start().await);
    let more = ["--gateway", named.url.as_str()].into_iter().filter(|_| flag);
    let mut command = lab.command(command.split(' ').chain(more).chain(words.split_whitespace()));
    command.env("LONGHAUL_GATEWAY", &other.url).env("LONGHAUL_TOKEN", "lh_none").env("LONGHAUL_ENGINE", "standin");
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    // One that tries again and again does not end.
    wait::until(wait::SOON, "it has asked or ended", async || {
        let asked = named.asked() + other.asked() > 0;
        (asked || child.try_wait().unwrap().is_some()).then_some(())
    })
    .await;
    let _ = child.kill().await;
    (named.asked() > 0, other.asked() > 0)
}

#[tokio::test]
async fn every_command_asks_the_gateway_that_its_flag_names() {
    let lab = lab!();
    let mut known: Vec<&str> = COMMANDS.iter().map(|(command, _)| *command).chain(ELSEWHERE).collect();
    known.sort_unstable();
    assert_eq!(with_the_flag(&lab).await, known, "each has a row");
    lab.file("short.do", "display 1\n");
    for (command, words) in COMMANDS {
        assert_eq!(asks(&lab, command, words, true).await, (true, false), "{command} {words}");
    }
    assert_eq!(asks(&lab, "runs", "", false).await, (false, true), "the control");
}
