//! Stata's help, as a host has it.

use longhaul_proto::{
    api::{HelpSectionView, HelpTopicView, HelpView},
    visible, wire,
};

use super::Runs;
use crate::{
    fleet::{Helped, NoHelp},
    model::Identity,
};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelpAsked {
    /// A topic, as after Stata's `help`.
    pub topic: String,
    /// Words to search for, where there is no topic.
    pub search: String,
    /// The host to ask; empty = any.
    pub host: String,
}

/// Why there is no help.
#[derive(Debug, thiserror::Error)]
pub enum HelpError {
    /// Neither or both of topic and words were given.
    #[error("pass topic (a name as after Stata's help command, such as regress) or search (a few words), one of them")]
    Malformed,
    /// No host has the name.
    #[error("{0}")]
    UnknownHost(String),
    /// No host can be asked.
    #[error("{0}")]
    NoAgent(String),
    /// The host was asked and did not answer.
    #[error("host {host} did not answer ({reason}): ask again in a few seconds")]
    Unanswered {
        /// The host.
        host: String,
        /// What happened.
        reason: String,
    },
    /// There is no such topic, or nothing has these words.
    #[error("{words}{}", similar(.near))]
    NotFound {
        /// In the agent's words.
        words: String,
        /// Topics of similar names.
        near: Vec<String>,
    },
}

fn similar(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(". Similar names: {}", near.join(", ")) }
}

impl Runs {
    /// A topic of Stata's help, or topics by words.
    ///
    /// # Errors
    /// See [`HelpError`].
    pub async fn help(&self, who: &Identity, asked: HelpAsked) -> Result<HelpView, HelpError> {
        let given = |text: &str| !text.trim().is_empty();
        if given(&asked.topic) == given(&asked.search) {
            return Err(HelpError::Malformed);
        }
        let request = wire::HelpRequest {
            topic: asked.topic,
            search: asked.search,
            principal: who.principal.subject().to_owned(),
            principal_issuer: who.principal.issuer().to_owned(),
        };
        let searched = request.topic.trim().is_empty();
        let Helped { host, reply } = match self.0.fleet.help(who.need(&asked.host), &who.principal, request).await {
            Ok(helped) => helped,
            Err(NoHelp::Failed(host, error)) => return Err(HelpError::Unanswered { host, reason: error.words }),
            Err(NoHelp::TooOld(host)) => {
                return Err(HelpError::NoAgent(format!(
                    "the agent on {host} is of an earlier version, which gives no help: upgrade it"
                )));
            }
            Err(NoHelp::NoAgent) => return Err(self.no_agent(&asked.host)),
        };
        if !reply.problem.is_empty() {
            let near = reply.topics.into_iter().map(|topic| topic.topic).collect();
            return Err(HelpError::NotFound { words: reply.problem, near });
        }
        Ok(view(host, reply, searched))
    }

    fn no_agent(&self, host: &str) -> HelpError {
        let (names, _) = self.0.fleet.known();
        if host.is_empty() {
            return HelpError::NoAgent(
                "no host can be asked for help: none that takes your runs and has an engine is connected".to_owned(),
            );
        }
        if names.contains(host) {
            return HelpError::NoAgent(format!(
                "host {host} is away, has no engine, or does not take your runs: leave host out to ask any"
            ));
        }
        let some: Vec<&str> = names.iter().filter(|name| !name.is_empty()).map(String::as_str).take(20).collect();
        let there = if some.is_empty() { "no agent has joined yet".to_owned() } else { some.join(", ") };
        HelpError::UnknownHost(format!("no host is named `{host}`: there are {there}; leave host out to ask any"))
    }
}

fn view(host: String, reply: wire::HelpReply, searched: bool) -> HelpView {
    let topics = reply.topics.into_iter();
    let topics =
        topics.map(|found| HelpTopicView { topic: found.topic, about: found.about, place: found.place }).collect();
    if searched {
        return HelpView { host, topics, more: reply.more, ..HelpView::default() };
    }
    let text = visible::text(&reply.text).into_owned();
    // Where hidden characters were written out, offsets have moved: sections are found again by their titles.
    let mut from = 0;
    let mut sections = vec![];
    for section in reply.sections {
        let heading = format!("## {}\n", section.title);
        if let Some(at) = text[from..].find(&heading) {
            sections.push(HelpSectionView { title: section.title, offset: from + at });
            from += at + heading.len();
        }
    }
    HelpView {
        host,
        topic: Some(reply.topic),
        place: Some(reply.place),
        text: Some(text),
        sections,
        ..HelpView::default()
    }
}
