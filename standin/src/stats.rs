//! The distributions that tables of coefficients need, exact to some 1e-13.

/// Logarithm of the gamma function of a positive number (Lanczos, g = 7).
fn ln_gamma(x: f64) -> f64 {
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let mut sum = C[0];
    let mut at = x;
    for c in &C[1..] {
        at += 1.0;
        sum += c / at;
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The regularized incomplete beta function, by its continued fraction.
pub(crate) fn beta_below(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_below(b, a, 1.0 - x);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    let mut m = 0.0;
    while m < 10_000.0 {
        m += 1.0;
        for odd in [false, true] {
            let n = if odd {
                -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
            } else {
                m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
            };
            d = 1.0 / away(1.0 + n * d);
            c = away(1.0 + n / c);
            h *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * h
}

/// `2*ttail(df, |t|)`.
pub(crate) fn t_both_tails(df: f64, t: f64) -> f64 {
    beta_below(df / 2.0, 0.5, df / (df + t * t))
}

/// `Ftail(df1, df2, f)`.
pub(crate) fn f_tail(df1: f64, df2: f64, f: f64) -> f64 {
    if f <= 0.0 { 1.0 } else { beta_below(df2 / 2.0, df1 / 2.0, df2 / (df2 + df1 * f)) }
}

/// `invttail(df, tail)` for a tail below a half.
pub(crate) fn t_quantile(df: f64, tail: f64) -> f64 {
    quantile(|x| t_both_tails(df, x), tail)
}

/// The point beyond which `tail`, below a half, lies, of a symmetric distribution with these tails; by bisection.
fn quantile(both_tails: impl Fn(f64) -> f64, tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while both_tails(high) > 2.0 * tail && high < 1e300 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if both_tails(middle) > 2.0 * tail { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The regularized upper incomplete gamma function: by its series below `a + 1`, else by its continued fraction.
fn gamma_above(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return 1.0 - front * sum;
    }
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut h = d;
    let mut i = 0.0;
    while i < 10_000.0 {
        i += 1.0;
        let n = -i * (i - a);
        b += 2.0;
        d = 1.0 / (n * d + b);
        c = b + n / c;
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * h
}

/// `chi2tail(df, x)`.
pub(crate) fn chi2_tail(df: f64, x: f64) -> f64 {
    gamma_above(df / 2.0, x / 2.0)
}

/// `2*normal(-|z|)`.
pub(crate) fn normal_both_tails(z: f64) -> f64 {
    gamma_above(0.5, z * z / 2.0)
}

/// `invnormal(1 - tail)` for a tail below a half.
pub(crate) fn normal_quantile(tail: f64) -> f64 {
    quantile(normal_both_tails, tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let check = |found: f64, want: f64| assert!((found / want - 1.0).abs() < 1e-10, "{found} and not {want}");
        check(t_quantile(10.0, 0.025), 2.228_138_851_986_273_5);
        check(t_quantile(1.0, 0.025), 12.706_204_736_174_7);
        check(t_quantile(71.0, 0.025), 1.993_943_367_845_627);
        check(t_both_tails(10.0, 2.228_138_851_986_273_5), 0.05);
        check(normal_quantile(0.025), 1.959_963_984_540_054);
        check(normal_both_tails(1.959_963_984_540_054), 0.05);
        check(chi2_tail(3.0, 7.814_727_903_251_179), 0.05);
        check(chi2_tail(10.0, 2.0), 0.996_340_153_172_656_3);
        // F(1, n) is t(n) squared.
        check(f_tail(1.0, 10.0, 2.228_138_851_986_273_5_f64.powi(2)), 0.05);
    }
}
