//! What an agent says of an error.

use super::{Foreign, many, one};
use crate::wire;

impl Foreign for wire::Location {
    fn make_harmless(&mut self) {
        one(&mut self.file);
        self.callers.iter_mut().for_each(one);
    }
}

impl Foreign for wire::Diagnosis {
    fn make_harmless(&mut self) {
        one(&mut self.kind);
        self.before.iter_mut().chain(&mut self.after).for_each(one);
        for error in &mut self.suppressed {
            many(&mut error.message);
            many(&mut error.command);
            error.location.iter_mut().for_each(Foreign::make_harmless);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_an_error_is_made_harmless() {
        let wild = || "\u{1b}[2Jx\u{202e}".to_owned();
        let at = || Some(wire::Location { file: wild(), line: 1, callers: vec![wild()] });
        let error = wire::SuppressedError { rc: None, message: wild(), command: wild(), location: at() };
        let mut outcome = wire::Outcome {
            location: at(),
            diagnosis: Some(wire::Diagnosis {
                kind: wild(),
                before: vec![wild()],
                after: vec![wild()],
                suppressed: vec![error],
                suppressed_left_out: 0,
            }),
            ..Default::default()
        };
        outcome.make_harmless();
        let all = format!("{outcome:?}");
        // Debug output escapes what is hidden; what was made visible has a second backslash there.
        assert_eq!(all.matches("\"\\\\x1b[2Jx\\\\u{202e}\"").count(), 9, "{all}");
    }
}
