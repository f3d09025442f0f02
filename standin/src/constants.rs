//! `c()`: what a do-file can ask the stand-in about itself.

use crate::expr::functions::size;
use crate::expr::{MISSING, Value};
use crate::faults::Faults;
use crate::interp::Interp;
use crate::{banner, clock};

/// Beginning of `c(rngstate)`, after Stata's `X` the letters of a generator of our own.
const STATE: &str = "XLH";

/// Cores of the licence, of the machine, and the most that can be used.
pub(crate) fn processors(faults: &Faults) -> (u32, u32, u32) {
    let machine = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    match faults.processors {
        // One is all that it ever uses: its machine has as many as its licence allows, so that tests need no larger one.
        Some(licence) => (licence, licence.max(machine), licence),
        None => (1, machine, 1),
    }
}

/// The state that `c(rngstate)` names, back from its text.
pub(crate) fn random_state(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix(STATE)?, 16).ok()
}

impl Interp {
    /// What `c(name)` is; empty for a name unknown here.
    pub(crate) fn constant(&self, name: &str) -> Value {
        let s = |s: &str| Value::Str(s.to_owned());
        let n = Value::Num;
        let on = |flag: bool| s(if flag { "on" } else { "off" });
        let now = clock::unix_seconds();
        let mp = self.faults.processors.is_some();
        let cores = |pick: fn((u32, u32, u32)) -> u32| n(f64::from(pick(processors(&self.faults))));
        match name {
            "pwd" => Value::Str(std::env::current_dir().map(|p| p.display().to_string()).unwrap_or_default()),
            "current_date" => Value::Str(clock::date_text(now)),
            "current_time" => Value::Str(clock::time_text(now)),
            "rmsg_time" => n(self.took),
            "N" => n(size(self.data.nobs)),
            "k" => n(size(self.data.columns.len())),
            "changed" => n(f64::from(self.data.changed)),
            "rc" => n(f64::from(self.rc)),
            "mode" => s(if self.set.batch { "batch" } else { "" }),
            "console" => s("console"),
            "os" => s("Unix"),
            "dirsep" => s("/"),
            "linesize" => n(size(self.out.linesize)),
            "more" => s("off"),
            "rmsg" => on(self.set.rmsg),
            "type" => s(&self.set.kind),
            "level" => n(self.set.level),
            "trace" => on(self.set.trace),
            "varabbrev" => on(self.set.varabbrev),
            "maxvar" => n(5000.0),
            "version" | "stata_version" | "userversion" => n(self.faults.version),
            "born_date" => s(banner::BORN),
            "edition" | "edition_real" | "flavor" => s("stand-in"),
            "MP" => n(f64::from(mp)),
            "SE" => n(0.0),
            "processors" => n(f64::from(self.set.processors)),
            "processors_lic" => cores(|(licence, ..)| licence),
            "processors_mach" => cores(|(_, machine, _)| machine),
            "processors_max" => cores(|(.., most)| most),
            "rng" => s("default"),
            "rng_current" => s("splitmix64"),
            "rngstate" | "seed" => Value::Str(format!("{STATE}{:016x}", self.rng.get())),
            "rngseed_mt64s" => n(size(usize::try_from(self.seeded).unwrap_or_default())),
            "rngstream" => n(1.0),
            "sortmethod" => s("default"),
            "sort_current" => s("stable"),
            "sortrngstate" => Value::Str(format!("1{STATE}{:016x}", self.set.sort_seed)),
            "sysdir_plus" => s("~/ado/plus/"),
            "tmpdir" => Value::Str(self.temp.0.display().to_string()),
            "username" => Value::Str(std::env::var("USER").unwrap_or_default()),
            "hostname" => s(&rustix::system::uname().nodename().to_string_lossy()),
            "machine_type" => s(std::env::consts::ARCH),
            "pi" => n(std::f64::consts::PI),
            "epsdouble" => n(f64::EPSILON),
            "maxdouble" => n(MISSING * (1.0 - f64::EPSILON / 2.0)),
            "alpha" => s("a b c d e f g h i j k l m n o p q r s t u v w x y z"),
            "ALPHA" => s("A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"),
            _ => s(""),
        }
    }
}
