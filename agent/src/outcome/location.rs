//! Where in the user's code a run failed.

use std::{fs::File, io::Read, path::Path};

use crate::{
    spool::{Location, Plan, Spool},
    stata::locate::{Locator, LogStart, Place},
};

/// The place of the failure of `command` that ended the log of `len` bytes, in the names that people know.
pub(super) fn of_failure(spool: &Spool, plan: Option<&Plan>, len: u64, command: Option<&str>) -> Option<Location> {
    if len > super::SEARCHED {
        return None;
    }
    let read = |path: &Path| {
        let file = File::open(path).ok()?;
        let mut bytes = vec![];
        file.take(longhaul_proto::MAX_CODE_API as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let encoding = plan.map(Plan::encoding).unwrap_or_default();
    let start = LogStart::in_directory(spool.run_folder()).in_encoding(encoding);
    let mut locator = Locator::new(start, read);
    let mut log = File::open(spool.log()).ok()?.take(len);
    let mut buffer = vec![0_u8; 256 * 1024];
    loop {
        match log.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => locator.push(&buffer[..n]),
        }
    }
    let found = locator.finish_at(command).0?;
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
