//! Runs that the kernel ended for a limit of their own.

use std::time::Duration;

use longhaul_proto::{
    state::Cause,
    words::{bytes, duration},
};

use crate::spool::Exit;

/// Words for a run that the kernel refused a process, and that ended before its supervisor looked: its code may have come to
/// its end, but not all that it names was done.
pub(super) fn refused_processes(exit: &Exit) -> Option<String> {
    let limit = exit.limits.map_or(0, |record| record.limits.processes);
    (exit.refused_processes > 0 && limit > 0).then(|| {
        format!(
            "the run wanted more processes, threads counted, than {limit} (max_run_processes), and the kernel refused them: what they \
             were to do was not done; its output is kept; the agent's owner sets this limit"
        )
    })
}

/// The cause, and words; `None` = for none of its limits.
pub(super) fn by_kernel(signal: i32, exit: &Exit) -> Option<(Cause, String)> {
    /// SIGXCPU.
    const PROCESSOR: i32 = 24;
    let record = exit.limits?;
    let owner = "the agent's owner sets this limit";
    if exit.out_of_memory && signal == 9 && record.memory_by_kernel && record.limits.memory > 0 {
        let limit = bytes(record.limits.memory);
        let words = format!(
            "the run needed more memory than the {limit} that it may have (max_run_memory), and the kernel ended it; its output \
             up to then is kept; {owner}"
        );
        return Some((Cause::OutOfMemory, words));
    }
    (signal == PROCESSOR && record.limits.cpu_ms > 0).then(|| {
        let limit = duration(Duration::from_millis(record.limits.cpu_ms).as_secs_f64());
        let words = format!(
            "the run took more processor time than the {limit} that it may take (max_run_cpu), and the kernel ended it; {owner}"
        );
        (Cause::OverLimit, words)
    })
}
