//! A real Prometheus scrapes a gateway and an agent, takes the rules, and answers every expression of the dashboards.

use std::{fs, path::Path};

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{
    daemon::{Daemon, Spec},
    lab,
    lab::{Gateway, Lab},
    need, wait,
};
use serde_json::Value;

use super::{expressions, filled, named, port, repository};

/// A Prometheus of this lab.
pub(super) struct Prometheus {
    _process: Daemon,
    url: String,
}

impl Prometheus {
    /// Starts one with this configuration and the repository's rules.
    pub(super) async fn start(lab: &Lab, tools: &Path, config: &str) -> Self {
        let folder = lab.path().join("prometheus");
        fs::create_dir_all(&folder).unwrap();
        let place = folder.join("prometheus.yml");
        fs::write(&place, config).unwrap();
        let listen = format!("127.0.0.1:{}", port());
        let args = [
            format!("--config.file={}", place.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={listen}"),
        ];
        let process = spawn(lab, "prometheus", &tools.join("prometheus"), &args);
        let prometheus = Self { _process: process, url: format!("http://{listen}") };
        wait::until(wait::SOON, "Prometheus is ready", async || {
            reqwest::get(format!("{}/-/ready", prometheus.url)).await.ok()?.error_for_status().ok().map(drop)
        })
        .await;
        prometheus
    }

    /// What it answers to a path with these parameters.
    pub(super) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{path}", self.url)).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    /// How many series an expression has now.
    pub(super) async fn series(&self, expression: &str) -> usize {
        let answer = self.ask("query", &[("query", expression)]).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().unwrap().len()
    }
}

/// Starts a tool that stays.
pub(super) fn spawn(lab: &Lab, name: &str, program: &Path, args: &[String]) -> Daemon {
    let spec = Spec {
        program: program.to_owned(),
        args: args.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), std::env::var_os("PATH").unwrap_or_default())],
        log: lab.path().join("logs").join(format!("{name}.log")),
        cgroup: None,
    };
    Daemon::start(name, lab.path(), spec)
}

/// The scrapes of a gateway by its token and of an agent without, several times a second.
pub(super) fn config(lab: &Lab, gateway: &longhaul_tests::api::Api, agent: u16) -> String {
    let token = lab.path().join("prometheus-token");
    fs::write(&token, gateway.token()).unwrap();
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: [{}]\n\
         scrape_configs:\n\
         - job_name: longhaul-gateway\n  authorization: {{credentials_file: {}}}\n  static_configs: [{{targets: [\"{}\"]}}]\n\
         - job_name: longhaul-agent\n  static_configs: [{{targets: [\"127.0.0.1:{agent}\"]}}]\n",
        repository("deploy/prometheus/longhaul.rules.yml").display(),
        token.display(),
        gateway.address(),
    )
}

/// What no scrape of this lab has: no licence ends here, and no quota is named.
const NOT_HERE: [&str; 3] = ["longhaul_licence_remaining_seconds", "longhaul_quota_limit", "longhaul_quota_used"];

/// A lab with one run that ended, and a Prometheus that has scraped it.
async fn scraped(lab: &Lab, tools: &Path) -> (Gateway, Daemon, Prometheus) {
    let gateway = lab.gateway().await;
    let port = port();
    let agent = lab.agent("stata1", &gateway, &["--metrics-listen", &format!("127.0.0.1:{port}")]);
    gateway.api.wait_host("stata1", "up").await;
    let request = SubmitRequest { text: Some("display 1".to_owned()), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    let prometheus = Prometheus::start(lab, tools, &config(lab, &gateway.api, port)).await;
    wait::until(wait::SOON, "both are scraped", async || (prometheus.series("up == 1").await == 2).then_some(())).await;
    (gateway, agent, prometheus)
}

/// The names in the dashboards that are in no scrape, with the panel; each expression is asked for too.
async fn unknown(prometheus: &Prometheus) -> Vec<String> {
    let mut unknown = Vec::new();
    for (place, expression) in expressions() {
        prometheus.series(&filled(&expression)).await;
        for name in named(&expression).into_iter().filter(|name| !NOT_HERE.contains(&name.as_str())) {
            // A scrape that comes too late on a busy machine ends its series for a moment.
            let parts = format!("last_over_time({{__name__=~\"{name}(_count|_bucket|_sum)?\"}}[10m])");
            if prometheus.series(&parts).await == 0 {
                unknown.push(format!("{place}: {name}"));
            }
        }
    }
    unknown
}

/// The control: of a gateway and an agent that record nothing, every panel is empty.
#[tokio::test]
async fn panels_without_numbers_are_noticed() {
    let Some(tools) = need::prometheus() else { return };
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=metrics_unrecorded");
    let (_gateway, _agent, prometheus) = scraped(&lab, &tools).await;
    let names = expressions().iter().flat_map(|(_, expression)| named(expression)).collect::<Vec<_>>();
    let here = names.iter().filter(|name| !NOT_HERE.contains(&name.as_str())).count();
    assert_eq!(unknown(&prometheus).await.len(), here);
}

#[tokio::test]
async fn a_real_prometheus_scrapes_both_and_knows_all_that_dashboards_and_rules_name() {
    let Some(tools) = need::prometheus() else { return };
    let lab = lab!();
    let (_gateway, _agent, prometheus) = scraped(&lab, &tools).await;
    assert_eq!(unknown(&prometheus).await, [""; 0], "what the dashboards name is in no scrape");
    let rules = prometheus.ask("rules", &[]).await;
    let groups = rules["data"]["groups"].as_array().unwrap();
    let all: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(all.len() > 20, "{rules}");
    wait::until(wait::SOON, "the rules are evaluated", async || {
        (prometheus.series("longhaul:pool_seats_free == 1").await == 1).then_some(())
    })
    .await;
    for rule in all {
        let query = rule["query"].as_str().unwrap();
        assert_eq!(prometheus.ask("query", &[("query", query)]).await["status"], "success", "{query}");
        assert!(rule["lastError"].as_str().unwrap_or_default().is_empty(), "{rule}");
    }
    assert!(prometheus.series("count by (instance) (ALERTS{alertstate=\"firing\"})").await == 0, "all is well here");
}
