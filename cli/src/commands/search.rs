//! `search`: the lines of a run's output that match, with their numbers, as `grep -n` shows them.

use longhaul_proto::api::FoundLine;

use crate::{
    args::Search,
    client::Stream,
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{Out, say, shell_word},
};

/// Most matches of one answer of the gateway.
const PAGE: u64 = 1000;

/// No line matches; as `grep` has it.
const NONE: u8 = 1;

/// `search`.
///
/// # Errors
/// With what to do.
pub(crate) async fn search(context: &Context, args: &Search) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need { no_agent: true, ..Need::default() }).await?;
    let done = print(&gateway, args).await;
    gateway.close().await;
    done
}

async fn print(gateway: &GatewayHandle, args: &Search) -> Result<u8, Failure> {
    let (mut out, mut shown) = (Out::default(), Shown::default());
    let (mut found, mut cursor) = (0, None);
    let (more, complete) = loop {
        let page = query(args, PAGE.min(args.limit - found), cursor);
        let view = gateway.client.search(&args.run, &page).await?;
        if args.ask.json {
            out.json(&view)?;
        } else {
            out.text(&shown.text(&view.lines, args.context > 0))?;
        }
        found += view.matches;
        match view.next {
            Some(next) if found < args.limit => cursor = Some(next),
            next => break (next.is_some(), view.complete),
        }
    };
    if more {
        let (run, pattern) = (shell_word(&args.run), shell_word(&args.pattern));
        say(&format!("there may be more: longhaul search {run} {pattern} --limit {}", args.limit.saturating_mul(10)));
    } else if !complete {
        say("the run goes on, and this is what there is now");
    }
    Ok(if found > 0 { 0 } else { NONE })
}

fn query(args: &Search, most: u64, cursor: Option<String>) -> Vec<(&'static str, String)> {
    let pattern = if args.ignore_case { format!("(?i){}", args.pattern) } else { args.pattern.clone() };
    let mut query = vec![("pattern", pattern), ("context", args.context.to_string()), ("limit", most.to_string())];
    if args.console {
        query.push(("stream", Stream::Console.as_str().to_owned()));
    } else {
        query.push(("view", "user".to_owned()));
    }
    if args.no_echo {
        query.push(("echo", "false".to_owned()));
    }
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    query
}

/// What was shown so far.
#[derive(Default)]
struct Shown {
    /// Number of the last line.
    last: u64,
}

impl Shown {
    /// These lines; a line of dashes stands where some are left out.
    fn text(&mut self, lines: &[FoundLine], around: bool) -> String {
        let mut text = String::new();
        for line in lines {
            if line.line <= self.last {
                continue;
            }
            if around && self.last > 0 && line.line > self.last + 1 {
                text.push_str("--\n");
            }
            let mark = if line.matches { ':' } else { '-' };
            text.push_str(&format!("{}{mark}{}\n", line.line, line.text));
            self.last = line.line;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_marked_and_no_line_comes_twice() {
        let line = |line, matches| FoundLine { line, offset: 0, text: format!("text {line}"), matches };
        let mut shown = Shown::default();
        let first = shown.text(&[line(3, false), line(4, true), line(5, false)], true);
        assert_eq!(first, "3-text 3\n4:text 4\n5-text 5\n");
        assert_eq!(shown.text(&[line(5, false), line(6, true), line(9, true)], true), "6:text 6\n--\n9:text 9\n");
        assert_eq!(shown.text(&[line(20, true)], false), "20:text 20\n");
    }
}
