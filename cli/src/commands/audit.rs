//! `audit`: shows the audit log, and checks it.
//!
//! On the gateway's own machine its files are read, so that neither a gateway nor a token is needed; elsewhere a gateway is
//! asked, which answers operators.

use jiff::{Timestamp, tz::TimeZone};
use longhaul_gateway::audit::{self, Filter, Kind, verify};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::{Audit, AuditAction},
    client::escape,
    context::{Context, Failure},
    exit,
    gateway_handle::{GatewayHandle, Need},
    output::{Out, When, say},
};

const PATH: &str = "/api/v1/audit";

/// `audit`.
///
/// # Errors
/// With what to do.
pub(crate) async fn audit(context: &Context, args: &Audit) -> Result<u8, Failure> {
    if let Some(AuditAction::Verify { json }) = &args.action {
        return verified(context, *json);
    }
    if let Some(event) = args.event.as_deref().filter(|event| !Kind::ALL.iter().any(|kind| kind.as_str() == *event)) {
        let all: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(Failure::usage(format!("there is no event `{event}`: there are {}", all.join(", "))));
    }
    let zone = if context.utc { TimeZone::UTC } else { TimeZone::system() };
    let since = args.since.as_ref().map(|since| since.value(zone)).transpose().map_err(Failure::usage)?;
    let here = context.config.settings.gateway.is_none() && context.data.path().join(audit::FOLDER).is_dir();
    let lines = if here { of_files(context, args, since)? } else { of_gateway(context, args, since).await? };
    let (mut out, when) = (Out::default(), When::new(context.utc));
    for line in &lines {
        if args.ask.json { out.json(line)? } else { out.text(&format!("{}\n", words(line, &when)))? }
    }
    if lines.is_empty() && !args.ask.json {
        say("no such lines");
    }
    Ok(0)
}

fn of_files(context: &Context, args: &Audit, since: Option<String>) -> Result<Vec<Value>, Failure> {
    // A time, or seconds before now; the lines have milliseconds.
    let since_ms = since.and_then(|since| match since.parse::<f64>() {
        Ok(seconds) => Some(context.clock.unix_ms().saturating_sub((seconds * 1000.0) as i64)),
        Err(_) => since.parse::<Timestamp>().ok().map(|at| at.as_millisecond()),
    });
    let since = since_ms.and_then(longhaul_proto::clock::rfc3339);
    let filter = Filter {
        since,
        principal: args.principal.clone(),
        run: args.run.clone(),
        event: args.event.clone(),
        limit: args.limit.unwrap_or(0),
    };
    audit::read(context.data.path(), &filter).map_err(|error| unreadable(context, &error))
}

async fn of_gateway(context: &Context, args: &Audit, since: Option<String>) -> Result<Vec<Value>, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let limit = args.limit.map(|limit| limit.to_string());
    let asked = [
        ("since", since),
        ("principal", args.principal.clone()),
        ("run", args.run.clone()),
        ("event", args.event.clone()),
        ("limit", limit),
    ];
    let asked: Vec<String> =
        asked.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", escape(&value?)))).collect();
    let answer = gateway.client.call(Method::GET, &format!("{PATH}?{}", asked.join("&")), None).await;
    gateway.close().await;
    Ok(answer?.as_array().cloned().unwrap_or_default())
}

fn verified(context: &Context, as_json: bool) -> Result<u8, Failure> {
    let report = verify::verify(context.data.path()).map_err(|error| unreadable(context, &error))?;
    let mut out = Out::default();
    let (folder, when) = (context.data.path().join(audit::FOLDER), When::new(context.utc));
    if as_json {
        out.json(&json!({
            "folder": folder, "files": report.files, "lines": report.lines, "first_at": report.first_at,
            "last_at": report.last_at, "whole": report.wrong.is_none(), "wrong": report.wrong,
        }))?;
    } else if let Some(wrong) = &report.wrong {
        out.text(&format!("{}: {wrong}\n", folder.display()))?;
    } else if report.lines == 0 {
        // Who checks it every night must learn that it looks in the wrong place.
        return Err(Failure::system(format!(
            "there is no audit log in {}: name the gateway's data folder with --data, on its machine",
            folder.display()
        )));
    } else {
        let span = format!("from {} to {}", when.whole(&report.first_at), when.whole(&report.last_at));
        let files = if report.files == 1 { "file" } else { "files" };
        out.text(&format!(
            "{}: whole: {} lines in {} {files}, {span}\n",
            folder.display(),
            report.lines,
            report.files
        ))?;
    }
    Ok(if report.wrong.is_none() { 0 } else { exit::SYSTEM })
}

fn unreadable(context: &Context, error: &std::io::Error) -> Failure {
    let folder = context.data.path().join(audit::FOLDER);
    Failure::system(format!("cannot read the audit log in {}: {error}; its gateway's user can", folder.display()))
}

/// `2026-11-28 11:15:00  submit   by ana (token ci)  from 127.0.0.1  run 7f3a9c21  source=text`.
fn words(line: &Value, when: &When) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    let run = text("run");
    let run = run.get(run.len().saturating_sub(8)..).filter(|run| !run.is_empty()).map(|run| format!("run {run}"));
    let address = Some(text("address")).filter(|address| !address.is_empty()).map(|address| format!("from {address}"));
    let token = Some(text("token")).filter(|token| !token.is_empty()).map(|token| format!(" (token {token})"));
    let principal = Some(text("principal")).filter(|name| !name.is_empty());
    let principal = principal.map(|name| format!("by {name}{}", token.unwrap_or_default()));
    let details = line["detail"].as_object().into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    let head = format!("{}  {:<14}", when.whole(text("at")), text("event"));
    let parts = [principal, address, run].into_iter().flatten().chain(details);
    std::iter::once(head).chain(parts).collect::<Vec<_>>().join("  ")
}
