//! The numbers of this process, under the names that Prometheus' own libraries give them. They are read from `/proc`
//! when they are asked for; where there is none, they are left out.

use std::fs;

use super::{Declared, Instrument, Meters};

crate::declare_numbers! {
    /// The numbers of a process.
    PROCESS;
    CPU: Instrument::Counter, "process_cpu_seconds_total", "Processor time that this process took, user and system, seconds.";
    RESIDENT: Instrument::Gauge, "process_resident_memory_bytes", "Memory of this process that is in RAM, bytes.";
    VIRTUAL: Instrument::Gauge, "process_virtual_memory_bytes", "Address space of this process, bytes.";
    START: Instrument::Gauge, "process_start_time_seconds", "When this process started, Unix seconds.";
    OPEN: Instrument::Gauge, "process_open_fds", "File descriptors that this process has open.";
    MOST: Instrument::Gauge, "process_max_fds", "File descriptors that this process may have open.";
}

/// The fields of `/proc/self/stat` after the name of the program, which may hold blanks; the first is field 3 of proc(5).
fn stat() -> Option<Vec<f64>> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(|field| field.trim().parse().unwrap_or_default()).collect())
}

/// Field `number` of proc(5).
fn field(number: usize) -> Option<f64> {
    stat()?.get(number - 3).copied()
}

fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second().max(1) as f64
}

/// When the machine started, Unix seconds.
fn boot() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

fn open_files() -> Option<f64> {
    // The folder itself is open while it is read.
    Some((fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)) as f64)
}

fn most_files() -> Option<f64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map(|limit| limit as f64)
}

pub(super) fn register(meters: &Meters) {
    let single = |declared: &'static Declared, read: fn() -> Option<f64>| {
        meters.observe(declared, move |told| {
            if let Some(value) = read() {
                told(value, &[]);
            }
        });
    };
    single(&CPU, || Some((field(14)? + field(15)?) / ticks()));
    single(&RESIDENT, || Some(field(24)? * rustix::param::page_size() as f64));
    single(&VIRTUAL, || field(23));
    single(&START, || Some(boot()? + field(22)? / ticks()));
    single(&OPEN, open_files);
    single(&MOST, most_files);
}
