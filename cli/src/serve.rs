//! Turns settings into the parts that serve: a gateway, an agent, their listeners.

pub(crate) mod joining;
mod notify;
pub(crate) mod numbers;

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use longhaul_agent::{Choice, MinFree, Serve};
use longhaul_gateway::options::{proxies::Network, quotas::QuotaRules, timeouts::PoolTimeouts};
use longhaul_proto::{egress::Egress, private, words};
use tokio::net::TcpListener;

use crate::{
    access,
    config::{self, AuditMode, Engine, Settings, Tls},
    context::{Context, Failure},
    run_limits,
};

/// Where a gateway listens by default.
pub(crate) const GATEWAY: &str = "127.0.0.1:7447";
/// Where an agent listens by default.
pub(crate) const AGENT: &str = "127.0.0.1:7448";
/// A port of the system's choice, for servers that only this process uses.
pub(crate) const ANY: &str = "127.0.0.1:0";

/// Smallest file of the audit log, bytes: its first line and one with the settings.
const MIN_AUDIT_FILE: u64 = 1 << 10;

/// Opens a listener.
///
/// # Errors
/// With what to do; the process that has the address is left alone.
pub(crate) async fn listen(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::system(format!(
            "{address} is in use by another process: is a daemon of yours already there (`longhaul doctor` says)? \
             Stop that one, or choose another address with --listen"
        )),
        io::ErrorKind::PermissionDenied => {
            Failure::system(format!("this user may not listen on {address}: choose a port above 1023 with --listen"))
        }
        io::ErrorKind::AddrNotAvailable => Failure::system(format!(
            "{address} is not an address of this machine: use 0.0.0.0 for all of its own, or 127.0.0.1 for itself only"
        )),
        io::ErrorKind::InvalidInput => {
            Failure::usage(format!("`{address}` is no address to listen on: give host:port, such as {GATEWAY}"))
        }
        _ => Failure::system(format!("cannot listen on {address}: {error}")),
    })
}

/// What must stay free where an agent keeps its runs.
pub(crate) fn min_free(settings: &Settings) -> MinFree {
    let default = MinFree::default();
    MinFree {
        bytes: settings.min_free.map_or(default.bytes, |b| b.0),
        percent: settings.min_free_percent.map_or(default.percent, |p| u8::try_from(p).unwrap_or(100).min(100)),
    }
}

/// The options of a gateway.
///
/// # Errors
/// When the file with the join secret cannot be read.
pub(crate) fn gateway_options(context: &Context) -> Result<longhaul_gateway::Options, Failure> {
    let s = &context.config.settings;
    let mut o = longhaul_gateway::Options { data: context.data.path().to_owned(), ..Default::default() };
    o.advertise = s.advertise.as_ref().map(|u| u.0.clone());
    o.no_auth = s.no_auth.unwrap_or(false);
    o.socket = access::socket_of(context);
    o.tls = tls(s)?;
    o.insecure_network = s.insecure_network.unwrap_or(false);
    put(&mut o.certificate_lifetime, s.certificate_lifetime.map(|t| t.0));
    if o.certificate_lifetime < Duration::from_secs(1) {
        return Err(Failure::usage("certificate_lifetime must be 1 s or more"));
    }
    put(&mut o.agent_certificate_lifetime, s.agent_certificate_lifetime.map(|t| t.0));
    if o.agent_certificate_lifetime < Duration::from_secs(3) {
        return Err(Failure::usage("agent_certificate_lifetime must be 3 s or more"));
    }
    o.join_secret = configured_secret(s)?;
    o.approve_agents = s.approve_agents.unwrap_or(false);
    o.restored = s.restored.unwrap_or(false);
    o.pools = s.pools.clone().unwrap_or_default();
    o.egress_pools = egress_pools(context)?;
    o.quotas = quotas(s)?;
    o.pool_timeouts = pool_timeouts(s)?;
    put(&mut o.heartbeat, s.heartbeat.map(|t| t.0));
    put(&mut o.silent_after, s.silent_after.map(|t| t.0));
    put(&mut o.lost_after, s.lost_after.map(|t| t.0));
    put(&mut o.dial_timeout, s.dial_timeout.map(|t| t.0));
    put(&mut o.max_queued, s.max_queued);
    put(&mut o.max_per_principal, s.max_per_principal);
    put(&mut o.duplicate_window, s.duplicate_window.map(|t| t.0));
    put(&mut o.max_output, s.max_output.map(|b| b.0));
    put(&mut o.log_encoding, s.log_encoding);
    put(&mut o.keep_records, s.keep_records.map(|t| t.0));
    put(&mut o.max_kept, s.max_kept.map(|b| b.0));
    put(&mut o.max_bundle, s.max_bundle.map(|b| b.0));
    put(&mut o.max_artifacts, s.max_artifacts.map(|b| b.0));
    put(&mut o.max_blobs, s.max_blobs.map(|n| n as u64));
    put(&mut o.max_blob_bytes, s.max_blob_bytes.map(|b| b.0));
    o.min_free = min_free(s);
    put(&mut o.keep_uploads, s.keep_uploads.map(|t| t.0));
    put(&mut o.keep_spool, s.keep_spool.map(|t| t.0));
    o.notify = notify::options(s)?;
    o.audit.settings = config::told(s);
    o.audit.required = s.audit == Some(AuditMode::Required);
    put(&mut o.audit.max_file, s.audit_file.map(|b| b.0.max(MIN_AUDIT_FILE)));
    put(&mut o.audit.max_kept, s.audit_keep.map(|b| b.0));
    put(&mut o.frontend.heartbeat, s.progress_every.map(|t| t.0));
    put(&mut o.frontend.handle_after, s.handle_after.map(|t| t.0));
    put(&mut o.frontend.no_end_after, s.no_end_after.map(|t| t.0));
    put(&mut o.frontend.confirm_within, s.confirm_within.map(|t| t.0));
    put(&mut o.frontend.max_connections, s.max_connections);
    put(&mut o.frontend.reserved_files, s.reserved_files);
    put(&mut o.frontend.connections_per_address, s.connections_per_address);
    put(&mut o.frontend.connections_per_principal, s.connections_per_principal);
    put(&mut o.frontend.streams_per_principal, s.streams_per_principal);
    put(&mut o.frontend.calls_per_principal, s.calls_per_principal);
    put(&mut o.frontend.sessions_per_principal, s.sessions_per_principal);
    put(&mut o.frontend.head_timeout, s.head_timeout.map(|t| t.0));
    put(&mut o.frontend.body_timeout, s.body_timeout.map(|t| t.0));
    put(&mut o.frontend.max_body_bytes, s.max_body_bytes.map(|b| b.0));
    o.frontend.trusted_proxies = proxies(s.trusted_proxies.as_deref().unwrap_or_default())?;
    o.frontend.allowed_hosts = s.allowed_hosts.clone().unwrap_or_default();
    o.frontend.allowed_origins = s.allowed_origins.clone().unwrap_or_default();
    // Short enough for the shortest of the limits and silences that are checked at each tick.
    o.tick = o.tick.min(o.silent_after / 4).max(Duration::from_millis(20));
    Ok(o)
}

/// The rules of pools, each with the place where it was set.
fn egress_pools(context: &Context) -> Result<BTreeMap<String, Egress>, Failure> {
    let set_in = set_in(context, "egress_pools");
    let rules = context.config.settings.egress_pools.iter().flatten();
    let read = |(pool, text): (&String, &String)| {
        let rule: Egress = text.parse().map_err(|e| Failure::usage(format!("`egress_pools`, pool {pool}: {e}")))?;
        Ok((pool.clone(), Egress { set_in: set_in.clone(), ..rule }))
    };
    rules.map(read).collect()
}

/// How much principals and groups may use.
fn quotas(s: &Settings) -> Result<QuotaRules, Failure> {
    let none = BTreeMap::new();
    let (quotas, groups) = (s.quotas.as_ref().unwrap_or(&none), s.groups.as_ref().unwrap_or(&none));
    QuotaRules::read(quotas, groups).map_err(Failure::usage)
}

/// Limits on running, by pool.
fn pool_timeouts(s: &Settings) -> Result<PoolTimeouts, Failure> {
    let read = |(pool, text): (&String, &String)| {
        let limits = text.parse().map_err(|e| Failure::usage(format!("`pool_timeouts`, pool {pool}: {e}")))?;
        Ok((pool.clone(), limits))
    };
    s.pool_timeouts.iter().flatten().map(read).collect()
}

/// Where a setting was made, for those whom it refuses something.
fn set_in(context: &Context, key: &str) -> String {
    let origin = context.config.origin(key).map(ToString::to_string).unwrap_or_default();
    format!("`{key}` ({origin})")
}

/// What clients are answered with that speak TLS.
fn tls(s: &Settings) -> Result<longhaul_gateway::options::Tls, Failure> {
    use longhaul_gateway::options;
    match (&s.tls_cert, &s.tls_key, s.tls) {
        (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => Err(Failure::usage(
            "`tls` and `tls_cert` are both set: name a certificate of your own, or say `auto` or `off`",
        )),
        (Some(certificate), Some(key), None) => {
            Ok(options::Tls::Files { certificate: certificate.clone(), key: key.clone() })
        }
        (Some(_), None, None) => {
            Err(Failure::usage("`tls_cert` needs the certificate's private key: set `tls_key` too"))
        }
        (None, Some(_), None) => Err(Failure::usage("`tls_key` is the key of a certificate: set `tls_cert` too")),
        (None, None, Some(Tls::Auto)) => Ok(options::Tls::BuiltIn),
        (None, None, Some(Tls::Off)) => Ok(options::Tls::Off),
        (None, None, None) => Ok(options::Tls::ByAddress),
    }
}

fn proxies(texts: &[String]) -> Result<Vec<Network>, Failure> {
    let read = |text: &String| text.parse().map_err(|e| Failure::usage(format!("`trusted_proxies`: {e}")));
    texts.iter().map(read).collect()
}

/// The folders from which do-files are run exist.
///
/// # Errors
/// Names the one that does not, and the right form of a list.
pub(crate) fn check_roots(context: &Context) -> Result<(), Failure> {
    let s = &context.config.settings;
    if let Some(missing) = s.roots.iter().flatten().find(|root| !root.is_dir()) {
        let from = context.config.origin("roots").map(ToString::to_string).unwrap_or_default();
        return Err(Failure::usage(format!(
            "there is no folder {} on this host (from {from}), so no do-file could run from it: make it, or name others with \
             --root DIR, several times, or LONGHAUL_ROOTS=/a:/b, or roots = [\"/a\", \"/b\"]",
            missing.display()
        )));
    }
    Ok(())
}

/// The options of an agent.
///
/// # Errors
/// When there is no way to join, or a gateway's address is invalid.
pub(crate) fn agent_options(context: &Context, gateway: &str) -> Result<longhaul_agent::Options, Failure> {
    let s = &context.config.settings;
    let join = joining::of(context)?;
    let mut o = longhaul_agent::Options::new(context.data.path().to_owned(), join.secret);
    (o.join, o.sockets) = (join.token, join.sockets);
    let uri = gateway.parse().map_err(|_| Failure::usage(format!("`{gateway}` is not the address of a gateway")))?;
    o.gateway = Some(uri);
    o.engine = match s.engine {
        None => Choice::Auto,
        Some(Engine::Stata) => Choice::Stata,
        Some(Engine::Standin) => Choice::Standin,
    };
    o.stata = s.stata.clone();
    put(&mut o.ado_path, s.ado_path.clone());
    put(&mut o.label.name, s.name.clone());
    o.label.labels = s.labels.clone().unwrap_or_default();
    o.label.pool = s.licence.clone().unwrap_or_else(|| o.label.name.clone());
    put(&mut o.label.pool_seats, s.seats);
    o.label.host_limit = s.host_limit.unwrap_or(o.label.pool_seats);
    check_roots(context)?;
    put(&mut o.label.roots, s.roots.clone());
    if s.seats == Some(0) {
        return Err(Failure::usage(
            "seats must be 1 or more: a host that is to run nothing is drained (`longhaul drain HOST`), or has no agent",
        ));
    }
    if s.serve.iter().flatten().any(|name| name.trim().is_empty()) {
        return Err(Failure::usage("serve has an empty name: give the names of principals, as in --serve ana,bob"));
    }
    o.label.serve = match (&s.serve, s.serve_all) {
        (Some(names), Some(true)) if !names.is_empty() => {
            return Err(Failure::usage(
                "serve and serve_all are both set: name the principals, or take everybody's runs",
            ));
        }
        (_, Some(true)) => Serve::All,
        (Some(names), _) if !names.is_empty() => Serve::Only(names.clone()),
        _ => Serve::Unset,
    };
    if let Some(rule) = &s.egress {
        o.label.egress = Egress { set_in: set_in(context, "egress"), ..rule.clone() };
    }
    put(&mut o.label.confirm, s.confirm.clone());
    o.path_map = s.path_map.iter().flatten().map(|(from, to)| (from.clone(), Path::new(to).to_path_buf())).collect();
    put(&mut o.start_timeout, s.start_timeout.map(|t| t.0));
    put(&mut o.results, s.results);
    if s.max_cores == Some(0) {
        return Err(Failure::usage(
            "max_cores must be 1 or more; without it a run may use as many as the licence allows",
        ));
    }
    o.max_cores = s.max_cores;
    put(&mut o.data_digests, s.data_digests);
    put(&mut o.gathering, s.gather_timeout.map(|t| t.0));
    put(&mut o.head_timeout, s.head_timeout.map(|t| t.0));
    put(&mut o.max_connections, s.max_connections);
    o.as_root = s.as_root.unwrap_or(false);
    o.count_foreign = s.count_foreign.unwrap_or(false);
    put(&mut o.output_limit, s.max_output.map(|b| b.0));
    put(&mut o.log_encoding, s.log_encoding);
    put(&mut o.max_spool, s.max_spool.map(|b| b.0));
    put(&mut o.max_run_spool, s.max_run_spool.map(|b| b.0));
    o.limits = run_limits::of(s)?;
    o.min_free = min_free(s);
    o.env_allow = s.env_allow.clone().unwrap_or_default();
    Ok(o)
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

pub(super) fn configured_secret(s: &Settings) -> Result<Option<String>, Failure> {
    if let Some(secret) = &s.join_secret {
        return Ok(Some(secret.0.clone()));
    }
    let Some(path) = &s.join_secret_file else { return Ok(None) };
    let cannot = |e: &dyn std::error::Error| {
        Failure::usage(format!("cannot use the join secret in {}: {}", path.display(), words::chain(e)))
    };
    private::check_secret(path).map_err(|e| cannot(&e))?;
    let text = std::fs::read_to_string(path).map_err(|e| cannot(&e))?;
    Ok(Some(text.trim().to_owned()))
}

/// What the parts of a gateway share.
pub(crate) fn gateway_deps(context: &Context) -> longhaul_gateway::Deps {
    longhaul_gateway::Deps {
        clock: context.clock.clone(),
        ids: context.ids.clone(),
        tasks: longhaul_proto::tasks::Tasks::new(),
    }
}

/// What the parts of an agent share.
pub(crate) fn agent_deps(context: &Context) -> longhaul_agent::Deps {
    longhaul_agent::Deps { clock: context.clock.clone(), ids: context.ids.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named_and_left_alone() {
        let held = TcpListener::bind(ANY).await.unwrap();
        let address = held.local_addr().unwrap().to_string();
        let error = listen(&address).await.unwrap_err();
        assert!(error.message.contains(&address) && error.message.contains("--listen"), "{error}");
        assert_eq!(error.status, crate::exit::SYSTEM);
        assert!(listen("nonsense").await.is_err());
        assert!(tokio::net::TcpStream::connect(&address).await.is_ok(), "the holder still listens");
    }
}
