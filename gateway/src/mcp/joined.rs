//! What the answer says where an earlier run answers the call: in its first line and in the first progress, so that an
//! old result is never taken for a new one.

use longhaul_proto::api::Joined;

use super::{call::Caller, output::ToolOutput, result, words};
use crate::model::{RunSnapshot, UnixMs};

/// Longest name of a do-file, with its arguments, and of a client, characters.
const SOURCE: usize = 120;
const CLIENT: usize = 40;

/// `this is run 7f3a9c21 (/p/main.do), submitted 14 min 3 s ago by another call of claude-code 2.1.330, ended 3 min 2 s
/// ago; nothing was started now; again: true runs it anew`.
pub(super) fn line(view: &RunSnapshot, joined: Joined, now_ms: i64) -> String {
    let ago = |at: UnixMs| format!("{} ago", words::duration(at.ago(now_ms)));
    let by = match (joined, &view.client) {
        (Joined::Call, _) => "this same call".to_owned(),
        (Joined::Key, _) => "the call of the same key".to_owned(),
        (_, Some(client)) => format!("another call of {}", words::cut(&words::plain(client), CLIENT)),
        (_, None) => "another call".to_owned(),
    };
    let age = view.created.map_or_else(|| "earlier".to_owned(), ago);
    let stands = match view.state.is_end() {
        true => view.finished.map_or_else(|| "ended".to_owned(), |at| format!("ended {}", ago(at))),
        false => "not over yet".to_owned(),
    };
    let again = if joined == Joined::Key { "" } else { "; again: true runs it anew" };
    format!(
        "this is run {} ({}), submitted {age} by {by}, {stands}; nothing was started now{again}",
        view.run.short(),
        source(view)
    )
}

/// The do-file with its arguments, in one line.
pub(super) fn source(view: &RunSnapshot) -> String {
    let mut text = words::plain(&view.source);
    for arg in &view.args {
        text.push(' ');
        text.push_str(&words::plain(arg));
    }
    words::cut(&text, SOURCE)
}

/// The result of an ended run, after the line that says that an earlier run answers, where one does.
pub(super) async fn result(caller: &Caller, view: &RunSnapshot, joined: Option<Joined>, limit: usize) -> ToolOutput {
    let Some(joined) = joined else { return result::of(caller, view, None, None, limit).await };
    let line = line(view, joined, caller.now_ms());
    // The line counts towards the room of an error, too.
    let room = result::room(result::is_error(view.state), limit);
    let said = result::of(caller, view, None, None, room.saturating_sub(line.len() + 1)).await;
    ToolOutput { text: format!("{line}\n{}", said.text), ..said }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::clock::rfc3339;
    use serde_json::json;

    use super::{
        super::words::tests::{NOW, view},
        *,
    };

    #[test]
    fn the_line_says_which_run_and_that_nothing_was_started() {
        let check = |fields: serde_json::Value, joined: Joined, want: &str| {
            assert_eq!(line(&view(fields), joined, NOW), want);
        };
        let client = "claude-code 2.1.330";
        check(
            json!({"client": client, "args": ["1", "2"]}),
            Joined::Unfinished,
            "this is run 7f3a9c21 (/home/me/a.do 1 2), submitted 4 min 20 s ago by another call of claude-code 2.1.330, not over yet; nothing was started now; again: true runs it anew",
        );
        let ended =
            |at: i64| json!({"state": "succeeded", "cause": "completed", "finished_at": rfc3339(at), "duration": 1.0});
        check(
            ended(NOW - 62_000),
            Joined::Undelivered,
            "this is run 7f3a9c21 (/home/me/a.do), submitted 4 min 20 s ago by another call, ended 1 min 2 s ago; nothing was started now; again: true runs it anew",
        );
        check(
            ended(NOW - 2_000),
            Joined::Call,
            "this is run 7f3a9c21 (/home/me/a.do), submitted 4 min 20 s ago by this same call, ended 2 s ago; nothing was started now; again: true runs it anew",
        );
        check(
            ended(NOW - 2_000),
            Joined::Key,
            "this is run 7f3a9c21 (/home/me/a.do), submitted 4 min 20 s ago by the call of the same key, ended 2 s ago; nothing was started now",
        );
    }
}
