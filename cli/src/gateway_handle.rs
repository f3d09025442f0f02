//! Finds the gateway that a command talks to.
//!
//! 1. The one that was named (`--gateway`, `LONGHAUL_GATEWAY`, `gateway`).
//! 2. The one that holds the data folder's lock.
//! 3. One inside this process, with an agent, that ends with it ([`crate::embed`]).
//!
//! The second and the third may change places while a command runs: a daemon is restarted, or the process with the
//! embedded gateway ends. A follower that lost its connection therefore asks again ([`GatewayHandle::reopen`]); the run
//! has the same id and the same bytes whichever process serves the record.

use std::time::Duration;

use crate::{
    access,
    client::Client,
    config::Engine,
    context::{Context, Failure},
    embed::{self, Embedded},
};

/// How long a daemon that holds the lock may take to write down its address.
const START: Duration = Duration::from_secs(10);
/// How often that is checked.
const LOOK: Duration = Duration::from_millis(50);
/// How long a daemon that went away may take to return before a command serves the folder itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time limit for ending the gateway inside this process.
const CLOSE: Duration = Duration::from_secs(3);

/// What a command needs of a gateway inside this process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Need {
    /// The engine of its agent.
    pub(crate) engine: Option<Engine>,
    /// Whether it starts queued runs: a command that reads a record must start nothing.
    pub(crate) starts_runs: bool,
    /// Whether the folder's own agent is left as it is: what is asked for is about agents that are away.
    pub(crate) no_agent: bool,
    /// When such a gateway may be started.
    pub(crate) begins: Begins,
}

/// When a gateway inside this process is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Where the data folder has a record: there is something to read. Elsewhere no record is made.
    #[default]
    WithARecord,
    /// Always: `run` needs only a do-file.
    Always,
    /// Never: what the command makes must be known to a gateway that stays.
    Never,
}

/// A gateway to talk to.
pub(crate) struct GatewayHandle {
    /// Its client.
    pub(crate) client: Client,
    need: Need,
    served_by: ServedBy,
}

/// Which process serves the gateway.
enum ServedBy {
    /// One that the user named.
    Named,
    /// A daemon that holds the data folder.
    Daemon,
    /// Another command of this user, with an embedded gateway.
    OtherCommand,
    /// This process.
    Us(Box<Embedded>),
}

impl GatewayHandle {
    /// Finds or starts the gateway. Only a gateway inside this process is tried out here; the first request shows what
    /// is wrong with any other.
    ///
    /// # Errors
    /// With what to do.
    pub(crate) async fn open(context: &Context, need: Need) -> Result<Self, Failure> {
        if let Some(url) = &context.config.settings.gateway {
            return Ok(Self { client: access::client(context, &url.0)?, need, served_by: ServedBy::Named });
        }
        let (client, served_by) = of_folder(context, need).await?;
        Ok(Self { client, need, served_by })
    }

    /// Whether the gateway is inside this process.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.served_by, ServedBy::Us(_))
    }

    /// Whether the gateway stays when the command has ended.
    pub(crate) fn stays(&self) -> bool {
        matches!(self.served_by, ServedBy::Named | ServedBy::Daemon)
    }

    /// Whether the user named the gateway, so that its hosts may not be this machine.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self.served_by, ServedBy::Named)
    }

    /// Finds the gateway again after it has been away for so long. Most likely a daemon is being restarted: this
    /// process does not take its place before [`PATIENCE`] has passed.
    ///
    /// # Errors
    /// With what to do.
    pub(crate) async fn reopen(&mut self, context: &Context, away: Duration) -> Result<(), Failure> {
        let waits = match self.served_by {
            ServedBy::Named | ServedBy::Us(_) => true,
            ServedBy::Daemon => away < PATIENCE && !context.data.gateway_serves().unwrap_or(true),
            ServedBy::OtherCommand => false,
        };
        if !waits {
            (self.client, self.served_by) = of_folder(context, self.need).await?;
        }
        Ok(())
    }

    /// Ends the gateway inside this process; runs go on under their supervisors.
    pub(crate) async fn close(self) {
        if let ServedBy::Us(embedded) = self.served_by {
            embedded.shutdown(CLOSE).await;
        }
    }
}

async fn of_folder(context: &Context, need: Need) -> Result<(Client, ServedBy), Failure> {
    let data = &context.data;
    let until = context.clock.monotonic() + START;
    loop {
        let served = data.gateway_serves().map_err(|error| {
            let folder = data.path().display();
            Failure::system(format!("cannot use the data folder {folder} ({error}): give one of yours with --data"))
        })?;
        if !served {
            let begins = match need.begins {
                Begins::Always => true,
                Begins::WithARecord => data.has_record(),
                Begins::Never => false,
            };
            if !begins {
                return Err(Failure::system(format!(
                    "no gateway here ({}): start `longhaul up`, or name one with --gateway or --data",
                    data.path().display()
                )));
            }
            match embed::start(context, need).await {
                Ok(started) => return Ok((started.client, ServedBy::Us(Box::new(started.embedded)))),
                // Another command was faster; its gateway serves us as well.
                Err(embed::EmbedError::Held) if context.clock.monotonic() < until => {}
                Err(error) => return Err(Failure::system(error.to_string())),
            }
        } else if let Some(endpoint) = data.endpoint() {
            let client = access::client(context, &endpoint.url)?;
            // The file may be that of an earlier daemon.
            if client.healthy().await.is_ok() || context.clock.monotonic() >= until {
                return Ok((client, if endpoint.embedded { ServedBy::OtherCommand } else { ServedBy::Daemon }));
            }
        } else if context.clock.monotonic() >= until {
            return Err(Failure::system(format!(
                "a gateway holds {} but does not say where it answers: is it still starting? See its log, or name \
                 its address with --gateway",
                data.path().join("gateway/lock").display()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
