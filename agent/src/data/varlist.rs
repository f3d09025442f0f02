//! The variables that a list means: names, unambiguous beginnings, patterns with `*` and `?`, ranges `a-b`.

use super::{head::Head, refused::Refused};

/// Most names told of a missing one.
const MOST_NEAR: usize = 3;

/// All variables that the words mean, each once, in the order in which they are named; none = all of the file.
pub(super) fn resolve(head: &Head, words: &[String]) -> Result<Vec<usize>, Refused> {
    let words: Vec<&str> =
        words.iter().flat_map(|word| word.split([' ', ',', '\t'])).filter(|word| !word.is_empty()).collect();
    if words.is_empty() || words == ["_all"] {
        return Ok((0..head.variables.len()).collect());
    }
    let mut found: Vec<usize> = Vec::new();
    for word in words {
        let fits: Vec<usize> = if word.contains(['*', '?', '~']) {
            let fits = |n: &usize| matches(&head.variables[*n].name, word);
            (0..head.variables.len()).filter(fits).collect()
        } else if let Some((first, last)) = word.split_once('-') {
            let (first, last) = (one(head, first)?, one(head, last)?);
            if first > last {
                return Err(Refused::asked(format!(
                    "the range {word} is empty: the second variable stands first in the file"
                )));
            }
            (first..=last).collect()
        } else {
            vec![one(head, word)?]
        };
        if fits.is_empty() {
            return Err(Refused::asked(format!("no variable fits {word}: action describe lists the variables")));
        }
        fits.into_iter().for_each(|n| {
            if !found.contains(&n) {
                found.push(n);
            }
        });
    }
    Ok(found)
}

/// The variable of a name, or of the beginning of one.
pub(super) fn one(head: &Head, name: &str) -> Result<usize, Refused> {
    let names = || head.variables.iter().map(|v| v.name.as_str());
    if let Some(exact) = names().position(|own| own == name) {
        return Ok(exact);
    }
    let begins: Vec<usize> =
        names().enumerate().filter(|(_, own)| own.starts_with(name)).map(|(n, _)| n).take(MOST_NEAR + 1).collect();
    match begins.as_slice() {
        [only] if !name.is_empty() => Ok(*only),
        [_, _, ..] if !name.is_empty() => {
            let all: Vec<&str> = begins.iter().take(MOST_NEAR).map(|n| head.variables[*n].name.as_str()).collect();
            Err(Refused::asked(format!("the variable {name} is ambiguous: it may be {}", all.join(", "))))
        }
        _ => {
            let near = |own: &&str| {
                let wrong = strsim::osa_distance(&own.to_lowercase(), &name.to_lowercase());
                wrong <= 2.min(name.chars().count() / 2)
            };
            let near: Vec<&str> = names().filter(near).take(MOST_NEAR).collect();
            let meant = match near.is_empty() {
                true => "action describe lists the variables".to_owned(),
                false => format!("did you mean {}?", near.join(" or ")),
            };
            Err(Refused::asked(format!("variable {name} not found: {meant}")))
        }
    }
}

/// Whether a name fits a pattern.
pub(super) fn matches(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) = (name.chars().collect(), pattern.chars().collect());
    let (mut n, mut p, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*' | '~') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (n, p) = (n + 1, p + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (n, p) = (from + 1, at + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| matches!(c, '*' | '~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check =
            |name: &str, pattern: &str, want: bool| assert_eq!(matches(name, pattern), want, "{name} {pattern}");
        check("price", "p*", true);
        check("price", "*e", true);
        check("price", "p?ice", true);
        check("price", "p?ce", false);
        check("a_b_a_c", "*a_c", true);
        check("price", "*", true);
        check("price", "price?", false);
        check("x1", "x~", true);
    }
}
