//! One directive, taken apart: `{name}`, `{name:text}`, `{name arguments}` or `{name arguments:text}`.

/// Where its parts are in the whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    pub(super) name: &'a str,
    /// Between the name and the colon; all behind the name where there is no colon.
    pub(super) arguments: &'a str,
    /// Behind the colon: from, to.
    pub(super) text: Option<(usize, usize)>,
    /// All behind the name: from, to.
    pub(super) rest: (usize, usize),
}

/// Takes the inside of a pair of braces apart, `text[start..end]`.
pub(super) fn parse(text: &str, start: usize, end: usize) -> Directive<'_> {
    let inside = &text[start..end];
    let len = inside.find([':', ' ', '\t', '\n', '\r', '{']).unwrap_or(inside.len());
    let name = &inside[..len];
    let after = start + len;
    if inside[len..].starts_with(':') {
        return Directive { name, arguments: "", text: Some((after + 1, end)), rest: (after + 1, end) };
    }
    let rest = (after + inside[len..].len() - inside[len..].trim_start().len(), end);
    match outer_colon(&text[rest.0..end]) {
        Some(colon) => {
            Directive { name, arguments: &text[rest.0..rest.0 + colon], text: Some((rest.0 + colon + 1, end)), rest }
        }
        None => Directive { name, arguments: &text[rest.0..end], text: None, rest },
    }
}

/// The first colon that stands neither in braces nor in quotes.
fn outer_colon(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0_u32, false);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => depth = depth.saturating_sub(1),
            b':' if depth == 0 && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The first of some arguments, which may be in quotes, compound ones too.
pub(super) fn quoted(arguments: &str) -> (&str, &str) {
    let text = arguments.trim();
    for (open, close) in [("`\"", "\"'"), ("\"", "\"")] {
        if let Some(inside) = text.strip_prefix(open) {
            return match inside.find(close) {
                Some(at) => (&inside[..at], &inside[at + close.len()..]),
                None => (inside, ""),
            };
        }
    }
    match text.find([' ', '\t', '\n']) {
        Some(at) => (&text[..at], &text[at..]),
        None => (text, ""),
    }
}
