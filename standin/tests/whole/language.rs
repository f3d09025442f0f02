//! The language, tested from outside: a do-file in, its log out.

use crate::support::{Lab, log};

/// Runs a do-file and compares what its commands print, without echo, empty lines and the end.
#[track_caller]
fn prints(source: &str, wanted: &str) {
    let program = format!("program the_test\n{source}\nend\nthe_test {}\n", "\"one word\" two");
    let text = log(&program);
    let (_, output) = text.split_once(". the_test \"one word\" two\n").unwrap_or_else(|| panic!("{text}"));
    let output = output.strip_suffix("\n. \nend of do-file\n").unwrap_or(output);
    assert_eq!(output, wanted, "{source}");
}

/// Runs a do-file that fails and compares the message and code.
#[track_caller]
fn fails(source: &str, message: &str, rc: i32) {
    let text = log(source);
    let end = format!("{message}\nr({rc});\n\nend of do-file\nr({rc});\n");
    assert!(text.ends_with(&end), "{source}\n=== wanted\n{end}\n=== got\n{text}");
}

#[test]
fn display_and_its_directives() {
    prints("display 1/3", ".33333333\n");
    prints("di \"a\" 1 \"b\"", "a1b\n");
    prints("di 1, 2", "1 2\n");
    prints("di as txt \"x = \" as res %9.2f 3.14159", "x =      3.14\n");
    prints("di \"a\" _continue\ndi \"b\"", "ab\n");
    prints("di _newline(2) \"a\" _skip(3) \"b\" _n", "\n\na   b\n\n");
    prints("di _col(5) \"x\" _dup(3) \"-\"", "    x---\n");
    prints("di \"{hline 10}\" \"{bf:bold}{txt}\"", "----------bold\n");
    prints("di `\"say \"hi\"\"'", "say \"hi\"\n");
    prints("di as error \"bad\"", "bad\n");
    prints("di", "\n");
    prints("di \"{notsmcl}\"", "{notsmcl}\n");
    prints(&format!("di \"{}\"", "x".repeat(100)), &format!("{}\n> {}\n", "x".repeat(79), "x".repeat(21)));
}

#[test]
fn macros_expand_from_the_inside_out() {
    prints("local a 3\nlocal b = `a' * 2\ndi `b' + `=`a'^2'", "15\n");
    prints("local n x\nlocal x1 deep\ndi \"``n'1'\"", "deep\n");
    prints("global g \"a b\"\ndi \"$g ${g}c\"", "a b a bc\n");
    prints("di \"\\`x' \\$g\"", "`x' $g\n");
    prints("local i 1\nlocal ++i\ndi `i++' `i' `--i'", "232\n");
    prints("local w : word count a b \"c d\"\nlocal x : word 3 of a b \"c d\"\ndi \"`w' `x'\"", "3 c d\n");
    prints("di `\"`1'|`2'|`0'\"'", "one word|two|\"one word\" two\n");
    prints("args a b c\ndi \"`a'|`b'|`c'\"", "one word|two|\n");
    prints("local a b c a\nlocal n : list uniq a\ndi \"`n'\" `: list sizeof a'", "b c a3\n");
    prints("tokenize \"x y z\"\ndi \"`2'\"\nmacro shift\ndi \"`1'\"", "y\ny\n");
    prints("local x \"quoted\"\ndi \"`x'\"\nlocal x\ndi \"[`x']\"", "quoted\n[]\n");
    prints("local x : di %5.1f 2.25\ndi \"[`x']\"", "[  2.2]\n");
    prints("global g é\ndi \"ü$g\\ö`=1+1'ß\"", "üé\\ö2ß\n");
    prints("tempname a b\ndi \"`a'\" == \"`b'\"", "0\n");
}

#[test]
fn conditions_and_loops() {
    prints("if 1 == 1 & \"a\" != \"b\" di \"yes\"\nelse di \"no\"", "yes\n");
    prints("local x 2\nif `x' == 1 {\ndi 1\n}\nelse if `x' == 2 {\ndi 2\n}\nelse {\ndi 3\n}", "2\n");
    prints("if 0 {\nif 1 {\ndi 1\n}\nelse di 2\n}\nelse di 3", "3\n");
    prints("forvalues i = 1/3 {\ndi `i' _c\n}\ndi", "123\n");
    prints("forvalues i = 10(-5)0 {\ndi `i' \" \" _c\n}\ndi", "10 5 0 \n");
    prints("forv i = 0(.1).3 {\ndi `i' \" \" _c\n}\ndi", "0 .1 .2 .3 \n");
    prints("foreach x in a \"b c\" {\ndi \"[`x']\" _c\n}\ndi", "[a][b c]\n");
    prints("foreach x of numlist 1/3 10 20(10)40 {\ndi `x' \" \" _c\n}\ndi", "1 2 3 10 20 30 40 \n");
    prints("local l x y\nforeach x of local l {\ndi \"`x'\" _c\n}\ndi", "xy\n");
    prints("local i 0\nwhile `i' < 3 {\nlocal ++i\nif `i' == 2 continue\ndi `i' _c\n}\ndi", "13\n");
    prints("forvalues i = 1/9 {\nif `i' == 3 continue, break\ndi `i' _c\n}\ndi", "12\n");
    prints("forvalues i = 1/2 {\nforvalues j = 1/2 {\ndi `i'`j' \" \" _c\n}\n}\ndi", "11 12 21 22 \n");
    prints("forvalues i = 1/0 {\ndi 1\n}\ndi \"none\"", "none\n");
}

#[test]
fn capture_quietly_and_noisily() {
    prints("capture foo\ndi _rc", "199\n");
    prints("capture noisily foo\ndi _rc", "command foo is unrecognized\n199\n");
    prints("cap noi di 1\ndi _rc", "1\n0\n");
    prints("quietly di 1\nqui {\ndi 2\nnoisily di 3\n}", "3\n");
    prints("capture {\ndi 1\nfoo\ndi 2\n}\ndi _rc", "199\n");
    prints("capture error 498\ndi c(rc)", "498\n");
    prints("capture exit 77\ndi _rc", "77\n");
    prints("capture noisily {\ndi 1\nerror 111\n}", "1\nvariable not found\n");
}

#[test]
fn programs_return_and_end() {
    let source = "program f, rclass\nargs x\nif `x' > 5 exit 9\nreturn scalar y = `x' * 2\nreturn local s \"t`x'\"\nend\n\
                  f 4\ndi r(y) \"`r(s)'\"\ncapture f 6\ndi _rc\nprogram drop f\ncapture f 1\ndi _rc\n";
    let text = log(source);
    for part in ["di r(y) \"`r(s)'\"\n8t4\n", "f 6\n\n. di _rc\n9\n", "f 1\n\n. di _rc\n199\n"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    fails("program f\nend\nprogram f\nend\n", "  1. end\nprogram f already defined", 110);
    fails("program f\ndi 1\nfoo\ndi 2\nend\nf\n", ". f\n1\ncommand foo is unrecognized", 199);
    assert!(log("program f\nexit\ndi 1\nend\nf\nexit\ndi 2\n").ends_with(". f\n\n. exit\n\nend of do-file\n"));
    fails("program f\nf\nend\nf\n", "system limit exceeded - see manual", 1000);
}

#[test]
fn a_small_table_of_data() {
    let text = log("set obs 5\ngen x = _n\ngen double y = x^2 if x > 1\nreplace y = 0 if missing(y)\nreplace x = x\n\
         gen str3 s = \"a\" + string(x)\ndrop if x == 5\ncount if x > 2\nsu x y\nlist x s in 1/2\nkeep x\nassert x < 4\n");
    let wanted = "
. set obs 5
Number of observations (_N) was 0, now 5.

. gen x = _n

. gen double y = x^2 if x > 1
(1 missing value generated)

. replace y = 0 if missing(y)
(1 real change made)

. replace x = x
(0 real changes made)

. gen str3 s = \"a\" + string(x)

. drop if x == 5
(1 observation deleted)

. count if x > 2
  2

. su x y

    Variable |        Obs        Mean    Std. dev.       Min        Max
-------------+---------------------------------------------------------
           x |          4         2.5    1.290994          1          4
           y |          4        7.25    6.898067          0         16

. list x s in 1/2

     +--------+
     | x    s |
     |--------|
  1. | 1   a1 |
  2. | 2   a2 |
     +--------+

. keep x

. assert x < 4
1 contradiction in 4 observations
assertion is false
r(9);

end of do-file
r(9);
";
    assert_eq!(text, wanted);
}

#[test]
fn random_numbers_repeat_with_the_seed() {
    let text = log(
        "set seed 7\nlocal a = runiform()\nset seed 7\nlocal b = runiform()\nlocal c = runiform()\nassert `a' == `b' & `a' != `c' & inrange(`a', 0, 1)\n",
    );
    assert!(text.ends_with(". \nend of do-file\n"), "{text}");
}

#[test]
fn files_are_written_read_and_erased() {
    let lab = Lab::new(&[(
        "x.do",
        "file open h using \"new.txt\", write text replace\nfile write h \"a\" _tab (1+1) _n %5.2f (3) _n\nfile close h\n\
         file open h using new.txt, write append\nfile write h \"more\" _n\nfile close h\n\
         file open r using new.txt, read\nfile read r line\nwhile r(eof) == 0 {\ndi \"[`line']\"\nfile read r line\n}\nfile close r\n\
         capture confirm file new.txt\ndi _rc\nerase new.txt\ncapture confirm file new.txt\ndi _rc\n\
         tempfile t\nfile open h using `t', write\nfile close h\nconfirm file `t'\n",
    )]);
    let text = lab.log_of("x.do");
    assert!(text.contains("write text replace\n(file new.txt not found)\n\n"), "{text}");
    assert!(text.contains("  4. }\n[a\t2]\n[ 3.00]\n[more]\n\n"), "{text}");
    assert!(text.contains("di _rc\n0\n\n") && text.contains("di _rc\n601\n\n"), "{text}");
    assert!(text.ends_with(". \nend of do-file\n"), "{text}");
    let left: Vec<_> = std::fs::read_dir(lab.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "temporary files are gone: {left:?}");
}

#[test]
fn a_log_of_its_own_holds_the_same_lines() {
    let lab = Lab::new(&[("x.do", "log using own, text replace\ndi 1\nlog close _all\ncapture log close\ndi _rc\n")]);
    let text = lab.log_of("x.do");
    let own = lab.text("own.log");
    assert!(own.starts_with(&format!("{}\n      name:  <unnamed>\n       log:  ", "-".repeat(79))), "{own}");
    assert!(own.contains("\n\n. di 1\n1\n\n. log close _all\n      name:  <unnamed>\n"), "{own}");
    assert!(own.ends_with(&format!("{}\n", "-".repeat(79))) && own.contains("\n closed on:  "), "{own}");
    assert!(text.contains(&own) && text.contains("(file own.log not found)\n---"), "{text}");
    assert!(text.ends_with("di _rc\n606\n\n. \nend of do-file\n"), "the batch log survives: {text}");
}

#[test]
fn do_files_call_do_files() {
    let lab = Lab::new(&[
        ("x.do", "do sub/a \"one two\" 3\nrun sub/a 1\nquietly do sub/a.do 2\nlocal v 5\ninclude inc.do\ndo nothere\n"),
        ("sub/a.do", "args p q\ndi \"`p'-`q'\"\n"),
        ("inc.do", "di `v'\nlocal v 6\n"),
    ]);
    let wanted = "\n. do sub/a \"one two\" 3\n\n. args p q\n\n. di \"`p'-`q'\"\none two-3\n\n. \nend of do-file\n\n\
        . run sub/a 1\n\n. quietly do sub/a.do 2\n\n. local v 5\n\n. include inc.do\n\n. di `v'\n5\n\n. local v 6\n\n. \n\
        . do nothere\nfile nothere.do not found\nr(601);\n\nend of do-file\nr(601);\n";
    assert_eq!(lab.log_of("x.do"), wanted);
}

#[test]
fn a_wrapper_reaches_its_last_line_only_after_success() {
    let wrapper = |code: &str| {
        let lab = Lab::new(&[("work/user file.do", code)]);
        let here = lab.path().display().to_string();
        let text = format!(
            "cd `\"{here}/work\"'\ndo `\"{here}/work/user file.do\"' `\"an arg\"' 2\n\
             file open mark using `\"{here}/sentinel\"', write text replace\nfile write mark \"done\" _n\nfile close mark\n"
        );
        lab.write("w.do", text.as_bytes());
        let log = lab.log_of("w.do");
        (lab.text("sentinel"), lab.text("work/out.txt"), log)
    };
    let wipe = "clear all\nmacro drop _all\ncapture log close _all\nfile open o using out.txt, write\nfile write o \"`1'/`2'\"\nfile close o\n";
    let (sentinel, out, log) = wrapper(wipe);
    assert_eq!((sentinel.as_str(), out.as_str()), ("done\n", "an arg/2"), "{log}");
    let (sentinel, _, log) = wrapper("logit y x\n");
    assert_eq!(sentinel, "");
    assert!(
        log.ends_with("command logit is unrecognized\nr(199);\n\nend of do-file\nr(199);\n\nend of do-file\nr(199);\n"),
        "{log}"
    );
}

#[test]
fn delimiters_comments_and_continuations() {
    let text = log("#delimit ;\ndi 1\n + 1;\n* a comment\n of two lines;\n#delimit cr\ndi 2 /// two\n  + 3 // five\n");
    let wanted = "\n. #delimit ;\ndelimiter now ;\n. di 1\n>  + 1;\n2\n\n. * a comment\n>  of two lines;\n. #delimit cr\ndelimiter now cr\n\
                  . di 2 /// two\n>   + 3 // five\n5\n\n. \nend of do-file\n";
    assert_eq!(text, wanted);
    // A do-file with the line ends of an old Macintosh is one line.
    assert!(log("di 1\rdi 2\r").contains("\nr(1"));
    assert!(log("di 1\r\ndi 2\r\n").ends_with(". di 2\n2\n\n. \nend of do-file\n"));
    assert!(log("\u{feff}di 1").ends_with(". di 1\n1\n\n. \nend of do-file\n"));
}

#[test]
fn errors_have_their_texts_and_codes() {
    fails("foo bar\n", "command foo is unrecognized", 199);
    fails("di nothere\n", "nothere not found", 111);
    fails("gen y = nothere + 1\n", "nothere not found", 111);
    fails("drop nothere\n", "variable nothere not found", 111);
    fails("di 1 + \"a\"\n", "type mismatch", 109);
    fails("di nofun(1)\n", "unknown function nofun()", 133);
    fails("use nothere\n", "file nothere.dta not found", 601);
    fails("confirm file nothere.txt\n", "file nothere.txt not found", 601);
    fails("assert 1 == 2\n", "assertion is false", 9);
    fails("error 198\n", "invalid syntax", 198);
    fails("exit 12344\n", ". exit 12344", 12344);
    fails("cd /no/such/place\n", "unable to change to /no/such/place", 170);
    fails("log close\n", "no log file open", 606);
    fails("set obs 2\ngen x = 1\ngen x = 2\n", "variable x already defined", 110);
    fails("forvalues i = 1/2 {\ndi `i'\nfoo\n}\n", "  4. }\n1\ncommand foo is unrecognized", 199);
    fails("restore\n", "nothing to restore", 622);
    fails("which foo\n", "command foo not found as either built-in or ado-file", 111);
    let text = log("exit 1\n");
    assert_eq!(text, "\n. exit 1\n--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n");
}

#[test]
fn an_if_block_is_echoed_as_it_runs() {
    let text = log("if 1 {\n  di 1\n\n  if 0 {\n    di 2\n  }\n  else {\n    di 3\n  }\n}\nquietly {\n  di 4\n}\n");
    let wanted = "\n. if 1 {\n.   di 1\n1\n. \n.   if 0 {\n.     di 2\n.   }\n.   else {\n.     di 3\n3\n.   }\n. }\n\n. quietly {\n.   di 4\n. }\n\n. \nend of do-file\n";
    assert_eq!(text, wanted);
    fails("if 1 {\ndi 1\nfoo\ndi 2\n}\ndi 3\n", "1\n. foo\ncommand foo is unrecognized\nr(199);\n. di 2\n. }", 199);
}

#[test]
fn settings_change_the_log() {
    let text = log("set linesize 40\ndi \"0123456789012345678901234567890123456789\"\nset rmsg on\nfoo\n");
    assert!(text.contains(". di \"0123456789012345678901234567890123\n> 456789\"\n0123456789"), "{text}");
    assert!(text.contains(". set rmsg on\nr; t="), "{text}");
    let end: Vec<&str> = text.lines().rev().take(2).collect();
    assert!(end[0].starts_with("r(199); t=") && end[1] == "end of do-file", "{text}");
}
