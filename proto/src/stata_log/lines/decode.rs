//! Which encoding the lines of a log are in: see [`Encoding`]. Before release 14 there was no UTF-8: the banner tells, and
//! then the whole log is in the older encoding.

pub use crate::encoding::Encoding;

/// Whether a line is that of a banner which names a release before 14.
pub(super) fn is_before_unicode(raw: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(raw) else { return false };
    let Some(picture) = text.trim_start().strip_prefix("___/   /   /___/   /   /___/") else { return false };
    let release: String = picture.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    release.split_once('.').and_then(|(major, _)| major.parse::<u32>().ok()).is_some_and(|major| major < 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_banners() {
        assert!(is_before_unicode(b"___/   /   /___/   /   /___/   12.1   Copyright 1985-2011 StataCorp LP"));
        assert!(!is_before_unicode(b"___/   /   /___/   /   /___/   15.1   Copyright"));
        assert!(!is_before_unicode("___/   /   /___/   /   /___/       MP\u{2014}Parallel Edition".as_bytes()));
    }
}
