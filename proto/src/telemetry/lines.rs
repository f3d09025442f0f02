//! The lines on stderr: which, as what, and with colours or without.

use std::{
    io::{self, IsTerminal, Write},
    str::FromStr,
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::MakeWriter,
    registry::LookupSpan,
};

use super::{fields, live, variable};
use crate::visible;

/// What may be written into `LONGHAUL_LOG`.
const LEVELS: &str = "off, error, warn, info, debug or trace";

/// A setting of the log is not valid.
#[derive(Debug, thiserror::Error)]
pub enum BadLog {
    /// `LONGHAUL_LOG`.
    #[error(
        "LONGHAUL_LOG is `{0}`: give a level ({LEVELS}) for what Longhaul does, or directives with commas between, such as \
         `debug,h2=info` or `longhaul_gateway::mcp=trace`"
    )]
    Filter(String),
    /// `LONGHAUL_LOG_FORMAT`.
    #[error("LONGHAUL_LOG_FORMAT is `{0}`: give `text` or `json`")]
    Format(String),
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl FromStr for Format {
    type Err = BadLog;

    fn from_str(text: &str) -> Result<Self, BadLog> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(BadLog::Format(other.to_owned())),
        }
    }
}

/// Whether stderr is a stream of JSON objects, one a line: then nothing else may be written to it.
pub fn is_json() -> bool {
    variable("LONGHAUL_LOG_FORMAT").is_some_and(|text| matches!(text.trim().parse(), Ok(Format::Json)))
}

/// Which lines are written and how.
#[derive(Debug)]
pub(super) struct Lines {
    filter: EnvFilter,
    format: Format,
}

impl Lines {
    /// From the environment; `default` is the level of our own lines, and what follows it with commas, where
    /// `LONGHAUL_LOG` is not set.
    ///
    /// # Errors
    /// Says which variable is not valid, and what is.
    pub(super) fn of_environment(default: &str) -> Result<Self, BadLog> {
        let format = variable("LONGHAUL_LOG_FORMAT").map_or(Ok(Format::default()), |text| text.trim().parse())?;
        Ok(Self { filter: filter_of_environment(default)?, format })
    }

    /// The layer that writes them.
    pub(super) fn layer<S>(self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        // What is sent elsewhere is no context of a line.
        let filter = self.filter.and(filter_fn(|metadata| !live::is_sent(metadata)));
        match self.format {
            Format::Text => tracing_subscriber::fmt::layer()
                .fmt_fields(fields::Shown)
                .with_writer(io::stderr)
                .with_ansi(colours())
                .with_filter(filter)
                .boxed(),
            Format::Json => tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_writer(Harmless)
                .with_filter(filter)
                .boxed(),
        }
    }
}

/// Which lines there are, see [`Lines::of_environment`].
pub(super) fn filter_of_environment(default: &str) -> Result<EnvFilter, BadLog> {
    let default = if default.is_empty() { "warn" } else { default };
    Ok(match (variable("LONGHAUL_LOG"), variable("RUST_LOG")) {
        (Some(text), _) => filter(default, text.trim()).ok_or(BadLog::Filter(text))?,
        // It may be meant for others.
        (None, Some(text)) => EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse_lossy(text),
        (None, None) => filter(default, default).unwrap_or_default(),
    })
}

/// `NO_COLOR` switches colours off and `CLICOLOR_FORCE` on; else they are for terminals.
fn colours() -> bool {
    let forced = variable("CLICOLOR_FORCE").is_some_and(|forced| forced != "0");
    let dumb = variable("TERM").is_some_and(|term| term == "dumb");
    variable("NO_COLOR").is_none() && (forced || (io::stderr().is_terminal() && !dumb))
}

/// A bare level is that of our own lines; of the libraries below us it lets warnings through, unless it is stricter. Any
/// other directive is one of the library's. `None` = it is neither.
fn filter(default: &str, text: &str) -> Option<EnvFilter> {
    // What it says of a certificate, our own error says with what to do.
    let mut directives = "rustls_platform_verifier=off".to_owned();
    // A text without a level adds to the default.
    let bare = text.split(',').any(|part| level(part.trim()).is_some());
    for part in default.split(',').filter(|part| !bare || level(part).is_none()).chain(text.split(',')) {
        let part = part.trim();
        let ours = match level(part) {
            Some(level) => format!("{},longhaul={level}", level.min(LevelFilter::WARN)),
            // The library takes a bare word for a target, so that a mistyped level would silence everything.
            None if part.contains(['=', '[']) => part.to_owned(),
            None if part.is_empty() => continue,
            None => return None,
        };
        directives = format!("{directives},{ours}");
    }
    EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse(directives).ok()
}

fn level(word: &str) -> Option<LevelFilter> {
    let known = ["off", "error", "warn", "info", "debug", "trace"].iter().any(|l| word.eq_ignore_ascii_case(l));
    if known { word.parse().ok() } else { None }
}

/// Stderr, for lines of JSON: what acts on a terminal is written as JSON writes a character that it cannot hold. (The
/// library does that for the first 32 characters only.)
struct Harmless;

impl<'a> MakeWriter<'a> for Harmless {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Harmless {
    /// A line comes in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if visible::is_hidden(c) && c != '\n' {
                out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            } else {
                out.push(c);
            }
        }
        io::stderr().write_all(out.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_of_ours_and_directives() {
        fn check(text: &str, want: Option<&str>) {
            let got = filter("info,longhaul_agent::journal=warn", text).map(|filter| {
                let mut parts: Vec<_> = filter.to_string().split(',').map(str::to_owned).collect();
                parts.retain(|part| part != "rustls_platform_verifier=off");
                parts.sort();
                parts.join(",")
            });
            assert_eq!(got.as_deref(), want, "{text}");
        }
        check("debug", Some("longhaul=debug,longhaul_agent::journal=warn,warn"));
        check("WARN", Some("longhaul=warn,longhaul_agent::journal=warn,warn"));
        check("off", Some("longhaul=off,longhaul_agent::journal=warn,off"));
        check("h2=debug", Some("h2=debug,longhaul=info,longhaul_agent::journal=warn,warn"));
        check("info, longhaul=debug", Some("longhaul=debug,longhaul_agent::journal=warn,warn"));
        check("dbug", None);
        check("h2", None);
        check("h2=loud", None);
    }
}
