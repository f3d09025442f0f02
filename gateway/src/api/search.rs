//! `GET /api/v1/runs/{run}/output/search`: the lines of an output that match a regular expression.
//!
//! What there is at that moment is searched, for a bounded time and up to so many matches; where there is more to look at, `next`
//! is the `cursor` of the question that goes on.

use axum::{Extension, Json, extract::State};
use longhaul_proto::api::{FoundLine, SearchView};
use serde::Deserialize;

use super::{
    output::{StreamName, ViewName, bounds},
    strict::{Path, Strict},
};
use crate::{
    frontend::{
        Frontend,
        reading::Output,
        search::{CONTEXT, Place, Search, Shown, regex},
    },
    model::{Identity, Stream},
    problem::Problem,
};

/// Matches of one answer by default, and at most.
const MATCHES: (u32, u32) = (100, 1_000);

/// Most text of one answer, bytes.
const TEXT: usize = 256 * 1024;

/// Longest expression, bytes.
const LONGEST: usize = 1_000;

/// The query.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub(super) struct SearchQuery {
    /// The regular expression, as Rust's `regex` reads it; `(?i)` before it ignores case.
    pattern: String,
    /// Which output; the log when absent.
    #[cfg_attr(test, param(inline))]
    stream: StreamName,
    /// Which part of the log; all of it when absent.
    #[cfg_attr(test, param(inline))]
    view: ViewName,
    /// Lines shown before and behind each match.
    #[cfg_attr(test, param(minimum = 0, maximum = 50))]
    context: u64,
    /// Most matches of one answer; 100 when absent.
    #[cfg_attr(test, param(minimum = 1, maximum = 1000))]
    limit: Option<u32>,
    /// `false`: commands that Stata echoed do not count.
    echo: Option<bool>,
    /// `next` of the answer before.
    cursor: Option<String>,
}

/// The handler.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
    Strict(query): Strict<SearchQuery>,
) -> Result<Json<SearchView>, Problem> {
    if query.pattern.is_empty() || query.pattern.len() > LONGEST {
        return Err(Problem::bad_request(format!("`pattern`: a regular expression of 1 to {LONGEST} bytes")));
    }
    let regex = regex(&query.pattern).map_err(|wrong| Problem::bad_request(format!("`pattern`: {wrong}")))?;
    let limit = query.limit.unwrap_or(MATCHES.0);
    if !(1..=MATCHES.1).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit`: matches of one answer, 1 to {}", MATCHES.1)));
    }
    if query.context > CONTEXT {
        return Err(Problem::bad_request(format!("`context`: lines around a match, at most {CONTEXT}")));
    }
    let run_id = frontend.core.runs.find(&who, &name).await?;
    let run = frontend.core.runs.watch(&who, run_id).await?.borrow().clone();
    let stream = Stream::from(query.stream);
    let part = bounds(&run, stream, query.view);
    let from = match query.cursor.as_deref() {
        None => Place { offset: part.start(), line: 1 },
        Some(cursor) => place(cursor).filter(|place| place.offset <= part.end()).ok_or_else(|| {
            Problem::bad_request("`cursor`: pass `next` of an answer to the same question, or leave it out")
        })?,
    };
    let output = Output { runs: frontend.core.runs.clone(), who, run: run_id, stream };
    let context = usize::try_from(query.context).unwrap_or_default();
    let (encoding, echo) = (output.encoding(), query.echo.unwrap_or(true));
    let search = Search { regex, encoding, context, most: limit.into(), echo };
    let (mut lines, mut bytes) = (Vec::new(), 0);
    let mut take = |shown: Shown| {
        bytes += shown.text.len();
        let (line, offset, text, is_match) = (shown.line, shown.offset, shown.text, shown.matches);
        lines.push(FoundLine { line, offset, text, matches: is_match });
        bytes >= TEXT
    };
    let searched = search.run(&output, &part, from, &mut take).await?;
    // The last line may be the last of all.
    let more = !searched.all && part.piece(searched.next.offset).is_some();
    Ok(Json(SearchView {
        run_id,
        from: from.offset,
        to: searched.next.offset,
        matches: searched.matches,
        lines,
        next: more.then(|| format!("{}:{}", searched.next.offset, searched.next.line)),
        complete: run.state.is_end(),
    }))
}

fn place(cursor: &str) -> Option<Place> {
    let (offset, line) = cursor.split_once(':')?;
    Some(Place {
        offset: offset.parse().ok()?,
        line: line.parse().ok().filter(|line| (1..u64::MAX / 2).contains(line))?,
    })
}
