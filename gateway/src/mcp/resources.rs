//! Runs, their logs and the hosts as resources: what the tools tell, for clients that attach things to a prompt.
//!
//! ```text
//! longhaul://hosts            JSON, as GET /api/v1/hosts
//! longhaul://runs             JSON, the newest runs in a few fields each
//! longhaul://runs/{id}        JSON, one run; full id or its last 8 characters
//! longhaul://runs/{id}/log    text, the end of the user's part of the log
//! ```
//!
//! A principal reads its own runs, an operator everybody's, as with the tools; so answers are marked as private for
//! caches. Everything is bounded: a client may put the whole of it into a prompt. The HTTP API has the rest.

use std::sync::Arc;

use longhaul_proto::{clock::rfc3339, ids::RunId};
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CacheScope, ListResourceTemplatesResult, ListResourcesResult, ReadResourceResult, Resource, ResourceContents,
        ResourceTemplate,
    },
    service::RequestContext,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{call::Caller, fence, guarded, result, words};
use crate::{
    frontend::{Frontend, part::Part, run_view::run_view},
    model::{RunSnapshot, Stream},
    runs::{FindError, ListFilter, ReadError},
};

const HOSTS: &str = "longhaul://hosts";
const RUNS: &str = "longhaul://runs";

/// Runs of the document of runs.
const NEWEST: u32 = 20;

/// Runs listed as resources, two entries each: a client may put the list into a prompt. Older ones are found by the templates.
const LISTED: u32 = 10;

/// Most of a log, bytes: below the 100 kB up to which Claude Code shows a text whole.
const LOG: usize = 64 * 1024;

/// Most of a list inside a JSON document, and longest text in it, characters.
const ITEMS: usize = 100;
const TEXT: usize = 2_000;

/// The same where one document holds many runs.
const TEXT_OF_MANY: usize = 300;

const JSON: &str = "application/json";
const PLAIN: &str = "text/plain";

/// `resources/list`: the lists themselves, then the newest runs with their logs.
pub(super) async fn list(
    frontend: &Frontend,
    context: &RequestContext<RoleServer>,
) -> Result<ListResourcesResult, ErrorData> {
    let listed = async {
        let caller = caller(frontend, context)?;
        // No end counts as seen by this: clients ask for the list by themselves when they start, and show it to nobody.
        let page = newest(&caller, LISTED).await?;
        if longhaul_proto::faults::bug("resource_lists_show") {
            page.iter().for_each(|view| caller.shows(view));
        }
        let mut all = vec![
            Resource::new(RUNS, "runs").with_title("Newest Stata runs").with_mime_type(JSON),
            Resource::new(HOSTS, "hosts").with_title("Stata hosts, licences and queue").with_mime_type(JSON),
        ];
        let now = caller.now_ms();
        for view in &page {
            let (short, part) = (view.run.short(), Part::user(view));
            let uri = format!("{RUNS}/{}", view.run);
            let run = Resource::new(&uri, format!("run {short}")).with_title(words::head(view, now));
            let log = Resource::new(format!("{uri}/log"), format!("log {short}"))
                .with_size(part.count(0, part.end()).min(LOG as u64));
            all.push(run.with_mime_type(JSON));
            all.push(log.with_mime_type(PLAIN));
        }
        page.iter().for_each(|view| caller.told.of(view));
        let bytes = serde_json::to_vec(&all).map_or(0, |bytes| bytes.len());
        caller.told.document("resources/list", RUNS, bytes).await;
        let mut listed = ListResourcesResult::with_all_items(all);
        (listed.ttl_ms, listed.cache_scope) = (Some(0), Some(CacheScope::Private));
        Ok(listed)
    };
    guarded::caught(frontend, "resources/list", listed).await
}

/// `resources/templates/list`.
pub(super) fn templates() -> ListResourceTemplatesResult {
    let run = ResourceTemplate::new(format!("{RUNS}/{{id}}"), "run")
        .with_title("A Stata run")
        .with_description(
            "State, verdict and place of the failure of one run, by its id or the last 8 characters of it",
        )
        .with_mime_type(JSON);
    let log = ResourceTemplate::new(format!("{RUNS}/{{id}}/log"), "log")
        .with_title("Log of a Stata run")
        .with_description("The end of a run's log, live or finished, at most 64 KiB")
        .with_mime_type(PLAIN);
    ListResourceTemplatesResult::with_all_items(vec![run, log])
}

/// `resources/read`.
pub(super) async fn read(
    frontend: &Frontend,
    uri: &str,
    context: &RequestContext<RoleServer>,
) -> Result<ReadResourceResult, ErrorData> {
    let read = async {
        let caller = caller(frontend, context)?;
        let (text, mime) = match Wanted::of(uri) {
            None => return Err(nothing(uri)),
            Some(Wanted::Hosts) => (document(&frontend.core.runs.hosts(&caller.who).await, ITEMS, TEXT)?, JSON),
            Some(Wanted::Runs) => {
                let page = newest(&caller, NEWEST).await?;
                page.iter().for_each(|view| caller.shows(view));
                let runs: Vec<_> = page.iter().map(|run| brief(run)).collect();
                (document(&json!({ "runs": runs }), ITEMS, TEXT_OF_MANY)?, JSON)
            }
            Some(Wanted::Run(name)) => (document(&run_view(&*found(&caller, name, uri).await?), ITEMS, TEXT)?, JSON),
            Some(Wanted::Log(name)) => (log(&caller, &*found(&caller, name, uri).await?).await?, PLAIN),
        };
        caller.told.document("resources/read", uri, text.len()).await;
        let contents = ResourceContents::text(text, uri).with_mime_type(mime);
        Ok(ReadResourceResult::new(vec![contents]).with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    };
    guarded::caught(frontend, "resources/read", read).await
}

/// What a URI names.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Hosts,
    Runs,
    Run(&'a str),
    Log(&'a str),
}

impl<'a> Wanted<'a> {
    fn of(uri: &'a str) -> Option<Self> {
        match uri {
            HOSTS => return Some(Self::Hosts),
            RUNS => return Some(Self::Runs),
            _ => {}
        }
        let rest = uri.strip_prefix(RUNS)?.strip_prefix('/')?;
        let (name, wanted): (_, fn(&'a str) -> Self) = match rest.strip_suffix("/log") {
            Some(name) => (name, Self::Log),
            None => (rest, Self::Run),
        };
        (!name.is_empty() && !name.contains('/')).then(|| wanted(name))
    }
}

fn caller(frontend: &Frontend, context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
    Caller::of(frontend, context).map_err(|text| ErrorData::internal_error(text, None))
}

/// Whether a URI is that of a template with an `id`.
pub(super) fn is_template(uri: &str) -> bool {
    uri.strip_prefix(RUNS).is_some_and(|rest| matches!(rest, "/{id}" | "/{id}/log"))
}

/// What tells a run from the others; its own document has the rest.
fn brief(run: &RunSnapshot) -> Value {
    const FIELDS: [&str; 12] = [
        "run_id",
        "state",
        "cause",
        "rc",
        "message",
        "source",
        "name",
        "args",
        "host",
        "created_at",
        "finished_at",
        "waiting",
    ];
    let mut all = serde_json::to_value(run_view(run)).unwrap_or_default();
    if let Some(fields) = all.as_object_mut() {
        fields.retain(|name, _| FIELDS.contains(&name.as_str()));
    }
    all
}

async fn newest(caller: &Caller, limit: u32) -> Result<Vec<Arc<RunSnapshot>>, ErrorData> {
    let filter = ListFilter { limit, ..ListFilter::default() };
    let page = caller.runs(filter).await;
    page.map(|page| page.runs).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

async fn found(caller: &Caller, name: &str, uri: &str) -> Result<Arc<RunSnapshot>, ErrorData> {
    let runs = &caller.frontend.core.runs;
    let told = |error: FindError| match error {
        FindError::Unknown(_) => nothing(uri),
        FindError::Ambiguous(_) => ErrorData::invalid_params(error.to_string(), None),
        FindError::Ledger(_) => ErrorData::internal_error(error.to_string(), None),
    };
    let run: RunId = runs.find(&caller.who, name).await.map_err(told)?;
    caller.run(run).await.inspect(|view| caller.shows(view)).map_err(told)
}

fn nothing(uri: &str) -> ErrorData {
    let text = format!(
        "no resource `{}`: there are {HOSTS}, {RUNS}, {RUNS}/{{id}} and {RUNS}/{{id}}/log; stata_runs lists your runs",
        words::cut(&words::plain(uri), 200)
    );
    ErrorData::resource_not_found(text, Some(json!({ "uri": uri })))
}

/// The end of the log, after a line that says what it is.
async fn log(caller: &Caller, view: &RunSnapshot) -> Result<String, ErrorData> {
    if let Some(why) = &view.kept_in {
        return Ok(why.clone());
    }
    let output = caller.output(view, Stream::Log);
    let part = Part::user(view);
    let shown = result::excerpt(&output, &part, 0, LOG)
        .await
        .map_err(|error: ReadError| ErrorData::internal_error(format!("the log cannot be read: {error}"), None))?;
    let now = caller.now_ms();
    let (run, head) = (view.run.short(), words::head(view, now));
    // An unfinished run's text is out of date as soon as it is read.
    let at = if view.state.is_end() { String::new() } else { format!(", as of {}", rfc3339(now).unwrap_or_default()) };
    let rest = match (shown.left_out, view.withheld()) {
        (_, Some(why)) => format!("; {why}"),
        (0, None) => String::new(),
        (n, None) => {
            format!("; {n} bytes before it are left out, see stata_log(run: \"{run}\", offset: {})", shown.start)
        }
    };
    let fenced = fence::fenced(&caller.frontend.core.deps.ids, &shown.text);
    Ok(format!("[log of run {run}, {head}{at}{rest}]\n{fenced}"))
}

/// JSON for people and models: empty fields are left out, and long values cut.
fn document(value: &impl Serialize, items: usize, text: usize) -> Result<String, ErrorData> {
    let failed = |error: serde_json::Error| ErrorData::internal_error(error.to_string(), None);
    let mut value = serde_json::to_value(value).map_err(failed)?;
    bound(&mut value, items, text);
    serde_json::to_string_pretty(&value).map_err(failed)
}

fn bound(value: &mut Value, items: usize, longest: usize) {
    match value {
        Value::String(text) => *text = words::cut(text, longest),
        Value::Array(all) => {
            all.truncate(items);
            all.iter_mut().for_each(|one| bound(one, items, longest));
        }
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null() && *field != json!([]));
            fields.values_mut().for_each(|field| bound(field, items, longest));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let check = |uri: &str, want: Option<Wanted<'_>>| assert_eq!(Wanted::of(uri), want, "{uri}");
        check("longhaul://hosts", Some(Wanted::Hosts));
        check("longhaul://runs", Some(Wanted::Runs));
        check("longhaul://runs/7f3a9c21", Some(Wanted::Run("7f3a9c21")));
        check("longhaul://runs/7f3a9c21/log", Some(Wanted::Log("7f3a9c21")));
        for uri in
            ["", "longhaul://", "longhaul://runs/", "longhaul://runs//log", "longhaul://runs/a/b", "file:///etc/passwd"]
        {
            check(uri, None);
        }
    }

    #[test]
    fn documents_are_bounded() {
        let long = json!({"a": "x".repeat(5000), "b": [1, 2, 3], "c": null, "d": [], "e": {"f": ["y".repeat(20)]}});
        let text = document(&long, 2, 10).unwrap();
        let got: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(got, json!({"a": "xxxxxxxxx…", "b": [1, 2], "e": {"f": ["yyyyyyyyy…"]}}));
    }
}
