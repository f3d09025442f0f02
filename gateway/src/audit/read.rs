//! Reading the log back.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use serde_json::Value;

use super::{
    file::{name, numbers},
    places,
};

/// Most lines of one answer of the API.
pub const MOST: usize = 10_000;

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// From this moment on: a time as the lines have it, or the beginning of one.
    pub since: Option<String>,
    /// Of this principal.
    pub principal: Option<String>,
    /// Of a run whose id is or ends like this.
    pub run: Option<String>,
    /// Of this kind.
    pub event: Option<String>,
    /// The newest so many; 0 = all.
    pub limit: usize,
}

impl Filter {
    fn takes(&self, line: &Value) -> bool {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        self.since.as_deref().is_none_or(|since| text("at") >= since)
            && self.principal.as_deref().is_none_or(|principal| text("principal") == principal)
            && self.event.as_deref().is_none_or(|event| text("event") == event)
            && self.run.as_deref().is_none_or(|run| !run.is_empty() && text("run").ends_with(run))
    }
}

/// The lines of a data folder's log that the filter takes, in order.
///
/// # Errors
/// When a file cannot be read; not when there is none, or when one goes meanwhile.
pub fn read(data: &Path, filter: &Filter) -> io::Result<Vec<Value>> {
    let (folder, _) = places(data);
    let files = match numbers(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    let mut lines = VecDeque::new();
    for number in files {
        let file = match File::open(folder.join(name(number))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        for line in BufReader::new(file).split(b'\n') {
            let Ok(line) = serde_json::from_slice::<Value>(&line?) else { continue };
            if !filter.takes(&line) {
                continue;
            }
            lines.push_back(line);
            if filter.limit > 0 && lines.len() > filter.limit {
                lines.pop_front();
            }
        }
    }
    Ok(lines.into())
}
