//! The errors of runs for programs, as structured content.
//!
//! Only beside a text that is an error: there Claude Code (2.1.330) shows its model the text, while of an answer that is
//! none it shows the structured content alone, and the log would be lost. So the object also has all that is needed to go on, for
//! clients that show it instead of the text.

use longhaul_proto::{api::RunError, visible};
use serde_json::{Value, json};

use super::About;
use crate::model::OverQuota;

/// Longest text in it, characters.
const TEXT: usize = 2_000;
/// Longest message and command of an error that ended nothing.
const SHORT: usize = 300;
/// Runs of one answer whose surroundings have room: an event has at most a megabyte.
const FEW: usize = 5;

/// The object; `None` = none of the runs has an error.
pub(super) fn of(about: &[About]) -> Option<Value> {
    about.iter().any(|about| about.error.is_some()).then(|| match about {
        [one] => run(one, true),
        all => json!({"runs": all.iter().map(|one| run(one, all.len() <= FEW)).collect::<Vec<_>>()}),
    })
}

/// That of a quota that is reached: the kind of error, which quota, and when to try again.
pub(super) fn quota(over: &OverQuota) -> Value {
    let error = json!({
        "kind": "quota",
        "quota": over.reached,
        "message": over.to_string(),
        "retry_after": over.retry_after,
    });
    shown(json!({ "error": error }))
}

fn run(about: &About, around: bool) -> Value {
    let mut object = json!({
        "run_id": about.run.to_string(),
        "state": about.state,
        "cause": about.cause,
        "host": about.host,
    });
    if let Some(error) = &about.error {
        object["error"] = serde_json::to_value(short(error.clone(), around)).unwrap_or_default();
    }
    shown(object)
}

fn short(mut error: RunError, around: bool) -> RunError {
    for text in [&mut error.message, &mut error.command].into_iter().flatten() {
        *text = super::super::words::cut(text, TEXT);
    }
    for suppressed in &mut error.suppressed {
        suppressed.message = super::super::words::cut(&suppressed.message, SHORT);
        suppressed.command = super::super::words::cut(&suppressed.command, SHORT);
    }
    if !around {
        (error.before, error.after) = (vec![], vec![]);
        let more = u32::try_from(error.suppressed.len()).unwrap_or(u32::MAX);
        error.suppressed_left_out = error.suppressed_left_out.saturating_add(more);
        error.suppressed.clear();
    }
    error
}

/// The same with every hidden character written out, as in the text.
fn shown(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible::text(&text).into_owned()),
        Value::Array(all) => all.into_iter().map(shown).collect(),
        Value::Object(all) => all.into_iter().map(|(name, value)| (name, shown(value))).collect(),
        other => other,
    }
}
