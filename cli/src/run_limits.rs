//! What one run may use of its host, from the settings.

use longhaul_agent::RunLimits;

use crate::{
    config::{Settings, Time},
    context::Failure,
};

/// The limits of an agent's runs.
///
/// # Errors
/// When one is so low that no run could start.
pub(crate) fn of(s: &Settings) -> Result<RunLimits, Failure> {
    /// Less than this no Stata starts with, bytes.
    const MEMORY: u64 = 16 << 20;
    /// Stata, a shell and what that starts.
    const PROCESSES: u32 = 8;
    let (memory, processes) = (s.max_run_memory.map_or(0, |b| b.0), s.max_run_processes.unwrap_or(0));
    if memory > 0 && memory < MEMORY {
        return Err(Failure::usage(format!(
            "max_run_memory of {memory} bytes is less than any Stata needs: give at least 16MiB, such as 4GiB, or 0 for no limit"
        )));
    }
    if processes > 0 && processes < PROCESSES {
        return Err(Failure::usage(format!(
            "max_run_processes of {processes} is less than a run needs, whose threads count too: give at least {PROCESSES}, or 0 \
             for no limit"
        )));
    }
    let millis = |time: Option<Time>| time.map_or(0, |t| u64::try_from(t.0.as_millis()).unwrap_or(u64::MAX));
    Ok(RunLimits {
        memory,
        processes: processes.into(),
        cpu_ms: millis(s.max_run_cpu),
        time_ms: millis(s.max_run_time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bytes;

    #[test]
    fn a_limit_below_what_any_run_needs_is_refused() {
        let memory = |n| Settings { max_run_memory: Some(Bytes(n)), ..Settings::default() };
        let processes = |n| Settings { max_run_processes: Some(n), ..Settings::default() };
        assert_eq!(of(&memory(0)).unwrap(), RunLimits::default());
        assert_eq!(of(&memory(1 << 30)).unwrap().memory, 1 << 30);
        assert_eq!(of(&processes(64)).unwrap().processes, 64);
        for (settings, name) in [(memory(4), "max_run_memory of 4 bytes"), (processes(2), "max_run_processes of 2")] {
            let error = of(&settings).unwrap_err();
            assert!(error.message.contains(name) && error.message.contains("at least"), "{error}");
        }
    }
}
