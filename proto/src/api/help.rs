//! Stata's help of a host.

use serde::{Deserialize, Serialize};

/// Answer of `GET /api/v1/help`: one topic, or what a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HelpView {
    /// The host whose help files these are.
    pub host: String,
    /// The topic, as its file is named; absent of a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Where its file is on the ado-path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Its text as Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its sections, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<HelpSectionView>,
    /// What a search found, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<HelpTopicView>,
    /// Topics found beyond these.
    #[serde(default)]
    pub more: u32,
}

/// One section of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HelpSectionView {
    /// Its title.
    pub title: String,
    /// Where it begins in the text, bytes.
    pub offset: usize,
}

/// One topic that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HelpTopicView {
    /// The topic.
    pub topic: String,
    /// The first line of its file.
    pub about: String,
    /// Where its file is on the ado-path.
    pub place: String,
}
