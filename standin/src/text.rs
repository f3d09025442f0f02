//! Cutting commands into words, options and qualifiers, with respect for quotes and parentheses.

/// Byte ranges at the top level of `s`: calls `visit(at, char)` for every character outside quotes and brackets.
/// Returns the first position at which `visit` says yes.
pub(crate) fn find_top(s: &str, mut visit: impl FnMut(usize, char) -> bool) -> Option<usize> {
    let (mut quote, mut compound, mut depth) = (false, 0usize, 0usize);
    let mut iter = s.char_indices().peekable();
    while let Some((at, c)) = iter.next() {
        let next = iter.peek().map(|(_, c)| *c);
        match c {
            '`' if next == Some('"') && !quote => {
                compound += 1;
                iter.next();
            }
            '"' if next == Some('\'') && compound > 0 && !quote => {
                compound -= 1;
                iter.next();
            }
            '"' if compound == 0 => quote = !quote,
            _ if quote || compound > 0 => {}
            '(' | '[' => depth += 1,
            ')' | ']' if depth > 0 => depth -= 1,
            _ if depth == 0 && visit(at, c) => return Some(at),
            _ => {}
        }
    }
    None
}

/// Splits `cmd , options` at the first comma that is not quoted or in parentheses.
pub(crate) fn split_options(s: &str) -> (&str, &str) {
    match find_top(s, |_, c| c == ',') {
        Some(at) => (s[..at].trim(), s[at + 1..].trim()),
        None => (s.trim(), ""),
    }
}

/// The first blank-separated word and the rest.
pub(crate) fn word(s: &str) -> (&str, &str) {
    let s = s.trim_start();
    match s.find(char::is_whitespace) {
        Some(at) => (&s[..at], s[at..].trim_start()),
        None => (s, ""),
    }
}

/// The leading name of a command: letters, digits, underscores; or one of `!`, `#…`.
pub(crate) fn command_word(s: &str) -> (&str, &str) {
    let s = s.trim_start();
    if let Some(rest) = s.strip_prefix('!') {
        return ("!", rest);
    }
    let skip = usize::from(s.starts_with('#'));
    let end = s[skip..].find(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(s.len(), |i| i + skip);
    (&s[..end], &s[end..])
}

/// Splits into words; quotes keep blanks together and are taken off.
pub(crate) fn tokens(s: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = s.trim_start();
    while !rest.is_empty() {
        let (token, after) = token(rest);
        out.push(token);
        rest = after.trim_start();
    }
    out
}

/// One word, without its quotes, and what follows.
pub(crate) fn token(s: &str) -> (String, &str) {
    let s = s.trim_start();
    let b = s.as_bytes();
    if b.starts_with(b"`\"") {
        let (mut depth, mut i) = (0usize, 0);
        while i + 1 < b.len() {
            match (b[i], b[i + 1]) {
                (b'`', b'"') => (depth, i) = (depth + 1, i + 2),
                (b'"', b'\'') => {
                    (depth, i) = (depth - 1, i + 2);
                    if depth == 0 {
                        return (s[2..i - 2].to_owned(), &s[i..]);
                    }
                }
                _ => i += 1,
            }
        }
        return (s[2..].to_owned(), "");
    }
    if let Some(inner) = s.strip_prefix('"') {
        return match inner.find('"') {
            Some(end) => (inner[..end].to_owned(), &inner[end + 1..]),
            None => (inner.to_owned(), ""),
        };
    }
    let end = s.find(|c: char| c.is_whitespace()).unwrap_or(s.len());
    (s[..end].to_owned(), &s[end..])
}

/// The whole of `s` without the quotes around it, if it is one quoted string.
pub(crate) fn unquote(s: &str) -> &str {
    let s = s.trim();
    if let Some(inner) = s.strip_prefix("`\"").and_then(|r| r.strip_suffix("\"'")) {
        return inner;
    }
    s.strip_prefix('"').and_then(|r| r.strip_suffix('"')).unwrap_or(s)
}

/// The options in `s`: lower-cased name and, if there are parentheses, what is in them.
pub(crate) fn options(s: &str) -> Vec<(String, Option<String>)> {
    let mut out = Vec::new();
    let mut rest = s.trim_start_matches([',', ' ']);
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_whitespace() || c == '(' || c == ',').unwrap_or(rest.len());
        let name = rest[..end].to_lowercase();
        rest = &rest[end..];
        let mut arg = None;
        if rest.starts_with('(') {
            let close = closing(rest);
            arg = Some(rest[1..close.min(rest.len())].to_owned());
            rest = rest.get(close + 1..).unwrap_or_default();
        }
        if !name.is_empty() {
            out.push((name, arg));
        }
        rest = rest.trim_start_matches([',', ' ']);
    }
    out
}

/// Position of the parenthesis that closes the one at the start of `s`.
fn closing(s: &str) -> usize {
    let (mut depth, mut quote) = (0usize, false);
    for (i, c) in s.char_indices() {
        match c {
            '"' => quote = !quote,
            '(' if !quote => depth += 1,
            ')' if !quote => {
                depth -= 1;
                if depth == 0 {
                    return i;
                }
            }
            _ => {}
        }
    }
    s.len()
}

/// Whether `name` is at least `min` letters of `full`.
pub(crate) fn abbreviates(name: &str, full: &str, min: usize) -> bool {
    name.len() >= min && full.starts_with(name)
}

/// Position of `if` or `in` as a word at the top level.
pub(crate) fn find_word(s: &str, word: &str) -> Option<usize> {
    let mut previous = ' ';
    find_top(s, |at, c| {
        let boundary = !(previous.is_alphanumeric() || matches!(previous, '_' | '.' | '\''));
        previous = c;
        boundary
            && s[at..].starts_with(word)
            && s[at + word.len()..].chars().next().is_none_or(|c| c.is_whitespace() || c == '(' || c == '!')
    })
}

/// Whether `s` can name a variable, macro or program.
pub(crate) fn is_name(s: &str) -> bool {
    s.len() <= 32
        && s.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && s.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_options_come_apart() {
        assert_eq!(tokens("a \"b c\" `\"d \"e\" f\"' g"), ["a", "b c", "d \"e\" f", "g"]);
        assert_eq!(split_options("using \"a,b\" x(1,2), replace text"), ("using \"a,b\" x(1,2)", "replace text"));
        assert_eq!(
            options("title(a b) reps(5) nodots"),
            [("title".into(), Some("a b".into())), ("reps".into(), Some("5".into())), ("nodots".into(), None)]
        );
        assert_eq!(find_word("x = y if z > 1", "if"), Some(6));
        assert_eq!(find_word("verif = 1", "if"), None);
        assert_eq!(command_word("!ls -l"), ("!", "ls -l"));
        assert_eq!(command_word("#delimit ;"), ("#delimit", " ;"));
        assert_eq!(command_word("di \"x\""), ("di", " \"x\""));
        assert_eq!(unquote("`\"a b\"'"), "a b");
        assert!(abbreviates("di", "display", 2) && !abbreviates("d", "display", 2));
    }
}
