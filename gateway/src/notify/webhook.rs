//! A webhook: one signed POST, to an address that was checked, without redirects and without a proxy.

use std::{net::SocketAddr, sync::Arc};

use http::{StatusCode, header};
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{Failed, secret::Secret};
use crate::options::notify::NotifyOptions;

/// What is read of an answer at most, so that a receiver can end it, bytes; nothing of it is kept.
const MAX_ANSWER: usize = 16 * 1024;

/// A request to be signed and sent.
pub(super) struct Post<'a> {
    /// Names what is told, the same at each try.
    pub(super) id: &'a str,
    /// When this try is made, Unix seconds.
    pub(super) timestamp: i64,
    /// JSON.
    pub(super) body: &'a str,
    /// The secrets to sign with: the present one, and the one before as long as both hold.
    pub(super) secrets: &'a [Secret],
}

/// How certificates of receivers are verified: by the system's roots, and by those of the gateway's configuration.
///
/// # Errors
/// Why it cannot be.
pub(super) fn tls(options: &NotifyOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let extra = roots(&options.ca)?;
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone());
    let verifier = verifier.map_err(|error| format!("the system's root certificates cannot be read: {error}"))?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(config.with_no_client_auth())
}

/// The certificates of a PEM text.
///
/// # Errors
/// When something in it is none.
pub(super) fn roots(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.map_err(|error| format!("`notify_ca` has no certificates in PEM form: {error}"))
}

/// Whatever is looked up, these are the addresses.
struct Checked(Vec<SocketAddr>);

impl Resolve for Checked {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// Sends it to one of these addresses.
pub(super) async fn post(
    options: &NotifyOptions,
    tls: ClientConfig,
    url: &Url,
    addresses: &[SocketAddr],
    post: Post<'_>,
) -> Result<(), Failed> {
    // Each try has a client of its own, which knows no other addresses than these and keeps no connection.
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Checked(addresses.to_vec()))
        .no_proxy()
        .redirect(Policy::none())
        .http1_only()
        .pool_max_idle_per_host(0)
        .connect_timeout(options.timeout)
        .timeout(options.timeout)
        .user_agent(concat!("longhaul/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failed::later(error.to_string()))?;
    let signatures: Vec<_> =
        post.secrets.iter().map(|secret| secret.signature(post.id, post.timestamp, post.body)).collect();
    let request = client
        .post(url.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", post.id)
        .header("webhook-timestamp", post.timestamp)
        .header("webhook-signature", signatures.join(" "))
        .body(post.body.to_owned());
    let mut answer = request.send().await.map_err(|error| not_answered(error, options))?;
    let status = answer.status();
    let mut read = 0;
    while read < MAX_ANSWER
        && let Ok(Some(piece)) = answer.chunk().await
    {
        read += piece.len();
    }
    match status {
        status if status.is_success() => Ok(()),
        // "The endpoint is gone" (Standard Webhooks, "Deliverability and reliability").
        StatusCode::GONE => Err(Failed::last("it answered 410: it wants no more of them")),
        status if status.is_redirection() => Err(Failed::later(format!(
            "it answered {} and names another address, which is not followed: give that one as the receiver",
            status.as_u16()
        ))),
        status => Err(Failed::later(format!("it answered {}", status.as_u16()))),
    }
}

/// Why there was no answer, without the URL.
fn not_answered(error: reqwest::Error, options: &NotifyOptions) -> Failed {
    let error = error.without_url();
    if error.is_timeout() {
        return Failed::silent(format!("it did not answer within {} s", options.timeout.as_secs_f64()));
    }
    let mut words = Vec::new();
    let mut at: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = at {
        words.push(error.to_string());
        at = error.source();
    }
    words.dedup();
    Failed::silent(words.join(": "))
}
