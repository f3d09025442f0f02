//! What can be read from a log while it grows: the user's part of it, and how far the run is.

use std::{fs::File, io, os::unix::fs::FileExt};

use crate::{
    spool::{Plan, Spool},
    stata::{
        progress::{Progress, ProgressReader},
        view::{View, ViewFinder},
        wrapper::Wrapper,
    },
};

/// Bytes read in one go.
const STEP: usize = 256 * 1024;

/// Reads one run's log as it grows, in bounded memory.
pub(crate) struct LiveReader {
    spool: Spool,
    file: Option<File>,
    offset: u64,
    /// Empty between reads: an agent may hold many runs.
    buffer: Vec<u8>,
    view: ViewFinder,
    progress: ProgressReader,
}

impl LiveReader {
    /// A reader at the log's start. Nothing is read before there is a log.
    pub(crate) fn new(spool: &Spool) -> Self {
        let (view, progress) = (ViewFinder::new(&Wrapper::from_text(String::new())), ProgressReader::new());
        Self { spool: spool.clone(), file: None, offset: 0, buffer: vec![], view, progress }
    }

    /// Reads the next bytes; `false` when there were none.
    ///
    /// # Errors
    /// Any failure of the file system but a missing file.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        if self.file.is_none() {
            self.file = match File::open(self.spool.log()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                file => Some(file?),
            };
            // Where there is a log, the wrapper exists.
            (self.view, self.progress) = readers(&self.spool);
        }
        let Some(file) = &self.file else { return Ok(false) };
        // A silent run is checked four times a second: no buffer is allocated for that.
        if file.metadata()?.len() <= self.offset {
            return Ok(false);
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; STEP];
        }
        let n = file.read_at(&mut self.buffer, self.offset)?;
        self.offset += n as u64;
        self.view.push(&self.buffer[..n]);
        self.progress.push(&self.buffer[..n]);
        if n < STEP {
            self.buffer = vec![];
        }
        Ok(n > 0)
    }

    /// Bytes read so far.
    pub(crate) fn read_so_far(&self) -> u64 {
        self.offset
    }

    /// The user's part so far.
    pub(crate) fn view(&self) -> Option<View> {
        self.view.view()
    }

    /// The latest progress.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.current()
    }

    /// The user's part of the whole log, and whether the wrapper's last line was reached.
    pub(crate) fn finish(self) -> (Option<View>, bool) {
        let reached = self.view.reached_sentinel();
        (self.file.is_some().then(|| self.view.finish()), reached)
    }
}

fn readers(spool: &Spool) -> (ViewFinder, ProgressReader) {
    let wrapper = Wrapper::from_text(std::fs::read_to_string(spool.wrapper()).unwrap_or_default());
    let code = std::fs::read(spool.code()).unwrap_or_default();
    let encoding = spool.read::<Plan>(&spool.plan()).ok().flatten().map(|plan| plan.encoding()).unwrap_or_default();
    (ViewFinder::new(&wrapper), ProgressReader::for_run(&wrapper, &code, encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_made_before_the_wrapper_knows_it_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21");
        let spool = Spool::at(&path).unwrap();
        std::fs::create_dir_all(spool.run_folder()).unwrap();
        let mut reader = LiveReader::new(&spool);
        assert!(!reader.advance().unwrap());
        std::fs::write(
            spool.wrapper(),
            "cd `\"/w\"'\ndo `\"/s/code.do\"'\nfile open lh1 using `\"/s/x\"', write text\nfile close lh1\n",
        )
        .unwrap();
        let ours = "\n. cd `\"/w\"'\n/w\n\n. do `\"/s/code.do\"'\n\n";
        let user = ". display 1\n1\n\n. \nend of do-file\n";
        std::fs::write(spool.log(), format!("{ours}{user}\n. file open lh1 using `\"/s/x\"', write text\n")).unwrap();
        assert!(reader.advance().unwrap());
        let (start, end) = (ours.len() as u64, (ours.len() + user.len()) as u64);
        assert_eq!(reader.view(), Some(View { start, safe_end: end, end: Some(end) }));
    }
}
