//! The documents hang together: every page is in the index, and what one says of another is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All documents for people, by their path in the repository.
fn documents() -> Vec<(PathBuf, String)> {
    let pages = fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = pages.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    all.extend(
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "deploy/README.md"].map(|name| repository().join(name)),
    );
    all.sort();
    all.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The text without blocks of commands, in one line.
fn prose(text: &str) -> String {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

fn headings(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    lines.map(str::to_owned).collect()
}

/// The anchor that a heading has on the pages of the usual hosts.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.replace(' ', "-")
}

/// What a document says of others that is not so.
fn untrue(at: &Path, text: &str) -> Vec<String> {
    let (mut wrong, text_in_line) = (Vec::new(), prose(text));
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    for found in link.captures_iter(&text_in_line).map(|found| found[1].to_owned()) {
        if found.contains("://") || found.starts_with("mailto:") {
            continue;
        }
        let (file, part) = found.split_once('#').unwrap_or((&found, ""));
        let path = if file.is_empty() { at.to_owned() } else { at.parent().unwrap().join(file) };
        match fs::read_to_string(&path) {
            Err(_) if path.exists() && part.is_empty() => {}
            Err(_) => wrong.push(format!("the link {found} leads nowhere")),
            Ok(other) if !part.is_empty() && !headings(&other).iter().any(|heading| anchor(heading) == part) => {
                wrong.push(format!("the link {found} leads to no heading"));
            }
            Ok(_) => {}
        }
    }
    let page = |name: &str| fs::read_to_string(repository().join("docs").join(name)).ok();
    for found in Regex::new(r"\bdocs/([a-z-]+\.md)").unwrap().captures_iter(&text_in_line) {
        if page(&found[1]).is_none() {
            wrong.push(format!("there is no docs/{}", &found[1]));
        }
    }
    // `docs/x.md, "Heading"`, and `"Heading" in docs/x.md`.
    let after = Regex::new(r#"`?\bdocs/([a-z-]+\.md)`?, "([^"]+)""#).unwrap();
    let before = Regex::new(r#""([^"]+)" in `?docs/([a-z-]+\.md)"#).unwrap();
    let named = after.captures_iter(&text_in_line).map(|found| (found[1].to_owned(), found[2].to_owned()));
    let named =
        named.chain(before.captures_iter(&text_in_line).map(|found| (found[2].to_owned(), found[1].to_owned())));
    for (name, heading) in named {
        if page(&name).is_some_and(|other| !headings(&other).contains(&heading)) {
            wrong.push(format!("docs/{name} has no heading \"{heading}\""));
        }
    }
    wrong
}

#[test]
fn what_documents_say_of_each_other_is_there() {
    let wrong: Vec<String> = documents()
        .iter()
        .filter(|(path, _)| !path.ends_with("CHANGELOG.md"))
        .flat_map(|(path, text)| untrue(path, text).into_iter().map(|wrong| format!("{}: {wrong}", path.display())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The index has each page once, with a sentence, and nothing else in its folder.
#[test]
fn every_page_is_in_the_index_once() {
    let index = fs::read_to_string(repository().join("docs/README.md")).unwrap();
    let line = Regex::new(r"(?m)^- \[([a-z-]+\.md)\]\(([a-z-]+\.md)\): .{20,}\.$").unwrap();
    let mut listed: Vec<String> = line
        .captures_iter(&index)
        .map(|found| {
            assert_eq!(&found[1], &found[2]);
            found[1].to_owned()
        })
        .collect();
    listed.sort();
    let pages = documents().into_iter().map(|(path, _)| path).filter(|path| path.parent().unwrap().ends_with("docs"));
    let names = pages.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let there: Vec<String> = names.filter(|name| name != "README.md").collect();
    assert_eq!(listed, there);
}

/// The control.
#[test]
fn control_a_link_that_leads_nowhere_is_found() {
    let at = repository().join("docs/some.md");
    let good = "See [a](clients.md), [b](../README.md#try-it), docs/operations.md, \"Backups\", and \"Audit log\" in\ndocs/operations.md.";
    assert_eq!(untrue(&at, good), Vec::<String>::new());
    for (text, words) in [
        ("[a](client.md)", "the link client.md leads nowhere"),
        ("[b](../README.md#tried)", "leads to no heading"),
        ("as docs/operation.md says", "there is no docs/operation.md"),
        ("docs/operations.md, \"Back ups\"", "docs/operations.md has no heading \"Back ups\""),
        ("\"Back ups\" in `docs/operations.md`", "has no heading"),
    ] {
        let found = untrue(&at, text);
        assert!(found.len() == 1 && found[0].contains(words), "{text}: {found:?}");
    }
    assert!(untrue(&at, "```\ncat docs/none.md\n```\n").is_empty());
}
