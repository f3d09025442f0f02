//! The sample settings in `deploy/lab` are read by the program itself.

use std::{fs, path::Path};

use longhaul_tests::{lab, lab::finish};

fn sample(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/lab").join(name)).unwrap()
}

#[tokio::test]
async fn the_sample_settings_can_be_used() {
    let lab = lab!();
    let check = async |toml: &str, variables: &[(&str, &str)]| {
        let file = lab.path().join("config.toml");
        fs::write(&file, toml).unwrap();
        let mut command = lab.command(["config", "check", "--config"]);
        command.arg(&file).envs(variables.iter().copied());
        finish(command).await
    };
    let good = check(&sample("gateway.toml"), &[]).await;
    assert!(good.status == 0 && good.err.contains("config.toml can be used"), "{good:#?}");
    for words in ["pools = ", "quotas = ", "groups = ", "pool_timeouts = ", "keep_records = "] {
        assert!(good.out.contains(words), "{words}: {good:#?}");
    }
    // The control: one letter.
    for (right, wrong, words) in [
        ("seats=2", "seets=2", "seets"),
        ("[quotas]", "[qoutas]", "there is no setting `qoutas`; did you mean `quotas`?"),
        ("max=7d", "max=7x", "pool_timeouts"),
    ] {
        let bad = check(&sample("gateway.toml").replacen(right, wrong, 1), &[]).await;
        assert!(bad.status == 2 && bad.err.contains(words), "{words}: {bad:#?}");
    }
    // Of what it names there is nothing on this machine.
    let text = sample("agent.env").replace("/srv/projects", lab.path().to_str().unwrap());
    let variables: Vec<(&str, &str)> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect();
    assert!(variables.len() >= 9, "{variables:?}");
    let good = check("", &variables).await;
    assert!(good.status == 0 && good.out.contains("join = (not shown) (variable LONGHAUL_JOIN)"), "{good:#?}");
    let bad = check("", &[("LONGHAUL_SEETS", "4")]).await;
    assert!(bad.status == 2 && bad.err.contains("did you mean `LONGHAUL_SEATS`?"), "{bad:#?}");
}

/// The page has each variable of the sample of an agent, with the same value.
#[test]
fn the_page_and_the_sample_of_an_agent_agree() {
    let page = super::page();
    for line in sample("agent.env").lines().filter(|line| !line.starts_with('#')) {
        let shown = line.replace("http://stata1.lab:7448", "http://$(hostname -f):7448");
        let shown = shown.replace("LONGHAUL_NAME=stata1", "LONGHAUL_NAME=$(hostname -s)");
        assert!(page.contains(&format!("\n{shown}\n")), "{shown}");
    }
}
