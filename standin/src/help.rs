//! Help files on the commands of the stand-in, in Stata's own format and laid out as in its folders. They say what they
//! describe: this program, and not Stata.

use std::{fs, io, path::Path};

/// Topic and text.
const TOPICS: &[(&str, &str)] = &[
    ("append", include_str!("help/append.sthlp")),
    ("bootstrap", include_str!("help/bootstrap.sthlp")),
    ("collapse", include_str!("help/collapse.sthlp")),
    ("display", include_str!("help/display.sthlp")),
    ("do", include_str!("help/do.sthlp")),
    ("generate", include_str!("help/generate.sthlp")),
    ("graph", include_str!("help/graph.sthlp")),
    ("histogram", include_str!("help/histogram.sthlp")),
    ("list", include_str!("help/list.sthlp")),
    ("log", include_str!("help/log.sthlp")),
    ("merge", include_str!("help/merge.sthlp")),
    ("preserve", include_str!("help/preserve.sthlp")),
    ("regress", include_str!("help/regress.sthlp")),
    ("set", include_str!("help/set.sthlp")),
    ("simulate", include_str!("help/simulate.sthlp")),
    ("standin", include_str!("help/standin.sthlp")),
    ("summarize", include_str!("help/summarize.sthlp")),
    ("timer", include_str!("help/timer.sthlp")),
    ("twoway", include_str!("help/twoway.sthlp")),
];

/// Shorter and other names of topics.
const ALIASES: &[(&str, &str)] = &[
    ("bs", "bootstrap"),
    ("di", "display"),
    ("g", "generate"),
    ("gen", "generate"),
    ("hist", "histogram"),
    ("l", "list"),
    ("line", "twoway"),
    ("reg", "regress"),
    ("restore", "preserve"),
    ("run", "do"),
    ("scatter", "twoway"),
    ("su", "summarize"),
    ("sum", "summarize"),
];

/// Writes them below a folder, by first letter.
///
/// # Errors
/// Any failure of the file system.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    for (topic, text) in TOPICS {
        put(folder, topic, &format!("{topic}.sthlp"), text.as_bytes())?;
    }
    for letter in 'a'..='z' {
        let lines = ALIASES.iter().filter(|(alias, _)| alias.starts_with(letter));
        let lines: String = lines.map(|(alias, topic)| format!("{alias}\t{topic}\n")).collect();
        if !lines.is_empty() {
            let letter = letter.to_string();
            put(folder, &letter, &format!("{letter}help_alias.maint"), lines.as_bytes())?;
        }
    }
    Ok(())
}

fn put(folder: &Path, name: &str, file: &str, text: &[u8]) -> io::Result<()> {
    let folder = folder.join(&name[..1]);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(file), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_topics_are_written_and_say_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for (topic, text) in TOPICS {
            assert!(text.starts_with("{smcl}\n") && text.contains("not Stata"), "{topic}");
            let file = folder.path().join(&topic[..1]).join(format!("{topic}.sthlp"));
            assert_eq!(&fs::read_to_string(file).unwrap(), text);
        }
        assert!(ALIASES.iter().all(|(_, topic)| TOPICS.iter().any(|(known, _)| known == topic)));
        assert_eq!(
            fs::read_to_string(folder.path().join("r/rhelp_alias.maint")).unwrap(),
            "reg\tregress\nrestore\tpreserve\nrun\tdo\n"
        );
    }
}
