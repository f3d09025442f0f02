//! With what a run was made: Stata, seeds, data files and packages, with digests, found out after its end.

use std::{fs, os::unix::fs::symlink, path::Path};

use longhaul_proto::{
    api::{DataFileView, MadeWith, RunRecord, SubmitRequest},
    ids::RunId,
    sha256_hex,
    state::RunState,
};
use longhaul_tests::{
    api::{Api, read},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    wait,
};
use reqwest::Method;
use serde_json::json;

const LIST: &str = "* 00000002\n\nS http://fmwww.bc.edu/repec/bocode/f\nN ftools.pkg\nD 22 May 2024\nU 1\n\
                    d 'FTOOLS': module\nd Distribution-Date: 20230625\nf f/ftools.ado\nf f/ftools.sthlp\ne\n\
                    S /home/ana/mine\nN own.pkg\nD  1 Jun 2024\nU 2\nf o/own.ado\nf ../../../secret\ne\n";

/// Two packages where Stata installs them for the host's user.
fn packages(lab: &Lab) {
    let plus = lab.path().join("home/ado/plus");
    for (name, text) in [
        ("stata.trk", LIST),
        ("f/ftools.ado", "program ftools\nend\n"),
        ("f/ftools.sthlp", "help"),
        ("o/own.ado", "own"),
    ] {
        let path = plus.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(lab.path().join("home/secret"), "not theirs").unwrap();
}

async fn pair(lab: &Lab, more: &[&str]) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, more);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

async fn run(api: &Api, path: &Path) -> RunId {
    let request = SubmitRequest { path: Some(path.display().to_string()), again: true, ..SubmitRequest::default() };
    let run = api.submit(&request).await.unwrap().run.run_id;
    assert_eq!(api.wait_end(run).await.state, RunState::Succeeded);
    run
}

async fn record(api: &Api, run: RunId) -> RunRecord {
    let path = format!("/api/v1/runs/{run}/record");
    wait::until(wait::SOON, "it is recorded", async || {
        let found: RunRecord = read(api.request(Method::GET, &path).send().await.ok()?).await.ok()?;
        found.complete.then_some(found)
    })
    .await
}

fn named<'a>(made: &'a MadeWith, end: &str) -> &'a DataFileView {
    made.data.iter().find(|file| file.path.ends_with(end)).unwrap_or_else(|| panic!("{end} in {made:#?}"))
}

/// Data that was there before the run.
async fn data(lab: &Lab, gateway: &Gateway) {
    fs::create_dir_all(lab.work().join("sub")).unwrap();
    let code = "quietly set obs 3\ngenerate x = _n\nsave one.dta\nsave sub/two.dta\n";
    run(&gateway.api, &lab.file("made.do", code)).await;
}

#[tokio::test]
async fn a_run_tells_with_what_it_was_made_when_its_host_is_gone() {
    let mut lab = lab!();
    lab.config("keep_spool = \"0s\"\n");
    packages(&lab);
    let (gateway, mut agent) = pair(&lab, &[]).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    data(&lab, &gateway).await;
    let uses = "set seed 12345\nset sortseed 7\nuse one\nlocal where sub\nforvalues i = 1/1 {\n    use \"`where'/two.dta\", clear\n}\n\
                save three.dta, replace\ncapture noisily use /etc/hidden\ncapture noisily use gone\ncapture noisily use \"`nowhere'/x\"\n";
    let uses = lab.file("uses.do", uses);
    let first = run(&gateway.api, &uses).await;
    let found = record(&gateway.api, first).await;
    agent.kill();
    let again = record(&gateway.api, first).await;
    assert_eq!(found, again, "it needs no host");

    let made = found.made_with.unwrap();
    let stata = &made.stata;
    assert_eq!((stata.version.as_deref(), stata.edition.as_deref()), (Some("18.0"), Some("stand-in")), "{stata:?}");
    assert_eq!((stata.born.as_deref(), stata.processors), (Some("1 Jan 2026"), Some(1)), "{stata:?}");
    assert!(stata.rng_state_sha256.is_some() && stata.why_not_all.is_none(), "{stata:?}");
    assert_eq!(made.seeds, ["set seed 12345", "set sortseed 7"]);
    for (name, reads, writes) in [("one.dta", true, false), ("sub/two.dta", true, false), ("three.dta", false, true)] {
        let file = named(&made, name);
        let bytes = fs::read(lab.work().join(name)).unwrap();
        assert_eq!((file.read, file.written, file.perhaps_changed), (reads, writes, false), "{file:?}");
        assert_eq!((file.bytes, &file.sha256), (Some(bytes.len() as u64), &Some(sha256_hex(&bytes))), "{file:?}");
    }
    assert!(named(&made, "/etc/hidden.dta").why_not.as_ref().unwrap().contains("outside"), "{made:#?}");
    assert!(named(&made, "/gone.dta").why_not.as_ref().unwrap().contains("not there"), "{made:#?}");
    assert!(made.data_note.as_ref().unwrap().contains("`nowhere'/x"), "{made:#?}");

    let installed = found.packages.unwrap();
    assert!(installed.folder.ends_with("/home/ado/plus"), "{installed:?}");
    let [ftools, own] = &installed.packages[..] else { panic!("{installed:#?}") };
    assert_eq!((ftools.name.as_str(), ftools.distributed.as_deref()), ("ftools", Some("20230625")));
    assert_eq!(ftools.files[0].sha256, Some(sha256_hex(b"program ftools\nend\n")));
    assert!(ftools.sha256.is_some() && own.sha256.is_none(), "{installed:#?}");
    assert_eq!(own.files[1].sha256, None, "nothing outside of the folder is read");

    let shown = lab.run(["show", &first.to_string()]).await;
    assert_eq!(shown.status, 0, "{shown:#?}");
    for line in [
        "stata         stand-in 18.0, born 1 Jan 2026, 1 processor",
        "seeds         set seed 12345, set sortseed 7",
        "data          one.dta (read; ",
    ] {
        assert!(shown.out.lines().any(|l| l.starts_with(line)), "{line}\n{}", shown.out);
    }
    assert!(shown.out.contains("ftools 20230625, own 1 Jun 2024"), "{}", shown.out);
    let whole = lab.run(["show", &first.to_string(), "--record"]).await;
    assert!(whole.out.contains(&sha256_hex(b"own")) && whole.status == 0, "{whole:#?}");
    let json = lab.run(["show", &first.to_string(), "--record", "--json"]).await;
    assert_eq!(serde_json::from_str::<RunRecord>(&json.out).unwrap().run_id, first);

    // Another principal sees none of it.
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ana", "scope": "use"}));
    let made: serde_json::Value = made.send().await.unwrap().json().await.unwrap();
    let ana = gateway.api.with_token(made["token"].as_str().unwrap());
    let refused = ana.request(Method::GET, &format!("/api/v1/runs/{first}/record")).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 404);
}

#[tokio::test]
async fn what_may_not_be_what_the_run_had_is_marked_and_links_lead_nowhere() {
    for outside_is_read in [false, true] {
        let mut lab = lab!();
        if outside_is_read {
            // The control.
            lab.env("LONGHAUL_FAULTS", "bug=data_outside_is_read");
        }
        let (gateway, _agent) = pair(&lab, &[]).await;
        data(&lab, &gateway).await;
        linked(&lab, &gateway, outside_is_read).await;
    }
}

/// A file of the run is changed while it runs, and a link leads to one outside.
async fn linked(lab: &Lab, gateway: &Gateway, outside_is_read: bool) {
    let outside = lab.path().join("outside.dta");
    fs::copy(lab.work().join("one.dta"), &outside).unwrap();
    symlink(&outside, lab.work().join("link.dta")).unwrap();
    let code = "use one\ndisplay \"read\"\ncapture noisily use link, clear\nsleep 200\nshell cp one.dta other; cp other one.dta\n";
    let found = record(&gateway.api, run(&gateway.api, &lab.file("uses.do", code)).await).await;
    let made = found.made_with.unwrap();
    assert!(named(&made, "one.dta").perhaps_changed && named(&made, "one.dta").sha256.is_some(), "{made:#?}");
    let link = named(&made, "link.dta");
    assert_eq!(link.sha256.is_some(), outside_is_read, "{made:#?}");
    assert!(outside_is_read || link.why_not.as_ref().unwrap().contains("outside"), "{made:#?}");
    assert!(found.packages.is_none() && found.packages_why_not.unwrap().contains("none are installed"));
    // A run that fails tells what it has, too.
    let failing = lab.file("fails.do", "use one\nerror 459\n");
    let request = SubmitRequest { path: Some(failing.display().to_string()), ..SubmitRequest::default() };
    let failed = gateway.api.submit(&request).await.unwrap().run.run_id;
    assert_eq!(gateway.api.wait_end(failed).await.state, RunState::Failed);
    let made = record(&gateway.api, failed).await.made_with.unwrap();
    assert_eq!(made.stata.version.as_deref(), Some("18.0"), "of the banner");
    assert!(made.stata.why_not_all.is_some() && named(&made, "one.dta").sha256.is_some(), "{made:#?}");
}

#[tokio::test]
async fn an_agent_can_be_told_to_read_no_data() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab, &["--no-data-digests"]).await;
    let code = lab.file("made.do", "quietly set obs 3\ngenerate x = _n\nsave one.dta\n");
    let made = record(&gateway.api, run(&gateway.api, &code).await).await.made_with.unwrap();
    let file = named(&made, "one.dta");
    assert!(file.written && file.sha256.is_none() && file.bytes.is_none(), "{file:?}");
    assert!(file.why_not.as_ref().unwrap().contains("data_digests"), "{file:?}");
}

#[tokio::test]
async fn an_agent_that_tells_nothing_is_said_to_be_too_old() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=nothing_is_recorded_of_it");
    let (gateway, _agent) = pair(&lab, &[]).await;
    let found = record(&gateway.api, run(&gateway.api, &lab.file("a.do", "display 1\n")).await).await;
    assert!(found.made_with.is_none() && found.why_not.unwrap().contains("earlier version"));
}
