//! What ended a run that did not succeed.

use serde::{Deserialize, Serialize};

use super::LocationView;
use crate::error_kind::{ErrorKind, Facts, TryAgain, advice};

/// What ended a run that did not succeed, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunError {
    /// One word of the table of kinds. A word that this version does not know reads as `unknown`.
    #[serde(deserialize_with = "known")]
    pub kind: ErrorKind,
    /// Stata's return code.
    pub code: Option<i64>,
    /// Stata's error text, or Longhaul's.
    pub message: Option<String>,
    /// The command that failed, as echoed.
    pub command: Option<String>,
    /// Where in the code.
    pub place: Option<LocationView>,
    /// The log's last lines before Stata's code, or before its end; blank ones are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// Its lines after the code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Errors that the log shows and that ended nothing, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<SuppressedError>,
    /// How many more there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed_left_out: u32,
    /// What to do next; empty where only the message tells.
    pub advice: String,
    /// Whether the same run can succeed at another try, with nothing changed.
    pub try_again: TryAgain,
}

/// An error that ended nothing: of `capture noisily`, or of a do-file that went on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SuppressedError {
    /// Its code, where the log shows it or the message has only one.
    pub code: Option<i64>,
    /// Stata's error text.
    pub message: String,
    /// The command, as echoed.
    pub command: String,
    /// Where in the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<LocationView>,
}

impl RunError {
    /// The error of an end; `None` for a success and while a run has not ended. `told` is the word of the process that
    /// judged the end; empty = none.
    pub fn of(told: &str, end: &Facts<'_>) -> Option<Self> {
        let kind = ErrorKind::told(told, end)?;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Self {
            kind,
            code: end.rc,
            message: some(end.message),
            command: some(end.command),
            place: None,
            before: vec![],
            after: vec![],
            suppressed: vec![],
            suppressed_left_out: 0,
            advice: advice(kind, end),
            try_again: kind.row().try_again,
        })
    }

    /// The kind and what follows from it, in a line: `file_not_found; trying again unchanged cannot help`.
    pub fn kind_words(&self) -> String {
        match self.try_again {
            TryAgain::Unknown => self.kind.to_string(),
            again => format!("{}; {}", self.kind, again.words()),
        }
    }

    /// The suppressed errors, at most so many, in a line; `None` = there are none.
    pub fn suppressed_words(&self, most: usize) -> Option<String> {
        let shown: Vec<String> = self.suppressed.iter().take(most).map(SuppressedError::words).collect();
        let more = self.suppressed.len().saturating_sub(most) as u64 + u64::from(self.suppressed_left_out);
        let more = if more > 0 { format!("; {more} more") } else { String::new() };
        (!shown.is_empty()).then(|| format!("{}{more}", shown.join("; ")))
    }
}

impl SuppressedError {
    /// `r(111) z not found (main.do:3)`.
    pub fn words(&self) -> String {
        let code = self.code.map(|code| format!("r({code})"));
        let message = Some(self.message.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|m| !m.is_empty());
        let place = self.place.as_ref().map(|at| format!("({}:{})", at.file, at.line));
        code.into_iter().chain(message).chain(place).collect::<Vec<_>>().join(" ")
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn known<'de, D: serde::Deserializer<'de>>(from: D) -> Result<ErrorKind, D::Error> {
    Ok(String::deserialize(from)?.parse().unwrap_or(ErrorKind::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Cause, RunState};

    #[test]
    fn the_object_of_an_error() {
        let end = Facts {
            state: RunState::Failed,
            cause: Cause::StataError,
            rc: Some(602),
            message: "file a.dta already exists",
            command: "save a",
            host: "stata1",
            working_dir: "/p",
        };
        let mut error = RunError::of("", &end).unwrap();
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"kind":"file_exists","code":602,"message":"file a.dta already exists","command":"save a","place":null,"advice":"add option `replace`, or choose another name","try_again":"cannot_help"}"#
        );
        let newer = serde_json::to_string(&error).unwrap().replace("file_exists", "a_word_of_tomorrow");
        assert_eq!(serde_json::from_str::<RunError>(&newer).unwrap().kind, ErrorKind::Unknown);
        assert_eq!(error.kind_words(), "file_exists; trying again unchanged cannot help");
        assert_eq!(error.suppressed_words(5), None);
        let place = LocationView { file: "/p/a.do".into(), line: 3, callers: vec![] };
        let one = SuppressedError {
            code: Some(111),
            message: "z  not\nfound".into(),
            command: "capture noisily su z".into(),
            place: Some(place),
        };
        error.suppressed = vec![one.clone(), SuppressedError { code: None, place: None, ..one }];
        error.suppressed_left_out = 2;
        assert_eq!(error.suppressed_words(1).unwrap(), "r(111) z not found (/p/a.do:3); 3 more");
        assert_eq!(error.suppressed_words(5).unwrap(), "r(111) z not found (/p/a.do:3); z not found; 2 more");
    }
}
