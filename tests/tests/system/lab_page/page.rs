//! The page itself: its blocks of commands, in order, with the machines on which they are typed.

/// A block of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the page at which it begins.
    pub(crate) line: usize,
    /// Where it is typed.
    pub(crate) machines: Vec<String>,
    /// What is typed.
    pub(crate) commands: String,
}

/// The machines of the page; `person` is everybody's.
pub(crate) const MACHINES: [&str; 5] = ["gateway", "stata1", "stata2", "stata3", "person"];

/// Reads the blocks out of the page.
///
/// # Errors
/// A block that would not be run: one that does not say on which machine, or on one that there is not.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let (mut all, mut open) = (Vec::new(), None::<Block>);
    for (at, line) in page.lines().enumerate() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            if let Some(block) = &mut open {
                block.commands.push_str(line);
                block.commands.push('\n');
            }
            continue;
        };
        if let Some(block) = open.take() {
            all.push(block);
            continue;
        }
        let mut words = info.split_whitespace();
        let (language, machines) = (words.next(), words.map(str::to_owned).collect::<Vec<_>>());
        let unknown = machines.iter().find(|name| !MACHINES.contains(&name.as_str()));
        match (language, machines.is_empty(), unknown) {
            (Some("sh"), false, None) => open = Some(Block { line: at + 1, machines, commands: String::new() }),
            (_, _, Some(name)) => return Err(format!("line {}: there is no machine `{name}`", at + 1)),
            _ => return Err(format!("line {}: a block that says on no machine is run by no test: ```{info}", at + 1)),
        }
    }
    match open {
        Some(block) => Err(format!("line {}: the block has no end", block.line)),
        None => Ok(all),
    }
}

#[test]
fn a_block_that_no_test_runs_is_found() {
    let page = "# A\n```sh gateway stata1\na\nb\n```\ntext\n```sh person\nc\n```\n";
    let found = blocks(page).unwrap();
    assert_eq!((found[0].line, found[0].commands.as_str()), (2, "a\nb\n"));
    assert_eq!(found[1].machines, ["person"]);
    for (text, words) in [
        ("```\nlonghaul hosts\n```\n", "line 10: a block that says on no machine"),
        ("```sh\nlonghaul hosts\n```\n", "line 10: a block that says on no machine"),
        ("```bash gateway\nlonghaul hosts\n```\n", "line 10: a block that says on no machine"),
        ("```sh gatway\nlonghaul hosts\n```\n", "line 10: there is no machine `gatway`"),
        ("```sh gateway\nlonghaul hosts\n", "line 10: the block has no end"),
    ] {
        let error = blocks(&format!("{page}{text}")).unwrap_err();
        assert!(error.starts_with(words), "{error}");
    }
}
