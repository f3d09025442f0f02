//! A model of a disk that keeps what was synced and perhaps some of the rest: what POSIX allows a crash to leave, and
//! no more.
//!
//! It records every step that the real code took on a real folder, and builds a folder as a crash may have left it. A
//! name is durable when its folder was synced after it; content when the file was synced; of unsynced content any part
//! may be there, an unsynced rename whole or not at all.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use longhaul_proto::faults::Op;

use crate::chance::Chance;

#[derive(Clone)]
enum Node {
    File { synced: Vec<u8>, now: Vec<u8> },
    Folder { synced: BTreeMap<String, usize>, now: BTreeMap<String, usize>, pending: Vec<Change> },
}

#[derive(Clone)]
enum Change {
    Set(String, usize),
    Unset(String),
    Move(String, String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, node) => drop(names.insert(name.clone(), *node)),
            Self::Unset(name) => drop(names.remove(name)),
            Self::Move(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

pub(crate) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
}

impl Disk {
    /// A disk on which all that lies in `root` is durable.
    pub(crate) fn of(root: &Path) -> Self {
        let mut disk = Self { root: root.to_owned(), nodes: Vec::new() };
        disk.read(root);
        disk
    }

    fn read(&mut self, path: &Path) -> usize {
        let at = self.nodes.len();
        if path.is_file() {
            let content = fs::read(path).unwrap();
            self.nodes.push(Node::File { synced: content.clone(), now: content });
            return at;
        }
        self.nodes.push(Node::Folder { synced: BTreeMap::new(), now: BTreeMap::new(), pending: Vec::new() });
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let node = self.read(&entry.path());
            names.insert(entry.file_name().into_string().unwrap(), node);
        }
        self.nodes[at] = Node::Folder { synced: names.clone(), now: names, pending: Vec::new() };
        at
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut at = 0;
        for part in path.strip_prefix(&self.root).unwrap().components() {
            let (Component::Normal(name), Node::Folder { now, .. }) = (part, &self.nodes[at]) else { return None };
            at = *now.get(name.to_str().unwrap())?;
        }
        Some(at)
    }

    fn change(&mut self, folder: &Path, change: Change) {
        let at = self.find(folder).unwrap_or_else(|| panic!("{folder:?} is no folder"));
        let Node::Folder { now, pending, .. } = &mut self.nodes[at] else { panic!("{folder:?} is a file") };
        change.apply(now);
        pending.push(change);
    }

    fn set(&mut self, path: &Path, node: Node) -> usize {
        self.nodes.push(node);
        let at = self.nodes.len() - 1;
        self.change(path.parent().unwrap(), Change::Set(name(path), at));
        at
    }

    fn content(&mut self, path: &Path) -> &mut Vec<u8> {
        let at = match self.find(path) {
            Some(at) => at,
            None => self.set(path, Node::File { synced: Vec::new(), now: Vec::new() }),
        };
        match &mut self.nodes[at] {
            Node::File { now, .. } => now,
            Node::Folder { .. } => panic!("{path:?} is a folder"),
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write(path, content) => self.content(path).clone_from(content),
            Op::Append(path, content) => self.content(path).extend_from_slice(content),
            Op::Truncate(path, len) => self.content(path).truncate(usize::try_from(*len).unwrap()),
            Op::Sync(path) | Op::SyncFolder(path) => {
                let at = self.find(path).unwrap_or_else(|| panic!("{path:?} was synced and is not there"));
                match &mut self.nodes[at] {
                    Node::File { synced, now } => synced.clone_from(now),
                    Node::Folder { synced, now, pending } => {
                        synced.clone_from(now);
                        pending.clear();
                    }
                }
            }
            Op::Rename(from, to) => self.change(from.parent().unwrap(), Change::Move(name(from), name(to))),
            Op::Link(from, to) => {
                let at = self.find(from).unwrap();
                self.change(to.parent().unwrap(), Change::Set(name(to), at));
            }
            Op::Remove(path) => self.change(path.parent().unwrap(), Change::Unset(name(path))),
            Op::Folder(path) => {
                let above: Vec<&Path> = path.ancestors().take_while(|p| *p != self.root).collect();
                for path in above.into_iter().rev() {
                    if self.find(path).is_none() {
                        let names = BTreeMap::new();
                        self.set(path, Node::Folder { synced: names.clone(), now: names, pending: Vec::new() });
                    }
                }
            }
            Op::RemoveAll(path) => {
                let Some(at) = self.find(path) else { return };
                self.empty(at);
                self.change(path.parent().unwrap(), Change::Unset(name(path)));
            }
        }
    }

    fn empty(&mut self, at: usize) {
        if let Node::Folder { now, pending, .. } = &mut self.nodes[at] {
            let inside: Vec<usize> = now.values().copied().collect();
            pending.extend(now.keys().cloned().map(Change::Unset));
            now.clear();
            for at in inside {
                self.empty(at);
            }
        }
    }

    /// A folder as a crash may have left it.
    pub(crate) fn crash(&self, chance: &mut Chance, into: &Path) {
        self.leave(0, chance, into);
    }

    fn leave(&self, at: usize, chance: &mut Chance, path: &Path) {
        match &self.nodes[at] {
            Node::File { synced, now } => fs::write(path, torn(synced, now, chance)).unwrap(),
            Node::Folder { synced, pending, .. } => {
                if !path.is_dir() {
                    fs::create_dir(path).unwrap();
                }
                let mut names = synced.clone();
                // None of the unsynced steps, all of them, the first of them, or any subset.
                let (way, first) = (chance.below(4), chance.below(pending.len() as u64 + 1));
                for (n, change) in pending.iter().enumerate() {
                    let kept = match way {
                        0 => false,
                        1 => true,
                        2 => (n as u64) < first,
                        _ => chance.below(2) == 0,
                    };
                    if kept {
                        change.apply(&mut names);
                    }
                }
                for (name, at) in names {
                    self.leave(at, chance, &path.join(name));
                }
            }
        }
    }
}

/// Content that was synced only in part.
fn torn(synced: &[u8], now: &[u8], chance: &mut Chance) -> Vec<u8> {
    if synced == now {
        return now.to_vec();
    }
    let grew = now.starts_with(synced);
    let kept = if grew { synced.len() } else { 0 };
    let len = kept + usize::try_from(chance.below((now.len() - kept) as u64 + 1)).unwrap();
    match chance.below(4) {
        0 => synced.to_vec(),
        1 => now.to_vec(),
        2 => now[..len].to_vec(),
        // The length reached the disk, the bytes did not.
        _ => now[..len].iter().copied().chain(std::iter::repeat_n(0, now.len() - len)).collect(),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
