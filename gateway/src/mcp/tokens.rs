//! How many tokens a model reads in a text, by estimate.
//!
//! Models cut text by byte-pair tables of their own, which are not published for every model. All of them first cut it
//! into words with the blank before them, digits in groups of at most three, and runs of other characters, so that a
//! table of numbers has three times as many tokens as prose of its length. The estimate follows these cuts, and is
//! rather too high: four letters, three digits or eight equal other characters count as one.

/// The estimate.
pub(super) fn tokens(text: &str) -> usize {
    let (mut count, mut before, mut run) = (0, Kind::Blank, 0);
    let mut last = '\0';
    for c in text.chars() {
        let kind = Kind::of(c);
        let goes_on = kind == before && (kind != Kind::Other || c == last);
        run = if goes_on { run + 1 } else { 0 };
        // One blank belongs to the word behind it.
        count += usize::from(if kind == Kind::Blank { run == 1 } else { run % kind.room() == 0 });
        (before, last) = (kind, c);
    }
    count
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Blank,
    Other,
    /// Of scripts and signs that tables hold few of.
    Foreign,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            c if !c.is_ascii() => Self::Foreign,
            c if c.is_ascii_alphabetic() => Self::Letter,
            c if c.is_ascii_digit() => Self::Digit,
            ' ' => Self::Blank,
            _ => Self::Other,
        }
    }

    /// Characters of one token.
    fn room(self) -> usize {
        match self {
            Self::Letter => 4,
            Self::Digit => 3,
            Self::Blank | Self::Foreign => 1,
            Self::Other => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_more_tokens_than_prose() {
        let check = |text: &str, want: usize| assert_eq!(tokens(text), want, "{text:?}");
        check("", 0);
        check("a file is", 3);
        check("estimate", 2);
        check("1234567", 3);
        check("----------------", 2);
        check("      ", 1);
        check("\n", 1);
        check("| 3.5 |", 5);
        check("\u{e9}\u{e9}", 2);
        let (prose, table) = (
            "the model was estimated with robust standard errors",
            "  1.23  4.56  7.89  .012  3.45  6.78  9.01  2.34 ",
        );
        assert!(tokens(table) > tokens(prose) * 2, "{} {}", tokens(table), tokens(prose));
    }
}
