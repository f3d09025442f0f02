//! `stata_data`: what is in a data file.

use std::fmt::Write;

use longhaul_proto::{
    api::{DataRoom, DataText, DataView},
    words::bytes,
};

use super::{
    call::{Call, Reply},
    fence,
    output::ToolOutput,
    words,
};
use crate::runs::{DataAsk, DataError};

/// Characters of a row, and of a cell.
const WIDTH: usize = 220;
const CELL: usize = 60;
/// Room kept for the lines around the table, bytes.
const FRAME: usize = 2_000 + fence::ROOM;
/// Observations asked for.
const ROWS: u32 = 100;
/// Longest name shown, characters, and most notes.
const NAME: usize = 200;
const NOTES: usize = 6;

/// The tool.
pub(super) async fn data(call: &Call) -> Reply {
    let args = &call.args;
    let text = |name: &str| args.text(name).unwrap_or_default();
    let ask = DataAsk {
        path: text("path"),
        run: text("run"),
        host: text("host"),
        action: text("action"),
        variables: args.texts("vars"),
        condition: text("if"),
        range: text("in"),
        codes: args.flag("labels") == Some(false),
        limit: ROWS,
    };
    let view = call.data_of(ask).await.map_err(|error| told(&error))?;
    let budget = call.frontend.options().inline_limit.saturating_sub(FRAME);
    let shown = view.text(DataRoom { width: WIDTH, bytes: budget, cell: CELL });
    let label = view.label.as_ref().map(|label| format!("{}\n", words::cut(&words::plain(label), NAME)));
    let inside = fence::fenced(&call.frontend.core.deps.ids, &format!("{}{}", label.unwrap_or_default(), shown.text));
    let mut answer = format!("{}\n{inside}", head(&view));
    for note in view.notes.iter().take(NOTES) {
        let _ = write!(answer, "\n{}", words::cut(&words::plain(note), 2 * NAME));
    }
    if let Some(more) = more(&view, &shown) {
        let _ = write!(answer, "\n{more}");
    }
    if view.action == "describe" {
        answer
            .push_str("\nNext: action codebook (values and labels), summarize, tabulate or rows, of vars, if and in.");
    }
    Ok(ToolOutput::ok(answer))
}

fn told(error: &DataError) -> String {
    let words = error.to_string();
    if words.ends_with(['.', '?']) { words } else { format!("{words}.") }
}

/// `tabulate of /home/ana/auto.dta on stata1: 52 of 74 observations, 12 variables, sorted by foreign (release 118, 12.8 kB)`.
fn head(view: &DataView) -> String {
    let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let all = plural(view.observations, "observation");
    let used = match view.action.as_str() {
        "describe" => all,
        _ if view.used == view.observations => all,
        _ => format!("{} of {all}", view.used),
    };
    // A rule may have left it out: it tells how many observations there are.
    let size = if view.bytes > 0 { format!(", {}", bytes(view.bytes)) } else { String::new() };
    let sorted = match view.sorted_by.is_empty() {
        true => String::new(),
        false => format!(", sorted by {}", words::cut(&words::plain(&view.sorted_by.join(" ")), NAME)),
    };
    format!(
        "{} of {}: {used}, {}{sorted} (release {}{size})",
        view.action,
        words::cut(&words::plain(&view.place()), NAME + 80),
        plural(view.variables.into(), "variable"),
        view.release
    )
}

/// What there was no room for.
fn more(view: &DataView, shown: &DataText) -> Option<String> {
    let mut left = Vec::new();
    if shown.columns < view.columns.len() {
        let names = view.columns[shown.columns..].iter().map(|column| column.name.as_str()).take(30);
        let names = words::cut(&words::plain(&names.collect::<Vec<_>>().join(" ")), NAME);
        left.push(format!("{} more columns ({names}): name fewer in vars", view.columns.len() - shown.columns));
    }
    if shown.rows < view.rows.len() {
        let what = if view.action == "rows" { "narrow if or in" } else { "name fewer in vars" };
        left.push(format!("{} more rows: {what}", view.rows.len() - shown.rows));
    }
    (!left.is_empty()).then(|| format!("Not shown for want of room: {}.", left.join("; ")))
}
