//! What a seal on a request covers: how a gateway recognises its own requests when an agent brings them.
//!
//! A spool holds the whole request of its run, and a ledger that does not know the run has no other source. So the
//! gateway seals each request before it sends it: HMAC-SHA256, with a key that only gateways have, over the run, the
//! principal, the idempotency key, and [`digest`]. The digest is taken over our own encoding, because protobuf does not
//! promise an order of maps and fields:
//!
//! ```text
//! request  = item*                       in the order of field numbers; a field with its default value has no item
//! item     = field number (u32), number of parts (u32), (length (u64), bytes)*         all little-endian
//! parts    = the bytes of a text; 8 bytes of a number; one item for each value of a repeated field; one for each entry of
//!            a map (key, value), sorted by key; one for the bundle's entry and one for each of its files (path, content, and
//!            its mode if it has one); of
//!            stored code likewise (path, digest, length, mode)
//! ```
//!
//! `path`, `text`, `bundle` and `stored` have an item whenever they are set, also when they are empty. `seal` itself has none, nor
//! have `name`, `note` and `file_name`: words for people, which decide nothing. A
//! field that is added later gets an item of its own, so that requests sealed before keep their digest; an agent that
//! does not know the field drops it, and the seal no longer matches.

use std::collections::HashMap;

use crate::{
    digest::GrowingDigest,
    wire::{self, submission::Source},
};

struct Items(GrowingDigest);

impl Items {
    fn item(&mut self, field: u32, parts: &[&[u8]]) {
        self.0.update(&field.to_le_bytes());
        self.0.update(&u32::try_from(parts.len()).unwrap_or(u32::MAX).to_le_bytes());
        for part in parts {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.item(field, &[text.as_bytes()]);
        }
    }

    fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.item(field, &[&number.to_le_bytes()]);
        }
    }

    fn map(&mut self, field: u32, entries: &HashMap<String, String>) {
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort();
        for (name, value) in entries {
            self.item(field, &[name.as_bytes(), value.as_bytes()]);
        }
    }

    /// Fields 4 to 6 and 24, of which at most one is set.
    fn source(&mut self, source: Option<&Source>) {
        match source {
            None => {}
            Some(Source::Path(path)) => self.item(4, &[path.as_bytes()]),
            Some(Source::Text(text)) => self.item(5, &[text]),
            Some(Source::Bundle(wire::Bundle { files, entry })) => {
                self.item(6, &[entry.as_bytes()]);
                for wire::BundleFile { path, content, mode } in files {
                    match mode {
                        0 => self.item(6, &[path.as_bytes(), content]),
                        mode => self.item(6, &[path.as_bytes(), content, &u64::from(*mode).to_le_bytes()]),
                    }
                }
            }
            Some(Source::Stored(wire::StoredCode { files, entry })) => {
                self.item(24, &[entry.as_bytes()]);
                for wire::StoredFile { path, sha256, bytes, mode } in files {
                    let (bytes, mode) = (bytes.to_le_bytes(), u64::from(*mode).to_le_bytes());
                    self.item(24, &[path.as_bytes(), sha256.as_bytes(), &bytes, &mode]);
                }
            }
        }
    }
}

/// The digest of a whole request without its seal; the same on every side and in every version that knows its fields.
pub fn digest(submission: &wire::Submission) -> [u8; 32] {
    // Without `..`: a developer who adds a field has to decide here what it means for the seal.
    let wire::Submission {
        run_id,
        principal,
        key,
        source,
        args,
        working_dir,
        timeout_ms,
        queue_timeout_ms,
        host,
        labels,
        engine,
        project_profile,
        trace,
        code_sha256,
        client,
        created_at_ms,
        cluster_id,
        request_sha256,
        retry,
        seal: _,
        principal_issuer,
        // Words for people, which decide nothing: an agent of an earlier version may drop them.
        name: _,
        note: _,
        file_name: _,
        // Likewise; they decide only what is shown of the run, and what it may take of its host.
        no_results: _,
        cores: _,
        // Likewise: its agent looks at the first before it starts, and a gateway that imports the run shows both.
        confirmed: _,
        risks: _,
    } = submission;
    let mut items = Items(GrowingDigest::default());
    items.text(1, run_id);
    items.text(2, principal);
    items.text(3, key);
    items.source(source.as_ref());
    for arg in args {
        items.item(7, &[arg.as_bytes()]);
    }
    items.text(8, working_dir);
    items.number(9, *timeout_ms);
    items.number(10, *queue_timeout_ms);
    items.text(11, host);
    items.map(12, labels);
    items.text(13, engine);
    items.number(14, u64::from(*project_profile));
    if let Some(wire::TraceContext { traceparent, tracestate }) = trace {
        items.item(15, &[traceparent.as_bytes(), tracestate.as_bytes()]);
    }
    items.text(16, code_sha256);
    items.text(17, client);
    items.number(18, u64::from_le_bytes(created_at_ms.to_le_bytes()));
    items.text(19, cluster_id);
    items.text(20, request_sha256);
    items.number(21, u64::from_le_bytes(i64::from(*retry).to_le_bytes()));
    items.text(23, principal_issuer);
    items.0.finish().bytes()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn whole() -> wire::Submission {
        wire::Submission {
            run_id: "01a20499-184b-75e1-a314-4812878e1740".into(),
            principal: "ann".into(),
            key: "k".into(),
            source: Some(Source::Path("/a.do".into())),
            args: vec!["1".into(), "two words".into()],
            working_dir: "/w".into(),
            timeout_ms: 1,
            queue_timeout_ms: 2,
            host: "stata1".into(),
            labels: (0..20).map(|n| (format!("label{n}"), n.to_string())).collect(),
            engine: "stata".into(),
            project_profile: true,
            trace: Some(wire::TraceContext { traceparent: "00-1".into(), tracestate: "x".into() }),
            code_sha256: "c0de".into(),
            client: "claude".into(),
            created_at_ms: 5,
            cluster_id: "lab".into(),
            request_sha256: "5ea1".into(),
            retry: wire::RetryPolicy::Never.into(),
            seal: vec![],
            principal_issuer: String::new(),
            name: "nightly".into(),
            note: "n".into(),
            file_name: "a.do".into(),
            no_results: true,
            cores: 2,
            confirmed: None,
            risks: vec![],
        }
    }

    #[test]
    fn a_request_keeps_its_digest_over_the_wire_and_its_seal_is_no_part_of_it() {
        let first = digest(&whole());
        for _ in 0..20 {
            // The order of each map's entries differs.
            let sent = wire::Submission { seal: vec![7; 32], ..whole() }.encode_to_vec();
            assert_eq!(digest(&wire::Submission::decode(sent.as_slice()).unwrap()), first);
        }
    }

    /// A request that was sealed once must verify for ever.
    #[test]
    fn the_digest_is_what_it_was() {
        let hex = |submission: &wire::Submission| crate::hex(&digest(submission));
        assert_eq!(
            hex(&wire::Submission::default()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(hex(&whole()), "6af77fef98156d42d36986b94c79558a7be408119b437b4cccd16f5c2987dc45");
    }

    #[test]
    fn words_for_people_have_no_part_in_it() {
        let words = wire::Submission { name: String::new(), note: "other".into(), file_name: "b.do".into(), ..whole() };
        assert_eq!(digest(&words), digest(&whole()));
    }

    #[test]
    fn every_field_counts() {
        type Change = fn(&mut wire::Submission);
        let changes: [Change; 27] = [
            |s| s.run_id.push('x'),
            |s| s.principal = "bob".into(),
            |s| s.key.clear(),
            |s| s.source = None,
            |s| s.source = Some(Source::Text(b"/a.do".to_vec())),
            |s| s.source = Some(Source::Text(vec![])),
            |s| s.source = Some(Source::Bundle(wire::Bundle { entry: "/a.do".into(), files: vec![] })),
            |s| {
                let file = wire::BundleFile { path: "/a.do".into(), content: vec![1], mode: 0 };
                s.source = Some(Source::Bundle(wire::Bundle { entry: "/a.do".into(), files: vec![file] }));
            },
            |s| s.args = vec!["1 two words".into()],
            |s| s.args = vec!["1".into(), "two".into(), "words".into()],
            |s| s.args.clear(),
            |s| s.working_dir.clear(),
            |s| s.timeout_ms = 3,
            |s| (s.timeout_ms, s.queue_timeout_ms) = (0, 1),
            |s| s.queue_timeout_ms = 0,
            |s| s.host.clear(),
            |s| drop(s.labels.insert("label1".into(), "2".into())),
            |s| s.engine = "standin".into(),
            |s| s.project_profile = false,
            |s| s.trace = None,
            |s| s.code_sha256.clear(),
            |s| s.client.clear(),
            |s| s.created_at_ms = -5,
            |s| s.cluster_id.clear(),
            |s| s.request_sha256.clear(),
            |s| s.retry = 0,
            |s| s.principal_issuer = "idp".into(),
        ];
        let mut seen = std::collections::HashSet::from([digest(&whole())]);
        for (n, change) in changes.iter().enumerate() {
            let mut changed = whole();
            change(&mut changed);
            assert!(seen.insert(digest(&changed)), "change {n} is not seen");
        }
    }
}
