//! What a do-file asks the stand-in about itself, and sets: `c()`, random numbers, processors, the release.

use super::support::{Lab, log, log_under};

#[test]
fn it_says_what_it_is_when_asked() {
    let found = log(
        "display c(stata_version) \" \" c(edition_real) \" \" c(born_date) \" \" c(MP)\nset rmsg on\ndisplay c(rmsg)\n",
    );
    assert!(found.contains("\n18 stand-in  1 Jan 2026 0\n\n"), "{found}");
    assert!(found.contains("\non\nr; t="), "{found}");
}

#[test]
fn random_numbers_come_again_from_a_seed_and_from_a_state() {
    let found = log(
        "set seed 7\nscalar a = runiform()\nlocal kept = c(rngstate)\nscalar b = rnormal()\nset seed 7\nassert a == runiform()\n\
         set rngstate `kept'\nassert b == rnormal()\nset seed `kept'\nassert b == rnormal()\ndisplay c(rngseed_mt64s)\n\
         set seed 8\nassert a != runiform()\ncapture noisily set rngstate XAA12\n",
    );
    assert!(found.contains("\n. display c(rngseed_mt64s)\n7\n"), "{found}");
    assert!(found.contains("\ninvalid random-number state\n\n. \nend of do-file\n"), "{found}");
}

#[test]
fn processors_are_those_of_the_licence_and_the_machine() {
    let ask = "display c(MP) \" \" c(processors) \" \" c(processors_lic)\nset processors 1\ndisplay \"now \" c(processors)\n\
               capture noisily set processors 9\ndisplay \"then \" c(processors)\n";
    let mp = log_under(&[("PROCESSORS", "2")], ask);
    assert!(mp.contains("\n1 ") && mp.contains(" 2\n") && mp.contains("\nnow 1\n"), "{mp}");
    assert!(mp.contains("processors must be between 1 and ") && mp.contains("\nthen 1\n"), "{mp}");
    let other = log_under(&[], ask);
    assert!(other.contains("\n0 1 1\n") && other.contains("\nthen 1\n") && !other.contains("must be"), "{other}");
}

#[test]
fn an_older_release_has_its_own_manners() {
    let found = log_under(&[("VERSION", "16.1")], "display c(stata_version)\nset obs 3\nversion\n");
    for words in ["\n16.1\n", "\nnumber of observations (_N) was 0, now 3\n", "\nversion 16.1\n"] {
        assert!(found.contains(words), "{words}\nis not in\n{found}");
    }
    assert!(log("set obs 3\n").contains("\nNumber of observations (_N) was 0, now 3.\n"));
    let lab = Lab::new(&[("x.do", "display 1\n")]);
    let loud = lab.command(&["-b", "do", "x.do"]).env("LONGHAUL_STANDIN_VERSION", "17").output().unwrap();
    assert!(loud.status.success() && lab.text("x.log").contains("/   ____/      17.0\n"), "{}", lab.text("x.log"));
    let wrong = lab.command(&["-b", "do", "x.do"]).env("LONGHAUL_STANDIN_VERSION", "nineteen").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("LONGHAUL_STANDIN_VERSION cannot be \"nineteen\""));
}
