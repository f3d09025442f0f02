//! Round numbers along an axis.

/// A range and the round numbers in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// The lower end.
    pub(crate) low: f64,
    /// The upper end, above the lower.
    pub(crate) high: f64,
    /// Where numbers stand.
    pub(crate) ticks: Vec<f64>,
}

/// An axis that holds all values, with some five ticks.
pub(crate) fn axis(values: impl Iterator<Item = f64>) -> Axis {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for v in values {
        (low, high) = (low.min(v), high.max(v));
    }
    if low > high {
        (low, high) = (0.0, 1.0);
    }
    if high - low <= low.abs().max(high.abs()) * 1e-12 {
        let room = if low == 0.0 { 1.0 } else { low.abs() / 10.0 };
        (low, high) = (low - room, high + room);
    }
    let step = round_step((high - low) / 5.0);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    let mut ticks = Vec::new();
    let mut at = first;
    while at <= last + 0.5 {
        ticks.push(at * step);
        at += 1.0;
    }
    Axis { low: first * step, high: last * step, ticks }
}

/// 1, 2 or 5 times a power of ten, at least this much.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let times = rough / power;
    power
        * if times <= 1.0 {
            1.0
        } else if times <= 2.0 {
            2.0
        } else if times <= 5.0 {
            5.0
        } else {
            10.0
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        let check = |values: &[f64], low: f64, high: f64, count: usize| {
            let axis = axis(values.iter().copied());
            assert!((axis.low - low).abs() < 1e-9 && (axis.high - high).abs() < 1e-9, "{axis:?}");
            assert_eq!(axis.ticks.len(), count, "{axis:?}");
        };
        check(&[1.0, 9.0], 0.0, 10.0, 6);
        check(&[3291.0, 15906.0], 0.0, 20000.0, 5);
        check(&[-0.3, 0.4], -0.4, 0.4, 5);
        check(&[7.0], 6.0, 8.0, 5);
        check(&[], 0.0, 1.0, 6);
    }
}
