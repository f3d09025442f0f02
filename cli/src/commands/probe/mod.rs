//! `doctor --probe`: starts the engine of this host some fifteen times, one at a time, and reports how it behaves where no
//! public source says so.
//!
//! The report is to be sent to Longhaul's developers: it has no data of the user, no serial number and licensee, no path,
//! no name of host or user. Each answer is measured; where Longhaul assumes one, the report says whether it holds. One
//! answer has a switch in the configuration ([`switches`]), the others are reported alone.

mod bench;
mod questions;
mod state;
mod switches;

use std::{fs, io, time::Duration};

use longhaul_agent::{
    Choice, Engine as Executes,
    executor::own_program,
    stata::{banner, licence},
};
use longhaul_proto::clock::Clock;
use serde::Serialize;

use crate::{
    config::Engine,
    context::{Context, Failure},
    exit,
    output::{Out, say, shown},
    signals::Signals,
};
use bench::{Bench, status_words};

/// One question and its measured answer.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    /// Its short name.
    id: &'static str,
    /// The question.
    question: String,
    /// What was measured.
    answer: String,
    /// What Longhaul assumes; absent = it copes with any answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed: Option<&'static str>,
    /// Whether that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
    /// Lines that show it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<String>,
}

impl Answer {
    fn new(id: &'static str, question: impl Into<String>) -> Self {
        let (question, answer) = (question.into(), String::new());
        Self { id, question, answer, assumed: None, holds: None, lines: vec![] }
    }

    fn answered(mut self, answer: impl Into<String>) -> Self {
        self.answer = answer.into();
        self
    }

    fn with(mut self, lines: Vec<String>) -> Self {
        self.lines = lines;
        self
    }

    fn assumed(mut self, holds: bool, what: &'static str) -> Self {
        (self.assumed, self.holds) = (Some(what), Some(holds));
        self
    }
}

/// The whole report.
#[derive(Debug, Serialize)]
struct Report {
    /// Of Longhaul.
    version: &'static str,
    /// `stata` or `standin`.
    engine: &'static str,
    /// Operating system and processor.
    system: String,
    /// Edition and version, as the banner has them.
    stata: String,
    /// What the banner says of the licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    /// The answers.
    answers: Vec<Answer>,
    /// What was done in the configuration, in words.
    switches: Vec<String>,
}

/// `doctor --probe`.
///
/// # Errors
/// When there is no Stata, or the system fails.
pub(super) async fn probe(context: &Context, json: bool) -> Result<u8, Failure> {
    let settings = &context.config.settings;
    let choice = match settings.engine {
        None => Choice::Auto,
        Some(Engine::Stata) => Choice::Stata,
        Some(Engine::Standin) => Choice::Standin,
    };
    let failed = |error: io::Error| Failure::system(format!("the probe could not go on: {error}"));
    let own = own_program().map_err(failed)?;
    let engine = Executes::find(choice, settings.stata.as_deref(), &own).map_err(Failure::system)?;
    say("starting Stata some fifteen times on this host, one at a time; each takes a seat of its licence meanwhile");
    let bench = Bench::new(engine, &context.ids.name()).map_err(failed)?;
    let clock = context.clock.clone();
    // A Stata that it started must not outlive it: dropping what runs ends it.
    let mut signals = Signals::listen()?;
    let (report, starts) = tokio::select! {
        done = report(context, &bench, &clock) => done.map_err(failed)?,
        _ = signals.next() => return Err(Failure::system("the probe was ended by a signal; nothing was reported".to_owned())),
    };
    let mut out = Out::default();
    if json {
        out.json(&report)?;
    } else {
        out.painted(|_, _| report.text())?;
    }
    Ok(if starts { 0 } else { exit::SYSTEM })
}

/// Asks all questions; `false` = Stata does not start, so they cannot be asked.
async fn report(context: &Context, bench: &Bench, clock: &Clock) -> io::Result<(Report, bool)> {
    let place = bench.place("start", "display \"started\"\n")?;
    let began = clock.monotonic();
    let ended = bench.batch_run(&place).await?;
    let took = clock.monotonic().saturating_sub(began);
    let log = fs::read(place.join("lhprobe.log")).unwrap_or_default();
    let banner = banner::read(&log).unwrap_or_default();
    let edition = banner.edition.map(|edition| format!("{edition:?}").to_uppercase());
    let now = banner.now.then(|| "StataNow".to_owned());
    let standin = bench.engine().is_standin() || banner.standin;
    let words: Vec<String> = now.into_iter().chain(edition).chain(banner.version.clone()).collect();
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        engine: if standin { "standin" } else { "stata" },
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        stata: if words.is_empty() { "no banner was found".to_owned() } else { words.join(" ") },
        licence: banner.licence.as_ref().map(banner::Licence::words),
        answers: vec![],
        switches: vec![],
    };
    let said = format!("{}\n{}", ended.out, ended.err);
    let starts = String::from_utf8_lossy(&log).contains("\nstarted\n");
    report.answers.push(start(bench, starts, took, &status_words(ended.status), &said));
    let refused = licence::recognise(said.as_bytes());
    let seats = Answer::new("licence", "What does Stata say where its licence is full, has ended or is missing?");
    report.answers.push(match refused {
        None => seats.answered("not seen"),
        Some(refused) => {
            let known = if refused.confirmed { "a known text" } else { "a text that was not known" };
            seats.answered(format!("{:?}, {known}", refused.trouble)).with(bench.last_lines(&said, 3))
        }
    });
    if !starts {
        return Ok((report, false));
    }
    let answers = &mut report.answers;
    answers.push(questions::exit_status(bench).await?);
    answers.push(questions::error_status(bench).await?);
    answers.push(questions::interrupt(bench).await?);
    answers.push(questions::flushing(bench).await?);
    answers.push(questions::console(bench).await?);
    answers.extend(questions::names(bench).await?);
    answers.push(questions::options(bench).await?);
    answers.push(questions::unwritable(bench).await?);
    answers.push(questions::processors(bench).await?);
    answers.push(questions::wrapper(bench).await?);
    let gathering = questions::gathering(bench).await?;
    if gathering.holds == Some(false) {
        report.switches.push(switches::switch_results_off(context));
    }
    report.answers.push(gathering);
    Ok((report, true))
}

fn start(bench: &Bench, starts: bool, took: Duration, status: &str, said: &str) -> Answer {
    let asks = Answer::new("start", "Does it start in batch mode, and how long does one command take?");
    match starts {
        true => asks.answered(format!("yes, {:.1} s", took.as_secs_f64())),
        false => asks.answered(format!("no: {status}")).with(bench.last_lines(said, 5)),
    }
}

impl Report {
    /// For people. Harmless as it is.
    fn text(&self) -> String {
        let mut out = String::new();
        if self.engine == "standin" {
            out.push_str(
                "This is the stand-in, not Stata: it answers as it was told to, and proves nothing about Stata.\n",
            );
        }
        out.push_str(&format!("longhaul {} on {}; {}", self.version, self.system, shown(&self.stata)));
        if let Some(licence) = &self.licence {
            out.push_str(&format!("; licence: {}", shown(licence)));
        }
        out.push_str("\n\n");
        for answer in &self.answers {
            let mark = match answer.holds {
                Some(true) => "ok",
                Some(false) => "!!",
                None => "--",
            };
            out.push_str(&format!("{mark} {} [{}]\n   {}\n", answer.question, answer.id, shown(&answer.answer)));
            for line in &answer.lines {
                out.push_str(&format!("   | {}\n", shown(line)));
            }
            if let (Some(false), Some(assumed)) = (answer.holds, answer.assumed) {
                out.push_str(&format!("   Longhaul assumes: {assumed}\n"));
            }
        }
        for switch in &self.switches {
            out.push_str(&format!("\n=> {}\n", shown(switch)));
        }
        out.push_str(
            "\nThis report has no data, path, serial number and name of yours. Please send it to Longhaul's developers.\n",
        );
        out
    }
}
