//! The judge for logs that do not fit in memory: 4 GiB in at most 8 MiB.
//!
//! The start of the log shows the dialect, the end the verdict. A loop may print for gigabytes after its echo, so the
//! failing command is searched backwards, by its prompt, and then parsed with some lines before it.

use std::io::{self, Read, Seek, SeekFrom};

use super::commands::is_comment;
use super::judge::{Judgement, LogEnd, Scan, judge, judge_in};
use super::lines::{Dialect, LineReader, decode::Encoding};
use super::view::ViewFinder;
use super::wrapper::Wrapper;

/// ReadSizes in bytes, in a struct so that tests can use small ones.
#[derive(Debug, Clone, Copy)]
struct ReadSizes {
    /// A file up to this size is read whole.
    whole: u64,
    /// What is read of the start, and on both sides of a prompt found.
    near: u64,
    /// What is read of the end, and each step back.
    step: u64,
}

const SIZES: ReadSizes = ReadSizes { whole: 4 << 20, near: 64 << 10, step: 1 << 20 };

/// Judges a log of any size. Errors are those of reading.
pub fn judge_file(file: &mut (impl Read + Seek)) -> io::Result<Judgement> {
    judge_file_in(file, Encoding::default())
}

/// The same, for a log whose words are in this encoding where they are no UTF-8.
pub fn judge_file_in(file: &mut (impl Read + Seek), encoding: Encoding) -> io::Result<Judgement> {
    judge_sized(file, SIZES, encoding)
}

fn judge_sized(file: &mut (impl Read + Seek), sizes: ReadSizes, encoding: Encoding) -> io::Result<Judgement> {
    let len = file.seek(SeekFrom::End(0))?;
    if len <= sizes.whole {
        return Ok(judge_in(&read(file, 0, len)?, encoding));
    }
    let mut head = Scan::default();
    let mut reader = LineReader::default().in_encoding(encoding);
    reader.push(&read(file, 0, sizes.near)?, |line| head.push(&line));
    let dialect = (reader.dialect(), encoding);

    // Of UTF-16 no unit may be torn.
    let whole_units = |at: u64| if dialect.0.wide.is_some() { at & !1 } else { at };
    let mut from = whole_units(len - sizes.step.min(len));
    let mut end = Scan::default();
    end.named = head.named;
    let mut tail = scan(file, from, len, dialect, end)?;
    if tail.state() != LogEnd::Succeeded && tail.last_command().is_none() {
        while from > 0 {
            let to = from;
            from = whole_units(from.saturating_sub(sizes.step));
            // A few bytes over the seam, so that a prompt lying across it is found.
            let block = read(file, from, (to + 16).min(len))?;
            let Some(at) = last_prompt(&block, dialect.0) else { continue };
            let at = from + at as u64;
            let near_from = whole_units(at.saturating_sub(sizes.near));
            let near = scan(file, near_from, (at + sizes.near).min(len), dialect, Scan::default())?;
            tail.set_last_command(near.last_command());
            break;
        }
    }
    Ok(tail.finish())
}

/// Judges the log of a run under `wrapper`, which is surer than the log's end alone: the echo of the sentinel's line
/// proves that the user's code returned, whatever came after; without it, an `end of do-file` is only that of a nested
/// do-file after which Stata was stopped. (The sentinel file itself is surer still; the caller checks it.)
pub fn judge_wrapped(file: &mut (impl Read + Seek), wrapper: &Wrapper, encoding: Encoding) -> io::Result<Judgement> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut finder = ViewFinder::new(wrapper);
    // The wrapper's last lines are short, whatever the user's code wrote before them.
    finder.push(&read(file, len.saturating_sub(SIZES.near), len)?);
    let mut judgement = judge_file_in(file, encoding)?;
    match (finder.reached_sentinel(), judgement.state) {
        (true, LogEnd::Failed | LogEnd::Incomplete) => judgement = judge(b". \nend of do-file\n"),
        (false, LogEnd::Succeeded) => judgement.state = LogEnd::Incomplete,
        _ => {}
    }
    Ok(judgement)
}

/// Scans on over the whole lines of `from..to`.
fn scan(
    file: &mut (impl Read + Seek),
    from: u64,
    to: u64,
    (dialect, encoding): (Dialect, Encoding),
    mut scan: Scan,
) -> io::Result<Scan> {
    let bytes = read(file, from, to)?;
    let skip = match dialect.wide {
        _ if from == 0 => Some(0),
        Some(order) => order.after_line_end(&bytes),
        None => bytes.iter().position(|&b| b == b'\n').map(|at| at + 1),
    };
    let skip = skip.unwrap_or(bytes.len());
    (scan.skipped, scan.from_within) = (from > 0, from > 0);
    let mut reader = LineReader::at(from + skip as u64, dialect).in_encoding(encoding);
    reader.push(&bytes[skip..], |line| scan.push(&line));
    if let Some(last) = reader.partial() {
        scan.push(&last);
    }
    Ok(scan)
}

/// Where the last echoed command in `block` starts; comments, braces and empty ones are skipped.
fn last_prompt(block: &[u8], dialect: Dialect) -> Option<usize> {
    if let Some(order) = dialect.wide {
        let text = order.decode(block);
        let at = last_prompt(text.as_bytes(), Dialect { wide: None, ..dialect })?;
        return Some(2 * text.get(..at)?.encode_utf16().count());
    }
    let prompt: &[u8] = match dialect {
        Dialect { smcl: true, .. } => b"{com}. ",
        Dialect { stamped: true, .. } => b"Z . ",
        _ => b"\n. ",
    };
    let mut end = block.len();
    while let Some(at) = block[..end].windows(prompt.len()).rposition(|w| w == prompt) {
        let line = &block[at + prompt.len()..];
        let line = &line[..line.iter().position(|&b| b == b'\n').unwrap_or(line.len())];
        let words = String::from_utf8_lossy(line);
        let words = words.trim();
        if !words.is_empty() && !words.starts_with('}') && !is_comment(words) {
            return Some(at);
        }
        end = at + prompt.len() - 1;
    }
    None
}

fn read(file: &mut (impl Read + Seek), from: u64, to: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = vec![];
    file.take(to.saturating_sub(from)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_wrapper_makes_it_sure() {
        fn check(log: &str, state: LogEnd) {
            let wrapper = Wrapper::from_text(
                "cd `\"/w\"'\ndo `\"/m.do\"'\nfile open lha_1 using `\"/s\"', write text\nfile close lha_1\n",
            );
            let found = judge_wrapped(&mut Cursor::new(log.as_bytes()), &wrapper, Encoding::default()).unwrap();
            assert_eq!(found.state, state, "{log}");
        }
        let opened = ". x\n\n. \nend of do-file\n\n. file open lha_1 using `\"/s\"', write text\n";
        check(opened, LogEnd::Succeeded);
        check(&format!("{opened}file /s could not be opened\nr(603);\n\nend of do-file\nr(603);\n"), LogEnd::Succeeded);
        check(". do nested\n\n. x\n\n. \nend of do-file\n", LogEnd::Incomplete);
        check(". x\nno\nr(9);\n\nend of do-file\nr(9);\n\nend of do-file\nr(9);\n", LogEnd::Failed);
    }

    const SMALL: ReadSizes = ReadSizes { whole: 200, near: 100, step: 150 };

    #[test]
    fn a_large_log_is_judged_like_a_small_one() {
        fn check(before: &str, noise: usize, end: &str) {
            let log = format!("{before}{}{end}", "some output of a loop\n".repeat(noise));
            let wide: Vec<u8> =
                std::iter::once(0xfeff).chain(log.encode_utf16()).flat_map(|unit: u16| unit.to_le_bytes()).collect();
            for bytes in [log.as_bytes(), &wide] {
                let found = judge_sized(&mut Cursor::new(bytes), SMALL, Encoding::default()).unwrap();
                assert_eq!(found, judge(log.as_bytes()), "{before}…{end}");
            }
        }
        let fail = "\nno\nr(9);\n\nend of do-file\nr(9);\n";
        for noise in [0, 5, 7, 20, 200] {
            check("\n. forvalues i = 1/9 {\n  2.   * note\n.   p `i'\n  3. }\n", noise, fail);
            check("\n. * only\n. p one ///\n> two\n", noise, fail);
            check("\n. p\n", noise, "");
            check("\n. p\n", noise, ". \nend of do-file\n");
            check("      name:  x\n opened on:  1\n. x\n", noise, " closed on:  2\n-----\n");
            check("{smcl}\n{com}. x y\n", noise, "{err}no\n{search r(9):r(9);}\n");
        }
    }
}
