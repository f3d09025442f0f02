//! The queue of spans that wait to be sent: bounded, never waited for, and what finds no room is counted.
//!
//! The library's own processor drops what finds no room too, and does not say how much. So spans are counted in and out
//! here, and beyond the bound none reaches it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanProcessor},
};

use super::{export::ReportingExporter, live, variable};
use crate::faults;

/// Spans that may wait to be sent where no variable says so, as the OpenTelemetry specification has it.
const MOST: usize = 2048;

static SENT: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Spans of this process that a collector has taken.
pub fn spans_sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

/// Spans of this process that were dropped: the collector did not take them, or too many waited for it.
pub fn spans_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

pub(super) fn sent(spans: usize) {
    SENT.fetch_add(spans as u64, Ordering::Relaxed);
}

pub(super) fn dropped(spans: usize) {
    DROPPED.fetch_add(spans as u64, Ordering::Relaxed);
}

/// Spans that wait.
pub(super) type Waiting = Arc<AtomicUsize>;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    processor: BatchSpanProcessor,
    waiting: Waiting,
    most: usize,
}

impl Queue {
    pub(super) fn new(exporter: ReportingExporter) -> Self {
        let given = variable("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|most| most.trim().parse().ok());
        let most = given.filter(|most| *most > 0).unwrap_or(MOST);
        let waiting = exporter.waiting.clone();
        let config = BatchConfigBuilder::default().with_max_queue_size(most).build();
        Self { processor: BatchSpanProcessor::builder(exporter).with_batch_config(config).build(), waiting, most }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return dropped(1);
        }
        self.processor.on_end(if super::details() { span } else { live::stripped(span) });
        if faults::bug("spans_awaited") {
            // The control: what ends a span waits until the collector has it.
            let _ = self.processor.force_flush();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}
