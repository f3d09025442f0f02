//! What Stata prints about itself when it starts: edition, version and licence.
//!
//! Both formats are read, that of releases up to 16 and that since 17. The serial number and the licensee's name must
//! not leave the host: [`masked`] removes them before anything is stored elsewhere. Seats and cores are reported to
//! people, who decide what may run; the agent applies none of it.

use std::sync::LazyLock;

use longhaul_proto::licence;
pub use longhaul_proto::licence::{Licence, Users};
use regex::Regex;
use serde::Serialize;

/// Stata's editions, the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Edition {
    /// Basic; called IC up to 16.
    Be,
    /// Standard; called Special up to 16.
    Se,
    /// Parallel, with a licensed number of cores.
    Mp,
}

/// The banner of a log or console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Banner {
    /// The edition; none if the banner does not say (as IC up to 16).
    pub edition: Option<Edition>,
    /// `17.0`, `19.5`.
    pub version: Option<String>,
    /// StataNow, the line of continuous releases.
    pub now: bool,
    /// The licence, if its line could be read.
    pub licence: Option<Licence>,
    /// It is the stand-in's.
    pub standin: bool,
}

/// Bytes from the start within which a banner must be.
const WITHIN: usize = 16 * 1024;

fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

static VERSION: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^(?: /__ |___/ ).*/\s+(StataNow )?(\d{1,2}\.\d)\b"));
static EDITION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?:^|\s)(?:(MP|SE|BE|IC)\s?[—-]\s?(?:Parallel|Standard|Special|Basic|Intercooled) Edition|(Special Edition))(?:\s|$)",
    )
});

/// Reads the banner at the beginning of `bytes`; none if there is none (as with `-q`).
pub fn read(bytes: &[u8]) -> Option<Banner> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(WITHIN)]);
    let mut banner = Banner::default();
    let mut found = false;
    for line in head.lines().map(str::trim_end) {
        if line.starts_with(". ") {
            break;
        }
        found |= is_art(line);
        banner.standin |= line.to_ascii_lowercase().contains("stand-in");
        if let Some(c) = VERSION.as_ref().and_then(|p| p.captures(line)) {
            banner.now |= c.get(1).is_some();
            banner.version = Some(c[2].to_owned());
        }
        if let Some(c) = EDITION.as_ref().and_then(|p| p.captures(line)) {
            banner.edition = Some(match c.get(1).map(|m| m.as_str()) {
                Some("MP") => Edition::Mp,
                Some("BE" | "IC") => Edition::Be,
                _ => Edition::Se,
            });
        }
        if banner.licence.is_none() {
            banner.licence = licence::read(line);
        }
    }
    (found || banner.licence.is_some()).then_some(banner)
}

/// Whether a line belongs to the picture that every banner starts with.
pub fn is_art(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("/__    /   ____/") || line.starts_with("___/   /   /___/")
}

/// The text with serial number and licensee replaced by `***`; everything else stays, line by line.
pub fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut licensee = false;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end_matches(['\n', '\r']);
        let words = body.trim_start();
        let label = ["Serial number:", "Licensed to:"].into_iter().find(|l| words.starts_with(l));
        let indent = body.len() - words.len();
        if let Some(label) = label {
            licensee = label == "Licensed to:";
            out.push_str(&body[..indent + label.len()]);
            out.push_str(" ***");
        } else if licensee && indent >= 10 && !words.is_empty() {
            out.push_str(&body[..indent]);
            out.push_str("***");
        } else {
            licensee = false;
            out.push_str(body);
        }
        out.push_str(&line[body.len()..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners() {
        fn check(text: &str, edition: Option<Edition>, version: &str, now: bool, standin: bool) {
            let found = read(text.as_bytes()).unwrap();
            assert_eq!(
                (found.edition, found.version.as_deref(), found.now, found.standin),
                (edition, Some(version), now, standin),
                "{text}"
            );
        }
        check(
            "\n /__    /   ____/   /   ____/      StataNow 19.5\n___/   /   /___/   /   /___/       SE—Standard Edition\n",
            Some(Edition::Se),
            "19.5",
            true,
            false,
        );
        check(
            " /__    /   ____/   /   ____/      17.0\n___/   /   /___/   /   /___/       MP—Parallel Edition\n",
            Some(Edition::Mp),
            "17.0",
            false,
            false,
        );
        check(
            "___/   /   /___/   /   /___/   13.1   Copyright 1985-2013 StataCorp LP\n     MP - Parallel Edition            College Station\n",
            Some(Edition::Mp),
            "13.1",
            false,
            false,
        );
        check(
            "___/   /   /___/   /   /___/   15.1   Copyright\n     Special Edition                  College Station\n",
            Some(Edition::Se),
            "15.1",
            false,
            false,
        );
        check(
            " /__    /   ____/   /   ____/      19.5\n___/   /   /___/   /   /___/       Stand-in—Not Stata\n",
            None,
            "19.5",
            false,
            true,
        );
        assert_eq!(read(b"\n. di \"stand-in\"\n"), None);
        assert_eq!(read(&[0xff; 40]), None);
    }

    #[test]
    fn names_are_masked() {
        let text = "Serial number: 401709\n  Licensed to: Ana\r\n               University\n\nNotes:\n          x\n";
        assert_eq!(
            masked(text),
            "Serial number: ***\n  Licensed to: ***\r\n               ***\n\nNotes:\n          x\n"
        );
        assert_eq!(masked("  Licensed to: a\n. di 1"), "  Licensed to: ***\n. di 1");
    }

    proptest::proptest! {
        #[test]
        fn sure_output_is_no_banner(line in r"([.:>er/_ x1-]|end of do-file|\PC){0,9}") {
            if crate::stata::echo::is_output(line.as_bytes()) {
                proptest::prop_assert!(!is_art(&line));
            }
        }
    }
}
