//! What the record of an end says about an error, besides its message.

use longhaul_proto::wire;
use serde::{Deserialize, Serialize};

use super::Location;

/// An error that a log shows and that ended nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressedError {
    /// Its code, where it is known.
    pub rc: Option<i64>,
    /// Stata's error text.
    pub message: String,
    /// The command, as echoed.
    pub command: String,
    /// Where.
    pub location: Option<Location>,
}

/// What was found about an end that is no success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Its kind, a word of the table of kinds.
    pub kind: String,
    /// The user's part of the log before Stata's code, or before its end: the last lines, without blank ones.
    #[serde(default)]
    pub before: Vec<String>,
    /// Its lines after the code.
    #[serde(default)]
    pub after: Vec<String>,
    /// Errors that ended nothing.
    #[serde(default)]
    pub suppressed: Vec<SuppressedError>,
    /// How many more there were.
    #[serde(default)]
    pub suppressed_left_out: u32,
}

impl Diagnosis {
    /// As it goes over the wire.
    pub fn to_wire(&self) -> wire::Diagnosis {
        let suppressed = |error: &SuppressedError| wire::SuppressedError {
            rc: error.rc,
            message: error.message.clone(),
            command: error.command.clone(),
            location: error.location.as_ref().map(Location::to_wire),
        };
        wire::Diagnosis {
            kind: self.kind.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            suppressed: self.suppressed.iter().map(suppressed).collect(),
            suppressed_left_out: self.suppressed_left_out,
        }
    }
}

impl Location {
    /// As it goes over the wire.
    pub fn to_wire(&self) -> wire::Location {
        wire::Location { file: self.file.clone(), line: self.line, callers: self.callers.clone() }
    }
}
