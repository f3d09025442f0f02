//! Graphs of the table in memory: points, lines and bars, each where its numbers say, drawn as SVG.

mod svg;
mod ticks;

pub(crate) use svg::draw;

/// How a plot shows its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `scatter`.
    Points,
    /// `line`.
    Line,
    /// `connected`.
    Both,
    /// `histogram`, `bar`: from zero up to y, over a width.
    Bars,
}

/// One plot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plot {
    /// How it is shown.
    pub(crate) shape: Shape,
    /// Its name in the legend.
    pub(crate) name: String,
    /// Where it is, in order.
    pub(crate) points: Vec<(f64, f64)>,
    /// Width of a bar.
    pub(crate) width: f64,
}

/// A graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Graph {
    /// `title()`.
    pub(crate) title: String,
    /// `xtitle()`, or what is on the axis.
    pub(crate) x_title: String,
    /// `ytitle()`, likewise.
    pub(crate) y_title: String,
    /// The plots, the first one at the bottom.
    pub(crate) plots: Vec<Plot>,
}
