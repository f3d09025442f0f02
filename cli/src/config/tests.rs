use super::*;

/// One setting in each layer where it is given; which layer wins, and the origin that is reported.
fn check(file: Option<&str>, variable: Option<&str>, flag: Option<u32>, want: Option<(u32, &str)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("longhaul/config.toml");
    if let Some(seats) = file {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("seats = {seats}\n")).unwrap();
    }
    let home = folder.path().to_str().unwrap();
    let mut env = vec![("XDG_CONFIG_HOME", home), ("HOME", "/nowhere")];
    env.extend(variable.map(|v| ("LONGHAUL_SEATS", v)));
    let flags = Settings { seats: flag, ..Settings::default() };
    let config = Config::load(None, flags, &Env::from_pairs(env)).unwrap();
    let got = config.settings.seats.map(|s| (s, config.origin("seats").unwrap().to_string()));
    let want = want.map(|(s, o)| (s, o.replace("FILE", path.to_str().unwrap())));
    assert_eq!(got, want, "file {file:?} variable {variable:?} flag {flag:?}");
}

#[test]
fn the_stronger_layer_wins_and_says_so() {
    check(None, None, None, None);
    check(Some("2"), None, None, Some((2, "FILE")));
    check(Some("\"2\""), None, None, Some((2, "FILE")));
    check(Some("2"), Some("3"), None, Some((3, "variable LONGHAUL_SEATS")));
    check(Some("2"), Some(""), None, Some((2, "FILE")));
    check(Some("2"), Some("3"), Some(4), Some((4, "--seats")));
    check(None, None, Some(4), Some((4, "--seats")));
}

#[test]
fn one_file_is_read_and_a_named_one_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("named.toml");
    let user = folder.path().join("longhaul/config.toml");
    std::fs::create_dir_all(user.parent().unwrap()).unwrap();
    std::fs::write(&user, "seats = 2\nname = \"user\"\n").unwrap();
    std::fs::write(&named, "seats = 5\n").unwrap();
    let home = folder.path().to_str().unwrap();
    let env = |more: &[(&str, &str)]| {
        let mut all: BTreeMap<_, _> = more.iter().copied().collect();
        all.insert("XDG_CONFIG_HOME", home);
        Env::from_pairs(all)
    };
    let load = |flag: Option<&Path>, env: Env| Config::load(flag, Settings::default(), &env);

    let by_flag = load(Some(&named), env(&[])).unwrap();
    assert_eq!((by_flag.settings.seats, by_flag.settings.name), (Some(5), None), "one file, not a mixture");
    let by_variable = load(None, env(&[("LONGHAUL_CONFIG", named.to_str().unwrap())])).unwrap();
    assert_eq!(by_variable.settings.seats, Some(5));
    assert_eq!(load(None, env(&[])).unwrap().settings.seats, Some(2));
    let missing = load(Some(&folder.path().join("none.toml")), env(&[])).unwrap_err();
    assert!(missing.to_string().contains("none.toml"), "{missing}");
}

#[test]
fn what_is_wrong_is_named() {
    fn check(file: &str, env: &[(&str, &str)], want: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        let got = Config::load(Some(&path), Settings::default(), &Env::from_pairs(env.iter().copied()));
        match got {
            Ok(_) => assert!(want.is_empty(), "{file} {env:?} was taken"),
            Err(error) => {
                let error = error.to_string();
                assert!(!want.is_empty() && want.iter().all(|w| error.contains(w)), "{file} {env:?}: {error}");
            }
        }
    }
    check("seat = 2", &[], &["c.toml", "`seat`", "did you mean `seats`?"]);
    check("start-timeout = 2", &[], &["`start-timeout`", "`start_timeout`"]);
    check("colour = 2", &[], &["`colour`", "longhaul config template"]);
    check("seats = \"many\"", &[], &["c.toml", "`seats`", "many"]);
    check("seats = 1979-05-27", &[], &["`seats`"]);
    check("seats = [", &[], &["c.toml", "TOML"]);
    check("start_timeout = \"a while\"", &[], &["`start_timeout`", "15min"]);
    check("gateway = \"ftp://gw\"", &[], &["https://gateway.lab"]);
    check("", &[("LONGHAUL_GATEWY", "http://gw")], &["LONGHAUL_GATEWY", "did you mean `LONGHAUL_GATEWAY`?"]);
    check("", &[("LONGHAUL_SEATS", "x")], &["variable LONGHAUL_SEATS", "`x`"]);
    check("", &[("LONGHAUL_TOKNE", "")], &["LONGHAUL_TOKNE"]);
    check("token = [\"lh_secret\"]", &[], &["`token`", "(not shown)"]);
    check("", &[("LONGHAUL_STANDIN_HANG", "1"), ("LONGHAUL_LOG", "debug"), ("LONGHAUL_REQUIRE", "all")], &[]);
    check("labels = { site = \"paris\" }\nroots = [\"/srv\"]\nlost_after = \"never\"", &[], &[]);
}

#[test]
fn secrets_are_not_shown() {
    let env = Env::from_pairs([("LONGHAUL_TOKEN", "lh_abc"), ("LONGHAUL_JOIN_SECRET", "0123456789abcdef")]);
    let config = Config::load(None, Settings::default(), &env).unwrap();
    for (key, _, value) in config.settings.show() {
        let secret = value.is_some_and(|v| v.contains("lh_abc") || v.contains("012345"));
        assert!(!secret, "{key}");
    }
    assert!(!format!("{:?}", config.settings).contains("lh_abc"));
}
