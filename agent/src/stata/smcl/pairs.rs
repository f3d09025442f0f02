//! Which braces belong together.
//!
//! A directive may go on over lines of one paragraph; one that is not closed until its end is text, so that a single
//! brace too many costs a paragraph at most.

/// Directives that begin a line of their own and never stand within another.
const STARTS: &[&str] = &[
    "{p ",
    "{p}",
    "{p_end}",
    "{pstd",
    "{phang",
    "{pmore",
    "{pin",
    "{psee",
    "{title:",
    "{marker ",
    "{synopt:",
    "{synopt ",
    "{syntab:",
    "{syntab ",
    "{p2col",
    "{dlgtab",
    "{synoptset",
    "{synopthdr",
    "{viewer",
];

/// Positions of opening braces with those of the braces that close them, in order.
pub(super) fn find(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let (mut open, mut pairs): (Vec<usize>, Vec<(usize, usize)>) = (vec![], vec![]);
    let mut line = 0;
    for at in memchr::memchr3_iter(b'{', b'}', b'\n', bytes) {
        match bytes[at] {
            b'\n' => {
                let next = text[at + 1..].trim_start_matches([' ', '\t', '\r']);
                if next.is_empty() || next.starts_with('\n') {
                    open.clear();
                }
                line = at + 1;
            }
            b'{' => {
                if at == line && STARTS.iter().any(|start| text[at..].starts_with(start)) {
                    open.clear();
                }
                open.push(at);
            }
            _ => {
                if let Some(start) = open.pop() {
                    pairs.push((start, at));
                }
            }
        }
    }
    pairs.sort_unstable();
    pairs
}
