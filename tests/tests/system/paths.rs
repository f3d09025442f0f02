//! Paths as people and models write them: relative, quoted, as URLs, or nearly right.

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{lab, lab::Lab, mcp::Mcp};
use serde_json::json;

/// Two folders for do-files, and what is in them.
fn world(lab: &Lab) -> (String, String) {
    let base = lab.work().canonicalize().unwrap();
    for (file, code) in [
        ("ana/proj/quick.do", "display \"quick \" c(pwd)\n"),
        ("ana/proj/analysis/wages.do", "display \"wages\"\n"),
        ("ana/proj/sp ace.do", "display \"spaced\"\n"),
        ("ana/both.do", "display 1\n"),
        ("lab/both.do", "display 2\n"),
    ] {
        let path = base.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, code).unwrap();
    }
    (base.join("ana").display().to_string(), base.join("lab").display().to_string())
}

#[tokio::test]
async fn a_path_is_taken_as_it_is_meant_or_answered_with_what_may_be_meant() {
    let lab = lab!();
    let (ana, shared) = world(&lab);
    let gateway = lab.up(&["--root", &ana, "--root", &shared]).await;
    gateway.api.wait_host_up().await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    let run =
        async |path: &str| mcp.call("stata_run_file", json!({"file_path": path, "again": true, "wait": true})).await;
    let quick = format!("{ana}/proj/quick.do");
    for path in [
        "proj/quick.do",
        "~/proj/quick.do",
        "proj/quick",
        " proj/quick.do ",
        &format!("\"{quick}\""),
        &format!("'{ana}/proj/quick'"),
        &format!("file://{quick}"),
        &format!("{quick}\n"),
    ] {
        let said = run(path).await;
        assert!(!said.is_error && said.text.contains("\nquick "), "{path}: {}", said.text);
        let first = said.text.lines().next().unwrap();
        assert!(first.contains(" · quick.do · run ") || first.contains(" · quick · run "), "{path}: {first}");
    }
    let said = run(&format!("file://{ana}/proj/sp%20ace.do")).await;
    assert!(said.text.contains("\nspaced\n"), "{}", said.text);

    // What is refused names what may be meant, the folders, and the other ways by their tools.
    let check = async |path: &str, words: &[&str]| {
        let said = run(path).await;
        assert!(said.is_error && said.text.starts_with("nothing was run: "), "{path}: {}", said.text);
        for words in words {
            assert!(said.text.contains(words), "{path}: {words}: {}", said.text);
        }
    };
    let folders = format!("The folders of vm are {ana}, {shared}")
        .replace("vm", &gateway.api.hosts().await.unwrap().hosts[0].name);
    let ways = "stata_run_selection), or with its files as a bundle (stata_submit)";
    let meant = |path: &str| format!("Did you mean {ana}/{path}?");
    check(&format!("{ana}/proj/quik.do"), &[&meant("proj/quick.do"), &folders, ways]).await;
    check(&format!("{ana}/proj/QUICK.DO"), &[&meant("proj/quick.do")]).await;
    check(&format!("{ana}/proj/wages.do"), &[&meant("proj/analysis/wages.do")]).await;
    check("wages", &["no do-file wages is in the folders", &meant("proj/analysis/wages.do")]).await;
    check("/Users/me/proj/analysis/wages.do", &["lies outside", &meant("proj/analysis/wages.do")]).await;
    let both = format!("Did you mean {ana}/both.do or {shared}/both.do?");
    check("both.do", &["names 2 do-files", &both]).await;
    check("nothing_like_it.do", &[&folders, ways]).await;

    // Working directories likewise, before a seat is held, also of code that is sent along.
    let selection = async |dir: &str| {
        let arguments = json!({"selection": "display c(pwd)", "working_dir": dir, "again": true, "wait": true});
        mcp.call("stata_run_selection", arguments).await
    };
    for dir in ["proj", "~/proj/", &format!("file://{ana}/proj")] {
        let said = selection(dir).await;
        assert!(!said.is_error && said.text.contains(&format!("\n{ana}/proj\n")), "{dir}: {}", said.text);
    }
    let said = selection(&format!("{ana}/porj")).await;
    let want = format!("the working directory {ana}/porj does not exist on");
    assert!(said.is_error && said.text.contains(&want) && said.text.contains(&meant("proj")), "{}", said.text);
    assert!(!said.text.contains("bundle"), "it is beside the point: {}", said.text);
    let request = SubmitRequest {
        text: Some("display 1\n".into()),
        working_dir: Some("/nope".into()),
        ..SubmitRequest::default()
    };
    let refused = gateway.api.submit(&request).await.unwrap_err();
    assert!(refused.status == 422 || refused.status == 400, "{refused:?}");
    assert!(refused.detail.contains("/nope"), "{refused:?}");

    // By the API a relative path is one, too, and a path with quotes is what it says.
    let path = |path: &str| SubmitRequest { path: Some(path.into()), again: true, ..SubmitRequest::default() };
    let ran = gateway.api.submit(&path("proj/quick.do")).await.unwrap().run;
    assert_eq!(ran.source, quick, "the record has the whole path");
    assert_eq!(gateway.api.wait_end(ran.run_id).await.state, RunState::Succeeded);
    assert!(gateway.api.submit(&path(&format!("\"{quick}\""))).await.is_err());
}

/// The control: as it was, a relative path is no path, a quoted one is outside, and nothing is offered.
#[tokio::test]
async fn paths_as_given_are_refused() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=paths_as_given;bug=agent_finds_no_paths;bug=no_near_paths;bug=folders_unlooked");
    let (ana, _) = world(&lab);
    let gateway = lab.up(&["--root", &ana]).await;
    gateway.api.wait_host_up().await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.332");
    for path in ["proj/quick.do".to_owned(), format!("\"{ana}/proj/quick.do\""), format!("{ana}/proj/quik.do")] {
        let said = mcp.call("stata_run_file", json!({"file_path": path})).await;
        assert!(said.is_error && !said.text.contains("Did you mean"), "{path}: {}", said.text);
    }
    let arguments = json!({"selection": "display 1", "working_dir": format!("{ana}/porj"), "wait": true});
    let said = mcp.call("stata_run_selection", arguments).await;
    assert!(said.text.contains("errored"), "it took a seat first: {}", said.text);
}
