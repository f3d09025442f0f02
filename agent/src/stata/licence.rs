//! Messages of a start that failed for the licence. They go to the terminal; no log is made and the status is not zero.
//!
//! Two texts are known from public reports. What Stata prints when a licence has expired, or whether it ever refuses a
//! seat, is not public: such texts are recognised by typical words and marked as unconfirmed.

use serde::Serialize;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// No `stata.lic` where Stata looks.
    Missing,
    /// There is one, and Stata does not accept it.
    Invalid,
    /// It has expired (text unconfirmed).
    Expired,
    /// All seats are taken (text unconfirmed).
    NoSeat,
}

impl Trouble {
    /// What to do about it, for people.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Missing => "put stata.lic into Stata's folder, or run stinit there as its owner",
            Self::Invalid => "check that stata.lic belongs to this release and edition, or run stinit again",
            Self::Expired => "renew the licence, then run stinit in Stata's folder",
            Self::NoSeat => "wait for a seat, or lower the seats of this pool to what the licence allows",
        }
    }
}

/// A recognised failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LicenceFailure {
    /// What is wrong.
    pub trouble: Trouble,
    /// Whether the text is known to be Stata's.
    pub confirmed: bool,
    /// The line that says so, at most 200 characters.
    pub text: String,
}

/// Bytes of console output that are searched.
const WITHIN: usize = 64 * 1024;

/// Looks for licence trouble in what Stata wrote to its terminal (not in a log, where users write what they like).
pub fn recognise(console: &[u8]) -> Option<LicenceFailure> {
    let text = String::from_utf8_lossy(&console[..console.len().min(WITHIN)]);
    text.lines().find_map(|line| {
        let (trouble, confirmed) = words(line)?;
        Some(LicenceFailure { trouble, confirmed, text: line.trim().chars().take(200).collect() })
    })
}

fn words(line: &str) -> Option<(Trouble, bool)> {
    if line.contains("License is invalid") {
        return Some((Trouble::Invalid, true));
    }
    if line.contains("Cannot find license file") {
        return Some((Trouble::Missing, true));
    }
    let lower = line.to_lowercase();
    if !(lower.contains("license") || lower.contains("licence")) {
        return None;
    }
    let any = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    // A banner's licence line says `expires` or `expiring` and is no trouble.
    if any(&["has expired", "is expired", "expired on", "license expired", "licence expired"]) {
        Some((Trouble::Expired, false))
    } else if any(&["seat", "too many users", "maximum number of users", "all copies in use", "in use by"]) {
        Some((Trouble::NoSeat, false))
    } else if any(&["not found", "cannot find", "no license", "no licence", "missing"]) {
        Some((Trouble::Missing, false))
    } else if any(&["invalid", "not valid", "not accepted"]) {
        Some((Trouble::Invalid, false))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        fn check(console: &str, expected: Option<(Trouble, bool)>) {
            assert_eq!(recognise(console.as_bytes()).map(|f| (f.trouble, f.confirmed)), expected, "{console}");
        }
        check("", None);
        check("License is invalid\n", Some((Trouble::Invalid, true)));
        check("x\r\nCannot find license file stata.lic\r\n", Some((Trouble::Missing, true)));
        check("Your Stata license has expired.\n", Some((Trouble::Expired, false)));
        check("No license seat is free\n", Some((Trouble::NoSeat, false)));
        check("3-user 32-core Stata network license expires 29 Apr 2021:\n", None);
        check("Stata license: Single-user , expiring  8 Mar 2027\n", None);
        check("error while loading shared libraries: libncurses.so.5: cannot find\n", None);
    }
}
