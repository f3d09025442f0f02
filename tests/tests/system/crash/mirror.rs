//! A run's mirror through crashes of the gateway's host: sealed content stays, torn content is detected and fetched
//! again, and every byte is stored once.

use std::fs;

use bytes::Bytes;
use longhaul_gateway::{
    mirror::{Appended, Mirrors, Recorded, RecordedDigest, Sealed},
    model::Stream,
};
use longhaul_proto::{digest::OutputDigests, faults::recorded, ids::RunId};

use super::disk::Disk;
use crate::chance::Chance;

pub(crate) fn trial(seed: u64) -> Result<(), String> {
    longhaul_proto::tasks::simulate();
    let mut chance = Chance::new(seed);
    let home = super::folder();
    let run: RunId = "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21".parse().unwrap();
    let log: Vec<u8> = (0..200 + chance.below(3_000)).map(|n| b'a' + (n % 23) as u8).collect();
    let mut digests = OutputDigests::default();
    digests.update(&log);
    let (sha256, blake3) = digests.finish();
    // Every third agent is of an earlier version.
    let blake3 = if seed.is_multiple_of(3) { String::new() } else { blake3 };
    let digest = RecordedDigest::of(&blake3, &sha256.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut root = home.path().join("0");
    // A gateway makes its folder durably when it starts.
    fs::create_dir_all(root.join("gateway")).unwrap();
    let mut sealed = false;
    for crash in 1..=1 + chance.below(4) {
        let mut disk = Disk::of(&root);
        // Everything since the start of this process, in steps: `cut` of them were done.
        let steps = chance.below(8);
        let (told, ops) = recorded(|| {
            runtime.block_on(async {
                let mirrors = Mirrors::new(&root.join("gateway").join("mirror"), u64::MAX);
                let mirror = mirrors.open(run).await.map_err(|e| e.to_string())?;
                for _ in 0..steps {
                    let at = mirror.len(Stream::Log);
                    let from = usize::try_from(at).unwrap().min(log.len());
                    let to = (from + usize::try_from(chance.below(900)).unwrap()).min(log.len());
                    let appended =
                        mirror.append(Stream::Log, from as u64, vec![Bytes::copy_from_slice(&log[from..to])]).await;
                    if !matches!(appended, Ok(Appended::Grew(_) | Appended::Had)) {
                        return Err(format!("from {from}: {appended:?}"));
                    }
                    if to == log.len() {
                        let log = Recorded { len: log.len() as u64, digest: digest.clone() };
                        let console = Recorded { len: 0, digest: RecordedDigest::None };
                        match mirror.seal(log, console).await.map_err(|e| e.to_string())? {
                            [(Stream::Log, Sealed::Same), _] => return Ok(true),
                            // A crash left other bytes there: fetched again from 0.
                            _ => mirror.restart(Stream::Log).await.map_err(|e| e.to_string())?,
                        }
                    }
                }
                Ok(false)
            })
        });
        let told = told?;
        let whole = chance.below(4) > 0;
        let done = if whole { ops.len() } else { usize::try_from(chance.below(ops.len() as u64 + 1)).unwrap() };
        ops[..done].iter().for_each(|op| disk.apply(op));
        sealed |= told && whole;
        root = home.path().join(crash.to_string());
        disk.crash(&mut chance, &root);
        if sealed {
            // The agent may have deleted its spool: this is the only copy.
            let kept = runtime.block_on(async {
                let mirrors = Mirrors::new(&root.join("gateway").join("mirror"), u64::MAX);
                let mirror = mirrors.find(run).await.ok().flatten()?;
                mirror.read(Stream::Log, 0, usize::MAX).await.ok()
            });
            if kept.as_deref() != Some(log.as_slice()) {
                return Err(format!("a sealed mirror of {} bytes has {:?}", log.len(), kept.map(|k| k.len())));
            }
        }
    }
    Ok(())
}
