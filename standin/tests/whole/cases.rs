//! Chosen parts of real logs, each with the do-file that must produce it.

/// A chosen case.
pub(crate) struct Case {
    /// Number at the beginning of the log's name.
    pub(crate) log: &'static str,
    /// Where its part begins.
    pub(crate) from: &'static str,
    /// What follows the part; `None` = it goes to the log's end, and must be the end of ours.
    pub(crate) to: Option<&'static str>,
    /// Do-files, as they must have been to give this log.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// What follows `do` on the command line.
    pub(crate) args: &'static [&'static str],
}

/// The stand-in's quiet batch log must hold each part.
pub(crate) const ENDINGS: &[Case] = &[
    // A file that is not there: no end of do-file.
    Case { log: "001", from: "file main.do", to: None, files: &[], args: &["\"main.do\""] },
    Case { log: "011", from: "file /dev/stdin.do", to: None, files: &[], args: &["/dev/stdin"] },
    Case { log: "151", from: "file do create", to: None, files: &[], args: &["\"do create_html_help.do\""] },
    // Comments, silent commands, and a data file that is not there.
    Case {
        log: "008",
        from: "\n. ****",
        to: None,
        files: &[(
            "x.do",
            "**************************************************\n* Make table\n\
             **************************************************\nclear all\nclear matrix\nset more off\n\n\
             *** (1) Build matrices of SD of teacher effects and their standard errors\n\
             * Load variance (and SE) estimates that have been calculated in Python\npreserve\n\
             use \"temp/hetero_SDs.dta\", clear\n",
        )],
        args: &["x.do"],
    },
    // An error in a nested do-file, from the first byte to the last.
    Case {
        log: "018",
        from: "\n",
        to: None,
        files: &[
            (
                "x.do",
                "* Test nested do-files (error in nested file)\nclear all\nset obs 100\ngen x = rnormal()\n\n\
                 display \"=== Main script: About to call helper with error ===\"\n\n\
                 * Call nested do-file that will fail\ndo nested/helper_with_error.do\n",
            ),
            (
                "nested/helper_with_error.do",
                "* Helper script with error\ndisplay \"=== Inside helper_with_error.do ===\"\n\n\
                 * This will fail - bad_var doesn't exist\ngen y = bad_var + 1\n",
            ),
        ],
        args: &["x.do"],
    },
    // `exit #` with a code above 16 bits' usual range.
    Case { log: "058", from: "\n. exit 12344", to: None, files: &[("x.do", "exit 12344\n")], args: &["x.do"] },
    // Bad syntax after macros that expand to nothing.
    Case {
        log: "006",
        from: "\n. di \"Working",
        to: None,
        files: &[(
            "x.do",
            "di \"Working with covdesign ${covdesign}\"\ndis \"-------------\"\n\n\
             global covsadj = \"pared_nohs pared_hsorless pared_somecol pared_baormore lag2_mathscal lag2_readscal\"\n\
             local iter = `1'\n",
        )],
        args: &["x.do"],
    },
    // `exit 1` inside an `if` block looks like a break, and shows twice.
    Case {
        log: "159",
        from: ".     display as text \"{hline 74}\"\n---",
        to: None,
        files: &[(
            "x.do",
            "args MODE NSUB SIMS SEED FROM TO\nlocal nfail = 0\nif \"`MODE'\" == \"run\" {\n\
             \x20   display as text \"{hline 74}\"\n\
             \x20   display as error \"RESULT: probe_cr_ladder BLOCK nsub=`NSUB' `FROM'-`TO' non-gate\" ///\n\
             \x20       \" failed=`nfail'\"\n\
             \x20   display as error \"  a block is a diagnostic slice; run MODE=combine over all blocks\"\n\
             \x20   exit 1\n}\n",
        )],
        args: &["x.do", "run", "300", "1000", "20260715", "1", "1000"],
    },
    // The same with an ordinary code, caught by `capture noisily do` in another block.
    Case {
        log: "159",
        from: ".     exit 198\nr(198);\n. }",
        to: Some(".     capture _inf_dgpseed"),
        files: &[
            (
                "x.do",
                "if 1 {\n    capture noisily do y.do\n\n\
                 \x20   * Prove the sourcing worked by USING the programs, not by asking whether a\n\
                 \x20   * name exists. Stata has no `confirm program', and a check that cannot fail\n\
                 \x20   * is worse than no check: this probe would otherwise run on whatever\n\
                 \x20   * _inf_dgp_fiptiw happened to be left in memory.\n}\n",
            ),
            ("y.do", "if 1 {\n    exit 198\n}\n"),
        ],
        args: &["x.do"],
    },
    // Blocks that are skipped, macros from arguments, one-line ifs.
    Case {
        log: "159",
        from: "\n. args MODE NSUB SIMS SEED FROM TO\n",
        to: Some(". local qa_dir"),
        files: &[(
            "x.do",
            "args MODE NSUB SIMS SEED FROM TO\n\nif \"`MODE'\" == \"\" local MODE run\n\
             if \"`NSUB'\" == \"\" local NSUB 300\nif \"`SIMS'\" == \"\" local SIMS 1000\n\
             if \"`SEED'\" == \"\" local SEED 20260715\nif \"`FROM'\" == \"\" local FROM 1\n\
             if \"`TO'\"   == \"\" local TO   `SIMS'\n\nif !inlist(\"`MODE'\", \"run\", \"combine\") {\n\
             \x20   display as error \"MODE must be run or combine (got: `MODE')\"\n    exit 198\n}\n\n",
        )],
        args: &["x.do"],
    },
    // A nested do-file that ends well inside a block, and the blocks around it.
    Case {
        log: "159",
        from: ". \nend of do-file\n. \n.     if c(MP) == 1 {",
        to: Some(". local zc"),
        files: &[
            ("x.do", "if 1 {\n    do y.do\n\n    if c(MP) == 1 {\n        capture set processors 1\n    }\n}\n\n"),
            ("y.do", "* nothing\n"),
        ],
        args: &["x.do"],
    },
    // else, and what follows an if that did not hold.
    Case {
        log: "160",
        from: "\n. if c(MP) == 1 {",
        to: Some(". local qa_dir"),
        files: &[(
            "x.do",
            "args MODE SIMS REPS SEED FROM TO\nif c(MP) == 1 {\n    capture set processors 1\n}\n\n\
             * registered constants (TOLERANCE_FRAMEWORK.md section 3)\nlocal COVERAGE_R     = 1000\n\
             local COVERAGE_FLOOR = 0.92\nlocal MCSE_K         = 3\n\n\
             if \"`SEED'\" == \"\" local SEED 20260715\nif \"`MODE'\" == \"smoke\" {\n\
             \x20   if \"`SIMS'\" == \"\" local SIMS 30\n    if \"`REPS'\" == \"\" local REPS 40\n}\nelse {\n\
             \x20   if \"`SIMS'\" == \"\" local SIMS `COVERAGE_R'\n    if \"`REPS'\" == \"\" local REPS 999\n}\n\n",
        )],
        args: &["x.do", "combine_iiw", "1000", "999", "20260715"],
    },
    // include: no end of its own, and no empty line after it.
    Case {
        log: "047",
        from: "\n. di \"========================================= END",
        to: Some(". \n. \n"),
        files: &[
            (
                "x.do",
                "include \"config.do\"\nglobal DATADIR \"${rootdir}/data\"\nglobal CODEDIR \"${rootdir}/code\"\n\n\n",
            ),
            (
                "config.do",
                "di \"========================================= END SETUP + DIAGNOSTICS ====================================\"\n",
            ),
        ],
        args: &["x.do"],
    },
    // Comment blocks over many lines.
    Case {
        log: "047",
        from: "\n. /* Template config.do */",
        to: Some(".     // If you need"),
        files: &[(
            "x.do",
            "/* Template config.do */\n\
             /* Copy this file to your replication directory if using Stata, e.g.,\n\
             \x20   cp template-config.do 12345/codes/config.do\n\n   or similar, and then add\n\n\
             \x20  include \"config.do\"\n\n   in the author's main Stata program\n\n   */\n\n\
             /* Structure of the code, two scenarios:\n   - Code looks like this (simplified, Scenario A)\n\
             \x20        directory/\n              code/\n                 main.do\n                 01_dosomething.do\n\
             \x20             data/\n                 data.dta\n                 otherdata.dta\n\
             \x20  - Code looks like this (simplified, Scenario B)\n         directory/\n               main.do\n\
             \x20              scripts/\n                   01_dosomething.do\n                data/\n\
             \x20                  data.dta\n                   otherdata.dta\n\
             \x20   For the variable \"scenario\" below, choose \"A\" or \"B\". It defaults to \"A\".\n\n\
             \x20   NOTE: you should always put \"config.do\" in the same directory as \"main.do\"\n*/\n\n\
             local scenario \"A\" \n* *** Add required packages from SSC to this list ***\n\
             local ssc_packages \"ssccount\"\n    // Example:\n    // local ssc_packages \"estout boottest\"\n    // If you need",
        )],
        args: &["x.do"],
    },
    // A tab is eight columns of the source, not of the screen; a loop within blocks.
    Case {
        log: "047",
        from: "\n. * *** Add required",
        to: Some(".     // Example"),
        files: &[("x.do", "* *** Add required packages from SSC to this list ***\nlocal ssc_packages \"ssccount\"\n")],
        args: &["x.do"],
    },
    // Comments and empty lines inside a loop; a comment shows a number and does not use it up.
    Case {
        log: "042",
        from: "\n. local formula 0",
        to: Some(". foreach jelolt"),
        files: &[(
            "x.do",
            "local partok mkkp mihazank tisza lmp fidesz dk momentum kispartok\nlocal formula 0\nforeach part in `partok' {\n\
             \x20   local formula `formula' + normal({`part'})*`part'\n}\n\n",
        )],
        args: &["x.do"],
    },
    // Dots that count replications.
    Case {
        log: "126",
        from: "Simulations (1000)\n",
        to: Some("\n    Variable"),
        files: &[(
            "x.do",
            "program p\n_dots 0, title(Simulations) reps(1000)\nforvalues i = 1/1000 {\n_dots `i' 0\n}\nend\np\n",
        )],
        args: &["x.do"],
    },
    // Times of commands, also beside an error.
    Case {
        log: "005",
        from: "\n. set rmsg on",
        to: Some(". use /tmp/qsort"),
        files: &[("x.do", "set rmsg on\n* use /tmp/qsort in 1/150000, clear\n")],
        args: &["x.do"],
    },
    Case {
        log: "005",
        from: "\n. l if st_idx",
        to: None,
        files: &[("x.do", "set rmsg on\nl if st_idx != _n\n")],
        args: &["x.do"],
    },
    Case {
        log: "004",
        from: "\n. set rmsg on",
        to: Some(". use /tmp/qsort"),
        files: &[("x.do", "set rmsg on\n")],
        args: &["x.do"],
    },
    Case {
        log: "004",
        from: ". * l if st_idx != _n\n. * assert st_idx == _n\n. \nend",
        to: None,
        files: &[("x.do", "set rmsg on\n* l if st_idx != _n\n* assert st_idx == _n\n")],
        args: &["x.do"],
    },
];
