//! The data files that a log's commands name, with macros, loops and folders followed, and the seeds that they set.

use std::path::{Path, PathBuf};

use super::{
    Locator, Verb,
    call::{Call, Macros},
    enter::is_absolute,
    looped::{Loop, rounds},
};
use crate::stata::data_use;

/// Most files that are kept.
const FILES: usize = 200;
/// Most rounds of a loop that are followed.
const ROUNDS: usize = 200;
/// Most commands that are kept of those that cannot be followed, and most seeds.
const WORDS: usize = 5;
/// Longest command that is kept, characters.
const LONGEST: usize = 200;

/// A data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedFile {
    /// Absolute, below `~/`, or an address with `://`.
    pub path: PathBuf,
    /// A command reads it.
    pub read: bool,
    /// A command writes it.
    pub written: bool,
}

/// What was noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotedData {
    /// In the order in which they were first named, each once.
    pub files: Vec<NotedFile>,
    /// Names that are beyond the bound.
    pub more: u32,
    /// Commands whose file cannot be told: named by a macro that cannot be followed, or in a folder that is not known.
    pub untold: u32,
    /// The first of them.
    pub untold_commands: Vec<String>,
    /// What commands set as seeds, each once, at most a few.
    pub seeds: Vec<String>,
}

impl NotedData {
    /// A command as it was echoed, alone or in the body of these loops.
    pub(super) fn command(&mut self, text: &str, macros: &Macros<'_>, loops: &[Loop], directory: Option<&Path>) {
        if let Some(seed) = data_use::seed(text)
            && self.seeds.len() < WORDS
        {
            let seed = macros.expand(&seed).unwrap_or(seed);
            if !self.seeds.contains(&seed) {
                self.seeds.push(seed);
            }
        }
        for found in data_use::named(text) {
            let call = Call { verb: Verb::Do, file: found.file.clone(), args: vec![], echoes: true };
            let mut told = false;
            let one_round: &[Loop] = &[];
            let all = if call.file.contains('`') { loops } else { one_round };
            for call in rounds(all, std::slice::from_ref(&call)).take(ROUNDS) {
                let Some(path) =
                    macros.expand(&call.file).and_then(|file| absolute(&found.with_ending(file), directory))
                else {
                    told = false;
                    break;
                };
                told = true;
                self.note(path, found.writes);
            }
            if !told {
                self.untold += 1;
                if self.untold_commands.len() < WORDS {
                    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    self.untold_commands.push(words.chars().take(LONGEST).collect());
                }
            }
        }
    }

    /// Notes a file.
    pub fn note(&mut self, path: PathBuf, writes: bool) {
        if let Some(known) = self.files.iter_mut().find(|known| known.path == path) {
            known.read |= !writes;
            known.written |= writes;
        } else if self.files.len() < FILES {
            self.files.push(NotedFile { path, read: !writes, written: writes });
        } else {
            self.more += 1;
        }
    }
}

impl<F: Fn(&Path) -> Option<Vec<u8>>> Locator<F> {
    /// The same, which notes the data files that commands name.
    #[must_use]
    pub fn noting_data(self) -> Self {
        Self { noted: Some(NotedData::default()), ..self }
    }

    /// What was noted of data files, to the end of the log.
    pub fn noted_data(mut self) -> NotedData {
        if let Some(last) = self.reader.partial() {
            self.line(&last);
        }
        self.flush();
        self.noted.unwrap_or_default()
    }
}

fn absolute(file: &str, directory: Option<&Path>) -> Option<PathBuf> {
    if file.contains("://") || file.starts_with("~/") {
        return Some(PathBuf::from(file));
    }
    match directory {
        // Without `.`, as people write paths.
        Some(directory) => Some(directory.join(file).components().collect()),
        None => is_absolute(file).then(|| PathBuf::from(file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stata::locate::LogStart;

    fn noted(log: &str) -> NotedData {
        let start = LogStart { do_file: Some(Path::new("main.do")), ..LogStart::in_directory(Path::new("/w")) };
        let mut locator = Locator::new(start, |_: &Path| None).noting_data();
        locator.push(log.as_bytes());
        locator.noted_data()
    }

    fn check(log: &str, want: &[(&str, bool, bool)], untold: u32) {
        let found = noted(log);
        let files: Vec<_> =
            found.files.iter().map(|file| (file.path.to_str().unwrap(), file.read, file.written)).collect();
        assert_eq!((files.as_slice(), found.untold), (want, untold), "{log}\n{found:?}");
    }

    #[test]
    fn files_are_named_with_macros_loops_and_folders_followed() {
        check(
            ". use a\n(data)\n\n. save b.dta, replace\n. save a, replace\n",
            &[("/w/a.dta", true, true), ("/w/b.dta", false, true)],
            0,
        );
        check(
            ". global d \"/data\"\n. local y = \"x\"\n. use \"$d/`y'.dta\", clear\n",
            &[("/data/x.dta", true, false)],
            0,
        );
        check(". cd sub\n/w/sub\n\n. merge 1:1 id using m\n", &[("/w/sub/m.dta", true, false)], 0);
        check(
            ". foreach y in 1 2 {\n  2.     append using part_`y'\n  3. }\n",
            &[("/w/part_1.dta", true, false), ("/w/part_2.dta", true, false)],
            0,
        );
        check(". use \"`nowhere'/x\"\n. use y\n", &[("/w/y.dta", true, false)], 1);
        check(". tempfile t\n. save `t'\n. use ~/z\n", &[("~/z.dta", true, false)], 1);
        check(". use https://site.org/a.dta\n", &[("https://site.org/a.dta", true, false)], 0);
        check(". display \"use x\"\n. list\n  1. | use x |\n", &[], 0);
        check(". merge 1:1 id ///\n>     using wide.dta, ///\n>     nogenerate\n", &[("/w/wide.dta", true, false)], 0);
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted() {
        let log: String = (0..FILES + 3).map(|n| format!(". use f{n}\n. set seed {n}\n")).collect();
        let found = noted(&log);
        assert_eq!((found.files.len(), found.more, found.seeds.len()), (FILES, 3, WORDS));
        assert_eq!(found.seeds[0], "set seed 0");
    }
}
