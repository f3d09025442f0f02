//! The commands, by name and by Stata's shortest abbreviations. A name that is not here is `unrecognized`, r(199):
//! the stand-in never pretends.

pub(crate) mod append;
pub(crate) mod bootstrap;
pub(crate) mod coefficients;
pub(crate) mod collapse;
pub(crate) mod data;
pub(crate) mod display;
pub(crate) mod dta;
pub(crate) mod files;
pub(crate) mod flow;
pub(crate) mod logs;
pub(crate) mod macros;
pub(crate) mod matrix;
pub(crate) mod merge;
pub(crate) mod plots;
pub(crate) mod regress;
pub(crate) mod replicate;
pub(crate) mod settings;
pub(crate) mod simulate;
pub(crate) mod system;
pub(crate) mod table;

use crate::interp::{Interp, Outcome, Stop};
use crate::text::abbreviates;

type Command = fn(&mut Interp, &str) -> Outcome;

/// Full name, shortest abbreviation, function.
const COMMANDS: &[(&str, usize, Command)] = &[
    ("display", 2, display::display),
    ("_dots", 5, display::dots),
    ("do", 2, flow::do_file),
    ("run", 2, flow::run),
    ("include", 3, flow::include),
    ("exit", 4, flow::exit),
    ("error", 3, flow::error),
    ("continue", 4, flow::continue_loop),
    ("sleep", 5, flow::sleep),
    ("args", 4, flow::args),
    ("assert", 2, table::assert),
    ("confirm", 3, files::confirm),
    ("local", 3, macros::local),
    ("global", 2, macros::global),
    ("scalar", 3, macros::scalar),
    ("macro", 2, macros::macro_command),
    ("tokenize", 5, macros::tokenize),
    ("return", 3, macros::return_command),
    ("_return", 7, matrix::hold),
    ("ereturn", 4, matrix::ereturn),
    ("sreturn", 4, matrix::sreturn),
    ("matrix", 3, matrix::matrix),
    ("regress", 3, regress::regress),
    ("simulate", 8, simulate::simulate),
    ("bootstrap", 4, bootstrap::bootstrap),
    ("bs", 2, bootstrap::bootstrap),
    ("tempfile", 5, macros::tempfile),
    ("tempname", 5, macros::tempname),
    ("tempvar", 5, macros::tempname),
    ("program", 2, settings::program),
    ("generate", 1, data::generate),
    ("replace", 7, data::replace),
    ("drop", 4, data::drop_command),
    ("keep", 4, data::keep),
    ("rename", 3, data::rename),
    ("sort", 2, data::sort),
    ("preserve", 8, data::preserve),
    ("restore", 7, data::restore),
    ("use", 1, dta::use_command),
    ("save", 2, dta::save),
    ("append", 3, append::append),
    ("merge", 3, merge::merge),
    ("collapse", 4, collapse::collapse),
    ("count", 3, table::count),
    ("summarize", 2, table::summarize),
    ("list", 1, table::list),
    ("file", 4, files::file),
    ("erase", 5, files::erase),
    ("rm", 2, files::erase),
    ("cd", 2, files::cd),
    ("chdir", 5, files::cd),
    ("pwd", 3, files::pwd),
    ("mkdir", 3, files::mkdir),
    ("rmdir", 5, files::rmdir),
    ("copy", 4, files::copy),
    ("type", 2, files::type_command),
    ("log", 3, logs::log),
    ("twoway", 2, plots::twoway),
    ("scatter", 2, plots::scatter),
    ("line", 4, plots::line),
    ("histogram", 4, plots::histogram),
    ("graph", 2, plots::graph),
    ("set", 3, settings::set),
    ("clear", 5, settings::clear),
    ("version", 4, settings::version),
    ("discard", 7, settings::nothing),
    ("timer", 5, system::timer),
    ("shell", 5, system::shell),
    ("xshell", 6, system::shell),
    ("!", 1, system::shell),
    ("help", 1, system::help),
    ("which", 5, system::which),
    ("#delimit", 2, settings::delimit),
];

/// Runs the command `word` with what follows it.
///
/// # Errors
/// The command's own; `command … is unrecognized`, r(199), for one that is not here.
pub(crate) fn dispatch(interp: &mut Interp, word: &str, rest: &str) -> Outcome {
    if let Some((_, _, run)) = COMMANDS.iter().find(|(full, min, _)| abbreviates(word, full, *min)) {
        return run(interp, rest.trim());
    }
    if word.is_empty() {
        let shown: String = rest.trim().chars().take_while(|c| !c.is_whitespace()).collect();
        let text = if shown.starts_with('}') { "} is not a valid command name" } else { "" };
        return Err(Stop::new(
            199,
            if text.is_empty() { format!("{shown} is not a valid command name") } else { text.into() },
        ));
    }
    Err(Stop::new(199, format!("command {word} is unrecognized")))
}
