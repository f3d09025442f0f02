//! What a list of runs can be narrowed by, over HTTP and by the command.

use longhaul_proto::api::RunList;
use longhaul_tests::{
    api::{Answer, read},
    lab,
    lab::Gateway,
};
use reqwest::Method;

async fn list(gateway: &Gateway, query: &str) -> Answer<Vec<String>> {
    let answer = gateway.api.request(Method::GET, &format!("/api/v1/runs?{query}")).send().await.unwrap();
    let list: RunList = read(answer).await?;
    Ok(list.runs.iter().map(|run| run.run_id.to_string()).collect())
}

#[tokio::test]
async fn runs_are_listed_by_pool_and_by_when_they_came() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _one = lab.agent("stata1", &gateway, &["--licence", "lab"]);
    gateway.api.wait_host_up().await;
    let file = lab.file("a.do", "display 1\n");
    let first = gateway.api.submit_path(&file, &["1"]).await.run_id;
    gateway.api.wait_end(first).await;
    let second = gateway.api.submit_path(&file, &["2"]).await;
    gateway.api.wait_end(second.run_id).await;
    let (first, at) = (first.to_string(), second.created_at.unwrap());
    let second = second.run_id.to_string();

    assert_eq!(list(&gateway, "pool=lab").await.unwrap(), [second.clone(), first.clone()]);
    assert!(list(&gateway, "pool=other").await.unwrap().is_empty());
    assert_eq!(list(&gateway, &format!("until={at}")).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(list(&gateway, &format!("since={at}&pool=lab")).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(
        list(&gateway, &format!("until={at}&since=3600&state=succeeded,failed")).await.unwrap(),
        std::slice::from_ref(&first)
    );
    assert!(list(&gateway, "until=3600").await.unwrap().is_empty());
    for (query, told) in [("until=monday", "`until`: `monday` is no time"), ("pool=", "`pool` must have 1 to 256")] {
        let problem = list(&gateway, query).await.unwrap_err();
        assert!(problem.status == 400 && problem.detail.contains(told), "{query}: {problem:#?}");
    }

    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let ran = lab.run(["--data", &data, "runs", "--pool", "lab", "--until", &at, "--json"]).await;
    assert!(ran.status == 0 && ran.out.contains(&first) && !ran.out.contains(&second), "{ran:#?}");
    let ran = lab.run(["--data", &data, "runs", "--pool", "lab", "--until", "0s", "--limit", "1"]).await;
    assert!(ran.err.contains("--pool lab --until 0s --limit 1 --before"), "{ran:#?}");
}
