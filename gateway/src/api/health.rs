//! The gateway's own health and numbers.

use std::{fmt::Write, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use longhaul_proto::api::{ClockTrusted, Hosts};

use crate::{
    frontend::Frontend,
    metrics::{BUCKETS, Histogram, Metrics},
    model::{Identity, Scopes},
    problem::Problem,
};

/// How long an answer to probes without a token holds: each look writes to the ledger, and anybody may ask.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// `GET /healthz`: the process answers. It needs no token.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the gateway can accept work. Why it cannot is told to those who show a token.
pub(super) async fn ready(
    State(frontend): State<Frontend>,
    who: Option<Extension<Identity>>,
) -> Result<String, Problem> {
    if who.is_none() {
        return if looked(&frontend).await {
            Ok("ready\n".to_owned())
        } else {
            Err(Problem::unavailable("not ready: its log says why, and so does this path with a token"))
        };
    }
    match ready_or_why(&frontend).await {
        Ok(()) => {
            // It accepts work all the same.
            let certificate = frontend.core.certificates.as_ref().and_then(|all| all.note(now_s(&frontend)));
            let agents = frontend.core.runs.certificate_note();
            let notes = [frontend.core.runs.sweep_paused(), frontend.core.audit.trouble(), certificate, agents];
            let notes: String = notes.into_iter().flatten().map(|why| format!("note: {why}\n")).collect();
            Ok(format!("ready\n{notes}"))
        }
        Err(why) => Err(Problem::unavailable(why)),
    }
}

/// Whether it accepts work and clients can reach it: not while it may do nothing without an audit log that cannot be
/// written.
async fn ready_or_why(frontend: &Frontend) -> Result<(), String> {
    if let Some(why) = frontend.core.certificates.as_ref().and_then(|all| all.expired(now_s(frontend))) {
        return Err(why);
    }
    match frontend.core.audit.trouble().filter(|_| frontend.core.audit.is_required()) {
        Some(why) => Err(why),
        None => frontend.core.runs.ready().await,
    }
}

fn now_s(frontend: &Frontend) -> i64 {
    frontend.core.deps.clock.unix_ms() / 1000
}

/// Whether it is ready, by a look that others may have had a moment ago; those who ask meanwhile wait for that one.
async fn looked(frontend: &Frontend) -> bool {
    let mut last = frontend.looked.lock().await;
    let now = frontend.core.deps.clock.monotonic();
    match *last {
        Some((at, ready)) if now.saturating_sub(at) < LOOK_AGAIN => ready,
        _ => {
            let ready = ready_or_why(frontend).await.is_ok();
            *last = Some((frontend.core.deps.clock.monotonic(), ready));
            ready
        }
    }
}

/// `GET /metrics`: Prometheus' text format.
pub(super) async fn metrics(State(frontend): State<Frontend>, Extension(who): Extension<Identity>) -> Response {
    let everything = Identity::new(who.principal, Scopes::OPERATE);
    let hosts = frontend.core.runs.hosts(&everything).await;
    let text = text(&frontend, &hosts);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn text(frontend: &Frontend, hosts: &Hosts) -> String {
    let mut out = String::new();
    runs(&mut out, &frontend.core.metrics);
    for (name, kind, help, value) in frontend.numbers.read() {
        single(&mut out, name, kind, help, value);
    }
    connections(&mut out, frontend);
    certificates(&mut out, frontend);
    let audit = &frontend.core.audit;
    single(&mut out, "longhaul_audit_lines_total", "counter", "Lines of the audit log written", audit.written());
    single(
        &mut out,
        "longhaul_audit_lost_total",
        "counter",
        "Lines of the audit log that could not be written",
        audit.lost(),
    );
    let failing = u64::from(audit.trouble().is_some());
    single(&mut out, "longhaul_audit_failing", "gauge", "1 while the audit log cannot be written", failing);
    let mut head = |name: &str, help: &str| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    };
    head("longhaul_host_running", "Runs on a host");
    for host in &hosts.hosts {
        let _ = writeln!(
            out,
            "longhaul_host_running{{host={},state={}}} {}",
            label(&host.name),
            label(&host.state),
            host.running
        );
    }
    let _ = writeln!(out, "# HELP longhaul_pool_seats Seats of a licence\n# TYPE longhaul_pool_seats gauge");
    for pool in &hosts.pools {
        let name = label(&pool.name);
        let _ = writeln!(out, "longhaul_pool_seats{{pool={name}}} {}", pool.seats);
    }
    let name = "longhaul_pool_seats_disagree";
    let _ = writeln!(
        out,
        "# HELP {name} 1 while the hosts of a pool were told different numbers of seats\n# TYPE {name} gauge"
    );
    for pool in &hosts.pools {
        let _ = writeln!(out, "{name}{{pool={}}} {}", label(&pool.name), u64::from(pool.note.is_some()));
    }
    let _ = writeln!(out, "# HELP longhaul_pool_seats_in_use Seats held\n# TYPE longhaul_pool_seats_in_use gauge");
    for pool in &hosts.pools {
        let name = label(&pool.name);
        let _ = writeln!(out, "longhaul_pool_seats_in_use{{pool={name}}} {}", pool.in_use);
    }
    out
}

/// `POST /api/v1/clock/trust`: an operator confirms that the gateway's clock is right.
pub(super) async fn trust_clock(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
) -> Result<Json<ClockTrusted>, Problem> {
    Ok(Json(frontend.core.runs.trust_clock(&who)?))
}

fn connections(out: &mut String, frontend: &Frontend) {
    let (open, unproven) = frontend.connections.open();
    let (open, unproven) = (open as u64, unproven as u64);
    single(out, "longhaul_connections", "gauge", "Open connections", open);
    single(out, "longhaul_connections_unproven", "gauge", "Open connections that have shown no token", unproven);
    let accepted = frontend.connections.accepted();
    single(out, "longhaul_connections_accepted_total", "counter", "Connections accepted", accepted);
    single(out, "longhaul_request_body_bytes", "gauge", "Room taken by bodies of requests", frontend.bodies.held());
    let name = "longhaul_connections_refused_total";
    let _ = writeln!(out, "# HELP {name} Connections refused or closed, by reason\n# TYPE {name} counter");
    for (reason, count) in frontend.connections.refused() {
        let _ = writeln!(out, "{name}{{reason=\"{}\"}} {count}", reason.as_str());
    }
}

fn certificates(out: &mut String, frontend: &Frontend) {
    let name = "longhaul_certificate_expiry_timestamp_seconds";
    let _ = writeln!(out, "# HELP {name} When a certificate of the gateway ends, Unix time\n# TYPE {name} gauge");
    let port = frontend.core.certificates.iter().flat_map(|all| all.ends());
    let among_agents = frontend.core.runs.gateway_certificate_end().map(|until_s| ("gateway", until_s));
    for (which, until_s) in port.chain(among_agents) {
        let _ = writeln!(out, "{name}{{certificate=\"{which}\"}} {until_s}");
    }
    let name = "longhaul_agent_certificate_expiry_timestamp_seconds";
    let _ = writeln!(out, "# HELP {name} When the certificate of an agent ends, Unix time\n# TYPE {name} gauge");
    // Names of agents have no characters that would have to be escaped.
    for (agent, until_s) in frontend.core.runs.certificate_ends() {
        let _ = writeln!(out, "{name}{{agent=\"{agent}\"}} {until_s}");
    }
    let issued = frontend.core.metrics.certificates_issued.load(std::sync::atomic::Ordering::Relaxed);
    single(out, "longhaul_agent_certificates_issued_total", "counter", "Certificates issued to agents", issued);
}

fn runs(out: &mut String, metrics: &Metrics) {
    let n = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    let name = "longhaul_runs_ended_total";
    let _ = writeln!(out, "# HELP {name} Runs by how they ended\n# TYPE {name} counter");
    for (state, count) in metrics.ends() {
        let result = state.meaning().map_or("", |m| m.result);
        let _ = writeln!(out, "{name}{{state=\"{state}\",result=\"{result}\"}} {count}");
    }
    let counters = [
        ("longhaul_runs_submitted_total", "counter", "Runs recorded", &metrics.submitted),
        ("longhaul_runs_joined_total", "counter", "Submissions answered with an earlier run", &metrics.joined),
        ("longhaul_runs_refused_total", "counter", "Submissions refused", &metrics.refused),
        ("longhaul_runs_over_limit_total", "counter", "Submissions refused for a limit", &metrics.over_limit),
        ("longhaul_output_kept_bytes", "gauge", "Output kept, at the last sweep", &metrics.kept_bytes),
        (
            "longhaul_runs_removed_for_room_total",
            "counter",
            "Ended runs removed because kept output took too much",
            &metrics.removed_for_room,
        ),
        ("longhaul_runs_queued", "gauge", "Runs waiting", &metrics.queued),
        ("longhaul_seats_held", "gauge", "Seats held", &metrics.seats),
        ("longhaul_agents_up", "gauge", "Agents that are up", &metrics.agents_up),
        ("longhaul_sweeps_total", "counter", "Sweeps of what is old that came to their end", &metrics.sweeps),
        (
            "longhaul_sweep_paused",
            "gauge",
            "1 while nothing is removed by its age, since the clock is in doubt",
            &metrics.sweep_paused,
        ),
        ("longhaul_hosts_draining", "gauge", "Hosts on which nothing new starts", &metrics.hosts_draining),
        ("longhaul_mirror_bytes_total", "counter", "Bytes appended to mirrors", &metrics.mirror_bytes),
        ("longhaul_mirror_refetched_total", "counter", "Mirrors fetched again", &metrics.mirror_refetched),
        ("longhaul_attempts_returned_total", "counter", "Attempts proved not to have started", &metrics.returned),
        (
            "longhaul_run_tasks_panicked_total",
            "counter",
            "Tasks of runs that panicked or left their run; each run was taken up again",
            &metrics.tasks_panicked,
        ),
        (
            "longhaul_attempts_retried_total",
            "counter",
            "Attempts that died and were followed by another",
            &metrics.retried,
        ),
    ];
    for (name, kind, help, counter) in counters {
        single(out, name, kind, help, n(counter));
    }
    histogram(out, "longhaul_dispatch_seconds", "From record to the agent's answer", &metrics.dispatch);
    histogram(out, "longhaul_queue_seconds", "From the begin of a wait to the grant of its seat", &metrics.queue_wait);
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

fn histogram(out: &mut String, name: &str, help: &str, histogram: &Histogram) {
    let (counts, sum) = histogram.read();
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
    let mut total = 0;
    for (at, count) in counts.iter().enumerate() {
        total += count;
        let bound = BUCKETS.get(at).map_or("+Inf".to_owned(), f64::to_string);
        let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {total}");
}

/// A label's value, quoted as the format asks.
fn label(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted() {
        assert_eq!(label("a\"b\\c\n"), r#""a\"b\\c\n""#);
    }

    #[test]
    fn buckets_add_up() {
        let h = Histogram::default();
        h.record(std::time::Duration::from_millis(3));
        h.record(std::time::Duration::from_secs(100));
        let mut out = String::new();
        histogram(&mut out, "x", "y", &h);
        assert!(out.contains("x_bucket{le=\"0.0025\"} 0\n"), "{out}");
        assert!(out.contains("x_bucket{le=\"0.005\"} 1\n"), "{out}");
        assert!(out.contains("x_bucket{le=\"+Inf\"} 2\nx_sum 100.003\nx_count 2\n"), "{out}");
    }
}
