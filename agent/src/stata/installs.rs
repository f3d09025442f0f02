//! Whether code names a command that installs, updates or removes packages: `ssc install`, `net install`, `ado update` and
//! their like.
//!
//! It is a look at words, outside of comments and of text in quotes. What a macro puts together, what another do-file
//! does, and what an ado-file does by itself are not seen.

use std::sync::LazyLock;

use regex::Regex;

/// The commands, with the abbreviations that Stata takes (help ssc, net, ado update, adoupdate), and that of `github`, the
/// package by which others are installed from there.
static COMMANDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?:^|[\s{};:()])((?:ssc\s+(?:inst|insta|instal|install|uninst|uninsta|uninstal|uninstall)|net\s+(?:ins|inst|insta|instal|install)|ado\s+(?:update|unin|unins|uninst|uninsta|uninstal|uninstall)|github\s+(?:install|update|uninstall))|adoupdate)(?:[\s,;}]|$)",
    )
    .ok()
});

/// The first such command of some code, as it stands there, in one line; `None` = it names none.
pub fn named(code: &[u8]) -> Option<String> {
    let code = words(code);
    let found = COMMANDS.as_ref()?.captures(&code)?.get(1)?;
    Some(found.as_str().split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The code without comments and without what stands in quotes; a command that goes on in the next line is one line.
fn words(code: &[u8]) -> String {
    let text = String::from_utf8_lossy(code);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    // Where `*` begins a comment.
    let mut fresh = true;
    while let Some(c) = rest.chars().next() {
        let cut = match c {
            '/' if rest.starts_with("///") => {
                let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
                out.push(' ');
                end
            }
            // Only after a blank, so that the `//` of an address is none.
            '/' if rest.starts_with("//") && (fresh || out.ends_with([' ', '\t', '\n'])) => end_of_line(rest),
            '/' if rest.starts_with("/*") => {
                out.push(' ');
                rest.find("*/").map_or(rest.len(), |at| at + 2)
            }
            '*' if fresh => end_of_line(rest),
            '`' if rest.starts_with("`\"") => {
                out.push(' ');
                rest.find("\"'").map_or_else(|| end_of_line(rest), |at| at + 2)
            }
            '"' => {
                out.push(' ');
                let line = &rest[..end_of_line(rest)];
                line[1..].find('"').map_or(line.len(), |at| at + 2)
            }
            c => {
                out.push(c);
                fresh = matches!(c, '\n' | ';') || (fresh && c.is_whitespace());
                c.len_utf8()
            }
        };
        rest = &rest[cut..];
    }
    out
}

fn end_of_line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_install_are_seen_and_words_about_them_are_not() {
        #[track_caller]
        fn check(code: &str, want: Option<&str>) {
            assert_eq!(named(code.as_bytes()).as_deref(), want, "{code}");
        }
        check("ssc install reghdfe\n", Some("ssc install"));
        check("sysuse auto\n  cap ssc inst ftools, replace", Some("ssc inst"));
        check("capture which reghdfe\nif _rc ssc   install reghdfe", Some("ssc install"));
        check("quietly {\nnet install x, from(\"http://a.b/c\")\n}", Some("net install"));
        check("net ins x, from(http://a.b/c)", Some("net ins"));
        check("foreach p in a b {\n\tcap noi: ssc install `p'\n}", Some("ssc install"));
        check("#delimit ;\ndisplay 1; ado update, update;", Some("ado update"));
        check("adoupdate, update", Some("adoupdate"));
        check("ado uninstall x", Some("ado uninstall"));
        check("ssc uninstall x", Some("ssc uninstall"));
        check("github install haghish/markdoc", Some("github install"));
        check("ssc ///\n  install x", Some("ssc install"));
        check("display \"a\" /* b */ ssc install x", Some("ssc install"));
        check("net from http://a.b/c\nnet install x", Some("net install"));
        check("* ssc install x\n", None);
        check("  *ssc install x\n", None);
        check("display 1 // ssc install x\n", None);
        check("/* \nssc install x\n*/\n", None);
        check("display as error \"please ssc install x\"\n", None);
        check("di `\"please \"do\" ssc install x\"'\n", None);
        check("net from http://a.b/c\nnet get x\nnet describe x", None);
        check("ssc describe x\nssc hot\nado dir", None);
        check("generate ssc = 1", None);
        check("generate x = 2 * ssc\nreplace install = 1\n", None);
        check("local xssc installed\nmyssc install", None);
        check("", None);
        // Unclosed quotes and comments end somewhere.
        check("display \"ssc install x\nssc install y", Some("ssc install"));
        check("/* ssc install x", None);
        assert_eq!(named(b"\xff\xfe ssc install x\n").as_deref(), Some("ssc install"));
    }
}
