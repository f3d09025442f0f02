//! Loops that call do-files by the name of their variable: `foreach f in a b { do "`f'.do" }`.

use super::call::{Call, Macros, words};
use crate::stata::commands::{first_word, program_name};

/// Most values of one loop that are followed.
const VALUES: usize = 1000;

/// A loop whose values are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loop {
    name: String,
    values: Vec<String>,
}

/// The loop that a line starts, if any.
pub(super) fn loops(text: &str, macros: &Macros<'_>) -> impl Iterator<Item = Loop> {
    head(text, macros).into_iter()
}

fn head(text: &str, macros: &Macros<'_>) -> Option<Loop> {
    let text = text.trim().strip_suffix('{')?.trim();
    let (word, rest) = text.split_once([' ', '\t'])?;
    let name_end = |rest: &str| rest.find([' ', '\t', '=']).unwrap_or(rest.len());
    let rest = rest.trim();
    let (name, rest) = rest.split_at(name_end(rest));
    let rest = rest.trim();
    let values = if word == "foreach" {
        if let Some(list) = rest.strip_prefix("in ") {
            words(list).iter().map(|w| macros.expand(w)).collect::<Option<Vec<_>>>()?
        } else {
            let (kind, list) = rest.strip_prefix("of ")?.trim().split_once([' ', '\t'])?;
            match kind {
                "local" | "loc" => words(&macros.expand(&format!("`{}'", list.trim()))?),
                "global" | "glo" => words(&macros.expand(&format!("${{{}}}", list.trim()))?),
                "numlist" | "num" => numbers(&macros.expand(list)?)?,
                _ => return None,
            }
        }
    } else if word.len() >= 4 && "forvalues".starts_with(word) {
        numbers(&macros.expand(rest.strip_prefix('=')?)?)?
    } else {
        return None;
    };
    (values.len() <= VALUES).then(|| Loop { name: name.to_owned(), values })
}

/// `1/3`, `1(2)7`, `1 2 3`.
fn numbers(list: &str) -> Option<Vec<String>> {
    let mut all = vec![];
    for part in list.split_whitespace() {
        let whole = |text: &str| text.trim().parse::<i64>().ok();
        let (from, step, to) = if let Some((from, to)) = part.split_once('/') {
            (whole(from)?, 1, whole(to)?)
        } else if let Some((from, rest)) = part.split_once('(') {
            let (step, to) = rest.split_once(')')?;
            (whole(from)?, whole(step)?, whole(to)?)
        } else {
            (whole(part)?, 1, whole(part)?)
        };
        let mut n = from;
        while step != 0 && (if step > 0 { n <= to } else { n >= to }) {
            if all.len() > VALUES {
                return None;
            }
            all.push(n.to_string());
            n = n.checked_add(step)?;
        }
    }
    Some(all)
}

/// How often the body of the loop runs that a line starts; once, if it starts a program. None if that is not known.
pub(in crate::stata) fn times(head_line: &str, macros: &Macros<'_>) -> Option<u32> {
    if program_name(head_line).is_some() {
        return Some(1);
    }
    u32::try_from(head(head_line, macros)?.values.len()).ok()
}

/// Whether a line of a body decides what of the body runs, or how often.
pub(in crate::stata) fn decides(text: &str) -> bool {
    let word = first_word(text.trim_start_matches(['}', ' ', '\t']));
    is_condition(text)
        || matches!(word, "foreach" | "while" | "exit")
        || (word.len() >= 4 && "forvalues".starts_with(word))
}

/// Whether a line of a body makes the following lines conditional.
pub(super) fn is_condition(text: &str) -> bool {
    let word = text.trim_start_matches(['}', ' ', '\t']);
    let word = &word[..word.find(|c: char| !c.is_alphabetic()).unwrap_or(word.len())];
    matches!(word, "if" | "else" | "while" | "continue" | "cap" | "capt" | "captu" | "captur" | "capture")
}

/// The calls of all rounds in their order, loop variables replaced. Each loop counts as nested in the one before it;
/// where calls between them contradict that, fewer calls fit, and the place stays the loop's.
pub(super) fn rounds<'a>(loops: &'a [Loop], calls: &'a [Call]) -> impl Iterator<Item = Call> + 'a {
    let total = loops.iter().try_fold(1_usize, |n, l| n.checked_mul(l.values.len())).unwrap_or(0);
    (0..total).flat_map(move |round| {
        calls.iter().map(move |call| {
            let (mut call, mut rest) = (call.clone(), round);
            for l in loops.iter().rev() {
                let value = &l.values[rest % l.values.len()];
                rest /= l.values.len();
                let put = |text: &mut String| *text = text.replace(&format!("`{}'", l.name), value);
                put(&mut call.file);
                call.args.iter_mut().for_each(put);
            }
            call
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{super::call::parse, *};

    fn names(heads: &[&str], body: &[&str]) -> Vec<String> {
        let mut locals = HashMap::from([("list".to_owned(), "x y".to_owned())]);
        let mut globals = HashMap::new();
        let macros = Macros { locals: &mut locals, globals: &mut globals, directory: None };
        let all: Vec<Loop> = heads.iter().flat_map(|h| loops(h, &macros)).collect();
        assert_eq!(all.len(), heads.len(), "{heads:?}");
        let calls: Vec<Call> = body.iter().filter_map(|b| parse(b)).collect();
        rounds(&all, &calls).map(|c| c.file).collect()
    }

    #[test]
    fn rounds_name_their_files() {
        assert_eq!(names(&["foreach f in a \"b c\" {"], &["do \"`f'.do\""]), ["a.do", "b c.do"]);
        assert_eq!(names(&["foreach f of local list {"], &["do `f'", "do z"]), ["x", "z", "y", "z"]);
        assert_eq!(names(&["forvalues i = 1(2)5 {"], &["do `i'"]), ["1", "3", "5"]);
        assert_eq!(
            names(&["forval i=2/3 {", "foreach f of numlist 7 8 {"], &["do `i'_`f'"]),
            ["2_7", "2_8", "3_7", "3_8"]
        );
        assert_eq!(names(&[], &["do sub"]), ["sub"], "a program is one round");
        assert_eq!(names(&["forvalues i = 3/1 {"], &["do `i'"]), [""; 0]);
    }

    #[test]
    fn conditions() {
        assert!(is_condition("if 1 {") && is_condition("} else {") && is_condition("capture do x"));
        assert!(!is_condition("display 1") && !is_condition("ifelse"));
    }
}
