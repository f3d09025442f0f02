//! The certificates of a gateway: whether they last, and by what they are trusted.

use std::path::Path;

use jiff::Timestamp;
use longhaul_proto::certificate::{self, Validity};

use super::report::{Finding, note, ok};
use crate::access::Root;

/// Seconds of a day.
const DAY: i64 = 24 * 3600;
/// A root that ends sooner should be exchanged while there is time to tell every client.
const ROOT_SOON: i64 = 180 * DAY;

/// Of the certificate that a gateway showed, DER, and the root that was pinned for it; nothing where it was spoken to in
/// the clear.
pub(super) fn findings(shown: Option<&[u8]>, root: Option<&Root>, now_s: i64) -> Vec<Finding> {
    let Some(shown) = shown else { return vec![] };
    let mut findings = vec![];
    if let Some(validity) = certificate::validity(shown) {
        let found = format!("ends {}", when(validity.until_s, now_s));
        findings.push(if late(validity, now_s) {
            note("certificate", found, "it should have been renewed by now: see the gateway's log, and its /readyz")
        } else {
            ok("certificate", found)
        });
    }
    let pinned = root.and_then(|root| Some((root, certificate::first_in_pem(&root.pem)?)));
    if let Some((root, der)) = pinned {
        let ends = certificate::validity(&der).map(|v| v.until_s);
        let print = certificate::fingerprint(&der);
        let ends_words = ends.map(|until_s| format!(", ends {}", when(until_s, now_s))).unwrap_or_default();
        let found = format!("SHA-256 {print} (in {}){ends_words}", root.file.display());
        findings.push(if ends.is_some_and(|until_s| until_s - now_s < ROOT_SOON) {
            note("its root", found, "let the gateway make a new one in time, and tell every client its fingerprint")
        } else {
            ok("its root", found)
        });
    }
    findings
}

/// Of the certificate that the agent with this data folder shows its gateway; nothing where it has none.
pub(super) fn of_agent(data: &Path, now_s: i64) -> Option<Finding> {
    let pem = std::fs::read_to_string(data.join("agent/certificate.pem")).ok()?;
    let validity = certificate::validity(&certificate::first_in_pem(&pem)?)?;
    let found = format!("ends {}", when(validity.until_s, now_s));
    let advice = "it is renewed while the agent runs and reaches its gateway: see the agent's log";
    Some(if late(validity, now_s) {
        note("agent's certificate", found, advice)
    } else {
        ok("agent's certificate", found)
    })
}

/// Whether less than a sixth of its life is left: it is renewed with a third left.
fn late(validity: Validity, now_s: i64) -> bool {
    (validity.until_s - now_s) < (validity.until_s - validity.from_s) / 6
}

fn when(until_s: i64, now_s: i64) -> String {
    let at = Timestamp::from_second(until_s).map(|at| at.to_string()).unwrap_or_default();
    match until_s - now_s {
        left @ DAY.. => format!("{at} (in {} days)", left / DAY),
        left @ 0.. => format!("{at} (in {} h)", left / 3600),
        _ => format!("{at} (it has ended)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_was_not_renewed_is_noted() {
        let validity = Validity { from_s: 0, until_s: 30 * DAY };
        assert!(!late(validity, 20 * DAY));
        assert!(late(validity, 26 * DAY));
        assert!(when(30 * DAY, 20 * DAY).ends_with("(in 10 days)"));
        assert!(when(DAY, DAY - 7200).ends_with("(in 2 h)"));
        assert!(when(1, 2).ends_with("(it has ended)"));
        assert!(findings(None, None, 0).is_empty());
    }
}
