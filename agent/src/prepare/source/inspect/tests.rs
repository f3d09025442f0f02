use std::collections::BTreeMap;

use super::*;

struct World {
    folder: tempfile::TempDir,
    places: Places,
}

impl World {
    /// Two roots with files, a hidden folder in one, and a folder outside.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(folder.path()).unwrap();
        for file in [
            "ana/proj/main.do",
            "ana/proj/quick.do",
            "ana/proj/analysis/regress_wages.do",
            "ana/proj/data/wages.dta",
            "ana/.git/main.do",
            "ana/.longhaul/quick.do",
            "ana/both.do",
            "lab/both.do",
            "lab/shared/clean data.do",
            "outside/secret.do",
        ] {
            let path = base.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "display 1\n").unwrap();
        }
        std::os::unix::fs::symlink(base.join("outside"), base.join("ana/link")).unwrap();
        let places = Places {
            host: "stata1".into(),
            roots: vec![base.join("ana"), base.join("lab")],
            hidden: vec![base.join("ana/.longhaul")],
            path_map: vec![("/Users/ana".into(), base.join("ana"))],
        };
        Self { folder, places }
    }

    fn at(&self, path: &str) -> String {
        fs::canonicalize(self.folder.path()).unwrap().join(path).display().to_string()
    }

    fn inspect(&self, path: &str, working_dir: &str) -> wire::InspectReply {
        self.places.inspect(&wire::InspectRequest {
            path: path.into(),
            working_dir: working_dir.into(),
            ..Default::default()
        })
    }

    /// Paths below the world's folder.
    fn plain(&self, paths: &[String]) -> Vec<String> {
        let base = self.at("");
        paths.iter().map(|path| path.strip_prefix(&base).unwrap_or(path).to_owned()).collect()
    }
}

#[test]
fn a_relative_path_is_what_one_root_has() {
    let world = World::new();
    let check = |path: &str, want: &str| {
        let seen = world.inspect(path, "");
        assert_eq!((seen.resolved.as_str(), seen.problem.as_str()), (world.at(want).as_str(), ""), "{path}");
    };
    check("proj/main.do", "ana/proj/main.do");
    check("~/proj/main.do", "ana/proj/main.do");
    check("./proj/main", "ana/proj/main.do");
    check("proj\\main.do", "ana/proj/main.do");
    check("shared/clean data.do", "lab/shared/clean data.do");
    let seen = world.inspect("both.do", "");
    assert!(seen.problem.contains("names 2 do-files on stata1"), "{}", seen.problem);
    assert_eq!(world.plain(&seen.near), ["ana/both.do", "lab/both.do"]);
    for outside in ["../outside/secret.do", "link/secret.do", ".longhaul/quick.do"] {
        let seen = world.inspect(outside, "");
        assert!(!seen.found && seen.problem.contains("is in the folders of stata1"), "{outside}: {seen:?}");
    }
}

#[test]
fn a_working_directory_is_found_likewise() {
    let world = World::new();
    assert_eq!(world.inspect("", "proj/data").working_dir, world.at("ana/proj/data"));
    assert_eq!(world.inspect("proj/main.do", "~/proj").working_dir, world.at("ana/proj"));
    let seen = world.inspect("", &world.at("ana/proj/date"));
    assert!(seen.problem.contains("the working directory") && seen.problem.contains("does not exist"), "{seen:?}");
    assert_eq!(world.plain(&seen.near), ["ana/proj/data"]);
}

#[test]
fn a_missing_file_is_told_with_what_is_like_it() {
    let world = World::new();
    let check = |path: &str, want: &[&str]| {
        let seen = world.inspect(path, "");
        assert_eq!(world.plain(&seen.near), want, "{path}: {}", seen.problem);
    };
    check(&world.at("ana/proj/quik.do"), &["ana/proj/quick.do"]);
    check(&world.at("ana/proj/QUICK.DO"), &["ana/proj/quick.do"]);
    check(&world.at("ana/proj/regress_wages.do"), &["ana/proj/analysis/regress_wages.do"]);
    check("regres_wages", &["ana/proj/analysis/regress_wages.do"]);
    check("/Users/ana/proj/mian.do", &["ana/proj/main.do"]);
    check("/home/other/work/proj/main.do", &["ana/proj/main.do"]);
    check(&world.at("outside/secret.do"), &[]);
    check(&world.at("ana/x.do"), &[]);
    check(&world.at("ana/nothing_like_it.do"), &[]);
    #[cfg(feature = "faults")]
    {
        let _scope = faults::enter("bug=no_near_paths");
        check(&world.at("ana/proj/quik.do"), &[]);
    }
}

#[test]
fn the_beginning_of_a_path_goes_on_below_the_roots_alone() {
    let world = World::new();
    let ana = world.at("ana");
    let complete = |prefix: &str, ending: &str| {
        let request = wire::InspectRequest {
            path: prefix.into(),
            complete: true,
            endings: vec![ending.into()],
            ..Default::default()
        };
        world.plain(&world.places.inspect(&request).near)
    };
    assert_eq!(complete(&format!("{ana}/pro"), ".do"), ["ana/proj/"]);
    assert_eq!(
        complete(&format!("{ana}/proj/"), ".do"),
        ["analysis", "data", "main.do", "quick.do"].map(|name| {
            let end = if name.contains('.') { "" } else { "/" };
            format!("ana/proj/{name}{end}")
        })
    );
    assert_eq!(complete("proj/m", ".do"), ["proj/main.do"]);
    assert_eq!(complete("proj/data/", ".dta"), ["proj/data/wages.dta"]);
    assert_eq!(complete("~/proj/q", ".do"), ["~/proj/quick.do"]);
    assert_eq!(complete(&world.at("out"), ".do"), [""; 0], "outside");
    assert_eq!(complete(&world.at("outside/"), ".do"), [""; 0], "outside");
    assert_eq!(complete(&format!("{ana}/.longhaul/"), ".do"), [""; 0], "hidden");
    assert_eq!(complete(&world.at("la"), ".do"), ["lab/"], "a root");
}

#[test]
fn a_search_ends_where_there_are_too_many_files() {
    let world = World::new();
    let many = world.at("ana/a_many");
    fs::create_dir_all(&many).unwrap();
    (0..MOST_READ).for_each(|n| fs::write(format!("{many}/f{n}.txt"), "").unwrap());
    let mut read = BTreeMap::new();
    world.places.each_below(None, |path, _| *read.entry(path.parent().unwrap().to_owned()).or_insert(0) += 1);
    assert!(read.values().sum::<usize>() <= MOST_READ);
    // Its own folder is read first.
    assert_eq!(world.plain(&world.inspect(&world.at("ana/proj/quik.do"), "").near), ["ana/proj/quick.do"]);
}
