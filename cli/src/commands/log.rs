//! `log`: a run's output, live or finished.

use std::time::Duration;

use longhaul_proto::{api::RunView, encoding::Encoding};

use crate::{
    args::Log,
    client::{Part, Stream},
    context::{Context, Failure},
    exit,
    follow::{End, Follower},
    gateway_handle::{GatewayHandle, Need},
    output::{ShownOn, Status, say, say_of, verdict},
    printer::{OnTerminal, Printer},
    signals::Signals,
};

/// `log`.
///
/// # Errors
/// With what to do.
pub(crate) async fn log(context: &Context, args: &Log) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let mut gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = print(context, args, &mut gateway, &mut signals).await;
    gateway.close().await;
    done
}

async fn print(
    context: &Context,
    args: &Log,
    gateway: &mut GatewayHandle,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let run = gateway.client.get(&args.run).await?;
    let stream = if args.console { Stream::Console } else { Stream::Log };
    let encoding = context.log_encoding();
    if !args.follow {
        return once(args, &run, stream, encoding, gateway, signals).await;
    }
    let first = match args.tail {
        Some(lines) => gateway.client.output(&args.run, stream, Part::Tail(lines)).await?.first(),
        None => 0,
    };
    let show = printer(args, first, encoding);
    let mut follower = Follower::new(context, run.run_id, Some(show), Status::new(ShownOn::for_json(args.ask.json)))
        .from(stream, first);
    match follower.follow(gateway, signals, None).await? {
        End::Ended(run) => {
            say_of(run.state, &verdict(&run));
            Ok(0)
        }
        End::Limit | End::Asked(_) => {
            say(&format!("leaving; run {} goes on", run.run_id.short()));
            Ok(exit::GOES_ON)
        }
    }
}

fn printer(args: &Log, first: u64, encoding: Encoding) -> Printer {
    if args.ask.json {
        Printer::events_to_stdout(first, encoding)
    } else if args.no_echo {
        Printer::output_only_to_stdout(encoding)
    } else {
        Printer::bytes_to_stdout(OnTerminal::of(args.raw), encoding)
    }
}

/// Prints what there is now.
async fn once(
    args: &Log,
    run: &RunView,
    stream: Stream,
    encoding: Encoding,
    gateway: &mut GatewayHandle,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let mut part = args.tail.map_or(Part::From(0, Duration::ZERO), Part::Tail);
    let mut show = printer(args, 0, encoding);
    // Of a run with several attempts each is a piece of its own. The number is bounded: a run that prints without pause
    // has something new each time.
    for _ in 0..=run.earlier_views.len() {
        let mut reading = gateway.client.output(&args.run, stream, part).await?;
        loop {
            let bytes = tokio::select! {
                bytes = reading.chunk() => bytes?,
                _ = signals.next() => return Ok(exit::GOES_ON),
            };
            let Some((at, bytes)) = bytes else { break };
            show.bytes(at, &bytes)?;
        }
        if args.tail.is_some() {
            break;
        }
        part = Part::From(reading.next(), Duration::ZERO);
    }
    if let Some(why) = run.withheld().filter(|_| stream == Stream::Log) {
        say(&format!("{}: {why}", run.run_id.short()));
    }
    show.finish()?;
    Ok(0)
}
