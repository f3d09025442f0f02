//! What particular clients do: which extend their patience when progress arrives, and which fold an error into one line.

use rmcp::model::Implementation;

/// Name and first version of the clients that were observed, with a real run of 12 silent minutes, to wait as long as
/// progress arrives. Every other client gets a handle in time: a progress token alone proves nothing.
const TESTED: &[(&str, [u64; 3])] = &[("claude-code", [2, 1, 187])];

/// Whether progress keeps this client waiting.
pub(super) fn extends_on_progress(client: Option<&Implementation>) -> bool {
    client.is_some_and(|client| {
        let version = version(&client.version);
        TESTED.iter().any(|(name, since)| client.name == *name && version.is_some_and(|v| v >= *since))
    })
}

/// Whether this client puts the text of a task that ended in an error on one line, with its tables and the lines that set
/// apart what the code printed. Claude Code does (2.1.330, 2.1.332); the text of any other end keeps its lines there.
pub(super) fn folds_errors(client: Option<&Implementation>) -> bool {
    client.is_some_and(|client| client.name == "claude-code") && !longhaul_proto::faults::bug("tasks_end_in_errors")
}

fn version(text: &str) -> Option<[u64; 3]> {
    let mut parts = text.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_short() {
        let check = |name: &str, version: &str, want: bool| {
            assert_eq!(extends_on_progress(Some(&Implementation::new(name, version))), want, "{name} {version}");
        };
        check("claude-code", "2.1.330", true);
        check("claude-code", "2.1.187", true);
        check("claude-code", "2.1.186", false);
        check("claude-code", "3.0.0-beta.1", true);
        check("claude-code", "new", false);
        check("mcp", "2.3.0", false);
        assert!(!extends_on_progress(None));
    }
}
