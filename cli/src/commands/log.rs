//! `log`: a run's output, live or finished.

use std::time::Duration;

use longhaul_proto::api::RunView;

use crate::{
    args::Log,
    client::{Client, Part, Reading, Stream},
    context::{Context, Failure},
    exit,
    follow::{End, Follower},
    hold::Hold,
    output::{Status, say, verdict},
    session::{Need, Session},
    show::Show,
    signals::Signals,
};

/// `log`.
///
/// # Errors
/// With what to do.
pub(crate) async fn log(context: &Context, args: &Log) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let mut session = Session::open(context, Need::default()).await?;
    let done = print(context, args, &mut session, &mut signals).await;
    session.close().await;
    done
}

async fn print(context: &Context, args: &Log, session: &mut Session, signals: &mut Signals) -> Result<u8, Failure> {
    let run = session.client.get(&args.run).await?;
    let stream = if args.console { Stream::Console } else { Stream::Log };
    let mut reading = begin(&session.client, &run, stream, args).await?;
    let first = reading.at();
    let mut show = if args.ask.json { Show::events_to_stdout(first) } else { Show::bytes_to_stdout() };
    if !args.follow {
        // What may be the wrapper's end is left out while the run is live; of an ended run the gateway knows.
        let mut hold = (stream == Stream::Log && !reading.complete).then(|| Hold::new(first));
        loop {
            let bytes = tokio::select! {
                bytes = reading.chunk() => bytes?,
                _ = signals.next() => return Ok(exit::GOES_ON),
            };
            let Some(bytes) = bytes else { break };
            match &mut hold {
                Some(hold) => show.bytes(&hold.push(&bytes))?,
                None => show.bytes(&bytes)?,
            }
        }
        show.finish()?;
        return Ok(0);
    }
    drop(reading);
    let mut follower = Follower::new(context, run.run_id, Some(show), Status::new(args.ask.json)).from(stream, first);
    match follower.follow(session, signals, None).await? {
        End::Ended(run) => {
            say(verdict(&run).trim_end());
            Ok(0)
        }
        End::Limit | End::Asked(_) => {
            say(&format!("leaving; run {} goes on", run.run_id.short()));
            Ok(exit::GOES_ON)
        }
    }
}

/// What is there now, from the right byte on.
async fn begin(client: &Client, run: &RunView, stream: Stream, args: &Log) -> Result<Reading, Failure> {
    let id = run.run_id.to_string();
    let start = if stream == Stream::Log { run.view.map_or(0, |v| v.start) } else { 0 };
    Ok(match (args.tail, stream) {
        (Some(lines), _) => client.output(&id, stream, Part::Tail(lines)).await?,
        (None, Stream::Log) if run.state.is_end() => client.output(&id, stream, Part::UserFrom(start)).await?,
        (None, _) => client.output(&id, stream, Part::From(start, Duration::ZERO)).await?,
    })
}
