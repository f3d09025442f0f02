//! A client on Windows names its own paths; the agent's map makes them paths of the Stata host, for every client.

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{lab, mcp::Mcp};
use serde_json::json;

#[tokio::test]
async fn a_windows_path_is_mapped_before_it_is_judged() {
    let mut lab = lab!();
    let (project, data) = (lab.work().join("proj"), lab.work().join("data"));
    std::fs::create_dir_all(project.join("sub")).unwrap();
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(project.join("sub/x.do"), "display \"mapped\"\npwd\n").unwrap();
    lab.config(&format!(
        "[path_map]\n'C:\\Users\\ana\\proj' = \"{}\"\n'D:\\data' = \"{}\"\n",
        project.display(),
        data.display()
    ));
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    for path in ["C:\\Users\\ana\\proj\\sub\\x.do", "c:/Users/ana\\proj/sub/x.do"] {
        let arguments = json!({"file_path": path, "working_dir": "d:/data", "wait": true, "again": true});
        let said = mcp.call("stata_run_file", arguments).await;
        assert!(!said.is_error && said.text.contains("\nmapped\n"), "{path}: {}", said.text);
        assert!(said.text.contains(&data.display().to_string()), "it ran in {}: {}", data.display(), said.text);

        let request = SubmitRequest {
            path: Some(path.into()),
            working_dir: Some("D:\\data".into()),
            again: true,
            ..SubmitRequest::default()
        };
        let run = gateway.api.submit(&request).await.unwrap().run.run_id;
        assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);

        let mut command = lab.command(["run", "--again", path, "--working-dir", "D:\\data"]);
        command.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
        let ran = lab::finish(command).await;
        assert!(ran.status == 0 && ran.out.contains("\nmapped\n"), "{path}: {ran:#?}");
    }

    // A path that is not mapped: the error names the map and how to set it.
    let said = mcp.call("stata_run_file", json!({"file_path": "E:\\other\\x.do"})).await;
    for words in ["E:\\other\\x.do", "Windows", "[path_map]"] {
        assert!(said.is_error && said.text.contains(words), "{words}: {}", said.text);
    }
    // The control: relative stays relative.
    let said = mcp.call("stata_run_file", json!({"file_path": "C:x.do"})).await;
    assert!(said.is_error && said.text.contains("no do-file C:x.do is in the folders"), "{}", said.text);
}
