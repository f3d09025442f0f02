//! Who is told of the ends of runs.

use http::Method;
use longhaul_proto::api::{
    NotifyList, NotifySecret, NotifySecretRequest, NotifyTestRequest, NotifyTested, ReceiverRequest, ReceiverView,
};
use serde_json::json;

use super::operation::{Operation, get, operation, post};
use crate::api::notify::Which;

pub(super) fn all() -> Vec<Operation> {
    let all = vec![
        get(
            "/api/v1/notify",
            "list_receivers",
            "Who is told of the ends of the caller's runs, and what became of the latest.",
        )
        .gives::<NotifyList>(200, "The receivers and messages."),
        post(
            "/api/v1/notify/receivers",
            "add_receiver",
            "Lets one more be told of the ends of all of the caller's runs.",
        )
        .notes("The gateway's configuration says which addresses are allowed. docs/notifications.md says what is sent.")
        .takes::<ReceiverRequest>()
        .gives::<ReceiverView>(201, "The receiver.")
        .gives::<ReceiverView>(200, "It was there already.")
        .problems(&[409]),
        operation(Method::DELETE, "/api/v1/notify/receivers", "remove_receiver", "Tells one no more.")
            .query::<Which>(&["address"])
            .answer(204, json!({"description": "It is removed."}))
            .problems(&[400, 404]),
        post("/api/v1/notify/secret", "read_notify_secret", "The secret by which the caller's webhooks are signed.")
            .notes("It is shown once. `rotate` makes another; for a day both sign.")
            .may_take::<NotifySecretRequest>()
            .gives::<NotifySecret>(200, "The secret, which is never shown again.")
            .problems(&[409]),
        post("/api/v1/notify/test", "test_receivers", "Sends a test now, and says what happened.")
            .may_take::<NotifyTestRequest>()
            .gives::<NotifyTested>(200, "What became of it, for each receiver.")
            .problems(&[404]),
    ];
    all.into_iter().map(|operation| operation.tag("notify")).collect()
}
