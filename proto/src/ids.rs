//! Ids of runs, agents and processes.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

/// Shortest usable short form of a run id, characters from its end.
pub const SHORT_LEN: usize = 8;

/// A run's id: a UUIDv7. A name and not a secret: knowing it permits nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Uuid);

/// The text is not a run id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a run id: a run id is a UUID such as 019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21")]
pub struct NotARunId(String);

impl RunId {
    /// The id's bytes, for keys.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The short form people read: the last 8 characters.
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text[text.len() - SHORT_LEN..].to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = NotARunId;
    fn from_str(text: &str) -> Result<Self, NotARunId> {
        Uuid::try_parse(text).map(Self).map_err(|_| NotARunId(text.to_owned()))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for RunId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
        let uuid = Some(SchemaFormat::Custom("uuid".to_owned()));
        ObjectBuilder::new().schema_type(Type::String).format(uuid).description(Some("The id of a run.")).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for RunId {}

impl serde::Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where new ids come from. Cheap to clone.
#[derive(Clone)]
pub struct Ids(Arc<dyn Fn() -> Uuid + Send + Sync>);

impl Ids {
    /// UUIDv7 of the system.
    #[allow(clippy::disallowed_methods)] // the one place that makes ids
    pub fn system() -> Self {
        Self(Arc::new(Uuid::now_v7))
    }

    /// Ids that the caller provides, for tests.
    pub fn from_fn(next: impl Fn() -> Uuid + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    /// A new run id.
    pub fn run(&self) -> RunId {
        RunId((self.0)())
    }

    /// A new id for anything else (agent, incarnation, cluster).
    pub fn name(&self) -> String {
        (self.0)().hyphenated().to_string()
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}

/// Random bytes from the kernel that cannot be guessed.
///
/// # Errors
/// When the kernel has no randomness, which does not happen on a running system.
pub fn secret<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(bytes)
}
