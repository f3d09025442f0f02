//! Paths as models write them: quoted, with blanks around them, as `file://` URLs.

/// What the path is meant to be. A path of a file that really begins with a quote is absolute, so nothing is lost.
pub(super) fn meant(given: &str) -> String {
    if longhaul_proto::faults::bug("paths_as_given") {
        return given.to_owned();
    }
    let mut path = given.trim();
    for quote in ['"', '\'', '`'] {
        if let Some(inner) = path.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            path = inner.trim();
        }
    }
    match path.strip_prefix("file://") {
        Some(url) => of_url(url),
        None => path.to_owned(),
    }
}

/// `/home/a%20b.do`, `localhost/home/x.do`, `/C:/x.do`: what follows `file://` (RFC 8089).
fn of_url(rest: &str) -> String {
    let path = rest.strip_prefix("localhost/").map_or_else(|| rest.to_owned(), |path| format!("/{path}"));
    let path = percent_encoding::percent_decode_str(&path).decode_utf8().map_or(path.clone(), Into::into);
    match path.strip_prefix('/') {
        Some(windows) if longhaul_proto::paths::is_windows(windows) => windows.to_owned(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_it_is_meant_to_be() {
        let check = |given: &str, want: &str| assert_eq!(meant(given), want, "{given}");
        check("/p/a.do", "/p/a.do");
        check(" /p/a.do\n", "/p/a.do");
        check("\"/p/a b.do\"", "/p/a b.do");
        check("'/p/a.do' ", "/p/a.do");
        check("`/p/a.do`", "/p/a.do");
        check("\"/p/a.do", "\"/p/a.do");
        check("file:///p/a%20b.do", "/p/a b.do");
        check("file://localhost/p/a.do", "/p/a.do");
        check("file:///C:/Users/ana/a.do", "C:/Users/ana/a.do");
        check("file:///p/%ff.do", "/p/%ff.do");
        check("~/a.do", "~/a.do");
    }
}
