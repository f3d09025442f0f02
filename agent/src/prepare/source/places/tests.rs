use longhaul_proto::wire;

use super::*;

fn places(root: &Path) -> Places {
    Places { host: "stata1".into(), roots: vec![root.to_owned()], hidden: vec![], path_map: vec![] }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let places = places(&root);
    fs::write(root.join("ok.do"), "display 1\n").unwrap();
    fs::write(root.join("empty.do"), "\n").unwrap();
    fs::write(root.join("binary.do"), b"a\0b").unwrap();
    fs::create_dir(root.join("folder.do")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("link.do")).unwrap();
    let check = |path: &str, words: &[&str]| {
        let text = places.read(path).unwrap_err().text;
        assert!(words.iter().all(|w| text.contains(w)), "{text}");
    };
    let at = |name: &str| root.join(name).display().to_string();
    assert_eq!(places.read(&at("ok.do")).unwrap().bytes, b"display 1\n");
    check(&at("missing.do"), &["does not exist", "stata1", "text", "bundle"]);
    check(&at("empty.do"), &["empty"]);
    check(&at("binary.do"), &["not text"]);
    check(&at("folder.do"), &["folder"]);
    check("relative.do", &["absolute"]);
    check("C:\\Users\\ana\\x.do", &["Windows", "[path_map]", "stata1"]);
    check("/etc/passwd", &["outside", "--root"]);
    check(&at("link.do"), &["outside"]);
    check(&format!("{}/../../etc/passwd", root.display()), &["on stata1"]);
}

#[test]
fn a_name_without_an_extension_is_that_of_a_do_file_as_in_stata() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let mut places = places(&root);
    places.path_map = vec![("C:\\ana".into(), root.clone())];
    fs::write(root.join("main.do"), "display 1\n").unwrap();
    fs::create_dir(root.join("main")).unwrap();
    let at = |name: &str| root.join(name).display().to_string();
    for path in [at("main"), at("main.do"), "C:\\ana\\main".to_owned()] {
        let code = places.read(&path).unwrap();
        assert_eq!(code.file, Some(root.join("main.do")), "{path}");
    }
    fs::write(root.join("plain"), "display 2\n").unwrap();
    fs::write(root.join("plain.do"), "display 3\n").unwrap();
    assert_eq!(places.read(&at("plain")).unwrap().bytes, b"display 2\n", "a file of that very name");
    assert!(places.read(&at("main.d")).unwrap_err().text.contains("does not exist"), "another extension");
    assert!(places.read(&at("missing")).unwrap_err().text.contains("missing does not exist"));
    std::os::unix::fs::symlink("/etc/passwd", root.join("link.do")).unwrap();
    assert!(
        places.read(&at("link")).unwrap_err().text.contains("does not exist"),
        "nothing is told of what is outside"
    );
}

/// The message about a path, without the path.
fn answer(places: &Places, path: &str) -> String {
    let looked = places.inspect(&wire::InspectRequest { path: path.to_owned(), ..Default::default() });
    format!("{} {} {}", looked.found, looked.cause, looked.problem.replace(path, "PATH"))
}

#[test]
fn paths_outside_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    let base = fs::canonicalize(folder.path()).unwrap();
    let at = |name: &str| base.join(name).display().to_string();
    for name in ["root", "outside/closed"] {
        fs::create_dir_all(base.join(name)).unwrap();
    }
    fs::write(base.join("outside/there.do"), "display 1\n").unwrap();
    std::os::unix::fs::symlink(base.join("outside/there.do"), base.join("root/to_there.do")).unwrap();
    std::os::unix::fs::symlink(base.join("outside/missing.do"), base.join("root/to_missing.do")).unwrap();
    std::os::unix::fs::symlink(base.join("outside"), base.join("root/out")).unwrap();
    let places = places(&base.join("root"));
    let outside = answer(&places, &at("outside/there.do"));
    assert!(outside.contains("outside the agent's folders"), "{outside}");
    for path in [
        "outside/missing.do",
        "outside",
        "outside/closed",
        "missing/missing.do",
        "root/../outside/missing.do",
        "root/to_there.do",
        "root/to_missing.do",
        "root/out/there.do",
        "root/out/missing.do",
    ] {
        assert_eq!(answer(&places, &at(path)), outside, "{path}");
    }
    // Inside, the message says what is wrong.
    for path in ["root/missing.do", "root/missing/missing.do"] {
        assert!(answer(&places, &at(path)).contains("does not exist"), "{path}");
    }
    #[cfg(feature = "faults")]
    {
        let _scope = faults::enter("bug=paths_told");
        assert_ne!(answer(&places, &at("outside/missing.do")), outside, "the control");
    }
}

#[test]
fn a_refusal_names_no_folder_that_the_caller_did_not_name() {
    let folder = tempfile::tempdir().unwrap();
    let base = fs::canonicalize(folder.path()).unwrap();
    fs::create_dir_all(base.join("root")).unwrap();
    fs::write(base.join("root/empty.do"), "\n").unwrap();
    std::os::unix::fs::symlink(base.join("root/empty.do"), base.join("root/link.do")).unwrap();
    let mut places = places(&base.join("root"));
    places.path_map = vec![("/Users/ana".into(), base.join("root")), ("/Users/out".into(), base.join("out"))];
    let named = |places: &Places| {
        ["ana/missing.do", "ana/empty.do", "ana/link.do", "out/x.do", "other/x.do"]
            .map(|path| format!("/Users/{path}"))
            .into_iter()
            .flat_map(|path| [places.read(&path).unwrap_err().text, places.directory(&path).unwrap_err().text])
            .any(|text| text.contains(&base.display().to_string()))
    };
    assert!(!named(&places));
    let resolved =
        |path: &str| places.inspect(&wire::InspectRequest { path: path.to_owned(), ..Default::default() }).resolved;
    assert_eq!(resolved("/Users/ana/missing.do"), base.join("root/missing.do").display().to_string());
    #[cfg(feature = "faults")]
    {
        let _scope = faults::enter("bug=folders_told");
        assert!(named(&places), "the control");
    }
}

#[test]
fn the_data_folder_is_within_no_root() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    fs::create_dir(root.join("data")).unwrap();
    fs::write(root.join("data/join-secret"), "display 1\n").unwrap();
    let places = Places { hidden: vec![root.join("data")], ..places(&root) };
    let at = |name: &str| root.join(name).display().to_string();
    for path in ["data/join-secret", "data/missing", "data", "data/../data/join-secret"] {
        let text = answer(&places, &at(path));
        assert!(text.contains("outside the agent's folders"), "{path}: {text}");
        assert!(places.directory(&at(path)).is_err(), "{path}");
    }
    #[cfg(feature = "faults")]
    {
        let _scope = faults::enter("bug=data_folder_in_roots");
        assert!(places.read(&at("data/join-secret")).is_ok(), "the control");
    }
}

#[test]
fn clients_paths_become_ours() {
    let places = Places {
        host: String::new(),
        roots: vec![],
        hidden: vec![],
        path_map: vec![
            ("/Users/ada".into(), "/home/ada".into()),
            ("/Users/ada/big/".into(), "/scratch".into()),
            ("C:\\proj".into(), "/srv/proj".into()),
        ],
    };
    let check = |from: &str, to: &str| assert_eq!(places.map(from), PathBuf::from(to));
    check("/Users/ada/x.do", "/home/ada/x.do");
    check("/Users/ada/big/x.do", "/scratch/x.do");
    check("/Users/adamant/x.do", "/Users/adamant/x.do");
    check("C:\\proj\\a\\x.do", "/srv/proj/a/x.do");
    check("c:/proj\\a/x.do", "/srv/proj/a/x.do");
    check("C:\\proj", "/srv/proj");
    check("D:\\proj\\x.do", "D:\\proj\\x.do");
}
