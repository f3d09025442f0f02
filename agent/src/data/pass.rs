//! Going through observations: those that `in` and `if` mean, in blocks, as long as there is time.

use std::ops::Range;

use super::{
    filter::Filter,
    head::Head,
    long::{Index, LongTexts},
    refused::Refused,
    row::Row,
    source::Source,
};

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;

/// Which observations are meant.
pub(super) struct Selection {
    pub(super) filter: Option<Filter>,
    /// From 0.
    pub(super) range: Range<u64>,
}

impl Selection {
    /// Reads what stands after `if` and `in`.
    pub(super) fn read(head: &Head, condition: &str, range: &str) -> Result<Self, Refused> {
        Ok(Self { filter: Filter::read(head, condition)?, range: self::range(head.observations, range)? })
    }
}

/// `5`, `1/20`, `-5/l`, `f/10`: observations, from 0.
fn range(count: u64, text: &str) -> Result<Range<u64>, Refused> {
    let text = text.trim();
    let text = text.strip_prefix("in ").unwrap_or(text).trim();
    if text.is_empty() {
        return Ok(0..count);
    }
    let wrong = || Refused::asked(format!("the range {text} means nothing: write for example 1/20, 500, or -5/l"));
    let place = |word: &str| -> Result<u64, Refused> {
        Ok(match word.trim() {
            "f" | "F" => 1,
            "l" | "L" => count,
            word => match word.parse::<i64>().map_err(|_| wrong())? {
                n if n < 0 => (count + 1).saturating_sub(n.unsigned_abs()),
                n => n.unsigned_abs(),
            },
        })
    };
    let (first, last) = text.split_once('/').unwrap_or((text, text));
    let (first, last) = (place(first)?, place(last)?);
    if first < 1 || last > count || first > last {
        return Err(Refused::asked(format!(
            "the range {text} is not in the file: it has {count} observation{}",
            if count == 1 { "" } else { "s" }
        )));
    }
    Ok(first - 1..last)
}

/// How far a pass came.
#[derive(Clone, Debug, Default)]
pub(super) struct Through {
    /// Observations that were meant.
    pub(super) used: u64,
    /// It ended early: after so many of so many observations.
    pub(super) cut: Option<String>,
}

/// Whether to go on to the next observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Stop,
}

/// What to do when the time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUp {
    /// What there is is an answer, which says so.
    Answer,
    /// It would pass for the whole.
    Fail,
}

/// Where the long strings are, if any of these variables or the condition needs them.
pub(super) fn index(
    source: &mut Source,
    head: &Head,
    selection: &Selection,
    variables: &[usize],
) -> Result<Index, Refused> {
    let needed = variables.iter().chain(selection.filter.iter().flat_map(Filter::uses));
    if needed.into_iter().any(|n| head.variables[*n].kind == super::head::Kind::LongText) {
        return Index::read(source, head, None);
    }
    Ok(Index::none())
}

/// Calls `each` for every observation that is meant.
pub(super) fn each(
    source: &Source,
    head: &Head,
    selection: &Selection,
    long: &LongTexts<'_>,
    time_up: TimeUp,
    mut each: impl FnMut(&Row<'_>) -> Result<Next, Refused>,
) -> Result<Through, Refused> {
    let mut through = Through::default();
    let watch = source.watch();
    let Range { start, end } = selection.range;
    let most = (BLOCK / head.row.max(1)).max(1);
    let mut block = Vec::new();
    let mut at = start;
    while at < end {
        match watch.check() {
            Err(Refused::TimeUp(limit)) if time_up == TimeUp::Answer => {
                through.cut = Some(format!(
                    "Cut off after {limit} s: it is of observations {} to {at} of {end}. Name fewer with `in`, or let Stata do \
                     it in a run.",
                    start + 1
                ));
                break;
            }
            done => done?,
        }
        let rows = most.min(usize::try_from(end - at).unwrap_or(usize::MAX));
        block.resize(rows * head.row, 0);
        source.exactly(head.data_at + at * head.row as u64, &mut block)?;
        for (n, bytes) in (at..).zip(block.chunks_exact(head.row)) {
            let row = Row { head, bytes, n, long };
            if selection.filter.as_ref().is_none_or(|filter| filter.fits(&row)) {
                through.used += 1;
                if each(&row)? == Next::Stop {
                    long.whole()?;
                    return Ok(through);
                }
            }
        }
        long.whole()?;
        at += rows as u64;
    }
    Ok(through)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |text: &str, want: Option<Range<u64>>| assert_eq!(range(74, text).ok(), want, "{text}");
        check("", Some(0..74));
        check("5", Some(4..5));
        check("in 1/20", Some(0..20));
        check("-5/l", Some(69..74));
        check("f/3", Some(0..3));
        check("l", Some(73..74));
        for wrong in ["0", "75", "20/1", "a", "1/", "-75", "1/2/3", "9223372036854775808"] {
            check(wrong, None);
        }
        assert!(range(0, "").unwrap().is_empty());
    }
}
