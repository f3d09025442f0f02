//! The state of a running stand-in, and how things end.
//!
//! Everything that a do-file can change lives in [`Interp`]; the commands are functions over it, in `commands`. A
//! command ends well or with a [`Stop`], which travels up through loops, programs and do-files and prints at each of
//! them what Stata prints there.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use crate::clock;
use crate::data::{Column, Table, Values};
use crate::expr::eval::{self, Env};
use crate::expr::parse::Expr;
use crate::expr::{ExprError, MISSING, Value};
use crate::faults::Faults;
use crate::out::Out;
use crate::signals::Signals;
use crate::source::Delimiter;
use crate::source::Statement;
use crate::stored::{Matrix, Stored};

/// Why execution does not go on to the next command.
#[derive(Debug)]
pub(crate) enum Stop {
    /// An error: return code, and the message until it is printed.
    Error {
        /// `_rc`.
        rc: i32,
        /// The message, printed once by the command loop.
        msg: Option<String>,
    },
    /// `exit` with code 0: the do-file or program ends well.
    Exit,
    /// `continue` in a loop; `true` = `continue, break`.
    Continue(bool),
    /// `exit, STATA`: the process ends with this status.
    Leave(u8),
}

impl Stop {
    /// An error with a message.
    pub(crate) fn new(rc: i32, msg: impl Into<String>) -> Self {
        Self::Error { rc, msg: Some(msg.into()) }
    }

    /// An error without any.
    pub(crate) fn silent(rc: i32) -> Self {
        Self::Error { rc, msg: None }
    }

    /// `invalid syntax`.
    pub(crate) fn syntax() -> Self {
        Self::new(198, "invalid syntax")
    }

    /// `file … not found`.
    pub(crate) fn no_file(path: &str) -> Self {
        Self::new(601, format!("file {path} not found"))
    }
}

impl From<ExprError> for Stop {
    fn from(e: ExprError) -> Self {
        Self::Error { rc: e.rc, msg: Some(e.msg).filter(|m| !m.is_empty()) }
    }
}

/// What commands return.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

/// A program defined by `program define`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// Its commands.
    pub(crate) body: Vec<Statement>,
    /// `rclass`: what it returns replaces `r()`.
    pub(crate) rclass: bool,
}

/// The macros of one do-file or program.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Local macros.
    pub(crate) locals: HashMap<String, String>,
    /// What `return` has set so far.
    pub(crate) returns: Stored,
    /// Temporary files to be erased when the frame ends.
    pub(crate) tempfiles: Vec<String>,
}

/// A timer of `timer on`.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// Seconds so far.
    pub(crate) total: f64,
    /// How often it ran.
    pub(crate) runs: u32,
    /// When it was switched on.
    pub(crate) since: Option<Instant>,
}

/// A file of `file open`.
pub(crate) struct Handle {
    /// The file, and whether it is for reading.
    pub(crate) file: File,
    /// Lines not yet read, for `file read`.
    pub(crate) lines: Option<std::vec::IntoIter<String>>,
}

/// Switches of `set` that change how the stand-in behaves.
pub(crate) struct Settings {
    /// `set rmsg`.
    pub(crate) rmsg: bool,
    /// `set varabbrev`.
    pub(crate) varabbrev: bool,
    /// `set type`.
    pub(crate) kind: String,
    /// `set level`, per cent.
    pub(crate) level: f64,
    /// `set trace`: remembered, without effect.
    pub(crate) trace: bool,
    /// Batch mode: `c(mode)`, and the blank line that console mode puts before a last `r(N);`.
    pub(crate) batch: bool,
    /// Standard input is a terminal, which echoes by itself.
    pub(crate) terminal: bool,
}

/// The whole state.
pub(crate) struct Interp {
    /// Where text goes.
    pub(crate) out: Out,
    /// The interrupt flag.
    pub(crate) signals: Signals,
    /// Faults to be had on demand.
    pub(crate) faults: Faults,
    /// `set` switches.
    pub(crate) set: Settings,
    /// Global macros.
    pub(crate) globals: BTreeMap<String, String>,
    /// Macro frames, the innermost last.
    pub(crate) frames: Vec<Frame>,
    /// Programs by name.
    pub(crate) programs: HashMap<String, Program>,
    /// Scalars by name.
    pub(crate) scalars: HashMap<String, Value>,
    /// Matrices by name.
    pub(crate) matrices: BTreeMap<String, Matrix>,
    /// `r()`.
    pub(crate) results: Stored,
    /// `e()`.
    pub(crate) estimates: Stored,
    /// `s()`.
    pub(crate) sreturns: Stored,
    /// `_return hold`.
    pub(crate) held: BTreeMap<String, Stored>,
    /// The data in memory.
    pub(crate) data: Table,
    /// What `preserve` put aside, with the depth of frames at that time.
    pub(crate) preserved: Vec<(Table, usize)>,
    /// Open files.
    pub(crate) files: HashMap<String, Handle>,
    /// Timers by number.
    pub(crate) timers: BTreeMap<u32, Timer>,
    /// `_rc`.
    pub(crate) rc: i32,
    /// For `else`: what the last `if` of each open block decided.
    pub(crate) decided: Vec<Option<bool>>,
    /// How deep do-files and programs are nested.
    pub(crate) depth: usize,
    /// Folder for temporary files, and how many names were given out.
    pub(crate) temp: (PathBuf, u32),
    /// State of the random numbers.
    pub(crate) rng: Cell<u64>,
    /// `c(rmsg_time)`: seconds the last command took.
    pub(crate) took: f64,
    /// Row of the `_dots` line.
    pub(crate) dots: u32,
    /// Whether the last command was a do-file that got as far as its end.
    pub(crate) ended_do: bool,
    /// A `#delimit` waiting to be applied by the reader of the current source.
    pub(crate) delimit: Option<Delimiter>,
}

/// Seed at start, as Stata has a fixed one too.
pub(crate) const SEED: u64 = 123_456_789;

/// Do-files and programs may nest this deep.
pub(crate) const MAX_NESTING: usize = 64;

impl Interp {
    /// The variable that `name` means: exactly, or, where abbreviations are allowed, as the only one it abbreviates.
    pub(crate) fn named_column(&self, name: &str) -> Option<&Column> {
        self.data.column(name).or_else(|| self.data.abbreviated(name).filter(|_| self.set.varabbrev))
    }

    /// The frame whose macros are in scope.
    pub(crate) fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// The value of a local macro; empty if there is none.
    pub(crate) fn local(&self, name: &str) -> &str {
        self.frames.last().and_then(|f| f.locals.get(name)).map_or("", String::as_str)
    }

    /// Sets or, with an empty value, forgets a local macro.
    pub(crate) fn set_local(&mut self, name: &str, value: String) {
        let locals = &mut self.frame().locals;
        if value.is_empty() {
            locals.remove(name);
        } else {
            locals.insert(name.to_owned(), value);
        }
    }

    /// Evaluates an expression outside of observations.
    pub(crate) fn eval(&self, text: &str) -> Outcome<Value> {
        Ok(eval::text(self, text)?)
    }

    /// Evaluates to a number.
    pub(crate) fn eval_number(&self, text: &str) -> Outcome<f64> {
        match self.eval(text)? {
            Value::Num(x) => Ok(x),
            Value::Str(_) => Err(ExprError::types().into()),
        }
    }

    /// Stores a number in `r()`.
    pub(crate) fn put_result(&mut self, name: &str, x: f64) {
        self.results.insert(name.to_owned(), Value::Num(x));
    }

    /// Seeds the random numbers; the same seed gives the same numbers.
    pub(crate) fn seed(&self, seed: u64) {
        self.rng.set(seed ^ 0x9e37_79b9_7f4a_7c15);
    }

    /// A path for a temporary file that does not exist yet.
    pub(crate) fn temp_path(&mut self) -> String {
        self.temp.1 += 1;
        let name = format!("St{:05}.{:06}", std::process::id(), self.temp.1);
        self.temp.0.join(name).display().to_string()
    }

    /// What `c(name)` is; empty for a name unknown here.
    fn constant(&self, name: &str) -> Value {
        let s = |s: &str| Value::Str(s.to_owned());
        let n = Value::Num;
        let now = clock::unix_seconds();
        let size = crate::expr::functions::size;
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
            "rmsg" => s(if self.set.rmsg { "on" } else { "off" }),
            "type" => s(&self.set.kind),
            "level" => n(self.set.level),
            "trace" => s(if self.set.trace { "on" } else { "off" }),
            "maxvar" => n(5000.0),
            "version" | "stata_version" | "userversion" => n(crate::banner::VERSION),
            "edition" | "edition_real" | "flavor" => s("stand-in"),
            // Of no build: there is one program for all.
            "born_date" => s(" 1 Jan 2026"),
            "rng_current" => s("kiss32"),
            "rngstate" => Value::Str(format!("X{:016x}", self.rng.get())),
            "sortrngstate" => s("X0000000000000000"),
            "sysdir_plus" => s("~/ado/plus/"),
            "MP" | "SE" => n(0.0),
            "processors" | "processors_lic" | "processors_max" | "processors_mach" => n(1.0),
            "tmpdir" => Value::Str(self.temp.0.display().to_string()),
            "username" => Value::Str(std::env::var("USER").unwrap_or_default()),
            "hostname" => s(&rustix::system::uname().nodename().to_string_lossy()),
            "pi" => n(std::f64::consts::PI),
            "epsdouble" => n(f64::EPSILON),
            "maxdouble" => n(MISSING * (1.0 - f64::EPSILON / 2.0)),
            "alpha" => s("a b c d e f g h i j k l m n o p q r s t u v w x y z"),
            "ALPHA" => s("A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"),
            _ => s(""),
        }
    }
}

impl Env for Interp {
    fn name(&self, name: &str, obs: Option<usize>) -> Option<Value> {
        let size = crate::expr::functions::size;
        match name {
            "_n" => return Some(Value::Num(obs.map_or(1.0, |i| size(i + 1)))),
            "_N" => return Some(Value::Num(size(self.data.nobs))),
            "_pi" => return Some(Value::Num(std::f64::consts::PI)),
            "_rc" => return Some(Value::Num(f64::from(self.rc))),
            _ => {}
        }
        let column = self
            .data
            .column(name)
            .or_else(|| if self.scalars.contains_key(name) { None } else { self.named_column(name) });
        if let Some(column) = column {
            let i = obs.unwrap_or(0);
            return Some(match &column.values {
                Values::Num(v) => Value::Num(v.get(i).copied().unwrap_or(MISSING)),
                Values::Str(v) => Value::Str(v.get(i).cloned().unwrap_or_default()),
            });
        }
        self.scalars.get(name).cloned()
    }

    fn result(&self, class: &str, name: &str) -> Value {
        match class {
            "c" => self.constant(name),
            _ => self.stored(class).and_then(|s| s.get(name)).cloned().unwrap_or(Value::Num(MISSING)),
        }
    }

    fn count(&self) -> usize {
        self.data.nobs
    }

    /// SplitMix64; the top 53 bits, never 0.
    fn uniform(&self) -> f64 {
        let state = self.rng.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.rng.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        #[allow(clippy::cast_precision_loss)] // 53 bits fit
        let top = (z >> 11) as f64;
        (top + 0.5) / 9_007_199_254_740_992.0
    }

    fn table_function(&self, name: &str, args: &[Expr], _: Option<usize>) -> Option<Result<Value, ExprError>> {
        match (name, args) {
            // `scalar(x)` and `float`-free names that take a name and not a value.
            ("scalar", [Expr::Name(n)]) => {
                Some(self.scalars.get(n).cloned().ok_or_else(|| ExprError::new(111, format!("{n} not found"))))
            }
            ("el", [m, i, j]) => Some(self.cell(m, i, j)),
            ("rowsof" | "colsof", [m]) => Some(self.matrix_of(m).map(|m| {
                let n = if name == "rowsof" { m.rows.len() } else { m.columns.len() };
                Value::Num(crate::expr::functions::size(n))
            })),
            ("_b" | "_se", [Expr::Name(n)]) => Some(self.coefficient(name, n)),
            ("fileexists", [arg]) => Some(match eval::value(self, arg, None) {
                Ok(Value::Str(s)) => Ok(Value::Num(f64::from(std::path::Path::new(&s).exists()))),
                Ok(_) => Err(ExprError::types()),
                Err(e) => Err(e),
            }),
            _ => None,
        }
    }
}
