//! Prompts: requests that people make often, in words that lead a model to the right tools. Clients show them as commands.

use rmcp::{
    ErrorData,
    model::{GetPromptResult, JsonObject, ListPromptsResult, Prompt, PromptArgument, PromptMessage, Role},
};

use super::words;

/// Longest argument, characters: a path, or a list of values.
const LONGEST: usize = 4_000;
/// Most runs of one prompt: more are better started by a do-file that loops.
const MOST_VALUES: usize = 100;

/// What an argument is, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A path of a do-file on a Stata host.
    DoFile,
    /// A path of a data set there.
    DataSet,
    /// An agent's name.
    Host,
    /// A licence pool's name.
    Pool,
    /// Anything.
    Words,
}

/// One argument of a prompt.
struct Argument {
    name: &'static str,
    meaning: Meaning,
    required: bool,
    help: &'static str,
}

/// One prompt.
struct Spec {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    arguments: &'static [Argument],
    text: fn(&Given<'_>) -> Result<String, String>,
}

const HOST: Argument =
    Argument { name: "host", meaning: Meaning::Host, required: false, help: "Stata host; any by default" };
const DO_FILE: Argument = Argument {
    name: "do_file",
    meaning: Meaning::DoFile,
    required: true,
    help: "Path of the do-file on the Stata host",
};

const PROMPTS: &[Spec] = &[
    Spec {
        name: "run_and_explain",
        title: "Run a do-file and explain a failure",
        description: "Runs a do-file to its end; if it fails, finds where and why, and proposes the smallest change",
        arguments: &[
            DO_FILE,
            Argument {
                name: "args",
                meaning: Meaning::Words,
                required: false,
                help: "Arguments of the do-file, separated by blanks",
            },
            HOST,
        ],
        text: run_and_explain,
    },
    Spec {
        name: "look_at_data",
        title: "Look at a data set",
        description: "Describes a Stata data set: what a row is, variables, missing values, what looks odd",
        arguments: &[
            Argument {
                name: "data",
                meaning: Meaning::DataSet,
                required: true,
                help: "Path of the .dta file on the Stata host",
            },
            HOST,
        ],
        text: look_at_data,
    },
    Spec {
        name: "many_runs",
        title: "Many runs and a table",
        description: "Runs a do-file once for each of several values, side by side, and puts the results into a table",
        arguments: &[
            DO_FILE,
            Argument {
                name: "values",
                meaning: Meaning::Words,
                required: true,
                help: "One run for each: separated by commas, or by blanks",
            },
            Argument { name: "pool", meaning: Meaning::Pool, required: false, help: "Licence pool; any by default" },
        ],
        text: many_runs,
    },
];

fn run_and_explain(given: &Given<'_>) -> Result<String, String> {
    let (file, host) = (given.quoted("do_file")?, given.host());
    let args: Vec<String> = given.words("args").map(quoted).collect();
    let args = if args.is_empty() { String::new() } else { format!(", args: [{}]", args.join(", ")) };
    Ok(format!(
        "Run a do-file on the Stata host and tell me what came of it.\n\n\
         1. Call stata_run_file(file_path: {file}{args}{host}). If the answer is a run id, call stata_wait until the run has \
         ended; do not start it again.\n\
         2. If it succeeded, say what it did and show its most important results.\n\
         3. If it failed, read the message, the command and the place in the first lines of the answer. Read the log around \
         it with stata_log, and the do-file that is named there if you can open it. Then say in plain words what went wrong, in \
         which file and line, and why, and propose the smallest change that mends it.\n\
         Change no file and run nothing again before I agree."
    ))
}

fn look_at_data(given: &Given<'_>) -> Result<String, String> {
    let (path, host) = (given.plain("data")?, given.host());
    Ok(format!(
        "Look at a Stata data set and tell me what is in it.\n\n\
         Call stata_run_selection{} with this selection:\n\n\
         use `\"{path}\"', clear\ndescribe, fullnames\ncodebook, compact\nmisstable summarize\nlist in 1/5, abbreviate(20)\n\n\
         Then say what one row is, how many rows and variables there are, what the variables mean as far as names, labels and \
         values tell, where values are missing, and what looks odd. Say what you only suppose. Save nothing.",
        if host.is_empty() { String::new() } else { format!(" ({})", host.trim_start_matches(", ")) }
    ))
}

fn many_runs(given: &Given<'_>) -> Result<String, String> {
    let file = given.quoted("do_file")?;
    let values: Vec<String> = given.words("values").map(quoted).collect();
    if values.len() > MOST_VALUES {
        return Err(format!("`values` has {} of them: at most {MOST_VALUES}", values.len()));
    }
    let pool = match given.text("pool") {
        None => String::new(),
        Some(pool) => {
            format!(" Run them on hosts of the pool {}: stata_hosts lists its hosts, pass one as host.", quoted(pool))
        }
    };
    Ok(format!(
        "Run a do-file once for each of several values, and put the results into a table.\n\n\
         1. For each of {} call stata_submit(path: {file}, args: [the value]).{pool} Runs wait for a free seat by \
         themselves.\n\
         2. Call stata_wait with the list of all run ids until all have ended.\n\
         3. Make one table: value, verdict, time, and the results that matter, which you take from the logs (stata_log with a \
         pattern finds the same line in each).\n\
         4. Below it name each run that failed with its message and place. Run none again before I agree.",
        values.join(", ")
    ))
}

/// The arguments of one request.
struct Given<'a> {
    spec: &'a Spec,
    arguments: &'a JsonObject,
}

impl Given<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        let text = self.text(name).unwrap_or_default();
        let by_comma = text.contains(',');
        text.split(move |c: char| if by_comma { c == ',' } else { c.is_whitespace() })
            .map(str::trim)
            .filter(|word| !word.is_empty())
    }

    fn host(&self) -> String {
        self.text("host").map(|host| format!(", host: {}", quoted(host))).unwrap_or_default()
    }

    fn quoted(&self, name: &str) -> Result<String, String> {
        self.plain(name).map(|path| quoted(&path))
    }

    /// A path that can stand in Stata's compound quotes.
    fn plain(&self, name: &str) -> Result<String, String> {
        let path = super::paths::meant(self.text(name).unwrap_or_default());
        match path.contains(['`', '$']) || path.contains("\"'") {
            true => {
                Err(format!("`{name}` has a character that Stata reads in a path: a backtick, a dollar sign, or \"'"))
            }
            false => Ok(path),
        }
    }

    fn check(&self) -> Result<(), String> {
        for (name, value) in self.arguments {
            let Some(_) = self.spec.arguments.iter().find(|a| a.name == name) else {
                let known: Vec<&str> = self.spec.arguments.iter().map(|a| a.name).collect();
                return Err(format!("{} has no argument `{name}`: it takes {}", self.spec.name, known.join(", ")));
            };
            match value.as_str() {
                None => return Err(format!("argument `{name}` must be a text")),
                Some(text) if text.chars().count() > LONGEST => {
                    return Err(format!("argument `{name}` has more than {LONGEST} characters"));
                }
                Some(text) if text.chars().any(|c| c.is_control() && !c.is_whitespace()) => {
                    return Err(format!("argument `{name}` has control characters"));
                }
                Some(_) => {}
            }
        }
        match self.spec.arguments.iter().find(|a| a.required && self.text(a.name).is_none()) {
            Some(missing) => Err(format!("argument `{}` is missing: {}", missing.name, missing.help)),
            None => Ok(()),
        }
    }
}

/// As a model passes it in a call.
fn quoted(text: &str) -> String {
    serde_json::Value::from(words::plain(text)).to_string()
}

/// `prompts/list`.
pub(super) fn list() -> ListPromptsResult {
    let argument = |a: &Argument| PromptArgument::new(a.name).with_description(a.help).with_required(a.required);
    let prompt = |spec: &Spec| {
        let arguments = spec.arguments.iter().map(argument).collect();
        Prompt::new(spec.name, Some(spec.description), Some(arguments)).with_title(spec.title)
    };
    ListPromptsResult::with_all_items(PROMPTS.iter().map(prompt).collect())
}

fn find(name: &str) -> Result<&'static Spec, ErrorData> {
    PROMPTS.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let known: Vec<&str> = PROMPTS.iter().map(|spec| spec.name).collect();
        let name = words::cut(&words::plain(name), 60);
        ErrorData::invalid_params(format!("no prompt `{name}`: there are {}", known.join(", ")), None)
    })
}

/// `prompts/get`.
///
/// # Errors
/// There is no such prompt, or its arguments are wrong.
pub(super) fn get(name: &str, arguments: Option<&JsonObject>) -> Result<GetPromptResult, ErrorData> {
    let (spec, none) = (find(name)?, JsonObject::new());
    let given = Given { spec, arguments: arguments.unwrap_or(&none) };
    let text = given.check().and_then(|()| (spec.text)(&given));
    let text = text.map_err(|text| ErrorData::invalid_params(text, None))?;
    let mut got = GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]);
    got.description = Some(spec.description.to_owned());
    Ok(got)
}

/// What an argument of a prompt is.
///
/// # Errors
/// There is no such prompt, or it has no such argument.
pub(super) fn meaning(prompt: &str, argument: &str) -> Result<Meaning, ErrorData> {
    let spec = find(prompt)?;
    spec.arguments.iter().find(|a| a.name == argument).map(|a| a.meaning).ok_or_else(|| {
        let known: Vec<&str> = spec.arguments.iter().map(|a| a.name).collect();
        let argument = words::cut(&words::plain(argument), 60);
        ErrorData::invalid_params(format!("{prompt} has no argument `{argument}`: it takes {}", known.join(", ")), None)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(name: &str, arguments: serde_json::Value) -> Result<String, String> {
        let got = get(name, arguments.as_object()).map_err(|error| error.message.into_owned())?;
        let text = serde_json::to_value(&got.messages).unwrap();
        Ok(text[0]["content"]["text"].as_str().unwrap().to_owned())
    }

    #[test]
    fn prompts_name_what_they_were_given() {
        let check = |name: &str, arguments, want: &str| {
            let text = said(name, arguments).unwrap();
            assert!(text.contains(want), "{want}: {text}");
        };
        let run = json!({"do_file": " \"/p/a b.do\" ", "args": "2024 full", "host": "stata1"});
        check(
            "run_and_explain",
            run,
            r#"stata_run_file(file_path: "/p/a b.do", args: ["2024", "full"], host: "stata1")"#,
        );
        check("run_and_explain", json!({"do_file": "a.do", "args": ""}), r#"stata_run_file(file_path: "a.do")"#);
        check("look_at_data", json!({"data": "/p/auto.dta"}), "use `\"/p/auto.dta\"', clear\n");
        check("look_at_data", json!({"data": "/p/x.dta", "host": "h"}), "stata_run_selection (host: \"h\") with");
        let many = json!({"do_file": "/p/a.do", "values": "low income, high", "pool": "lab"});
        check("many_runs", many.clone(), r#"For each of "low income", "high" call stata_submit(path: "/p/a.do""#);
        check("many_runs", many, r#"the pool "lab""#);
        check("many_runs", json!({"do_file": "/p/a.do", "values": "1 2\t3"}), r#""1", "2", "3""#);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let check = |name: &str, arguments, want: &str| {
            let text = said(name, arguments).unwrap_err();
            assert!(text.contains(want), "{want}: {text}");
        };
        check("nothing", json!({}), "no prompt `nothing`: there are run_and_explain, look_at_data, many_runs");
        check("run_and_explain", json!({}), "`do_file` is missing");
        check("run_and_explain", json!({"do_file": "  "}), "`do_file` is missing");
        check("run_and_explain", json!({"do_file": 1}), "must be a text");
        check("run_and_explain", json!({"do_file": "a", "path": "b"}), "no argument `path`");
        check("look_at_data", json!({"data": "/p/`x'.dta"}), "a backtick");
        check("look_at_data", json!({"data": "a\u{1b}"}), "control characters");
        check("many_runs", json!({"do_file": "a", "values": "1 ".repeat(101)}), "at most 100");
        check("many_runs", json!({"do_file": "a".repeat(4001), "values": "1"}), "more than 4000");
    }
}
