//! Quotas on the real programs: each kind is held, named where it is reached, and counted from the ledger, so that a restart
//! changes nothing. Each has its control: a gateway in which that quota is switched off.

mod runs;
mod urgency;
mod waits;

use longhaul_proto::api::{Problem, QuotaKind, QuotaReached, SubmitRequest};
use longhaul_tests::{api::Api, lab::Gateway};
use reqwest::Method;
use serde_json::{Value, json};

/// A client of another principal.
async fn principal(gateway: &Gateway, name: &str) -> Api {
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": name})).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    gateway.api.with_token(made["token"].as_str().unwrap())
}

fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), again: true, ..SubmitRequest::default() }
}

/// The quota that a refusal names, in its object and in its words.
fn reached(problem: &Problem) -> QuotaReached {
    let quota = *problem.quota.clone().unwrap_or_else(|| panic!("no quota: {problem:?}"));
    let QuotaReached { of, kind, .. } = &quota;
    assert_eq!(problem.kind, "quota");
    assert!(problem.detail.starts_with(&format!("quota `{kind}` of {of} is reached: ")), "{}", problem.detail);
    assert!(problem.detail.contains("The operator of this gateway can change it"), "{}", problem.detail);
    quota
}

/// What the caller's quotas say of one kind: used, and the limit.
async fn used(api: &Api, kind: QuotaKind) -> (u64, Option<u64>) {
    let list: longhaul_proto::api::QuotaList =
        longhaul_tests::api::read(api.request(Method::GET, "/api/v1/quotas").send().await.unwrap()).await.unwrap();
    let limits = list.quotas.iter().flat_map(|quota| &quota.limits);
    let of_kind: Vec<_> =
        limits.filter(|limit| limit.kind == kind && (limit.limit.is_some() || limit.used > 0)).collect();
    of_kind.first().map_or((0, None), |limit| (limit.used, limit.limit))
}
