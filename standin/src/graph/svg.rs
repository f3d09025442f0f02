//! A graph as SVG text.

use std::fmt::Write;

use super::ticks::{Axis, axis};
use super::{Graph, Plot, Shape};
use crate::expr::format::display_number;

/// Size of the picture, in points.
const WIDTH: f64 = 528.0;
const HEIGHT: f64 = 384.0;

/// The plot region in it.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 508.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 310.0;

/// Colours of the plots, in order.
const COLOURS: [&str; 6] = ["#1a476f", "#90353b", "#55752f", "#e37e00", "#6e8e84", "#c10534"];

/// Where values are in the picture.
struct Scale {
    x: Axis,
    y: Axis,
}

impl Scale {
    fn x(&self, v: f64) -> f64 {
        LEFT + (v - self.x.low) / (self.x.high - self.x.low) * (RIGHT - LEFT)
    }

    fn y(&self, v: f64) -> f64 {
        BOTTOM - (v - self.y.low) / (self.y.high - self.y.low) * (BOTTOM - TOP)
    }
}

/// The picture.
pub(crate) fn draw(graph: &Graph) -> String {
    let all = || graph.plots.iter().flat_map(|p| p.points.iter().map(move |q| (p, q)));
    let bars = graph.plots.iter().any(|p| p.shape == Shape::Bars);
    let x = axis(all().flat_map(|(p, (x, _))| [x - p.width / 2.0, x + p.width / 2.0]));
    let y = axis(all().map(|(_, (_, y))| *y).chain(bars.then_some(0.0)));
    let scale = Scale { x, y };
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n<!-- drawn by the Longhaul stand-in, which is not Stata -->\n\
         <svg version=\"1.1\" width=\"{WIDTH}pt\" height=\"{HEIGHT}pt\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         xmlns=\"http://www.w3.org/2000/svg\" font-family=\"Helvetica, Arial, sans-serif\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    axes(&mut out, &scale);
    for (plot, colour) in graph.plots.iter().zip(COLOURS.iter().cycle()) {
        one(&mut out, &scale, plot, colour);
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    words(&mut out, &graph.title, middle, 24.0, 16, "");
    words(&mut out, &graph.x_title, middle, BOTTOM + 36.0, 12, "");
    let upright = f64::midpoint(TOP, BOTTOM);
    words(&mut out, &graph.y_title, 18.0, upright, 12, &format!(" transform=\"rotate(-90 18 {upright:.1})\""));
    if graph.plots.len() > 1 {
        legend(&mut out, graph);
    }
    out.push_str("</svg>\n");
    out
}

fn axes(out: &mut String, scale: &Scale) {
    for v in &scale.y.ticks {
        let y = scale.y(*v);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{y:.2}\" x2=\"{RIGHT}\" y2=\"{y:.2}\" stroke=\"#dddddd\" stroke-width=\"1\"/>\n\
             <text x=\"{:.2}\" y=\"{:.2}\" font-size=\"11\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            number(*v)
        );
    }
    for v in &scale.x.ticks {
        let x = scale.x(*v);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.2}\" y1=\"{BOTTOM}\" x2=\"{x:.2}\" y2=\"{:.2}\" stroke=\"#000000\" stroke-width=\"1\"/>\n\
             <text x=\"{x:.2}\" y=\"{:.2}\" font-size=\"11\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 5.0,
            BOTTOM + 18.0,
            number(*v)
        );
    }
    let _ = writeln!(
        out,
        "<path d=\"M{LEFT} {TOP} L{LEFT} {BOTTOM} L{RIGHT} {BOTTOM}\" fill=\"none\" stroke=\"#000000\" stroke-width=\"1\"/>"
    );
}

/// A tick's number, without the noise of its last digits.
fn number(v: f64) -> String {
    display_number((v * 1e9).round() / 1e9)
}

fn one(out: &mut String, scale: &Scale, plot: &Plot, colour: &str) {
    if matches!(plot.shape, Shape::Line | Shape::Both) && !plot.points.is_empty() {
        let path: Vec<String> =
            plot.points.iter().map(|(x, y)| format!("{:.2},{:.2}", scale.x(*x), scale.y(*y))).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
            path.join(" ")
        );
    }
    for (x, y) in &plot.points {
        match plot.shape {
            Shape::Line => return,
            Shape::Points | Shape::Both => {
                let _ = writeln!(
                    out,
                    "<circle cx=\"{:.2}\" cy=\"{:.2}\" r=\"3\" fill=\"{colour}\"/>",
                    scale.x(*x),
                    scale.y(*y)
                );
            }
            Shape::Bars => {
                let (left, right) = (scale.x(x - plot.width / 2.0), scale.x(x + plot.width / 2.0));
                let (top, bottom) = (scale.y(y.max(0.0)), scale.y(y.min(0.0)));
                let _ = writeln!(
                    out,
                    "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{:.2}\" height=\"{:.2}\" fill=\"{colour}\" \
                     fill-opacity=\"0.7\" stroke=\"{colour}\"/>",
                    right - left,
                    bottom - top
                );
            }
        }
    }
}

fn legend(out: &mut String, graph: &Graph) {
    let mut x = LEFT;
    for (plot, colour) in graph.plots.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(
            out,
            "<rect x=\"{x:.2}\" y=\"{:.2}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n\
             <text x=\"{:.2}\" y=\"{:.2}\" font-size=\"11\">{}</text>",
            HEIGHT - 22.0,
            x + 15.0,
            HEIGHT - 13.0,
            escape(&plot.name)
        );
        x += 30.0 + 7.0 * crate::expr::functions::size(plot.name.chars().count());
    }
}

fn words(out: &mut String, text: &str, x: f64, y: f64, size: u8, more: &str) {
    if !text.is_empty() {
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"middle\"{more}>{}</text>",
            escape(text)
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_where_their_numbers_say() {
        let plot =
            |shape, points: &[(f64, f64)], width| Plot { shape, name: "y".into(), points: points.to_vec(), width };
        let graph = |plots| Graph { title: "a<b".into(), x_title: "x".into(), y_title: String::new(), plots };
        let found = draw(&graph(vec![plot(Shape::Points, &[(0.0, 0.0), (10.0, 5.0), (2.5, 1.25)], 0.0)]));
        for place in ["cx=\"70.00\" cy=\"310.00\"", "cx=\"508.00\" cy=\"40.00\"", "cx=\"179.50\" cy=\"242.50\""] {
            assert!(found.contains(place), "{place}\n{found}");
        }
        assert!(found.contains(">a&lt;b</text>") && found.matches("<circle").count() == 3);
        let found = draw(&graph(vec![plot(Shape::Bars, &[(1.0, 4.0), (3.0, 1.0)], 2.0)]));
        // Two bars side by side, from zero, one four times as high as the other.
        assert!(found.contains("x=\"70.00\" y=\"40.00\" width=\"219.00\" height=\"270.00\""), "{found}");
        assert!(found.contains("x=\"289.00\" y=\"242.50\" width=\"219.00\" height=\"67.50\""), "{found}");
        let found = draw(&graph(vec![plot(Shape::Line, &[(0.0, 0.0), (1.0, 1.0)], 0.0), plot(Shape::Both, &[], 0.0)]));
        assert!(found.contains("points=\"70.00,310.00 508.00,40.00\"") && !found.contains("<circle"));
    }
}
