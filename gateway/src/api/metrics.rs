//! `GET /metrics`: Prometheus' text format.
//!
//! What handlers and others hold is shown from here, as it is at that moment; what the scheduler, the ledger and the disk
//! know is asked for first.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use longhaul_proto::{
    api::{HostView, QuotaKind, QuotaList},
    free_space::free_space,
    tasks::blocking,
    telemetry::{Declared, Observer, push_every},
};

use super::quotas::with_streams;
use crate::{
    frontend::{Frontend, Look, QuotaNumbers, Shown},
    metrics::declared,
    model::{Identity, Scopes},
};

/// What has to be asked for is asked for as often as metrics are sent by OTLP, and no more often than this.
const ASK_AT_MOST: Duration = Duration::from_secs(1);

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// The files of the ledger, in the gateway's folder.
const LEDGER: [&str; 2] = ["ledger.sqlite", "ledger.sqlite-wal"];

/// `GET /metrics`.
pub(super) async fn get(State(frontend): State<Frontend>) -> Response {
    look(&frontend).await;
    let text = frontend.core.metrics.meters.text();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Asks again and again, for metrics that are sent.
pub(crate) async fn keep_looking(frontend: Frontend) {
    loop {
        look(&frontend).await;
        tokio::time::sleep(push_every().max(ASK_AT_MOST)).await;
    }
}

/// Asks for what has to be asked for.
async fn look(frontend: &Frontend) {
    let everything = Identity::local("metrics", Scopes::OPERATE);
    let hosts = frontend.core.runs.hosts(&everything).await;
    let quotas = match frontend.core.runs.named_quotas().await {
        Ok(list) => quotas(with_streams(frontend, list)),
        Err(error) => {
            tracing::warn!(%error, "the numbers of quotas are left out");
            Vec::new()
        }
    };
    let folder = frontend.core.options.data.clone();
    let files = blocking(move || (disk(&folder), ledger_size(&folder))).await;
    let (disk, ledger) = files.unwrap_or_default();
    frontend.shown.set(Look { hosts: hosts.hosts, pools: hosts.pools, quotas, disk, ledger });
}

fn disk(folder: &Path) -> Option<(u64, u64)> {
    free_space(folder).ok().map(|space| (space.free, space.total))
}

fn ledger_size(folder: &Path) -> Option<u64> {
    let size = |name| std::fs::metadata(folder.join("gateway").join(name)).ok().map(|file| file.len());
    LEDGER.iter().filter_map(size).reduce(|sum, size| sum + size)
}

/// Those of principals and groups that the settings name; so many series there are at most.
fn quotas(list: QuotaList) -> Vec<QuotaNumbers> {
    let mut numbers = Vec::new();
    for quota in list.quotas {
        let of = if quota.group { format!("group {}", quota.name) } else { quota.name };
        for limit in quota.limits.into_iter().filter(|limit| limit.limit.is_some()) {
            let (pool, kind) = (limit.pool.unwrap_or_default(), limit.kind.as_str());
            numbers.push(QuotaNumbers { of: of.clone(), kind, pool, limit: limit.limit, used: limit.used });
        }
    }
    numbers
}

/// Shows what is held outside of [`crate::metrics`]; once for each gateway. Nothing of it is kept from going away.
pub(crate) fn show(frontend: &Frontend) {
    show_looked(frontend);
    show_frontend(frontend);
    let meters = &frontend.core.metrics.meters;
    let runs = Arc::downgrade(&frontend.core.runs.0);
    meters.observe(&declared::UNFINISHED, move |told| {
        let Some(inner) = runs.upgrade() else { return };
        for (state, count) in inner.unfinished_by_state() {
            told(count as f64, &[("state", state.as_str())]);
        }
    });
    let runs = Arc::downgrade(&frontend.core.runs.0);
    meters.observe(&declared::OLDEST, move |told| {
        let Some(inner) = runs.upgrade() else { return };
        told(inner.oldest_wait().as_secs_f64(), &[]);
    });
}

/// One number of each host.
fn hosts(told: &mut Observer<'_>, look: &Look, value: impl Fn(&HostView) -> f64) {
    look.hosts.iter().for_each(|host| told(value(host), &[("host", &host.name)]));
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Whether a host is heard and can be dialled.
fn is_up(host: &HostView) -> bool {
    !matches!(host.state.as_str(), "silent" | "unreachable")
}

fn show_looked(frontend: &Frontend) {
    let meters = &frontend.core.metrics.meters;
    let add = |declared: &'static Declared, show: fn(&mut Observer<'_>, &Look)| {
        let shown: std::sync::Weak<Shown> = Arc::downgrade(&frontend.shown);
        meters.observe(declared, move |told| {
            if let Some(shown) = shown.upgrade() {
                show(told, &shown.now());
            }
        });
    };
    add(&declared::HOST_UP, |told, look| hosts(told, look, |host| flag(is_up(host))));
    add(&declared::HOST_READY, |told, look| hosts(told, look, |host| flag(host.state == "up")));
    add(&declared::HOST_SEEN, |told, look| hosts(told, look, |host| host.last_seen));
    add(&declared::HOST_SEATS, |told, look| hosts(told, look, |host| f64::from(host.host_limit)));
    add(&declared::HOST_USED, |told, look| hosts(told, look, |host| f64::from(host.running)));
    add(&declared::HOST_FREE, |told, look| hosts(told, look, |host| host.free_bytes as f64));
    add(&declared::POOL_SEATS, |told, look| {
        look.pools.iter().for_each(|pool| told(f64::from(pool.seats), &[("pool", &pool.name)]));
    });
    add(&declared::POOL_USED, |told, look| {
        look.pools.iter().for_each(|pool| told(f64::from(pool.in_use), &[("pool", &pool.name)]));
    });
    add(&declared::POOL_DISAGREE, |told, look| {
        look.pools.iter().for_each(|pool| told(flag(pool.note.is_some()), &[("pool", &pool.name)]));
    });
    add(&declared::LICENCE, |told, look| {
        let mut first: BTreeMap<&str, i64> = BTreeMap::new();
        for host in &look.hosts {
            if let Some(days) = host.licence_terms.as_ref().and_then(|terms| terms.days_left) {
                first.entry(&host.pool).and_modify(|least| *least = days.min(*least)).or_insert(days);
            }
        }
        first.into_iter().for_each(|(pool, days)| told(days as f64 * DAY, &[("pool", pool)]));
    });
    add(&declared::QUOTA_LIMIT, |told, look| {
        for quota in &look.quotas {
            if let Some(limit) = quota.limit {
                told(limit as f64, &[("of", &quota.of), ("kind", quota.kind), ("pool", &quota.pool)]);
            }
        }
    });
    add(&declared::QUOTA_USED, |told, look| {
        for quota in &look.quotas {
            told(quota.used as f64, &[("of", &quota.of), ("kind", quota.kind), ("pool", &quota.pool)]);
        }
    });
    add(&declared::DISK_FREE, |told, look| look.disk.iter().for_each(|(free, _)| told(*free as f64, &[])));
    add(&declared::DISK_SIZE, |told, look| look.disk.iter().for_each(|(_, size)| told(*size as f64, &[])));
    add(&declared::LEDGER_SIZE, |told, look| look.ledger.iter().for_each(|bytes| told(*bytes as f64, &[])));
}

fn show_frontend(frontend: &Frontend) {
    let meters = &frontend.core.metrics.meters;
    let connections = frontend.connections.clone();
    meters.observe(&declared::CONNECTIONS, move |told| told(connections.open().0 as f64, &[]));
    let connections = frontend.connections.clone();
    meters.observe(&declared::UNPROVEN, move |told| told(connections.open().1 as f64, &[]));
    let connections = frontend.connections.clone();
    meters.observe(&declared::ACCEPTED, move |told| told(connections.accepted() as f64, &[]));
    let connections = frontend.connections.clone();
    meters.observe(&declared::TURNED_AWAY, move |told| {
        for (reason, count) in connections.refused() {
            told(count as f64, &[("reason", reason.as_str())]);
        }
    });
    let bodies = frontend.bodies.clone();
    meters.observe(&declared::BODIES, move |told| told(bodies.held() as f64, &[]));
    let (counters, quotas) = (Arc::downgrade(&frontend.core.metrics), frontend.quotas.clone());
    meters.observe(&declared::QUOTA_REFUSED, move |told| {
        let Some(metrics) = counters.upgrade() else { return };
        for (kind, count) in metrics.over_quota() {
            let count = count + if kind == QuotaKind::Streams { quotas.refused_streams() } else { 0 };
            told(count as f64, &[("kind", kind.as_str())]);
        }
    });
    let port = frontend.core.certificates.clone();
    let runs = Arc::downgrade(&frontend.core.runs.0);
    meters.observe(&declared::CERTIFICATE, move |told| {
        let port = port.iter().flat_map(|all| all.ends());
        port.for_each(|(which, until_s)| told(until_s as f64, &[("certificate", which)]));
        let own = runs.upgrade().and_then(|inner| inner.fleet.own_certificate_end());
        own.into_iter().for_each(|until_s| told(until_s as f64, &[("certificate", "gateway")]));
    });
    let runs = Arc::downgrade(&frontend.core.runs.0);
    meters.observe(&declared::AGENT_CERTIFICATE, move |told| {
        let ends = runs.upgrade().map(|inner| inner.fleet.certificate_ends()).unwrap_or_default();
        ends.iter().for_each(|(agent, until_s)| told(*until_s as f64, &[("agent", agent)]));
    });
    let audit = frontend.core.audit.clone();
    meters.observe(&declared::AUDITED, move |told| told(audit.written() as f64, &[]));
    let audit = frontend.core.audit.clone();
    meters.observe(&declared::AUDIT_LOST, move |told| told(audit.lost() as f64, &[]));
    let audit = frontend.core.audit.clone();
    meters.observe(&declared::AUDIT_FAILING, move |told| told(flag(audit.trouble().is_some()), &[]));
}
