//! `twoway` and its kin draw; `graph export` writes what was drawn as SVG.

use std::path::Path;

use super::data::{parts, varlist};
use crate::data::Values;
use crate::expr::ExprError;
use crate::expr::format::display_number;
use crate::expr::functions::size;
use crate::expr::is_missing;
use crate::graph::{Graph, Plot, Shape, draw};
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// Plots by name and shortest abbreviation.
const PLOTS: &[(&str, usize, Shape)] = &[
    ("scatter", 2, Shape::Points),
    ("line", 4, Shape::Line),
    ("connected", 3, Shape::Both),
    ("histogram", 4, Shape::Bars),
];

/// Options about looks, which are taken and change nothing.
const LOOKS: &[&str] = &[
    "scheme",
    "legend",
    "graphregion",
    "plotregion",
    "xlabel",
    "ylabel",
    "msymbol",
    "mcolor",
    "msize",
    "lcolor",
    "lwidth",
    "lpattern",
    "color",
    "fcolor",
    "bcolor",
    "xsize",
    "ysize",
    "aspectratio",
    "subtitle",
    "note",
    "caption",
    "bgcolor",
    "nodraw",
];

/// `twoway (plot) (plot) …, options`, or `twoway plot || plot`.
pub(crate) fn twoway(interp: &mut Interp, s: &str) -> Outcome {
    let (main, options) = match s.starts_with('(') {
        true => text::split_options(s),
        false => (s, ""),
    };
    let mut pieces = Vec::new();
    if s.starts_with('(') {
        let mut rest = main;
        while let Some(inner) = rest.trim_start().strip_prefix('(') {
            let end = text::find_top(inner, |_, c| c == ')').ok_or_else(|| Stop::new(198, "parentheses unbalanced"))?;
            pieces.push(&inner[..end]);
            rest = &inner[end + 1..];
        }
        if !rest.trim().is_empty() {
            return Err(Stop::syntax());
        }
    } else {
        pieces = main.split("||").collect();
    }
    let mut graph = Graph::default();
    for piece in pieces {
        let (word, rest) = text::command_word(piece.trim());
        add(interp, &mut graph, word, rest)?;
    }
    finish(interp, graph, options)
}

/// `scatter y x`: the plot without `twoway`.
pub(crate) fn scatter(interp: &mut Interp, s: &str) -> Outcome {
    twoway(interp, &format!("scatter {s}"))
}

/// `line y x`.
pub(crate) fn line(interp: &mut Interp, s: &str) -> Outcome {
    twoway(interp, &format!("line {s}"))
}

/// `histogram x`.
pub(crate) fn histogram(interp: &mut Interp, s: &str) -> Outcome {
    twoway(interp, &format!("histogram {s}"))
}

fn finish(interp: &mut Interp, mut graph: Graph, options: &str) -> Outcome {
    for (option, value) in text::options(options) {
        if !titled(&mut graph, &option, value.as_deref()) {
            return Err(Stop::new(198, format!("option {option} not allowed")));
        }
    }
    interp.graph = Some(graph);
    Ok(())
}

/// Whether it is an option of the whole graph; a title is set.
fn titled(graph: &mut Graph, option: &str, value: Option<&str>) -> bool {
    let text = value.map(|v| text::unquote(text::split_options(v).0).to_owned());
    match (option, text) {
        ("title", Some(t)) => graph.title = t,
        ("xtitle", Some(t)) => graph.x_title = t,
        ("ytitle", Some(t)) => graph.y_title = t,
        ("name", Some(_)) => {}
        _ => return LOOKS.contains(&option),
    }
    true
}

/// Adds one plot.
fn add(interp: &mut Interp, graph: &mut Graph, word: &str, rest: &str) -> Outcome {
    let known = PLOTS.iter().find(|(full, min, _)| text::abbreviates(word, full, *min));
    let Some((.., shape)) = known else {
        return Err(Stop::new(198, format!("{word} is not a twoway plot of the stand-in")));
    };
    let parts = parts(rest.trim());
    let names = varlist(interp, parts.main)?;
    let sample = parts.sample(interp)?;
    let column = |name: &String| match interp.data.column(name).map(|c| &c.values) {
        Some(Values::Num(v)) => Ok(v.clone()),
        _ => Err(Stop::from(ExprError::types())),
    };
    if *shape == Shape::Bars {
        let [name] = names.as_slice() else {
            return Err(Stop::new(if names.is_empty() { 100 } else { 103 }, "histogram takes one variable"));
        };
        let values = column(name)?.into_iter().zip(&sample).filter(|(x, k)| **k && !is_missing(*x)).map(|(x, _)| x);
        return bars(interp, graph, name, &values.collect::<Vec<f64>>(), parts.options);
    }
    let Some((x_name, y_names)) = names.split_last().filter(|(_, y)| !y.is_empty()) else {
        return Err(Stop::new(102, "too few variables specified"));
    };
    let mut sorted = false;
    for (option, value) in text::options(parts.options) {
        match option.as_str() {
            "sort" if value.is_none() => sorted = true,
            _ if titled(graph, &option, value.as_deref()) => {}
            _ => return Err(Stop::new(198, format!("option {option} not allowed"))),
        }
    }
    let x = column(x_name)?;
    for y_name in y_names {
        let y = column(y_name)?;
        let there = |i: &usize| sample[*i] && !is_missing(x[*i]) && !is_missing(y[*i]);
        let mut points: Vec<(f64, f64)> = (0..interp.data.nobs).filter(there).map(|i| (x[i], y[i])).collect();
        if sorted {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        graph.plots.push(Plot { shape: *shape, name: y_name.clone(), points, width: 0.0 });
    }
    if graph.plots.iter().all(|p| p.points.is_empty()) {
        return Err(Stop::new(2000, "no observations"));
    }
    if graph.x_title.is_empty() {
        graph.x_title.clone_from(x_name);
    }
    if graph.y_title.is_empty() && graph.plots.len() == 1 {
        graph.y_title.clone_from(&y_names[0]);
    }
    Ok(())
}

/// The bars of a histogram, with Stata's own choice of how many.
fn bars(interp: &mut Interp, graph: &mut Graph, name: &str, values: &[f64], options: &str) -> Outcome {
    let (mut count, mut width, mut start) = (None, None, None);
    let mut scale = "Density";
    for (option, value) in text::options(options) {
        let is = |full, min| text::abbreviates(&option, full, min);
        match value {
            Some(v) if option == "bin" => count = Some(interp.eval_number(&v)?),
            Some(v) if is("width", 1) => width = Some(interp.eval_number(&v)?),
            Some(v) if is("start", 5) => start = Some(interp.eval_number(&v)?),
            None if is("density", 3) => scale = "Density",
            None if is("frequency", 4) => scale = "Frequency",
            None if is("fraction", 4) => scale = "Fraction",
            None if is("percent", 7) => scale = "Percent",
            None if is("discrete", 1) => {
                return Err(Stop::new(198, "option discrete not allowed in the stand-in"));
            }
            v if titled(graph, &option, v.as_deref()) => {}
            _ => return Err(Stop::new(198, format!("option {option} not allowed"))),
        }
    }
    if values.is_empty() {
        return Err(Stop::new(2000, "no observations"));
    }
    let n = size(values.len());
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let start = start.unwrap_or(low);
    if is_missing(start) || start > low {
        return Err(Stop::new(198, "start() must be at most the smallest value"));
    }
    // The smaller of the root of n and ten times its logarithm to base ten, as whole bars.
    let natural = n.sqrt().min(10.0 * n.log10()).floor().max(1.0);
    let count = match (count, width) {
        (Some(_), Some(_)) => return Err(Stop::new(198, "options bin() and width() may not be combined")),
        (Some(c), None) => c.trunc(),
        (None, Some(w)) if w > 0.0 && !is_missing(w) => ((high - start) / w).floor().max(0.0) + 1.0,
        (None, Some(_)) => return Err(Stop::new(198, "option width() incorrectly specified")),
        (None, None) => natural,
    };
    if !(1.0..=10_000.0).contains(&count) {
        return Err(Stop::new(198, "option bin() incorrectly specified"));
    }
    let whole = if high > start { (high - start) / count } else { 1.0 };
    let width = width.unwrap_or(whole);
    interp.out.println(&format!(
        "(bin={}, start={}, width={})",
        display_number(count),
        display_number(start),
        display_number(width)
    ));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked above
    let mut heights = vec![0.0; count as usize];
    let last = heights.len() - 1;
    for x in values {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // not below start
        let at = ((x - start) / width) as usize;
        heights[at.min(last)] += 1.0;
    }
    let factor = match scale {
        "Density" => 1.0 / (n * width),
        "Fraction" => 1.0 / n,
        "Percent" => 100.0 / n,
        _ => 1.0,
    };
    let place = |(i, height): (usize, f64)| (start + (size(i) + 0.5) * width, height * factor);
    let points = heights.into_iter().enumerate().map(place).collect();
    graph.plots.push(Plot { shape: Shape::Bars, name: name.to_owned(), points, width });
    if graph.x_title.is_empty() {
        name.clone_into(&mut graph.x_title);
    }
    if graph.y_title.is_empty() {
        scale.clone_into(&mut graph.y_title);
    }
    Ok(())
}

/// `graph twoway|export|drop|display|dir`.
pub(crate) fn graph(interp: &mut Interp, s: &str) -> Outcome {
    let (verb, rest) = text::command_word(s);
    let rest = rest.trim();
    match verb {
        "export" => export(interp, rest),
        "display" if interp.graph.is_some() => Ok(()),
        "display" => Err(Stop::new(111, "graph Graph not found")),
        "drop" => {
            interp.graph = None;
            Ok(())
        }
        "dir" => {
            interp.out.print(if interp.graph.is_some() { "  Graph\n" } else { "" });
            Ok(())
        }
        _ if text::abbreviates(verb, "twoway", 2) => twoway(interp, rest),
        _ => Err(Stop::new(198, format!("graph {verb} not allowed in the stand-in, which has twoway and export"))),
    }
}

/// `graph export file.svg [, replace as(svg) name(name)]`.
fn export(interp: &mut Interp, s: &str) -> Outcome {
    let (main, options) = text::split_options(s);
    let (path, _) = text::token(main);
    let base = path.rsplit('/').next().unwrap_or(&path);
    let (mut format, mut replace) = (base.rsplit_once('.').map(|(_, e)| e.to_lowercase()), false);
    for (option, value) in text::options(options) {
        match (option.as_str(), value) {
            ("replace", None) => replace = true,
            ("as", Some(v)) => format = Some(v.trim().to_lowercase()),
            ("name" | "width" | "height" | "fontface", Some(_)) => {}
            _ => return Err(Stop::new(198, format!("option {option} not allowed"))),
        }
    }
    if path.is_empty() {
        return Err(Stop::new(198, "invalid file specification"));
    }
    if format.as_deref() != Some("svg") {
        let what = format.unwrap_or_default().to_uppercase();
        return Err(Stop::new(198, format!("the stand-in draws SVG only: {path} cannot be {what}")));
    }
    let Some(graph) = &interp.graph else {
        return Err(Stop::new(693, "could not find Graph window"));
    };
    let there = Path::new(&path).exists();
    if there && !replace {
        return Err(Stop::new(602, format!("file {path} already exists")));
    }
    std::fs::write(&path, draw(graph)).map_err(|_| Stop::new(603, format!("file {path} could not be opened")))?;
    let modern = interp.faults.since(17.0);
    if !there && replace {
        interp.out.note(&if modern {
            format!("file {path} not found")
        } else {
            format!("(note: file {path} not found)")
        });
    }
    let said = match modern {
        true => format!("file {path} saved as SVG format"),
        false => format!("(file {path} written in SVG format)"),
    };
    interp.out.println(&said);
    Ok(())
}
