//! What stands before a command: `quietly`, `by id:`, the condition of an `if` in one line.

use crate::stata_log::commands::without_prefixes;

/// Prefixes that end with a colon, with the fewest letters that Stata takes.
const WITH_COLON: [(&str, usize); 22] = [
    ("by", 2),
    ("bysort", 3),
    ("version", 3),
    ("frame", 2),
    ("xi", 2),
    ("svy", 3),
    ("bootstrap", 4),
    ("bs", 2),
    ("jackknife", 4),
    ("permute", 7),
    ("simulate", 3),
    ("statsby", 7),
    ("rolling", 7),
    ("nestreg", 7),
    ("stepwise", 8),
    ("fp", 2),
    ("mfp", 3),
    ("mi", 2),
    ("collect", 7),
    ("parallel", 8),
    ("timeit", 6),
    ("rangestat", 9),
];

/// The command without all of them; `None` = it has none.
pub(super) fn without(command: &str) -> Option<&str> {
    let mut rest = command.trim_start_matches(['}', '{', ' ', '\t']);
    // More than a person would write.
    for _ in 0..8 {
        let before = rest;
        rest = without_prefixes(rest).trim_start_matches(['}', '{', ' ', '\t']);
        let (word, behind) = first_word(rest);
        if word == "else" {
            rest = behind.trim_start();
        } else if WITH_COLON.iter().any(|(name, least)| is(word, name, *least))
            && let Some(at) = colon(behind)
        {
            rest = behind[at + 1..].trim_start();
        }
        if rest == before {
            break;
        }
    }
    (rest != command).then_some(rest)
}

/// The rest of `if …` or `while …`, in which a command may stand behind the condition.
pub(super) fn condition(command: &str) -> Option<&str> {
    let (word, rest) = first_word(command);
    (word == "if").then_some(rest)
}

/// The first word, of letters, digits and `_`, and what follows it.
pub(super) fn first_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len()))
}

/// Whether a word is this command, in full or shortened.
pub(super) fn is(word: &str, name: &str, least: usize) -> bool {
    word.len() >= least && name.starts_with(word)
}

/// Where the colon of a prefix is, outside of quotes and parentheses.
fn colon(text: &str) -> Option<usize> {
    let (mut quoted, mut depth) = (false, 0_i32);
    text.char_indices().find_map(|(at, c)| {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ':' if !quoted && depth == 0 => return Some(at),
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_off() {
        let check = |command: &str, want: Option<&str>| assert_eq!(without(command), want, "{command}");
        check("erase x", None);
        check("capture erase x", Some("erase x"));
        check("cap noi: erase x", Some("erase x"));
        check("quietly capture noisily erase x", Some("erase x"));
        check("by id (t): erase x", Some("erase x"));
        check("version 18: qui frame other: erase x", Some("erase x"));
        check("} else erase x", Some("erase x"));
        check("bootstrap r(mean), reps(10): erase x", Some("erase x"));
        check("simulate b=r(b), reps(\"a:b\") : erase x", Some("erase x"));
        check("by id", None);
    }
}
