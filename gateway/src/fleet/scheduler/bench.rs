//! Benchmark: what placing a run costs the scheduler, with many agents on which many runs are. While it places one, all
//! others wait.

use std::{sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use longhaul_proto::{
    clock::Clock,
    ids::Ids,
    join::JoinSecret,
    tasks::Tasks,
    transport::{Greeter, Role},
    wire,
};
use tokio::sync::{mpsc, oneshot};

use super::{NewEntry, Scheduler};
use crate::{
    Deps, Options,
    fleet::{
        Dialing, Fleet, Remembered,
        agent_port::{AgentError, AgentPort, ArtifactParts, DataParts, Events, FilesParts, Port},
        lease::Returned,
        queue::Rank,
    },
    ledger::memory::MemoryLedger,
    metrics::Metrics,
    model::{Need, Placement, Principal},
};

/// An agent that can be called and never answers.
#[derive(Debug)]
struct Mute;

#[async_trait::async_trait]
impl AgentPort for Mute {
    async fn run(&self, _: wire::RunRequest) -> Result<Events, AgentError> {
        Err(AgentError::other("mute"))
    }
    fn takes_blobs(&self) -> bool {
        true
    }
    async fn blob_offsets(&self, _: wire::BlobOffsetsRequest) -> Result<wire::BlobOffsetsReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn put_blobs(&self, _: BoxStream<'static, wire::BlobPart>) -> Result<wire::PutBlobsReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn follow(&self, _: wire::FollowRequest) -> Result<Events, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn cancel(&self, _: wire::CancelRequest) -> Result<wire::CancelReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn revoke(&self, _: wire::RevokeRequest) -> Result<wire::RevokeReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn forget(&self, _: wire::ForgetRequest) -> Result<wire::ForgetReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn changed(&self, _: wire::ChangedRequest) -> Result<wire::ChangedReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    fn keeps_do_files(&self) -> bool {
        true
    }
    async fn do_files(&self, _: wire::DoFilesRequest) -> Result<wire::DoFilesReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn do_file(&self, _: wire::DoFileRequest) -> Result<wire::DoFileReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    fn lists_files(&self) -> bool {
        true
    }
    async fn files(&self, _: wire::FilesRequest) -> Result<FilesParts, AgentError> {
        Err(AgentError::other("mute"))
    }
    fn finds_paths(&self) -> bool {
        true
    }
    async fn inspect(&self, _: wire::InspectRequest) -> Result<wire::InspectReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn artifact(&self, _: wire::ArtifactRequest) -> Result<ArtifactParts, AgentError> {
        Err(AgentError::other("mute"))
    }
    fn gives_help(&self) -> bool {
        true
    }
    async fn help(&self, _: wire::HelpRequest) -> Result<wire::HelpReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    fn reads_data(&self) -> bool {
        true
    }
    async fn data_file(&self, _: wire::DataRequest) -> Result<DataParts, AgentError> {
        Err(AgentError::other("mute"))
    }
    fn draws_pdf(&self) -> bool {
        true
    }
    async fn draw(&self, _: wire::DrawRequest) -> Result<wire::DrawReply, AgentError> {
        Err(AgentError::other("mute"))
    }
    async fn broken(&self) {
        std::future::pending().await
    }
    fn is_broken(&self) -> bool {
        false
    }
    fn cut(&self) {}
}

/// Where placements are measured.
pub(crate) struct Crowd {
    scheduler: Scheduler,
    /// Leases that come back.
    back: mpsc::Receiver<Returned>,
    ids: Ids,
}

impl Crowd {
    /// A scheduler with so many agents, each with a licence of its own and so many runs.
    ///
    /// # Errors
    /// When it cannot be put together.
    pub(crate) async fn new(agents: u32, running: u32) -> Option<Self> {
        let (deps, ids) = (Deps { clock: Clock::system(), ids: Ids::system(), tasks: Tasks::new() }, Ids::system());
        let greeter = Greeter { role: Role::Gateway, secret: JoinSecret::new("the secret of a benchmark").ok()? };
        let dialing = Dialing { greeter, dialer: Arc::new(|_| Box::pin(std::future::pending())), identities: None };
        let ledger = Arc::new(MemoryLedger::new("bench"));
        let remembered = Remembered::of(&*ledger).await.ok()?;
        let (options, metrics) = (Arc::<Options>::default(), Arc::<Metrics>::default());
        let (fleet, ends) = Fleet::apart(options, metrics, deps, ledger, dialing, String::new(), remembered);
        let mut crowd = Self { scheduler: Scheduler::new(fleet, ends.publish), back: ends.back, ids };
        for n in 0..agents {
            crowd.agent(&format!("host{n:05}"), running);
        }
        crowd.scheduler.tick();
        crowd.scheduler.publish();
        Some(crowd)
    }

    fn agent(&mut self, name: &str, running: u32) {
        let agent = self.scheduler.agent(name);
        let port: Port = Arc::new(Mute);
        (agent.here, agent.connection) = (true, Some(port));
        agent.info = wire::AgentInfo {
            agent_id: name.to_owned(),
            name: name.to_owned(),
            pool_seats: running * 2,
            host_limit: running * 2,
            engines: vec![wire::Engine { kind: "stata".to_owned(), ..wire::Engine::default() }],
            labels: [("site".to_owned(), "lab".to_owned())].into(),
            ..wire::AgentInfo::default()
        };
        let at = Placement { agent_id: name.to_owned(), host: name.to_owned(), pool: name.to_owned() };
        for _ in 0..running {
            let serial = self.scheduler.fleet.serial();
            self.scheduler.take_seat(self.ids.run(), serial, &Principal::local("ann"), &at);
        }
    }

    /// Places a run, which then ends; returns how long the scheduler took for both. `None` = it was not placed.
    pub(crate) async fn place(&mut self) -> Option<Duration> {
        let (run, fleet) = (self.ids.run(), self.scheduler.fleet.clone());
        let (grant, mut granted) = oneshot::channel();
        let (done, _done) = oneshot::channel();
        let (serial, lease_slot) = (fleet.serial(), fleet.slot().await?);
        let (principal, reason) = (Principal::local("bob"), longhaul_proto::ordered_watch::OrderedWatch::new(None));
        let (need, rank) = (Need::default(), Rank::default());
        let entry = NewEntry { run, principal, need, rank, serial, lease_slot, grant, reason, done };
        let began = fleet.now();
        self.scheduler.enqueue(entry);
        let placed = fleet.now().saturating_sub(began);
        let lease = granted.try_recv().ok()?;
        drop(lease);
        let ends = fleet.now();
        self.scheduler.take_back(&mut vec![self.back.try_recv().ok()?]);
        self.scheduler.publish();
        Some(placed + fleet.now().saturating_sub(ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is counted as runs come and go is what a count of all leases gives.
    #[tokio::test]
    async fn placements_leave_nothing_behind() {
        let mut crowd = Crowd::new(20, 2).await.unwrap();
        for _ in 0..50 {
            crowd.place().await.unwrap();
        }
        let seats = &crowd.scheduler.seats;
        assert_eq!((seats.len(), seats.of_agent("host00003").all, crowd.scheduler.queue.len()), (40, 2, 0));
        assert!(crowd.scheduler.roster.hosts().all(|host| host.running == 2));
    }
}
