//! Risky commands in words.

use super::{COMMAND, Risk, RiskKind};
use crate::visible;

/// Most that a line tells one by one.
const TOLD: usize = 3;

/// `line 3 erases files (erase x.dta); line 7 may run a shell command (...); 2 more`.
pub fn summary(risks: &[Risk]) -> String {
    let mut parts: Vec<String> = risks.iter().take(TOLD).map(one).collect();
    if risks.len() > TOLD {
        parts.push(format!("{} more", risks.len() - TOLD));
    }
    parts.join("; ")
}

/// Likewise, without the text of the commands.
pub fn summary_of_kinds(risks: &[Risk]) -> String {
    let bare: Vec<Risk> = risks.iter().map(|risk| Risk { command: String::new(), ..risk.clone() }).collect();
    summary(&bare)
}

fn one(risk: &Risk) -> String {
    let place = match risk.file.as_str() {
        "" => format!("line {}", risk.line),
        // The caller chose the name: it must not read as a sentence of ours.
        file => format!("`{}` line {}", command(file).replace('`', "'"), risk.line),
    };
    let (does, may) = match risk.kind {
        RiskKind::Shell => ("runs a shell command", "run a shell command"),
        RiskKind::Erase => ("erases files", "erase files"),
        RiskKind::Install => ("installs or removes packages", "install or remove packages"),
        RiskKind::Network => ("reaches the network", "reach the network"),
        RiskKind::Python => ("runs Python", "run Python"),
        RiskKind::Plugin => ("runs a plugin or Java", "run a plugin or Java"),
    };
    let what = if risk.may { format!("may {may}") } else { does.to_owned() };
    match risk.command.as_str() {
        "" => format!("{place} {what}"),
        command => format!("{place} {what} ({command})"),
    }
}

/// One line, harmless and not long.
pub(super) fn command(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = visible::line(&line);
    if line.chars().count() <= COMMAND {
        return line.into_owned();
    }
    line.chars().take(COMMAND - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_where() {
        let risks = super::super::of_code(b"erase x.dta\nlocal c shell\n`c' ls\nrm a\nrm b\nrm c");
        assert_eq!(
            summary(&risks),
            "line 1 erases files (erase x.dta); line 3 may run a shell command (`c' ls); line 4 erases files (rm a); 2 more"
        );
        let in_file = vec![Risk { file: "sub/b.do".into(), ..risks[0].clone() }];
        assert_eq!(summary_of_kinds(&in_file), "`sub/b.do` line 1 erases files");
        assert_eq!(summary(&[]), "");
    }
}
