//! The command line of packages.

use clap::{Args, Subcommand};

use super::Ask;

/// `packages`.
#[derive(Debug, Args)]
pub(crate) struct Packages {
    /// What to do with packages.
    #[command(subcommand)]
    pub(crate) action: PackagesAction,
}

/// What to do with packages.
#[derive(Debug, Subcommand)]
pub(crate) enum PackagesAction {
    /// Install one for the user as whom a host's agent runs: `ssc install` or `net install` there, as a run.
    ///
    /// It waits until no other run of that user on that host installs packages, and its verdict is the command's. What was
    /// installed stays for all later runs there.
    Install(Install),
}

/// `packages install`.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// The package: letters, digits and `_`.
    #[arg(value_parser = name)]
    pub(crate) name: String,
    /// The agent on whose host it is installed, by name.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: String,
    /// `ssc` (the SSC archive), or the http or https URL of a folder with packages, as after `from()` of `net install`.
    #[arg(long, value_name = "SOURCE", default_value = "ssc", value_parser = source)]
    pub(crate) from: Source,
    /// Replace files of another version that are there.
    #[arg(long)]
    pub(crate) replace: bool,
    /// A person has agreed to it, where the host asks for that (`--confirm` of its agent).
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Print the id and leave; the run goes on.
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The SSC archive.
    Ssc,
    /// A folder with packages.
    Url(String),
}

/// Longest name: that of a Stata program.
const LONGEST_NAME: usize = 32;
/// Longest URL, bytes: what Stata's `net` takes on one line with room to spare.
const LONGEST_URL: usize = 500;

fn name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!("expected the name of one package, such as reghdfe: 1 to {LONGEST_NAME} letters, digits and `_`"))
}

fn source(text: &str) -> Result<Source, String> {
    if text == "ssc" {
        return Ok(Source::Ssc);
    }
    // What could end the quotes or be a macro of Stata's has no place in it.
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '$' | '\\');
    let after = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match after {
        Some(rest) if !rest.is_empty() && text.len() <= LONGEST_URL && text.chars().all(plain) => {
            Ok(Source::Url(text.to_owned()))
        }
        _ => {
            Err("expected `ssc`, or a URL that begins with http:// or https:// and has no blanks and quotes".to_owned())
        }
    }
}

impl Install {
    /// The command that installs it.
    pub(crate) fn command(&self) -> String {
        let name = &self.name;
        match (&self.from, self.replace) {
            (Source::Ssc, false) => format!("ssc install {name}"),
            (Source::Ssc, true) => format!("ssc install {name}, replace"),
            (Source::Url(url), false) => format!("net install {name}, from(\"{url}\")"),
            (Source::Url(url), true) => format!("net install {name}, from(\"{url}\") replace"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_command_can_come_of_it() {
        let install = |name: &str, from: &str, replace| {
            let (name, from) = (self::name(name)?, source(from)?);
            let ask = Ask::default();
            Ok::<_, String>(
                Install { name, host: "s".into(), from, replace, detach: false, confirm: false, ask }.command(),
            )
        };
        assert_eq!(install("reghdfe", "ssc", false).unwrap(), "ssc install reghdfe");
        assert_eq!(install("st_0083", "ssc", true).unwrap(), "ssc install st_0083, replace");
        assert_eq!(
            install("x", "https://a.b/c/main/", true).unwrap(),
            "net install x, from(\"https://a.b/c/main/\") replace"
        );
        for bad in ["", "a b", "a;b", "a,b", "a`b'", "a\nb", "../a", "\u{e9}t\u{e9}", &"x".repeat(33)] {
            assert!(install(bad, "ssc", false).unwrap_err().contains("such as reghdfe"), "{bad}");
        }
        let urls =
            ["http://", "ftp://a", "a.b/c", "http://a b", "http://a\"b", "https://a`b'", "https://a$b", "SSC", ""];
        for bad in urls {
            assert!(install("x", bad, false).unwrap_err().contains("http:// or https://"), "{bad}");
        }
    }
}
