//! Which versions of the protocol work together: those one apart, so that gateway and agents are upgraded one after
//! another, in any order, with runs under way.
//!
//! One step is not "one apart": from 1 to 2, where TLS came. A peer of protocol 1 speaks in the clear, and to answer it
//! at all would be to let everybody choose the weaker one; so it is told to upgrade ([`without_tls`]) and nothing else.
//!
//! Both sides say their [`PROTOCOL`] in `Hello`, and both refuse a peer that is further away, with the words of
//! [`objection`]. Between peers one apart the newer one adapts: it sends nothing that the older would misread. What the
//! older does not know of a message (fields, kinds of events, values of enums) it skips, or takes as the plainest value
//! that is safe: an unknown verdict keeps a run, an unknown way to cancel is a break, an unknown cause of an end leaves
//! the end as told. So growth needs no new number; only a change that an older peer would *misread* does, and then the
//! code that speaks to the number before it stays for one version.

use crate::PROTOCOL;

/// The oldest protocol that anything is answered to: the first with TLS.
pub const OLDEST: u32 = 2;

/// What a call without TLS is told, which is how peers of protocol 1 come.
pub fn without_tls(me: &str, peer: &str) -> String {
    format!(
        "this {me} speaks protocol {PROTOCOL} (longhaul {}), over TLS alone, and the call came without, as those of \
         protocol 1 (longhaul 0.1.0) do: upgrade the {peer}; runs under way go on meanwhile",
        env!("CARGO_PKG_VERSION")
    )
}

/// Why `me` ("gateway" or "agent") cannot work with `peer` of this protocol and program version; `None` = they can.
/// A peer that says no protocol is none of ours.
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
    // Said before anybody proved anything: no more of it than a version needs.
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
        // Mine, theirs, who is to be upgraded.
        let cases = [
            (2, 2, None),
            (2, 3, None),
            // TLS came between them.
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
            let told = words(("gateway", mine), ("agent", theirs), "9.9.9");
            assert_eq!(told.is_some(), upgrade.is_some(), "{mine} {theirs}: {told:?}");
            // Both sides come to the same end, and name the same one.
            let other = words(("agent", theirs), ("gateway", mine), "1.1.1");
            assert_eq!(other.is_some(), upgrade.is_some(), "{mine} {theirs}: {other:?}");
            if let Some(who) = upgrade {
                let told = told.unwrap() + "\n" + &other.unwrap();
                assert_eq!(told.matches(&format!("upgrade the {who};")).count(), 2, "{told}");
                assert!(told.contains("9.9.9"), "{told}");
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
        // An event of a kind that nobody here knows is an event without content.
        let event = wire::RunEvent::decode(news.as_slice()).unwrap();
        assert_eq!(event, wire::RunEvent { event: None });
        let submission = wire::Submission { run_id: "r".to_owned(), ..Default::default() };
        let bytes = [submission.encode_to_vec(), news].concat();
        assert_eq!(wire::Submission::decode(bytes.as_slice()).unwrap().source, None, "a source of a newer kind");
    }
}
