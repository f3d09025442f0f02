//! Colours, by convention: off with `NO_COLOR`, where no terminal reads and with `TERM=dumb`; on with `CLICOLOR_FORCE`.
//!
//! Text is made harmless first ([`longhaul_proto::visible`]) and painted then, so that names which others chose never
//! bring colours of their own.

use std::io;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use longhaul_proto::state::RunState;

/// Where something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// All is well: green.
    Good,
    /// It failed: red.
    Bad,
    /// A person should look, or ended it: yellow.
    Warning,
    /// It is under way: cyan.
    Active,
    /// Of lesser interest: dimmed.
    Quiet,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Active => AnsiColor::Cyan.on_default(),
            Self::Quiet => Style::new().dimmed(),
        }
    }

    /// That of a run in this state.
    pub(crate) fn of(state: RunState) -> Self {
        match state {
            RunState::Queued => Self::Quiet,
            RunState::Starting | RunState::Running => Self::Active,
            RunState::Succeeded => Self::Good,
            RunState::Cancelled | RunState::Lost => Self::Warning,
            RunState::Failed | RunState::Errored | RunState::TimedOut | RunState::Rejected => Self::Bad,
        }
    }
}

/// Whether colours are wanted there.
pub(crate) fn wanted(stream: Stream) -> bool {
    let choice = match stream {
        Stream::Stdout => AutoStream::choice(&io::stdout()),
        Stream::Stderr => AutoStream::choice(&io::stderr()),
    };
    choice != ColorChoice::Never
}

/// The text in that colour, where colours are `wanted`.
pub(crate) fn paint(text: &str, tone: Tone, wanted: bool) -> String {
    if !wanted || text.is_empty() {
        return text.to_owned();
    }
    let style = tone.style();
    format!("{style}{text}{style:#}")
}

/// The same with the first line in that colour.
pub(crate) fn paint_first_line(text: &str, tone: Tone, wanted: bool) -> String {
    let (first, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
    paint(first, tone, wanted) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_painted_and_nothing_else() {
        assert_eq!(paint_first_line("a\nb", Tone::Bad, true), "\u{1b}[31ma\u{1b}[0m\nb");
        assert_eq!(paint_first_line("a", Tone::Good, true), "\u{1b}[32ma\u{1b}[0m");
        assert_eq!(paint_first_line("a\nb", Tone::Bad, false), "a\nb");
    }
}
