//! A gateway and an agent as processes of their own, started from this program.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

/// Both daemons, and a client of the gateway.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    gateway: Child,
    agent: Child,
    /// The agent's command line, to start it again.
    agent_words: Vec<String>,
    program: PathBuf,
    /// More variables of both.
    env: Vec<(String, String)>,
    /// Of the gateway.
    pub url: String,
    /// Carries the token.
    pub http: reqwest::Client,
}

impl Site {
    /// Starts both from `program`, with this program as the engine, and waits until a run can be placed.
    pub async fn start(program: &Path) -> Self {
        Self::with_env(program, &[]).await
    }

    /// The same with more variables of both daemons.
    pub async fn with_env(program: &Path, env: &[(&str, String)]) -> Self {
        let exe = std::env::current_exe().expect("this program");
        Self::with_engine(program, &["stata", "--stata", exe.to_str().expect("a path in UTF-8")], &[], env).await
    }

    /// The same, and clients speak TLS.
    pub async fn with_tls(program: &Path) -> Self {
        let exe = std::env::current_exe().expect("this program");
        let engine = ["stata", "--stata", exe.to_str().expect("a path in UTF-8")];
        Self::with_engine(program, &engine, &["--tls", "auto"], &[]).await
    }

    /// The same with the stand-in.
    pub async fn with_standin(program: &Path) -> Self {
        Self::with_engine(program, &["standin"], &[], &[]).await
    }

    async fn with_engine(program: &Path, engine: &[&str], gateway: &[&str], env: &[(&str, String)]) -> Self {
        let env: Vec<(String, String)> = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let folder = tempfile::tempdir().expect("a temp folder");
        let data = folder.path().join("data");
        let spawn = |args: &[&str]| daemon(program, args, &data, &env);
        let gateway = spawn(&[&["gateway", "--listen", "127.0.0.1:0"], gateway].concat());
        let credentials: Value = until("the gateway's credentials", || {
            serde_json::from_slice(&std::fs::read(data.join("credentials.json")).ok()?).ok()
        })
        .await;
        let url = until("the gateway's address", || {
            let endpoint: Value = serde_json::from_slice(&std::fs::read(data.join("endpoint.json")).ok()?).ok()?;
            endpoint["url"].as_str().map(str::to_owned)
        })
        .await;
        let listen = ["--listen", "127.0.0.1:0", "--name", "bench", "--engine"];
        let mut words = [&["agent", "--gateway", &url, "--seats", "128"], listen.as_slice(), engine].concat();
        // An earlier program has no such option.
        let help = Command::new(program).args(["agent", "--help"]).output().expect("the program's help").stdout;
        if String::from_utf8_lossy(&help).contains("--as-root") {
            words.push("--as-root");
        }
        let agent = spawn(&words);
        let agent_words = words.into_iter().map(str::to_owned).collect();
        let token = format!("Bearer {}", credentials["token"].as_str().unwrap_or_default());
        let headers = [(reqwest::header::AUTHORIZATION, token.parse().expect("a header"))].into_iter().collect();
        let root = std::fs::read(data.join("ca.pem")).ok().filter(|_| url.starts_with("https"));
        let root = root.map(|pem| reqwest::Certificate::from_pem(&pem).expect("a certificate"));
        let builder = reqwest::Client::builder();
        let builder = if root.is_some() { builder.tls_certs_only(root) } else { builder };
        let http =
            builder.default_headers(headers).tcp_nodelay(true).pool_max_idle_per_host(64).build().expect("a client");
        let program = program.to_owned();
        let site = Self { folder, gateway, agent, agent_words, program, env, url, http };
        site.run_to_end("* lines 1 0").await;
        site
    }

    /// Kills the agent and starts it again.
    pub fn restart_agent(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
        let words: Vec<&str> = self.agent_words.iter().map(String::as_str).collect();
        self.agent = daemon(&self.program, &words, &self.folder.path().join("data"), &self.env);
    }

    /// A path in the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The gateway's process id.
    pub fn gateway_pid(&self) -> u32 {
        self.gateway.id()
    }

    /// The agent's process id.
    pub fn agent_pid(&self) -> u32 {
        self.agent.id()
    }

    /// Submits code; returns the run's id.
    pub async fn submit(&self, code: &str) -> String {
        self.submit_with(code, json!({})).await
    }

    /// The same with more members of the request.
    pub async fn submit_with(&self, code: &str, more: Value) -> String {
        let mut body = json!({ "text": format!("{code}\n"), "again": true });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        let answer = self.http.post(format!("{}/api/v1/runs", self.url)).json(&body).send().await.expect("an answer");
        let run: Value = answer.json().await.expect("a run");
        run["run_id"].as_str().unwrap_or_else(|| panic!("no run id in {run}")).to_owned()
    }

    /// The gateway's record of a run.
    pub async fn get(&self, run: &str) -> Value {
        let url = format!("{}/api/v1/runs/{run}", self.url);
        self.http.get(url).send().await.expect("an answer").json().await.expect("a run")
    }

    /// Submits code and waits for the end.
    pub async fn run_to_end(&self, code: &str) -> Value {
        let run = self.submit(code).await;
        for _ in 0..30_000 {
            let view = self.get(&run).await;
            if !view["finished_at"].is_null() {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{code}: no end");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in [&mut self.agent, &mut self.gateway] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn daemon(program: &Path, args: &[&str], data: &Path, env: &[(String, String)]) -> Child {
    Command::new(program)
        .args(args)
        .arg("--data")
        .arg(data)
        .env("LONGHAUL_LOG", "error")
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the daemon starts")
}

/// Asks until there is an answer; 30 s at most.
pub async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..30_000 {
        if let Some(answer) = ask() {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no {what} within 30 s");
}

/// A thousand followers are a thousand connections.
pub fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}
