//! docs/lab.md, "Set up a lab": its blocks of commands are read out of the page and typed, in its order, on three hosts, a
//! gateway and ten people's machines, with the stand-in as Stata. Only names, addresses, ports and the beginnings of paths
//! are exchanged, by the table in `site.rs`, and what the page tells to carry from one machine to another.

mod page;
mod samples;
mod site;
mod work;

use std::{fs, path::Path};

use longhaul_tests::{
    api::Api,
    lab,
    lab::{Ran, json},
};

use page::{Block, blocks};
use site::{PEOPLE, Site};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lab.md")).unwrap()
}

/// The operator's client of the site's gateway.
fn operator(site: &Site) -> Api {
    let data = site.root("gateway").join("var/lib/longhaul");
    let token = json(&data.join("credentials.json")).expect("credentials after the first start");
    let url = format!("https://127.0.0.5:{}", site.gateway_port);
    Api::trusting(&url, token["token"].as_str().unwrap(), &fs::read_to_string(data.join("ca.pem")).unwrap())
}

/// Types the page. What a person reads on one machine and types on another is carried; where a person would wait until a
/// host is up, so does this.
async fn follow(site: &mut Site, page: &str) -> Result<(), String> {
    for block in blocks(page)? {
        let mut ran: Vec<(String, Ran)> = Vec::new();
        for machine in &block.machines {
            match machine.as_str() {
                "person" => ran.extend(everybody(site, &block).await),
                _ => ran.push((machine.clone(), site.type_in(&block, machine).await)),
            }
        }
        for (machine, ran) in &ran {
            if ran.status != 0 {
                return Err(format!(
                    "line {} on {machine}: status {}\n{}\n{}",
                    block.line, ran.status, ran.out, ran.err
                ));
            }
            carry(site, machine, &ran.out);
        }
        if ["systemctl enable --now longhaul-agent", "restart longhaul", "start longhaul-gateway"]
            .iter()
            .any(|words| block.commands.contains(words))
        {
            for host in block.machines.iter().filter(|name| name.starts_with("stata")) {
                operator(site).wait_host(host, "up").await;
            }
            let all = site.carried.contains_key("all hosts joined") && block.machines == ["gateway"];
            for host in ["stata1", "stata2", "stata3"].iter().filter(|_| all) {
                operator(site).wait_host(host, "up").await;
            }
        }
        if block.machines == ["stata3"] {
            site.carried.insert("all hosts joined".to_owned(), String::new());
        }
    }
    Ok(())
}

/// Ten people type the same at the same time.
async fn everybody(site: &Site, block: &Block) -> Vec<(String, Ran)> {
    let one = async |person: &'static str| {
        // "Give each person theirs."
        let token = site.root("gateway").join("home").join(format!("{person}.token"));
        if block.commands.contains("--token-file my.token") {
            fs::copy(token, site.root(person).join("home/my.token")).unwrap();
        }
        (person.to_owned(), site.type_in(block, person).await)
    };
    futures_util::future::join_all(PEOPLE.map(one)).await
}

/// Remembers what the page tells to type elsewhere.
fn carry(site: &mut Site, machine: &str, out: &str) {
    for line in out.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1));
        if let (Some(token), Some(host)) = (after("--join"), after("--name")) {
            site.carried.insert(format!("TOKEN of {host}"), (*token).to_owned());
        }
        if let (Some(fingerprint), "gateway") = (after("ca-fingerprint"), machine) {
            site.carried.insert("FINGERPRINT".to_owned(), (*fingerprint).to_owned());
        }
    }
}

#[tokio::test]
async fn the_page_sets_up_a_lab_of_three_hosts_and_ten_people() {
    let mut site = Site::new(lab!());
    follow(&mut site, &page()).await.unwrap();
    work::ten_people_worked_on_one_licence(&site).await;
    work::claude_code_runs_a_do_file(&site).await;
    work::the_restored_gateway_is_the_same(&site).await;
}

/// The control: a wrong command on the page is found, by its line.
#[tokio::test]
async fn control_a_page_with_a_wrong_command_fails() {
    for (right, wrong, words) in [
        ("enable --now longhaul-gateway", "enable --now longhaul-gatway", "there is no unit longhaul-gatway"),
        ("longhaul config check", "longhaul config chekc", "chekc"),
        ("examples/lab/gateway.toml", "examples/lab/gatway.toml", "gatway.toml"),
    ] {
        let page = page();
        assert!(page.contains(right), "{right}");
        let mut site = Site::new(lab!());
        let error = follow(&mut site, &page.replacen(right, wrong, 1)).await.unwrap_err();
        assert!(error.starts_with("line ") && error.contains(" on gateway: ") && error.contains(words), "{error}");
    }
}
