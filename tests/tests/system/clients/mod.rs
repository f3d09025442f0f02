//! Third-party clients ([`sdks`]), clients without HTTP ([`bridge`]), and what is written into clients' configuration.

mod bridge;
mod configured;
mod sdks;

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
};
use serde_json::Value;

async fn pair(lab: &mut Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    (gateway, agent)
}

async fn mcp<S: AsRef<OsStr>>(lab: &Lab, args: impl IntoIterator<Item = S>) -> longhaul_tests::lab::Ran {
    let args = args.into_iter().map(|a| a.as_ref().to_owned());
    lab.run([OsStr::new("mcp").to_owned()].into_iter().chain(args)).await
}

#[tokio::test]
async fn configuration_is_printed_for_each_client_and_installed_once() {
    let mut lab = lab!();
    lab.env("LONGHAUL_GATEWAY", "https://gw.lab:7447").env("LONGHAUL_TOKEN", "lh_secret");
    for client in ["claude", "claude-desktop", "cursor", "vscode", "windsurf", "json"] {
        let ran = mcp(&lab, ["print", "--client", client]).await;
        assert_eq!(ran.status, 0, "{ran:#?}");
        let printed: Value = serde_json::from_str(&ran.out).unwrap();
        let text = printed.to_string();
        assert!(text.contains("https://gw.lab:7447") && text.contains("lh_secret"), "{client}: {text}");
    }

    // The user's existing file, reached by a symbolic link, keeps everything but the one entry.
    let foreign =
        "{\n  \"zeta\": 1.0,\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\"}\n  },\n  \"alpha\": []\n}\n";
    let real = lab.path().join("claude-real.json");
    fs::write(&real, foreign).unwrap();
    symlink(&real, lab.path().join("home/.claude.json")).unwrap();
    let dry = mcp(&lab, ["install", "--client", "claude", "--user", "--dry-run"]).await;
    assert!(dry.status == 0 && dry.out.contains("+    \"longhaul\": {"), "{dry:#?}");
    assert_eq!(fs::read_to_string(&real).unwrap(), foreign, "a dry run writes nothing");
    for words in ["has the entry", "already"] {
        let ran = mcp(&lab, ["install", "--client", "claude", "--user"]).await;
        assert!(ran.status == 0 && ran.err.contains(words), "{ran:#?}");
    }
    let text = fs::read_to_string(&real).unwrap();
    let own = text.find(",\n    \"longhaul\"").unwrap();
    let end = text.find("\n  },\n  \"alpha\"").unwrap();
    assert_eq!(format!("{}{}", &text[..own], &text[end..]), foreign, "all else is as it was: {text}");
    assert!(fs::symlink_metadata(lab.path().join("home/.claude.json")).unwrap().is_symlink());
    let url = &serde_json::from_str::<Value>(&text).unwrap()["mcpServers"]["longhaul"]["url"];
    assert_eq!(url, "https://gw.lab:7447/mcp");

    // A project's file is made, for the owner alone, and one that is not JSON is left alone.
    let project: PathBuf = lab.work().join(".mcp.json");
    let ran = mcp(&lab, ["install", "--client", "claude", "--token-from-env"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let text = fs::read_to_string(&project).unwrap();
    assert!(text.contains("Bearer ${LONGHAUL_TOKEN}") && !text.contains("lh_secret"), "{text}");
    assert_eq!(fs::metadata(&project).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&project, "{\"mcpServers\": {},}").unwrap();
    let ran = mcp(&lab, ["install", "--client", "claude"]).await;
    assert!(ran.status == 2 && ran.err.contains("not valid JSON"), "{ran:#?}");
    assert_eq!(fs::read_to_string(&project).unwrap(), "{\"mcpServers\": {},}");
}
