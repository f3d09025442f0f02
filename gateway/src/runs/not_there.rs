//! What a caller is told of a do-file or folder that no agent has: what is wrong, what may be meant, and the other ways.
//!
//! Only agents that take the caller's runs were asked. Whoever may run code there can list its folders, so they are named.

/// How code is sent that no Stata host has, for programs.
const ELSEWHERE: &str = "Code that is elsewhere can be sent as text, or with the files it needs as a bundle";

/// Most hosts that are told of.
const MOST_HOSTS: usize = 5;

/// A path that no agent has.
#[derive(Clone, Debug)]
pub struct NotThere {
    /// It is a working directory, or anything else that cannot be sent as text.
    pub(super) folder: bool,
    /// What each agent said.
    pub(super) on: Vec<MissingOn>,
}

/// What one agent said of it.
#[derive(Clone, Debug)]
pub(super) struct MissingOn {
    pub(super) host: String,
    /// What is wrong, in words.
    pub(super) problem: String,
    /// What the agent's path map makes of it.
    pub(super) mapped: Option<String>,
    /// What may be meant.
    pub(super) near: Vec<String>,
    /// The folders below which it may be.
    pub(super) roots: Vec<String>,
}

impl std::fmt::Display for NotThere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told(ELSEWHERE))
    }
}

impl NotThere {
    /// Without names of files on these hosts.
    #[must_use]
    pub fn without_near(mut self, of: impl Fn(&str) -> bool) -> Self {
        self.on.iter_mut().filter(|seen| of(&seen.host)).for_each(|seen| seen.near.clear());
        self
    }

    /// In words, with a sentence on how code is sent that no Stata host has.
    pub fn told(&self, elsewhere: &str) -> String {
        let mut words = String::new();
        for seen in self.on.iter().take(MOST_HOSTS) {
            let host = if seen.problem.contains(&seen.host) { String::new() } else { format!("{}: ", seen.host) };
            let mapped = seen.mapped.as_ref().map(|mapped| format!("; {mapped}")).unwrap_or_default();
            words.push_str(&format!("{host}{}{mapped}. ", seen.problem));
            match seen.near.as_slice() {
                [] => {}
                [one] => words.push_str(&format!("Did you mean {one}? ")),
                [all @ .., last] => words.push_str(&format!("Did you mean {} or {last}? ", all.join(", "))),
            }
        }
        if self.on.len() > MOST_HOSTS {
            words.push_str(&format!("{} more hosts do not have it either. ", self.on.len() - MOST_HOSTS));
        }
        let mut folders: Vec<(String, &[String])> = Vec::new();
        for seen in self.on.iter().take(MOST_HOSTS).filter(|seen| !seen.roots.is_empty()) {
            match folders.iter_mut().find(|(_, roots)| *roots == seen.roots.as_slice()) {
                Some((hosts, _)) => hosts.push_str(&format!(", {}", seen.host)),
                None => folders.push((seen.host.clone(), &seen.roots)),
            }
        }
        for (hosts, roots) in folders {
            words.push_str(&format!("The folders of {hosts} are {}. ", roots.join(", ")));
        }
        if !self.folder {
            words.push_str(elsewhere);
        }
        words.trim_end().trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_well() {
        let on = |host: &str, near: &[&str]| MissingOn {
            host: host.into(),
            problem: format!("the do-file /p/quik.do does not exist on {host}"),
            mapped: None,
            near: near.iter().map(|&path| path.to_owned()).collect(),
            roots: vec!["/p".into()],
        };
        let told =
            NotThere { folder: false, on: vec![on("stata1", &["/p/quick.do"]), on("stata2", &["/p/a.do", "/p/b.do"])] };
        assert_eq!(
            told.to_string(),
            "the do-file /p/quik.do does not exist on stata1. Did you mean /p/quick.do? the do-file /p/quik.do does not exist \
             on stata2. Did you mean /p/a.do or /p/b.do? The folders of stata1, stata2 are /p. Code that is elsewhere can be \
             sent as text, or with the files it needs as a bundle"
        );
        let folder = NotThere { folder: true, ..told };
        assert!(!folder.to_string().contains("bundle"), "{folder}");
    }
}
