//! The gateway's own health.

use std::time::Duration;

use axum::{Extension, Json, extract::State};
use longhaul_proto::api::ClockTrusted;

use crate::{frontend::Frontend, model::Identity, problem::Problem};

/// How long an answer to probes without a token holds: each look writes to the ledger, and anybody may ask.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// `GET /healthz`: the process answers. It needs no token.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the gateway can accept work. Why it cannot is told to those who show a token.
pub(super) async fn ready(
    State(frontend): State<Frontend>,
    who: Option<Extension<Identity>>,
) -> Result<String, Problem> {
    if who.is_none() {
        return if looked(&frontend).await {
            Ok("ready\n".to_owned())
        } else {
            Err(Problem::unavailable("not ready: its log says why, and so does this path with a token"))
        };
    }
    match ready_or_why(&frontend).await {
        Ok(()) => {
            // It accepts work all the same.
            let certificate = frontend.core.certificates.as_ref().and_then(|all| all.note(now_s(&frontend)));
            let agents = frontend.core.runs.certificate_note();
            let notes = [frontend.core.runs.sweep_paused(), frontend.core.audit.trouble(), certificate, agents];
            let notes: String = notes.into_iter().flatten().map(|why| format!("note: {why}\n")).collect();
            Ok(format!("ready\n{notes}"))
        }
        Err(why) => Err(Problem::unavailable(why)),
    }
}

/// Whether it accepts work and clients can reach it: not while it may do nothing without an audit log that cannot be
/// written.
async fn ready_or_why(frontend: &Frontend) -> Result<(), String> {
    if let Some(why) = frontend.core.certificates.as_ref().and_then(|all| all.expired(now_s(frontend))) {
        return Err(why);
    }
    match frontend.core.audit.trouble().filter(|_| frontend.core.audit.is_required()) {
        Some(why) => Err(why),
        None => frontend.core.runs.ready().await,
    }
}

fn now_s(frontend: &Frontend) -> i64 {
    frontend.core.deps.clock.unix_ms() / 1000
}

/// Whether it is ready, by a look that others may have had a moment ago; those who ask meanwhile wait for that one.
pub(crate) async fn looked(frontend: &Frontend) -> bool {
    let mut last = frontend.looked.lock().await;
    let now = frontend.core.deps.clock.monotonic();
    match *last {
        Some((at, ready)) if now.saturating_sub(at) < LOOK_AGAIN => ready,
        _ => {
            let ready = ready_or_why(frontend).await.is_ok();
            *last = Some((frontend.core.deps.clock.monotonic(), ready));
            ready
        }
    }
}

/// `POST /api/v1/clock/trust`: an operator confirms that the gateway's clock is right.
pub(super) async fn trust_clock(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
) -> Result<Json<ClockTrusted>, Problem> {
    Ok(Json(frontend.core.runs.trust_clock(&who)?))
}
