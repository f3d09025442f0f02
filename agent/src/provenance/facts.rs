//! What Stata said of itself: gathered after the code had come to its end, or in the log's banner.

use std::{
    fs::File,
    io::{self, Read},
};

use longhaul_proto::{api::StataFacts, sha256_hex};

use crate::{
    outcome::results,
    spool::{Gathers, Plan, Spool},
    stata::{banner, gathered::Gathered},
};

/// Bytes at a log's start within which a banner must be.
const BANNER: u64 = 16 * 1024;
/// Characters that are kept of a state of random numbers: the generator, and enough to tell two apart.
const STATE: usize = 40;
/// Longest other text, characters.
const TEXT: usize = 1_000;

/// The facts of the run in `spool`.
///
/// # Errors
/// When a file of the spool cannot be read.
pub(crate) fn of_run(spool: &Spool, plan: &Plan) -> io::Result<StataFacts> {
    let mut head = vec![];
    match File::open(spool.log()) {
        Ok(log) => drop(log.take(BANNER).read_to_end(&mut head)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let printed = banner::read(&head).unwrap_or_default();
    let told = match plan.gathers {
        Some(Gathers::Yes) => told(&results::gathered(spool, plan)?),
        _ => StataFacts::default(),
    };
    let why = match (told.version.is_some(), plan.gathers) {
        (true, _) => None,
        (_, Some(Gathers::Yes)) => Some("it tells the rest when the code has come to its end, and it did not"),
        _ => Some("it tells the rest where results are gathered, and they were not"),
    };
    // The banner of the stand-in has the shape of Stata's, and no edition.
    let standin = (plan.engine == "standin").then(|| "stand-in".to_owned());
    let edition = printed.edition.map(|edition| format!("{edition:?}").to_uppercase()).or(standin);
    Ok(StataFacts {
        version: told.version.or(printed.version),
        edition: told.edition.or(edition),
        why_not_all: why.map(str::to_owned),
        ..told
    })
}

fn told(found: &Gathered) -> StataFacts {
    let number = |name: &str| found.c.scalars.get(name).and_then(|number| number.value());
    let word = |name: &str, most: usize| {
        let text = found.c.macros.get(name)?.trim();
        (!text.is_empty()).then(|| text.chars().take(most).collect::<String>())
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within the bounds of the filter
    let cores = |name: &str| number(name).filter(|n| (1.0..100_000.0).contains(n)).map(|n| n as u32);
    StataFacts {
        version: number("stata_version").map(|version| format!("{version:.1}")),
        edition: word("edition_real", TEXT),
        born: word("born_date", TEXT),
        processors: cores("processors"),
        processors_licensed: cores("processors_lic"),
        plus: word("sysdir_plus", TEXT),
        rng: word("rng_current", TEXT),
        rng_state: word("rngstate", STATE),
        rng_state_sha256: word("rngstate", usize::MAX).map(|state| sha256_hex(state.as_bytes())),
        sort_rng_state: word("sortrngstate", STATE),
        why_not_all: None,
    }
}
