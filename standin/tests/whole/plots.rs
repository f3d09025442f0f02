//! Graphs: what is drawn is what is in the data, and what is said about it.

use super::support::{Lab, holds, log};

const DATA: &str = "set obs 5\ngenerate x = _n\ngenerate y = x^2\ngenerate str1 s = \"a\"\nreplace y = . in 4\n";

#[test]
fn a_scatter_is_exported_as_svg() {
    let lab = Lab::new(&[(
        "x.do",
        &format!(
            "{DATA}scatter y x, title(\"A & B\") scheme(s2color)\ngraph export a.svg, replace\ngraph export a.svg, replace\n\
             twoway (line y x, sort) (scatter x x if x > 2), ytitle(both)\ngraph export \"two words.svg\"\n"
        ),
    )]);
    let found = lab.log_of("x.do");
    holds(
        &found,
        &[
            ". graph export a.svg, replace\nfile a.svg not found\nfile a.svg saved as SVG format\n\n",
            ". graph export a.svg, replace\nfile a.svg saved as SVG format\n\n",
            "\nfile two words.svg saved as SVG format\n",
        ],
    );
    let svg = lab.text("a.svg");
    // x runs from 1 to 5 and y from 0 to 25 on the axes; the missing fourth is not drawn.
    holds(
        &svg,
        &[
            "<svg ",
            "not Stata",
            ">A &amp; B</text>",
            ">y</text>",
            ">x</text>",
            "cx=\"70.00\" cy=\"299.20\"",
            "cx=\"508.00\" cy=\"40.00\"",
        ],
    );
    assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
    let both = lab.text("two words.svg");
    assert_eq!((both.matches("<polyline").count(), both.matches("<circle").count()), (1, 3), "{both}");
    holds(&both, &[">both</text>", "font-size=\"11\">y</text>", "font-size=\"11\">x</text>"]);
    let older = Lab::new(&[("x.do", &format!("{DATA}line y x\ngraph export a.svg, replace\n"))]);
    older.command(&["-q", "-b", "do", "x.do"]).env("LONGHAUL_STANDIN_VERSION", "16").output().unwrap();
    holds(&older.text("x.log"), &["(note: file a.svg not found)\n(file a.svg written in SVG format)\n"]);
}

#[test]
fn a_histogram_counts_its_bars() {
    let lab = Lab::new(&[(
        "x.do",
        "set obs 100\ngenerate v = mod(_n, 10)\nhistogram v, frequency bin(5)\ngraph export f.svg\nhistogram v\n\
         histogram v, width(3) start(0) percent\n",
    )]);
    let found = lab.log_of("x.do");
    holds(&found, &["(bin=5, start=0, width=1.8)", "(bin=10, start=0, width=.9)", "(bin=4, start=0, width=3)"]);
    // Five bars of twenty each, as high as the axis.
    assert_eq!(lab.text("f.svg").matches("height=\"270.00\" fill=").count(), 5, "{}", lab.text("f.svg"));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let check = |commands: &str, rc: i32, words: &str| {
        let found = log(&format!("{DATA}{commands}\n"));
        assert!(found.contains(words) && found.ends_with(&format!("\nr({rc});\n")), "{commands}\n{found}");
    };
    check("graph export a.svg", 693, "could not find Graph window");
    check("scatter y x\ngraph export a.png", 198, "the stand-in draws SVG only: a.png cannot be PNG");
    check("scatter y x\ngraph export a.svg, as(pdf)", 198, "the stand-in draws SVG only: a.svg cannot be PDF");
    check("scatter y x\ngraph save a.gph", 198, "graph save not allowed in the stand-in");
    check("scatter y x\ngraph export a.svg\ngraph export a.svg", 602, "file a.svg already exists");
    check("scatter y x\ngraph export nothere/a.svg", 603, "file nothere/a.svg could not be opened");
    check("scatter y", 102, "too few variables specified");
    check("scatter y s", 109, "type mismatch");
    check("scatter y x if x > 9", 2000, "no observations");
    check("scatter y x, by(s)", 198, "option by not allowed");
    check("twoway lfit y x", 198, "lfit is not a twoway plot of the stand-in");
    check("histogram y, bin(0)", 198, "option bin() incorrectly specified");
    check("scatter y x\nclear all\ngraph export a.svg", 693, "could not find Graph window");
}
