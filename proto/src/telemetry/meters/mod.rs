//! The numbers of a gateway or an agent: OpenTelemetry's meters, read in Prometheus' text format when they are asked for, and
//! sent by OTLP where an endpoint is set.
//!
//! What is counted often is an atomic that is read when they are asked for ([`Meters::observe`]); only durations and the few
//! counters with labels of their own are instruments that are called ([`Meters::histogram`], [`Meters::counter`]).
//! Asking costs what there is now, never what there was.
//!
//! Each number is declared once ([`Declared`]), under the name that Prometheus shows. By OTLP it has the same one with
//! `longhaul.` in front and without the endings for unit and kind, as OpenTelemetry has it.

mod process;
mod push;

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider},
};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};

use crate::faults;
pub use process::PROCESS;
pub use push::{Push, push_every};

/// Upper bounds of times that are waited for inside the system, seconds: from a millisecond to a minute.
pub const SHORT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0, 60.0];

/// Upper bounds of times that people wait, seconds: from a millisecond to a week, for queues and runs last that long.
pub const LONG: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 43_200.0,
    86_400.0, 259_200.0, 604_800.0,
];

/// Upper bounds of amounts of memory: from 16 MiB to 1 TiB.
pub const MEMORY: &[f64] = &[
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
    17_179_869_184.0,
    68_719_476_736.0,
    274_877_906_944.0,
    1_099_511_627_776.0,
];

/// Upper bounds of how many go together: from one to 256.
pub const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instrument {
    /// It only grows, from the start of the process.
    Counter,
    /// What there is now.
    Gauge,
    /// How many values lie below each of these bounds.
    Histogram(&'static [f64]),
}

/// One declared number.
#[derive(Debug)]
pub struct Declared {
    /// Its name in Prometheus' text: ends with `_total` for a counter, and with the unit where it has one.
    pub name: &'static str,
    /// What it is.
    pub kind: Instrument,
    /// What is measured, for people.
    pub help: &'static str,
}

/// Endings of names, and the units for which they stand.
const UNITS: [(&str, &str); 2] = [("_seconds", "s"), ("_bytes", "By")];

impl Declared {
    /// The name without kind and unit, as OpenTelemetry has it, and the unit.
    fn instrument(&self) -> (String, &'static str) {
        let name = match self.kind {
            Instrument::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            _ => self.name,
        };
        let with_unit = UNITS.iter().find_map(|(ending, unit)| Some((name.strip_suffix(ending)?, *unit)));
        let (name, unit) = with_unit.unwrap_or((name, ""));
        let of = |part: &str| name.strip_prefix(&format!("{part}_")).map(|rest| format!("{part}.{rest}"));
        (of("longhaul").or_else(|| of("process")).unwrap_or_else(|| name.to_owned()), unit)
    }
}

/// Declares numbers, and the list of all of them.
///
/// `NAME: Instrument, "name", "help";`
#[macro_export]
macro_rules! declare_numbers {
    ($(#[$all:meta])* $list:ident; $($id:ident: $kind:expr, $name:literal, $help:literal;)+) => {
        $(
            #[doc = $help]
            #[allow(unreachable_pub)] // some lists are for their own crate
            pub static $id: $crate::telemetry::Declared =
                $crate::telemetry::Declared { name: $name, kind: $kind, help: $help };
        )+
        $(#[$all])*
        #[allow(unreachable_pub)]
        pub static $list: &[&$crate::telemetry::Declared] = &[$(&$id),+];
    };
}

/// Takes values of a number with their labels.
pub type Observer<'a> = dyn FnMut(f64, &[(&'static str, &str)]) + 'a;

/// How long a stop waits for a collector that takes the last numbers.
const LAST: Duration = Duration::from_millis(500);

/// Where the numbers of one gateway or agent come together. Cheap to clone.
#[derive(Clone)]
pub struct Meters(Arc<Inner>);

struct Inner {
    registry: Registry,
    provider: SdkMeterProvider,
    meter: Meter,
    pushes: bool,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").field("pushes", &self.0.pushes).finish_non_exhaustive()
    }
}

impl Meters {
    /// The meters of the part that is called `service`, such as `longhaul-gateway`; `instance` names this one. Where `push`
    /// says so they are sent by OTLP too; trouble with that is logged and stops nothing. Inside a tokio runtime.
    pub fn new(service: &'static str, instance: &str, push: &Push) -> Self {
        let registry = Registry::new();
        let mut builder = SdkMeterProvider::builder().with_resource(super::resource(service, instance));
        // It fails for a registry only that has another of its kind.
        if let Ok(text) = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
        {
            builder = builder.with_reader(text);
        }
        let exporter = push::exporter(push).unwrap_or_else(|error| {
            tracing::warn!("metrics are not sent: {error}");
            None
        });
        let pushes = exporter.is_some();
        if let Some(exporter) = exporter {
            builder = builder.with_reader(PeriodicReader::builder(exporter).build());
        }
        let provider = builder.build();
        let meter = provider.meter("longhaul");
        Self(Arc::new(Inner { registry, provider, meter, pushes }))
    }

    /// Whether they are sent by OTLP.
    pub fn pushes(&self) -> bool {
        self.0.pushes
    }

    /// Shows a number that is kept elsewhere: `read` is called each time they are asked for, and must not wait for anything. A
    /// series of which it says nothing is gone.
    pub fn observe(&self, declared: &'static Declared, read: impl Fn(&mut Observer<'_>) + Send + Sync + 'static) {
        let (name, unit) = declared.instrument();
        macro_rules! build {
            ($builder:ident) => {
                drop(
                    self.0
                        .meter
                        .$builder(name)
                        .with_unit(unit)
                        .with_description(declared.help)
                        .with_callback(move |observer| {
                            if unrecorded() {
                                return;
                            }
                            read(&mut |value, labels| {
                                let labels: Vec<KeyValue> =
                                    labels.iter().map(|(key, text)| KeyValue::new(*key, (*text).to_owned())).collect();
                                observer.observe(value, &labels);
                            });
                        })
                        .build(),
                )
            };
        }
        match declared.kind {
            Instrument::Counter => build!(f64_observable_counter),
            // An up-down counter and no gauge: the library repeats the last value of a gauge for ever, also of a host that
            // was forgotten.
            _ => build!(f64_observable_up_down_counter),
        }
    }

    /// A counter that is called, with one series from the start for each of these labels.
    pub fn counter(&self, declared: &'static Declared, starts_with: &[&[(&'static str, &'static str)]]) -> Counter {
        let (name, unit) = declared.instrument();
        let counter = self.0.meter.u64_counter(name).with_unit(unit).with_description(declared.help).build();
        let counter = Counter(counter);
        starts_with.iter().for_each(|labels| counter.add(0, labels));
        counter
    }

    /// A histogram.
    pub fn histogram(&self, declared: &'static Declared) -> Histogram {
        let (name, unit) = declared.instrument();
        let bounds = match declared.kind {
            Instrument::Histogram(bounds) => bounds.to_vec(),
            _ => Vec::new(),
        };
        let builder = self.0.meter.f64_histogram(name).with_unit(unit).with_description(declared.help);
        Histogram(builder.with_boundaries(bounds).build())
    }

    /// What version this is, under the name of `declared`.
    pub fn build_info(&self, declared: &'static Declared, part: &'static str) {
        self.observe(declared, move |told| told(1.0, &[("part", part), ("version", env!("CARGO_PKG_VERSION"))]));
    }

    /// The numbers of this process, [`PROCESS`].
    pub fn process(&self) {
        process::register(self);
    }

    /// All numbers in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.registry.gather()).unwrap_or_default()
    }

    /// Sends the last numbers, for at most half a second. Whether they were sent in time.
    pub async fn shutdown(&self) -> bool {
        if !self.0.pushes {
            return true;
        }
        let provider = self.0.provider.clone();
        let sent = crate::tasks::blocking(move || provider.shutdown_with_timeout(LAST).is_ok());
        matches!(tokio::time::timeout(LAST, sent).await, Ok(Ok(true)))
    }
}

impl Default for Meters {
    /// Meters that are read and never sent.
    fn default() -> Self {
        Self::new("longhaul", "", &Push::default())
    }
}

/// For tests: nothing is recorded or shown.
fn unrecorded() -> bool {
    faults::bug("metrics_unrecorded")
}

/// A counter with labels. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counter(opentelemetry::metrics::Counter<u64>);

impl Counter {
    /// Adds so many. Values of labels are words from a fixed list.
    pub fn add(&self, n: u64, labels: &[(&'static str, &'static str)]) {
        match labels {
            _ if unrecorded() => {}
            // Without a list on the heap.
            [] => self.0.add(n, &[]),
            [(a, b)] => self.0.add(n, &[KeyValue::new(*a, *b)]),
            [(a, b), (c, d)] => self.0.add(n, &[KeyValue::new(*a, *b), KeyValue::new(*c, *d)]),
            labels => self.0.add(n, &labels.iter().map(|(k, v)| KeyValue::new(*k, *v)).collect::<Vec<_>>()),
        }
    }

    /// Adds one, where a label's value is text that others have bounded.
    pub fn one(&self, labels: Vec<KeyValue>) {
        if !unrecorded() {
            self.0.add(1, &labels);
        }
    }
}

/// A histogram. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Histogram(opentelemetry::metrics::Histogram<f64>);

impl Histogram {
    /// Records a duration.
    pub fn record(&self, took: Duration) {
        self.value(took.as_secs_f64(), &[]);
    }

    /// Records a value.
    pub fn value(&self, value: f64, labels: &[(&'static str, &'static str)]) {
        match labels {
            _ if unrecorded() => {}
            [] => self.0.record(value, &[]),
            labels => self.0.record(value, &labels.iter().map(|(k, v)| KeyValue::new(*k, *v)).collect::<Vec<_>>()),
        }
    }

    /// Records a value, where a label's value is text that others have bounded.
    pub fn of(&self, value: f64, labels: &[KeyValue]) {
        if !unrecorded() {
            self.0.record(value, labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    declare_numbers! {
        /// All.
        ALL;
        DONE: Instrument::Counter, "longhaul_test_done_total", "How many are done.";
        READ: Instrument::Counter, "longhaul_test_read_bytes_total", "How much was read.";
        HOSTS: Instrument::Gauge, "longhaul_test_host_up", "Which hosts are up.";
        TOOK: Instrument::Histogram(SHORT), "longhaul_test_took_seconds", "How long it took.";
    }

    #[test]
    fn numbers_keep_their_names_and_what_is_not_told_is_gone() {
        let meters = Meters::default();
        let hosts = Arc::new(std::sync::Mutex::new(vec!["a\"b", "c"]));
        let shown = hosts.clone();
        meters.observe(&HOSTS, move |told| shown.lock().unwrap().iter().for_each(|host| told(1.0, &[("host", host)])));
        meters.observe(&READ, |told| told(5_000_000_000.0, &[]));
        let done = meters.counter(&DONE, &[&[("kind", "never")]]);
        done.add(2, &[("kind", "once")]);
        let took = meters.histogram(&TOOK);
        took.record(Duration::from_millis(3));
        took.record(Duration::from_secs(100));
        meters.build_info(&HOSTS_INFO, "test");
        meters.process();
        let text = meters.text();
        for line in [
            "# HELP longhaul_test_done_total How many are done.\n# TYPE longhaul_test_done_total counter\n",
            "longhaul_test_done_total{kind=\"never\"} 0\n",
            "longhaul_test_done_total{kind=\"once\"} 2\n",
            "longhaul_test_read_bytes_total 5000000000\n",
            "longhaul_test_host_up{host=\"a\\\"b\"} 1\n",
            "# TYPE longhaul_test_host_up gauge\n",
            "longhaul_test_took_seconds_bucket{le=\"0.0025\"} 0\n",
            "longhaul_test_took_seconds_bucket{le=\"0.005\"} 1\n",
            "longhaul_test_took_seconds_bucket{le=\"+Inf\"} 2\n",
            "longhaul_test_took_seconds_sum 100.003\n",
            "longhaul_test_info{part=\"test\",version=",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        for declared in ALL.iter().chain(PROCESS) {
            assert!(text.contains(&format!("# TYPE {} ", declared.name)), "{}: {text}", declared.name);
        }
        hosts.lock().unwrap().clear();
        let later = meters.text();
        assert!(!later.contains("host=") && later.contains("longhaul_test_done_total{kind=\"once\"} 2\n"), "{later}");
    }

    static HOSTS_INFO: Declared =
        Declared { name: "longhaul_test_info", kind: Instrument::Gauge, help: "Which this is." };
}
