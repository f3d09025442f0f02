//! Where in the user's code a run failed, and what its log shows around that.

use std::{fs::File, io::Read, ops::Range, path::Path};

use crate::{
    spool::{Diagnosis, Location, Plan, Spool, SuppressedError},
    stata::{
        judge::Judgement,
        locate::{FailurePlace, LogStart, Place},
        surroundings::Surroundings,
    },
};

/// The place of the failure that `judgement` found at the end of the log of `len` bytes, in the names that people know, and
/// what stands around it in the bytes `part`, the user's.
pub(super) fn of_failure(
    spool: &Spool,
    plan: Option<&Plan>,
    len: u64,
    judgement: &Judgement,
    part: Range<u64>,
) -> (Option<Location>, Diagnosis) {
    if len > super::SEARCHED {
        return Default::default();
    }
    let read = |path: &Path| {
        let file = File::open(path).ok()?;
        let mut bytes = vec![];
        file.take(longhaul_proto::MAX_CODE_API as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let encoding = plan.map(Plan::encoding).unwrap_or_default();
    let start = LogStart::in_directory(spool.run_folder()).in_encoding(encoding);
    let mut log_reader = Surroundings::new(start, part, read);
    let Ok(log) = File::open(spool.log()) else { return Default::default() };
    let mut log = log.take(len);
    let mut buffer = vec![0_u8; 256 * 1024];
    loop {
        match log.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => log_reader.push(&buffer[..n]),
        }
    }
    let (place, _, around) = log_reader.finish(judgement.command.as_deref(), judgement.rc);
    let told = |place: FailurePlace| told(spool, plan, place);
    let suppressed = around.suppressed.into_iter().map(|error| SuppressedError {
        rc: error.rc,
        message: error.message,
        command: error.command,
        location: error.place.and_then(told),
    });
    let diagnosis = Diagnosis {
        kind: String::new(),
        before: around.before,
        after: around.after,
        suppressed: suppressed.collect(),
        suppressed_left_out: around.left_out,
    };
    (place.and_then(told), diagnosis)
}

/// A place in the names that people know; none if it is in the wrapper.
fn told(spool: &Spool, plan: Option<&Plan>, found: FailurePlace) -> Option<Location> {
    let own = |place: &Place| place.path == spool.wrapper();
    let name = |place: &Place| match plan {
        Some(plan) if place.path == spool.code() => {
            if plan.source.is_empty() {
                "the submitted code".to_owned()
            } else {
                plan.source.clone()
            }
        }
        _ => place.path.display().to_string(),
    };
    if own(&found.place) {
        return None;
    }
    Some(Location {
        file: name(&found.place),
        line: found.place.line,
        callers: found
            .callers
            .iter()
            .filter(|caller| !own(caller))
            .map(|caller| format!("{}:{}", name(caller), caller.line))
            .collect(),
    })
}
