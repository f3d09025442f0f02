//! The environment of a run: an allow-list, so that none of the agent's own variables, and no variable by accident,
//! gets into it.

use std::{collections::BTreeMap, ffi::OsString};

use super::EngineKind;

/// Variables that a run gets when the agent has them.
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

/// Prefixes likewise: locale, Stata's own, module systems, the batch system's limit on cores.
const PREFIXES: &[&str] = &["LC_", "STATA", "LMOD_", "SLURM_"];

/// Prefix of Longhaul's own variables, of which a run gets only the stand-in's switches.
const OURS: &str = "LONGHAUL_";
const STANDIN: &str = "LONGHAUL_STANDIN_";

fn allowed(name: &str, engine: EngineKind, extra: &[String]) -> bool {
    if name.starts_with(OURS) {
        return engine == EngineKind::Standin && name.starts_with(STANDIN);
    }
    NAMES.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p)) || extra.iter().any(|e| e == name)
}

/// The part of `vars` that a run gets, with what every run gets. Values that are not UTF-8 are left out.
pub(crate) fn for_run(
    vars: impl Iterator<Item = (OsString, OsString)>,
    engine: EngineKind,
    extra: &[String],
    tmp: &std::path::Path,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = vars
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| allowed(name, engine, extra))
        .collect();
    // Stata writes terminal escapes when it takes its output for a terminal.
    env.insert("TERM".into(), "dumb".into());
    env.insert("STATATMP".into(), tmp.to_string_lossy().into_owned());
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_ours_gets_through() {
        let names = |engine, extra: &[&str]| {
            let vars = ["PATH", "LC_ALL", "LONGHAUL_JOIN_SECRET", "LONGHAUL_TOKEN", "LONGHAUL_STANDIN_SLOW", "AWS_KEY"];
            let extra: Vec<String> = extra.iter().map(|s| (*s).to_owned()).collect();
            let env = for_run(
                vars.iter().map(|v| (OsString::from(v), OsString::from("x"))),
                engine,
                &extra,
                std::path::Path::new("/spool/tmp"),
            );
            env.into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(EngineKind::Stata, &[]), "LC_ALL PATH STATATMP TERM");
        assert_eq!(names(EngineKind::Standin, &["AWS_KEY"]), "AWS_KEY LC_ALL LONGHAUL_STANDIN_SLOW PATH STATATMP TERM");
        assert_eq!(
            names(EngineKind::Stata, &["LONGHAUL_TOKEN"]),
            "LC_ALL PATH STATATMP TERM",
            "not even when asked for"
        );
    }
}
