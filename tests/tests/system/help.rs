//! Stata's help of a host, as clients see it: from the files of its ado-path, through agent and gateway.

use std::{fmt::Write, fs, os::unix::fs::symlink};

use longhaul_proto::api::HelpView;
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
};
use reqwest::Method;
use serde_json::json;

fn home(lab: &Lab, file: &str, text: &str) {
    let path = lab.path().join("home/ado").join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn files(lab: &Lab) {
    home(
        lab,
        "plus/w/weigh.sthlp",
        "{smcl}\n{p2colset 1 12 14 2}{...}\n{p2col:{bf:weigh} {hline 2}}Weigh things quickly{p_end}\n\n{title:Syntax}\n\n\
         {p 8 15 2}\n{cmdab:we:igh} {varlist} [{cmd:,} {opt by(varname)}]\n\n{title:Options}\n\n{phang}\n{opth by(varname)} \
         groups.\n\n{title:Author}\n\n{pstd}A. Person\n",
    );
    home(lab, "personal/mine.sthlp", "{smcl}\n{title:Syntax}\n\n{pstd}{cmd:mine} is mine.\n");
    let mut long = "{smcl}\n{title:Syntax}\n\n".to_owned();
    for n in 0..1500 {
        let _ = write!(long, "{{phang}}\n{{opt o{n}:ption}} does {{it:thing}} number {n}, and says é.\n\n");
    }
    home(lab, "plus/l/long.sthlp", &(long + "{title:Stored results}\n\n{pstd}At the end.\n"));
    fs::write(lab.path().join("secret"), "the secret").unwrap();
    symlink(lab.path().join("secret"), lab.path().join("home/ado/plus/l/linked.sthlp")).unwrap();
}

async fn asked(gateway: &Gateway, query: &str, accept: &str) -> (u16, String) {
    let request = gateway.api.request(Method::GET, &format!("/api/v1/help?{query}")).header("accept", accept);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn help_of_the_hosts_own_files_reaches_every_client() {
    let lab = lab!();
    files(&lab);
    let gateway = lab.gateway().await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let nobody = mcp.call("stata_help", json!({"topic": "weigh"})).await;
    assert!(nobody.is_error && nobody.text.contains("no host can be asked"), "{}", nobody.text);
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;

    let tool = async |arguments: serde_json::Value, error: bool, wants: &[&str]| {
        let said = mcp.call("stata_help", arguments.clone()).await;
        assert_eq!(said.is_error, error, "{arguments}: {}", said.text);
        for want in wants {
            assert!(said.text.contains(want), "{arguments}: {want}: {}", said.text);
        }
        assert!(said.text.len() <= 20_000 && !said.text.contains("the secret"));
        said.text
    };
    let syntax = "```\nweigh varlist [, by(varname)]\n```\nShort: `we` = `weigh`\n";
    tool(json!({"topic": "weigh"}), false, &["help weigh on stata1 (PLUS w/weigh.sthlp)", syntax]).await;
    tool(json!({"topic": "mine", "host": "stata1"}), false, &["(PERSONAL mine.sthlp)", "`mine` is mine."]).await;
    tool(json!({"topic": "weigh", "section": "opt"}), false, &["`by(varname)` groups.", "Sections: Syntax, Options"])
        .await;
    tool(json!({"topic": "di"}), false, &["STANDIN d/display.sthlp", "stand-in, not Stata"]).await;
    tool(json!({"search": "quickly things"}), false, &["weigh -- weigh -- Weigh things quickly (PLUS w/weigh.sthlp)"])
        .await;
    tool(json!({"topic": "wiegh"}), true, &["no help on `wiegh` on stata1", "Similar names: weigh"]).await;
    tool(json!({"topic": "weigh", "section": "Nothing"}), true, &["Syntax, Options, Author"]).await;
    tool(json!({"search": "nosuchword"}), true, &["no help file on stata1"]).await;
    tool(json!({}), true, &["one of them"]).await;
    tool(json!({"topic": "weigh", "host": "stata9"}), true, &["no host is named `stata9`", "stata1"]).await;
    for path in ["../x", "/etc/passwd", "w/weigh", ".."] {
        tool(json!({"topic": path}), true, &["and no path"]).await;
    }
    tool(json!({"topic": "linked"}), true, &["leads out of the ado-path"]).await;

    // A long topic, page by page, is the whole text.
    let (status, body) = asked(&gateway, "topic=long", "application/json").await;
    let view: HelpView = serde_json::from_str(&body).unwrap();
    let whole = view.text.unwrap();
    assert!(status == 200 && whole.len() > 60_000 && view.sections.len() == 2);
    let (mut at, mut pages) = (Some(0), 0);
    while let Some(offset) = at {
        let page = tool(json!({"topic": "long", "offset": offset}), false, &["help long on stata1"]).await;
        let shown = page.lines().skip_while(|line| !line.starts_with("--- begin")).skip(1);
        let shown: Vec<&str> = shown.take_while(|line| !line.starts_with("--- end")).collect();
        assert!(whole[offset..].trim_start().starts_with(&shown.join("\n")), "page at {offset}");
        let next = page.split("offset: ").nth(1).and_then(|rest| rest.split([')', ',']).next()?.parse().ok());
        assert!(next.is_none_or(|next: usize| next > offset));
        (at, pages) = (next, pages + 1);
    }
    assert!(pages >= 4, "{pages}");

    let (status, text) = asked(&gateway, "topic=weigh&host=stata1", "text/markdown").await;
    assert!(status == 200 && text.starts_with("# help weigh\n") && text.contains("## Options"), "{text}");
    assert_eq!(asked(&gateway, "topic=nosuch", "*/*").await.0, 404);
    assert_eq!(asked(&gateway, "topic=a&search=b", "*/*").await.0, 400);
    assert_eq!(asked(&gateway, "tpic=a", "*/*").await.0, 400);

    let url = gateway.api.url().to_owned();
    let cli = async |more: &[&str]| {
        let mut arguments = vec!["stata-help", "--gateway", &url];
        arguments.extend(more);
        let mut command = lab.command(arguments);
        command.env("LONGHAUL_TOKEN", gateway.api.token());
        lab::finish(command).await
    };
    let shown = cli(&["weigh"]).await;
    assert!(shown.status == 0 && shown.out.contains(syntax), "{shown:?}");
    let found = cli(&["--search", "things", "quickly"]).await;
    assert_eq!(found.out, "weigh  weigh -- Weigh things quickly  (PLUS w/weigh.sthlp)\n");
    let object: HelpView = serde_json::from_str(&cli(&["weigh", "--json"]).await.out).unwrap();
    assert_eq!(object.sections.iter().map(|s| s.title.as_str()).collect::<Vec<_>>(), ["Syntax", "Options", "Author"]);
    let missing = cli(&["wiegh"]).await;
    assert!(missing.status != 0 && missing.err.contains("Similar names: weigh"), "{missing:?}");

    // In batch mode Stata's own help says no.
    let run = mcp.call("stata_run_selection", json!({"selection": "help weigh"})).await;
    assert!(run.text.contains("request ignored because of batch mode"), "{}", run.text);
}

#[tokio::test]
async fn help_comes_from_agents_that_give_it_and_serve_the_asker() {
    let mut lab = lab!();
    files(&lab);
    let gateway = lab.gateway().await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let _other = lab.agent("others", &gateway, &["--serve", "somebody-else"]);
    lab.env("LONGHAUL_FAULTS", "bug=agent_without_help");
    let _before = lab.agent("before", &gateway, &[]);
    gateway.api.wait_host("others", "up").await;
    gateway.api.wait_host("before", "up").await;
    let said = mcp.call("stata_help", json!({"topic": "weigh"})).await;
    assert!(said.is_error && said.text.contains("the agent on before is of an earlier version"), "{}", said.text);
    let said = mcp.call("stata_help", json!({"topic": "weigh", "host": "others"})).await;
    assert!(said.is_error && said.text.contains("does not take your runs"), "{}", said.text);
    lab.env("LONGHAUL_FAULTS", "");
    let more = lab.path().join("site");
    fs::create_dir_all(&more).unwrap();
    fs::write(more.join("weigh.hlp"), "help for ^weigh^ of the site\n").unwrap();
    let _third = lab.agent("third", &gateway, &["--ado-path", more.to_str().unwrap()]);
    gateway.api.wait_host("third", "up").await;
    let said = mcp.call("stata_help", json!({"topic": "weigh"})).await;
    assert!(!said.is_error && said.text.contains("help for weigh of the site"), "{}", said.text);
}
