//! `doctor`: what was found, tried and is missing, each with what to do.
//!
//! It changes nothing: it starts no daemon and makes no file, but for `--probe` ([`super::probe`]). Exit status 0 when a do-file can be run from here, 4 when
//! something prevents that.

mod agents_gateway;
mod certificate;
mod report;
mod role;

use longhaul_agent::{draw, stata::find};
use longhaul_proto::{api::HostView, clock::rfc3339, licence::WARN_DAYS, telemetry, transport::https::Distrust};

use super::probe;
use crate::{
    access::{self, Access},
    args::Doctor,
    client::{Client, ClientError},
    config::{Engine, variable},
    context::{Context, Failure},
    exit,
    output::{self, Out, When},
    serve,
};
use report::{Finding, Report, SettingView, note, ok, problem};

/// `doctor`.
///
/// # Errors
/// When stdout fails.
pub(crate) async fn doctor(context: &Context, args: &Doctor) -> Result<u8, Failure> {
    if args.probe {
        return probe::probe(context, args.ask.json).await;
    }
    let mut findings = vec![ok("program", program())];
    findings.push(configuration(context));
    let places = places(context);
    let (stata, stata_tried) = stata(context, &places);
    if role::is_client(context) {
        // Runs are elsewhere: of this machine only what was found is of interest.
        findings.extend(stata.into_iter().filter(|finding| finding.state == "ok"));
    } else {
        findings.extend(if role::is_gateway_alone(context) { role::not_needed(stata) } else { stata });
        findings.push(pdf_graphs(context));
        findings.extend(data(context));
    }
    findings.extend(gateway(context).await);
    findings.push(traces(context).await);
    let now = rfc3339(context.clock.unix_ms()).unwrap_or_default();
    findings.push(ok("time", When::new(context.utc).whole(&now)));
    let settings = settings(context);
    let status = if findings.iter().any(|f| f.state == "problem") { exit::SYSTEM } else { 0 };
    let stata_looked = looked(context, &places);
    let report = Report { version: env!("CARGO_PKG_VERSION"), findings, stata_tried, stata_looked, settings };
    let mut out = Out::default();
    if args.ask.json {
        out.json(&report)?;
    } else {
        out.painted(|_, colours| report.text(colours))?;
    }
    Ok(status)
}

fn program() -> String {
    let at = std::env::current_exe().map(|p| p.display().to_string()).unwrap_or_else(|e| e.to_string());
    format!("longhaul {} for {} at {at}", env!("CARGO_PKG_VERSION"), std::env::consts::OS)
}

fn configuration(context: &Context) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let Some(file) = &context.config.file else {
        return ok("configuration", "no file; defaults, variables and flags");
    };
    let holds_secret = crate::config::Settings::SECRETS
        .iter()
        .any(|key| matches!(context.config.origin(key), Some(crate::config::Origin::File(_))));
    let open = std::fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o077 != 0);
    let path = file.display().to_string();
    if holds_secret && open {
        return problem(
            "configuration",
            format!("{path} holds a secret and others can read it"),
            format!("chmod 600 {path}"),
        );
    }
    ok("configuration", path)
}

fn places(context: &Context) -> find::SearchPlaces {
    let stata = context.config.settings.stata.clone();
    find::SearchPlaces::from_env(stata, |name| context.env.get(name).map(Into::into))
}

/// Where was looked, in words; of the setting with where it was made.
fn looked(context: &Context, places: &find::SearchPlaces) -> Vec<String> {
    match (&places.explicit, context.config.origin("stata")) {
        (Some(path), Some(origin)) => vec![format!("{} (`stata` from {origin})", path.display())],
        _ => places.in_words(),
    }
}

fn stata(context: &Context, places: &find::SearchPlaces) -> (Vec<Finding>, Vec<find::Candidate>) {
    let settings = &context.config.settings;
    let mut tried = find::find(places);
    // The search knows one setting; where it was made is known here.
    if let Some(origin) = context.config.origin("stata") {
        let named = tried.iter_mut().filter(|candidate| candidate.why == find::EXPLICIT);
        named.for_each(|candidate| candidate.why = format!("`stata` from {origin}"));
    }
    let mut findings = vec![];
    match tried.iter().find(|c| c.usable()) {
        Some(best) => {
            let edition = best.edition.map(|e| format!("{e:?} ").to_uppercase()).unwrap_or_default();
            findings.push(ok("Stata", format!("{edition}{} (by {})", best.path.display(), best.why)));
        }
        None if settings.engine == Some(Engine::Standin) => {
            findings.push(note(
                "Stata",
                "none found; the stand-in is chosen",
                "every result says that it is not Stata's",
            ));
        }
        None => findings.push(problem(
            "Stata",
            match tried.is_empty() {
                true => format!("nothing that looks like it in: {}", looked(context, places).join("; ")),
                false => format!("none that can be started; looked in: {}", looked(context, places).join("; ")),
            },
            "on a Stata host, name the program: `longhaul up --stata PATH`, or `stata` in the configuration \
             (LONGHAUL_STATA); here, use a gateway elsewhere (LONGHAUL_GATEWAY), or try Longhaul with `longhaul run \
             --engine standin`, which estimates by `regress` alone",
        )),
    }
    for candidate in tried.iter().filter(|c| !c.usable()) {
        let what = format!("tried {}", candidate.path.display());
        let why = candidate.problem.clone().unwrap_or_default();
        findings.push(note(&what, why, format!("it was tried because of {}", candidate.why)));
    }
    (findings, tried)
}

/// Whether graphs that were saved as PDF alone can be shown.
fn pdf_graphs(context: &Context) -> Finding {
    match draw::pdftoppm(context.env.get("PATH").unwrap_or_default()) {
        Some(program) => ok("graphs as PDF", format!("drawn by {}", program.display())),
        None => note("graphs as PDF", format!("not shown as images: no {} on the path", draw::DRAWER), draw::ADVICE),
    }
}

fn data(context: &Context) -> Vec<Finding> {
    let folder = context.data.path();
    let shown = folder.display().to_string();
    let mut findings = vec![];
    let existing = folder.ancestors().find(|p| p.exists());
    match std::fs::metadata(folder) {
        Ok(meta) if meta.is_dir() && !writable(folder) => {
            let found = format!("{shown} cannot be written to by this user");
            findings.push(problem("data folder", found, format!("chmod u+rwx {shown}, or give another with --data")));
        }
        Ok(meta) if meta.is_dir() => findings.push(own_folder(&meta, &shown)),
        Ok(_) => findings.push(problem("data folder", format!("{shown} is not a folder"), "give another with --data")),
        Err(_) => {
            let made = existing.filter(|above| above.is_dir() && writable(above));
            let found = format!("{shown} does not exist yet");
            findings.push(match made {
                Some(_) => note("data folder", found, "the first run or daemon makes it"),
                None => {
                    let above = existing.map(|above| above.display().to_string()).unwrap_or_default();
                    let found = format!("{found}, and this user cannot make it in {above}");
                    problem("data folder", found, "give one that you can write to with --data")
                }
            });
        }
    }
    if let Some(space) = existing.and_then(|p| longhaul_agent::free_space(p).ok()) {
        let need = serve::min_free(&context.config.settings).needed(space);
        let found = format!("{} of {}", output::bytes(space.free), output::bytes(space.total));
        findings.push(if space.free < need {
            let advice =
                format!("runs here need {}: make room, or lower min_free and min_free_percent", output::bytes(need));
            problem("free space", found, advice)
        } else {
            ok("free space", found)
        });
    }
    let holder = |locked: std::io::Result<bool>, what: &str, who: String| match locked {
        Ok(true) => ok(what, format!("held by a daemon{who}")),
        Ok(false) => ok(what, "free"),
        Err(error) => problem(what, error.to_string(), "is the folder yours? Give one of yours with --data"),
    };
    let who = context.data.endpoint().map(|e| format!(": process {}, {}", e.pid, e.url)).unwrap_or_default();
    findings.push(holder(context.data.gateway_serves(), "gateway's lock", who));
    findings.push(holder(context.data.agent_works(), "agent's lock", String::new()));
    findings.extend(certificate::of_agent(context.data.path(), context.clock.unix_ms() / 1000));
    findings
}

/// Whether files can be made in a folder.
pub(super) fn writable(folder: &std::path::Path) -> bool {
    use rustix::fs::Access;
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn own_folder(meta: &std::fs::Metadata, shown: &str) -> Finding {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if meta.uid() != rustix::process::getuid().as_raw() {
        return problem("data folder", format!("{shown} belongs to another user"), "give one of yours with --data");
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return problem("data folder", format!("{shown} can be entered by others"), format!("chmod 700 {shown}"));
    }
    ok("data folder", shown)
}

async fn gateway(context: &Context) -> Vec<Finding> {
    let named = context.config.settings.gateway.as_ref().map(|u| u.0.clone());
    let served = context.data.gateway_serves().unwrap_or(false);
    let url = match named.or_else(|| context.data.endpoint().filter(|_| served).map(|e| e.url)) {
        Some(url) => url,
        None if context.data.agents_gateway().is_some() => return vec![agents_gateway::finding(context).await],
        None => {
            let advice = "`longhaul run` starts one inside itself; `longhaul up` starts one that stays";
            return vec![note("gateway", "none named, and none holds the data folder", advice)];
        }
    };
    let access = match access::of(context, &url) {
        Ok(access) => access,
        Err(error) => return vec![problem("token", error.message, "check token_file and gateway_ca")],
    };
    let (has_token, by_socket) = (access.token.is_some(), access.socket.is_some());
    // What clients of other machines are told; this one may have come by the socket.
    let told = context.data.credentials().map(|known| known.url);
    let told = told.filter(|told| by_socket && told.starts_with("https:")).unwrap_or_else(|| url.clone());
    let others = access::of(context, &told).unwrap_or_else(|_| access.clone());
    let root = others.root.clone();
    let by_port = Client::new(&told, Access { socket: None, ..others });
    let (client, port) = match Client::new(&url, access).and_then(|client| Ok((client, by_port?))) {
        Ok(both) => both,
        Err(error) => return vec![problem("gateway", error.to_string(), "this is a fault of the program")],
    };
    let mut elsewhere = None;
    let shown = match port.certificate().await {
        Ok(shown) => shown,
        // It is this user's own: the system's roots need not know who issued its certificate.
        Err(ClientError::Untrusted { why: Distrust::Issuer, .. }) if by_socket => {
            elsewhere = Some(note(
                "certificate",
                "issued by an authority that the roots of this machine do not have",
                "clients elsewhere need that root: `gateway_ca` in their configuration, or SSL_CERT_FILE",
            ));
            None
        }
        // Its name may mean nothing here, where a proxy stands before it.
        Err(error) if by_socket && told != url && error.is_unreachable() => {
            elsewhere = Some(note("certificate", format!("{told} does not answer from here"), error.to_string()));
            None
        }
        Err(error) => {
            let distrusted = matches!(error, ClientError::Untrusted { .. } | ClientError::OtherRoot { .. });
            let what = if distrusted { "not trusted" } else { "no answer" };
            return vec![problem("gateway", format!("{told}: {what}"), error.to_string())];
        }
    };
    let mut findings = vec![ok("gateway", format!("{url} answers"))];
    findings.extend(elsewhere);
    findings.extend(certificate::findings(shown.as_deref(), root.as_ref(), context.clock.unix_ms() / 1000));
    match client.hosts().await {
        Ok(hosts) => {
            findings.push(ok("token", if has_token { "accepted" } else { "none needed" }));
            let up = hosts.hosts.iter().filter(|h| h.state == "up").count();
            let found = format!("{} known, {up} of them take runs", hosts.hosts.len());
            findings.push(if up > 0 {
                ok("agents", found)
            } else {
                problem(
                    "agents",
                    found,
                    "`longhaul hosts` says why; `longhaul agents invite NAME` prints the command that joins one",
                )
            });
            findings.extend(hosts.hosts.iter().filter_map(licence));
            findings.extend(hosts.hosts.iter().filter_map(limits));
        }
        Err(error) => findings.push(problem("token", "not accepted", error.to_string())),
    }
    findings
}

/// What a host's Stata printed of its licence.
fn licence(host: &HostView) -> Option<Finding> {
    let terms = host.licence_terms.as_ref()?;
    let what = format!("licence of {}", host.name);
    let advice = "renew it, then run stinit in Stata's folder";
    Some(match terms.days_left {
        Some(left @ ..=-1) => problem(&what, format!("{} ({} days ago)", terms.words, -left), advice),
        Some(left) if left <= WARN_DAYS => note(&what, format!("{} (in {left} days)", terms.words), advice),
        _ => ok(&what, terms.words.clone()),
    })
}

/// What each run may use on a host, and what keeps it to that.
fn limits(host: &HostView) -> Option<Finding> {
    let limits = host.limits.as_ref()?;
    let what = format!("limits of runs on {}", host.name);
    Some(match limits.advice() {
        Some(advice) => note(&what, limits.words(), advice),
        None => ok(&what, limits.words()),
    })
}

async fn traces(context: &Context) -> Finding {
    let Some(endpoint) = telemetry::endpoint(context.config.settings.otlp_endpoint.as_deref()) else {
        return ok("traces", "sent nowhere; set OTEL_EXPORTER_OTLP_ENDPOINT to collect them");
    };
    let uri: Option<http::Uri> = endpoint.parse().ok();
    let address = uri.as_ref().and_then(|u| {
        let port = u.port_u16().unwrap_or(if u.scheme_str() == Some("https") { 443 } else { 80 });
        Some((u.host()?.trim_matches(['[', ']']).to_owned(), port))
    });
    let Some(address) = address else {
        return problem("traces", format!("{endpoint} is not a URL"), "give one such as http://localhost:4317");
    };
    let limit = std::time::Duration::from_secs(3);
    match tokio::time::timeout(limit, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => ok("traces", format!("{endpoint} answers")),
        Ok(Err(error)) => {
            problem("traces", format!("{endpoint}: {error}"), "start the collector, or unset the endpoint")
        }
        Err(_) => problem("traces", format!("{endpoint}: no answer"), "start the collector, or unset the endpoint"),
    }
}

fn settings(context: &Context) -> Vec<SettingView> {
    let all = context.config.settings.show();
    all.into_iter()
        .map(|(name, meaning, value)| SettingView {
            name,
            variable: variable(name),
            value,
            origin: context.config.origin(name).map(ToString::to_string),
            meaning,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env, Settings};

    fn context(env: &[(&str, &str)], settings: Settings) -> Context {
        let env = Env::from_pairs(env.iter().copied());
        Context::new(Config::load(None, settings, &env).unwrap(), env).unwrap()
    }

    #[tokio::test]
    async fn everything_missing_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let data_folder = folder.path().join("data");
        let env = [("HOME", folder.path().to_str().unwrap()), ("LONGHAUL_GATEWAY", "http://127.0.0.1:1")];
        let missing = folder.path().join("stata-mp");
        let given = Settings { data: Some(data_folder.clone()), stata: Some(missing.clone()), ..Settings::default() };
        let context = context(&env, given);
        let (findings, tried) = stata(&context, &places(&context));
        assert_eq!(tried.len(), 1);
        assert_eq!(findings[0].state, "problem");
        assert!(findings[0].advice.as_deref().is_some_and(|a| a.contains("--engine standin")), "{findings:?}");
        let reached = gateway(&context).await;
        assert!(reached[0].state == "problem" && reached[0].found.contains("127.0.0.1:1"), "{reached:?}");
        assert!(data(&context).iter().any(|f| f.found.contains("does not exist yet")));
        let from = settings(&context).into_iter().find(|s| s.name == "gateway").unwrap();
        assert_eq!(from.origin.as_deref(), Some("variable LONGHAUL_GATEWAY"));
        assert!(!data_folder.exists(), "looking changes nothing");
    }

    #[test]
    fn an_open_folder_is_a_problem() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let check = |mode, state| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(own_folder(&std::fs::metadata(folder.path()).unwrap(), "/d").state, state, "{mode:o}");
        };
        check(0o755, "problem");
        check(0o700, "ok");
    }
}
