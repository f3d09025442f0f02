//! Whether the log is as it was written.

use std::{fs, io, path::Path};

use super::{
    Kind,
    file::{Head, name, numbers},
    line::{NO_HASH, Sealed},
    places,
};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that are there.
    pub files: usize,
    /// Lines that were checked.
    pub lines: u64,
    /// When the first and the last of them were written.
    pub first_at: String,
    /// See `first_at`.
    pub last_at: String,
    /// The first thing that is wrong, by file and line; `None` = nothing is.
    pub wrong: Option<String>,
}

/// Checks the log of a data folder, from the oldest file to the newest.
///
/// # Errors
/// When it cannot be read.
pub fn verify(data: &Path) -> io::Result<Report> {
    let (folder, head) = places(data);
    // Before the files: what is written meanwhile is beyond it.
    let head = Head::read(&head);
    let files = match numbers(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    let mut check = Check { head: head.as_ref().ok().and_then(Option::as_ref), ..Check::default() };
    check.report.files = files.len();
    let wrong = check.files(&folder, &files)?;
    let lost = |head: &Head| format!("the audit log is gone: {} lines were written", head.n);
    let wrong = wrong.or_else(|| match &head {
        Err(error) => Some(format!("the head of the audit log cannot be read: {error}")),
        Ok(None) if check.report.lines > 0 => {
            Some("the file gateway/audit-head is missing, which knows the last line".to_owned())
        }
        Ok(None) => None,
        Ok(Some(head)) if check.report.lines == 0 => Some(lost(head)),
        Ok(Some(head)) => check.end(head),
    });
    Ok(Report { wrong, ..check.report })
}

#[derive(Default)]
struct Check<'a> {
    head: Option<&'a Head>,
    report: Report,
    /// The line before the next one.
    n: u64,
    hash: String,
    /// The hash that the line has whose number the head has.
    at_head: Option<String>,
    /// The first file that is there, the line before it, and its hash as the first line of that file has it.
    oldest: Option<(u32, u64, String)>,
    /// The last file that a line says was removed, its last line and hash.
    removed: Option<(u64, u64, String)>,
}

impl Check<'_> {
    fn files(&mut self, folder: &Path, files: &[u32]) -> io::Result<Option<String>> {
        let mut before = None;
        for number in files {
            if let Some(missing) = before.map(|before: u32| before + 1).filter(|next| next < number) {
                return Ok(Some(format!("{} is missing", name(missing))));
            }
            before = Some(*number);
            let bytes = match fs::read(folder.join(name(*number))) {
                // Removed for room meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.oldest.is_none() => continue,
                bytes => bytes?,
            };
            // A line that is being written has no end yet.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for (at, text) in String::from_utf8_lossy(&bytes[..whole]).lines().enumerate() {
                if let Some(wrong) = self.line(*number, at, text) {
                    return Ok(Some(format!("{}, line {}: {wrong}", name(*number), at + 1)));
                }
            }
        }
        Ok(self.begins())
    }

    fn line(&mut self, number: u32, at: usize, text: &str) -> Option<String> {
        let Some(line) = Sealed::read(text) else { return Some("it is no line of an audit log".to_owned()) };
        if at == 0 {
            if !line.is(Kind::File) || line.value["detail"]["file"] != number {
                return Some("the first line of this file is missing, or the file is another one".to_owned());
            }
            let prev = line.value["detail"]["prev"].as_str().unwrap_or_default();
            match &self.oldest {
                None => {
                    self.oldest = Some((number, line.n.saturating_sub(1), prev.to_owned()));
                    (self.n, self.hash) = (line.n.saturating_sub(1), prev.to_owned());
                }
                Some(_) if prev != self.hash && line.n == self.n + 1 => {
                    return Some("the file before it does not end as it was left".to_owned());
                }
                Some(_) => {}
            }
        }
        if line.n != self.n + 1 {
            return Some(match line.n > self.n + 1 {
                true => format!("lines {} to {} are missing before it", self.n + 1, line.n - 1),
                false => format!("it has number {}, and {} is due", line.n, self.n + 1),
            });
        }
        if !line.follows(&self.hash) {
            return Some(format!("line number {} was changed after it was written", line.n));
        }
        if line.is(Kind::Removed) {
            let detail = &line.value["detail"];
            let (file, n) = (detail["up_to_file"].as_u64(), detail["up_to_line"].as_u64());
            let hash = detail["hash"].as_str().unwrap_or_default().to_owned();
            self.removed = Some((file.unwrap_or_default(), n.unwrap_or_default(), hash));
        }
        let when = line.value["at"].as_str().unwrap_or_default().to_owned();
        if self.report.lines == 0 {
            self.report.first_at.clone_from(&when);
        }
        self.report.last_at = when;
        self.report.lines += 1;
        if self.head.is_some_and(|head| head.n == line.n) {
            self.at_head = Some(line.hash.clone());
        }
        (self.n, self.hash) = (line.n, line.hash);
        None
    }

    /// Where the log begins: with nothing before it, or where a line says that the files before were removed.
    fn begins(&self) -> Option<String> {
        let (number, n, prev) = self.oldest.as_ref()?;
        if *number == 1 && *n == 0 && prev == NO_HASH {
            return None;
        }
        let known =
            |(file, line, hash): &(u64, u64, String)| *file + 1 == u64::from(*number) && line == n && hash == prev;
        match &self.removed {
            Some(removed) if known(removed) => None,
            _ => Some(format!(
                "{} is the first file, and no line says that those before it were removed for room",
                name(*number)
            )),
        }
    }

    fn end(&self, head: &Head) -> Option<String> {
        if head.n > self.n {
            return Some(format!(
                "the end is missing: it ends with line number {}, and {} were written",
                self.n, head.n
            ));
        }
        match &self.at_head {
            Some(hash) if *hash == head.hash => None,
            Some(_) => {
                Some(format!("line number {} is not the one that was written: the log was written anew", head.n))
            }
            // It may be the last line of the file before the oldest one, which that file names, and none further back.
            None => match &self.oldest {
                Some((_, n, prev)) if head.n > 0 && !(head.n == *n && head.hash == *prev) => Some(format!(
                    "line number {}, which was written last, is not in it: the log was written anew",
                    head.n
                )),
                _ => None,
            },
        }
    }
}
