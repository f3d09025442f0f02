//! Gateway, agents and clients in one thread, on virtual time, with everything that can befall them drawn from a seed.
//!
//! Real are the gateway's runs, fleet and mirror, and the agent's service, registration, runs and spool, with the gRPC
//! clients and services between them. Made up are the network ([`net`]), the ledger's disk ([`ledger`]), the
//! supervisors with their Statas ([`host`]), and the clients ([`client`]). A seed's trace has a hash, and every seed is
//! played twice: the same hash proves that it can be replayed.
//!
//! - `LONGHAUL_SIMULATION_SEEDS=10000` plays so many (500 by default), `LONGHAUL_SIMULATION_SEED=7` from that one on;
//! - `LONGHAUL_SIMULATION_TRACE=1` prints every trace;
//! - `LONGHAUL_SIMULATION_SURVEY=1` plays each seed once, prints what it finds in a line, and fails at the end;
//!   `LONGHAUL_SIMULATION_BUG=NAME` switches a deliberate bug on for it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a helper that fails is a test that fails

mod client;
mod host;
mod judge;
mod ledger;
mod net;
mod sim;
mod strangers;
mod trouble;
mod world;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use world::{Judged, Trouble, play, play_with};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn tell(seed: u64, judged: &Judged) -> String {
    let last = judged.trace.len().saturating_sub(150);
    format!(
        "seed {seed}, hash {:016x}: {}\nto see it again: LONGHAUL_SIMULATION_SEED={seed} LONGHAUL_SIMULATION_SEEDS=1 \
         cargo test -p longhaul-tests --test simulation every_seed\n{}",
        judged.hash,
        judged.wrong.join("; "),
        judged.trace[last..].join("\n")
    )
}

#[test]
fn every_seed_keeps_the_promises_and_can_be_replayed() {
    let first = setting("LONGHAUL_SIMULATION_SEED", 1);
    let seeds = setting("LONGHAUL_SIMULATION_SEEDS", 500);
    if setting("LONGHAUL_SIMULATION_SURVEY", 0) > 0 {
        return survey(first..first + seeds);
    }
    let next = AtomicU64::new(first);
    let sum = Mutex::new((0, 0, 0_u64));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let judged = std::panic::catch_unwind(|| twice(seed)).unwrap_or_else(|panic| {
                        // The others need not go on.
                        next.store(first + seeds, Ordering::Relaxed);
                        std::panic::resume_unwind(panic)
                    });
                    let mut sum = sum.lock().unwrap();
                    *sum = (sum.0 + judged.runs, sum.1 + judged.faults, sum.2 ^ judged.hash.rotate_left(seed as u32));
                    if seeds <= 20 || (seed + 1 - first).is_multiple_of(100) {
                        println!("seed {seed}: hash {:016x}; so far {} runs, {} faults", judged.hash, sum.0, sum.1);
                    }
                }
            });
        }
    });
    let (runs, faults, all) = sum.into_inner().unwrap();
    println!("{seeds} seeds from {first}: {runs} runs, {faults} faults, hash of all {all:016x}");
}

/// Plays each seed once and tells of all that go wrong.
fn survey(seeds: std::ops::Range<u64>) {
    let bug = std::env::var("LONGHAUL_SIMULATION_BUG").ok();
    let mut found = 0;
    for seed in seeds {
        let wrong = play_with(seed, Trouble::Seeded, bug.as_deref()).wrong;
        println!("seed {seed}: {}", if wrong.is_empty() { "right".to_owned() } else { wrong.join("; ") });
        found += u32::from(!wrong.is_empty());
    }
    assert_eq!(found, 0, "seeds went wrong");
}

/// Plays a seed twice.
fn twice(seed: u64) -> Judged {
    let judged = play(seed);
    if setting("LONGHAUL_SIMULATION_TRACE", 0) > 0 {
        println!("{}", judged.trace.join("\n"));
    }
    assert!(judged.wrong.is_empty(), "{}", tell(seed, &judged));
    let again = play(seed);
    if let Some(at) = judged.trace.iter().zip(&again.trace).position(|(a, b)| a != b) {
        panic!("seed {seed} differs at line {at}: `{}` and then `{}`", judged.trace[at], again.trace[at]);
    }
    assert_eq!(judged.hash, again.hash, "seed {seed} is the same when it is played again");
    judged
}

/// A run whose record was committed and whose answer was lost has its keeper, and its caller is told of it.
#[test]
fn a_lost_answer_of_the_ledger_leaves_no_run_without_a_keeper() {
    for seed in 1..=5 {
        let judged = play_with(seed, Trouble::LostAnswer, None);
        assert!(judged.wrong.is_empty(), "{}", tell(seed, &judged));
    }
}

/// A deliberate bug is found within 200 seeds.
fn finds(bug: &str, words: &[&str]) {
    let found = (1..=200).find_map(|seed| {
        let judged = play_with(seed, Trouble::Seeded, Some(bug));
        (!judged.wrong.is_empty()).then_some((seed, judged.wrong))
    });
    let (seed, wrong) = found.unwrap_or_else(|| panic!("{bug} was not found in 200 seeds"));
    println!("{bug} was found by seed {seed}: {}", wrong.join("; "));
    assert!(wrong.iter().any(|w| words.iter().any(|word| w.contains(word))), "{bug}: {wrong:?}");
}

#[test]
fn a_skipped_attempt_file_is_found() {
    finds("attempt_file_skipped", &["executed 2 times", "not everything ended", "ended errored"]);
}

#[test]
fn a_lower_attempt_that_is_accepted_is_found() {
    finds("lower_attempt_accepted", &["lower than one seen", "executed 2 times"]);
}

#[test]
fn a_forgetting_without_digest_is_found() {
    finds("forget_without_digest", &["forgotten without its digest"]);
}

#[test]
fn an_acknowledgement_before_the_commit_is_found() {
    finds("acknowledged_before_commit", &["acknowledged and is not known"]);
}

#[test]
fn a_resumption_one_byte_off_is_found() {
    finds("resume_one_off", &["other bytes", "its mirror is not", "a follower at"]);
}

#[test]
fn a_queue_limit_that_outlives_its_wait_is_found() {
    finds("queue_deadline_survives", &["timed out in the queue after"]);
}

#[test]
fn a_sweep_that_trusts_any_clock_is_found() {
    finds("sweep_trusts_the_clock", &["was removed by its age"]);
}
