//! What failed, and what Stata said of it.

use super::{Last, Scan, Unwinding};
use crate::stata::{
    culprit,
    message::{self, Printed},
};

impl Scan {
    pub(super) fn code(&mut self, rc: i64) {
        if let Some(left) = self.left.take().filter(|left| left.rc == rc && self.printed == 0) {
            self.unwinding = Some(left);
        }
        if self.unwinding.as_ref().is_none_or(|u| u.rc != rc) {
            // Of a loop's output only the end is that of the line that failed.
            let part = self.skipped || self.block.has_several();
            let whole = if part { message::Output::End } else { message::Output::Whole };
            let lines: Vec<Printed> = self.above.iter().chain(&self.output).cloned().collect();
            let texts = message::unwrapped(&lines);
            // A Break has no message; what was printed before it is what it interrupted.
            let interrupted = self.broken && rc == 1;
            let (typed, message) = match self.typed_below(&lines) {
                _ if interrupted => (None, None),
                Some((command, said)) => (Some(command), Some(said)),
                None => (None, message::message(&lines, whole)),
            };
            let line = match &message {
                _ if interrupted => self.block.interrupted_in(&texts),
                Some(said) => self.block.named_by(said, &texts),
                None => None,
            };
            let command = typed.or(line).or_else(|| self.last_command());
            self.unwinding = Some(Unwinding { rc, broken: false, levels: 0, command, message });
        }
        if let Some(unwinding) = &mut self.unwinding {
            unwinding.broken |= std::mem::take(&mut self.broken);
            unwinding.levels += u32::from(std::mem::take(&mut self.level_ended));
        }
        if std::mem::take(&mut self.outermost_ended) {
            self.outermost = self.unwinding.clone();
        }
        self.last = Last::Code(rc);
    }

    /// The last command with the lines below it that are its own, and the message behind them; see
    /// [`culprit::lines_of_the_command`].
    fn typed_below(&self, lines: &[Printed]) -> Option<(String, String)> {
        if self.skipped {
            return None;
        }
        let texts: Vec<&str> = lines.iter().filter(|line| !line.is_blank()).map(|line| line.text.as_str()).collect();
        let (own, said) = texts.split_at(culprit::lines_of_the_command(&texts)?);
        let mut command = self.last_command()?;
        for line in own {
            match line.strip_prefix("> ") {
                Some(rest) => command.push_str(rest),
                None => command = format!("{} {}", command.trim_end(), line.trim_start()),
            }
        }
        Some((command.trim().to_owned(), said.join("\n")))
    }
}
