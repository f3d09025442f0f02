//! A gateway for simulations: its ledger and its network are simulated, all between them is real.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use longhaul_proto::{
    grpc_transport::GrpcTransport,
    join::JoinSecret,
    transport::{Greeter, Role},
};

pub use crate::fleet::connection::{ConnectError, Dialer, Spent};
use crate::{
    Deps, Options,
    audit::Audit,
    blobs::{BlobLimits, Blobs},
    fleet::{Dialing, Fleet, Remembered},
    http::{self, FleetService},
    ledger::{Ledger, LedgerError},
    metrics::Metrics,
    mirror::Mirrors,
    notify::{Notify, secret::SigningKey},
    runs::{Guards, Kept, Runs, restore_guard::RestoreGuard, seal::SealKey, upkeep},
    wall_clock::WallClock,
};

/// A gateway in a simulation.
pub struct SimGateway {
    /// The transport that agents call.
    pub transport: GrpcTransport,
    /// The runs, as clients use them.
    pub runs: Runs,
    /// Clock, ids, and the tasks that the simulation crashes.
    pub deps: Deps,
}

impl SimGateway {
    /// How often a task of a run panicked or returned early.
    pub fn tasks_failed(&self) -> u64 {
        self.runs.0.metrics.tasks_panicked.load(Ordering::Relaxed)
    }
}

/// Starts a gateway on its ledger and its mirrors, at first and again after a crash.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn start(
    options: Options,
    ledger: Arc<dyn Ledger>,
    mirrors: &Path,
    secret: JoinSecret,
    dialer: Dialer,
    deps: Deps,
) -> Result<SimGateway, LedgerError> {
    let (options, metrics) = (Arc::new(options), Arc::new(Metrics::default()));
    let remembered = Remembered::of(&*ledger).await?;
    let restore_guard = RestoreGuard::of(&*ledger, options.restored).await?;
    let url = "http://gateway:1".to_owned();
    let greeter = Greeter { role: Role::Gateway, secret };
    let dialing = Dialing { greeter, dialer, identities: None };
    let fleet = Fleet::new(options.clone(), metrics.clone(), deps.clone(), ledger.clone(), dialing, url, remembered);
    let blobs = Blobs::new(&mirrors.with_extension("blobs"), ledger.clone(), BlobLimits::of(&options), &deps);
    let audit = Audit::off();
    let key = SigningKey::of([8; 32]);
    let notify = Notify::new(options.clone(), ledger.clone(), audit.clone(), metrics.clone(), deps.clone(), key);
    let kept = Kept { mirrors: Mirrors::new(mirrors, options.max_output), blobs, audit, notify };
    let wall_clock = WallClock::new(deps.clock.clone(), ledger.newest_ms().await?);
    let incarnation = deps.ids.name();
    let owner = ledger.take_over(incarnation.clone()).await?;
    let runs = Runs::new(
        options,
        ledger,
        fleet,
        kept,
        Guards { restore_guard, wall_clock, seal: SealKey::of([7; 32]), owner },
        metrics,
        deps.clone(),
    );
    runs.take_up().await?;
    let service = FleetService::new(&runs, incarnation);
    deps.tasks.spawn_until_stop(upkeep::sweep(runs.0.clone()));
    Ok(SimGateway { transport: GrpcTransport::new(http::guarded(service)), runs, deps })
}
