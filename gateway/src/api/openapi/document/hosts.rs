//! Hosts, their help and their data files.

use longhaul_proto::api::{DataView, DrainBody, Drained, Forgotten, HelpView, Hosts, QuotaList};
use serde_json::json;

use super::operation::{Operation, get, post, text};
use crate::api::{data::DataQuery, help::Query, quotas::Whose};

pub(super) fn all() -> Vec<Operation> {
    let mut help = get("/api/v1/help", "get_help", "Stata's help of a host: a topic, or what a search finds.")
        .query::<Query>(&[])
        .header("Accept", "With `text/markdown` the text alone.", text())
        .problems(&[404]);
    let topic = help.schema::<HelpView>();
    let found = json!({"description": "The topic, or what was found.", "content": {
        "application/json": {"schema": topic},
        "text/markdown": {"schema": text()}
    }});
    let mut data =
        get("/api/v1/data", "get_data", "What is in a data file, as a table, or its observations as CSV or Parquet.")
            .query::<DataQuery>(&["path"])
            .problems(&[404, 409, 410, 422, 502]);
    let table = data.schema::<DataView>();
    let shown = json!({"description": "A table, or the observations.", "content": {
        "application/json": {"schema": table},
        "text/csv": {"schema": text()},
        "application/vnd.apache.parquet": {}
    }});
    let all = vec![
        get("/api/v1/hosts", "list_hosts", "Hosts, licence pools, and why the caller's runs wait.")
            .gives::<Hosts>(200, "All of them."),
        post("/api/v1/hosts/drain", "drain_hosts", "Lets nothing new start on hosts; runs there go on.")
            .takes::<DrainBody>()
            .gives::<Drained>(200, "What is drained now.")
            .problems(&[404, 409]),
        post("/api/v1/hosts/resume", "resume_hosts", "Lets runs start on hosts again.")
            .takes::<DrainBody>()
            .gives::<Drained>(200, "What is drained now.")
            .problems(&[404, 409]),
        post("/api/v1/hosts/forget", "forget_hosts", "Forgets hosts that are away for good.")
            .takes::<DrainBody>()
            .gives::<Forgotten>(200, "What is forgotten.")
            .problems(&[404, 409]),
        get("/api/v1/quotas", "list_quotas", "Quotas, and what is used of them.")
            .query::<Whose>(&[])
            .gives::<QuotaList>(200, "The caller's own and those of its groups, or everybody's."),
        help.answer(200, found),
        data.answer(200, shown),
    ];
    all.into_iter().map(|operation| operation.tag("hosts")).collect()
}
