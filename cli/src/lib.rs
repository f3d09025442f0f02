//! Longhaul's one program: every command, and the processes behind them.
//!
//! ```text
//! main -> supervise, standin, draw, judge  no runtime, no configuration: small and exact
//!      -> config -> daemons                up, gateway, agent
//!                -> gateway_handle -> client   run, wait, log, cancel, show, do-files, runs, hosts, token, declare-dead
//!                -> doctor
//!                -> clients, stdio        other programs' configuration; the bridge for clients without HTTP
//! ```
//!
//! [`config`] knows every setting and where it came from; [`gateway_handle`] finds the gateway, or starts one inside this
//! process ([`embed`]); [`follow`] brings a run's output and end home over every interruption. The command line is a
//! client of the gateway's HTTP API like any other: it has no access that other clients lack.

mod access;
mod args;
mod client;
mod clients;
mod commands;
mod config;
mod context;
mod data;
mod embed;
mod exit;
mod follow;
mod gateway_handle;
mod input;
mod output;
mod printer;
mod request_span;
mod run_limits;
mod serve;
mod service_manager;
mod signals;
mod stdio;

use std::{ffi::OsString, process::ExitCode, time::Duration};

use clap::Parser;
use longhaul_proto::{clock::Clock, telemetry};

use crate::{
    args::{Cli, Command, ConfigAction},
    commands::{
        agents, audit, background, backup, daemons, data_file, demo, do_files, doctor, drain, events, files, judge,
        log, login, notify, own, packages, quotas, results, run, runs, search, simple, stata, stata_help, tokens, wait,
    },
    config::{Config, Env},
    context::{Context, Failure},
    output::{When, say, say_json},
};

/// How long sending the last spans may take; a collector that refuses them or hangs already is not waited for.
const FLUSH: Duration = Duration::from_millis(300);
/// The same for a daemon, which may have many.
const FLUSH_OF_DAEMON: Duration = Duration::from_secs(1);
/// The log of a daemon by default.
const DAEMON_LOG: &str = "info";
/// That of `up`, whose gateway tells of each run already what its agent would tell again.
const UP_LOG: &str = "info,longhaul_agent::journal=warn";
/// How long blocking calls may delay the end of the process.
const LEAVE: Duration = Duration::from_millis(500);

/// The program with the process's own arguments.
pub fn main() -> ExitCode {
    main_with(std::env::args_os().collect())
}

/// Runs the program with these arguments, its own name first.
pub fn main_with(args: Vec<OsString>) -> ExitCode {
    // These are processes of their own kind: nothing below may be set up in them.
    match args.get(1).and_then(|a| a.to_str()) {
        Some("supervise") => return longhaul_agent::supervisor::main(args[2..].to_vec()),
        Some("standin") => return longhaul_standin::main(args[2..].to_vec()),
        Some(longhaul_gateway::DRAW) => return longhaul_gateway::draw_main(),
        Some(longhaul_gateway::READ_DATA) => return longhaul_agent::read_data(longhaul_gateway::asked_of_child()),
        Some(longhaul_agent::draw::DRAW_PDF) => return longhaul_agent::draw::main(&args[2..]),
        _ => {}
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(mut error) => {
            // "To pass '--naem' as a value, use '-- --naem'" is about values, and nearly always it is a flag that was
            // mistyped; a similar one is still suggested.
            error.remove(clap::error::ContextKind::Suggested);
            // Help goes to stdout with status 0, usage errors to stderr with 2; a closed pipe is no error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE));
        }
    };
    let done = match &cli.command {
        Command::Judge(args) => judge::judge(args),
        Command::Completions { shell } => own::completions(*shell),
        Command::Man { folder } => own::man(folder),
        Command::Config { action: ConfigAction::Template } => own::template(),
        _ => configured(&cli),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            let text = format!("longhaul: {}", When::new(cli.utc).in_text(&failure.message));
            let daemon = match &cli.command {
                Command::Gateway(_) | Command::Agent(_) => true,
                Command::Up(up) => !up.background,
                _ => false,
            };
            match daemon && telemetry::is_json() {
                true => say_json(Clock::system().unix_ms(), "ERROR", &text),
                false => say(&text),
            }
            ExitCode::from(failure.status)
        }
    }
}

fn configured(cli: &Cli) -> Result<u8, Failure> {
    if let Command::Up(up) = &cli.command
        && up.in_background
    {
        // Before there are threads: a terminal that closes is nothing to this process.
        background::detach()?;
    }
    let env = Env::of_process();
    let config = Config::load(cli.config.as_deref(), cli.settings(), &env)?;
    let context = Context { utc: cli.utc, ..Context::new(config, env)? };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system(format!("cannot start: {error}")))?;
    let done = runtime.block_on(async {
        let (service, filter, flush) = match &cli.command {
            Command::Gateway(_) => ("longhaul-gateway", DAEMON_LOG, FLUSH_OF_DAEMON),
            Command::Agent(_) => ("longhaul-agent", DAEMON_LOG, FLUSH_OF_DAEMON),
            Command::Up(up) if !up.background => ("longhaul", UP_LOG, FLUSH_OF_DAEMON),
            _ => ("longhaul", "error", FLUSH),
        };
        let settings = &context.config.settings;
        let daemon = matches!(&cli.command, Command::Gateway(_) | Command::Agent(_) | Command::Up(_));
        let options = telemetry::Options {
            filter: filter.into(),
            endpoint: settings.otlp_endpoint.clone(),
            details: settings.trace_details.unwrap_or_default(),
            trace_url: settings.trace_url.as_ref().map(|url| url.0.clone()),
            logs: daemon.then_some(settings.otlp_logs.unwrap_or_default()),
            ..Default::default()
        };
        let telemetry = telemetry::init(service, options).map_err(|error| Failure::usage(error.to_string()))?;
        let done = dispatch(&context, &cli.command).await;
        // What there is by now is on its way while the rest of this process ends.
        telemetry::flush_soon();
        context.tasks.shutdown(LEAVE).await;
        telemetry.shutdown(flush).await;
        done
    });
    runtime.shutdown_timeout(LEAVE);
    done
}

async fn dispatch(context: &Context, command: &Command) -> Result<u8, Failure> {
    // Each future is large and only one is used: boxed, so that their sizes do not add up.
    match command {
        Command::Up(args) if args.background => Box::pin(background::up(context)).await,
        Command::Up(_) => Box::pin(daemons::up(context)).await,
        Command::Demo => Box::pin(demo::demo(context)).await,
        Command::Down => Box::pin(background::down(context)).await,
        Command::Gateway(_) => Box::pin(daemons::gateway(context)).await,
        Command::Agent(_) => Box::pin(daemons::agent(context)).await,
        Command::Run(args) => Box::pin(run::run(context, args)).await,
        Command::Packages(args) => Box::pin(packages::packages(context, args)).await,
        Command::Rerun(args) => Box::pin(run::rerun(context, args)).await,
        Command::Wait(args) => Box::pin(wait::wait(context, args)).await,
        Command::Log(args) => Box::pin(log::log(context, args)).await,
        Command::Search(args) => Box::pin(search::search(context, args)).await,
        Command::Events(args) => Box::pin(events::events(context, args)).await,
        Command::Cancel(args) => Box::pin(simple::cancel(context, args)).await,
        Command::Show(args) => Box::pin(simple::show(context, args)).await,
        Command::Files(args) => Box::pin(files::files(context, args)).await,
        Command::Get(args) => Box::pin(files::get(context, args)).await,
        Command::DoFiles(args) => Box::pin(do_files::do_files(context, args)).await,
        Command::Data(args) => Box::pin(data_file::data(context, args)).await,
        Command::Results(args) => Box::pin(results::results(context, args)).await,
        Command::Runs(args) => Box::pin(runs::runs(context, args)).await,
        Command::StataHelp(args) => Box::pin(stata_help::stata_help(context, args)).await,
        Command::Hosts(args) => Box::pin(simple::hosts(context, args)).await,
        Command::Audit(args) => Box::pin(audit::audit(context, args)).await,
        Command::Notify(args) => Box::pin(notify::notify(context, args)).await,
        Command::Backup(args) => Box::pin(backup::backup(context, args)).await,
        Command::Restore(args) => Box::pin(backup::restore(context, args)).await,
        Command::Quotas(args) => Box::pin(quotas::quotas(context, args)).await,
        Command::Doctor(args) => Box::pin(doctor::doctor(context, args)).await,
        Command::Token(args) => Box::pin(tokens::token(context, args)).await,
        Command::Agents(args) => Box::pin(agents::agents(context, args)).await,
        Command::Login(args) => Box::pin(login::login(context, args)).await,
        Command::Logout(args) => login::logout(context, args),
        Command::Drain(args) => Box::pin(drain::drain(context, args)).await,
        Command::Resume(args) => Box::pin(drain::resume(context, args)).await,
        Command::DeclareDead(args) => Box::pin(simple::declare_dead(context, args)).await,
        Command::Release(args) => Box::pin(simple::release(context, args)).await,
        Command::TrustClock(args) => Box::pin(simple::trust_clock(context, args)).await,
        Command::Mcp(args) => Box::pin(clients::mcp(context, &args.action)).await,
        Command::Stata(args) => Box::pin(stata::stata(context, args)).await,
        Command::Stdio(args) => Box::pin(stdio::stdio(context, args)).await,
        Command::Judge(args) => judge::judge(args),
        // These need no configuration, and were done before it was read.
        Command::Completions { shell } => own::completions(*shell),
        Command::Man { folder } => own::man(folder),
        Command::Config { action: ConfigAction::Template } => own::template(),
        Command::Config { action: ConfigAction::Check } => own::check(context),
        Command::Standin(_) | Command::Supervise(_) => {
            Err(Failure::usage("`standin` and `supervise` take no options of ours: write them right after `longhaul`"))
        }
    }
}
