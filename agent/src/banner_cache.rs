//! What Stata's own banner said last: reported to the gateway and to people, never applied by itself.

use std::{
    fs::File,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::wire;

use crate::{engine::Engine, spool::Spool, stata::banner};

/// Bytes of a log in which a banner must stand.
const WITHIN: u64 = 16 * 1024;

/// The latest banner. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct BannerCache(Arc<Mutex<Banner>>);

#[derive(Clone, Debug, Default)]
struct Banner {
    edition: String,
    version: String,
    licence: String,
}

impl BannerCache {
    /// Takes the banner of a run's log, if it has one and is no stand-in's.
    pub(crate) fn look(&self, spool: &Spool) {
        let mut head = vec![];
        let read = File::open(spool.log()).and_then(|log| log.take(WITHIN).read_to_end(&mut head));
        let Some(found) = read.ok().and_then(|_| banner::read(&head)).filter(|b| !b.standin) else { return };
        // The line alone: serial number and licensee stand on others.
        let text = String::from_utf8_lossy(&head);
        let licence = text.lines().map(str::trim).find(|line| banner::licence(line).is_some());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Banner {
            edition: found.edition.map(|e| format!("{e:?}").to_lowercase()).unwrap_or_default(),
            version: found.version.unwrap_or_default(),
            licence: licence.unwrap_or_default().to_owned(),
        };
    }

    /// The licence line; empty = not seen yet.
    pub(crate) fn licence(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).licence.clone()
    }

    /// The engine with what its banner added.
    pub(crate) fn engine(&self, engine: &Engine) -> wire::Engine {
        let mut wire = engine.to_wire();
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !engine.is_standin() {
            // The banner knows better than a folder's name.
            for (known, seen) in [(&mut wire.edition, &latest.edition), (&mut wire.version, &latest.version)] {
                if !seen.is_empty() {
                    seen.clone_into(known);
                }
            }
        }
        wire
    }
}
