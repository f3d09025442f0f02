//! `results`: what a run left in r(), e() and s().

use longhaul_proto::{api::RunResults, results_text};

use crate::{
    args::Results,
    client::Client,
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::Out,
};

/// `results`.
///
/// # Errors
/// With what to do.
pub(crate) async fn results(context: &Context, args: &Results) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = answer(&gateway.client, args).await;
    gateway.close().await;
    done
}

/// Exit status 0: there are results; 4: there are none, and why.
async fn answer(client: &Client, args: &Results) -> Result<u8, Failure> {
    let bytes = client.results(&args.run).await?;
    let odd = |error: serde_json::Error| {
        Failure::system(format!(
            "the gateway's answer is not one about results ({error}); is it of an earlier version?"
        ))
    };
    let read: RunResults = serde_json::from_slice(&bytes).map_err(odd)?;
    let short = read.run_id.short();
    let mut out = Out::default();
    if args.ask.json && args.name.is_none() {
        // As it came: no number is read and written again.
        out.text(&(String::from_utf8_lossy(&bytes).trim_end().to_owned() + "\n"))?;
        return Ok(u8::from(read.results.is_none()) * 4);
    }
    let Some(results) = &read.results else {
        let why = read.why_not.unwrap_or_else(|| "the gateway does not say why".to_owned());
        return Err(Failure::system(format!("run {short} has no results: {why}")));
    };
    let one = |name: &String| {
        results_text::one(results, name).map_err(|error| Failure::usage(format!("run {short}: {error}")))
    };
    if let Some(name) = args.name.as_ref().filter(|_| args.ask.json) {
        one(name)?;
        let only = results_text::only(results, name);
        out.json(&RunResults { results: Some(only), ..read })?;
        return Ok(0);
    }
    let text = match &args.name {
        None => results_text::overview(results),
        Some(name) => one(name)?,
    };
    out.text(&text)?;
    Ok(0)
}
