//! Searching an output: lines with their numbers and offsets, a page at a time.

use longhaul_proto::api::SearchView;
use longhaul_tests::{
    api::{Answer, Api, read},
    lab,
};
use reqwest::Method;

async fn search(api: &Api, run: impl std::fmt::Display, query: &str) -> Answer<SearchView> {
    let path = format!("/api/v1/runs/{run}/output/search?{query}");
    read(api.request(Method::GET, &path).send().await.unwrap()).await
}

#[tokio::test]
async fn lines_are_found_by_number_and_offset_a_page_at_a_time() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host_up().await;
    let file = lab.file("many.do", "forvalues i = 1/250 {\n    display \"needle `i'\"\n    display \"hay\"\n}\n");
    let run = gateway.api.submit_path(&file, &[]).await.run_id;
    gateway.api.wait_end(run).await;
    let log = String::from_utf8(gateway.api.output(run, "log").await.unwrap()).unwrap();

    // All of it, by pages, against the bytes themselves.
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = search(&gateway.api, run, &format!("pattern=%5Eneedle&limit=100{cursor}")).await.unwrap();
        assert!(page.complete && page.matches <= 100 && page.matches == page.lines.len() as u64, "{page:#?}");
        found.extend(page.lines);
        pages += 1;
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut offset = 0;
    let lines = log.split_inclusive('\n').zip(1..).map(|(line, number)| {
        let at = offset;
        offset += line.len() as u64;
        (number, at, line.trim_end().to_owned())
    });
    let wanted: Vec<(u64, u64, String)> = lines.filter(|(_, _, line)| line.starts_with("needle")).collect();
    assert_eq!((wanted.len(), pages), (250, 3));
    let found: Vec<_> = found.into_iter().map(|line| (line.line, line.offset, line.text)).collect();
    assert_eq!(found, wanted);

    // With the lines around, in the user's part alone, and without the commands.
    let near = search(&gateway.api, run, "pattern=needle%207%24&context=1&view=user").await.unwrap();
    let shown: Vec<_> = near.lines.iter().map(|line| (line.text.as_str(), line.matches)).collect();
    assert_eq!((near.matches, shown), (1, vec![("hay", false), ("needle 7", true), ("hay", false)]));
    let with = search(&gateway.api, run, "pattern=forvalues").await.unwrap();
    let without = search(&gateway.api, run, "pattern=forvalues&echo=false").await.unwrap();
    assert!(with.matches > 0 && without.matches == 0, "{with:#?} {without:#?}");
    assert_eq!(search(&gateway.api, run, "pattern=needle&stream=console").await.unwrap().matches, 0);

    for (query, told) in [
        ("pattern=%28", "`pattern`: pattern is not a regular expression"),
        ("pattern=", "`pattern`: a regular expression of 1 to 1000 bytes"),
        ("pattern=x&limit=0", "`limit`: matches of one answer, 1 to 1000"),
        ("pattern=x&context=51", "`context`: lines around a match, at most 50"),
        ("pattern=x&cursor=9", "`cursor`: pass `next` of an answer"),
        ("pattern=x&cursor=999999999:1", "`cursor`: pass `next` of an answer"),
        ("patern=x", "unknown field `patern`"),
    ] {
        let problem = search(&gateway.api, run, query).await.unwrap_err();
        assert!(problem.status == 400 && problem.detail.contains(told), "{query}: {problem:#?}");
    }
}
