use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    prepare::{Engine, EngineKind, Places},
    spool::Timing,
};

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn smcl(about: &str, text: &str) -> String {
    format!(
        "{{smcl}}\n{{p2col:{{bf:{about}}} {{hline 2}}}}About {about}{{p_end}}\n\n{{title:Syntax}}\n\n{{pstd}}{text}\n"
    )
}

/// Help of a Stata below `root`, whose user's home is there too.
fn help(root: &Path, s_ado: &str) -> Help {
    let preparer = Preparer {
        places: Places { host: "stata1".into(), roots: vec![], hidden: vec![], path_map: vec![] },
        engine: Ok(Engine {
            kind: EngineKind::Stata,
            program: root.join("stata18/stata-mp"),
            argv: vec![],
            edition: String::new(),
            version: String::new(),
        }),
        environment: [("HOME", root.join("home").display().to_string()), ("S_ADO", s_ado.to_owned())]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        env_allow: vec![],
        timing: Timing { timeout: None, start: 0, after_break: 0, after_terminate: 0, gathering: 0 },
        results: false,
        install_lock: PathBuf::new(),
        max_cores: None,
        data_digests: false,
        output_limit: 0,
        max_run_spool: 0,
        limits: crate::spool::RunLimits::default(),
        log_encoding: Encoding::default(),
        confirm: Default::default(),
    };
    Help::new(&preparer, &[root.join("lab")], PathBuf::new())
}

fn asked(help: &Help, topic: &str) -> wire::HelpReply {
    help.0.answer(&wire::HelpRequest { topic: topic.to_owned(), ..Default::default() })
}

fn found(help: &Help, search: &str) -> Vec<String> {
    let reply = help.0.answer(&wire::HelpRequest { search: search.to_owned(), ..Default::default() });
    reply.topics.into_iter().map(|topic| topic.topic).collect()
}

#[test]
fn topics_are_found_as_stata_finds_them() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "stata18/stata-mp", "");
    write(root, "stata18/ado/base/r/regress.sthlp", &smcl("regress", "INCLUDE help note"));
    write(root, "stata18/ado/base/g/graph_twoway.sthlp", &smcl("graph twoway", "x\nINCLUDE help note\n"));
    write(root, "stata18/ado/base/n/note.ihlp", "{cmd:note} one\n");
    write(root, "stata18/ado/base/r/rhelp_alias.maint", "reg\tregress\nlonger  regress\nbroken\n");
    write(root, "stata18/ado/base/f/f_date.sthlp", &smcl("date()", "dates"));
    write(root, "home/ado/plus/r/reghdfe.sthlp", &smcl("reghdfe", "plus"));
    write(root, "home/ado/plus/o/older.hlp", "help for ^older^\n");
    write(root, "home/ado/personal/mine.sthlp", &smcl("mine", "personal"));
    write(root, "home/ado/personal/reghdfe.sthlp", &smcl("reghdfe", "personal"));
    write(root, "lab/deep/no.sthlp", &smcl("no", "too deep"));
    let help = help(root, "");

    let check = |topic: &str, place: &str, text: &str| {
        let reply = asked(&help, topic);
        assert_eq!((reply.place.as_str(), reply.problem.as_str()), (place, ""), "{topic}");
        assert!(reply.text.contains(text), "{topic}: {}", reply.text);
    };
    check("regress", "BASE r/regress.sthlp", "About regress");
    check(" reg ", "BASE r/regress.sthlp", "# help regress");
    check("regress##syntax", "BASE r/regress.sthlp", "## Syntax");
    check("REGRESS", "BASE r/regress.sthlp", "# help regress");
    check("graph twoway", "BASE g/graph_twoway.sthlp", "`note` one");
    check("date()", "BASE f/f_date.sthlp", "dates");
    check("reghdfe", "PERSONAL reghdfe.sthlp", "personal");
    check("older", "PLUS o/older.hlp", "help for older");

    let missing = asked(&help, "reghfde");
    assert!(missing.problem.contains("no help on `reghfde` on stata1"), "{}", missing.problem);
    assert_eq!(missing.topics[0].topic, "reghdfe");
    assert_eq!(missing.topics[0].about, "reghdfe -- About reghdfe");
    assert!(!asked(&help, "no").problem.is_empty());
    for path in ["../mine", "/etc/passwd", "r/regress", "..", "a\\b", "x\0", &"x".repeat(500)] {
        assert!(asked(&help, path).problem.contains("and no path"), "{path}");
    }
    assert_eq!(found(&help, "About twoway"), ["graph_twoway"]);
    assert_eq!(found(&help, "reg"), ["regress", "reghdfe"].map(str::to_owned).into_iter().rev().collect::<Vec<_>>());
    assert_eq!(found(&help, "nothing_like_it"), [""; 0]);

    // A file that is edited, and one that comes, are seen.
    write(root, "stata18/ado/base/n/note.ihlp", "{cmd:note} two\n");
    check("graph twoway", "BASE g/graph_twoway.sthlp", "`note` two");
    write(root, "home/ado/personal/mine.sthlp", &smcl("mine", "another text"));
    check("mine", "PERSONAL mine.sthlp", "another text");
    write(root, "home/ado/plus/n/newcomer.sthlp", &smcl("newcomer", "new"));
    check("newcomer", "PLUS n/newcomer.sthlp", "new");
    write(root, "lab/regress.sthlp", &smcl("regress", "of the lab"));
    check("regress", &format!("{} regress.sthlp", root.join("lab").display()), "of the lab");
}

#[test]
fn the_path_of_the_environment_counts() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "stata18/stata-mp", "");
    write(root, "stata18/ado/base/r/regress.sthlp", &smcl("regress", "base"));
    write(root, "own/regress.sthlp", &smcl("regress", "own"));
    let path = root.join("own").display().to_string();
    let only = help(root, &path);
    assert!(asked(&only, "regress").text.contains("own"));
    let both = help(root, &format!("BASE;.;{path}"));
    assert!(asked(&both, "regress").text.contains("base"));
    let none = help(&root.join("nowhere"), "");
    assert!(asked(&none, "regress").problem.contains("--ado-path") || Path::new("/usr/local/ado").is_dir());
}

fn linked(root: &Path) -> Help {
    write(root, "secret", "{smcl}\n{title:Syntax}\n\nthe secret\n");
    write(root, "home/ado/plus/r/real.sthlp", &smcl("real", "real"));
    let plus = root.join("home/ado/plus");
    symlink(root.join("secret"), plus.join("r/absolute.sthlp")).unwrap();
    symlink("../../../../secret", plus.join("r/relative.sthlp")).unwrap();
    symlink("real.sthlp", plus.join("r/inside.sthlp")).unwrap();
    fs::create_dir(plus.join("r/folder.sthlp")).unwrap();
    symlink(root.join("secret"), plus.join("r/note.ihlp")).unwrap();
    write(root, "home/ado/plus/r/including.sthlp", "{smcl}\n{pstd}\nINCLUDE help note\n");
    help(root, "PLUS")
}

#[test]
fn links_lead_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let help = linked(dir.path());
    for topic in ["absolute", "relative"] {
        let reply = asked(&help, topic);
        assert!(reply.problem.contains("leads out of the ado-path") && reply.text.is_empty(), "{topic}: {reply:?}");
    }
    assert!(asked(&help, "folder").problem.contains("no ordinary file"));
    assert!(asked(&help, "inside").text.contains("real"));
    assert!(asked(&help, "including").text.contains("not included: note"));
    assert!(!found(&help, "secret").contains(&"absolute".to_owned()));
}

/// The control.
#[cfg(feature = "faults")]
#[test]
fn followed_links_would_show_other_files() {
    let _bug = longhaul_proto::faults::enter("bug=help_follows_links");
    let dir = tempfile::tempdir().unwrap();
    let help = linked(dir.path());
    assert!(asked(&help, "absolute").text.contains("the secret"));
}
