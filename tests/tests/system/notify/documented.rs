//! The page says how a signature is verified, and its example does it.

use std::process::Stdio;

use longhaul_tests::{lab, need};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{Receiver, allowing, secret, submit, up};

/// What comes after the example: it is called with a webhook as it came, and with forged ones.
const CALLS: &str = r#"
import json, sys
call = json.load(sys.stdin)
message = verify(call["secret"], call["headers"], call["body"].encode())
assert message["data"]["state"] == "succeeded", message
forged = [
    (call["headers"], call["body"].replace("succeeded", "failed")),
    ({**call["headers"], "webhook-id": "end_other"}, call["body"]),
    ({**call["headers"], "webhook-timestamp": "1"}, call["body"]),
    ({**call["headers"], "webhook-signature": "v1,AAAA"}, call["body"]),
]
for headers, body in forged:
    try:
        verify(call["secret"], headers, body.encode())
    except ValueError:
        continue
    sys.exit("a forged webhook was verified")
print("verified")
"#;

#[tokio::test]
async fn the_example_of_the_page_verifies_webhooks() {
    let Some(python) = need::python_sdk() else { return };
    let page = include_str!("../../../../docs/notifications.md");
    let (_, rest) = page.split_once("```python\n").expect("an example");
    let (example, _) = rest.split_once("```").unwrap();
    let mut lab = lab!();
    let receiver = Receiver::answering("200 OK").await;
    allowing(&mut lab, &[receiver.url("")]);
    let gateway = up(&lab).await;
    let secret = secret(&gateway.api, false).await;
    submit(&gateway.api, "display 1", &[receiver.url("/")]).await;
    let got = receiver.wait(1).await.remove(0);
    // The page's table has every field that is told.
    for field in got.json()["data"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("| `{field}` |")), "{field}");
    }
    let script = lab.file("verify.py", format!("{example}\n{CALLS}"));
    let headers: serde_json::Map<_, _> = got.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut command = tokio::process::Command::new(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let call = json!({"secret": secret, "headers": headers, "body": got.body});
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(call.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let done = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("verified"), "{said}");
}
