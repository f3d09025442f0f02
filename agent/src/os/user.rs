//! The name of the user who runs the code: read from the host's own list, or asked of the system where users come from
//! elsewhere (LDAP and the like). Asking may take long, so it is done rarely, with a limit, and never while a caller
//! waits.

use std::{process::Stdio, time::Duration};

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Name of the user who runs the code, as `/etc/passwd` has it; else the number.
pub fn user() -> String {
    name_of(rustix::process::geteuid().as_raw())
}

/// The name that `/etc/passwd` has for a user; else the number.
pub(super) fn name_of(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&passwd, uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// The same, as the whole system knows it; `None` = no answer in time.
pub async fn user_of_system() -> Option<String> {
    answer_of("id").await
}

async fn answer_of(program: &str) -> Option<String> {
    let mut asked = tokio::process::Command::new(program);
    asked.arg("-un").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, asked.output()).await.ok()?.ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !name.is_empty() && !name.contains(char::is_control)).then_some(name)
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_list_has_names_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nana:x:1002:1002::/home/ana:/bin/sh\nbroken\n";
        assert_eq!(name_in(passwd, 1002).as_deref(), Some("ana"));
        assert_eq!(name_in(passwd, 12345), None);
    }

    #[tokio::test]
    async fn who_is_in_no_list_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let answer = async |script: &str| {
            let program = folder.path().join("id");
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            answer_of(program.to_str().unwrap()).await
        };
        assert_eq!(answer("[ \"$1\" = -un ] && echo ana@lab.example").await.as_deref(), Some("ana@lab.example"));
        assert_eq!(answer("echo 'id: cannot find name for user ID 12345' >&2; exit 1").await, None);
        assert_eq!(answer_of("/nowhere/id").await, None);
    }
}
