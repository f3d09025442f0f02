//! How much narrower a token is than what its principal may do.

use serde::{Deserialize, Serialize};

/// What a token is limited to. An empty list limits nothing.
///
/// Hosts and pools limit where runs of the token go, and which hosts it may ask for files, data and help. They are kept with
/// each run that it starts, so another attempt goes nowhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct TokenLimits {
    /// Names of agents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Names of licence pools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Folders of the hosts. A token with some starts do-files that stand below them, and no code of its own: that could
    /// read everything that the agent's user can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
}

impl TokenLimits {
    /// Whether it limits nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a path of a host lies below one of its folders, by its name. Agents resolve links and dots before they tell a
    /// path.
    pub fn allows_path(&self, path: &str) -> bool {
        below(&self.roots, path)
    }
}

/// Whether a path lies below one of these folders, or there are none.
pub(super) fn below(roots: &[String], path: &str) -> bool {
    let inside = |root: &String| {
        let root = root.trim_end_matches(['/', '\\']);
        let rest = path.strip_prefix(root);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '\\']))
    };
    let plain = !path.split(['/', '\\']).any(|part| part == "..");
    roots.is_empty() || (plain && roots.iter().any(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_roots() {
        let check = |path: &str, allowed: bool| {
            let roots = vec!["/data/ana".to_owned(), "/srv/".to_owned(), "C:\\work".to_owned()];
            let limits = TokenLimits { roots, ..TokenLimits::default() };
            assert_eq!(limits.allows_path(path), allowed, "{path}");
        };
        check("/data/ana/x.do", true);
        check("/data/ana", true);
        check("/data/anatol/x.do", false);
        check("/data/ana/../bob/x.do", false);
        check("/srv/a/b.do", true);
        check("/srvx", false);
        check("C:\\work\\x.do", true);
        check("x.do", false);
        assert!(TokenLimits::default().allows_path("anything"));
    }
}
