//! A real collector, and the spans that it prints.

use std::path::Path;

use longhaul_tests::{collector, lab::Lab, wait};

/// A collector as a real process, for one protocol of OTLP.
pub(super) struct Collector(collector::Collector);

pub(super) use longhaul_tests::port::free_port;

/// Makes daemons and commands send their spans to this port, soon.
pub(super) fn send_to(lab: &mut Lab, port: u16, protocol: &str) {
    lab.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"));
    lab.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).env("OTEL_BSP_SCHEDULE_DELAY", "100");
}

impl Collector {
    /// Listens on `port` for `grpc` or `http/protobuf`.
    pub(super) async fn start(lab: &Lab, program: &Path, port: u16, protocol: &str) -> Self {
        Self(collector::Collector::start(lab, program, port, protocol, "traces").await)
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.0.port()
    }

    /// The spans of a trace that it has printed so far.
    pub(super) fn trace(&self, id: &str) -> Vec<Span> {
        read(&self.0.printed()).into_iter().filter(|span| span.trace == id).collect()
    }

    /// The spans of a trace, once these names are among them.
    pub(super) async fn wait(&self, id: &str, names: &[&str]) -> Vec<Span> {
        let missing = |spans: &[Span]| -> Vec<String> {
            names.iter().filter(|name| !spans.iter().any(|s| s.name == **name)).map(|name| (*name).to_owned()).collect()
        };
        let mut last = Vec::new();
        for _ in 0..1500 {
            last = self.trace(id);
            if missing(&last).is_empty() {
                return last;
            }
            tokio::time::sleep(wait::POLL).await;
        }
        panic!("{:?} do not come: {last:#?}", missing(&last));
    }
}

/// A span as the collector prints it.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub(super) service: String,
    pub(super) resource: Vec<String>,
    pub(super) trace: String,
    pub(super) state: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) message: String,
    /// Unix nanoseconds.
    pub(super) times: (u64, u64),
    /// `name: Type(value)`.
    pub(super) attributes: Vec<String>,
    /// Names, and after each its attributes.
    pub(super) events: Vec<String>,
    /// Traces and spans.
    pub(super) links: Vec<String>,
}

impl Span {
    pub(super) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|a| a == attribute)
    }

    pub(super) fn names(&self, name: &str) -> bool {
        self.attributes.iter().any(|a| a.starts_with(&format!("{name}:")))
    }
}

/// The one span of that name.
pub(super) fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|s| s.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

#[derive(PartialEq)]
enum Part {
    Resource,
    Span,
    Events,
    Links,
}

fn read(printed: &str) -> Vec<Span> {
    let (mut spans, mut resource, mut part): (Vec<Span>, Vec<String>, _) = (Vec::new(), Vec::new(), Part::Resource);
    for line in printed.lines().map(str::trim) {
        let field = |name: &str| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(|v| v.trim().to_owned());
        if line.starts_with("ResourceSpans #") {
            (resource, part) = (Vec::new(), Part::Resource);
        } else if line.starts_with("Span #") {
            let service = resource.iter().find_map(|a| a.strip_prefix("service.name: Str(")).unwrap_or_default();
            let service = service.trim_end_matches(')').to_owned();
            spans.push(Span { service, resource: resource.clone(), ..Span::default() });
            part = Part::Span;
        } else if let Some(attribute) = line.strip_prefix("-> ") {
            match (&part, spans.last_mut()) {
                (Part::Resource, _) => resource.push(attribute.to_owned()),
                (Part::Span, Some(span)) => span.attributes.push(attribute.to_owned()),
                (Part::Events, Some(span)) => span.events.push(attribute.to_owned()),
                (Part::Links, Some(span)) => span.links.push(attribute.to_owned()),
                _ => {}
            }
        } else if line == "Events:" {
            part = Part::Events;
        } else if line == "Links:" {
            part = Part::Links;
        } else if let (Part::Span, Some(span)) = (&part, spans.last_mut()) {
            let take = |name: &str, to: &mut String| {
                if let Some(value) = field(name) {
                    *to = value;
                }
            };
            take("Trace ID", &mut span.trace);
            take("Parent ID", &mut span.parent);
            take("ID", &mut span.id);
            take("Name", &mut span.name);
            take("Kind", &mut span.kind);
            take("TraceState", &mut span.state);
            take("Status code", &mut span.status);
            take("Status message", &mut span.message);
            let time = |name: &str| field(name).and_then(|v| v.parse().ok());
            span.times = (time("Start time").unwrap_or(span.times.0), time("End time").unwrap_or(span.times.1));
        }
    }
    spans
}
