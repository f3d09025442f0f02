//! What a command is, by its words: a comment, an `exit`, the head of a program, behind any prefixes.

/// Whether a command is only a comment, which cannot fail.
pub fn is_comment(words: &str) -> bool {
    words.starts_with('*') || words.starts_with("//") || (words.starts_with("/*") && !words.contains("*/"))
}

/// Stata wants the option in capitals: `exit, STATA`, `exit 3, STATA clear`.
pub fn is_exit_stata(command: &str) -> bool {
    let Some((head, options)) = command.rsplit_once(',') else { return false };
    let exits = head.split(|c: char| !c.is_alphanumeric()).any(|w| w.len() >= 3 && "exit".starts_with(w));
    exits && options.split_whitespace().any(|w| w == "STATA")
}

/// A command without `capture`, `quietly` and `noisily` before it.
pub fn without_prefixes(command: &str) -> &str {
    let mut rest = command.trim();
    loop {
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let prefix = |whole: &str, least: usize| end >= least && whole.starts_with(&rest[..end]);
        if !(prefix("capture", 3) || prefix("quietly", 3) || prefix("noisily", 1)) {
            return rest;
        }
        rest = rest[end..].trim_start_matches([' ', '\t', ':']);
    }
}

/// The command behind the condition of an `if` in one line: `command` of the first rest of the text that it takes, tried where
/// a word begins that stands in no quotes and no parentheses.
pub fn behind_condition<'a>(text: &'a str, command: impl Fn(&'a str) -> Option<&'a str>) -> Option<&'a str> {
    let (mut quoted, mut depth, mut at_word) = (false, 0_i32, true);
    for (i, c) in text.char_indices() {
        if !quoted
            && depth == 0
            && at_word
            && c.is_alphabetic()
            && let Some(found) = command(&text[i..])
        {
            return Some(found);
        }
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        at_word = matches!(c, ' ' | '\t' | ')' | '"');
    }
    None
}

/// The first word of a command, behind its prefixes.
pub fn first_word(command: &str) -> &str {
    let command = without_prefixes(command);
    &command[..command.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(command.len())]
}

/// The name in `program [define] NAME [, options]`.
pub fn program_name(command: &str) -> Option<&str> {
    let mut words = without_prefixes(command).split([' ', '\t', ',']).filter(|word| !word.is_empty());
    // Stata accepts `pr` and longer.
    words.next().filter(|word| word.len() >= 2 && "program".starts_with(word))?;
    let name = words.next()?;
    let define = name.len() >= 2 && "define".starts_with(name);
    let name = if define { words.next()? } else { name };
    (!matches!(name, "drop" | "dir" | "list" | "l" | "di")).then_some(name)
}

/// `exit` with or without `clear`, which ends no Stata and brings no code.
pub fn is_exit(command: &str) -> bool {
    let command = without_prefixes(command);
    let (head, options) = command.split_once(',').unwrap_or((command, ""));
    let head = head.trim();
    head.len() >= 3 && "exit".starts_with(head) && options.split_whitespace().all(|w| w == "clear")
}

/// `log close`, `cap log close _all`.
pub fn closes_log(command: &str) -> bool {
    let mut words = without_prefixes(command).split_whitespace();
    words.next() == Some("log") && words.next().is_some_and(|w| "close".starts_with(w))
}

/// Whether an error of the line ends nothing.
pub fn is_captured(line: &str) -> bool {
    let words = line.trim_start_matches(['}', ' ', '\t']);
    let first = &words[..words.find(|c: char| !c.is_alphabetic()).unwrap_or(words.len())];
    first.len() >= 3 && "capture".starts_with(first)
}

/// Whether an error of the line is shown and ends nothing: `capture noisily`.
pub fn captures_noisily(line: &str) -> bool {
    let abbreviates = |word: &str, whole: &str, least: usize| word.len() >= least && whole.starts_with(word);
    let mut words = line.trim_start_matches(['}', ' ', '\t']).split([' ', '\t', ':']).filter(|word| !word.is_empty());
    let mut prefixes = words.by_ref().skip_while(|word| abbreviates(word, "quietly", 3));
    prefixes.next().is_some_and(|word| abbreviates(word, "capture", 3))
        && prefixes.next().is_some_and(|word| abbreviates(word, "noisily", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_exits() {
        assert_eq!(program_name("cap noi program define p, rclass"), Some("p"));
        assert_eq!(
            (program_name("pr main"), program_name("program drop main"), program_name("probit y x")),
            (Some("main"), None, None)
        );
        assert!(captures_noisily("cap noi: su x") && captures_noisily("qui capture n drop x"));
        assert!(!captures_noisily("capture drop n") && !captures_noisily("noisily capture x"));
        assert!(is_exit("qui exit, clear") && !is_exit("exit 3") && !is_exit("exit, STATA"));
        assert!(is_exit_stata("exit 3, STATA clear") && closes_log("cap log close _all") && !closes_log("log using x"));
        assert_eq!(
            (first_word("noi: fit_2 y"), is_captured("} cap drop x"), is_captured("drop x")),
            ("fit_2", true, false)
        );
    }
}
