//! `run`: starts a run and follows it to its end, and exits with the status that tells it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use longhaul_proto::{
    api::{CancelMode, Joined, RerunBody, RunView, SubmitRequest, Submitted},
    risk,
};

use crate::{
    args::{Rerun, Run},
    client::ClientError,
    config::Engine,
    context::{Context, Failure},
    exit,
    follow::{End, Follower},
    gateway_handle::{Begins, GatewayHandle, Need},
    input::{self, Hosts, Input, LocalFile},
    output::{Out, OwnFiles, ShownOn, Status, When, say, say_of, verdict},
    printer::{OnTerminal, Printer},
    request_span::RequestSpan,
    signals::{Asked, Signals},
};

/// How often a submission whose answer was lost is made again; its idempotency key makes it the same run.
const TRIES: usize = 5;
/// Pause before that.
const AGAIN: Duration = Duration::from_millis(500);
/// How often files are uploaded that the gateway says it has not.
const ROUNDS: usize = 3;
/// Most files that are uploaded at once.
const AT_ONCE: usize = 8;

/// `run`.
///
/// # Errors
/// With what to do.
pub(crate) async fn run(context: &Context, args: &Run) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let remote = context.config.settings.gateway.is_some();
    let hosts = if remote { Hosts::Anywhere } else { Hosts::Here };
    let mut input = input::request(args, hosts)?;
    input.request.engine =
        context.config.settings.engine.filter(|_| !remote || args.engine.is_some()).map(|e| e.as_str().into());
    input.request.key = Some(context.ids.name());
    if context.config.settings.engine == Some(Engine::Standin) {
        say("running on the stand-in, not Stata: its manners, and of estimators `regress` alone");
    }
    let need =
        Need { engine: context.config.settings.engine, starts_runs: true, begins: Begins::Always, ..Need::default() };
    if args.detach && !remote && !context.data.gateway_serves().unwrap_or(false) {
        return Err(detached_from_nothing());
    }
    let mut gateway = GatewayHandle::open(context, need).await?;
    if let Err(error) = check_detach(args.detach, &gateway) {
        gateway.close().await;
        return Err(error);
    }
    if !args.notify.is_empty() && !gateway.stays() {
        gateway.close().await;
        return Err(told_by_nothing());
    }
    let as_text = sent_as_text(&input.request);
    let submitted = submit(context, &mut gateway, input).await;
    let done = match submitted {
        Ok(submitted) => {
            if let Some(note) = as_text.filter(|_| submitted.run.source == "text") {
                say(&note);
            }
            let shown = Shown { detach: args.detach, json: args.ask.json, raw: args.raw };
            Box::pin(follow(context, shown, &mut gateway, &mut signals, submitted)).await
        }
        Err(error) => Err(error),
    };
    gateway.close().await;
    done
}

/// A gateway that ends with this process tells nothing of the run after that.
fn told_by_nothing() -> Failure {
    Failure::usage(
        "--notify needs a gateway that stays: start one with `longhaul up` or name it with --gateway, or leave --notify out",
    )
}

/// What is said when no agent has these bytes under that path, and the text is run.
fn sent_as_text(request: &SubmitRequest) -> Option<String> {
    let path = request.path.as_ref().filter(|_| request.text.is_some())?;
    let place = match &request.working_dir {
        Some(folder) => format!("in {folder}"),
        None => "in an empty folder of its own, without the files beside it (--with sends them)".to_owned(),
    };
    Some(match &request.host {
        // Nothing tells here which of the two it was.
        Some(host) => format!(
            "{host} is away, or does not have {path} with this content in a folder of its own: its text is sent, and runs {place}. \
             If it needs the files that are there, cancel it and run it again when the host is back"
        ),
        None => {
            format!("no agent has {path} with this content in a folder of its own: its text is sent, and runs {place}")
        }
    })
}

/// Uploads those of the files that are missing, each content once.
async fn upload(gateway: &GatewayHandle, files: &[LocalFile], missing: &[String]) -> Result<(), ClientError> {
    let wanted: BTreeMap<_, _> = files.iter().map(|file| (file.digest.to_string(), file)).collect();
    let wanted = missing.iter().filter_map(|digest| wanted.get(digest));
    let mut uploads = stream::iter(wanted).map(|file| gateway.client.upload(file)).buffer_unordered(AT_ONCE);
    while let Some(uploaded) = uploads.next().await {
        uploaded?;
    }
    Ok(())
}

/// Whether a run may be left, as far as it is to be.
///
/// # Errors
/// When no gateway stays that it could be left to.
pub(super) fn check_detach(detach: bool, gateway: &GatewayHandle) -> Result<(), Failure> {
    if detach && !gateway.stays() { Err(detached_from_nothing()) } else { Ok(()) }
}

fn detached_from_nothing() -> Failure {
    Failure::usage(
        "--detach leaves the run to a daemon, and none holds this data folder: start one with `longhaul up` (in another \
         terminal, or as a service), or run without --detach",
    )
}

pub(super) async fn submit(
    context: &Context,
    gateway: &mut GatewayHandle,
    mut input: Input,
) -> Result<Submitted, Failure> {
    let span = RequestSpan::begin();
    let parent = span.context();
    let work = async {
        let (mut tries, mut rounds) = (0, 0);
        loop {
            tries += 1;
            match gateway.client.submit(&input.request, &parent).await {
                Ok(submitted) => return Ok(submitted),
                // Words for people: a gateway of an earlier version runs it without them.
                Err(error) if input.request.file_name.is_some() && error.knows_no("file_name") => {
                    input.request.file_name = None;
                }
                Err(error) if !input.files.is_empty() && error.knows_no("sha256") => {
                    input = Input { request: input::with_contents(&input)?, files: Vec::new() };
                }
                Err(error) if error.missing().is_some() && rounds < ROUNDS => {
                    rounds += 1;
                    let missing = error.missing().unwrap_or_default();
                    upload(gateway, &input.files, missing).await?;
                }
                // A named gateway that no server answers for is reported at once; a lost answer is worth another
                // request.
                Err(error)
                    if error.may_pass()
                        && tries < TRIES
                        && (tries > 1 || !error.is_unreachable() || !gateway.is_named()) =>
                {
                    tokio::time::sleep(AGAIN).await;
                    gateway.reopen(context, AGAIN).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    let submitted = span.around(work).await;
    span.answered(submitted.as_ref().ok().map(|submitted| submitted.run.run_id));
    submitted
}

/// `rerun`.
///
/// # Errors
/// With what to do.
pub(crate) async fn rerun(context: &Context, args: &Rerun) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let need = Need { engine: context.config.settings.engine, starts_runs: true, ..Need::default() };
    let mut gateway = GatewayHandle::open(context, need).await?;
    let done = Box::pin(repeat(context, args, &mut gateway, &mut signals)).await;
    gateway.close().await;
    done
}

async fn repeat(
    context: &Context,
    args: &Rerun,
    gateway: &mut GatewayHandle,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    check_detach(args.detach, gateway)?;
    let before = gateway.client.get(&args.run).await?;
    let client = Some(concat!("longhaul ", env!("CARGO_PKG_VERSION")).to_owned());
    let body = RerunBody { key: Some(context.ids.name()), client, confirm: args.confirm };
    // Not `last` a second time: it may be another run by now.
    let (run, mut tries) = (before.run_id.to_string(), 1);
    let submitted = loop {
        match gateway.client.rerun(&run, &body).await {
            Err(error) if error.may_pass() && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(AGAIN).await;
                gateway.reopen(context, AGAIN).await?;
            }
            submitted => break submitted?,
        }
    };
    say(&format!(
        "repeats {}: {}",
        before.run_id.short(),
        [&[before.what().to_owned()], before.args.as_slice()].concat().join(" ")
    ));
    let shown = Shown { detach: args.detach, json: args.ask.json, raw: args.raw };
    Box::pin(follow(context, shown, gateway, signals, submitted)).await
}

/// What is shown of a run that was submitted.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// Its id, and nothing else.
    pub(super) detach: bool,
    /// The API's object at the end, and no output.
    pub(super) json: bool,
    /// The bytes as Stata wrote them.
    pub(super) raw: bool,
}

/// Follows a run that was submitted to its end, unless it is only to be named.
///
/// # Errors
/// With what to do.
pub(super) async fn follow(
    context: &Context,
    args: Shown,
    gateway: &mut GatewayHandle,
    signals: &mut Signals,
    submitted: Submitted,
) -> Result<u8, Failure> {
    let Submitted { run, joined } = &submitted;
    if let Some(joined) = joined {
        say(&joined_text(run, *joined));
    }
    if !run.risks.is_empty() {
        say(&format!("warning: {}", risk::summary(&run.risks)));
    }
    if args.detach {
        let mut out = Out::default();
        if args.json {
            out.json(&submitted)?;
        } else {
            out.bytes(format!("{}\n", run.run_id).as_bytes())?;
        }
        return Ok(0);
    }
    if joined.is_none() {
        say(&format!("run {} ({})", run.run_id.short(), run.run_id));
    }
    let show = (!args.json).then(|| Printer::bytes_to_stdout(OnTerminal::of(args.raw), context.log_encoding()));
    let follower = Follower::new(context, run.run_id, show, Status::new(ShownOn::Anything));
    let (when, ours) = (When::new(context.utc), OwnFiles::of_process());
    let way = Way { limit: None, json: args.json, cancels: true, when, ours };
    to_end(follower, gateway, signals, way).await
}

fn joined_text(run: &RunView, joined: Joined) -> String {
    let short = run.run_id.short();
    let again = "to run it again: --again";
    match joined {
        Joined::Key | Joined::Call => {
            format!("this is run {short}, which was recorded before; nothing was started now")
        }
        Joined::Unfinished => format!("already {} as {short}; nothing was started now; {again}", run.state),
        Joined::Undelivered => {
            format!(
                "an equal run, {short}, ended lately and its end was not seen yet; nothing was started now; {again}"
            )
        }
    }
}

/// How `run` and `wait` differ in following.
pub(super) struct Way {
    pub(super) limit: Option<Duration>,
    pub(super) json: bool,
    /// Ctrl-C cancels what runs inside this process: `run` started it, `wait` only follows.
    pub(super) cancels: bool,
    pub(super) when: When,
    pub(super) ours: OwnFiles,
}

/// Follows to the end and reports it.
pub(super) async fn to_end(
    mut follower: Follower<'_>,
    gateway: &mut GatewayHandle,
    signals: &mut Signals,
    way: Way,
) -> Result<u8, Failure> {
    let mut cancelled = false;
    let tell = |run: Option<&RunView>| match run {
        Some(run) if way.json => Out::default().json(run),
        _ => Ok(()),
    };
    loop {
        match follower.follow(gateway, signals, way.limit).await? {
            End::Ended(run) => {
                say_of(run.state, &verdict(&way.when.of_run(&way.ours.left_out(&run))));
                tell(Some(&run))?;
                return Ok(exit::of_state(run.state));
            }
            End::Limit => {
                say(&format!("still not ended; the run goes on: `longhaul wait {}`", follower.run().short()));
                tell(follower.view())?;
                return Ok(exit::GOES_ON);
            }
            End::Asked(Asked::Interrupt) if way.cancels && gateway.is_embedded() && !cancelled => {
                cancelled = true;
                say("cancelling: asking Stata to break. Ctrl-C again leaves at once; the run then ends by itself");
                gateway.client.cancel(&follower.run().to_string(), CancelMode::Break).await?;
            }
            End::Asked(_) => {
                let left = match (gateway.is_embedded(), cancelled) {
                    (true, true) => Left::Cancelled,
                    (true, false) => Left::Supervised,
                    (false, _) => Left::Served,
                };
                say(&leaving(&follower.run().short(), left));
                tell(follower.view())?;
                return Ok(exit::GOES_ON);
            }
        }
    }
}

/// What goes on when this process leaves a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Its supervisor, which ends it as was asked.
    Cancelled,
    /// Its supervisor; the gateway was in this process.
    Supervised,
    /// Its supervisor and its gateway.
    Served,
}

fn leaving(short: &str, left: Left) -> String {
    match left {
        Left::Cancelled => format!(
            "leaving; the run's supervisor brings it to its end, and the next `longhaul` here has the result: \
             `longhaul wait {short}`"
        ),
        Left::Supervised => format!("leaving; run {short} goes on under its supervisor: `longhaul wait {short}`"),
        Left::Served => format!(
            "leaving; run {short} goes on. `longhaul wait {short}` waits for it, `longhaul cancel {short}` ends it"
        ),
    }
}
