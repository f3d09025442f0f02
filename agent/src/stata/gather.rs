//! The do-file of ours that writes down what the user's code left in r(), e() and s(), after the sentinel is there.
//!
//! It runs in the user's Stata, so it is plain language of every release since 13, and it keeps nothing of its own:
//! locals end with it; its one file handle, the one matrix it copies into, and the name under which it holds r() carry
//! the run's tag and are gone on every path; it draws no random number, prints nothing (`capture run` starts it), touches
//! no data, frame, Mata object or log, and leaves `_rc` as it was. r() is held first and put back last; e() and s() are
//! only read. Values are read in expressions, `(e(cmdline))`, and never as macros: nothing that they hold is expanded.
//!
//! What it writes is read by [`super::gathered`]. Every record starts on a line of its own, and the last one proves that
//! the rest is whole. A Break inside is not swallowed: it ends the gathering.

use std::path::Path;

/// Most characters of one macro that are copied.
pub const LONGEST_MACRO: usize = 65_536;
/// Most cells of all matrices that are copied: some 1 MiB as they are written, 22 bytes each.
pub const MOST_CELLS: usize = 47_662;
/// Most rows of an `e(V)` of which at least the diagonal is copied, where it is too large as a whole.
const DIAGONAL: usize = 1_500;

/// Of `c()`, what are numbers.
const NUMBERS: [&str; 3] = ["stata_version", "processors", "processors_lic"];
/// Of `c()`, what are texts.
const WORDS: [&str; 6] = ["edition_real", "born_date", "sysdir_plus", "rng_current", "rngstate", "sortrngstate"];

/// First line of what is gathered.
pub const HEAD: &str = "longhaul-results 1";

/// The do-file's text. `to` is the file that it writes, a path that Stata can take; `tag` as the wrapper's.
pub fn text(tag: &str, to: &Path) -> String {
    let to = to.display();
    let lh = format!("lh{tag}");
    let mut text = format!(
        "* Longhaul gathers results: see docs/clients.md\n\
         local lhc = _rc\n\
         capture _return hold {lh}\n\
         capture file close {lh}\n\
         local lht = c(trace)\n\
         set trace off\n\
         capture {{\n\
         _return restore {lh}, hold\n\
         file open {lh} using `\"{to}\"', write text\n\
         local lhw = 0\n\
         file write {lh} \"{HEAD}\" _n \"n c level \" %21x (c(level))\n"
    );
    for class in ["r", "e"] {
        text.push_str(&scalars(&lh, class));
        text.push_str(&macros(&lh, class));
        text.push_str(&matrices(&lh, class));
    }
    text.push_str(&macros(&lh, "s"));
    text.push_str(&constants(&lh));
    text.push_str(&format!(
        "file write {lh} _n \"end {tag}\" _n\n\
         }}\n\
         capture file close {lh}\n\
         capture matrix drop {lh}\n\
         capture _return restore {lh}\n\
         if \"`lht'\" == \"on\" set trace on\n\
         exit `lhc'\n"
    ));
    text
}

/// What Stata says of itself. A name that a release does not know is passed over; reading a state draws no number.
fn constants(lh: &str) -> String {
    let (numbers, words) = (NUMBERS.join(" "), WORDS.join(" "));
    format!(
        "foreach lhx in {numbers} {{\n\
         capture file write {lh} _n \"n c `lhx' \" %21x (c(`lhx'))\n\
         if _rc == 1 error 1\n\
         }}\n\
         foreach lhx in {words} {{\n\
         capture file write {lh} _n \"m c `lhx' \" %12.0f (strlen(c(`lhx'))) \" \" \
         (substr(c(`lhx'), 1, {LONGEST_MACRO}))\n\
         if _rc == 1 error 1\n\
         }}\n"
    )
}

fn scalars(lh: &str, class: &str) -> String {
    format!(
        "local lhn : {class}(scalars)\n\
         foreach lhx of local lhn {{\n\
         capture file write {lh} _n \"n {class} `lhx' \" %21x ({class}(`lhx'))\n\
         if _rc == 1 error 1\n\
         }}\n"
    )
}

fn macros(lh: &str, class: &str) -> String {
    format!(
        "local lhn : {class}(macros)\n\
         foreach lhx of local lhn {{\n\
         capture file write {lh} _n \"m {class} `lhx' \" %12.0f (strlen({class}(`lhx'))) \" \" \
         (substr({class}(`lhx'), 1, {LONGEST_MACRO}))\n\
         if _rc == 1 error 1\n\
         }}\n"
    )
}

/// Each matrix is copied into one of ours, cell by cell to the file, and dropped.
fn matrices(lh: &str, class: &str) -> String {
    let diagonal = if class == "e" {
        format!(
            "if \"`lhx'\" == \"V\" & `lhi' <= {DIAGONAL} & `lhi' == `lhj' {{\n\
             matrix {lh} = e(V)\n\
             file write {lh} _n \"d e V\"\n\
             forvalues lha = 1/`lhi' {{\n\
             file write {lh} \" \" %21x ({lh}[`lha',`lha'])\n\
             }}\n\
             matrix drop {lh}\n\
             }}\n"
        )
    } else {
        String::new()
    };
    format!(
        "local lhn : {class}(matrices)\n\
         foreach lhx of local lhn {{\n\
         capture {{\n\
         local lhi = rowsof({class}(`lhx'))\n\
         local lhj = colsof({class}(`lhx'))\n\
         if `lhw' + `lhi' * `lhj' > {MOST_CELLS} {{\n\
         file write {lh} _n \"y {class} `lhx' `lhi' `lhj'\"\n\
         {diagonal}\
         }}\n\
         else {{\n\
         local lhw = `lhw' + `lhi' * `lhj'\n\
         matrix {lh} = {class}(`lhx')\n\
         file write {lh} _n \"x {class} `lhx' `lhi' `lhj'\"\n\
         local lhr : rowfullnames {lh}, quoted\n\
         foreach lhz of local lhr {{\n\
         file write {lh} _n \"i \" `\"`macval(lhz)'\"'\n\
         }}\n\
         local lhr : colfullnames {lh}, quoted\n\
         foreach lhz of local lhr {{\n\
         file write {lh} _n \"j \" `\"`macval(lhz)'\"'\n\
         }}\n\
         forvalues lha = 1/`lhi' {{\n\
         file write {lh} _n \"v\"\n\
         forvalues lhb = 1/`lhj' {{\n\
         file write {lh} \" \" %21x ({lh}[`lha',`lhb'])\n\
         }}\n\
         }}\n\
         matrix drop {lh}\n\
         }}\n\
         }}\n\
         local lhe = _rc\n\
         capture matrix drop {lh}\n\
         if `lhe' == 1 error 1\n\
         if `lhe' != 0 file write {lh} _n \"f {class} `lhx' `lhe'\"\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_names_are_its_own_and_blocks_are_closed() {
        let text = text("7f3a9c21_1", Path::new("/spool/control/gathered-1"));
        let ending = |end: &str| text.lines().filter(|line| line.ends_with(end)).count();
        assert_eq!(ending(" {"), ending("}"), "{text}");
        for line in text.lines().filter(|line| line.starts_with("local ") || line.starts_with("foreach ")) {
            assert!(line.split_whitespace().nth(1).unwrap().starts_with("lh"), "{line}");
        }
        let changes =
            ["scalar", "global", "mata", "frame", "tempname", "generate", "seed", "display", "log", "quietly"];
        for line in text.lines() {
            let command = line.trim_start_matches("capture ").split_whitespace().next().unwrap_or_default();
            assert!(!changes.contains(&command), "{line}");
        }
        assert!(text.contains("`\"/spool/control/gathered-1\"'"));
    }
}
