//! A configuration file with every setting, its meaning and its default.

use longhaul_agent::MinFree;

use super::{
    AuditMode, Engine, Settings, SmtpTls,
    values::{Bytes, Horizon, Time},
};

const HEAD: &str = "\
# Configuration of Longhaul, in TOML: ~/.config/longhaul/config.toml, /etc/longhaul/config.toml, or --config FILE.
# Every setting is here and is commented out. What stands behind `=` is the default; where it says \"for example\" there is
# none, or it depends on the machine. Times are 90, \"90s\", \"15min\" or \"1h 30min\", sizes \"512 MiB\" or \"8 GiB\".
# LONGHAUL_<KEY> and --<key> are the same settings, and stronger; `longhaul doctor` says which are set and by what.
";

/// The file.
pub(crate) fn template() -> String {
    let mut text = HEAD.to_owned();
    for (key, meaning, default) in defaults().show() {
        let line = match (default.as_deref(), example(key)) {
            (Some(value), _) => format!("# {key} = {}", toml_value(value)),
            (None, Some(example)) => format!("# {key} = {example}    # for example"),
            (None, None) => format!("# {key} = \"\""),
        };
        text.push_str(&format!("\n# {meaning}\n{line}\n"));
    }
    text
}

/// Numbers and switches as they are, everything else as text: sizes as people write them.
fn toml_value(shown: &str) -> String {
    let shown = &shown.replace(".0 ", " ");
    if shown.parse::<i64>().is_ok() || shown.parse::<bool>().is_ok() {
        shown.to_owned()
    } else {
        toml::Value::String(shown.clone()).to_string()
    }
}

/// What holds where nothing is set, as far as it does not depend on the machine.
fn defaults() -> Settings {
    let g = longhaul_gateway::Options::default();
    let f = g.frontend;
    let time = |duration| Some(Time(duration));
    let bytes = |bytes| Some(Bytes(bytes));
    let min_free = MinFree::default();
    Settings {
        no_auth: Some(false),
        trace_details: Some(false),
        otlp_logs: Some(false),
        insecure_network: Some(false),
        certificate_lifetime: time(g.certificate_lifetime),
        agent_certificate_lifetime: time(g.agent_certificate_lifetime),
        approve_agents: Some(false),
        engine: Some(Engine::Stata),
        seats: Some(1),
        count_foreign: Some(false),
        serve_all: Some(false),
        egress: Some(Default::default()),
        confirm: Some(Default::default()),
        start_timeout: time(std::time::Duration::from_secs(120)),
        results: Some(true),
        data_digests: Some(true),
        gather_timeout: time(std::time::Duration::from_secs(30)),
        min_free: bytes(min_free.bytes),
        min_free_percent: Some(u32::from(min_free.percent)),
        max_output: bytes(g.max_output),
        log_encoding: Some(g.log_encoding),
        max_spool: bytes(100 << 30),
        max_run_spool: bytes(8 << 30),
        max_run_memory: bytes(0),
        max_run_processes: Some(0),
        max_run_cpu: time(std::time::Duration::ZERO),
        max_run_time: time(std::time::Duration::ZERO),
        restored: Some(false),
        heartbeat: time(g.heartbeat),
        silent_after: time(g.silent_after),
        lost_after: Some(Horizon(g.lost_after)),
        dial_timeout: time(g.dial_timeout),
        max_queued: Some(g.max_queued),
        max_per_principal: Some(g.max_per_principal),
        duplicate_window: time(g.duplicate_window),
        keep_records: time(g.keep_records),
        max_kept: bytes(g.max_kept),
        max_bundle: bytes(g.max_bundle),
        max_artifacts: bytes(g.max_artifacts),
        max_blobs: usize::try_from(g.max_blobs).ok(),
        max_blob_bytes: bytes(g.max_blob_bytes),
        keep_uploads: time(g.keep_uploads),
        keep_spool: time(g.keep_spool),
        max_connections: Some(f.max_connections),
        reserved_files: Some(f.reserved_files),
        connections_per_address: Some(f.connections_per_address),
        connections_per_principal: Some(f.connections_per_principal),
        streams_per_principal: Some(f.streams_per_principal),
        calls_per_principal: Some(f.calls_per_principal),
        sessions_per_principal: Some(f.sessions_per_principal),
        head_timeout: time(f.head_timeout),
        body_timeout: time(f.body_timeout),
        max_body_bytes: bytes(f.max_body_bytes),
        notify_retry: time(g.notify.retry.0),
        notify_retry_longest: time(g.notify.retry.1),
        notify_give_up: time(g.notify.give_up),
        notify_timeout: time(g.notify.timeout),
        smtp_tls: Some(SmtpTls::Starttls),
        audit: Some(AuditMode::On),
        audit_file: bytes(g.audit.max_file),
        audit_keep: bytes(g.audit.max_kept),
        as_root: Some(false),
        handle_after: time(f.handle_after),
        no_end_after: time(f.no_end_after),
        confirm_within: time(f.confirm_within),
        progress_every: time(f.heartbeat),
        stop_timeout: time(std::time::Duration::from_secs(10)),
        ..Settings::default()
    }
}

/// All settings with their values, for the audit log: `max_queued = 10000 (default)`. Secrets are not shown.
pub(crate) fn told(settings: &Settings) -> Vec<String> {
    let mut told = Vec::new();
    for ((key, _, set), (.., default)) in settings.show().into_iter().zip(defaults().show()) {
        match (set, default) {
            (Some(_), _) if Settings::SECRETS.contains(&key) => told.push(format!("{key} = (set, not shown)")),
            (Some(value), _) => told.push(format!("{key} = {value}")),
            (None, Some(value)) => told.push(format!("{key} = {value} (default)")),
            (None, None) => {}
        }
    }
    told
}

/// How a setting is written that has no default, or one that depends on the machine.
fn example(key: &str) -> Option<&'static str> {
    Some(match key {
        "data" => r#""/var/lib/longhaul""#,
        "gateway" | "advertise" => r#""https://gateway.lab:7447""#,
        "gateway_ca" => r#""/etc/longhaul/ca.pem""#,
        "tls" => r#""auto""#,
        "tls_cert" => r#""/etc/letsencrypt/live/gateway.lab/fullchain.pem""#,
        "tls_key" => r#""/etc/letsencrypt/live/gateway.lab/privkey.pem""#,
        "token" => r#""lh_...""#,
        "token_file" => r#""/home/ana/.config/longhaul/token""#,
        "otlp_endpoint" => r#""http://localhost:4317""#,
        "trace_url" => r#""https://grafana.lab/trace/{trace_id}""#,
        "listen" => r#""127.0.0.1:7447""#,
        "metrics_listen" => r#""127.0.0.1:9447""#,
        "join" => r#""lhj_...""#,
        "join_secret" => r#""sixteen characters or more""#,
        "join_secret_file" => r#""/etc/longhaul/join-secret""#,
        "stata" => r#""/usr/local/stata18/stata-mp""#,
        "ado_path" => r#"["/srv/stata/ado"]"#,
        "name" => r#""stata1""#,
        "labels" => r#"{ edition = "mp", rack = "r1" }"#,
        "licence" => r#""lab""#,
        "host_limit" => "2",
        "max_cores" => "4",
        "serve" => r#"["ana", "ben"]"#,
        "egress_pools" => r#"{ lab = "output", "*" = "verdict" }"#,
        "roots" => r#"["/home", "/srv/data"]"#,
        "path_map" => r#"{ 'C:\Users\ana' = "/home/ana" }"#,
        "env_allow" => r#"["R_HOME"]"#,
        "pools" => "{ lab = 4 }",
        "quotas" => {
            r#"{ "*" = "seats=2 queued=100", ana = "seats=4 priority=high", "@econ" = "running=6 kept=200GiB" }"#
        }
        "groups" => r#"{ econ = "ana, ben" }"#,
        "pool_timeouts" => r#"{ lab = "default=2h max=1d" }"#,
        "allowed_hosts" => r#"["longhaul.lab"]"#,
        "allowed_origins" => r#"["https://notebook.lab"]"#,
        "notify_allow" => r#"["hooks.lab.org", "http://10.0.0.7:8080"]"#,
        "notify_ca" => r#""/etc/longhaul/ca.pem""#,
        "smtp_relay" => r#""relay.lab.org:587""#,
        "smtp_user" => r#""longhaul""#,
        "smtp_password_file" => r#""/etc/longhaul/smtp-password""#,
        "mail_from" => r#""longhaul@lab.org""#,
        "mail_domains" => r#"["lab.org"]"#,
        "trusted_proxies" => r#"["10.0.0.7"]"#,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env};

    #[test]
    fn the_template_is_read_commented_out_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Config::load(Some(&path), Settings::default(), &Env::from_pairs([])).unwrap()
        };
        let text = template();
        assert!(load(&text).origins.is_empty());
        let setting = |line: &&str| Settings::KEYS.iter().any(|key| line.starts_with(&format!("# {key} = ")));
        let open: Vec<&str> = text.lines().filter(setting).map(|line| line.trim_start_matches("# ")).collect();
        let config = load(&open.join("\n"));
        let missing: Vec<_> = Settings::KEYS.iter().filter(|key| config.origin(key).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let shown =
            |of: &Settings| of.show().into_iter().filter_map(|(key, _, value)| Some((key, value?))).collect::<Vec<_>>();
        let read = shown(&config.settings);
        for default in shown(&defaults()) {
            assert!(read.contains(&default), "{default:?}");
        }
    }
}
