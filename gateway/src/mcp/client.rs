//! Which clients extend their patience when progress arrives.

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
