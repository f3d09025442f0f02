//! Settings of the audit log.

/// How much of the audit log is kept, and what happens when it cannot be written.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// What must be in the audit log (a run, a cancel, a token, an operator's command) is refused while it cannot be written.
    pub required: bool,
    /// A file that is this long is followed by another, bytes.
    pub max_file: u64,
    /// Most bytes of all files; beyond that the oldest are removed. The newest always stays.
    pub max_kept: u64,
    /// All settings in words, without secrets, for the line of the start; empty = as the program has them.
    pub settings: Vec<String>,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { required: false, max_file: 16 << 20, max_kept: 1 << 30, settings: Vec::new() }
    }
}
