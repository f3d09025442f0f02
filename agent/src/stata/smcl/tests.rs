use proptest::prelude::*;

use super::*;

fn note(name: &str) -> Option<String> {
    match name {
        "weightnote" => Some("{p 4 6 2}{cmd:fweight}s are allowed.{p_end}\n".to_owned()),
        "itself" => Some("x\nINCLUDE help itself\n".to_owned()),
        _ => None,
    }
}

#[test]
fn every_directive_is_shown() {
    let source = include_str!("golden/covers.sthlp");
    let read = read(&expand(source, &mut note), "weigh");
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/stata/smcl/golden/covers.md");
        std::fs::write(file, &read.text).unwrap();
    }
    assert_eq!(read.text, include_str!("golden/covers.md"));
    let titles: Vec<&str> = read.sections.iter().map(|(title, _)| title.as_str()).collect();
    assert_eq!(titles, ["Syntax", "Description", "Remarks", "Examples", "Stored results", "Author", "Related topics"]);
    for (title, at) in &read.sections {
        assert!(read.text[*at..].starts_with(&format!("## {title}\n")), "{title}");
    }
    assert_eq!(read.about, "[R] weigh -- Weighs things (View complete PDF manual entry)");
}

#[test]
fn the_older_markup_is_shown() {
    let source = "help for ^weigh^   (manual: ^[R] weigh^)\n.-\n\nWeighing\n\n    ^weigh^ varname, see @scale!the scale@ or @measure@\n2^3\n";
    assert_eq!(
        read(source, "weigh").text,
        "# help weigh\n\n```\nhelp for weigh   (manual: [R] weigh)\n```\n\nWeighing\n\n```\n    weigh varname, see the scale or measure\n2^3\n```\n"
    );
}

#[test]
fn what_is_broken_costs_a_paragraph_at_most() {
    let check = |source: &str, want: &str| {
        assert_eq!(read(&format!("{{smcl}}\n{source}"), "x").text, format!("# help x\n\n{want}\n"), "{source}")
    };
    check("{pstd}{cmd:open\n\n{pstd}next {it:a}", "open\n\nnext *a*");
    check("{pstd}a } b { c", "a } b { c");
    check("{pstd}{it:a {bf:b}\n{pstd}{it:c}", "*a* **b**\n\n*c*".replace("*a* **b**", "a **b**").as_str());
    check("{pstd}{}{:}{ }x", "{}{:}{ }x");
}

#[test]
fn includes_end() {
    let all = expand("INCLUDE help itself\n", &mut note);
    assert_eq!(all.matches("x\n").count(), 8);
    assert!(all.contains("not included: itself"));
    let huge = "y".repeat(MOST_TEXT);
    assert_eq!(expand(&format!("{huge}é{huge}"), &mut note).len(), MOST_TEXT);
}

proptest! {
    #[test]
    fn any_text_is_read(pieces in proptest::collection::vec(
        prop_oneof![
            "\\PC{0,8}",
            proptest::sample::select(vec![
                "{", "}", ":", "\n", "\n\n", "{p}", "{p 4 8 2}", "{p_end}", "{cmd:", "{opt a:b(", "{opth x(y:z)}", "{cmdab:a:b:c}",
                "{synopt:", "{p2col:}", "{title:", "{syntab:", "{col 300}", "{space 9}", "{hline}", "{dup 50:", "{ralign 20:",
                "{help a##b|c:", "{browse http://a:b}", "{stata \"", "`\"", "\"'", "{asis}", "{smcl}", "{...}", "{c 'g}", "{c e'}",
                "{break}", "{viewerdialog a \"b\"}", "{* x}", "\r\n", "INCLUDE help itself\n", "{manhelp a R:", "{manlink}", "é",
            ]).prop_map(str::to_owned),
        ], 0..60,
    )) {
        let text = pieces.concat();
        for source in [text.clone(), format!("{{smcl}}\n{text}")] {
            let read = read(&expand(&source, &mut note), "x");
            for (title, at) in &read.sections {
                let heading = format!("## {title}\n");
                prop_assert!(read.text[*at..].starts_with(&heading));
            }
        }
    }

    /// Words of a paragraph are never lost.
    #[test]
    fn words_stay(words in proptest::collection::vec("[a-z]{3,9}", 1..30), styles in proptest::collection::vec(0..6_usize, 30)) {
        let styled = words.iter().zip(&styles).map(|(word, style)| match style {
            0 => format!("{{cmd:{word}}}"),
            1 => format!("{{it:{{help {word}}}}}"),
            2 => format!("{{opt {word}}}"),
            3 => format!("{{odd:{word}}}"),
            4 => format!("{{bf:{word}"),
            _ => word.clone(),
        });
        let source = format!("{{smcl}}\n{{pstd}}\n{}\n", styled.collect::<Vec<_>>().join("\n"));
        let shown = read(&source, "x").text;
        let mut at = 0;
        for word in &words {
            let found = shown[at..].find(word.as_str());
            prop_assert!(found.is_some(), "{} in {}", word, shown);
            at += found.unwrap_or(0);
        }
    }
}
