//! The protocol only grows. `longhaul/v1/golden.txt` lists every field, value and method that was ever given out; this
//! test holds the `.proto` files of today against it.
//!
//! A break is: a method, message, enum, field or value that is gone; a number that means another name, type,
//! cardinality or `oneof`; a method with other messages. Everything else is growth, which an older peer skips.
//!
//! To accept growth: `LONGHAUL_REGENERATE=1 cargo test -p longhaul-proto`. To accept an intended break: raise
//! `PROTOCOL` in `src/lib.rs` first, read `src/version.rs` on what older peers are then owed, and do the same; the list
//! is not written anew over a break under the same number.

use std::{collections::BTreeMap, fs, path::Path};

use longhaul_proto::PROTOCOL;
use protox::prost_reflect::{Cardinality, DescriptorPool, Kind};

const FILES: [&str; 3] = ["run", "agent", "fleet"];

/// What must stay: `field longhaul.v1.Chunk 2` -> `offset uint64`.
type Listing = BTreeMap<String, String>;

fn listing(root: &Path) -> Listing {
    let names = FILES.map(|n| format!("longhaul/v1/{n}.proto"));
    let files = protox::compile(names, [root]).expect("the .proto files compile");
    let pool = DescriptorPool::from_file_descriptor_set(files).expect("a descriptor pool");
    let mut all = Listing::new();
    for message in pool.all_messages() {
        let name = message.full_name();
        all.insert(format!("message {name}"), String::new());
        for field in message.fields() {
            let kind = match field.kind() {
                Kind::Message(m) => m.full_name().to_owned(),
                Kind::Enum(e) => e.full_name().to_owned(),
                scalar => format!("{scalar:?}").to_lowercase(),
            };
            let many = match field.cardinality() {
                Cardinality::Repeated => "repeated ",
                Cardinality::Required => "required ",
                Cardinality::Optional if field.field_descriptor_proto().proto3_optional() => "optional ",
                Cardinality::Optional => "",
            };
            let oneof = field.containing_oneof().filter(|o| !o.is_synthetic());
            let oneof = oneof.map(|o| format!(" in {}", o.name())).unwrap_or_default();
            all.insert(format!("field {name} {}", field.number()), format!("{} {many}{kind}{oneof}", field.name()));
        }
    }
    for kind in pool.all_enums() {
        all.insert(format!("enum {}", kind.full_name()), String::new());
        for value in kind.values() {
            all.insert(format!("value {} {}", kind.full_name(), value.number()), value.name().to_owned());
        }
    }
    for service in pool.services() {
        for method in service.methods() {
            let stream = |yes| if yes { "stream " } else { "" };
            let (from, to) = (method.input(), method.output());
            let text = format!(
                "{}{} -> {}{}",
                stream(method.is_client_streaming()),
                from.full_name(),
                stream(method.is_server_streaming()),
                to.full_name()
            );
            all.insert(format!("method {}", method.full_name()), text);
        }
    }
    all
}

fn breaks(golden: &Listing, now: &Listing) -> Vec<String> {
    let of = |(what, was): (&String, &String)| match now.get(what) {
        None => Some(format!("{what} ({was}) is gone")),
        Some(is) if is != was => Some(format!("{what} was `{was}` and is `{is}`")),
        Some(_) => None,
    };
    golden.iter().filter_map(of).collect()
}

fn write(listing: &Listing) -> String {
    let lines = listing.iter().map(|(what, is)| format!("{what}: {is}").trim_end().to_owned() + "\n");
    format!("protocol {PROTOCOL}\n") + &lines.collect::<String>()
}

fn read(text: &str) -> (u32, Listing) {
    let (first, rest) = text.split_once('\n').unwrap_or_default();
    let protocol = first.strip_prefix("protocol ").and_then(|n| n.parse().ok()).unwrap_or_default();
    let pair = |line: &str| line.split_once(':').map(|(what, is)| (what.to_owned(), is.trim().to_owned()));
    (protocol, rest.lines().filter_map(pair).collect())
}

#[test]
fn the_protocol_only_grows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("longhaul/v1/golden.txt");
    let now = listing(root);
    let (protocol, golden) = read(&fs::read_to_string(&path).unwrap_or_default());
    let broken = breaks(&golden, &now);
    let intended = PROTOCOL > protocol;
    assert!(
        broken.is_empty() || intended,
        "peers of protocol {protocol} would misread this:\n  {}\nGive new things new numbers and keep the old ones; the head of \
         this file says how to take in an intended break.",
        broken.join("\n  ")
    );
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        fs::write(&path, write(&now)).expect("the list is writable");
        return;
    }
    assert!(golden.len() > 100, "the list is there: {}", golden.len());
    assert!(
        golden == now && protocol == PROTOCOL,
        "the protocol has grown: LONGHAUL_REGENERATE=1 cargo test -p longhaul-proto writes it down, so that it stays"
    );
}

/// File, text, its replacement, the complaints expected; none = growth.
const EDITS: [(&str, &str, &str, &[&str]); 14] = [
    ("run", "  uint64 log_len = 9;\n", "", &["field longhaul.v1.Outcome 9 (log_len uint64) is gone"]),
    ("run", "uint64 log_len = 9;", "uint64 log_len = 99;", &["field longhaul.v1.Outcome 9 (log_len uint64) is gone"]),
    ("run", "uint64 log_len = 9;", "int64 log_len = 9;", &["was `log_len uint64` and is `log_len int64`"]),
    ("run", "uint64 log_len = 9;", "string title = 9;", &["was `log_len uint64` and is `title string`"]),
    ("run", "uint64 log_len = 9;", "repeated uint64 log_len = 9;", &["is `log_len repeated uint64`"]),
    ("run", "optional int64 rc = 3;", "int64 rc = 3;", &["was `rc optional int64` and is `rc int64`"]),
    ("run", "  CAUSE_KILLED = 11; ", "  CAUSE_ENDED = 11; ", &["was `CAUSE_KILLED` and is `CAUSE_ENDED`"]),
    ("run", "  CAUSE_OVER_LIMIT = 25;", "", &["value longhaul.v1.Cause 25 (CAUSE_OVER_LIMIT) is gone"]),
    (
        "fleet",
        "  uint32 heartbeat_ms = 3; ",
        "  Verdict heartbeat_ms = 3; ",
        &["is `heartbeat_ms longhaul.v1.Verdict`"],
    ),
    ("agent", "rpc Revoke(RevokeRequest)", "rpc Retract(RevokeRequest)", &["method longhaul.v1.Agent.Revoke"]),
    (
        "agent",
        "returns (stream RunEvent)",
        "returns (RunEvent)",
        &["method longhaul.v1.Agent.Run", "-> longhaul.v1.RunEvent`"],
    ),
    ("agent", "message DescribeRequest {}", "message DescribeRequest { string why = 1; }", &[]),
    ("run", "  CAUSE_OVER_LIMIT = 25;", "  CAUSE_OVER_LIMIT = 25;\n  CAUSE_LATER = 999;", &[]),
    ("fleet", "service Fleet {", "service Fleet {\n  rpc Leave(HeartbeatRequest) returns (HeartbeatReply);", &[]),
];

#[test]
fn a_break_is_told_from_growth() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let before = listing(root);
    for (file, from, to, said) in EDITS {
        let folder = tempfile::tempdir().expect("a temp folder");
        fs::create_dir_all(folder.path().join("longhaul/v1")).expect("its folders");
        for name in FILES {
            let mut text = fs::read_to_string(root.join(format!("longhaul/v1/{name}.proto"))).expect("a .proto file");
            if name == file {
                assert!(text.contains(from), "{from:?} is in {file}.proto");
                text = text.replacen(from, to, 1);
            }
            fs::write(folder.path().join(format!("longhaul/v1/{name}.proto")), text).expect("a copy");
        }
        let after = listing(folder.path());
        assert_ne!(before, after, "{from:?} -> {to:?} is seen");
        let found = breaks(&before, &after).join("\n");
        assert_eq!(found.is_empty(), said.is_empty(), "{from:?} -> {to:?}: {found}");
        for words in said {
            assert!(found.contains(words), "{from:?} -> {to:?}: {words:?} is missing: {found}");
        }
    }
    let (protocol, again) = read(&write(&before));
    assert_eq!((protocol, again), (PROTOCOL, before), "the list reads as it was written");
}
