//! Crashes of a host, simulated: the real code of spool and mirror runs on a real folder, every step by which it makes
//! something durable is recorded, and a folder is built as a crash may have left it ([`disk`]): all that was not synced
//! is dropped or torn. Then the real recovery runs on that folder and continues.
//!
//! `LONGHAUL_CRASH_SEEDS=100000` tries that many seeds (2,000 by default), `LONGHAUL_CRASH_SEED=7` starts from that
//! one.

mod disk;
mod mirror;
mod spool;

use std::path::Path;

use longhaul_proto::faults;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// A folder in memory, where there is one: only the model's disk counts, not this machine's.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn every_seed(what: &str, trial: impl Fn(u64) -> Result<(), String>) {
    let first = setting("LONGHAUL_CRASH_SEED", 1);
    let seeds = setting("LONGHAUL_CRASH_SEEDS", 2_000);
    for seed in first..first + seeds {
        trial(seed).unwrap_or_else(|wrong| panic!("{what}, LONGHAUL_CRASH_SEED={seed}: {wrong}"));
    }
    println!("{what}: {seeds} seeds from {first}");
}

#[test]
fn a_spool_keeps_what_was_answered() {
    every_seed("spool", spool::trial);
}

#[test]
fn a_mirror_keeps_what_was_sealed() {
    every_seed("mirror", mirror::trial);
}

fn finds(bug: &str, words: &str) {
    finds_in(spool::trial, bug, words);
}

fn finds_in(trial: fn(u64) -> Result<(), String>, bug: &str, words: &str) {
    let _scope = faults::enter(&format!("bug={bug}"));
    let found = (1..=200).find_map(|seed| trial(seed).err().map(|wrong| (seed, wrong)));
    let (seed, wrong) = found.unwrap_or_else(|| panic!("{bug} was not found in 200 seeds"));
    println!("{bug} was found by seed {seed}: {wrong}");
    assert!(wrong.contains(words), "{bug}: {wrong}");
}

#[test]
fn an_exit_record_that_was_not_synced_is_found() {
    finds("exit_not_synced", "exit record is torn");
}

/// The record names lengths and digests: the files' own names must not be younger on the disk.
#[test]
fn an_exit_record_before_the_names_of_its_outputs_is_found() {
    finds("outputs_not_synced", "the exit record speaks of a log that is not there");
}

#[test]
fn an_exit_record_before_the_content_of_its_outputs_is_found() {
    finds("output_content_not_synced", "the exit record speaks of a log that is not there");
}

/// Nothing of a mirror is durable before it is sealed; then all that leads to it must be.
#[test]
fn a_sealed_mirror_whose_names_were_not_synced_is_found() {
    finds_in(mirror::trial, "mirror_names_not_synced", "a sealed mirror of");
}

/// The files of its code are promised with the attempt, as the request is.
#[test]
fn code_that_was_not_synced_before_its_run_was_taken_is_found() {
    finds("incoming_not_synced", "its code is not whole");
}

#[test]
fn a_skipped_attempt_file_is_found() {
    finds("attempt_file_skipped", "attempt");
}
