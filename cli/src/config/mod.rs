//! Configuration: one TOML file, then variables, then flags, each stronger than the one before.
//!
//! A setting has one name everywhere: key `start_timeout` of the file, variable `LONGHAUL_START_TIMEOUT`, and, where a
//! command has one, flag `--start-timeout`. The file is the first of `--config`, `LONGHAUL_CONFIG`,
//! `$XDG_CONFIG_HOME/longhaul/config.toml` and `/etc/longhaul/config.toml`. An unknown key or variable is an error that
//! names it and the nearest known one: a misspelt limit must not become no limit. Every value remembers where it came
//! from, for `doctor`.

mod choices;
mod settings;
mod template;
mod trace_url;
mod values;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

pub(crate) use choices::{AuditMode, SmtpTls};
use longhaul_proto::faults;
pub(crate) use settings::Settings;
pub(crate) use template::{template, told};
use values::Given;
pub(crate) use values::{Bytes, Engine, Secret, Time, Tls, Url, pair};

/// The system's file.
const SYSTEM: &str = "/etc/longhaul/config.toml";
/// Prefix of every variable of ours.
const PREFIX: &str = "LONGHAUL_";
/// Variables that are no settings: the log filter is read before the configuration, the others are the stand-in's
/// faults, the mark that a run's processes carry, and the tests' own.
const NOT_SETTINGS: &[&str] =
    &["CONFIG", "LOG", "LOG_FORMAT", "REQUIRE", "CORPUS", "REGENERATE", "RUN_ID", "RUN_FILES"];
/// Prefixes of such variables.
const NOT_SETTINGS_PREFIX: &[&str] = &["STANDIN_", "TEST_"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// A configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The named file is missing or unreadable.
    #[error("cannot read the configuration file {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// Not TOML.
    #[error("{path} is not valid TOML: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// With line and column.
        reason: String,
    },
    /// A key or variable that is no setting.
    #[error("{origin}: there is no setting `{name}`{}", hint(nearest))]
    Unknown {
        /// Where it is.
        origin: Origin,
        /// As it was written.
        name: String,
        /// The nearest setting, when one is near.
        nearest: Option<String>,
    },
    /// A value of the wrong kind.
    #[error("{origin}: `{name}` is `{value}`: {expected}")]
    Value {
        /// Where it is.
        origin: Origin,
        /// The setting.
        name: String,
        /// What was given.
        value: String,
        /// What a valid one looks like.
        expected: String,
    },
}

fn hint(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => "; `longhaul config template` lists them all".into(),
    }
}

/// All settings with their origins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// The values.
    pub(crate) settings: Settings,
    /// Where each set value came from, by key.
    pub(crate) origins: BTreeMap<&'static str, Origin>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

impl Config {
    /// Reads file and environment, and overrides them with `flags`.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key or variable, a value of the wrong kind: each named.
    pub(crate) fn load(flag_file: Option<&Path>, flags: Settings, env: &Env) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some((path, must_exist)) = env.config_file(flag_file) {
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    config.put(read_file(&path, &text)?, |_| Origin::File(path.clone()));
                    config.file = Some(path);
                }
                Err(error) if !must_exist && error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(ConfigError::Read { path, reason: error.to_string() }),
            }
        }
        config.put(read_variables(env)?, |key| Origin::Variable(variable(key)));
        config.put(flags, |key| Origin::Flag(format!("--{}", flag(key))));
        Ok(config)
    }

    fn put(&mut self, layer: Settings, origin: impl Fn(&'static str) -> Origin) {
        for key in self.settings.overlay(layer) {
            self.origins.insert(key, origin(key));
        }
    }

    /// Whether a setting was given at all.
    pub(crate) fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }
}

/// The environment at the start; tests make their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env(BTreeMap<OsString, OsString>);

impl Env {
    /// The process's own.
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// One made by the caller.
    #[cfg(test)]
    pub(crate) fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&std::ffi::OsStr> {
        self.0.get(std::ffi::OsStr::new(name)).map(OsString::as_os_str).filter(|v| !v.is_empty())
    }

    /// A variable that holds an absolute path (XDG says that others do not count).
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|p| p.is_absolute())
    }

    fn config_file(&self, flag: Option<&Path>) -> Option<(PathBuf, bool)> {
        if let Some(path) = flag.map(Path::to_path_buf).or_else(|| self.get("LONGHAUL_CONFIG").map(PathBuf::from)) {
            return Some((path, true));
        }
        let folder = self.path("XDG_CONFIG_HOME").or_else(|| Some(self.path("HOME")?.join(".config")));
        let user = folder.map(|f| f.join("longhaul/config.toml")).filter(|p| p.exists());
        user.or_else(|| Some(PathBuf::from(SYSTEM))).map(|path| (path, false))
    }
}

/// `LONGHAUL_START_TIMEOUT`.
pub(crate) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

/// The name of a key's flag: for most the key itself.
fn flag(key: &str) -> String {
    match key {
        "labels" => "label".into(),
        "roots" => "root".into(),
        "trusted_proxies" => "trusted-proxy".into(),
        key => key.replace('_', "-"),
    }
}

fn read_file(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let table: toml::Table =
        text.parse().map_err(|e: toml::de::Error| ConfigError::Syntax { path: path.into(), reason: e.to_string() })?;
    let mut settings = Settings::default();
    for (key, value) in &table {
        let origin = Origin::File(path.into());
        let given = Given::from_toml(value);
        set(&mut settings, key, given.ok_or("no setting takes such a value"), &value.to_string(), key, origin)?;
    }
    Ok(settings)
}

fn read_variables(env: &Env) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    for (name, value) in &env.0 {
        let Some(name) = name.to_str() else { continue };
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        if NOT_SETTINGS.contains(&key) || NOT_SETTINGS_PREFIX.iter().any(|p| key.starts_with(p)) {
            continue;
        }
        // Only in a program built for tests; any other reports an unknown setting.
        if faults::PRESENT && name == faults::VARIABLE {
            continue;
        }
        let text = value.to_str().map(|v| Given::Text(v.to_owned())).ok_or("it is not valid UTF-8");
        let shown = value.to_string_lossy();
        let origin = Origin::Variable(name.to_owned());
        let known = key.to_ascii_lowercase();
        // An empty variable counts as none: unit files and compose files write them.
        if !value.is_empty() || !Settings::KEYS.contains(&known.as_str()) {
            set(&mut settings, &known, text, &shown, name, origin)?;
        }
    }
    Ok(settings)
}

fn set(
    settings: &mut Settings,
    key: &str,
    given: Result<Given, &str>,
    shown: &str,
    name: &str,
    origin: Origin,
) -> Result<(), ConfigError> {
    let Some(known) = Settings::KEYS.iter().find(|k| **k == key) else {
        let nearest = nearest(key).map(|k| match &origin {
            Origin::Variable(_) => variable(k),
            _ => k.to_owned(),
        });
        return Err(ConfigError::Unknown { origin, name: name.to_owned(), nearest });
    };
    given.map_err(str::to_owned).and_then(|given| settings.set(known, given)).map_err(|expected| {
        let value = if Settings::SECRETS.contains(known) { "(not shown)" } else { shown };
        ConfigError::Value { origin, name: name.to_owned(), value: value.to_owned(), expected }
    })
}

/// The setting whose name is nearest, if one is near enough to be meant.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    longhaul_proto::words::nearest(&name, Settings::KEYS.iter().copied())
}

#[cfg(test)]
mod tests;
