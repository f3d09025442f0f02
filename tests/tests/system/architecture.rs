//! The layers of the gateway, as ARCHITECTURE.md declares them, hold in the source; and its map and the tree agree.
//!
//! The check reads the text of `gateway/src`: every path that begins with `crate` or climbs out of its folder with
//! `super` is an arrow from its top-level module to another. Tests inside the gateway may use anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Modules that put all others together; nothing below them may use them.
const ROOTS: [&str; 3] = ["lib", "simulation", "start"];

/// Items at the root of the crate, by the module in which they belong.
const AT_ROOT: [(&str, &str); 2] = [("Deps", "deps"), ("Options", "options")];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn document() -> String {
    fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap()
}

/// The rows of the table below a heading, as cells.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = document.split_once(&format!("\n{heading}\n")).expect("the heading is there");
    let lines = below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.skip(2).map(cells).collect()
}

/// The names between back-quotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/').to_owned()).collect()
}

/// What each module of the gateway may use, from the ground up.
fn declared(document: &str) -> Vec<(String, Vec<String>)> {
    let rows = table(document, "### Inside the gateway");
    rows.iter().flat_map(|row| quoted(&row[0]).into_iter().map(|name| (name, quoted(&row[1])))).collect()
}

/// The modules directly below `folder`, and which of them are folders.
fn top_level(folder: &Path) -> BTreeMap<String, bool> {
    let mut modules = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        *modules.entry(name.trim_end_matches(".rs").to_owned()).or_default() |= entry.file_type().unwrap().is_dir();
    }
    modules
}

/// An arrow between two top-level modules, and where it is drawn.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    path: String,
}

/// All source files below a folder, with the path of their module.
fn sources(folder: &Path, module: &[String], into: &mut Vec<(Vec<String>, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".rs");
        let mut inner = module.to_vec();
        if stem != "mod" && !(module.is_empty() && stem == "lib") {
            inner.push(stem.to_owned());
        }
        if entry.file_type().unwrap().is_dir() {
            sources(&entry.path(), &inner, into);
        } else if name.ends_with(".rs") && !inner.iter().any(|part| part == "tests") {
            into.push((inner, fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

/// The product's part of a file: without comments and without the tests at its end.
fn product(text: &str) -> String {
    let product = text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(product, _)| product);
    product.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect::<Vec<_>>().join("\n")
}

/// The text of a path with its braces, at the beginning of `code`.
fn path_at(code: &str) -> &str {
    let mut depth = 0;
    let mut before = ' ';
    for (at, c) in code.char_indices() {
        match c {
            '{' if before == ':' || depth > 0 => depth += 1,
            '}' if depth > 1 => depth -= 1,
            '}' if depth == 1 => return &code[..=at],
            _ if depth > 0 || c.is_alphanumeric() || c == '_' || c == ':' => {}
            _ => return &code[..at],
        }
        before = c;
    }
    code
}

/// The single paths of a path with braces.
fn expand(path: &str) -> Vec<String> {
    let Some((prefix, rest)) = path.split_once('{') else {
        return vec![path.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(expand).map(|part| format!("{}{part}", prefix.trim())).collect()
}

/// The arrows that a file draws; `module` is its path.
fn arrows(module: &[String], text: &str) -> BTreeSet<Arrow> {
    let code = product(text);
    let from = module.first().map_or("lib", String::as_str);
    let begins = |word: &'static str| {
        code.match_indices(word)
            .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$'))
    };
    let mut found = BTreeSet::new();
    for (at, _) in begins("crate::").chain(begins("super::")) {
        for path in expand(path_at(&code[at..])) {
            let mut parts: Vec<&str> = path.split("::").collect();
            let mut inside: Vec<&str> = Vec::new();
            if parts[0] == "crate" {
                parts.remove(0);
            } else {
                let climbs = parts.iter().take_while(|part| **part == "super").count();
                inside = module.iter().take(module.len().saturating_sub(climbs)).map(String::as_str).collect();
                parts.drain(..climbs);
            }
            let Some(first) = inside.first().or_else(|| parts.first()).copied() else { continue };
            let to = AT_ROOT.iter().find(|(item, _)| *item == first).map_or(first, |(_, module)| module);
            if to != from && !to.is_empty() {
                found.insert(Arrow { from: from.to_owned(), to: to.to_owned(), path: path.clone() });
            }
        }
    }
    found
}

/// The arrows that are not declared.
fn undeclared(declared: &[(String, Vec<String>)], module: &[String], text: &str) -> Vec<Arrow> {
    let from = module.first().map_or("lib", String::as_str);
    if ROOTS.contains(&from) {
        return Vec::new();
    }
    let allowed = declared.iter().find(|(name, _)| name == from).map_or(&[][..], |(_, uses)| uses.as_slice());
    arrows(module, text).into_iter().filter(|arrow| !allowed.contains(&arrow.to)).collect()
}

#[test]
fn the_gateways_layers_are_as_declared() {
    let declared = declared(&document());
    let mut files = Vec::new();
    sources(&repository().join("gateway/src"), &[], &mut files);
    let wrong: Vec<_> = files
        .iter()
        .flat_map(|(module, text)| {
            undeclared(&declared, module, text).into_iter().map(|arrow| (module.join("/"), arrow))
        })
        .collect();
    assert!(wrong.is_empty(), "arrows that ARCHITECTURE.md does not declare: {wrong:#?}");
    // A declaration that nothing uses would let an arrow come back unnoticed.
    let drawn: BTreeSet<_> =
        files.iter().flat_map(|(module, text)| arrows(module, text)).map(|arrow| (arrow.from, arrow.to)).collect();
    for (name, uses) in &declared {
        for to in uses {
            assert!(drawn.contains(&(name.clone(), to.clone())), "`{name}` is declared to use `{to}`, and does not");
        }
    }
}

#[test]
fn arrows_go_down_only() {
    let mut below: BTreeSet<String> = BTreeSet::new();
    for (name, uses) in declared(&document()) {
        for to in &uses {
            assert!(below.contains(to), "`{name}` uses `{to}`, which is not in a row above it");
        }
        below.insert(name);
    }
}

#[test]
fn the_map_and_the_tree_agree() {
    let document = document();
    let declared = declared(&document);
    let modules = top_level(&repository().join("gateway/src"));
    for (name, _) in &declared {
        let at_root = AT_ROOT.iter().any(|(_, module)| module == name);
        assert!(at_root || modules.contains_key(name), "the map has `{name}`, and gateway/src has not");
    }
    for name in modules.keys().filter(|name| !ROOTS.contains(&name.as_str())) {
        assert!(declared.iter().any(|(known, _)| known == name), "gateway/src has `{name}`, and the map has not");
    }
    let modules = top_level(&repository().join("agent/src"));
    let named: Vec<String> = table(&document, "### Inside the agent").iter().flat_map(|row| quoted(&row[0])).collect();
    for name in &named {
        assert!(modules.contains_key(name), "the map has `{name}`, and agent/src has not");
    }
    for (name, _) in modules.iter().filter(|(_, folder)| **folder) {
        assert!(named.contains(name), "agent/src has the folder `{name}`, and the map has not");
    }
    for row in table(&document, "## The map") {
        for folder in quoted(&row[0]) {
            assert!(repository().join(&folder).is_dir(), "the map has `{folder}`, and the repository has not");
        }
    }
}

/// What the agent's kernel-facing module says of locks, boots and processes.
const OF_THE_HOST: [&str; 9] = [
    "FileLock",
    "is_locked",
    "os::boot_id",
    "os::alive",
    "os::marked",
    "os::cpu_ms",
    "os::process",
    "os::descendants",
    "os::start_ticks",
];

/// The word of [`OF_THE_HOST`] that a module of the agent uses although it is not the local executor.
fn knows_the_host(module: &[String], text: &str) -> Option<&'static str> {
    let module: Vec<&str> = module.iter().map(String::as_str).collect();
    let code = product(text);
    let lock_of_the_data_folder = |word: &str| module == ["start"] && word == "FileLock";
    match module.as_slice() {
        ["os", ..] | ["executor", "local", ..] => None,
        _ => OF_THE_HOST.into_iter().find(|word| code.contains(word) && !lock_of_the_data_folder(word)),
    }
}

#[test]
fn locks_boots_and_processes_are_known_to_the_local_executor_only() {
    let mut files = Vec::new();
    sources(&repository().join("agent/src"), &[], &mut files);
    for (module, text) in &files {
        assert_eq!(knows_the_host(module, text), None, "agent/src/{}", module.join("/"));
    }
    // The control.
    let there = |module: &[&str]| module.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    let text = "fn f() { if os::alive(1, 2) { os::FileLock::try_take(path); } }";
    assert!(knows_the_host(&there(&["runs", "adopt"]), text).is_some());
    assert!(knows_the_host(&there(&["start"]), text).is_some());
    assert!(knows_the_host(&there(&["executor", "local", "probe"]), text).is_none());
    assert!(
        files
            .iter()
            .any(|(module, text)| *module == there(&["executor", "local", "probe"]) && text.contains("FileLock"))
    );
}

/// The state machine and the scheduler call agents through a port: what they conclude rests on no transport.
#[test]
fn the_state_machine_names_no_transport() {
    let mut files = Vec::new();
    sources(&repository().join("gateway/src"), &[], &mut files);
    let in_question =
        |module: &[String]| module[0] == "runs" || module.starts_with(&["fleet".into(), "scheduler".into()]);
    let checked: Vec<_> = files.iter().filter(|(module, _)| !module.is_empty() && in_question(module)).collect();
    assert!(checked.len() > 20, "{}", checked.len());
    for (module, text) in checked {
        let code = product(text);
        let names = code.match_indices("tonic").any(|(at, _)| !code[..at].ends_with("mono"));
        assert!(!names, "{} names tonic", module.join("/"));
    }
}

/// The control: arrows that nobody declared are found, however they are written.
#[test]
fn control_an_arrow_that_is_not_declared_is_found() {
    let declared = vec![("model".to_owned(), vec![]), ("ledger".to_owned(), vec!["model".to_owned()])];
    fn check(declared: &[(String, Vec<String>)], text: &str, want: &[&str]) {
        let module = ["ledger".to_owned(), "writer".to_owned()];
        let found = undeclared(declared, &module, text);
        let found: Vec<&str> = found.iter().map(|arrow| arrow.to.as_str()).collect();
        assert_eq!(found, want, "{text}");
    }
    check(&declared, "use crate::model::Need;\nuse super::record::Record;", &[]);
    check(
        &declared,
        "use crate::{\n    Deps,\n    model::{Need, Stream},\n    runs::{self, Runs as All},\n};",
        &["deps", "runs", "runs"],
    );
    check(&declared, "fn f() { crate::fleet::Fleet::tick() }", &["fleet"]);
    check(&declared, "use super::super::mirror::Mirror;", &["mirror"]);
    check(&declared, "// crate::fleet is not used\n#[cfg(test)]\nmod tests {\n    use crate::runs;\n}", &[]);
}
