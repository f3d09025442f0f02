//! The calls between gateways and agents as the network sees them: what each is about, and which no gateway may make.

use bytes::Bytes;
use http_body::Frame;
use longhaul_proto::{state::RunState, wire};
use prost::Message;

use super::sim::{Sim, short};

/// Output that a gateway has is not asked for again.
pub(super) fn look_at_follow(sim: &Sim, method: &str, bytes: &Bytes) {
    if let ("Follow", Ok(follow)) = (method, wire::FollowRequest::decode(message(bytes)))
        && !follow.with_submission
    {
        sim.story(&follow.run_id, |story| {
            let from_start = follow.log_offset == 0 && follow.console_offset == 0;
            if from_start && story.resumed && !std::mem::take(&mut story.beyond) {
                let run = short(&follow.run_id);
                sim.wrong(format_args!("run {run}: its output was fetched from its start again"));
            }
            story.resumed |= follow.log_offset > 0;
        });
    }
}

/// A `Forget` is legal only with the length and digest of what an attempt printed, all of it. A run that was ended before
/// it had a Stata printed nothing, and has no log to have a digest of.
pub(super) fn look_at_forget(sim: &Sim, method: &str, bytes: &Bytes) {
    if let ("Forget", Ok(forget)) = (method, wire::ForgetRequest::decode(message(bytes))) {
        sim.story(&forget.run_id, |story| {
            let ends = story.bases.iter().skip(1).copied().chain([story.printed.len()]);
            let mut logs = story.bases.iter().zip(ends).map(|(from, to)| &story.printed[*from..to]);
            let all = logs
                .any(|log| forget.log_len == log.len() as u64 && forget.log_sha256 == longhaul_proto::sha256_hex(log));
            // An attempt that never had a Stata has nothing to have a digest of, or an empty log.
            let no_stata = !story.executions.contains_key(&story.attempt);
            let empty =
                forget.log_sha256.is_empty() || (no_stata && forget.log_sha256 == longhaul_proto::sha256_hex(b""));
            let nothing = empty && forget.log_len == 0;
            if !(nothing || (all && story.ended)) {
                sim.wrong(format_args!("run {}: Forget without its digest", short(&forget.run_id)));
            }
        });
    }
}

/// The message behind gRPC's five bytes of prefix.
fn message(bytes: &Bytes) -> Bytes {
    bytes.slice(5.min(bytes.len())..)
}

/// The run that a call has streamed.
pub(super) fn followed(method: &str, bytes: &Bytes) -> Option<String> {
    match method {
        "Run" => Some(wire::RunRequest::decode(message(bytes)).ok()?.submission?.run_id),
        "Follow" => Some(wire::FollowRequest::decode(message(bytes)).ok()?.run_id),
        _ => None,
    }
}

/// The attempt of which a frame of a run's stream says that its Stata has ended.
pub(super) fn ended_attempt(frame: &Frame<Bytes>) -> Option<u32> {
    let mut rest = frame.data_ref().cloned().unwrap_or_default();
    while rest.len() >= 5 {
        let prefix = rest.split_to(5);
        let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let message = rest.split_to(len.min(rest.len()));
        if let Ok(wire::RunEvent { event: Some(wire::run_event::Event::Snapshot(snapshot)) }) =
            wire::RunEvent::decode(message)
            && (snapshot.outcome.is_some() || RunState::from_wire(snapshot.state).is_some_and(RunState::is_end))
        {
            return Some(snapshot.attempt);
        }
    }
    None
}

/// What a call is about, for the trace.
pub(super) fn about(method: &str, bytes: &Bytes) -> String {
    let bytes = message(bytes);
    match method {
        "Run" => wire::RunRequest::decode(bytes)
            .map(|r| format!("{} attempt {}", short(r.submission.unwrap_or_default().run_id), r.attempt)),
        "Revoke" => wire::RevokeRequest::decode(bytes).map(|r| format!("{} attempt {}", short(r.run_id), r.attempt)),
        "Follow" => wire::FollowRequest::decode(bytes).map(|r| format!("{} from {}", short(r.run_id), r.log_offset)),
        "BlobOffsets" => wire::BlobOffsetsRequest::decode(bytes).map(|r| short(r.run_id)),
        "Cancel" => wire::CancelRequest::decode(bytes).map(|r| short(r.run_id)),
        "Forget" => wire::ForgetRequest::decode(bytes).map(|r| short(r.run_id)),
        "Register" => wire::RegisterRequest::decode(bytes).map(|r| format!("with {} runs", r.runs.len())),
        _ => Ok(String::new()),
    }
    .unwrap_or_default()
}
