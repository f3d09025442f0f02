//! Stata's help of this host: topics of its ado-path as Markdown, and topics by words.
//!
//! [`ado_path`] says which folders Stata looks through, [`below`] opens files in them and nowhere else, [`index`] knows
//! their topics as long as no folder changes, [`near`] finds names and words. A topic that was read is kept until its
//! file changes. All of it may block, and few requests are answered at once.

mod ado_path;
mod below;
mod cache;
mod index;
mod near;
mod standin;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{encoding::Encoding, tasks, wire};
use tokio::sync::Semaphore;

use self::{
    ado_path::{AdoPath, Folder},
    cache::Cache,
    index::{Index, Topic},
};
use crate::{prepare::Preparer, stata::smcl};

pub(crate) use ado_path::plus_folders;

/// Requests answered at once: one may read thousands of files.
const AT_ONCE: usize = 3;
/// Longest name of a topic, bytes.
const LONGEST: usize = 120;
/// Longest search, bytes.
const LONGEST_SEARCH: usize = 400;
/// Most topics that a search returns.
const MOST_FOUND: usize = 30;
/// Most similar names told of a topic that is not there.
const MOST_NEAR: usize = 8;

/// The help of this agent's engine. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Help(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: AdoPath,
    encoding: Encoding,
    host: String,
    at_once: Semaphore,
    index: Mutex<Option<Arc<Index>>>,
    cache: Mutex<Cache>,
}

impl Help {
    /// The help of what `preparer` starts. `more` is looked through before Stata's own folders; what the stand-in says of
    /// itself is laid out in `own`.
    pub(crate) fn new(preparer: &Preparer, more: &[PathBuf], own: PathBuf) -> Self {
        Self(Arc::new(Shared {
            path: AdoPath::of(preparer, more, own),
            encoding: preparer.log_encoding,
            host: preparer.places.host.clone(),
            at_once: Semaphore::new(AT_ONCE),
            index: Mutex::default(),
            cache: Mutex::default(),
        }))
    }

    /// Answers a request. What is wrong with it is in the answer, in words.
    ///
    /// # Errors
    /// When the work itself failed.
    pub(crate) async fn answer(&self, request: wire::HelpRequest) -> std::io::Result<wire::HelpReply> {
        let _turn = self.0.at_once.acquire().await.map_err(std::io::Error::other)?;
        let shared = self.0.clone();
        tasks::blocking(move || shared.answer(&request)).await
    }
}

impl Shared {
    fn answer(&self, request: &wire::HelpRequest) -> wire::HelpReply {
        let folders = self.path.folders();
        if folders.is_empty() {
            return problem(format!(
                "{} has no folder with help files: its owner can name one with --ado-path",
                self.host
            ));
        }
        if request.topic.trim().is_empty() {
            return self.search(&folders, &request.search);
        }
        self.topic(&folders, &request.topic)
    }

    fn topic(&self, folders: &[Folder], asked: &str) -> wire::HelpReply {
        let Some(names) = names(asked) else {
            return problem(format!(
                "a topic is a name as after Stata's help command, such as regress or graph twoway, and no path: {}",
                shown(asked)
            ));
        };
        let index = self.index(folders);
        let found = names.iter().find_map(|name| index.find(name));
        let Some(topic) = found else {
            let near = near::names(&index, &names[0], MOST_NEAR);
            let text = format!(
                "there is no help on {} on {}; look for it by words (search), or ask for a topic of a similar name",
                shown(asked),
                self.host
            );
            return wire::HelpReply { topics: self.told(folders, &index, near), ..problem(text) };
        };
        match self.read(folders, topic) {
            Ok(document) => wire::HelpReply {
                topic: topic.name.clone(),
                place: topic.place(folders),
                text: document.text.clone(),
                sections: document
                    .sections
                    .iter()
                    .map(|(title, at)| wire::HelpSection { title: title.clone(), offset: *at as u64 })
                    .collect(),
                ..Default::default()
            },
            Err(error) => problem(format!("{} on {} cannot be read: {error}", topic.place(folders), self.host)),
        }
    }

    fn search(&self, folders: &[Folder], words: &str) -> wire::HelpReply {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        if words.is_empty() || words.iter().map(String::len).sum::<usize>() > LONGEST_SEARCH {
            return problem("pass a topic, or a few words to search for".to_owned());
        }
        let index = self.index(folders);
        let found = near::by_words(&index, &words, |topic| self.about(folders, &index, topic));
        let more = u32::try_from(found.len().saturating_sub(MOST_FOUND)).unwrap_or(u32::MAX);
        let topics = self.told(folders, &index, found.into_iter().take(MOST_FOUND).collect());
        if topics.is_empty() {
            return problem(format!(
                "no help file on {} has {} in its name or first line; try another word, or fewer",
                self.host,
                shown(&words.join(" "))
            ));
        }
        wire::HelpReply { topics, more, ..Default::default() }
    }

    fn told(&self, folders: &[Folder], index: &Index, topics: Vec<&Topic>) -> Vec<wire::HelpTopic> {
        let told = |topic: &Topic| wire::HelpTopic {
            topic: topic.name.clone(),
            about: self.about(folders, index, topic),
            place: topic.place(folders),
        };
        topics.into_iter().map(told).collect()
    }

    fn about(&self, folders: &[Folder], index: &Index, topic: &Topic) -> String {
        index.about(topic, || {
            let head = below::head(&folders[topic.folder].path, &topic.file).unwrap_or_default();
            smcl::read(&self.encoding.lines(&head).0, &topic.name).about
        })
    }

    /// The topics, listed anew when a folder has changed.
    fn index(&self, folders: &[Folder]) -> Arc<Index> {
        let mut kept = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(index) if index.is_fresh(folders) => index.clone(),
            _ => {
                let index = Arc::new(Index::list(folders));
                *kept = Some(index.clone());
                index
            }
        }
    }

    fn read(&self, folders: &[Folder], topic: &Topic) -> std::io::Result<Arc<smcl::Document>> {
        let (bytes, state) = below::read(&folders[topic.folder].path, &topic.file)?;
        let key = (folders[topic.folder].path.join(&topic.file), state);
        let has = |cache: &Mutex<Cache>| cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        if let Some(document) = has(&self.cache) {
            return Ok(document);
        }
        let mut includes = false;
        let mut find = |name: &str| {
            includes = true;
            let names = names(name)?;
            let (bytes, _) = folders.iter().find_map(|folder| {
                let file = format!("{}.ihlp", names[0]);
                let letter = index::letter(&file)?;
                let in_folder = [PathBuf::from(letter).join(&file), PathBuf::from(&file)];
                in_folder.iter().find_map(|file| below::read(&folder.path, file).ok())
            })?;
            Some(self.encoding.lines(&bytes).0.into_owned())
        };
        let text = smcl::expand(&self.encoding.lines(&bytes).0, &mut find);
        let document = Arc::new(smcl::read(&text, &topic.name));
        // The files that it includes may change by themselves.
        if !includes {
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(key, document.clone());
        }
        Ok(document)
    }
}

/// Names under which a topic may have its file, the likeliest first; `None` for what is no name.
fn names(asked: &str) -> Option<Vec<String>> {
    let asked = asked.split("##").next().unwrap_or_default().trim();
    let forbidden = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?');
    if asked.is_empty() || asked.len() > LONGEST || asked.starts_with('.') || asked.contains(forbidden) {
        return None;
    }
    let plain = asked.split_whitespace().collect::<Vec<_>>().join("_");
    let mut names = vec![plain.clone()];
    if let Some(function) = plain.strip_suffix("()") {
        names.extend([format!("f_{function}"), format!("mf_{function}"), function.to_owned()]);
    }
    let small: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    names.extend(small);
    Some(names)
}

fn problem(text: String) -> wire::HelpReply {
    wire::HelpReply { problem: text, ..Default::default() }
}

/// What was asked for, cut where it is long.
fn shown(asked: &str) -> String {
    let short: String = asked.chars().take(60).collect();
    if short.len() < asked.len() { format!("`{short}…`") } else { format!("`{short}`") }
}

#[cfg(test)]
mod tests;
