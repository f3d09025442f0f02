//! `mcp install`, `remove` and `list` on the files of each client, in the form in which their makers describe them.
//!
//! `tests/golden/clients/` has each file before and after: what a user wrote stays, byte by byte, and what is taken is what
//! was added.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use longhaul_tests::{lab, lab::Lab};
use serde_json::Value;

use super::mcp;

/// Each client, its golden files' ending, and where its file is below the home folder.
const CLIENTS: [(&str, &str, &str); 8] = [
    ("claude", "json", ".claude.json"),
    ("claude-desktop", "json", ".config/Claude/claude_desktop_config.json"),
    ("vscode", "json", ".config/Code/User/mcp.json"),
    ("cursor", "json", ".cursor/mcp.json"),
    ("windsurf", "json", ".codeium/windsurf/mcp_config.json"),
    ("codex", "toml", ".codex/config.toml"),
    ("gemini", "json", ".gemini/settings.json"),
    ("zed", "json", ".config/zed/settings.json"),
];

fn golden(client: &str, when: &str, ending: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/clients");
    let text = fs::read_to_string(folder.join(format!("{client}.{when}.{ending}"))).unwrap();
    text.replace("PROGRAM", env!("CARGO_BIN_EXE_longhaul-under-test"))
}

fn home(lab: &Lab, file: &str) -> PathBuf {
    lab.path().join("home").join(file)
}

/// A lab whose user has all of them, with a gateway that cannot be asked for anything.
fn with_files() -> Lab {
    let mut lab = lab!();
    lab.env("LONGHAUL_GATEWAY", "http://127.0.0.1:1").env("LONGHAUL_TOKEN", "lh_secret");
    for (client, ending, file) in CLIENTS {
        let path = home(&lab, file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, golden(client, "before", ending)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    lab
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn every_client_that_is_found_gets_its_entry_and_loses_it_again() {
    let lab = with_files();
    let check = |when: &str| {
        for (client, ending, file) in CLIENTS {
            let got = fs::read_to_string(home(&lab, file)).unwrap();
            assert_eq!(got, golden(client, when, ending), "{client} {when}");
        }
    };
    let ran = mcp(&lab, ["install", "--dry-run"]).await;
    assert!(ran.status == 0 && ran.out.contains("+[mcp_servers.longhaul]"), "{ran:#?}");
    check("before");
    let ran = mcp(&lab, ["install"]).await;
    assert!(ran.status == 0 && ran.err.matches("has the entry `longhaul` now").count() == CLIENTS.len(), "{ran:#?}");
    check("after");
    // A file with a token is its owner's alone.
    assert!(CLIENTS.iter().all(|(.., file)| mode(&home(&lab, file)) == 0o600));
    let ran = mcp(&lab, ["install"]).await;
    assert!(ran.status == 0 && ran.err.matches("has this entry already").count() == CLIENTS.len(), "{ran:#?}");
    check("after");

    let listed = mcp(&lab, ["list", "--json"]).await;
    let lines: Vec<Value> = listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), CLIENTS.len(), "{listed:#?}");
    assert!(lines.iter().all(|line| line["connects_to"].as_str().unwrap().contains("127.0.0.1:1")), "{listed:#?}");
    let table = mcp(&lab, ["list"]).await.out;
    assert!(!table.contains("lh_secret") && table.contains("Gemini CLI"), "{table}");

    let ran = mcp(&lab, ["remove", "--name", "other"]).await;
    assert!(ran.status == 0 && ran.err.contains("no client has an entry `other`"), "{ran:#?}");
    check("after");
    let ran = mcp(&lab, ["remove"]).await;
    assert!(ran.status == 0 && ran.err.contains("longhaul token revoke"), "{ran:#?}");
    check("before");
}

#[tokio::test]
async fn a_client_that_is_not_here_gets_a_file_when_it_is_named() {
    let mut lab = lab!();
    lab.env("LONGHAUL_GATEWAY", "http://127.0.0.1:1").env("LONGHAUL_TOKEN", "lh_secret");
    let none = mcp(&lab, ["install"]).await;
    assert!(none.status == 2 && none.err.contains("no client was found here") && none.err.contains("zed"), "{none:#?}");
    let ran = mcp(&lab, ["install", "--client", "codex,cursor", "--client", "gemini"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let made = [".codex/config.toml", ".cursor/mcp.json", ".gemini/settings.json"].map(|file| home(&lab, file));
    assert!(made.iter().all(|file| mode(file) == 0o600));
    let ran = mcp(&lab, ["remove"]).await;
    assert!(ran.status == 0 && made.iter().all(|file| !file.exists()), "{ran:#?}");

    // A project's file, the variable in place of the token, and the bridge.
    let ran = mcp(&lab, ["install", "--client", "codex,vscode,gemini", "--project", "--token-from-env"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let written = |file: &str| fs::read_to_string(lab.work().join(file)).unwrap();
    assert!(written(".codex/config.toml").contains("bearer_token_env_var = \"LONGHAUL_TOKEN\""));
    assert!(written(".vscode/mcp.json").contains("Bearer ${env:LONGHAUL_TOKEN}"));
    assert!(written(".gemini/settings.json").contains("Bearer ${LONGHAUL_TOKEN}"));
    let ran = mcp(&lab, ["install", "--client", "codex", "--project", "--stdio"]).await;
    let bridge = written(".codex/config.toml");
    assert!(ran.status == 0 && bridge.contains("args = [\"stdio\", ") && !bridge.contains("url"), "{bridge}");
    for (args, want) in [
        (&["install", "--client", "zed", "--token-from-env"][..], "Zed does not"),
        (&["install", "--client", "windsurf", "--project"], "no file for a project"),
        (&["install", "--client", "json"], "name the client"),
        (&["install", "--file", "x.json"], "name it with --client"),
    ] {
        let ran = mcp(&lab, args).await;
        assert!(ran.status == 2 && ran.err.contains(want), "{ran:#?}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_understood_is_left_alone_and_the_others_are_written() {
    let lab = with_files();
    let broken = [
        (
            ".config/Code/User/mcp.json",
            "{\n  \"servers\": {\n    \"a\": {}\n    \"b\": {}\n  }\n}\n",
            "line 3, column 12: expected comma",
        ),
        (".codex/config.toml", "model = \"x\"\n[mcp_servers\n", "line 2"),
        (".claude.json", "{\n  // a comment, which Claude Code does not read\n}\n", "line 2, column 3"),
        (".config/zed/settings.json", "{\n  \"context_servers\": []\n}\n", "`context_servers` in it is not an object"),
    ];
    for (file, text, _) in broken {
        fs::write(home(&lab, file), text).unwrap();
    }
    for args in [&["install"][..], &["remove"]] {
        let ran = mcp(&lab, args).await;
        assert_eq!(ran.status, 2, "{ran:#?}");
        for (file, text, what) in broken {
            assert!(ran.err.contains(what) && ran.err.contains("was left as it is"), "{what}: {ran:#?}");
            assert_eq!(fs::read_to_string(home(&lab, file)).unwrap(), text);
        }
        let cursor = fs::read_to_string(home(&lab, ".cursor/mcp.json")).unwrap();
        assert_eq!(cursor.contains("longhaul"), args == ["install"], "the others are written: {cursor}");
    }
    let listed = mcp(&lab, ["list"]).await;
    assert!(listed.status == 0 && listed.out.contains("cannot tell"), "{listed:#?}");
}
