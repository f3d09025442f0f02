//! One tool call: its caller, its arguments, and an answer in every case, a panic of the tool included.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use longhaul_proto::{api::SubmitRequest, sha256_hex, wire};
use rmcp::{
    ErrorData, Peer, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ProgressToken, RequestId, ServerResult,
    },
    service::RequestContext,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    args::Args,
    client,
    confirm::Asks,
    egress::Gives,
    guarded::guarded,
    output::ToolOutput,
    own_answer::OwnAnswer,
    permissions,
    progress::{Reporter, Sink},
    resumable::{CallTarget, Resumable, Resumed},
    resume::Line,
    served_call::ServedCall,
    told::Told,
    tools, words,
};
use crate::{
    frontend::{Frontend, Numbers, disconnect::ClientPresence},
    ledger::CALL,
    mcp::front,
    model::{Identity, RunSnapshot},
};

/// `_meta` key under which `longhaul stdio` names a call that it may have to repeat: a random name, so it serves as an
/// idempotency key.
const CALL_KEY: &str = "longhaul/callKey";

/// `_meta` key under which Claude Code names a tool use; a tool use repeated within a while counts as the same call.
const TOOL_USE: &str = "claudecode/toolUseId";

/// Longest name of a tool use that is distinguished from others, characters.
const TOOL_USE_ID: usize = 128;

/// A tool's answer; the error is text that tells the model what to do.
pub(super) type Reply = Result<ToolOutput, String>;

/// As [`Reply`], for a tool that may also answer with a task.
pub(super) type Answer = Result<CallToolResponse, String>;

/// The caller: its principal and client.
pub(super) struct Caller {
    pub(super) frontend: Frontend,
    pub(super) who: Identity,
    pub(super) caller: ClientPresence,
    pub(super) told: Told,
}

impl Caller {
    /// The caller of a request; the error is text for people.
    pub(super) fn of(frontend: &Frontend, context: &RequestContext<RoleServer>) -> Result<Self, String> {
        let parts = context.extensions.get::<http::request::Parts>();
        let who = parts.and_then(|p| p.extensions.get::<Identity>()).cloned();
        let who = who.ok_or("the gateway does not know who asks; this is its own fault, see its log")?;
        let caller = parts.and_then(|p| p.extensions.get::<ClientPresence>()).cloned().unwrap_or_default();
        Ok(Self::new(frontend, who, caller))
    }

    fn new(frontend: &Frontend, who: Identity, caller: ClientPresence) -> Self {
        let told = Told::new(&frontend.core.audit, &who);
        Self { frontend: frontend.clone(), who, caller, told }
    }

    /// The answer under way reports this run: its end counts as seen once the caller has read the answer.
    pub(super) fn shows(&self, run: &RunSnapshot) {
        self.caller.shows(&self.who, run);
        self.told.of(run);
    }

    /// Now, for people.
    pub(super) fn now_ms(&self) -> i64 {
        self.frontend.core.deps.clock.unix_ms()
    }
}

/// One call: its caller and its arguments.
pub(super) struct Call {
    caller: Caller,
    pub(super) args: Args,
    /// What the tool's answers give.
    pub(super) gives: Gives,
    pub(super) trace: wire::TraceContext,
    client: Option<Implementation>,
    tasks: bool,
    /// How a person is asked about risky commands.
    pub(super) asks: Asks,
    tool_use: Option<String>,
    call_key: Option<String>,
    token: Option<ProgressToken>,
    out: Out,
    ct: CancellationToken,
}

/// Where the answer goes.
enum Out {
    /// To the request under way, on its own connection.
    Live { way: Way, request: RequestId, session: Option<String>, resumable: OnceLock<Arc<Resumable>> },
    /// To a client that resumes the call on another connection.
    Resumed { line: Line, seen: u64, already: Duration, patient: bool, asked_to_wait: bool },
}

/// Who sends the answer of a request under way.
enum Way {
    /// The library.
    Library(Peer<RoleServer>),
    /// The gateway itself.
    Own(Line),
}

impl Deref for Call {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Call {
    /// The run that the argument `run` names, which the answer under way reports.
    ///
    /// # Errors
    /// Why there is none for this caller, in words.
    pub(super) async fn asked_run(&self) -> Result<Arc<RunSnapshot>, String> {
        let runs = &self.frontend.core.runs;
        let name = self.args.text("run").unwrap_or_default();
        let run = runs.find(&self.who, &name).await.map_err(|e| e.to_string())?;
        let view = self.run(run).await.map_err(|e| e.to_string())?;
        self.may_tell(&view)?;
        self.shows(&view);
        Ok(view)
    }

    /// Completes when the caller withdraws the request.
    pub(super) async fn cancelled(&self) {
        self.ct.cancelled().await;
    }

    /// The progress reporter, for a caller that gave a progress token.
    pub(super) fn reporter(&self) -> Option<Reporter> {
        let token = self.token.clone().filter(|_| self.frontend.options().heartbeat_enabled)?;
        let (sink, seen) = match &self.out {
            Out::Live { way: Way::Library(peer), resumable, .. } => {
                (Sink::Live(peer.clone(), resumable.get().cloned()), 0)
            }
            Out::Live { way: Way::Own(line), resumable, .. } => (Sink::Own(line.clone(), resumable.get().cloned()), 0),
            Out::Resumed { line, seen, .. } => (Sink::Own(line.clone(), None), *seen),
        };
        Some(Reporter::new(&self.frontend, sink, token, seen))
    }

    /// From its first progress notification on, the call can be resumed on another connection. A caller without a token
    /// gets its answer or a handle on this connection.
    pub(super) fn resumable(&self, asked: CallTarget) {
        if let (Out::Live { request, session, resumable, .. }, Some(token)) = (&self.out, &self.token) {
            // The first value is kept.
            let _ = resumable.set(Arc::new(Resumable {
                principal: self.who.principal.clone(),
                request: request.clone(),
                token: token.clone(),
                session: session.clone(),
                patient: self.patient(),
                asked_to_wait: self.asked_to_wait(),
                asked,
            }));
        }
    }

    /// How long the caller had waited before this connection.
    pub(super) fn already(&self) -> Duration {
        match &self.out {
            Out::Live { .. } => Duration::ZERO,
            Out::Resumed { already, .. } => *already,
        }
    }

    /// A call that its client resumes.
    ///
    /// # Errors
    /// When this version does not accept the recorded arguments.
    pub(super) fn resumed(
        frontend: &Frontend,
        spec: &tools::Spec,
        who: Identity,
        resumed: &Resumed,
        line: Line,
        already: Duration,
    ) -> Result<Self, String> {
        let resumable = &resumed.resumable;
        let args = match &resumable.asked {
            CallTarget::Run { .. } => Args::default(),
            CallTarget::Wait(arguments) => Args::read(spec, Some(arguments.clone()))?,
        };
        Ok(Self {
            caller: Caller::new(frontend, who, resumed.caller.clone()),
            args,
            gives: spec.gives,
            trace: wire::TraceContext::default(),
            client: None,
            tasks: false,
            asks: Asks::Not,
            tool_use: None,
            call_key: None,
            token: Some(resumable.token.clone()),
            out: Out::Resumed {
                line,
                seen: resumed.seen,
                already,
                patient: resumable.patient,
                asked_to_wait: resumable.asked_to_wait,
            },
            ct: CancellationToken::new(),
        })
    }

    /// Whether the caller keeps waiting as long as progress arrives.
    pub(super) fn patient(&self) -> bool {
        if let Out::Resumed { patient, .. } = self.out {
            return patient;
        }
        self.args.flag("wait").unwrap_or(self.token.is_some() && client::extends_on_progress(self.client.as_ref()))
    }

    /// Whether the caller asked to wait to the end in every case.
    pub(super) fn asked_to_wait(&self) -> bool {
        match self.out {
            Out::Resumed { asked_to_wait, .. } => asked_to_wait,
            Out::Live { .. } => self.args.flag("wait") == Some(true),
        }
    }

    /// Whether the caller asked for the run's id only.
    pub(super) fn wants_id(&self) -> bool {
        self.args.flag("wait") == Some(false)
    }

    /// Whether a run that takes longer is answered with a task: the client declared in this request that it understands
    /// tasks, and the call did not ask for a run id instead.
    pub(super) fn takes_task(&self) -> bool {
        self.tasks && !self.wants_id()
    }

    /// The call's idempotency key: the argument `key`, or else the name that `longhaul stdio` gave the call.
    pub(super) fn key(&self) -> Option<String> {
        self.args.text("key").or_else(|| self.call_key.clone())
    }

    /// The name of the tool use. It counts as the same call only with an equal request, because such a name is not
    /// chosen on purpose.
    pub(super) fn name(&self, request: &SubmitRequest) -> Option<String> {
        let id = self.tool_use.as_ref()?;
        let request = serde_json::to_vec(request).ok()?;
        Some(format!("{CALL}{}:{}", words::cut(id, TOOL_USE_ID), &sha256_hex(&request)[..16]))
    }

    /// Name and version of the client.
    pub(super) fn client_name(&self) -> Option<String> {
        self.client.as_ref().map(|c| format!("{} {}", c.name, c.version))
    }
}

/// Answers a call. Only an unknown tool is an error of the protocol; every other failure is text that a model can act
/// on.
pub(super) async fn answer(
    frontend: &Frontend,
    request: CallToolRequestParams,
    context: RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    Numbers::count(&frontend.numbers.calls);
    let Some(spec) = tools::find(&request.name) else {
        #[cfg(test)]
        if request.name == "test_panic" {
            return Ok(guarded(frontend, "test_panic", async { panic!("on purpose") }).await);
        }
        let known: Vec<&str> = tools::TOOLS.iter().map(|t| t.name).collect();
        let text = format!("there is no tool `{}`: the tools are {}", request.name, known.join(", "));
        return Err(ErrorData::invalid_params(text, None));
    };
    let span = tracing::info_span!("tool", name = spec.name);
    let served = ServedCall::begin(spec.name, &context);
    let id = context.id.clone();
    // Without a line the library answers.
    let own = OwnAnswer::offered(&context).filter(|_| spec.waits).and_then(|offer| offer.take(frontend).ok());
    let way = own.clone().map_or_else(|| Way::Library(context.peer.clone()), Way::Own);
    let call = open(frontend, spec, request, context, way, served.context());
    let Some(line) = own else {
        return Ok(served.until(answered(frontend, spec, call)).instrument(span).await);
    };
    let frontend = frontend.clone();
    let tasks = frontend.core.deps.tasks.clone();
    let work = async move {
        let result = served.until(answered(&frontend, spec, call)).await;
        // The reader is gone: the client can resume the call.
        let _ = line.answer(ServerResult::from(result), id).await;
    };
    tasks.spawn(work.instrument(span));
    // Nobody gets this one.
    Ok(CallToolResult::success(Vec::new()).into())
}

/// The answer of a tool to a call, or to one that could not be opened.
async fn answered(frontend: &Frontend, spec: &tools::Spec, call: Result<Call, String>) -> CallToolResponse {
    let told = call.as_ref().ok().map(|call| call.told.clone());
    let path = call.as_ref().ok().and_then(|call| call.args.text("path"));
    let reply = async {
        let call = call?;
        (spec.run)(&call).await
    };
    let answer = guarded(frontend, spec.name, reply).await;
    if let Some(told) = told {
        told.answer(spec.name, path, &answer).await;
    }
    answer
}

fn open(
    frontend: &Frontend,
    spec: &tools::Spec,
    request: CallToolRequestParams,
    context: RequestContext<RoleServer>,
    way: Way,
    trace: wire::TraceContext,
) -> Result<Call, String> {
    let ct = match way {
        Way::Library(_) => context.ct.clone(),
        // For the library this call is over, and a call of the newer era cannot be withdrawn.
        Way::Own(_) => CancellationToken::new(),
    };
    let parts = context.extensions.get::<http::request::Parts>();
    let meta = &context.meta;
    let session = parts.is_some_and(|p| front::session_of(&p.headers).is_some());
    Ok(Call {
        caller: Caller::of(frontend, &context).and_then(|caller| {
            permissions::check_tool(spec.name, &caller.who)?;
            Ok(caller)
        })?,
        asks: Asks::of(&request, &context, session),
        args: Args::read(spec, request.arguments)?,
        gives: spec.gives,
        trace,
        client: context.client_info(),
        tasks: context.client_capabilities().is_some_and(|has| has.supports_tasks()),
        call_key: meta.get(CALL_KEY).and_then(|v| v.as_str()).map(str::to_owned),
        tool_use: meta.get(TOOL_USE).and_then(|v| v.as_str()).map(str::to_owned),
        token: meta.get_progress_token(),
        out: Out::Live {
            way,
            request: context.id.clone(),
            session: parts.and_then(|p| front::session_of(&p.headers)),
            resumable: OnceLock::new(),
        },
        ct,
    })
}
