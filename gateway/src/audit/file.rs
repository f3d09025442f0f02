//! The files of the log: appended to, followed by another when one is large, and removed from the oldest on when all are too large.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use longhaul_proto::{durable, faults};
use serde::{Deserialize, Serialize};

use super::{
    Event, Kind,
    line::{self, NO_HASH, Sealed},
};

/// The last line that is synced, kept apart from the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) file: u32,
    pub(super) n: u64,
    pub(super) hash: String,
}

impl Head {
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The name of file `number`.
pub(super) fn name(number: u32) -> String {
    format!("audit-{number:06}.jsonl")
}

/// The numbers of the files that are there, in order.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let number: Option<u32> =
            file.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok());
        all.extend(number);
    }
    all.sort_unstable();
    Ok(all)
}

/// The file that is written now.
pub(super) struct AuditFile {
    folder: PathBuf,
    head: PathBuf,
    max_file: u64,
    max_kept: u64,
    number: u32,
    file: File,
    /// Bytes of whole lines in it.
    len: u64,
    /// The last line.
    n: u64,
    hash: String,
}

impl AuditFile {
    /// Opens the log, or begins one; the words say what is not as it was left.
    pub(super) fn open(
        folder: PathBuf,
        head: PathBuf,
        limits: (u64, u64),
        now_ms: i64,
    ) -> io::Result<(Self, Option<String>)> {
        durable::create_folder(&folder)?;
        let (known, mut found) = match Head::read(&head) {
            Ok(known) => (known, None),
            Err(error) => (None, Some(format!("the head of the audit log cannot be read ({error})"))),
        };
        let last = numbers(&folder)?.last().copied();
        let number = last.unwrap_or_else(|| known.as_ref().map_or(1, |head| head.file + 1));
        let path = folder.join(name(number));
        let file = if last.is_some() { durable::open_append(&path)? } else { durable::make_append(&path)? };
        let mut this = Self {
            folder,
            head,
            max_file: limits.0,
            max_kept: limits.1,
            number,
            file,
            len: 0,
            n: 0,
            hash: NO_HASH.to_owned(),
        };
        if let (None, Some(head)) = (last, &known) {
            found = Some(format!("the audit log is gone: it had {} lines", head.n));
            (this.n, this.hash) = (head.n, head.hash.clone());
        }
        found = this.read_end(known.as_ref())?.or(found);
        if this.len == 0 {
            this.begin(now_ms)?;
        }
        if known.is_none() {
            // From the first line on there is a head: without one it could not be told whether the end is missing.
            found = found.or_else(|| last.map(|_| "the head of the audit log was missing".to_owned()));
            this.sync()?;
        }
        Ok((this, found))
    }

    /// Finds the last line, and cuts off one that a crash left unfinished.
    fn read_end(&mut self, known: Option<&Head>) -> io::Result<Option<String>> {
        let bytes = fs::read(self.folder.join(name(self.number)))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            self.file.set_len(whole as u64)?;
        }
        let mut found = None;
        for text in String::from_utf8_lossy(&bytes[..whole]).lines() {
            let Some(line) = Sealed::read(text) else {
                found = Some(format!("{} has a line that is none of the audit log's", name(self.number)));
                continue;
            };
            (self.n, self.hash) = (line.n, line.hash);
        }
        self.len = whole as u64;
        if let Some(head) = known.filter(|head| head.n > self.n) {
            found = Some(format!(
                "the end of the audit log is missing: it ends with line {}, and {} were written",
                self.n, head.n
            ));
            // Numbers are not given twice.
            self.n = head.n;
        }
        Ok(found)
    }

    /// Writes lines; of a write that fails nothing stays.
    pub(super) fn append(&mut self, events: &[(Event, i64)]) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        if self.len >= self.max_file {
            self.rotate(events[0].1)?;
        }
        let (mut n, mut hash, mut text) = (self.n, self.hash.clone(), String::new());
        for (event, at_ms) in events {
            n += 1;
            let (line, sealed) = line::seal(n, *at_ms, event, &hash);
            text.push_str(&line);
            hash = sealed;
        }
        self.put(&text)?;
        (self.n, self.hash) = (n, hash);
        Ok(())
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        let written = faults::check("audit.write").and_then(|()| self.file.write_all(text.as_bytes()));
        if let Err(error) = written {
            // A part of a line may be there, and the next write must not follow it.
            self.file.set_len(self.len)?;
            return Err(error);
        }
        self.len += text.len() as u64;
        Ok(())
    }

    /// Syncs what is written, then the head.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        faults::check("audit.sync")?;
        durable::sync_file(&self.file, &self.folder.join(name(self.number)))?;
        let head = Head { file: self.number, n: self.n, hash: self.hash.clone() };
        durable::replace(&self.head, &serde_json::to_vec(&head)?)
    }

    /// The first line of a file has the hash of the last line before it.
    fn begin(&mut self, at_ms: i64) -> io::Result<()> {
        let event = Event::own(Kind::File).with("file", self.number).with("prev", self.hash.clone());
        let (text, hash) = line::seal(self.n + 1, at_ms, &event, &self.hash);
        self.put(&text)?;
        (self.n, self.hash) = (self.n + 1, hash);
        Ok(())
    }

    /// Goes on in the next file, and makes room.
    fn rotate(&mut self, at_ms: i64) -> io::Result<()> {
        self.sync()?;
        let number = self.number + 1;
        let path = self.folder.join(name(number));
        // One is there if its first line could not be written.
        let file = if path.exists() { durable::open_append(&path)? } else { durable::make_append(&path)? };
        let before = (std::mem::replace(&mut self.file, file), std::mem::replace(&mut self.len, 0));
        self.number = number;
        if let Err(error) = self.begin(at_ms) {
            (self.file, self.len) = before;
            self.number = number - 1;
            return Err(error);
        }
        self.make_room(at_ms)
    }

    /// Removes the oldest files; a line says so before they go.
    fn make_room(&mut self, at_ms: i64) -> io::Result<()> {
        let all = numbers(&self.folder)?;
        let size = |number: &u32| fs::metadata(self.folder.join(name(*number))).map_or(0, |meta| meta.len());
        let mut kept: u64 = all.iter().map(size).sum();
        let mut gone = Vec::new();
        for number in all.iter().filter(|number| **number < self.number) {
            if kept + self.max_file <= self.max_kept {
                break;
            }
            kept -= size(number);
            gone.push(*number);
        }
        let Some(last) = gone.last().copied() else { return Ok(()) };
        let (n, hash) = last_line(&self.folder.join(name(last)))?.unwrap_or((0, NO_HASH.to_owned()));
        let event = Event::own(Kind::Removed).with("up_to_file", last).with("up_to_line", n).with("hash", hash);
        let (text, hash) = line::seal(self.n + 1, at_ms, &event, &self.hash);
        self.put(&text)?;
        (self.n, self.hash) = (self.n + 1, hash);
        self.sync()?;
        for number in gone {
            fs::remove_file(self.folder.join(name(number)))?;
        }
        durable::sync_folder(&self.folder)
    }
}

fn last_line(path: &Path) -> io::Result<Option<(u64, String)>> {
    let text = fs::read_to_string(path)?;
    Ok(text.lines().next_back().and_then(Sealed::read).map(|line| (line.n, line.hash)))
}
