//! Two gateways on one ledger: the one that took the runs over moves them, and the other one does not.

use longhaul_proto::api::CancelMode;

use super::*;
use crate::ledger::{RunStore, sqlite::SqliteLedger};

#[tokio::test]
async fn a_gateway_whose_runs_another_took_over_moves_none_of_them() {
    let mut world = World::new().await;
    let run = world.submit(text("display 1")).await;
    let tasks = Tasks::new();
    let other = SqliteLedger::open(&world.folder.path().join("gateway"), "x", &tasks).await.unwrap();
    let owner = other.take_over("another process".to_owned()).await.unwrap();
    assert_eq!(other.get(run).await.unwrap().unwrap().owner, owner);
    // What its owner asks for is recorded by whichever gateway hears it; the step is not.
    let _ = world.runs().cancel(&ann(), run, CancelMode::Break).await;
    let gone = async {
        while world.runs().0.registry.get(run).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("it lets the run alone");
    let record = other.get(run).await.unwrap().unwrap();
    assert_eq!((record.state, record.cancel.is_some(), record.owner), (RunState::Queued, true, owner));
    other.close().await;
    // The next start takes it over again, and moves it.
    world.restart().await;
    world.state(run, RunState::Cancelled).await;
    world.stop().await;
}
