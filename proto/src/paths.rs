//! Paths as clients write them, of any operating system.
//!
//! A client's machine and the Stata host may differ. Only the agent knows what a client's path is on its host (its path
//! map), so no component before it may judge a path by its own system.

/// `C:` at the beginning of a Windows path with a root.
fn has_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic())
}

/// Whether it is an absolute path of a Windows machine: `C:\x`, `c:/x`, `\\server\share`.
pub fn is_windows(path: &str) -> bool {
    has_drive(path) || path.starts_with("\\\\")
}

/// Whether it is an absolute path on some system.
pub fn is_absolute(path: &str) -> bool {
    path.starts_with('/') || is_windows(path)
}

/// The rest of `path` after `prefix`, with `/` between its parts and none at its start; `None` unless the prefix
/// consists of whole parts of the path. For a Windows prefix `/` and `\` are the same, and so are the cases of a drive
/// letter.
pub fn below(path: &str, prefix: &str) -> Option<String> {
    let windows = prefix.contains('\\') || prefix.as_bytes().get(1) == Some(&b':');
    let even = |text: &str| {
        let mut text = if windows { text.replace('\\', "/") } else { text.to_owned() };
        if windows && text.as_bytes().get(1) == Some(&b':') {
            text[..1].make_ascii_lowercase();
        }
        text
    };
    let (path, prefix) = (even(path), even(prefix));
    let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
}

/// The name that Stata looks for when a do-file is named without an extension: `do main` runs `main.do`. `None` = the
/// path has an extension, or has no name.
pub fn with_do(path: &str) -> Option<String> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    (!name.is_empty() && !name.contains('.')).then(|| format!("{path}.do"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_paths_of_any_system() {
        for path in ["/a", "C:\\a", "c:/a", "\\\\server\\share\\a.do"] {
            assert!(is_absolute(path), "{path}");
        }
        for path in ["a.do", "~/a", "C:a", "C:", "", "é:\\a", "\\a", "1:\\a"] {
            assert!(!is_absolute(path), "{path}");
        }
    }

    #[test]
    fn what_is_below_a_prefix() {
        let check = |path: &str, prefix: &str, want: Option<&str>| {
            assert_eq!(below(path, prefix).as_deref(), want, "{path} {prefix}");
        };
        check("C:\\Users\\ana\\proj\\a\\x.do", "C:\\Users\\ana\\proj", Some("a/x.do"));
        check("c:/Users/ana\\proj/x.do", "C:\\Users\\ana\\proj\\", Some("x.do"));
        check("C:\\Users\\ana\\proj\\x.do", "c:/Users/ana/proj", Some("x.do"));
        check("C:\\x.do", "C:\\", Some("x.do"));
        check("C:\\Users\\ana\\project\\x.do", "C:\\Users\\ana\\proj", None);
        check("D:\\x.do", "C:\\", None);
        check("\\\\srv\\d\\x.do", "\\\\srv\\d", Some("x.do"));
        check("/Users/ada/a\\b.do", "/Users/ada/", Some("a\\b.do"));
        check("/Users/ada", "/Users/ada", Some(""));
        check("é", "C:\\", None);
    }
}
