//! The environment of a run: an allow-list, so that nothing of ours and nothing by accident gets into it.

use std::{collections::BTreeMap, ffi::OsString};

/// Names that a run may see when the agent has them.
const NAMES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "S_ADO",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "MODULEPATH",
    "MODULESHOME",
    "LOADEDMODULES",
    "_LMFILES_",
    "OMP_NUM_THREADS",
    "JAVA_HOME",
    "PYTHONPATH",
    "R_HOME",
    "XDG_RUNTIME_DIR",
    "DISPLAY",
];

/// Beginnings of names likewise: locale, Stata's own, module systems, the batch system's word on cores.
const PREFIXES: &[&str] = &["LC_", "STATA", "LMOD_", "SLURM_"];

/// Ours begin so, and none of them goes to a run but the stand-in's switches.
const OURS: &str = "LONGHAUL_";
const STANDIN: &str = "LONGHAUL_STANDIN_";

fn allowed(name: &str, standin: bool, extra: &[String]) -> bool {
    if name.starts_with(OURS) {
        return standin && name.starts_with(STANDIN);
    }
    NAMES.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p)) || extra.iter().any(|e| e == name)
}

/// What of `vars` a run sees, with what every run gets. Values that are not UTF-8 are left out.
pub(crate) fn for_run(
    vars: impl Iterator<Item = (OsString, OsString)>,
    standin: bool,
    extra: &[String],
    tmp: &std::path::Path,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = vars
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| allowed(name, standin, extra))
        .collect();
    // Stata writes terminal escapes for a terminal that it believes in.
    env.insert("TERM".into(), "dumb".into());
    env.insert("STATATMP".into(), tmp.to_string_lossy().into_owned());
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_ours_gets_through() {
        let names = |standin, extra: &[&str]| {
            let vars = ["PATH", "LC_ALL", "LONGHAUL_JOIN_SECRET", "LONGHAUL_TOKEN", "LONGHAUL_STANDIN_SLOW", "AWS_KEY"];
            let extra: Vec<String> = extra.iter().map(|s| (*s).to_owned()).collect();
            let env = for_run(
                vars.iter().map(|v| (OsString::from(v), OsString::from("x"))),
                standin,
                &extra,
                std::path::Path::new("/spool/tmp"),
            );
            env.into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(false, &[]), "LC_ALL PATH STATATMP TERM");
        assert_eq!(names(true, &["AWS_KEY"]), "AWS_KEY LC_ALL LONGHAUL_STANDIN_SLOW PATH STATATMP TERM");
        assert_eq!(names(false, &["LONGHAUL_TOKEN"]), "LC_ALL PATH STATATMP TERM", "not even when asked for");
    }
}
