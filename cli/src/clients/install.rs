//! Writes the entry into a client's own configuration file, takes it out, or tells what is there.

use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf};

use longhaul_proto::durable;
use serde_json::Value;

use super::{
    edit::{self, At, EditError},
    entry::{self, Entry},
    known::Scope,
};
use crate::{
    args::ClientKind,
    context::Failure,
    output::{Out, say},
};

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It is written.
    Write,
    /// The change is shown.
    Show,
}

/// A client's file, and the name of our entry in it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The client.
    pub(super) client: ClientKind,
    /// The file.
    pub(super) path: PathBuf,
    /// Whose it is.
    pub(super) scope: Scope,
    /// The name.
    pub(super) name: String,
    /// The file was named by a link.
    linked: bool,
}

impl Target {
    /// A link stays a link: people keep such files elsewhere.
    pub(super) fn new(client: ClientKind, path: PathBuf, scope: Scope, name: &str) -> Self {
        let linked = fs::symlink_metadata(&path).is_ok_and(|file| file.is_symlink());
        Self { client, path: fs::canonicalize(&path).unwrap_or(path), scope, name: name.to_owned(), linked }
    }

    fn at(&self) -> At<'_> {
        At { list: self.client.list(), name: &self.name }
    }

    fn left(&self, why: &str) -> Failure {
        Failure::usage(format!("{} was left as it is: {why}", self.path.display()))
    }

    fn not_changed(&self) -> impl Fn(EditError) -> Failure + '_ {
        |error| self.left(&error.to_string())
    }

    /// The text of the file; empty where there is none.
    fn read(&self) -> Result<String, Failure> {
        match fs::read(&self.path) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
                let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
                self.left(&format!("line {} is not valid UTF-8. Mend it, and do this again", line + 1))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(self.left(&format!("it cannot be read ({error})"))),
        }
    }

    /// The present entry.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub(super) fn present(&self) -> Result<Option<Value>, Failure> {
        edit::get(self.client.format(), &self.read()?, self.at()).map_err(self.not_changed())
    }

    /// Writes the entry, or shows what would be written.
    ///
    /// # Errors
    /// When the file cannot be read, understood or written; it is then unchanged.
    pub(super) fn install(&self, entry: &Entry, action: Action) -> Result<(), Failure> {
        let (shown, text) = (self.path.display(), self.read()?);
        let present = edit::get(self.client.format(), &text, self.at()).map_err(self.not_changed())?;
        let wanted = entry::merged(self.client, present.as_ref(), entry.value(self.client));
        let changed = edit::set(self.client.format(), &text, self.at(), &wanted).map_err(self.not_changed())?;
        let Some(changed) = changed else {
            say(&format!("{shown} has this entry already"));
            return Ok(());
        };
        if action == Action::Show {
            say(&format!("{shown} would change so:"));
            return Ok(Out::default().bytes(difference(&text, &changed).as_bytes())?);
        }
        // The folder may be the first thing of the client that there is.
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            durable::make_folder(folder).map_err(|error| self.not_written(&error))?;
        }
        self.replace(&changed, entry.holds_token())?;
        say(&format!("{shown} has the entry `{}` now; {}", self.name, self.client.next()));
        if self.scope == Scope::Project && entry.holds_token() {
            say("it holds your token: keep it out of version control, or use --user or --token-from-env");
        }
        Ok(())
    }

    /// Takes the entry out, or shows what would change; whether there was one.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub(super) fn remove(&self, action: Action) -> Result<bool, Failure> {
        let (shown, text) = (self.path.display(), self.read()?);
        let changed = edit::remove(self.client.format(), &text, self.at()).map_err(self.not_changed())?;
        let Some(changed) = changed else { return Ok(false) };
        if action == Action::Show {
            say(&format!("{shown} would change so:"));
            Out::default().bytes(difference(&text, &changed).as_bytes())?;
            return Ok(true);
        }
        if edit::is_empty(&changed) && !self.linked {
            // As it was before there was an entry in it.
            fs::remove_file(&self.path).map_err(|error| self.not_written(&error))?;
            say(&format!("{shown} had nothing but the entry `{}`, and is gone", self.name));
        } else {
            self.replace(&changed, false)?;
            say(&format!("{shown} has no entry `{}` any more", self.name));
        }
        Ok(true)
    }

    /// Replaces the file whole. One that holds a token is for its owner alone; any other keeps its mode.
    fn replace(&self, text: &str, secret: bool) -> Result<(), Failure> {
        let mode = fs::metadata(&self.path).ok().map(|file| file.permissions().mode() & 0o777);
        durable::replace(&self.path, text.as_bytes()).map_err(|error| self.not_written(&error))?;
        match mode.filter(|mode| !secret && *mode != durable::FILE_MODE) {
            Some(mode) => fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
                .map_err(|error| Failure::system(format!("{} has mode 600 now ({error})", self.path.display()))),
            None => Ok(()),
        }
    }

    fn not_written(&self, error: &io::Error) -> Failure {
        Failure::system(format!("{} was left as it is: it cannot be written ({error})", self.path.display()))
    }
}

/// The lines that change, as `diff` marks them.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - before;
    let after = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let lines = |sign: char, lines: &[&str]| lines.iter().map(|line| format!("{sign}{line}\n")).collect::<String>();
    lines('-', &old[before..old.len() - after]) + &lines('+', &new[before..new.len() - after])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_change_are_shown() {
        assert_eq!(difference("a\nb\nc\n", "a\nB\nc\n"), "-b\n+B\n");
        assert_eq!(difference("", "a\n"), "+a\n");
        assert_eq!(difference("{\n}\n", "{\n}\n}\n"), "+}\n");
    }
}
