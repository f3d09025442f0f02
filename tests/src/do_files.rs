//! Do-files that many tests use. Each appends a line to `executions` beside it when it starts: a file outside every
//! spool, so that only a real execution can write it.

use std::{fs, path::PathBuf};

use crate::lab::Lab;

impl Lab {
    /// Counts itself, prints `started NAME`, and goes on with `finished NAME` once [`Lab::open_gate`] was called.
    /// `NAME` is its argument.
    pub fn gated(&self) -> PathBuf {
        let gate = self.work().join("gate");
        let body = format!(
            "args name\n\
             display \"started `name'\"\n\
             local waiting = 1\n\
             while `waiting' {{\n\
             \x20   capture confirm file \"{}-`name'\"\n\
             \x20   if _rc == 0 {{\n\
             \x20       local waiting = 0\n\
             \x20   }}\n\
             \x20   else {{\n\
             \x20       sleep 20\n\
             \x20   }}\n\
             }}\n\
             display \"finished `name'\"\n",
            gate.display()
        );
        self.counted("gated.do", &body)
    }

    /// Lets the gated run of that name continue to its end.
    pub fn open_gate(&self, name: &str) {
        fs::write(self.work().join(format!("gate-{name}")), "").unwrap();
    }

    /// Counts itself, then prints numbered lines: arguments are its name, how many lines, milliseconds before each,
    /// a return code to end with (0 = success), and perhaps a file to wait for after the first line.
    pub fn lines(&self) -> PathBuf {
        self.counted(
            "lines.do",
            "args name count pause rc until\n\
             forvalues i = 1/`count' {\n\
             \x20   sleep `pause'\n\
             \x20   display \"`name' line `i' of `count'\"\n\
             \x20   local held = `i' == 1 & \"`until'\" != \"\"\n\
             \x20   while `held' {\n\
             \x20       capture confirm file \"`until'\"\n\
             \x20       local held = _rc != 0\n\
             \x20       sleep 10\n\
             \x20   }\n\
             }\n\
             if `rc' != 0 {\n\
             \x20   error `rc'\n\
             }\n",
        )
    }

    /// Writes a do-file that first appends its first argument to `executions`.
    pub fn counted(&self, file: &str, body: &str) -> PathBuf {
        let executions = self.work().join("executions");
        let head = format!(
            "file open count using \"{}\", write append text\n\
             file write count \"`1'\" _n\n\
             file close count\n",
            executions.display()
        );
        self.file(file, head + body)
    }

    /// How often a counted do-file ran with that first argument.
    pub fn executions(&self, name: &str) -> usize {
        let text = fs::read_to_string(self.work().join("executions")).unwrap_or_default();
        text.lines().filter(|line| *line == name).count()
    }
}
