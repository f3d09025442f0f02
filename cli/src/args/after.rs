//! What stands below the help of the whole program.

pub(super) const AFTER: &str = "\
Exit status of run and wait: 0 succeeded, 1 the do-file failed, 2 usage, 3 cancelled, 4 system error (errored, lost,
rejected, unreachable), 5 timed out, 6 the run goes on (wait's own limit, or left by Ctrl-C).

RUN is a run's id, its last 8 or more characters, the first 4 or more of either where they fit one run only, or `last`:
your newest run.

Settings come from one TOML file (--config, LONGHAUL_CONFIG, $XDG_CONFIG_HOME/longhaul/config.toml or
/etc/longhaul/config.toml), then LONGHAUL_* variables, then flags, each stronger than the one before: flag --seats,
variable LONGHAUL_SEATS and key `seats` are one setting. `longhaul config template` lists them all, `longhaul doctor` says
which are set and where each came from.
LONGHAUL_LOG sets what is told on stderr (warn, info, debug), OTEL_EXPORTER_OTLP_ENDPOINT where traces go.";
