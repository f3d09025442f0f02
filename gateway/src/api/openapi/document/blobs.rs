//! Files by their content, with the words of tus 1.0.

use http::Method;
use serde_json::{Value, json};

use super::{
    of_a_run::ranges,
    operation::{Operation, get, number, operation, post, sent, text},
};

const ONE: &str = "/api/v1/blobs/{sha256}";

/// How far an upload is.
fn told(about: &str) -> Value {
    json!({"description": about, "headers": {
        "Upload-Offset": sent("Bytes that are there.", number()),
        "Upload-Length": sent("Bytes of the whole.", number()),
        "Tus-Resumable": sent("`1.0.0`.", text())
    }})
}

pub(super) fn all() -> Vec<Operation> {
    let mut opened = told("The upload is open, or the blob is there already.");
    opened["headers"]["Location"] = sent("Where its bytes go.", text());
    let length = "Bytes of the whole.";
    let all = vec![
        post("/api/v1/blobs", "begin_upload", "Begins an upload.")
            .must_have_header("Upload-Length", length, number())
            .must_have_header(
                "Upload-Metadata",
                "`sha256` and, in base64, the 64 hexadecimal digits of the content's SHA-256.",
                text(),
            )
            .answer(201, opened)
            .problems(&[409, 411, 413, 507]),
        operation(Method::OPTIONS, "/api/v1/blobs", "upload_abilities", "What of the upload protocol is understood.")
            .answer(
                204,
                json!({"description": "In the headers.", "headers": {
                    "Tus-Resumable": sent("`1.0.0`.", text()),
                    "Tus-Version": sent("`1.0.0`.", text()),
                    "Tus-Extension": sent("`creation,termination`.", text()),
                    "Tus-Max-Size": sent("Bytes of the largest file.", number())
                }}),
            ),
        ranges(
            get(ONE, "get_blob", "The bytes of a blob that the caller may name."),
            "application/octet-stream",
            json!({}),
        )
        .problems(&[404]),
        operation(Method::HEAD, ONE, "upload_progress", "How many bytes of an upload are there.")
            .answer(200, told("So many."))
            .problems(&[404]),
        operation(Method::PUT, ONE, "upload", "Uploads the whole in one request.")
            .notes("Where it breaks off, `PATCH` goes on.")
            .header("Upload-Length", "Bytes of the whole, where the body has no `Content-Length`.", number())
            .takes_bytes("application/octet-stream")
            .answer(201, told("It is kept now."))
            .answer(200, told("It was there already."))
            .problems(&[404, 409, 411, 423, 460, 507]),
        operation(Method::PATCH, ONE, "upload_more", "Goes on with an upload, at the offset where its bytes end.")
            .must_have_header("Upload-Offset", "Where the body begins.", number())
            .takes_bytes("application/offset+octet-stream")
            .answer(204, told("So far it is now."))
            .problems(&[404, 409, 415, 423, 460, 507]),
        operation(Method::DELETE, ONE, "end_upload", "Ends an upload, and deletes what came.")
            .answer(204, json!({"description": "It is gone.", "headers": {"Tus-Resumable": sent("`1.0.0`.", text())}}))
            .problems(&[404, 423]),
    ];
    all.into_iter().map(|operation| operation.tag("blobs")).collect()
}
