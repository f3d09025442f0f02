//! Tables put together and taken apart: `merge`, `append`, `collapse`, `preserve`, and what is temporary.

use super::support::{holds, log, log_of_release};

/// Five in the master data, four in the using data, three in common.
const PAIR: &str = "quietly set obs 4\ngenerate id = _n + 2\ngenerate int b = 10*id\ngenerate a = -1\ngenerate str9 s = \"using\" + string(id)\n\
                    sort b\nquietly save u, replace\nclear\nquietly set obs 5\ngenerate id = 6 - _n\ngenerate byte a = id\n\
                    generate str3 s = \"m\" + string(id)\n";

#[test]
fn a_merge_matches_by_its_keys_and_reports() {
    let source = format!(
        "{PAIR}merge 1:1 id using u\nassert _N == 6 & c(k) == 5\nassert b == 10*id if _merge != 1\n\
         assert a == id if _merge != 2\nassert a == -1 & s == \"using6\" if _merge == 2\nassert missing(b) if _merge == 1\n\
         assert id == _n\ncount if _merge == 3\nassert r(N) == 3\n"
    );
    let found = log_of_release("18", &source);
    holds(
        &found,
        &["(variable a was byte, now float to accommodate using data's values)\n\
             (variable s was str3, now str9 to accommodate using data's values)\n\n\
             \x20   Result                      Number of obs\n\
             \x20   -----------------------------------------\n\
             \x20   Not matched                             3\n\
             \x20       from master                         2  (_merge==1)\n\
             \x20       from using                          1  (_merge==2)\n\n\
             \x20   Matched                                 3  (_merge==3)\n\
             \x20   -----------------------------------------\n\n. assert"],
    );
    assert!(found.ends_with("\n. \nend of do-file\n"), "{found}");
    holds(
        &log_of_release("16.1", &format!("{PAIR}merge 1:1 id using u, keep(match) nogenerate\ncount\n")),
        &[
            "(note: variable a was byte, now float to accommodate using data's values)\n",
            "\n    Result                           # of obs.\n    -----------------------------------------\n\
             \x20   not matched                             0\n    matched                                 3  \n\
             \x20   -----------------------------------------\n\n. count\n  3\n",
        ],
    );
}

#[test]
fn many_observations_share_one() {
    let found = log(&format!(
        "{PAIR}keep id a\nappend using u, keep(id)\nsort id\ncapture noisily merge 1:1 id using u\ndisplay _rc\n\
         merge m:1 id using u, keepusing(b) generate(from) assert(master match)\nassert b == 10*id if from == 3\ncount\n\
         keep id a\nquietly save twice\nuse u, clear\nmerge 1:m id using twice, keep(3) noreport\ncount\n\
         capture noisily merge 1:1 id using twice, generate(x)\ndisplay _rc\n"
    ));
    holds(
        &found,
        &[
            "variable id does not uniquely identify observations in the master data\n\n. display _rc\n459\n",
            "\n    Not matched                             2\n        from master                         2  (from==1)\n",
            "\n. count\n  9\n",
            "\n. merge 1:m id using twice, keep(3) noreport\n\n. count\n  7\n",
            "does not uniquely identify observations in the master data\n\n. display _rc\n459\n",
        ],
    );
}

#[test]
fn mistakes_in_merges_have_the_codes_of_stata() {
    let check = |command: &str, rc: i32, words: &str| {
        let found = log(&format!("{PAIR}capture noisily {command}\ndisplay \"rc \" _rc\n"));
        assert!(found.contains(words) && found.contains(&format!("\nrc {rc}\n")), "{command}\n{found}");
    };
    check("merge 1:1 id using nothere", 601, "file nothere.dta not found");
    check("merge 1:1 nokey using u", 111, "variable nokey not found");
    check("merge 1:1 id using u, generate(a)", 110, "variable a already defined");
    check(
        "merge 1:1 id using u, assert(match)",
        9,
        "after merge, not all observations matched\n(merged result left in memory)",
    );
    check("merge 1:1 id using u, replace", 198, "option replace may only be specified with option update");
    check("merge 1:1 id using u, updates", 198, "option updates not allowed");
    check("merge m:m id using u", 198, "m:m not allowed in the stand-in");
    check("merge id using u", 198, "invalid syntax");
    let strings = "drop a\ngenerate a = \"x\"\n";
    for (command, words) in [
        (
            "merge 1:1 a using u",
            "key variable a is str1 in master but float in using data\n    Each key variable -- the variables",
        ),
        (
            "append using u",
            "variable a is str1 in master but float in using data\n    You could specify append's force option",
        ),
    ] {
        let found = log(&format!(
            "{PAIR}{strings}capture noisily {command}\ndisplay \"rc \" _rc\nappend using u, force\ncount\n"
        ));
        holds(&found, &[words, "\nrc 106\n", "\n. count\n  9\n"]);
    }
}

#[test]
fn files_are_appended() {
    let found = log(&format!(
        "{PAIR}append using u u, generate(part)\nassert _N == 13\ncount if part == 2\nassert r(N) == 4\n\
         assert missing(b) if part == 0\nassert s == \"using\" + string(id) if part > 0\n\
         capture noisily append using nothere\ndisplay _rc\n"
    ));
    holds(
        &found,
        &[
            "(variable s was str3, now str9 to accommodate using data's values)\n",
            "\nfile nothere.dta not found\n\n. display _rc\n601\n",
        ],
    );
    assert!(found.ends_with("\n. \nend of do-file\n"), "{found}");
}

#[test]
fn a_collapse_computes_each_group() {
    let found = log(
        "set obs 10\ngenerate g = mod(_n, 3)\ngenerate double x = _n\nreplace x = . in 3\ngenerate str2 s = \"a\" + string(g)\n\
         preserve\ncollapse x (sum) total=x (count) n=x (min) lo=x (max) hi=x (sd) x2=x (median) mid=x (first) s if _n < 10, by(g)\n\
         list\nassert x == 7.5 & total == 15 & n == 2 & lo == 6 & hi == 9 & mid == 7.5 & s == \"a0\" if g == 0\n\
         assert abs(x2 - sqrt(9)) < 1e-12 & x == 4 if g == 1\nassert _N == 3\nrestore\n\
         collapse (p50) x (iqr) y=x\nassert _N == 1 & c(k) == 2\nlist\n\
         foreach bad in \"(mode) x\" \"(mean) s\" \"x, by(nothere)\" \"(sum) x x\" \"\" {\ncapture noisily collapse `bad'\ndisplay \"rc \" _rc\n}\n",
    );
    holds(
        &found,
        &[
            "     +---",
            "statistic mode not allowed in the stand-in\nrc 198\n",
            "variable s not found\nrc 111\n",
            "variable nothere not found\nrc 111\n",
            "name conflict:  variable x is made twice\nrc 198\n",
            "varlist required\nrc 100\n",
        ],
    );
    assert!(!found.contains("assertion is false"), "{found}");
}

#[test]
fn what_is_temporary_goes_with_its_program() {
    let found = log(
        "set obs 3\ngenerate x = _n\npreserve\nprogram p\ntempvar t\ntempname m s\ntempfile f\ngenerate `t' = 2*x\n\
         matrix `m' = (1, 2)\nscalar `s' = 3\nsave `f'\nglobal kept \"`t' `m' `s'\"\nglobal file \"`f'\"\ncapture noisily restore\n\
         display \"inside \" _rc\npreserve\ndrop _all\nend\np\ncount\ndisplay \"k \" c(k)\n\
         capture confirm file \"$file\"\ndisplay \"file \" _rc\nscalar list\nmatrix dir\ndrop x\nrestore\ndisplay \"back \" x[3]\n\
         capture noisily restore\ndisplay \"rc \" _rc\npreserve\ncapture noisily preserve\ndisplay \"rc \" _rc\nrestore, not\n\
         capture noisily restore\n",
    );
    holds(
        &found,
        &[
            " saved as .dta format\n",
            "nothing to restore\ninside 622\n",
            "\n. count\n  3\n\n. display \"k \" c(k)\nk 1\n",
            "\nfile 601\n\n. scalar list\n\n. matrix dir\n\n. drop x\n",
            "\nback 3\n",
            "nothing to restore\n\n. display \"rc \" _rc\nrc 622\n",
            "already preserved\n\n. display \"rc \" _rc\nrc 621\n",
        ],
    );
    assert_eq!(found.matches("nothing to restore").count(), 3, "{found}");
}

#[test]
fn a_list_has_no_more_around_it_than_is_asked_for() {
    let source = "quietly set obs 2\ngenerate x = 10*_n\ngenerate str2 s = \"a\" + string(_n)\nlist x s, clean\n\
                  list x s in 2, clean noobs\nlist x, clean noheader\nlist x, noobs\nlist x, noheader\n\
                  capture noisily list x, sepby(x)\ndisplay _rc\n";
    holds(
        &log(source),
        &[
            "\n. list x s, clean\n\n        x    s  \n  1.   10   a1  \n  2.   20   a2  \n\n. list",
            "clean noobs\n\n     x    s  \n    20   a2  \n\n. list",
            "clean noheader\n\n  1.   10  \n  2.   20  \n\n. list",
            "noobs\n\n  +----+\n  |  x |\n  |----|\n  | 10 |\n  | 20 |\n  +----+\n\n. list",
            "noheader\n\n     +----+\n  1. | 10 |\n  2. | 20 |\n     +----+\n\n. capture",
            "option sepby() not allowed\n\n. display _rc\n198\n",
        ],
    );
}

/// In common are 1 to 4: of these 1 is the same, 2 is missing, 3 differs, and 4 is missing in the using data.
const UPDATED: &str = "quietly set obs 4\ngenerate id = _n\ngenerate a = 10*_n\nreplace a = . if id == 4\ngenerate str2 s = \"u\"\n\
                       quietly save u, replace\nreplace a = . if id == 2\nreplace a = 7 if id == 3\nreplace a = 40 if id == 4\n";

#[test]
fn a_merge_may_update_what_both_have() {
    let found = log_of_release(
        "18",
        &format!(
            "{UPDATED}merge 1:1 id using u, update\nassert a == cond(id == 3, 7, 10*id)\nassert _merge == cond(id == 2, 4, cond(id == 3, 5, 3))\n\
             {UPDATED_AGAIN}merge 1:1 id using u, update replace nogenerate\nassert a == 10*id\n\
             {UPDATED_AGAIN}merge 1:1 id using u, update keep(match_conflict)\nassert _N == 1 & id == 3\n\
             {UPDATED_AGAIN}capture noisily merge 1:1 id using u, replace\ndisplay _rc\n"
        ),
    );
    holds(
        &found,
        &[
            "    Not matched                             0\n    Matched                                 4\n\
             \x20       not updated                         2  (_merge==3)\n\
             \x20       missing updated                     1  (_merge==4)\n\
             \x20       nonmissing conflict                 1  (_merge==5)\n\
             \x20   -----------------------------------------\n\n. assert",
            "option replace may only be specified with option update\n\n. display _rc\n198\n",
        ],
    );
    assert!(found.ends_with("\n. \nend of do-file\n"), "{found}");
}

/// The master data of [`UPDATED`] once more.
const UPDATED_AGAIN: &str =
    "use u, clear\nreplace a = . if id == 2\nreplace a = 7 if id == 3\nreplace a = 40 if id == 4\n";
