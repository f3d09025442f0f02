//! `packages install`: a run whose code is the command that installs one package.

use longhaul_proto::api::SubmitRequest;

use super::run::{Shown, check_detach, follow, submit};
use crate::{
    args::{Install, Packages, PackagesAction},
    context::{Context, Failure},
    gateway_handle::{Begins, GatewayHandle, Need},
    input::Input,
    signals::Signals,
};

/// `packages`.
///
/// # Errors
/// With what to do.
pub(crate) async fn packages(context: &Context, args: &Packages) -> Result<u8, Failure> {
    match &args.action {
        PackagesAction::Install(install) => Box::pin(self::install(context, install)).await,
    }
}

async fn install(context: &Context, args: &Install) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let engine = context.config.settings.engine;
    let need = Need { engine, starts_runs: true, begins: Begins::Always, ..Need::default() };
    let mut gateway = GatewayHandle::open(context, need).await?;
    let request = SubmitRequest {
        text: Some(format!("{}\n", args.command())),
        host: Some(args.host.clone()),
        name: Some(format!("install {}", args.name)),
        key: Some(context.ids.name()),
        results: Some(false),
        again: true,
        confirm: args.confirm,
        client: Some(concat!("longhaul ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..SubmitRequest::default()
    };
    let shown = Shown { detach: args.detach, json: args.ask.json, raw: false };
    let done = async {
        check_detach(args.detach, &gateway)?;
        let submitted = submit(context, &mut gateway, Input { request, files: Vec::new() }).await?;
        Box::pin(follow(context, shown, &mut gateway, &mut signals, submitted)).await
    };
    let done = Box::pin(done).await.map_err(|failure| {
        // A package is installed on one host, so this one cannot be left out.
        let message = failure.message.replace("; leave host out to take any", "; pass one of them with --host");
        Failure { message, ..failure }
    });
    gateway.close().await;
    done
}
