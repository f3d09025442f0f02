//! What is known of an error beside its message.

use longhaul_proto::{
    api::{LocationView, SuppressedError},
    error_kind::ErrorKind,
    wire,
};
use serde::{Deserialize, Serialize};

/// What the agent found about an end that is no success, or the gateway where it ends a run itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnosis {
    /// The word of its kind; empty = what state, cause and code say. A newer agent's may be one that this version does not
    /// know.
    pub kind: String,
    /// The last lines of the user's part of the log before Stata's code, or before its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// Its lines after the code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Errors that ended nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<SuppressedError>,
    /// How many more there were.
    pub left_out: u32,
}

impl Diagnosis {
    /// Of the gateway's own word.
    pub fn of_kind(kind: ErrorKind) -> Self {
        Self { kind: kind.to_string(), ..Self::default() }
    }
}

impl From<&wire::Diagnosis> for Diagnosis {
    fn from(told: &wire::Diagnosis) -> Self {
        let suppressed = |error: &wire::SuppressedError| SuppressedError {
            code: error.rc,
            message: error.message.clone(),
            command: error.command.clone(),
            place: error.location.as_ref().map(|at| LocationView {
                file: at.file.clone(),
                line: at.line,
                callers: at.callers.clone(),
            }),
        };
        Self {
            kind: told.kind.clone(),
            before: told.before.clone(),
            after: told.after.clone(),
            suppressed: told.suppressed.iter().map(suppressed).collect(),
            left_out: told.suppressed_left_out,
        }
    }
}
