//! Why an agent did not start.

use std::{io, path::PathBuf};

use longhaul_proto::{private, transport::KeyError};

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error("the data folder {} cannot be used", .0.display())]
    Data(PathBuf, #[source] io::Error),
    /// The data folder is not this user's alone.
    #[error(transparent)]
    Foreign(#[from] private::NotPrivate),
    /// Runs as root, where every do-file could do everything.
    #[error(
        "this agent would run do-files in {0} as root, with every right on this machine: start it as the user whose \
         do-files it runs, or with --as-root if that is meant"
    )]
    Root(String),
    /// The data folder's name has a character that Stata cannot take.
    #[error("the data folder {} holds {character}, which Stata cannot be given in a path: choose another with --data", .path.display())]
    Name {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        character: &'static str,
    },
    /// Another agent uses the data folder.
    #[error("another agent has the data folder {}: stop it, or give this one its own with --data", .0.display())]
    Held(PathBuf),
    /// The program's file was not found.
    #[error("the running program cannot be found, so that no supervisor could be started")]
    Program(#[source] io::Error),
    /// The listener.
    #[error("the listener has no address")]
    Listener(#[source] io::Error),
    /// The agent's key cannot be read or made.
    #[error("this agent has no key to show")]
    Key(#[source] KeyError),
}
