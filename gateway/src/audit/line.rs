//! A line of the file, and the hash that ties it to the one before.
//!
//! ```text
//! {"n":17,"at":"2026-11-28T10:15:00.123Z","event":"submit","principal":"ana",…,"hash":"HEX"}
//!  `----------------------------- the body ------------------------------'
//! HEX = SHA-256(hash of the line before, as hex, then a line feed, then the body)
//! ```

use std::net::IpAddr;

use longhaul_proto::{clock::rfc3339, ids::RunId, sha256_hex};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Event, Kind};

/// What the first line of the first file counts as its predecessor's hash.
pub(super) const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const HASH: &str = ",\"hash\":\"";
const END: &str = "\"}";

#[derive(Serialize)]
struct Body<'a> {
    n: u64,
    at: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    detail: &'a Map<String, Value>,
}

/// Line `n`, with a line feed at its end, and its hash.
pub(super) fn seal(n: u64, at_ms: i64, event: &Event, before: &str) -> (String, String) {
    let body = Body {
        n,
        at: rfc3339(at_ms).unwrap_or_default(),
        event: event.kind.as_str(),
        principal: event.principal.as_deref(),
        token: event.origin.token(),
        address: event.origin.address(),
        request: event.origin.request(),
        run: event.run,
        trace: event.trace.as_deref(),
        detail: &event.detail,
    };
    // Texts, numbers and maps of them: there is nothing that cannot be written.
    let whole = serde_json::to_string(&body).unwrap_or_else(|_| "{}".to_owned());
    let body = whole.strip_suffix('}').unwrap_or(&whole);
    let hash = hash(before, body);
    (format!("{body}{HASH}{hash}{END}\n"), hash)
}

fn hash(before: &str, body: &str) -> String {
    sha256_hex(format!("{before}\n{body}").as_bytes())
}

/// What a line says, when it is one.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) n: u64,
    pub(super) hash: String,
    pub(super) value: Value,
    body: String,
}

impl Sealed {
    /// Reads a line without its line feed.
    pub(super) fn read(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let (body, rest) = line.rsplit_once(HASH)?;
        let hash = rest.strip_suffix(END)?.to_owned();
        Some(Self { n: value["n"].as_u64()?, hash, value, body: body.to_owned() })
    }

    /// Whether the line is as it was written after the line with this hash.
    pub(super) fn follows(&self, before: &str) -> bool {
        hash(before, &self.body) == self.hash
    }

    pub(super) fn is(&self, kind: Kind) -> bool {
        self.value["event"] == kind.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_tied_to_the_one_before() {
        let event = Event::own(Kind::Submit).with("words", "a \"b\" ,\"hash\":\"x\"} \u{1b}");
        let (line, hash) = seal(7, 0, &event, NO_HASH);
        let read = Sealed::read(line.trim_end()).unwrap();
        assert_eq!((read.n, &read.hash), (7, &hash));
        assert!(read.follows(NO_HASH) && !read.follows(&hash));
        let changed = Sealed::read(line.trim_end().replace("submit", "cancel").as_str()).unwrap();
        assert!(!changed.follows(NO_HASH));
        assert!(Sealed::read("{}").is_none() && Sealed::read("").is_none());
    }
}
