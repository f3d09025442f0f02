//! Output as it comes, without what the wrapper around the do-file prints after it.
//!
//! A live log may end at any moment in lines that turn out to be the wrapper's:
//!
//! ```text
//! end of do-file                       the user's last line
//!
//! . file open lh7f3a9c21_1 using …     the wrapper's first
//! ```
//!
//! Until something else follows, a possible end is kept back; nothing else is. When the run has ended its record tells
//! the byte where the user's part ends, and [`Hold::finish`] gives what was kept back up to there. So what is shown is
//! always a prefix of the user's part, and at the end all of it.

/// The user's last line, unless a nested do-file ended.
const END: &[u8] = b"end of do-file";
/// How the wrapper's first echo after the user's do-file begins.
const OURS: &[u8] = b". file open lh";

/// Keeps back what may be the wrapper's.
#[derive(Debug)]
pub(crate) struct Hold {
    kept: Vec<u8>,
    /// Offset of the first kept byte.
    at: u64,
}

impl Hold {
    /// Begins at an offset of the log.
    pub(crate) fn new(at: u64) -> Self {
        Self { kept: vec![], at }
    }

    /// Takes the next bytes; returns those that are surely the user's.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.kept.extend_from_slice(bytes);
        let sure = suspect(&self.kept);
        self.at += sure as u64;
        self.kept.drain(..sure).collect()
    }

    /// The rest, once the run has ended; `end` is where the user's part ends, if that is known.
    pub(crate) fn finish(mut self, end: Option<u64>) -> Vec<u8> {
        let len = end.map_or(self.kept.len(), |end| usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX));
        self.kept.truncate(len);
        self.kept
    }
}

/// Where the first line stands that may belong to the end, or the length.
fn suspect(bytes: &[u8]) -> usize {
    let mut from = 0;
    while from < bytes.len() {
        let line = line_at(bytes, from);
        if line == b"\n" || line == b"\r\n" {
            // An empty line belongs to the end when the end follows it.
            let next = line_at(bytes, from + line.len());
            if may_be_end(next) && tail_is_open(bytes, from + line.len()) {
                return from;
            }
        } else if may_be_end(line) && tail_is_open(bytes, from) || begins(line, OURS) {
            return from;
        }
        from += line.len();
    }
    from
}

fn line_at(bytes: &[u8], from: usize) -> &[u8] {
    let rest = &bytes[from..];
    &rest[..rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |i| i + 1)]
}

/// Whether the line is `end of do-file`, or may become it.
fn may_be_end(line: &[u8]) -> bool {
    if line.ends_with(b"\n") { line.trim_ascii_end() == END } else { END.starts_with(line.trim_ascii_end()) }
}

/// Whether only unwinding and the wrapper's own lines follow the line at `from`.
fn tail_is_open(bytes: &[u8], from: usize) -> bool {
    let mut at = from + line_at(bytes, from).len();
    while at < bytes.len() {
        let line = line_at(bytes, at);
        if begins(line, OURS) {
            return true;
        }
        let text = line.trim_ascii_end();
        let open = may_be_end(line) && !line.ends_with(b"\n");
        let unwinding =
            text.is_empty() || text == b"." || text == b"--Break--" || text.starts_with(b"r(") || text == b"r";
        if !(open || unwinding) {
            return false;
        }
        at += line.len();
    }
    true
}

/// Whether the line begins like this, as far as it goes.
fn begins(line: &[u8], with: &[u8]) -> bool {
    let common = line.len().min(with.len());
    common > 0 && line[..common] == with[..common] && (common == with.len() || !line.ends_with(b"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUR_TAIL: &str = "\n. file open lh7f3a9c21_1 using `\"/spool/sentinel-1\"', write text\n\n. file close lh7f3a9c21_1\n\n. \nend of do-file\n";

    /// Whatever the pieces, what is shown before the end is a prefix of the user's part, and at the end it is all.
    fn check(user: &str, tail: &str) {
        let log = format!("{user}{tail}");
        for size in 1..=log.len() {
            let mut hold = Hold::new(100);
            let mut shown = vec![];
            for piece in log.as_bytes().chunks(size) {
                shown.extend(hold.push(piece));
                assert!(user.as_bytes().starts_with(&shown), "{size}: {:?}", String::from_utf8_lossy(&shown));
            }
            shown.extend(hold.finish(Some(100 + user.len() as u64)));
            assert_eq!(String::from_utf8(shown).unwrap(), user, "in pieces of {size}");
        }
    }

    #[test]
    fn the_wrapper_is_never_shown() {
        check("\n. display 1\n1\n\n. \nend of do-file\n", OUR_TAIL);
        check("\n. do sub\n\n. di 1\n1\n\nend of do-file\n\n. di 2\n2\n\nend of do-file\n", OUR_TAIL);
        check("\n. error 9\nr(9);\n\nend of do-file\nr(9);\n", "\nend of do-file\nr(9);\n");
        check("\n. dots\n..........\n\nend of do-file\n", OUR_TAIL);
        check("", "");
    }

    #[test]
    fn only_a_possible_end_is_kept_back() {
        let shown = |text: &str| String::from_utf8(Hold::new(0).push(text.as_bytes())).unwrap();
        assert_eq!(shown("a\nb"), "a\nb");
        assert_eq!(shown("......"), "......");
        assert_eq!(shown("a\n\nend of do-file\n"), "a\n");
        assert_eq!(shown("a\n\nend of do-file\n\n. display 2\n"), "a\n\nend of do-file\n\n. display 2\n");
        assert_eq!(shown("end of days\n"), "end of days\n");
    }

    #[test]
    fn without_a_record_of_the_end_all_is_shown() {
        let mut hold = Hold::new(0);
        let mut shown = hold.push(b"x\n\nend of do-file\n");
        shown.extend(hold.finish(None));
        assert_eq!(shown, b"x\n\nend of do-file\n");
    }
}
