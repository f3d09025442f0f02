//! Which versions of the protocol work together: those one apart, so that gateway and agents can be upgraded one after
//! another, in any order, while runs are under way.
//!
//! One step does not count as "one apart": from 1 to 2, where TLS came. A peer of protocol 1 speaks in the clear, and
//! answering it would let anyone choose the weaker protocol; so its only answer is to upgrade ([`without_tls`]).
//!
//! Both sides send their [`PROTOCOL`] in `Hello`, and both refuse a peer that is further away, with the text of
//! [`objection`]. Between peers one apart the newer one adapts: it sends nothing that the older would misread. What the
//! older does not know of a message (fields, kinds of events, values of enums) it skips, or takes as the plainest value
//! that is safe: an unknown verdict keeps a run, an unknown cancel mode is a break, an unknown cause of an end leaves
//! the end as reported. So growth needs no new number; only a change that an older peer would *misread* does, and then
//! the code for the number before it stays for one version.

use crate::PROTOCOL;

/// The oldest protocol that is accepted: the first with TLS.
pub const OLDEST: u32 = 2;

/// The answer to a call without TLS, which is how peers of protocol 1 call.
pub fn without_tls(me: &str, peer: &str) -> String {
    format!(
        "this {me} speaks protocol {PROTOCOL} (longhaul {}), over TLS alone, and the call came without, as those of \
         protocol 1 (longhaul 0.1.0) do: upgrade the {peer}; runs under way go on meanwhile",
        env!("CARGO_PKG_VERSION")
    )
}

/// Why `me` ("gateway" or "agent") cannot work with `peer` of this protocol and program version; `None` = they can. A
/// peer that sends no protocol is not one of Longhaul's.
pub fn objection(me: &str, peer: &str, protocol: u32, version: &str) -> Option<String> {
    words((me, PROTOCOL), (peer, protocol), version)
}

fn words((me, mine): (&str, u32), (peer, theirs): (&str, u32), version: &str) -> Option<String> {
    if theirs == 0 {
        return Some(format!("the {peer} does not say which protocol it speaks: install longhaul on both sides"));
    }
    let too_old = theirs.min(mine) < OLDEST && theirs != mine;
    if theirs.abs_diff(mine) <= 1 && !too_old {
        return None;
    }
    let own = env!("CARGO_PKG_VERSION");
    // Sent by a peer that has proved nothing: no more of it than a version needs.
    let version: String = version.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
    let version = if version.is_empty() { "unknown" } else { &version };
    let older = if theirs < mine { peer } else { me };
    let rule =
        if too_old { "1 and later ones do not work together" } else { "they work together when at most one apart" };
    Some(format!(
        "the {peer} speaks protocol {theirs} (longhaul {version}), this {me} {mine} (longhaul {own}), and {rule}: \
         upgrade the {older}; runs under way go on meanwhile"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_apart_works_and_further_names_the_one_to_upgrade() {
        // This side's, the other's, which one is to be upgraded.
        let cases = [
            (2, 2, None),
            (2, 3, None),
            // TLS came between these two.
            (1, 2, Some("gateway")),
            (2, 1, Some("agent")),
            (1, 3, Some("gateway")),
            (3, 1, Some("agent")),
            (3, 2, None),
            (3, 4, None),
            (3, 5, Some("gateway")),
            (7, u32::MAX, Some("gateway")),
        ];
        for (mine, theirs, upgrade) in cases {
            let objection = words(("gateway", mine), ("agent", theirs), "9.9.9");
            assert_eq!(objection.is_some(), upgrade.is_some(), "{mine} {theirs}: {objection:?}");
            // Both sides come to the same result, and name the same side.
            let other = words(("agent", theirs), ("gateway", mine), "1.1.1");
            assert_eq!(other.is_some(), upgrade.is_some(), "{mine} {theirs}: {other:?}");
            if let Some(who) = upgrade {
                let objection = objection.unwrap() + "\n" + &other.unwrap();
                assert_eq!(objection.matches(&format!("upgrade the {who};")).count(), 2, "{objection}");
                assert!(objection.contains("9.9.9"), "{objection}");
            }
        }
        assert!(words(("gateway", 1), ("agent", 0), "").unwrap().contains("does not say"));
        assert!(without_tls("gateway", "agent").contains("upgrade the agent"));
        let long = words(("gateway", 1), ("agent", 9), &format!("1.0\n{}", "x".repeat(500))).unwrap();
        assert!(long.len() < 300 && !long.contains('\n'), "{long}");
    }

    #[test]
    fn what_a_newer_peer_adds_is_skipped() {
        use crate::wire;
        use prost::Message;
        // Field 900 of each wire type, as a newer peer would add it: varint, 8 bytes, length-delimited, 4 bytes.
        let mut news = Vec::new();
        for (wire_type, body) in [(0_u32, &[1_u8][..]), (1, &[7; 8]), (2, &[3, b'n', b'e', b'w']), (5, &[7; 4])] {
            prost::encoding::encode_varint(u64::from(900 << 3 | wire_type), &mut news);
            news.extend_from_slice(body);
        }
        let outcome = wire::Outcome { state: 77, cause: 78, log_len: 5, ..Default::default() };
        let bytes = [news.clone(), outcome.encode_to_vec(), news.clone()].concat();
        assert_eq!(wire::Outcome::decode(bytes.as_slice()).unwrap(), outcome, "unknown numbers stay what they are");
        // An event of an unknown kind is an event without content.
        let event = wire::RunEvent::decode(news.as_slice()).unwrap();
        assert_eq!(event, wire::RunEvent { event: None });
        let submission = wire::Submission { run_id: "r".to_owned(), ..Default::default() };
        let bytes = [submission.encode_to_vec(), news].concat();
        assert_eq!(wire::Submission::decode(bytes.as_slice()).unwrap().source, None, "a source of a newer kind");
    }
}
