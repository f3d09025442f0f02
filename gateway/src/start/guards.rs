//! What is doubted at a start.

use super::StartError;
use crate::{
    Deps, Options, backup,
    ledger::Ledger,
    runs::{Guards, restore_guard::RestoreGuard, seal::SealKey},
    wall_clock::WallClock,
};

/// What guards old runs: against a ledger that is a restored backup, a wrong clock, agents that invent runs, and a gateway
/// that had them before this one.
pub(super) async fn of(
    ledger: &dyn Ledger,
    options: &Options,
    deps: &Deps,
    seal: SealKey,
    incarnation: &str,
) -> Result<Guards, StartError> {
    let marker = backup::marker(&options.data);
    let marker = marker.map_err(|source| StartError::Data { folder: options.data.clone(), source })?;
    let restore_guard = match marker {
        Some(marker) if !options.restored => {
            tracing::info!(
                made_at = marker.made_at,
                "this ledger was restored from a backup: runs that waited in it are held back until an agent reports them; see \
                 `Backups` in docs/operations.md"
            );
            RestoreGuard::of_backup(marker.newest_run)
        }
        _ => RestoreGuard::of(ledger, options.restored).await.map_err(StartError::Ledger)?,
    };
    let wall_clock = WallClock::new(deps.clock.clone(), ledger.newest_ms().await.map_err(StartError::Ledger)?);
    if let Some(words) = wall_clock.doubt(0) {
        tracing::error!("{words}");
    }
    let owner = ledger.take_over(incarnation.to_owned()).await.map_err(StartError::Ledger)?;
    Ok(Guards { restore_guard, wall_clock, seal, owner })
}
