//! A gateway and an agent inside this process, for one command without a daemon.
//!
//! They listen on loopback ports of the system's choice and are the same parts as the daemons', over the same wire and
//! in the same data folder: what they record is there for the next command, and another command that starts meanwhile
//! finds them by `endpoint.json`. When they end, unfinished runs go on under their supervisors, and the next process
//! that opens the folder takes them up.

use std::{path::PathBuf, time::Duration};

use longhaul_agent::Agent;
use longhaul_gateway::Gateway;
use longhaul_proto::words;

use crate::{
    access,
    client::{Client, ClientError},
    context::{Context, Failure},
    data::{Data, Endpoint},
    gateway_handle::Need,
    output::say,
    serve,
};

/// How long the gateway may take to know the agent.
const JOIN: Duration = Duration::from_secs(5);
/// How long a record may take to show what happened while no gateway ran. An unfinished run uses all of that time.
const SETTLE: Duration = Duration::from_secs(1);

/// The parts; see the module.
pub(crate) struct Embedded {
    gateway: Gateway,
    agent: Option<Agent>,
    data: Data,
    endpoint: Endpoint,
}

/// The result of [`start`].
pub(crate) struct Started {
    /// A client of the gateway.
    pub(crate) client: Client,
    /// The parts.
    pub(crate) embedded: Embedded,
}

/// Why the parts did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmbedError {
    /// Another gateway holds the folder.
    #[error("another gateway has the data folder")]
    Held,
    /// Anything else, in words for people.
    #[error("{0}")]
    Failed(String),
}

impl From<Failure> for EmbedError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.message)
    }
}

impl From<ClientError> for EmbedError {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Starts both and waits until the gateway knows the agent.
pub(crate) async fn start(context: &Context, need: Need) -> Result<Started, EmbedError> {
    // Settings of daemons do not apply to what only this process uses.
    let mut inner = context.clone();
    let s = &mut inner.config.settings;
    (s.listen, s.advertise, s.no_auth, s.approve_agents) = (None, None, None, None);
    (s.tls, s.tls_cert, s.tls_key) = (None, None, None);
    if need.engine.is_some() {
        s.engine = need.engine;
    }
    // The user runs their own code as themselves on their own machine: there is no other user to keep out.
    s.as_root = Some(true);
    s.roots.get_or_insert_with(|| vec![PathBuf::from("/")]);

    let listener = serve::listen(serve::ANY).await?;
    let options = serve::gateway_options(&inner)?;
    let gateway = match longhaul_gateway::start(options, listener, serve::gateway_deps(&inner)).await {
        Ok(gateway) => gateway,
        Err(longhaul_gateway::StartError::Held { .. }) => return Err(EmbedError::Held),
        Err(error) => return Err(EmbedError::Failed(words::chain(&error))),
    };
    let endpoint = Endpoint {
        url: format!("http://{}", gateway.addr),
        pid: std::process::id(),
        embedded: true,
        socket: gateway.socket.clone(),
        issued: false,
        notices: None,
    };
    context
        .data
        .write_endpoint(&endpoint)
        .map_err(|e| EmbedError::Failed(format!("cannot write to {}: {e}", context.data.path().display())))?;
    let mut embedded = Embedded { gateway, agent: None, data: context.data.clone(), endpoint };
    match begin(&inner, need, &mut embedded).await {
        Ok(client) => Ok(Started { client, embedded }),
        Err(error) => {
            embedded.shutdown(Duration::from_secs(1)).await;
            Err(error)
        }
    }
}

async fn begin(context: &Context, need: Need, embedded: &mut Embedded) -> Result<Client, EmbedError> {
    let url = embedded.endpoint.url.clone();
    let client = access::client(context, &url)?;
    if need.no_agent || (!need.starts_runs && !context.data.has_agent()) {
        // Reading makes nothing: what a gateway alone has recorded is all there is.
        return Ok(client);
    }
    let mut options = serve::agent_options(context, &url)?;
    if !need.starts_runs {
        // Reading a record must not start what is still queued in it; unfinished runs are taken up all the same.
        options.label.host_limit = 0;
    }
    let listener = serve::listen(serve::ANY).await?;
    match longhaul_agent::start(options, listener, serve::agent_deps(context)).await {
        Ok(agent) => {
            if need.starts_runs && !agent.problem.is_empty() {
                let problem = agent.problem.clone();
                embedded.agent = Some(agent);
                return Err(EmbedError::Failed(problem));
            }
            embedded.agent = Some(agent);
            joined(context, &client).await?;
            if !need.starts_runs {
                settled(context, &client).await?;
            }
        }
        // An agent of another gateway works in this folder: the records can be read all the same.
        Err(longhaul_agent::StartError::Held(_)) if !need.starts_runs => {
            say("an agent of another gateway works in this data folder; showing what is recorded here");
        }
        Err(error) => return Err(EmbedError::Failed(words::chain(&error))),
    }
    Ok(client)
}

/// Waits until the gateway knows the agent, and with it the runs that the agent kept.
async fn joined(context: &Context, client: &Client) -> Result<(), ClientError> {
    let until = context.clock.monotonic() + JOIN;
    while context.clock.monotonic() < until {
        let hosts = client.hosts().await?.hosts;
        if hosts.iter().any(|h| matches!(h.state.as_str(), "up" | "idle")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Gives runs that ended while no gateway ran a moment to be taken up, so that the record shows their end.
async fn settled(context: &Context, client: &Client) -> Result<(), ClientError> {
    let until = context.clock.monotonic() + SETTLE;
    while context.clock.monotonic() < until {
        let runs = client.list(50, None, &[]).await?.0.runs;
        if runs.iter().all(|r| r.attempt == 0 || (r.state.is_end() && r.output_complete)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

impl Embedded {
    /// Ends both within `deadline`; runs go on under their supervisors.
    pub(crate) async fn shutdown(self, deadline: Duration) {
        self.data.remove_endpoint(&self.endpoint);
        let agent = async {
            match self.agent {
                Some(agent) => agent.shutdown(deadline).await,
                None => true,
            }
        };
        tokio::join!(agent, self.gateway.shutdown(deadline));
    }
}
