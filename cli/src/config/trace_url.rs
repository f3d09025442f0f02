//! Where people read a trace.

use longhaul_proto::telemetry::TRACE_ID;

use super::values::{Given, Url, Value};

/// A URL with a place for a trace's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceUrl(pub(crate) String);

impl Value for TraceUrl {
    fn read(given: Given) -> Result<Self, String> {
        let expected = || format!("expected a URL with {TRACE_ID} in it, such as https://grafana.lab/trace/{TRACE_ID}");
        let Given::Text(text) = given else { return Err(expected()) };
        let text = text.trim();
        let url = text.replace(TRACE_ID, "0").parse::<Url>();
        if url.is_ok() && text.contains(TRACE_ID) { Ok(Self(text.to_owned())) } else { Err(expected()) }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_its_place_in_a_url() {
        let read = |text: &str| TraceUrl::read(Given::Text(text.to_owned()));
        let url = "https://grafana.lab/trace/{trace_id}?org=1";
        assert_eq!(read(url).unwrap().show(), url);
        for wrong in ["https://grafana.lab/trace", "grafana.lab/{trace_id}", ""] {
            assert!(read(wrong).unwrap_err().contains("{trace_id}"), "{wrong}");
        }
    }
}
