//! The types of settings, each read alike from a file, a variable or a flag.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

use longhaul_proto::{amounts, encoding::Encoding};

/// A value as it was given, before its setting's type is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Given {
    /// One text; numbers and switches too. Variables always give this.
    Text(String),
    /// A TOML array.
    List(Vec<String>),
    /// A TOML table.
    Map(BTreeMap<String, String>),
}

impl Given {
    /// From TOML; `None` for what no setting takes (dates, nested tables).
    pub(crate) fn from_toml(value: &toml::Value) -> Option<Self> {
        let text = |value: &toml::Value| match value {
            toml::Value::String(text) => Some(text.clone()),
            toml::Value::Integer(n) => Some(n.to_string()),
            toml::Value::Float(n) => Some(n.to_string()),
            toml::Value::Boolean(b) => Some(b.to_string()),
            _ => None,
        };
        match value {
            toml::Value::Array(items) => items.iter().map(text).collect::<Option<_>>().map(Self::List),
            toml::Value::Table(table) => {
                table.iter().map(|(k, v)| Some((k.clone(), text(v)?))).collect::<Option<_>>().map(Self::Map)
            }
            one => text(one).map(Self::Text),
        }
    }
}

/// A type that a setting can have.
pub(crate) trait Value: Sized {
    /// Reads it; the error says what was expected.
    ///
    /// # Errors
    /// What a valid value looks like.
    fn read(given: Given) -> Result<Self, String>;
    /// As `doctor` shows it.
    fn show(&self) -> String;
}

/// A type that is read from one text.
macro_rules! text_value {
    ($type:ty, $what:literal, |$text:ident| $read:expr, |$value:ident| $show:expr) => {
        impl Value for $type {
            fn read(given: Given) -> Result<Self, String> {
                let Given::Text($text) = given else { return Err($what.into()) };
                $read
            }
            fn show(&self) -> String {
                let $value = self;
                $show
            }
        }
    };
}

text_value!(String, "expected a text", |text| Ok(text), |v| v.clone());
text_value!(PathBuf, "expected a path", |text| path(&text), |v| v.display().to_string());
text_value!(u32, "expected a whole number", |text| number(&text), |v| v.to_string());
text_value!(usize, "expected a whole number", |text| number(&text), |v| v.to_string());
text_value!(f64, "expected a number", |text| number(&text), |v| v.to_string());
text_value!(
    bool,
    "expected true or false",
    |text| match text.as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("expected true or false".into()),
    },
    |v| v.to_string()
);

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| "expected a number".into())
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("expected a path, and it is empty".into()) } else { Ok(PathBuf::from(text)) }
}

text_value!(
    Encoding,
    "expected the name of an encoding",
    |text| text.trim().parse().map_err(|e: longhaul_proto::encoding::UnknownEncoding| e.to_string()),
    |v| v.name().to_ascii_lowercase()
);

/// A length of time: `45`, `45 s`, `1h 30min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a time such as 90, 90s, 15min or 1h 30min".to_owned();
        amounts::time(text).map(Self).ok_or_else(expected)
    }
}

text_value!(Time, "expected a time", |text| text.parse(), |v| humantime::format_duration(v.0).to_string());

/// A length of time, or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Horizon(pub(crate) Option<Duration>);

text_value!(
    Horizon,
    "expected a time or `never`",
    |text| match text.trim() {
        "never" => Ok(Self(None)),
        text => text.parse::<Time>().map(|t| Self(Some(t.0))).map_err(|e| format!("{e}, or `never`")),
    },
    |v| v.0.map_or_else(|| "never".into(), |t| Time(t).show())
);

/// A number of bytes: `1048576`, `2GiB`, `512 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a size such as 1048576, 512 MiB or 2 GiB".to_owned();
        amounts::bytes(text).map(Self).ok_or_else(expected)
    }
}

text_value!(Bytes, "expected a size", |text| text.parse(), |v| crate::output::bytes(v.0));

/// A secret, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

text_value!(
    Secret,
    "expected a text",
    |text| if text.trim().is_empty() { Err("it is empty".into()) } else { Ok(Self(text.trim().to_owned())) },
    |_v| "(set, not shown)".into()
);

/// The address of a gateway or agent: `http://host:port` or `https://host:port`, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url(pub(crate) String);

impl FromStr for Url {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a URL such as https://gateway.lab:7447".to_owned();
        let text = text.trim().trim_end_matches('/');
        let uri: http::Uri = text.parse().map_err(|_| expected())?;
        let of_web = matches!(uri.scheme_str(), Some("http" | "https"));
        if of_web && uri.host().is_some_and(|h| !h.is_empty()) { Ok(Self(text.to_owned())) } else { Err(expected()) }
    }
}

text_value!(Url, "expected a URL", |text| text.parse(), |v| v.0.clone());

/// Whether a gateway speaks TLS to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tls {
    /// With a certificate of its own authority.
    Auto,
    /// Not at all.
    Off,
}

text_value!(
    Tls,
    "expected `auto` or `off`",
    |text| match text.as_str() {
        "auto" => Ok(Self::Auto),
        "off" => Ok(Self::Off),
        _ => Err("expected `auto` or `off`; a certificate of your own is given with tls_cert and tls_key".into()),
    },
    |v| match v {
        Tls::Auto => "auto".into(),
        Tls::Off => "off".into(),
    }
);

/// What executes do-files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// Stata.
    Stata,
    /// The stand-in: Stata's manners, and of estimators `regress` alone.
    Standin,
}

impl Engine {
    /// The word of the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stata => "stata",
            Self::Standin => "standin",
        }
    }
}

text_value!(
    Engine,
    "expected `stata` or `standin`",
    |text| match text.as_str() {
        "stata" => Ok(Self::Stata),
        "standin" => Ok(Self::Standin),
        _ => Err("expected `stata` or `standin`".into()),
    },
    |v| v.as_str().into()
);

/// Texts: a TOML array, or one text with commas.
impl Value for Vec<String> {
    fn read(given: Given) -> Result<Self, String> {
        match given {
            Given::List(items) => Ok(items),
            Given::Text(text) => {
                let items = split(&text, ',');
                match items.iter().any(|item| item.contains([' ', ';'])) {
                    true => Err(format!("write a comma between them: `{}`", words(&text).join(","))),
                    false => Ok(items),
                }
            }
            Given::Map(_) => Err("expected a list".into()),
        }
    }
    fn show(&self) -> String {
        self.join(", ")
    }
}

/// Folders: a TOML array, or one text with colons, as in `PATH`.
impl Value for Vec<PathBuf> {
    fn read(given: Given) -> Result<Self, String> {
        match given {
            Given::List(items) => items.iter().map(|i| path(i)).collect(),
            Given::Text(text) => {
                // A comma or a blank may be in a name, but hardly before the root of another.
                let joined = [",/", ";/", " /", ", /", "; /"].iter().any(|between| text.contains(between));
                match joined {
                    true => Err(format!("write a colon between folders, as in PATH: `{}`", words(&text).join(":"))),
                    false => Ok(split(&text, ':').into_iter().map(PathBuf::from).collect()),
                }
            }
            Given::Map(_) => Err("expected a list of folders".into()),
        }
    }
    fn show(&self) -> String {
        self.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(":")
    }
}

/// Pairs: a TOML table, a TOML array of `K=V`, or one text `K=V,K=V`.
impl Value for BTreeMap<String, String> {
    fn read(given: Given) -> Result<Self, String> {
        let items = match given {
            Given::Map(map) => return Ok(map),
            Given::List(items) => items,
            Given::Text(text) => {
                let items = split(&text, ',');
                if items.iter().any(|item| several(item)) {
                    return Err(format!("write a comma between pairs: `{}`", words(&text).join(",")));
                }
                items
            }
        };
        items.iter().map(|i| pair(i)).collect()
    }
    fn show(&self) -> String {
        self.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
    }
}

/// Numbers by name: a TOML table, or one text `NAME=N,NAME=N`.
impl Value for BTreeMap<String, u32> {
    fn read(given: Given) -> Result<Self, String> {
        let map = BTreeMap::<String, String>::read(given)?;
        map.into_iter().map(|(k, v)| Ok((k, number(&v)?))).collect()
    }
    fn show(&self) -> String {
        self.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
    }
}

/// `K=V`, as a flag gives it.
///
/// # Errors
/// What a pair looks like.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    if several(text) {
        return Err("expected one NAME=VALUE; give the flag again for another".into());
    }
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// Whether what should be one pair looks like several with a blank or a semicolon between.
fn several(text: &str) -> bool {
    text.split([' ', ';']).filter(|word| word.split_once('=').is_some_and(|(name, _)| !name.is_empty())).count() > 1
}

/// The parts of a list whatever stands between them.
fn words(text: &str) -> Vec<&str> {
    text.split([' ', ',', ';']).filter(|word| !word.is_empty()).collect()
}

fn split(text: &str, at: char) -> Vec<String> {
    text.split(at).map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Value + fmt::Debug>(text: &str, want: Option<&str>) {
        let got = T::read(Given::Text(text.into()));
        assert_eq!(got.as_ref().ok().map(Value::show).as_deref(), want, "{text}: {got:?}");
    }

    #[test]
    fn texts_become_values() {
        check::<Time>("90", Some("1m 30s"));
        check::<Time>("0.25", Some("250ms"));
        check::<Time>("1h 30min", Some("1h 30m"));
        check::<Time>("45 s", Some("45s"));
        check::<Time>("soon", None);
        check::<Time>("-1", None);
        check::<Horizon>("never", Some("never"));
        check::<Horizon>("2h", Some("2h"));
        check::<Bytes>("2 GiB", Some("2.0 GiB"));
        check::<Bytes>("2GB", None);
        check::<Bytes>("99999999999 TiB", None);
        check::<bool>("yes", Some("true"));
        check::<bool>("maybe", None);
        check::<u32>("3", Some("3"));
        check::<u32>("-3", None);
        check::<Url>("http://gw:7447/", Some("http://gw:7447"));
        check::<Url>("https://gw", Some("https://gw"));
        check::<Url>("ftp://gw", None);
        check::<Tls>("auto", Some("auto"));
        check::<Tls>("on", None);
        check::<Url>("gw:7447", None);
        check::<Secret>("  s3cret ", Some("(set, not shown)"));
        check::<Secret>("", None);
        check::<Engine>("standin", Some("standin"));
        check::<Engine>("r", None);
        check::<Vec<PathBuf>>("/a:/b", Some("/a:/b"));
        check::<Vec<String>>("a, b", Some("a, b"));
        check::<BTreeMap<String, String>>("site=paris,big=yes", Some("big=yes, site=paris"));
        check::<BTreeMap<String, String>>("site", None);
        check::<BTreeMap<String, String>>("edition=mp rack=r1", None);
        check::<BTreeMap<String, String>>("rack=the left one", Some("rack=the left one"));
        check::<Vec<PathBuf>>("/a,/b", None);
        check::<Vec<PathBuf>>("/my data:/b", Some("/my data:/b"));
        check::<Vec<String>>("ana ben", None);
        check::<BTreeMap<String, u32>>("lab=2", Some("lab=2"));
        check::<BTreeMap<String, u32>>("lab=two", None);
    }
}
