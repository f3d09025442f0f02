//! The graphs and data files that a log says were saved, wherever they went.
//!
//! Stata prints `(file fit.png written in PNG format)` up to release 16 and `file fit.png saved as PNG format` from 17
//! on, `(file fit.gph saved)` for its own format, `file a.dta saved` for data, and continues after `> ` where the line is full. A name is as the
//! do-file wrote it; the caller checks whether there is such a file.

use std::io::{self, BufRead, Read};

/// Most names that are kept; a do-file that saves more says so in its log.
const NAMES: usize = 200;

/// Longest line that is examined, and longest name that continues over lines, bytes.
const LINE: u64 = 4096;

/// The names of graphs, in the order of the log, each once.
///
/// # Errors
/// When the log cannot be read.
pub fn saved(log: impl BufRead) -> io::Result<Vec<String>> {
    named(log, graph)
}

/// The names of data files, likewise.
///
/// # Errors
/// When the log cannot be read.
pub fn data(log: impl BufRead) -> io::Result<Vec<String>> {
    named(log, data_file)
}

fn named(mut log: impl BufRead, name: fn(&str) -> Option<&str>) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = vec![];
    // The start of a message that may continue in the next line.
    let mut begun: Option<String> = None;
    let mut line = vec![];
    while names.len() < NAMES {
        line.clear();
        if (&mut log).take(LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let going_on = begun.take().filter(|b| (b.len() as u64) < LINE);
        let text = match (going_on, line.strip_prefix(b"> ")) {
            (Some(begun), Some(rest)) => begun + String::from_utf8_lossy(rest.trim_ascii_end()).as_ref(),
            _ if line.starts_with(b"file ") || line.starts_with(b"(file ") => {
                // A blank before the break is part of the message.
                let end = line.iter().rposition(|b| !matches!(b, b'\n' | b'\r')).map_or(0, |at| at + 1);
                String::from_utf8_lossy(&line[..end]).into_owned()
            }
            _ => continue,
        };
        match name(text.trim_end()) {
            Some(name) if names.iter().any(|known| known == name) => {}
            Some(name) => names.push(name.to_owned()),
            None => begun = Some(text),
        }
    }
    Ok(names)
}

/// The name of a data file in a whole message. Other words mean a graph, or a file without an ending: a temporary one.
fn data_file(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text).strip_prefix("file ")?;
    let name = inner.strip_suffix(" saved as .dta format").or_else(|| inner.strip_suffix(" saved"))?;
    let ending = name.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
    matches!(ending.as_str(), "dta" | "csv" | "tsv" | "txt" | "raw" | "xls" | "xlsx" | "dbf" | "xpt").then_some(name)
}

/// The name of a graph in a whole message.
fn graph(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text).strip_prefix("file ")?;
    let format = |tail: &str| {
        tail.strip_suffix(" format").is_some_and(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    for words in [" written in ", " saved as "] {
        if let Some((name, tail)) = inner.rsplit_once(words)
            && format(tail)
        {
            return Some(name);
        }
    }
    inner.strip_suffix(" saved").filter(|name| name.ends_with(".gph"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphs_are_read_from_messages() {
        let check = |log: &str, want: &[&str]| assert_eq!(saved(log.as_bytes()).unwrap(), want, "{log}");
        check("(file ./output/graphs/km_hosp_any.svg written in SVG format)\n", &["./output/graphs/km_hosp_any.svg"]);
        check("file fit.png written in PNG format\r\nfile fit.png saved as PNG format", &["fit.png"]);
        check("(file adjcurv_.gph saved)\n", &["adjcurv_.gph"]);
        check(
            "file C:/Users/j/Documents/GitHub/my-project/analysis/results/figures/price_histogram.pdf \n> saved as PDF format\n",
            &["C:/Users/j/Documents/GitHub/my-project/analysis/results/figures/price_histogram.pdf"],
        );
        check(
            "(file /a/very/long/na\n> me/with a blank/fit.p\n> ng written in PNG format)\n",
            &["/a/very/long/name/with a blank/fit.png"],
        );
        for other in [
            "file auto.dta saved as .dta format\n",
            "(file auto.dta saved)\n",
            "file fit.png not found\n",
            "(note: file fit.png not found)\n",
            ". display \"file fit.png saved as PNG format\"\n",
            "file fit.png\nsaved as PNG format\n",
            "",
        ] {
            check(other, &[]);
        }
    }

    #[test]
    fn data_files_are_read_from_messages() {
        let check = |log: &str, want: &[&str]| assert_eq!(data(log.as_bytes()).unwrap(), want, "{log}");
        check(
            "file auto.dta saved as .dta format\n(file b.dta saved)\nfile /d/x.csv saved\n",
            &["auto.dta", "b.dta", "/d/x.csv"],
        );
        check("file /a/very/long/na\n> me.dta saved\n", &["/a/very/long/name.dta"]);
        check("file /tmp/St00001.000001 saved\nfile fit.gph saved\nfile x.png saved as PNG format\n", &[]);
    }

    #[test]
    fn a_long_line_costs_no_memory() {
        let log =
            format!("file {}\n> x.png saved as PNG format\nfile y.png saved as PNG format\n", "a".repeat(1 << 20));
        assert_eq!(saved(log.as_bytes()).unwrap(), ["y.png"]);
    }
}
