//! The gateway's copy of an output is compared with what the run's supervisor recorded, down to the last byte.

use std::{fs, path::Path};

use longhaul_proto::{digest::OutputDigests, state::RunState};
use longhaul_tests::{
    lab,
    lab::{Lab, json, ready},
};

/// What a reader gets of a run in whose copy one byte was changed while the gateway was away, and what the run printed.
async fn read_after_damage(faults: &str) -> (Vec<u8>, Vec<u8>) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let mut gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&lab.gated(), &["copied"]).await.run_id;
    gateway.api.wait_output(run, "started copied").await;
    gateway.daemon.kill();
    let name = run.to_string();
    let copy = gateway.daemon.data.join("gateway/mirror").join(&name[name.len() - 2..]).join(&name).join("log");
    let mut bytes = fs::read(&copy).unwrap();
    let at = bytes.windows(14).position(|part| part == b"started copied").unwrap();
    bytes[at] = b'S';
    fs::write(&copy, bytes).unwrap();
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    lab.open_gate("copied");
    let end = gateway.api.wait_end(run).await;
    assert!(end.state == RunState::Succeeded && end.output_complete, "{end:#?}");
    let printed = fs::read(Lab::log(&agent, run)).unwrap();
    recorded(&Lab::spool(&agent, run), &printed);
    (gateway.api.output(run, "log").await.unwrap(), printed)
}

/// Both digests in the record of the end are of what was printed.
fn recorded(spool: &Path, printed: &[u8]) {
    let exit = json(&spool.join("control/exit.json")).expect("the record of the end");
    let mut digests = OutputDigests::default();
    digests.update(printed);
    let (sha256, blake3) = digests.finish();
    assert_eq!(exit["log"]["len"].as_u64(), Some(printed.len() as u64), "{exit}");
    assert_eq!(exit["log"]["sha256"].as_str(), Some(sha256.to_string().as_str()), "{exit}");
    assert_eq!(exit["log"]["blake3"].as_str(), Some(blake3.as_str()), "{exit}");
}

#[tokio::test]
async fn a_copy_that_differs_by_one_byte_is_fetched_again() {
    let (read, printed) = read_after_damage("").await;
    assert!(read == printed, "byte for byte");
    let (read, printed) = read_after_damage("bug=outputs_compared_by_length").await;
    assert!(read.len() == printed.len() && read != printed, "the control");
}
