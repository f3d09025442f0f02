//! The results of a run as the gateway gets them: made of what was gathered when they are asked for, so that no run's end
//! waits for it.

use std::{
    fs::File,
    io::{self, Read},
};

use longhaul_proto::{
    api::{LeftOut, Matrix, Results, StoredResults},
    sha256_hex,
    state::{Cause, RunState},
    wire, words,
};

use super::coefficients;
use crate::{
    follow::do_files,
    spool::{Exit, Gathers, OutcomeRecord, Plan, Spool},
    stata::gathered::{Class, Gathered},
};

/// Most bytes of what is sent.
const MOST: usize = 1 << 20;
/// Most bytes of what was gathered that are read.
const MOST_GATHERED: u64 = 16 << 20;

/// Says in an answer about an attempt's do-files what became of its results, and keeps them beside those.
///
/// # Errors
/// When a record cannot be read, or the run's end is not recorded yet.
pub(crate) fn add(spool: &Spool, reply: &mut wire::DoFilesReply) -> io::Result<()> {
    match of_run(spool)? {
        Ok(json) => {
            reply.results_sha256 = sha256_hex(&json);
            reply.results_bytes = json.len() as u64;
            if let Err(error) = do_files::write(spool, &json, &reply.results_sha256) {
                reply.results_sha256.clear();
                reply.results_missing = format!("they could not be kept on the host: {error}");
            }
        }
        Err(why) => reply.results_missing = why,
    }
    Ok(())
}

/// The results, or why there are none.
fn of_run(spool: &Spool) -> io::Result<Result<Vec<u8>, String>> {
    let plan = spool.read::<Plan>(&spool.plan())?;
    let none = |why: &str| Ok(Err(why.to_owned()));
    let Some(plan) = plan else { return none("nothing was started") };
    let Some(outcome) = spool.read::<OutcomeRecord>(&spool.outcome())? else {
        return Err(io::Error::new(io::ErrorKind::Interrupted, "the run's end is not recorded yet"));
    };
    match plan.gathers {
        None => return none("not gathered: the run was started by an agent of an earlier version"),
        Some(Gathers::NotAsked) => return none("not gathered: the request said so (results: false)"),
        Some(Gathers::NotHere) => return none("not gathered: the agent on this host was told to gather none"),
        Some(Gathers::Yes) => {}
    }
    if outcome.cause == Cause::CompletedUnconfirmed {
        return none("not gathered: the code left Stata by `exit, STATA`, after which nothing runs");
    }
    if outcome.state != RunState::Succeeded {
        let state = outcome.state.as_str();
        return Ok(Err(format!(
            "not gathered: that is done when the code has come to its end, and this run {state}",
            state = ended(outcome.state).unwrap_or(state)
        )));
    }
    let found = gathered(spool, &plan)?;
    if !found.whole {
        let mut damaged = Vec::new();
        let cut_off = spool.read_or_name::<Exit>(&spool.exit(), &mut damaged)?.and_then(|exit| exit.gathering);
        return Ok(Err(cut_off.unwrap_or_else(|| match found == Gathered::default() {
            true => "not gathered: gathering could not begin after the code had come to its end".to_owned(),
            false => "not gathered: gathering stopped before its end, after the code had come to its own".to_owned(),
        })));
    }
    Ok(json(&found))
}

/// What was gathered of an attempt, whole or not.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn gathered(spool: &Spool, plan: &Plan) -> io::Result<Gathered> {
    let mut bytes = Vec::new();
    match File::open(spool.gathered()) {
        Ok(file) => drop(file.take(MOST_GATHERED).read_to_end(&mut bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let tag = format!("{}_{}", spool.run().short(), plan.attempt);
    Ok(Gathered::read(&bytes, &tag, plan.encoding()))
}

fn ended(state: RunState) -> Option<&'static str> {
    match state {
        RunState::Failed => Some("failed"),
        RunState::Cancelled => Some("was cancelled"),
        RunState::TimedOut => Some("reached its time limit"),
        RunState::Errored => Some("was ended from outside, or never began"),
        _ => None,
    }
}

/// As JSON of at most [`MOST`] bytes; what does not fit is named.
fn json(found: &Gathered) -> Result<Vec<u8>, String> {
    let table = coefficients::table(found);
    let named = |(name, why): &(String, String)| LeftOut { name: name.clone(), why: why.clone() };
    let mut results = Results {
        coefficients: table.coefficients,
        statistic: table.statistic,
        level: table.level,
        source: table.source,
        r: stored(&found.r),
        e: stored(&found.e),
        s: stored(&found.s),
        left_out: found.left_out.iter().map(named).collect(),
        note: String::new(),
    };
    loop {
        let json = serde_json::to_vec(&results).map_err(|error| format!("they could not be written: {error}"))?;
        if json.len() <= MOST {
            return Ok(json);
        }
        if !drop_largest(&mut results) {
            return Err(format!(
                "they take {}, more than the {} that are kept",
                words::bytes(json.len() as u64),
                words::bytes(MOST as u64)
            ));
        }
    }
}

/// Leaves out the largest matrix, or the longest text where there is none. `false` = there is nothing left to leave out.
fn drop_largest(results: &mut Results) -> bool {
    let parts = [("r", &results.r), ("e", &results.e), ("s", &results.s)];
    let matrices = parts.iter().flat_map(|(class, stored)| {
        stored.matrices.iter().map(move |(name, m)| (m.rows.len() * m.columns.len(), true, *class, name.clone()))
    });
    let texts = parts.iter().flat_map(|(class, stored)| {
        stored.macros.iter().map(move |(name, text)| (text.len(), false, *class, name.clone()))
    });
    let largest = matrices.max().or_else(|| texts.max());
    let Some((size, matrix, class, name)) = largest else {
        // Thousands of coefficients with long names.
        let many = results.coefficients.len();
        results.coefficients.clear();
        results.left_out.push(LeftOut { name: "coefficients".to_owned(), why: format!("{many} of them do not fit") });
        return many > 0;
    };
    let stored = match class {
        "r" => &mut results.r,
        "e" => &mut results.e,
        _ => &mut results.s,
    };
    let what = match (matrix, stored.matrices.remove(&name)) {
        (true, Some(m)) => format!("a matrix of {} x {}", m.rows.len(), m.columns.len()),
        _ => {
            stored.macros.remove(&name);
            format!("a text of {size} bytes")
        }
    };
    let why = format!("{what}: with it the results would take more than {}", words::bytes(MOST as u64));
    results.left_out.push(LeftOut { name: format!("{class}({name})"), why });
    true
}

fn stored(class: &Class) -> StoredResults {
    let letter = |(name, number): (&String, &crate::stata::gathered::Number)| Some((name.clone(), number.letter()?));
    StoredResults {
        scalars: class.scalars.iter().map(|(name, number)| (name.clone(), number.value())).collect(),
        macros: class.macros.clone(),
        matrices: class.matrices.iter().map(|(name, m)| (name.clone(), matrix(m))).collect(),
        missing: class.scalars.iter().filter_map(letter).collect(),
    }
}

fn matrix(m: &crate::stata::gathered::Matrix) -> Matrix {
    let mut missing = std::collections::BTreeMap::new();
    for (i, row) in m.cells.iter().enumerate() {
        for (j, number) in row.iter().enumerate() {
            if let Some(letter) = number.letter() {
                missing.insert(format!("{},{}", i + 1, j + 1), letter);
            }
        }
    }
    Matrix {
        rows: m.rows.clone(),
        columns: m.columns.clone(),
        values: m.cells.iter().map(|row| row.iter().map(|n| n.value()).collect()).collect(),
        missing,
    }
}
