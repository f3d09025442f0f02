//! `simulate` and `bootstrap`: true numbers, the dots of both styles, and what is refused.

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Lab, end_of, holds, log, log_of_release, start_until};

const SIM: &str = "set seed 11\nprogram define draw, rclass\nargs n\ndrop _all\nquietly set obs `n'\n\
                   generate z = rnormal(3, 2)\nsummarize z\nreturn scalar mean = r(mean)\nreturn scalar Var = r(Var)\nend\n";

const DATA: &str = "clear\nset seed 5\nquietly set obs 200\ngenerate x = rnormal()\ngenerate y = 1 + 2*x + rnormal()\n";

#[test]
fn a_simulation_leaves_its_results_as_data() {
    let source = format!(
        "{SIM}simulate mean=r(mean) half=(r(Var)/2), reps(400): draw 20\ndisplay _N \" \" c(k)\nsummarize mean\n\
         assert abs(r(mean) - 3) < .1 & abs(r(sd) - 2/sqrt(20)) < .05\nsummarize half\nassert abs(r(mean) - 2) < .2\n\
         simulate, reps(3) seed(4) nodots: draw 10\nscalar a = mean[3]\nscalar b = Var[3]\n\
         simulate, reps(3) seed(4) nodots nolegend: draw 10\nassert a == mean[3] & b == Var[3]\n"
    );
    let found = log_of_release("18", &source);
    holds(
        &found,
        &[
            "\n      Command: draw 20\n         mean: r(mean)\n         half: (r(Var)/2)\n\nSimulations (400): .........10.........20",
            "> ....60.........70",
            "400 done\n\n. display _N",
            "\n400 2\n",
            "\n         mean: r(mean)\n          Var: r(Var)\n\n. scalar a",
            "\n. simulate, reps(3) seed(4) nodots nolegend: draw 10\n\n. assert",
        ],
    );
    assert!(found.ends_with("\nend of do-file\n") && !found.contains("r(9)"), "{found}");
    holds(
        &log_of_release("16.1", &format!("{SIM}simulate mean=r(mean), reps(70): draw 20\n")),
        &["\n      command:  draw 20\n         mean:  r(mean)\n\nSimulations (70)\n\
             ----+--- 1 ---+--- 2 ---+--- 3 ---+--- 4 ---+--- 5 \n\
             ..................................................    50\n....................\n\n. \nend of do-file\n"],
    );
}

#[test]
fn repetitions_that_fail_are_marked_and_missing() {
    let program = "program half, rclass\nlocal u = runiform()\nif `u' < .3 {\nerror 498\n}\nreturn scalar u = `u'\nend\nset seed 2\n";
    let found =
        log(&format!("{program}simulate u=r(u), reps(40): half\ncount if missing(u)\ndisplay \"missing \" r(N)\n"));
    let dots = found.lines().find(|l| l.starts_with("Simulations (40): ")).unwrap();
    let failed = dots.matches('x').count();
    assert!((5..20).contains(&failed), "{dots}");
    holds(&found, &[&format!("\nmissing {failed}\n"), " done\n"]);
    // A number stands only where that repetition went well, so each dot, cross and number is one repetition.
    let told: usize = dots
        .split(": ")
        .nth(1)
        .unwrap()
        .split(" done")
        .next()
        .unwrap()
        .split(['.', 'x'])
        .filter(|t| !t.is_empty())
        .count();
    assert_eq!(dots.matches(['.', 'x']).count() + told, 40, "{dots}");
}

#[test]
fn bootstrapped_errors_are_near_those_of_theory() {
    let found = log(&format!(
        "{DATA}replace y = . in 7\nregress y x\nscalar se = _se[x]\nbootstrap, reps(400) seed(3) dots(10): regress y x\n\
         assert abs(_se[x]/se - 1) < .15\ndisplay \"e \" e(N) \" \" e(N_reps) \" \" e(vcetype)\ncount\nassert r(N) == 200\n\
         bootstrap m=r(mean), reps(400) seed(3) nodots: summarize x\nquietly summarize x\n\
         assert abs(sqrt(el(e(V),1,1))/(r(sd)/sqrt(200)) - 1) < .15\n\
         scalar first = el(e(V),1,1)\nbootstrap m=r(mean), reps(400) seed(3) nodots: summarize x\n\
         assert el(e(V),1,1) == first\n"
    ));
    holds(
        &found,
        &[
            "(running regress on estimation sample)\n\nBootstrap replications (400): .........100.........200.........300.........400 \n> done\n\nLinear regression  ",
            "Number of obs =    199\n",
            "Replications  =    400\n",
            "\n             |   Observed   Bootstrap                         Normal-based\n           y | coefficient  std. err.      z    P>|z|     [95% conf. interval]\n",
            "\ne 199 400 Bootstrap\n",
            "\n      Command: summarize x\n            m: r(mean)\n",
        ],
    );
    assert!(found.ends_with("\nend of do-file\n"), "{found}");
}

#[test]
fn what_cannot_be_repeated_is_refused() {
    let found = log(&format!(
        "{DATA}capture noisily bootstrap: logit y x\ndisplay _rc\ncapture noisily simulate, reps(3): nothere\ndisplay _rc\n\
         capture noisily simulate u=r(u): summarize x\ndisplay _rc\ncapture noisily bootstrap, reps(5) strata(x): regress y x\n\
         display _rc\ncapture noisily bootstrap: count\ndisplay _rc\ncapture noisily bootstrap r(q): summarize x\ndisplay _rc\n\
         count\n"
    ));
    holds(
        &found,
        &[
            "command logit is unrecognized\nan error occurred when bootstrap executed logit\n\n. display _rc\n199\n",
            "command nothere is unrecognized\nan error occurred when simulate executed nothere\n\n. display _rc\n199\n",
            "option reps() required\n\n. display _rc\n198\n",
            "option strata not allowed\n\n. display _rc\n198\n",
            "expression list required\n\n. display _rc\n100\n",
            "'r(q)' evaluated to missing in full sample (_bs_1)\n\n. display _rc\n322\n",
            "\n. count\n  200\n",
        ],
    );
}

#[test]
fn a_break_is_glued_to_the_dots_and_the_data_are_back() {
    let after_a_break = |prefix: &str| {
        let slow = "program slow, eclass\nsleep 20\nregress y x\nend\n";
        let lab = Lab::new(&[("x.do", &format!("{DATA}{slow}{prefix} bootstrap, reps(9000): slow\ncount\n"))]);
        let mut child = start_until(&lab, &mut lab.command(&["-q", "-b", "do", "x.do"]), "x.log", "> .");
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
        end_of(&mut child);
        lab.text("x.log")
    };
    let found = after_a_break("");
    assert!(found.ends_with(".--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n"), "{found}");
    let caught = after_a_break("capture noisily");
    assert!(caught.contains("\n. count\n  200\n"), "{caught}");
}

#[test]
fn the_sample_of_an_estimation_follows_its_observations() {
    let found = log(&format!(
        "{DATA}replace x = . in 1/10\nregress y x\ncount if e(sample)\nsort y\ncount if e(sample)\ndrop if x > 0 & !missing(x)\n\
         generate used = e(sample)\ncount if used != !missing(x)\ndisplay \"off \" r(N)\nclear\nset obs 4\ncount if e(sample)\n"
    ));
    holds(&found, &["(10 real changes made, 10 to missing)", "\noff 0\n"]);
    assert_eq!(found.matches(". count if e(sample)\n  190\n").count(), 2, "{found}");
    assert!(found.contains(". count if e(sample)\n  0\n"), "{found}");
}
