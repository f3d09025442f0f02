//! What a list of runs may be narrowed by, read strictly: an error names what is right.

use http::StatusCode;
use longhaul_proto::state::RunState;

use crate::{
    frontend::Frontend,
    model::{Identity, Principal, Scope, Typed},
    problem::{Problem, problem},
};

/// Longest name, host or text, bytes.
const LONGEST: usize = 256;

/// Names of states with commas between.
pub(super) fn states(words: Option<&str>) -> Result<Vec<RunState>, Problem> {
    let Some(words) = words else { return Ok(Vec::new()) };
    let mut states = Vec::new();
    for word in words.split(',').map(str::trim) {
        let state = word.parse::<RunState>().map_err(|_| {
            let all: Vec<_> = RunState::ALL.iter().map(|state| state.as_str()).collect();
            Problem::bad_request(format!("`state`: there is no state `{word}`; there are {}", all.join(", ")))
        })?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    Ok(states)
}

/// A time, or seconds before now; in Unix ms.
pub(super) fn time(what: &str, words: Option<&str>, now_ms: i64) -> Result<Option<i64>, Problem> {
    let Some(words) = words else { return Ok(None) };
    if let Ok(at) = words.parse::<jiff::Timestamp>() {
        return Ok(Some(at.as_millisecond()));
    }
    // In range, so nothing is cut off.
    let ago = words.parse::<f64>().ok().filter(|seconds| (0.0..1e11).contains(seconds)).map(|s| (s * 1000.0) as i64);
    ago.map(|ago| Some(now_ms.saturating_sub(ago))).ok_or_else(|| {
        Problem::bad_request(format!(
            "`{what}`: `{words}` is no time; pass one such as 2026-11-22T15:00:00Z, or a number of seconds before now"
        ))
    })
}

/// A name or text that is not empty.
pub(super) fn words(what: &str, words: Option<String>) -> Result<Option<String>, Problem> {
    match words {
        Some(words) if words.is_empty() || words.len() > LONGEST => {
            Err(Problem::bad_request(format!("`{what}` must have 1 to {LONGEST} characters; leave it out for all")))
        }
        words => Ok(words),
    }
}

/// Whose runs: everybody may ask for the own ones, operators for those of anybody.
pub(super) async fn principal(
    frontend: &Frontend,
    who: &Identity,
    user: Option<&str>,
) -> Result<Option<Principal>, Problem> {
    let Some(user) = user else { return Ok(None) };
    if !who.scopes.may(Scope::ReadAll) {
        let own = &who.principal;
        if user == own.to_string() || user == own.subject() {
            return Ok(Some(own.clone()));
        }
        let detail = format!("you are {own}, and the runs of others are shown to operators: leave `user` out");
        return Err(problem(StatusCode::FORBIDDEN, "forbidden", "Operators only", detail));
    }
    let typed = Typed::read(user);
    let known = match &typed {
        Typed::Bare(subject) => frontend.core.ledger.principals_called(subject).await?,
        Typed::Whole(_) => Vec::new(),
    };
    let principal = typed.among(&known).map_err(|ambiguous| Problem::bad_request(format!("`user`: {ambiguous}")))?;
    Ok(Some(principal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_times() {
        use RunState::{Failed, Lost};
        assert_eq!(states(Some("failed, lost,failed")).ok().unwrap(), [Failed, Lost]);
        assert_eq!(states(None).ok().unwrap(), []);
        assert!(states(Some("failed,")).is_err() && states(Some("")).is_err());
        assert!(time("since", Some("2h"), 0).is_err());
        assert_eq!(time("since", Some("7.5"), 10_000).ok().unwrap(), Some(2_500));
        assert_eq!(time("since", Some("1970-01-01T01:00:01+01:00"), 0).ok().unwrap(), Some(1_000));
        assert!(time("since", Some("-1"), 0).is_err() && time("since", Some("inf"), 0).is_err());
        assert!(words("name", Some(String::new())).is_err());
    }
}
