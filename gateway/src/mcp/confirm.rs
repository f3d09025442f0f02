//! Asking a person about the risky commands of a run, by a client that says that it can (elicitation).
//!
//! ```text
//! newer era:  call -> "input required", with what is agreed to as its state -> the same call again, with the answer and the state
//! older era:  call -> the gateway asks over the call's connection, a bounded time -> goes on
//! no such client: a refusal that names `confirm: true`
//! ```
//!
//! In the newer era nothing waits here: the client asks for as long as it likes, and calls again. An answer is about the code that
//! was asked about, and no other.

use std::{collections::BTreeMap, time::Duration};

use longhaul_proto::risk;
use rmcp::{
    Peer, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, ClientResult, ElicitRequest, ElicitRequestParams, ElicitResult,
        ElicitationAction, ElicitationSchema, InputRequest, InputRequiredResult, ServerRequest,
    },
    service::{PeerRequestOptions, RequestContext, ServiceError},
};

use super::{call::Call, output::ToolOutput};
use crate::runs::Unconfirmed;

/// The name of the question.
const QUESTION: &str = "confirm";

/// How a person is asked by the client of a call.
#[derive(Debug, Default)]
pub(super) enum Asks {
    /// Not at all: it declared no elicitation of forms.
    #[default]
    Not,
    /// By an answer that asks for input, after which it calls again; the answer that came with this call.
    ByAnswer(Option<Given>),
    /// By a request of the gateway's over this connection.
    ByRequest(Box<Peer<RoleServer>>),
}

/// What a client brings back.
#[derive(Debug)]
pub(super) struct Given {
    /// What was asked about.
    about: String,
    action: ElicitationAction,
}

impl Asks {
    /// What the client of this call can.
    pub(super) fn of(request: &CallToolRequestParams, context: &RequestContext<RoleServer>, session: bool) -> Self {
        let capabilities = context.client_capabilities();
        let forms =
            capabilities.and_then(|has| has.elicitation).is_some_and(|has| has.form.is_some() || has.url.is_none());
        match (forms, session) {
            (false, _) => Self::Not,
            (true, true) => Self::ByRequest(Box::new(context.peer.clone())),
            (true, false) => Self::ByAnswer(given(request)),
        }
    }
}

fn given(request: &CallToolRequestParams) -> Option<Given> {
    let about = request.request_state.clone()?;
    let answer = request.input_responses.as_ref()?.get(QUESTION)?.clone();
    let answer: ElicitResult = serde_json::from_value(answer).ok()?;
    Some(Given { about, action: answer.action })
}

/// What became of the question.
pub(super) enum Asked {
    /// A person agreed to this.
    Agreed(String),
    /// The call is answered with the question.
    Question(Box<CallToolResponse>),
    /// Nothing is run, in words.
    No(String),
}

impl Call {
    /// What a person has agreed to before this call.
    pub(super) fn agreed(&self) -> Option<String> {
        match &self.asks {
            Asks::ByAnswer(Some(given)) if given.action == ElicitationAction::Accept => Some(given.about.clone()),
            _ => None,
        }
    }

    /// Asks for a word about this run, if that is possible.
    pub(super) async fn confirmed(&self, asked: &Unconfirmed) -> Asked {
        let risks = self.told_of_risks(&asked.risks, &self.args.text("host").unwrap_or_default()).await;
        match &self.asks {
            Asks::Not => Asked::No(asked.words(&risks)),
            Asks::ByAnswer(Some(given)) if given.about == asked.about && given.action != ElicitationAction::Accept => {
                Asked::No(refused(&given.action))
            }
            Asks::ByAnswer(_) => {
                let request = InputRequest::Elicitation(ElicitRequest::new(form(asked.question(&risks))));
                let questions = BTreeMap::from([(QUESTION.to_owned(), request)]);
                let answer = InputRequiredResult::new(Some(questions), Some(asked.about.clone()));
                Asked::Question(Box::new(answer.into()))
            }
            Asks::ByRequest(peer) => {
                let within = self.frontend.options().confirm_within;
                match ask(peer, asked.question(&risks), within).await {
                    Ok(ElicitationAction::Accept) => Asked::Agreed(asked.about.clone()),
                    Ok(other) => Asked::No(refused(&other)),
                    Err(why) => Asked::No(format!("no word came from a person ({why}). {}", asked.words(&risks))),
                }
            }
        }
    }

    /// Risky commands in words, without what must not leave.
    async fn told_of_risks(&self, risks: &[risk::Risk], host: &str) -> String {
        match self.code_may_leave(host).await {
            true => risk::summary(risks),
            false => risk::summary_of_kinds(risks),
        }
    }
}

/// The line of an answer that tells of risky commands; empty = there are none.
pub(super) fn warning(risks: &[risk::Risk]) -> String {
    if risks.is_empty() { String::new() } else { format!("\nwarning: {}", risk::summary(risks)) }
}

fn form(message: String) -> ElicitRequestParams {
    // Nothing is filled in: the answer is whether it is accepted.
    let requested_schema = ElicitationSchema::new(BTreeMap::new());
    ElicitRequestParams::FormElicitationParams { meta: None, message, requested_schema }
}

fn refused(action: &ElicitationAction) -> String {
    match action {
        ElicitationAction::Decline => {
            "the person who was asked declined: do not run it, nor in another way; ask what is wanted instead"
                .to_owned()
        }
        _ => "the question was closed without a word: ask the person before this is run".to_owned(),
    }
}

/// Asks over the connection of the call.
async fn ask(peer: &Peer<RoleServer>, message: String, within: Duration) -> Result<ElicitationAction, String> {
    let request = ServerRequest::ElicitRequest(ElicitRequest::new(form(message)));
    let answer = async {
        let sent = peer.send_request_with_option(request, PeerRequestOptions::with_timeout(within)).await?;
        sent.await_response().await
    };
    // The library's own limit is for the answer; a connection that takes nothing is cut short by this one.
    match tokio::time::timeout(within + Duration::from_secs(1), answer).await {
        Ok(Ok(ClientResult::ElicitResult(result))) => Ok(result.action),
        Ok(Ok(_)) => Err("the client answered with something else".to_owned()),
        Ok(Err(ServiceError::Timeout { .. })) | Err(_) => Err(format!("within {} s", within.as_secs_f64())),
        Ok(Err(error)) => Err(format!("the client cannot ask: {error}")),
    }
}

impl From<Asked> for Result<String, Box<CallToolResponse>> {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Agreed(about) => Ok(about),
            Asked::Question(answer) => Err(answer),
            Asked::No(words) => {
                let said = ToolOutput::error(format!("nothing was run: {words}"));
                Err(Box::new(said.into_result().into()))
            }
        }
    }
}
