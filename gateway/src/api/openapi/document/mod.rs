//! Test: the document says what the router has, with the types that handlers read and write.
//!
//! `LONGHAUL_REGENERATE=1` writes `openapi.json` anew; its change is to be read, for clients are made from it.

mod admin;
mod assemble;
mod blobs;
mod hosts;
mod notify;
mod of_a_run;
mod operation;
mod runs;

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use super::DOCUMENT;
use crate::{
    api,
    auth::routes::{Row, in_openapi},
};

/// All operations.
fn operations() -> Vec<operation::Operation> {
    [runs::all(), of_a_run::all(), blobs::all(), hosts::all(), notify::all(), admin::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// Methods and paths of a document.
fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    each.collect()
}

/// Those of the router.
fn routed(rows: &[Row]) -> BTreeSet<(String, String)> {
    rows.iter().map(|row| (row.method.as_ref().unwrap().to_string(), in_openapi(row.path))).collect()
}

#[test]
fn the_document_is_what_the_types_and_the_router_say() {
    let written = assemble::document(&operations(), api::routes().rows());
    let written = assemble::text(&written);
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/openapi/openapi.json");
        return std::fs::write(path, written).unwrap();
    }
    assert!(
        written == DOCUMENT,
        "a type or a route has changed: write it anew with LONGHAUL_REGENERATE=1, and read what changes"
    );
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let routes = api::routes();
    assert_eq!(described(&document), routed(routes.rows()));
    assert!(routes.rows().len() > 50, "all of them");
    // The controls: a route without a description, and a description without a route.
    let extended = api::routes().on(http::Method::GET, "/api/v1/new", crate::model::Permission::Token, async || ());
    assert_ne!(described(&document), routed(extended.rows()));
    document["paths"]["/api/v1/runs"].as_object_mut().unwrap().remove("post");
    assert_ne!(described(&document), routed(routes.rows()));
}

#[test]
fn every_operation_says_what_it_does_needs_and_answers() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let told = format!("{method} {path}: {operation:#}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{told}");
            assert!(operation["summary"].as_str().unwrap().len() > 5 && operation["tags"][0].is_string(), "{told}");
            assert!(operation["security"].is_array(), "{told}");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{told}");
            for (status, answer) in answers.iter().filter(|(status, _)| !status.starts_with('2')) {
                let shared = format!("#/components/responses/Problem{status}");
                let own = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                let is_problem = answer["$ref"] == *shared || own == "#/components/schemas/Problem";
                assert!(method == "head" || is_problem, "{status} of {told}");
            }
            let named: Vec<_> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let of_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
            assert_eq!(
                of_path.map(|parameter| parameter["name"].as_str().unwrap()).collect::<Vec<_>>(),
                named,
                "{told}"
            );
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for name in text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(schemas.contains_key(name), "the schema {name} is not there");
    }
    for name in text.split("\"#/components/responses/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["responses"][name].is_object(), "the answer {name} is not there");
    }
}
