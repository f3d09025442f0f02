//! A log without the commands that Stata echoed: what it printed.
//!
//! What may be output is never left out. Body lines (`  2. …`) have the form of the rows of `list`, so they are taken for
//! echo only where the command above them opened a block; `input` shows data that way, and is kept. What cannot be told from
//! an echo: a line that a do-file prints with Stata's own prompt before it (`display ". x"`), and lines right below a command
//! that begin with `> `.

use super::{
    commands::program_name,
    echo::{Classifier, Kind, opens_block},
};
use crate::faults;

/// Most of one command's text that is kept to see whether it opens a block, bytes.
const COMMAND: usize = 64 * 1024;

/// Says of each line of a log, in order, whether to show it.
#[derive(Clone, Debug, Default)]
pub struct OutputOnly {
    classifier: Classifier,
    /// The command that is being echoed.
    command: String,
    /// It opened a block, whose body is echoed.
    block: bool,
    /// A line was shown, and the last of the shown ones was not empty.
    after_text: bool,
}

impl OutputOnly {
    /// Whether the next line, without its line end, is shown. Of the empty lines between two commands one stays.
    pub fn shows(&mut self, line: &str) -> bool {
        let shows = match self.classifier.next(line) {
            // An empty command is echoed with a blank behind its prompt; this is a missing value that was displayed.
            Kind::Command(_) if line == "." => true,
            Kind::Command(command) => {
                self.command.clear();
                self.more(command);
                self.block = self.opens();
                false
            }
            Kind::More(rest) => {
                if !self.block {
                    self.more(rest);
                    self.block = self.opens();
                }
                false
            }
            Kind::Body(_) => !self.block && !faults::bug("list_rows_are_echo"),
            Kind::Blank => std::mem::take(&mut self.after_text),
            Kind::End | Kind::Code(_) | Kind::Break | Kind::Rmsg(_) | Kind::Output => true,
        };
        if shows {
            self.after_text = !line.trim().is_empty();
        }
        shows
    }

    fn more(&mut self, text: &str) {
        // A line that goes on below ends in a comment, which is no part of the command.
        if let Some(before) = self.command.trim_end().strip_suffix("///") {
            self.command.truncate(before.len());
        }
        let kept = text.floor_char_boundary(COMMAND.saturating_sub(self.command.len()));
        self.command.push_str(&text[..kept]);
    }

    fn opens(&self) -> bool {
        let words = self.command.trim();
        opens_block(words) || program_name(words).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(log: &str) -> String {
        let mut only = OutputOnly::default();
        log.lines().filter(|line| only.shows(line)).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn commands_go_and_output_stays() {
        fn check(log: &str, want: &str) {
            assert_eq!(shown(log), want, "{log}");
        }
        check(". di 1\n1\n\n. di 2\n2\n\n. \nend of do-file\n", "1\n\n2\n\nend of do-file\n");
        check(". di \"a ///\n> b\"\na b\n> printed\n", "a b\n> printed\n");
        check(". forvalues i = 1/2 {\n  2.     di `i'\n  3. }\n1\n2\n", "1\n2\n");
        check(". foreach x in a b ///\n> c {\n  2.     di 1\n  3. }\n1\n", "1\n");
        check(". program p\n  1.   di 1\n  2. end\n\n. p\n1\n", "1\n");
        check(". bad\ncommand bad is unrecognized\nr(199);\n", "command bad is unrecognized\nr(199);\n");
        check(". gen x = 1\n\n. gen y = 1\n\n. di x\n1\n", "1\n");
        check(". display r(p)\n.\n\n. \n", ".\n\n");
        check(". mata:\n: x = 1\n: x\n  1\n: end\n", "  1\n");
    }

    #[test]
    fn rows_of_a_list_are_never_taken_for_echo() {
        let table = "\n     +---+\n     | x |\n     |---|\n  1. | 3 |\n  2. | 4 |\n     +---+\n";
        assert_eq!(shown(&format!(". list x\n{table}")), table.trim_start_matches('\n'));
        for rows in ["  2. | 4 |\n", "  2.   4\n  3.   .\n", "  2. 4\n"] {
            assert_eq!(shown(&format!(". list x in 2/3, noheader clean\n{rows}")), rows);
            let looped = ". forvalues i = 1/2 {\n  2.   list x in 2/3, noheader clean\n  3. }\n";
            assert_eq!(shown(&format!("{looped}{rows}{rows}")), format!("{rows}{rows}"), "after the echo of a loop");
            let program = ". program p\n  1.   list x in 2/3, noheader clean\n  2. end\n\n. p\n";
            assert_eq!(shown(&format!("{program}{rows}")), rows);
        }
        let input = ". input x\n\n             x\n  1. 5\n  2. 6\n  3. end\n";
        assert_eq!(shown(input), input.split_once("\n\n").unwrap().1, "the rows of input are data");
    }
}
