//! The functions of conditions.

use super::parse::Expr;

/// What the arguments must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// So many numbers.
    Numbers(usize),
    /// So many numbers, or one fewer.
    NumbersOrFewer(usize),
    /// One text.
    Text,
    /// Two texts.
    Texts,
    /// A text and two numbers.
    Part,
    /// Any, at least one.
    Any,
    /// So many or more, all of a kind.
    Alike(usize, usize),
}

/// A function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) gives_text: bool,
    takes: Takes,
}

const fn of(name: &'static str, takes: Takes) -> Function {
    Function { name, gives_text: false, takes }
}

const fn text(name: &'static str, takes: Takes) -> Function {
    Function { name, gives_text: true, takes }
}

const ALL: [Function; 27] = [
    of("missing", Takes::Any),
    of("mi", Takes::Any),
    of("inlist", Takes::Alike(2, 255)),
    of("inrange", Takes::Alike(3, 3)),
    of("abs", Takes::Numbers(1)),
    of("int", Takes::Numbers(1)),
    of("floor", Takes::Numbers(1)),
    of("ceil", Takes::Numbers(1)),
    of("round", Takes::NumbersOrFewer(2)),
    of("mod", Takes::Numbers(2)),
    of("float", Takes::Numbers(1)),
    of("ln", Takes::Numbers(1)),
    of("sqrt", Takes::Numbers(1)),
    of("year", Takes::Numbers(1)),
    of("month", Takes::Numbers(1)),
    of("day", Takes::Numbers(1)),
    of("mdy", Takes::Numbers(3)),
    of("dofc", Takes::Numbers(1)),
    of("strlen", Takes::Text),
    of("ustrlen", Takes::Text),
    of("strpos", Takes::Texts),
    of("strmatch", Takes::Texts),
    text("strlower", Takes::Text),
    text("lower", Takes::Text),
    text("strupper", Takes::Text),
    text("strtrim", Takes::Text),
    text("substr", Takes::Part),
];

/// Names of a function that newer ones have replaced.
const ALSO: [(&str, &str); 5] =
    [("upper", "strupper"), ("trim", "strtrim"), ("length", "strlen"), ("log", "ln"), ("usubstr", "substr")];

pub(super) fn find(name: &str) -> Option<Function> {
    let name = ALSO.iter().find(|(also, _)| *also == name).map_or(name, |(_, own)| own);
    ALL.iter().find(|function| function.name == name).copied()
}

pub(super) fn names() -> String {
    ALL.map(|function| function.name).join(", ")
}

/// # Errors
/// What is wrong with the arguments.
pub(super) fn check(function: &Function, args: &[Expr]) -> Result<(), String> {
    let kinds: Vec<bool> = args.iter().map(Expr::is_text).collect();
    let (fits, wanted) = match function.takes {
        Takes::Numbers(n) => (kinds == vec![false; n], format!("it takes {n} number(s)")),
        Takes::NumbersOrFewer(n) => {
            ((n - 1..=n).contains(&kinds.len()) && !kinds.contains(&true), format!("it takes {} or {n} numbers", n - 1))
        }
        Takes::Text => (kinds == [true], "it takes one text".to_owned()),
        Takes::Texts => (kinds == [true, true], "it takes two texts".to_owned()),
        Takes::Part => (kinds == [true, false, false], "it takes a text and two numbers".to_owned()),
        Takes::Any => (!kinds.is_empty(), "it takes at least one argument".to_owned()),
        Takes::Alike(least, most) => (
            (least..=most).contains(&kinds.len()) && kinds.iter().all(|kind| *kind == kinds[0]),
            format!("it takes {least} to {most} arguments, all numbers or all texts"),
        ),
    };
    if fits { Ok(()) } else { Err(wanted) }
}
