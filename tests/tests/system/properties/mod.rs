//! Properties over generated input; a failure names its seed: the readers of Stata's log, the wrapper, torn spools, and
//! the two ledgers beside each other.
//!
//! `LONGHAUL_PROPERTY_CASES=100000` tries that many of each (default: some seconds' worth), `LONGHAUL_PROPERTY_SEED=7`
//! starts from that seed.

mod ledgers;
mod outside;
mod readers;
mod spools;
mod views;
mod wrapper;

use crate::chance::Chance;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Tries a property on `cases` seeds.
fn each(what: &str, cases: u64, property: impl Fn(&mut Chance) -> Result<(), String>) {
    let first = setting("LONGHAUL_PROPERTY_SEED", 1);
    let cases = setting("LONGHAUL_PROPERTY_CASES", cases);
    for seed in first..first + cases {
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| property(&mut Chance::new(seed))));
        match tried {
            Ok(Ok(())) => {}
            Ok(Err(wrong)) => panic!("{what}, LONGHAUL_PROPERTY_SEED={seed}: {wrong}"),
            Err(panic) => {
                eprintln!("{what}, LONGHAUL_PROPERTY_SEED={seed} panicked");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{what}: {cases} cases from seed {first}");
}

/// A random one of these.
fn pick<'a, T>(chance: &mut Chance, of: &'a [T]) -> &'a T {
    &of[usize::try_from(chance.below(of.len() as u64)).unwrap()]
}
