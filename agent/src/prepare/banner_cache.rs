//! The latest banner that Stata printed: reported to the gateway and to people. Of it the agent applies the number of cores
//! alone, as an upper bound of what a run is told to use; where no banner says it, what a run found in `c(processors_lic)`.
//!
//! It is kept in the data folder, so that an agent that starts anew can tell of its licence before the next run.

use std::{
    fs::{self, File},
    io::Read,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{durable, faults, licence, wire};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::{spool::Spool, stata::banner};

/// Bytes at a log's start within which a banner must be.
const WITHIN: u64 = 16 * 1024;

/// The latest banner. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BannerCache(Arc<Latest>);

#[derive(Debug)]
struct Latest {
    file: PathBuf,
    printed: Mutex<Printed>,
    /// The days for which the end of the licence was warned of last.
    warned: Mutex<Option<i64>>,
}

/// What the latest banner says; empty = there was none, or it does not say. Never a serial number or a licensee's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Printed {
    /// `mp`, `se`, `be`.
    pub edition: String,
    /// `19.5`.
    pub version: String,
    /// The licence line.
    pub licence: String,
    /// Cores that one process may use.
    pub cores: Option<u32>,
    /// The same, as a run's Stata told it.
    pub told_cores: Option<u32>,
}

impl BannerCache {
    /// With what an earlier process kept in `file`.
    pub(crate) fn open(file: PathBuf) -> Self {
        let kept = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self(Arc::new(Latest { file, printed: Mutex::new(kept.unwrap_or_default()), warned: Mutex::default() }))
    }

    /// Reads the banner of a run's log, if it has one, and warns once a day of a licence that ends. The stand-in's counts
    /// only where it was told a licence to print.
    pub(crate) fn read(&self, spool: &Spool, now_ms: i64) {
        let mut head = vec![];
        let read = File::open(spool.log()).and_then(|log| log.take(WITHIN).read_to_end(&mut head));
        let found = read.ok().and_then(|_| banner::read(&head));
        let Some(found) = found.filter(|b| !b.standin || b.licence.is_some()) else { return };
        // The licence line only: serial number and licensee are on other lines.
        let text = String::from_utf8_lossy(&head);
        let line = text.lines().map(str::trim).find(|line| licence::read(line).is_some());
        let now = Printed {
            edition: found.edition.map(|e| format!("{e:?}").to_lowercase()).unwrap_or_default(),
            version: found.version.unwrap_or_default(),
            licence: line.unwrap_or_default().to_owned(),
            cores: found.licence.and_then(|licence| licence.cores),
            told_cores: None,
        };
        self.warn(&now.licence, now_ms);
        self.keep(|before| {
            // What another Stata told before is not of this one.
            let same = (&before.edition, &before.version) == (&now.edition, &now.version);
            Printed { told_cores: before.told_cores.filter(|_| same), ..now }
        });
    }

    /// Takes the cores that a run's Stata says it may use.
    pub(crate) fn told_cores(&self, cores: u32) {
        self.keep(|before| Printed { told_cores: Some(cores), ..before });
    }

    fn keep(&self, change: impl FnOnce(Printed) -> Printed) {
        let mut printed = self.0.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = printed.clone();
        let now = change(before.clone());
        printed.clone_from(&now);
        drop(printed);
        if before != now
            && let Ok(bytes) = serde_json::to_vec(&now)
            && let Err(error) = durable::replace_unsynced(&self.0.file, &bytes)
        {
            tracing::debug!(%error, "what Stata printed of its licence could not be kept");
        }
    }

    fn warn(&self, line: &str, now_ms: i64) {
        let Some(licence) = licence::read(line).filter(|_| !faults::bug("licence_end_untold")) else { return };
        let Some(warning) = licence.warning(now_ms) else { return };
        let left = licence.days_left(now_ms);
        if std::mem::replace(&mut *self.0.warned.lock().unwrap_or_else(PoisonError::into_inner), left) != left {
            tracing::warn!("{warning}");
        }
    }

    /// What it says.
    pub(crate) fn printed(&self) -> Printed {
        self.0.printed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The licence line; empty = no banner read yet.
    pub(crate) fn licence(&self) -> String {
        self.printed().licence
    }

    /// The engine with what its banner added.
    pub(crate) fn engine(&self, engine: &Engine) -> wire::Engine {
        let mut wire = engine.to_wire();
        let latest = self.printed();
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
