//! `stata_results`: what a run left in r(), e() and s().
//!
//! The table of coefficients first; matrices by name, and one of them when it is asked for. Text alone, as everywhere: a
//! client that finds structured content shows the model nothing else.

use std::fmt::Write;

use longhaul_proto::{api::Results, results_text};

use super::{
    call::{Call, Reply},
    fence,
    output::ToolOutput,
    words,
};

/// Room for what is said around the results, bytes.
const FRAME: usize = 1_500;

/// The tool.
pub(super) async fn results(call: &Call) -> Reply {
    let view = call.asked_run().await?;
    let run = view.run;
    let left = call.results(&view).await?;
    let head = words::message(&view, None, call.now_ms());
    let short = run.short();
    let Some(json) = left.json else {
        let mut text = format!("{head}\nNo results: {}.", words::plain(&left.why_not));
        if !left.complete {
            let next = if view.state.is_end() { "stata_results" } else { "stata_wait" };
            let argument = if view.state.is_end() { "run" } else { "runs" };
            let _ = write!(text, "\nNext: {next}({argument}: \"{short}\").");
        }
        return Ok(ToolOutput::ok(text).about(&view));
    };
    let results: Results = serde_json::from_slice(&json).map_err(|error| {
        format!("run {short}: its results cannot be read ({error}); GET /api/v1/runs/{run}/results has their bytes")
    })?;
    let body = match call.args.text("name") {
        None => results_text::overview(&results),
        Some(name) => results_text::one(&results, &name).map_err(|error| format!("run {short}: {error}"))?,
    };
    let budget = call.frontend.options().inline_limit.saturating_sub(FRAME);
    let (body, cut) = whole_lines(&body, budget);
    let mut text = format!("{head}\n{}", fence::fenced(&call.frontend.core.deps.ids, body));
    if cut {
        let _ = write!(text, "\nThere is more than fits here: GET /api/v1/runs/{run}/results has all of it.");
    }
    if call.args.text("name").is_none() {
        let _ = write!(text, "\nOne in full: stata_results(run: \"{short}\", name: \"e(V)\").");
    }
    Ok(ToolOutput::ok(text).about(&view))
}

/// The lines that fit, and whether some do not.
fn whole_lines(text: &str, budget: usize) -> (&str, bool) {
    if text.len() <= budget {
        return (text, false);
    }
    let mut end = budget;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').map_or(end, |at| at + 1);
    (&text[..end], true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_between_lines() {
        assert_eq!(whole_lines("a\nbc\n", 9), ("a\nbc\n", false));
        assert_eq!(whole_lines("a\nbc\n", 4), ("a\n", true));
        assert_eq!(whole_lines("\u{e9}\u{e9}\u{e9}", 3), ("\u{e9}", true));
    }
}
