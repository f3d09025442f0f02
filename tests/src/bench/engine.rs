//! The benchmark as its own engine: started as `-b do lh-….do` in the spool, as Stata would be.
//!
//! The first line of the submitted code, which the agent keeps as `code.do` beside the wrapper, says what to do.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use super::figures::now_ns;

/// Runs as the engine. `args` are Stata's: `-b do NAME.do`.
pub fn main(args: &[OsString]) -> ExitCode {
    let born = now_ns();
    let name = args.last().and_then(|a| a.to_str()).unwrap_or("stata.do").trim_end_matches(".do").to_owned();
    let code = fs::read_to_string("code.do").unwrap_or_default();
    let words: Vec<&str> = code.lines().next().unwrap_or_default().split_whitespace().collect();
    let mut log = File::create(format!("{name}.log")).expect("the log can be made");
    match words.as_slice() {
        ["*", "spawn", stamp] => write_stamp(Path::new(stamp), born),
        ["*", "lines", count, gap_us] => lines(&mut log, count, gap_us),
        ["*", "flood", mib] => {
            echo(&mut log, &name);
            flood(&mut log, mib, 120);
        }
        ["*", "flood", mib, line] => {
            echo(&mut log, &name);
            flood(&mut log, mib, line.parse().unwrap_or(120));
        }
        ["*", "wait", release] => {
            writeln!(log, "waiting").expect("the log can be written");
            // The folder is removed with the benchmark; no other process would end this one then.
            while !Path::new(release).exists() && Path::new(release).parent().is_some_and(Path::exists) {
                pause(Duration::from_millis(5));
            }
        }
        other => writeln!(log, "unknown: {other:?}").expect("the log can be written"),
    }
    writeln!(log, "\nend of do-file").expect("the log can be written");
    ExitCode::SUCCESS
}

/// The wrapper's first two lines as Stata would echo them: what follows is the user's part.
fn echo(log: &mut File, name: &str) {
    let wrapper = fs::read_to_string(format!("{name}.do")).unwrap_or_default();
    for line in wrapper.lines().take(2) {
        write!(log, "\n. {line}\n\n").expect("the log can be written");
    }
}

/// Written under another name and renamed, so that a reader that sees the name can read the number.
fn write_stamp(path: &Path, ns: u64) {
    let temp = path.with_extension("tmp");
    fs::write(&temp, ns.to_string()).expect("the stamp can be written");
    fs::rename(temp, path).expect("the stamp can be renamed");
}

fn lines(log: &mut File, count: &str, gap_us: &str) {
    let gap = Duration::from_micros(gap_us.parse().unwrap_or(1000));
    for _ in 0..count.parse().unwrap_or(0_u32) {
        pause(gap);
        log.write_all(format!("T {}\n", now_ns()).as_bytes()).expect("the log can be written");
    }
}

/// So many MiB in lines of so many bytes.
fn flood(log: &mut File, mib: &str, line: usize) {
    let line = format!("{}\n", "x".repeat(line.max(1) - 1));
    let block = line.repeat(((1 << 20) / line.len()).max(1));
    let bytes = mib.parse().unwrap_or(0_usize) << 20;
    let mut left = bytes;
    while left > 0 {
        let part = left.min(block.len());
        log.write_all(&block.as_bytes()[..part]).expect("the log can be written");
        left -= part;
    }
}

/// The engine stands for a program that computes; this is that work.
#[allow(clippy::disallowed_methods)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
