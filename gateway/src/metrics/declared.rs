//! Every number of a gateway, once: its name, what it is, and what it says. `docs/metrics.md` has what to do about them.

use longhaul_proto::telemetry::{
    BATCH,
    Instrument::{Counter, Gauge, Histogram},
    LONG, MEMORY, SHORT,
};

longhaul_proto::declare_numbers! {
    /// All numbers of a gateway, without those of its process.
    DECLARED;

    BUILD: Gauge, "longhaul_build_info", "1, with the version of this part.";

    SUBMITTED: Counter, "longhaul_runs_submitted_total", "Runs recorded.";
    JOINED: Counter, "longhaul_runs_joined_total", "Submissions answered with an earlier run.";
    REFUSED: Counter, "longhaul_runs_refused_total", "Submissions refused, for whatever reason.";
    OVER_LIMIT: Counter, "longhaul_runs_over_limit_total", "Submissions refused for a limit or a quota; part of longhaul_runs_refused_total.";
    REFUSALS: Counter, "longhaul_refusals_total", "What was refused (submission or agent), by the kind of refusal.";
    IMPORTED: Counter, "longhaul_runs_imported_total", "Runs that an agent held and the ledger did not know, taken over from its spool.";
    ADOPTED: Counter, "longhaul_runs_adopted_total", "Imported runs that an operator gave to the principal that their spool names.";
    TAKEN_UP: Counter, "longhaul_runs_taken_up_total", "Unfinished runs that this process found in the ledger when it started, and went on with.";
    RETURNED: Counter, "longhaul_attempts_returned_total", "Attempts proved not to have started, and put back into the queue.";
    RETRIED: Counter, "longhaul_attempts_retried_total", "Attempts that died and were followed by another.";
    PANICKED: Counter, "longhaul_run_tasks_panicked_total", "Tasks of runs that panicked or left their run; each run was taken up again.";
    ENDED: Counter, "longhaul_runs_ended_total", "Runs that ended, by state, by result (the words of OpenTelemetry's cicd.pipeline.result) and by cause.";
    UNFINISHED: Gauge, "longhaul_runs_unfinished", "Runs that have not ended, by state.";
    QUEUED: Gauge, "longhaul_runs_queued", "Runs that wait for a seat.";
    OLDEST: Gauge, "longhaul_queue_oldest_wait_seconds", "How long the run that waits longest has waited for a seat, seconds; 0 = none waits.";
    QUEUE: Histogram(LONG), "longhaul_queue_seconds", "From the start of an attempt's wait to the grant of its seat, seconds.";
    DISPATCH: Histogram(SHORT), "longhaul_dispatch_seconds", "From the call that starts an attempt to the agent's answer, seconds.";
    FIRST_OUTPUT: Histogram(LONG), "longhaul_run_first_output_seconds", "From the submission of a run to the first byte of its log, its wait in the queue included, seconds.";
    DURATION: Histogram(LONG), "longhaul_run_duration_seconds", "From the first byte of a run's log to its end, by its host's monotonic clock, by result, seconds.";
    RUN_CPU: Histogram(LONG), "longhaul_run_cpu_seconds", "Processor time of a run that ended, its children's included, seconds.";
    RUN_MEMORY: Histogram(MEMORY), "longhaul_run_peak_memory_bytes", "The most memory that a run that ended had at once, bytes.";

    AGENTS_UP: Gauge, "longhaul_agents_up", "Agents that are heard and can be dialled.";
    DRAINING: Gauge, "longhaul_hosts_draining", "Hosts on which nothing new starts because an operator drained them.";
    HOST_UP: Gauge, "longhaul_host_up", "1 = the host's agent is heard and can be dialled; 0 = it is silent or unreachable.";
    HOST_READY: Gauge, "longhaul_host_takes_runs", "1 = the host takes new runs; 0 = it is away, drained, or has a problem that `longhaul hosts` tells.";
    HOST_SEEN: Gauge, "longhaul_host_last_seen_seconds", "Time since the latest heartbeat of a host, seconds.";
    HOST_SEATS: Gauge, "longhaul_host_seats", "Runs that a host may have at once.";
    HOST_USED: Gauge, "longhaul_host_seats_in_use", "Runs that hold a seat of a host now.";
    HOST_FREE: Gauge, "longhaul_host_spool_free_bytes", "Free on the disk with a host's spools, as its latest heartbeat said, bytes.";
    POOL_SEATS: Gauge, "longhaul_pool_seats", "Seats of a licence, over all hosts that share it.";
    POOL_USED: Gauge, "longhaul_pool_seats_in_use", "Seats of a licence that are held now.";
    POOL_DISAGREE: Gauge, "longhaul_pool_seats_disagree", "1 while the hosts of a pool were told different numbers of seats.";
    LICENCE: Gauge, "longhaul_licence_remaining_seconds", "Seconds until the Stata licence of a pool ends, the first of its hosts; absent for a licence without an end.";
    HEARTBEATS: Counter, "longhaul_heartbeats_total", "Heartbeats of agents.";
    LATE: Counter, "longhaul_heartbeats_late_total", "Heartbeats that came later than twice the interval after the one before.";

    MIRRORED: Counter, "longhaul_mirror_bytes_total", "Output of runs that was appended to the gateway's copies, bytes.";
    REFETCHED: Counter, "longhaul_mirror_refetched_total", "Copies of output that were fetched again because their digest differed.";
    READ: Counter, "longhaul_output_read_bytes_total", "Output of runs that was read for clients, bytes.";
    KEPT: Gauge, "longhaul_output_kept_bytes", "Output of runs that is kept, as the latest sweep measured it, bytes.";
    FOLLOWERS: Gauge, "longhaul_followers", "Clients that follow a run, or all runs, by an event stream now.";
    STREAMS_DROPPED: Counter, "longhaul_event_streams_dropped_total", "Event streams over all runs that ended since their readers were too slow; each comes back with its last id.";
    SWEEPS: Counter, "longhaul_sweeps_total", "Sweeps of what is old that came to their end.";
    SWEEP_PAUSED: Gauge, "longhaul_sweep_paused", "1 while nothing is removed by its age, since the clock is in doubt.";
    REMOVED: Counter, "longhaul_runs_removed_for_room_total", "Ended runs removed because kept output took too much.";
    DISK_FREE: Gauge, "longhaul_disk_free_bytes", "Free on the disk with the gateway's data folder, bytes.";
    DISK_SIZE: Gauge, "longhaul_disk_size_bytes", "Size of the disk with the gateway's data folder, bytes.";
    LEDGER_SIZE: Gauge, "longhaul_ledger_size_bytes", "Size of the ledger's files, bytes.";
    COMMIT: Histogram(SHORT), "longhaul_ledger_commit_seconds", "From the first statement of a transaction of the ledger to its commit, seconds.";
    COMMITTED: Histogram(BATCH), "longhaul_ledger_batch_size", "Writes that one transaction of the ledger committed together.";

    CALLS: Counter, "longhaul_mcp_calls_total", "MCP tool calls.";
    PANICS: Counter, "longhaul_mcp_panics_total", "MCP tool calls that panicked, and were answered all the same.";
    FLUSHED: Counter, "longhaul_mcp_flushed_early_total", "MCP answers whose head was sent before there was a result.";
    GONE: Counter, "longhaul_mcp_callers_gone_total", "Callers that went away before their answer; their runs went on.";
    RESUMED: Counter, "longhaul_mcp_resumed_total", "MCP calls that were resumed on another connection.";
    HANDLES: Counter, "longhaul_mcp_handles_total", "MCP calls that were answered with a handle, since the run takes longer.";
    TASKS: Counter, "longhaul_mcp_tasks_total", "MCP calls that were answered with a task.";
    BEATS: Counter, "longhaul_mcp_progress_total", "Progress notifications that were sent.";
    BEATS_STALLED: Counter, "longhaul_mcp_progress_stalled_total", "Progress notifications that were given up, since the reader stalled.";

    REQUESTS: Counter, "longhaul_http_requests_total", "Requests that were answered, by route, method and class of the status; agents' calls are among them.";
    REQUEST_TIME: Histogram(SHORT), "longhaul_http_request_seconds", "From a request to the head of its answer, by route, seconds; a stream that follows the head does not count.";
    CONNECTIONS: Gauge, "longhaul_connections", "Open connections.";
    UNPROVEN: Gauge, "longhaul_connections_unproven", "Open connections that have shown no token.";
    ACCEPTED: Counter, "longhaul_connections_accepted_total", "Connections accepted.";
    TURNED_AWAY: Counter, "longhaul_connections_refused_total", "Connections refused or closed, by reason.";
    BODIES: Gauge, "longhaul_request_body_bytes", "Room that bodies of requests take now, bytes.";
    QUOTA_REFUSED: Counter, "longhaul_quota_refused_total", "Requests refused by a quota, by kind.";
    QUOTA_LIMIT: Gauge, "longhaul_quota_limit", "What a quota allows, in the unit of its kind.";
    QUOTA_USED: Gauge, "longhaul_quota_used", "What is used of a quota, in the unit of its kind.";

    CERTIFICATE: Gauge, "longhaul_certificate_expiry_timestamp_seconds", "When a certificate of the gateway ends, Unix seconds.";
    AGENT_CERTIFICATE: Gauge, "longhaul_agent_certificate_expiry_timestamp_seconds", "When the certificate of an agent ends, Unix seconds.";
    CERTIFIED: Counter, "longhaul_agent_certificates_issued_total", "Certificates issued to agents, renewals among them.";
    AUDITED: Counter, "longhaul_audit_lines_total", "Lines of the audit log that were written.";
    AUDIT_LOST: Counter, "longhaul_audit_lost_total", "Lines of the audit log that could not be written.";
    AUDIT_FAILING: Gauge, "longhaul_audit_failing", "1 while the audit log cannot be written.";
    LINES_DROPPED: Counter, "longhaul_log_lines_dropped_total", "Lines of this process's log that could not be delivered to the collector, where they are to be sent.";
    NOTIFIED: Counter, "longhaul_notifications_total", "Messages about ends of runs, by way (webhook or mail) and result: delivered, failed (one try; another follows), refused (its receiver is not allowed any more, so that nothing was sent) or given_up.";
    NOTIFY_WAITING: Gauge, "longhaul_notifications_waiting", "Messages about ends of runs that are still to be delivered.";
    NOTIFY_OLDEST: Gauge, "longhaul_notifications_oldest_seconds", "How long the oldest of them has waited, seconds; 0 = none waits.";
    SPANS_DROPPED: Counter, "longhaul_spans_dropped_total", "Spans of this process that could not be delivered to the collector.";
}
