//! The topics of an ado-path: `.sthlp` and the older `.hlp` files, flat or in folders by first letter, and the aliases
//! that Stata lists in `?help_alias.maint`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::{ado_path::Folder, below};

/// Most files of one ado-path.
const MOST: usize = 100_000;
/// End of the names of files with aliases.
const ALIASES: &str = "help_alias.maint";

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: String,
    /// Which folder of the path.
    pub(super) folder: usize,
    /// Below that folder.
    pub(super) file: PathBuf,
}

impl Topic {
    /// Where its file is, for people.
    pub(super) fn place(&self, folders: &[Folder]) -> String {
        format!("{} {}", folders[self.folder].name, self.file.display())
    }
}

/// All topics, as the folders were when they were listed.
#[derive(Debug)]
pub(super) struct Index {
    topics: BTreeMap<String, Topic>,
    aliases: HashMap<String, String>,
    /// The folders, with those by letter, and when each changed last.
    seen: Vec<(PathBuf, Option<SystemTime>)>,
    folders: Vec<Folder>,
    /// First lines of those that were looked at.
    abouts: Mutex<HashMap<String, String>>,
}

impl Index {
    /// Lists the folders. Where two have a topic, the first counts, as for Stata.
    pub(super) fn list(folders: &[Folder]) -> Self {
        let mut index = Self {
            topics: BTreeMap::new(),
            aliases: HashMap::new(),
            seen: vec![],
            folders: folders.to_vec(),
            abouts: Mutex::default(),
        };
        let mut left = MOST;
        for (n, folder) in folders.iter().enumerate() {
            index.add((n, folder), Path::new(""), &mut left);
        }
        index
    }

    /// Whether nothing was added to these folders, or taken out of them, since they were listed.
    pub(super) fn is_fresh(&self, folders: &[Folder]) -> bool {
        self.folders == folders && self.seen.iter().all(|(path, changed)| modified(path) == *changed)
    }

    /// A topic by its name, or by a name that stands for it.
    pub(super) fn find(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name).or_else(|| self.topics.get(self.aliases.get(name)?))
    }

    /// All topics, by name.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// Names that stand for topics.
    pub(super) fn aliases(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.aliases.iter().filter_map(|(alias, name)| Some((alias.as_str(), self.topics.get(name)?)))
    }

    /// The first line of a topic's file, read once.
    pub(super) fn about(&self, topic: &Topic, read: impl FnOnce() -> String) -> String {
        let known = self.abouts.lock().unwrap_or_else(PoisonError::into_inner).get(&topic.name).cloned();
        known.unwrap_or_else(|| {
            let about = read();
            let mut abouts = self.abouts.lock().unwrap_or_else(PoisonError::into_inner);
            abouts.insert(topic.name.clone(), about.clone());
            about
        })
    }

    fn add(&mut self, (n, folder): (usize, &Folder), sub: &Path, left: &mut usize) {
        let path = folder.path.join(sub);
        self.seen.push((path.clone(), modified(&path)));
        let Ok(entries) = fs::read_dir(&path) else { return };
        let (mut files, mut letters, mut older) = (vec![], vec![], vec![]);
        for entry in entries.flatten() {
            if *left == 0 {
                break;
            }
            *left -= 1;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.ends_with(ALIASES) {
                self.add_aliases(&folder.path, &sub.join(&name));
            } else if let Some(topic) = name.strip_suffix(".sthlp") {
                files.push((topic.to_owned(), name));
            } else if let Some(topic) = name.strip_suffix(".hlp") {
                older.push((topic.to_owned(), name));
            } else if name.chars().count() == 1 && sub.as_os_str().is_empty() && entry.path().is_dir() {
                letters.push(name);
            }
        }
        for (topic, name) in files.into_iter().chain(older) {
            let entry = self.topics.entry(topic.clone());
            entry.or_insert_with(|| Topic { name: topic, folder: n, file: sub.join(name) });
        }
        letters.sort();
        for letter in letters {
            self.add((n, folder), Path::new(&letter), left);
        }
    }

    /// Lines of an alias and its file, parted by blanks.
    fn add_aliases(&mut self, folder: &Path, file: &Path) {
        let Ok((bytes, _)) = below::read(folder, file) else { return };
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut words = line.split_whitespace();
            if let (Some(alias), Some(name), None) = (words.next(), words.next(), words.next())
                && self.aliases.len() < MOST
            {
                self.aliases.entry(alias.to_owned()).or_insert_with(|| name.to_owned());
            }
        }
    }
}

/// The folder in which a file of that name is: by its first letter, in lower case.
pub(super) fn letter(file: &str) -> Option<String> {
    file.chars().next().map(|c| c.to_lowercase().to_string())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
