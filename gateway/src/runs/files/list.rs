//! Which files a run left, as far as it is known.

use longhaul_proto::{files::within, ids::RunId, state::RunState, visible};

use crate::{
    ledger::{RunFile, RunFiles},
    model::{Identity, Record},
    runs::{FindError, Look, Runs},
};

/// The files of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The files, in the order of their paths.
    pub left: RunFiles,
    /// Whether their digests and copies are here, or never will be.
    pub complete: bool,
    /// The host that the run was on; empty = none.
    pub host: String,
    /// Where it ran.
    pub folder: String,
}

impl Listed {
    /// What people call a file: its path below the run's folder, or the whole path where it lies elsewhere.
    pub fn name<'a>(&self, file: &'a RunFile) -> &'a str {
        within(&file.path, &self.folder)
    }

    /// The file of that name, path, or unique last part of a name.
    ///
    /// # Errors
    /// The names that fit, when there are several; none when there is none.
    pub fn find(&self, asked: &str) -> Result<&RunFile, Vec<&str>> {
        let exact = |file: &&RunFile| {
            let name = self.name(file);
            [&file.path, name].into_iter().any(|known| known == asked || visible::line(known) == asked)
        };
        if let Some(file) = self.left.files.iter().find(exact) {
            return Ok(file);
        }
        let last = |file: &&RunFile| !asked.is_empty() && file.path.rsplit('/').next() == Some(asked);
        let fitting: Vec<&RunFile> = self.left.files.iter().filter(last).collect();
        match fitting.as_slice() {
            [one] => Ok(one),
            several => Err(several.iter().map(|file| self.name(file)).collect()),
        }
    }
}

impl Runs {
    /// The files that a run left.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn files(&self, who: &Identity, run: RunId) -> Result<Listed, FindError> {
        let record = match self.look(who, run).await? {
            Look::Live(active) if !active.snapshot.borrow().state.is_end() => {
                let note = "the run goes on: its files are known when it has ended".to_owned();
                return Ok(Listed { left: RunFiles { note, ..RunFiles::default() }, ..Listed::default() });
            }
            Look::Live(_) => self.record(run).await?.ok_or_else(|| FindError::Unknown(run.to_string()))?,
            Look::Ended(record) => *record,
        };
        self.files_of(&record).await
    }

    pub(super) async fn files_of(&self, record: &Record) -> Result<Listed, FindError> {
        let (host, folder) = (record.host().to_owned(), record.detail.working_dir().to_owned());
        let noted = self.0.ledger.files(record.run).await.map_err(FindError::Ledger)?;
        let complete = noted.is_some() || record.agent_id().is_empty();
        let left = noted.unwrap_or_else(|| unnoted(record));
        Ok(Listed { left, complete, host, folder })
    }
}

/// What is said of an ended run of whose files nothing is noted.
fn unnoted(record: &Record) -> RunFiles {
    if record.agent_id().is_empty() {
        let note = "the run was given to no host, so it left none".to_owned();
        return RunFiles { note, ..RunFiles::default() };
    }
    let host = record.host();
    of_record(
        record,
        &match record.state {
            RunState::Lost => format!("the run is lost: its files are known if host {host} returns with it"),
            _ => format!("their digests and copies have not come from host {host} yet: they do when it is connected"),
        },
    )
}

/// The files that the record names, without their digests.
pub(super) fn of_record(record: &Record, note: &str) -> RunFiles {
    let artifacts = record.detail.present().map_or(&[][..], |attempt| &attempt.execution.artifacts);
    let own = format!("/{}/", record.run);
    let file = |artifact: &longhaul_proto::api::ArtifactView| RunFile {
        path: artifact.path.clone(),
        bytes: artifact.bytes,
        of_run: artifact.path.contains(&own),
        why_not: note.to_owned(),
        ..RunFile::default()
    };
    let files: Vec<RunFile> = artifacts.iter().map(file).collect();
    let note = if files.is_empty() { String::new() } else { note.to_owned() };
    RunFiles { files, note, ..RunFiles::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_what_people_call_it() {
        let file = |path: &str| RunFile { path: path.to_owned(), ..RunFile::default() };
        let files =
            vec![file("/p/a.csv"), file("/p/sub/a.csv"), file("/p/sub/fit.png"), file("/else/x"), file("/p/\u{1b}[2J")];
        let listed =
            Listed { left: RunFiles { files, ..RunFiles::default() }, folder: "/p".to_owned(), ..Listed::default() };
        let check = |asked: &str, want: Result<&str, &[&str]>| {
            let found = listed.find(asked);
            match (found, want) {
                (Ok(file), Ok(path)) => assert_eq!(file.path, path, "{asked}"),
                (Err(names), Err(want)) => assert_eq!(names, want, "{asked}"),
                (found, want) => panic!("{asked}: {found:?}, and not {want:?}"),
            }
        };
        check("a.csv", Ok("/p/a.csv"));
        check("/p/a.csv", Ok("/p/a.csv"));
        check("sub/a.csv", Ok("/p/sub/a.csv"));
        check("fit.png", Ok("/p/sub/fit.png"));
        check("/else/x", Ok("/else/x"));
        check("x", Ok("/else/x"));
        check("\\x1b[2J", Ok("/p/\u{1b}[2J"));
        check("../p/a.csv", Err(&[]));
        check("", Err(&[]));
        check("sub", Err(&[]));
        let only = Listed { folder: "/".to_owned(), ..listed.clone() };
        assert_eq!(only.find("a.csv").unwrap_err(), ["/p/a.csv", "/p/sub/a.csv"]);
    }
}
