//! `runs`: a page of the list, and how to get the next.

use jiff::{Timestamp, tz::TimeZone};
use longhaul_proto::api::{RunList, RunView};

use super::simple;
use crate::{
    args::{Runs, RunsAction, Since},
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{Out, RunsTable, When, say, shell_word},
};

/// Largest page that the gateway returns.
const PAGE: usize = 500;

/// What the gateway listed.
struct Listed {
    runs: Vec<RunView>,
    /// There are older ones.
    more: bool,
    now: Option<Timestamp>,
}

/// `runs`.
///
/// # Errors
/// With what to do.
pub(crate) async fn runs(context: &Context, args: &Runs) -> Result<u8, Failure> {
    if let Some(RunsAction::Adopt { run, all_from, ask }) = &args.action {
        return simple::adopt(context, run.as_deref(), all_from.as_deref(), ask).await;
    }
    let filters = filters(args, if context.utc { TimeZone::UTC } else { TimeZone::system() })?;
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = list(&gateway, args, &filters).await;
    gateway.close().await;
    let listed = done?;
    let mut out = Out::default();
    if args.ask.json {
        for run in &listed.runs {
            out.json(run)?;
        }
    } else if listed.runs.is_empty() {
        let all = filters.is_empty() && args.before.is_none();
        out.text(if all { "no runs yet\n" } else { "no runs like that\n" })?;
    } else {
        let now = listed.now.or_else(|| Timestamp::from_millisecond(context.clock.unix_ms()).ok());
        let table = RunsTable { now: now.unwrap_or_default(), when: When::new(context.utc) };
        out.painted(|width, colours| table.text(&listed.runs, width, colours))?;
    }
    if let Some(last) = listed.runs.last().filter(|_| listed.more && !args.ask.json) {
        say(&format!("older ones: {}", next_page(args, &last.run_id.short(), context.utc)));
    }
    Ok(0)
}

fn filters(args: &Runs, zone: TimeZone) -> Result<Vec<(&'static str, String)>, Failure> {
    let states: Vec<_> = args.state.iter().map(|state| state.as_str()).collect();
    let time =
        |when: &Option<Since>| when.as_ref().map(|when| when.value(zone.clone())).transpose().map_err(Failure::usage);
    let (since, until) = (time(&args.since)?, time(&args.until)?);
    let states = (!states.is_empty()).then(|| states.join(","));
    let all = [
        ("state", states),
        ("name", args.name.clone()),
        ("user", args.user.clone()),
        ("host", args.host.clone()),
        ("pool", args.pool.clone()),
        ("since", since),
        ("until", until),
        ("text", args.text.clone()),
    ];
    Ok(all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

async fn list(gateway: &GatewayHandle, args: &Runs, filters: &[(&'static str, String)]) -> Result<Listed, Failure> {
    let mut listed = Listed { runs: vec![], more: true, now: None };
    let mut before = args.before.clone();
    while listed.runs.len() < args.limit {
        let page = (args.limit - listed.runs.len()).min(PAGE);
        let (RunList { runs, next }, now) = gateway.client.list(page, before, filters).await?;
        listed.runs.extend(runs);
        listed.now = now;
        listed.more = next.is_some();
        match next {
            Some(next) => before = Some(next.to_string()),
            None => break,
        }
    }
    Ok(listed)
}

/// The command that lists what follows.
fn next_page(args: &Runs, last: &str, utc: bool) -> String {
    let mut words = vec!["longhaul runs".to_owned()];
    let mut flag = |name: &str, value: Option<&str>| {
        words.extend(value.map(|value| format!("--{name} {}", shell_word(value))));
    };
    let states: Vec<_> = args.state.iter().map(|state| state.as_str()).collect();
    flag("state", (!states.is_empty()).then(|| states.join(",")).as_deref());
    flag("name", args.name.as_deref());
    flag("user", args.user.as_deref());
    flag("host", args.host.as_deref());
    flag("pool", args.pool.as_deref());
    flag("since", args.since.as_ref().map(|since| since.given.as_str()));
    flag("until", args.until.as_ref().map(|until| until.given.as_str()));
    flag("text", args.text.as_deref());
    flag("gateway", args.ask.gateway.as_ref().map(|url| url.0.as_str()));
    flag("limit", Some(args.limit.to_string().as_str()).filter(|limit| *limit != "20"));
    flag("before", Some(last));
    words.join(" ") + if utc { " --utc" } else { "" }
}
