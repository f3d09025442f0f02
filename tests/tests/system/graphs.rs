//! The graphs of a run, as a client sees them: from the run's folder on the Stata host, through agent and gateway.
//!
//! The stand-in draws nothing; its do-files copy a picture that came with them, as `graph export` would leave one.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_tests::{
    api::{Api, read},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::{Mcp, ToolResult},
    need,
    picture::PNG,
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

fn client(api: &Api) -> Mcp {
    Mcp::new(api, "claude-code", "2.1.330")
}

/// The images of an answer, decoded, with their media types.
fn images(answer: &ToolResult) -> Vec<(String, Vec<u8>)> {
    let blocks = answer.raw["result"]["content"].as_array().unwrap();
    let image = |block: &Value| {
        let bytes = STANDARD.decode(block["data"].as_str()?).expect("base64");
        Some((block["mimeType"].as_str()?.to_owned(), bytes))
    };
    blocks.iter().filter(|block| block["type"] == "image").filter_map(image).collect()
}

fn bundle(code: &str) -> Value {
    json!({"bundle": {"entry": "main.do", "files": {
        "main.do": format!("sleep 50\n{code}"),
        "came-with-it.png": {"base64": STANDARD.encode(PNG)},
        "large.bin": {"base64": STANDARD.encode([PNG, &[0; 700_000]].concat())},
        "some.bin": {"base64": STANDARD.encode([PNG, &[0; 250_000]].concat())},
    }}})
}

async fn run(client: &Mcp, code: &str) -> (String, ToolResult) {
    let run = client.call("stata_submit", bundle(code)).await.run();
    let result = client.call("stata_wait", json!({"runs": run})).await;
    assert!(!result.is_error && result.text.contains("succeeded"), "{result:#?}");
    (run, result)
}

#[tokio::test]
async fn a_runs_graphs_reach_the_client_as_images() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    let client = client(&gateway.api);
    let (id, result) = run(
        &client,
        "copy came-with-it.png fit.png\nmkdir figures\ncopy came-with-it.png figures/second.png\n\
         copy main.do model.gph\ncopy main.do not-one.png\ncopy large.bin large.png\ncopy main.do data.txt\n",
    )
    .await;
    let line = result.text.lines().find(|line| line.starts_with("graphs: ")).expect("the result names the graphs");
    for name in ["fit.png", "figures/second.png", "model.gph", &format!("stata_graph(run: \"{id}\")")] {
        assert!(line.contains(name), "{name}: {line}");
    }
    assert!(!line.contains("came-with-it") && !line.contains("data.txt"), "what it wrote, and graphs alone: {line}");

    let shown = client.call("stata_graph", json!({"run": id})).await;
    assert!(!shown.is_error, "{shown:#?}");
    let png = || ("image/png".to_owned(), PNG.to_vec());
    assert_eq!(images(&shown), [png(), png()], "byte for byte, and nothing that is no picture");
    for words in ["fit.png", "no image/png", "model.gph", "too large to show", "graph export"] {
        assert!(shown.text.contains(words), "{words}: {shown:#?}");
    }
    assert!(serde_json::to_vec(&shown.raw).unwrap().len() < 1 << 20);

    let one = client.call("stata_graph", json!({"run": id, "name": "second.png"})).await;
    assert_eq!(images(&one), [png()]);
    assert!(!one.text.contains("fit.png"), "{one:#?}");
    let none = client.call("stata_graph", json!({"run": id, "name": "third.png"})).await;
    assert!(none.is_error && none.text.contains("figures/second.png"), "it says what there is: {none:#?}");
    let vector = client.call("stata_graph", json!({"run": id, "name": "model.gph"})).await;
    assert!(!vector.is_error && images(&vector).is_empty() && vector.text.contains("as PNG"), "{vector:#?}");
    // A file of the run that is no graph, and one of the host that is not the run's.
    for path in ["data.txt", "/etc/passwd", "../code.do"] {
        let refused = client.call("stata_graph", json!({"run": id, "name": path})).await;
        assert!(refused.is_error && images(&refused).is_empty(), "{path}: {refused:#?}");
    }
}

#[tokio::test]
async fn many_images_come_in_answers_below_a_mebibyte() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    let client = client(&gateway.api);
    let (id, _) =
        run(&client, "forvalues i = 1/4 {\n    copy some.bin big`i'.png\n    copy came-with-it.png small`i'.png\n}\n")
            .await;
    let shown = client.call("stata_graph", json!({"run": id})).await;
    let bytes = serde_json::to_vec(&shown.raw).unwrap().len();
    assert!(bytes < 1 << 20, "{bytes}");
    assert_eq!(images(&shown).len(), 6, "two large ones fit, and all small ones: {}", shown.text);
    assert!(shown.text.contains("ask for it with name: \"big3.png\""), "{}", shown.text);
    let rest = client.call("stata_graph", json!({"run": id, "name": "big3.png"})).await;
    assert_eq!(images(&rest).len(), 1, "{}", rest.text);
}

/// A do-file of a project: its graph is beside it, and the user's own again once the run has ended. Returns the run.
async fn project_graphs(lab: &Lab, client: &Mcp) -> String {
    lab.file("plot.png", PNG);
    // One is elsewhere, where only the log leads to it; a do-file prints Stata's message.
    let code = "sleep 50\ncopy plot.png fit.png, replace\nmkdir ../out\ncopy plot.png ../out/far.png\n\
                copy plot.png ../out/unsaid.png\ndisplay \"(file ../out/far.png written in PNG format)\"\n";
    let file = lab.file("draw.do", code);
    let drawn = client.call("stata_run_file", json!({"file_path": file})).await;
    let far = lab.path().join("home/out/far.png").canonicalize().unwrap();
    assert!(drawn.text.contains(&format!("graphs: {}, fit.png; to see them", far.display())), "{drawn:#?}");
    let id = drawn.run();
    assert_eq!(images(&client.call("stata_graph", json!({"run": id})).await).len(), 2);
    fs::remove_file(far).unwrap();
    fs::write(lab.work().join("fit.png"), [PNG, b"more"].concat()).unwrap();
    let changed = client.call("stata_graph", json!({"run": id})).await;
    assert!(images(&changed).len() == 1 && changed.text.contains("changed since"), "{changed:#?}");
    fs::remove_file(lab.work().join("fit.png")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", lab.work().join("fit.png")).unwrap();
    let swapped = client.call("stata_graph", json!({"run": id})).await;
    assert!(images(&swapped).is_empty() && !swapped.text.contains("root:"), "{swapped:#?}");
    fs::remove_file(lab.work().join("fit.png")).unwrap();
    let removed = client.call("stata_graph", json!({"run": id})).await;
    let gone = removed.text.matches("removed since").count();
    assert!(images(&removed).is_empty() && gone == 2, "{removed:#?}");
    id
}

#[tokio::test]
async fn where_there_is_no_image_the_answer_says_why() {
    let mut lab = lab!();
    lab.config("silent_after = \"1s\"\n");
    let (gateway, mut agent) = pair(&lab).await;
    let client = client(&gateway.api);
    let (bare, result) = run(&client, "display 1\n").await;
    assert!(!result.text.contains("graphs:"), "{result:#?}");
    let none = client.call("stata_graph", json!({"run": bare})).await;
    assert!(!none.is_error && none.text.contains("graph export fit.png"), "{none:#?}");

    let id = project_graphs(&lab, &client).await;
    let unfinished = json!({"file_path": lab.gated(), "args": ["graph"], "wait": false});
    let unfinished =
        client.call("stata_submit", json!({"path": unfinished["file_path"], "args": ["graph"]})).await.run();
    let early = client.call("stata_graph", json!({"run": unfinished})).await;
    assert!(!early.is_error && early.text.contains("when it has ended"), "{early:#?}");
    lab.open_gate("graph");

    // Another principal's run is answered like an unknown one.
    let made =
        gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "visitor"})).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    let visitor = self::client(&gateway.api.with_token(made["token"].as_str().unwrap()));
    let refused = visitor.call("stata_graph", json!({"run": id})).await;
    assert!(refused.is_error && refused.text.contains("no run"), "{refused:#?}");

    agent.kill();
    fs::write(lab.work().join("fit.png"), PNG).unwrap();
    let away = wait::until(wait::SOON, "the gateway knows that the host is away", async || {
        let away = client.call("stata_graph", json!({"run": id})).await;
        assert!(away.is_error && images(&away).is_empty(), "{away:#?}");
        away.text.contains("away").then_some(away)
    })
    .await;
    assert!(away.text.contains("stata_hosts"), "{away:#?}");
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
    let back = client.call("stata_graph", json!({"run": id})).await;
    assert_eq!(images(&back).len(), 1, "{back:#?}");
}

/// Uses that double ten times over, each of ten: more shapes than any memory holds.
fn bomb() -> String {
    let mut svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"60\" height=\"40\"><g id=\"u0\"><rect width=\"1\" height=\"1\"/></g>".to_owned();
    for n in 1..10 {
        let uses = format!("<use href=\"#u{}\"/>", n - 1).repeat(10);
        svg.push_str(&format!("<g id=\"u{n}\">{uses}</g>"));
    }
    svg + "</svg>"
}

/// A graph that was saved as SVG alone is drawn, text and all, by a process of its own.
#[tokio::test]
async fn a_vector_graph_is_drawn() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    let client = client(&gateway.api);
    let svg =
        |inside: &str| format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"600\" height=\"400\">{inside}</svg>");
    let text = svg("<text x=\"20\" y=\"200\" font-family=\"Helvetica\" font-size=\"60\">Price and mileage</text>");
    lab.file("text.txt", &text);
    lab.file("blank.txt", svg(""));
    lab.file("bomb.txt", bomb());
    lab.file("plot.bin", PNG);
    let code = "sleep 50\ncopy text.txt text.svg\ncopy blank.txt blank.svg\ncopy bomb.txt bomb.svg\ncopy plot.bin bad.svg\n\
                copy text.txt both.svg\ncopy plot.bin both.png\n";
    let file = lab.file("draw.do", code);
    let drawn = client.call("stata_run_file", json!({"file_path": file})).await;
    assert!(drawn.text.contains("succeeded"), "{drawn:#?}");
    let id = drawn.run();
    let shown = client.call("stata_graph", json!({"run": id})).await;
    let all = images(&shown);
    assert_eq!(all.len(), 3, "{}", shown.text);
    assert!(all.iter().all(|(mime, bytes)| mime == "image/png" && bytes.starts_with(b"\x89PNG")));
    for words in [
        "both.png (67 bytes): image 1 below",
        "both.svg (",
        "the same graph as the image of that name",
        "image 2 below, drawn from it",
        "bad.svg (67 bytes): not shown: it is no SVG",
        "bomb.svg (",
    ] {
        assert!(shown.text.contains(words), "{words}: {}", shown.text);
    }
    let line = shown.text.lines().find(|line| line.starts_with("bomb.svg")).unwrap();
    assert!(line.contains("not shown: "), "{line}");
    // The control: without a font all text vanishes, and the picture is as small as the blank one.
    let of =
        async |name: &str| images(&client.call("stata_graph", json!({"run": id, "name": name})).await).pop().unwrap().1;
    assert!(of("text.svg").await.len() > 2 * of("blank.svg").await.len());
    assert_eq!(
        images(&client.call("stata_graph", json!({"run": id, "name": "both.svg"})).await).len(),
        1,
        "by its name"
    );
}

/// A PDF of one page of 300 by 200 points, with this content.
fn pdf(content: &str) -> Vec<u8> {
    let objects = [
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>".to_owned(),
        format!("<</Length {}>>stream\n{content}\nendstream", content.len()),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".to_owned(),
    ];
    let mut bytes = "%PDF-1.4\n".to_owned();
    let mut places = String::new();
    for (n, object) in objects.iter().enumerate() {
        places.push_str(&format!("{:010} 00000 n \n", bytes.len()));
        bytes.push_str(&format!("{} 0 obj\n{object}\nendobj\n", n + 1));
    }
    let (at, count) = (bytes.len(), objects.len() + 1);
    bytes.push_str(&format!("xref\n0 {count}\n0000000000 65535 f \n{places}"));
    bytes.push_str(&format!("trailer<</Size {count}/Root 1 0 R>>\nstartxref\n{at}\n%%EOF\n"));
    bytes.into_bytes()
}

/// Width and height of a PNG.
fn sides(png: &[u8]) -> (u32, u32) {
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (side(16), side(20))
}

/// A run of text that leaves PDFs; its id.
async fn leaves_pdfs(client: &Mcp) -> String {
    let bytes = |bytes: Vec<u8>| json!({"base64": STANDARD.encode(bytes)});
    let page = pdf("0 0 0 rg 20 20 260 90 re f BT /F1 24 Tf 20 150 Td (Price and mileage) Tj ET");
    let code = "sleep 50\ncopy page.bin page.pdf\ncopy blank.bin blank.pdf\ncopy page.bin both.pdf\ncopy plot.bin both.png\n\
                copy plot.bin odd.pdf\ncopy broken.bin broken.pdf\n";
    let files = json!({"main.do": code, "page.bin": bytes(page), "blank.bin": bytes(pdf("")), "plot.bin": bytes(PNG.to_vec()),
        "broken.bin": bytes(b"%PDF-1.4 and no more".to_vec())});
    let run = client.call("stata_submit", json!({"bundle": {"entry": "main.do", "files": files}})).await.run();
    let end = client.call("stata_wait", json!({"runs": run})).await;
    assert!(end.text.contains("succeeded"), "{end:#?}");
    run
}

/// The line of an answer about a file.
fn line<'a>(answer: &'a ToolResult, name: &str) -> &'a str {
    let begins = format!("{name} (");
    let found = answer.text.lines().find(|line| line.starts_with(&begins));
    found.unwrap_or_else(|| panic!("{name}: {}", answer.text))
}

/// A graph that was saved as PDF alone is drawn by the host of its run, also when the run's own folder is gone.
#[tokio::test]
async fn a_pdf_is_drawn_by_its_host() {
    if !need::pdftoppm() {
        return;
    }
    let mut lab = lab!();
    lab.config("keep_spool = \"0s\"\nsilent_after = \"1s\"\n");
    let (gateway, mut agent) = pair(&lab).await;
    let client = client(&gateway.api);
    let id = leaves_pdfs(&client).await;
    let shown = client.call("stata_graph", json!({"run": id})).await;
    assert_eq!(images(&shown).len(), 3, "{}", shown.text);
    assert!(line(&shown, "both.pdf").ends_with("the same graph as the image of that name"), "{}", shown.text);
    assert!(line(&shown, "odd.pdf").ends_with("not shown: it is no PDF, whatever its name says"), "{}", shown.text);
    assert!(line(&shown, "broken.pdf").contains("stata1 cannot draw it: pdftoppm says: "), "{}", shown.text);
    let of = async |name: &str| {
        let shown = client.call("stata_graph", json!({"run": id, "name": name})).await;
        images(&shown).pop().unwrap_or_else(|| panic!("{name}: {}", shown.text)).1
    };
    let page = of("page.pdf").await;
    assert_eq!(sides(&page), (1600, 1067));
    // The control: what is drawn is what the page has on it.
    assert!(page.len() > 2 * of("blank.pdf").await.len());

    // The run's folder goes, and the gateway's copy is drawn.
    let run = gateway.api.list().await.unwrap().runs[0].run_id;
    let on_host = Lab::spool(&agent, run).join("run/work/page.pdf");
    assert!(on_host.exists());
    wait::until(wait::SOON, "its files are noted", async || {
        let path = format!("/api/v1/runs/{run}/files");
        let listed: Value = read(gateway.api.request(Method::GET, &path).send().await.unwrap()).await.unwrap();
        (listed["complete"] == true).then_some(())
    })
    .await;
    agent.kill();
    agent.restart();
    wait::until_now(wait::SOON, "the run's folder goes", || (!on_host.exists()).then_some(())).await;
    gateway.api.wait_host("stata1", "up").await;
    assert_eq!(of("page.pdf").await, page);

    agent.kill();
    let away = wait::until(wait::SOON, "the gateway knows that the host is away", async || {
        let away = client.call("stata_graph", json!({"run": id, "name": "page.pdf"})).await;
        away.text.contains("stata1 is away").then_some(away)
    })
    .await;
    assert!(!away.is_error && images(&away).is_empty(), "{away:#?}");
}

/// Where the host has no program for it, or an agent that knows nothing of it, the answer says what to do.
#[tokio::test]
async fn without_a_program_for_pdf_the_answer_says_what_to_do() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let (path, empty) = (std::env::var_os("PATH").unwrap(), lab.path().join("no-programs"));
    fs::create_dir(&empty).unwrap();
    lab.env("PATH", &empty);
    let mut agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
    gateway.api.wait_host("stata1", "up").await;
    let client = client(&gateway.api);
    let id = leaves_pdfs(&client).await;
    let asked = json!({"run": id, "name": "page.pdf"});
    let shown = client.call("stata_graph", asked.clone()).await;
    let want = "not shown: stata1 cannot draw it: let the code export it as PNG or SVG too, or install poppler-utils on the host, \
                which has pdftoppm";
    assert!(!shown.is_error && images(&shown).is_empty() && line(&shown, "page.pdf").ends_with(want), "{shown:#?}");
    let doctor = lab.run(["doctor"]).await;
    assert!(doctor.out.contains("graphs as PDF: not shown as images: no pdftoppm on the path"), "{doctor:#?}");

    // One that hangs costs its own process, and is ended.
    std::os::unix::fs::symlink("/bin/cat", empty.join("pdftoppm")).unwrap();
    let shown = client.call("stata_graph", asked.clone()).await;
    assert!(line(&shown, "page.pdf").contains("cannot draw it: pdftoppm says: "), "{shown:#?}");

    agent.kill();
    lab.env("PATH", path).env("LONGHAUL_FAULTS", "bug=agent_draws_no_pdf");
    agent.spec = lab.agent_spec("stata1", &gateway, &["--seats", "4"]);
    agent.restart();
    let old = wait::until(wait::SOON, "the older agent is there", async || {
        let old = client.call("stata_graph", asked.clone()).await;
        old.text.contains("too old").then_some(old)
    })
    .await;
    assert!(line(&old, "page.pdf").contains("the agent of stata1 is too old to draw a PDF"), "{old:#?}");
}
