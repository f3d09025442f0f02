use super::*;

fn install(root: &Path, path: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn found(root: &Path, places: &SearchPlaces) -> Vec<String> {
    let show = |c: &Candidate| {
        let path = c.path.strip_prefix(root).unwrap_or(&c.path).display().to_string();
        format!("{path} {} {}", c.why, c.problem.as_deref().unwrap_or("ok"))
    };
    find(places).iter().map(show).collect()
}

#[test]
fn places_are_tried_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    install(root, "usr/local/stata18/stata-mp", 0o755);
    install(root, "usr/local/stata18/stata-se", 0o755);
    install(root, "usr/local/statanow19/stata", 0o755);
    install(root, "opt/stata/17/stata-mp", 0o644);
    install(root, "bin/stata-se", 0o755);
    install(root, "home/stata/stata-be", 0o755);
    install(root, "home/stata/isstata.195", 0o644);
    install(root, "mine/xstata-mp", 0o755);
    let places = SearchPlaces {
        path: vec![root.join("bin"), PathBuf::from("relative")],
        home: Some(root.join("home")),
        root: root.to_owned(),
        variables: vec![
            ("STATA_PATH".to_owned(), root.join("mine/xstata-mp")),
            ("STATA_BIN".to_owned(), root.join("none")),
        ],
        ..SearchPlaces::default()
    };
    assert_eq!(
        found(root, &places),
        [
            "home/stata/stata-be usual place ok",
            "usr/local/statanow19/stata usual place ok",
            "usr/local/stata18/stata-mp usual place ok",
            "usr/local/stata18/stata-se usual place ok",
            "bin/stata-se PATH ok",
            "mine/xstata-mp STATA_PATH is the graphical Stata; use the console executable beside it (without the x)",
            "none STATA_BIN does not exist",
            "opt/stata/17/stata-mp usual place is not executable; chmod +x would make it so",
        ]
    );
    let variables = vec![("STATA_PATH".to_owned(), root.join("bin"))];
    assert_eq!(found(root, &SearchPlaces { variables, ..places.clone() })[0], "bin/stata-se STATA_PATH ok");
    for (explicit, expected) in [
        ("usr/local/stata18", vec!["usr/local/stata18/stata-mp --stata ok", "usr/local/stata18/stata-se --stata ok"]),
        ("usr/local/stata18/stata-se", vec!["usr/local/stata18/stata-se --stata ok"]),
        (
            "usr",
            vec!["usr --stata is a folder without an executable named stata-mp, stata-se, stata-be, stata-ic, stata"],
        ),
        ("no", vec!["no --stata does not exist"]),
    ] {
        assert_eq!(found(root, &SearchPlaces { explicit: Some(root.join(explicit)), ..places.clone() }), expected);
    }
}

#[test]
fn the_layouts_of_mac_os() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for bundle in
        ["Applications/Stata/StataSE.app", "Applications/Stata 17/StataMP.app", "home/Applications/StataBE.app"]
    {
        let console =
            bundle.rsplit('/').next().unwrap().trim_end_matches(".app").to_lowercase().replace("stata", "stata-");
        install(root, &format!("{bundle}/Contents/MacOS/{console}"), 0o755);
    }
    install(root, "Applications/Stata/isstata.180", 0o644);
    // One without the console executable, which takes the same flags.
    install(root, "Applications/StataNow/StataMP.app/Contents/MacOS/StataMP", 0o755);
    install(root, "Applications/StataNow/isstata.195", 0o644);
    install(root, "Applications/Statistics.app/Contents/MacOS/stats", 0o755);
    // Not looked at on this system.
    install(root, "usr/local/stata19/stata-mp", 0o755);
    let mac = SearchPlaces {
        home: Some(root.join("home")),
        root: root.to_owned(),
        system: System::MacOs,
        ..SearchPlaces::default()
    };
    assert_eq!(
        found(root, &mac),
        [
            "Applications/StataNow/StataMP.app/Contents/MacOS/StataMP usual place ok",
            "Applications/Stata/StataSE.app/Contents/MacOS/stata-se usual place ok",
            "Applications/Stata 17/StataMP.app/Contents/MacOS/stata-mp usual place ok",
            "home/Applications/StataBE.app/Contents/MacOS/stata-be usual place ok",
        ]
    );
    let versions: Vec<_> = find(&mac).iter().map(|c| c.version).collect();
    assert_eq!(versions, [Some(195), Some(180), Some(170), None]);
    let named = SearchPlaces { explicit: Some(root.join("Applications/Stata")), ..mac.clone() };
    assert_eq!(found(root, &named), ["Applications/Stata/StataSE.app/Contents/MacOS/stata-se --stata ok"]);
    assert!(mac.in_words()[2].contains("/Applications/Stata*/Stata*.app"));
    // Of one release and edition the console one is the better.
    install(root, "Applications/StataNow/StataMP.app/Contents/MacOS/stata-mp", 0o755);
    assert!(found(root, &mac)[0].contains("MacOS/stata-mp"));
    let linux = SearchPlaces { system: System::Linux, ..mac };
    assert_eq!(found(root, &linux), ["usr/local/stata19/stata-mp usual place ok"]);
    assert!(linux.in_words()[2].contains("/usr/local/stata/NUMBER, "));
}

#[test]
fn what_is_no_stata_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    install(root, "usr/local/stata18/stata-mp", 0o755);
    fs::write(root.join("usr/local/stata18/stata-mp"), "a note about Stata\n").unwrap();
    install(root, "usr/local/stata17/stata-se", 0o755);
    fs::write(root.join("usr/local/stata17/stata-se"), "").unwrap();
    install(root, "usr/local/stata16/xstata-mp", 0o755);
    install(root, "usr/local/statafiles/readme", 0o644);
    fs::create_dir_all(root.join("usr/local/bin")).unwrap();
    std::os::unix::fs::symlink(root.join("gone"), root.join("usr/local/bin/stata-mp")).unwrap();
    fs::create_dir_all(root.join("opt/stata18/stata-mp")).unwrap();
    install(root, "opt/stata18/stata.lic", 0o644);
    let places = SearchPlaces { root: root.to_owned(), system: System::Linux, ..SearchPlaces::default() };
    let mut told = found(root, &places);
    told.sort();
    let without = "usual place looks like a folder of Stata, without an executable named stata-mp, stata-se, stata-be, stata-ic, stata";
    assert_eq!(
        told,
        [
            format!("opt/stata18 {without}"),
            "usr/local/bin/stata-mp usual place does not exist".to_owned(),
            format!("usr/local/stata16 {without}"),
            "usr/local/stata17/stata-se usual place is empty, so it is not a Stata".to_owned(),
            "usr/local/stata18/stata-mp usual place is neither a program nor a script, so it is not a Stata".to_owned(),
        ]
    );
    // A program: its first bytes are those of one.
    fs::write(root.join("usr/local/stata18/stata-mp"), b"\x7fELF\x02").unwrap();
    assert_eq!(found(root, &places)[0], "usr/local/stata18/stata-mp usual place ok");
}

#[test]
fn editions_and_versions_are_read_off_names() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path(), "opt/Stata 19/stata-mp", 0o755);
    install(dir.path(), "usr/local/stata16/stata-ic", 0o755);
    let places = SearchPlaces { root: dir.path().to_owned(), system: System::Linux, ..SearchPlaces::default() };
    let all = find(&places);
    let seen: Vec<_> = all.iter().map(|c| (c.edition, c.version)).collect();
    assert_eq!(seen, [(Some(Edition::Mp), Some(190)), (Some(Edition::Be), Some(160))]);
}
