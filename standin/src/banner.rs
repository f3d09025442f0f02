//! The first lines of a log. They have the shape that readers of Stata's logs know, and say that this is not Stata.

/// `c(stata_version)`, unless another release is asked for.
pub(crate) const VERSION: f64 = 18.0;

/// `c(born_date)`: the day from which this stand-in's language is.
pub(crate) const BORN: &str = " 1 Jan 2026";

/// How the stand-in was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With `-b`: the output goes to a log.
    Batch,
    /// On a terminal.
    Console,
}

/// The banner, from the empty first line to the empty line after the notes.
pub(crate) fn banner(mode: Mode, version: f64, serial: Option<&str>, licensed: Option<&str>) -> String {
    let release = format!(" /__    /   ____/   /   ____/      {version:.1}");
    let serial = format!("Serial number: {}", serial.unwrap_or("none"));
    let licence = format!("Stand-in license: {}", licensed.unwrap_or("none needed, none given"));
    let note = if mode == Mode::Batch {
        "      1. The Longhaul stand-in is running in batch mode. It is not Stata.\n"
    } else {
        "      1. The Longhaul stand-in is running in console mode. It is not Stata.\n"
    };
    [
        "",
        "  ___  ____  ____  ____  ____ ®",
        &release,
        "___/   /   /___/   /   /___/       Stand-in—Not Stata",
        "",
        " Longhaul stand-in: this is not Stata; it estimates by regress alone.",
        "                                   Not affiliated with StataCorp LLC.",
        "                                   It has Stata's manners at the process",
        "                                   boundary, so that everything around a",
        "                                   run can be tried without a licence.",
        "",
        &licence,
        &serial,
        "  Licensed to: nobody",
        "               (not Stata)",
        "",
        "Notes:",
    ]
    .join("\n")
        + "\n"
        + note
        + "      2. Commands it does not have end in r(199); it invents no results.\n\n"
}

/// What `-h` prints.
pub(crate) const USAGE: &str = "\
longhaul-standin [-b|-e|-s] [-q] [-h] [command]    (a stand-in for Stata's process boundary; not Stata)

  -b, -e   batch mode: log to <do-file>.log in this folder, nothing on standard output
  -s       batch mode with the log named .smcl
  -q       no banner
  -h       this text
  -write-help FOLDER
           write the help files on its commands into a folder, and leave

A command is `do file [args]`, a file name ending in .do, or any other command. Without one, commands are read from
standard input.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_has_the_shape_and_tells_the_truth() {
        for mode in [Mode::Batch, Mode::Console] {
            let text = banner(mode, VERSION, None, None);
            assert!(text.starts_with("\n  ___  ____  ____  ____  ____ ®\n"));
            assert!(text.contains("this is not Stata") && text.contains("\nStand-in license: "));
            assert!(text.contains("\nNotes:\n      1. ") && text.ends_with("\n\n"));
            assert!(banner(mode, 17.0, Some("4711"), None).contains("\nSerial number: 4711\n"));
            assert!(!text.contains("Stata license:") && text.lines().all(|l| l.chars().count() <= 79));
        }
    }
}
