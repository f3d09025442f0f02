//! The latest banner that Stata printed: reported to the gateway and to people, never applied by the agent.

use std::{
    fs::File,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::wire;

use super::Engine;
use crate::{spool::Spool, stata::banner};

/// Bytes at a log's start within which a banner must be.
const WITHIN: u64 = 16 * 1024;

/// The latest banner. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct BannerCache(Arc<Mutex<Printed>>);

/// What the latest banner says; empty = there was none, or it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// `mp`, `se`, `be`.
    pub edition: String,
    /// `19.5`.
    pub version: String,
    /// The licence line.
    pub licence: String,
    /// Cores that one process may use.
    pub cores: Option<u32>,
}

impl BannerCache {
    /// Reads the banner of a run's log, if it has one of a real Stata.
    pub(crate) fn read(&self, spool: &Spool) {
        let mut head = vec![];
        let read = File::open(spool.log()).and_then(|log| log.take(WITHIN).read_to_end(&mut head));
        let Some(found) = read.ok().and_then(|_| banner::read(&head)).filter(|b| !b.standin) else { return };
        // The licence line only: serial number and licensee are on other lines.
        let text = String::from_utf8_lossy(&head);
        let licence = text.lines().map(str::trim).find(|line| banner::licence(line).is_some());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Printed {
            edition: found.edition.map(|e| format!("{e:?}").to_lowercase()).unwrap_or_default(),
            version: found.version.unwrap_or_default(),
            licence: licence.unwrap_or_default().to_owned(),
            cores: found.licence.and_then(|licence| licence.cores),
        };
    }

    /// What it says.
    pub(crate) fn printed(&self) -> Printed {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The licence line; empty = no banner read yet.
    pub(crate) fn licence(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).licence.clone()
    }

    /// The engine with what its banner added.
    pub(crate) fn engine(&self, engine: &Engine) -> wire::Engine {
        let mut wire = engine.to_wire();
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !engine.is_standin() {
            // The banner is more reliable than a folder's name.
            for (known, printed) in [(&mut wire.edition, &latest.edition), (&mut wire.version, &latest.version)] {
                if !printed.is_empty() {
                    printed.clone_into(known);
                }
            }
        }
        wire
    }
}
