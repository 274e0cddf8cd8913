//! Welch's t-test: whether two samples of different spread have different means, and by how much. Pure.

/// What the test says of `b` against `a`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Welch {
    /// Mean of `b` less mean of `a`.
    pub(super) difference: f64,
    /// Half the width of the interval that holds the true difference 95 times in 100.
    pub(super) margin: f64,
    /// How probable a difference at least this large is where there is none.
    pub(super) p: f64,
}

/// The test of two samples with at least two values each. Spreads are taken to be no less than
/// `resolution`, a standard deviation, below which the measurement itself can't see.
pub(super) fn welch(a: &[f64], b: &[f64], resolution: f64) -> Option<Welch> {
    if a.len() < 2 || b.len() < 2 || a.iter().chain(b).any(|value| !value.is_finite()) {
        return None;
    }
    let (mean_a, error_a) = mean_and_error(a, resolution);
    let (mean_b, error_b) = mean_and_error(b, resolution);
    let difference = mean_b - mean_a;
    let error = error_a + error_b;
    // Welch and Satterthwaite.
    let freedom = error * error
        / (error_a * error_a / (a.len() - 1) as f64 + error_b * error_b / (b.len() - 1) as f64);
    let t = difference / error.sqrt();
    Some(Welch {
        difference,
        margin: quantile(0.05, freedom) * error.sqrt(),
        p: two_sided(t, freedom),
    })
}

/// The mean, and the squared error of it.
fn mean_and_error(values: &[f64], resolution: f64) -> (f64, f64) {
    let number = values.len() as f64;
    let mean = values.iter().sum::<f64>() / number;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let variance = (squares / (number - 1.0)).max(resolution * resolution);
    (mean, variance / number)
}

/// How probable it is that Student's t is farther from zero than `t`.
fn two_sided(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The t that is exceeded, on either side, with probability `p`.
fn quantile(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e4);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if two_sided(middle, freedom) > p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The regularised incomplete beta function, by its continued fraction (Lentz's method).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges quickly on this side only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front =
        (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut fraction) = (1.0, d);
    for step in 1..300 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-14 {
            break;
        }
    }
    front * fraction
}

/// Lanczos' approximation, for arguments above zero.
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.120_865_097_386_617_9e-2,
        -0.539_523_938_495_3e-5,
    ];
    let base = x + 5.5;
    let mut sum = 1.000_000_000_190_015;
    for (at, coefficient) in COEFFICIENTS.iter().enumerate() {
        sum += coefficient / (x + 1.0 + at as f64);
    }
    (x + 0.5) * base.ln() - base + (2.506_628_274_631_000_5 * sum / x).ln()
}

/// Which of many tests to believe, so that of those believed no more than a share of `rate` are expected to
/// be chance (Benjamini and Hochberg).
pub(super) fn believed(p: &[f64], rate: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let within = |&rank: &usize| p[order[rank]] <= rate * (rank + 1) as f64 / p.len() as f64;
    let last = (0..p.len()).rev().find(within);
    let mut believed = vec![false; p.len()];
    if let Some(last) = last {
        for &at in &order[..=last] {
            believed[at] = true;
        }
    }
    believed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From tables of Student's t.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, t) in [(2.0, 4.303), (4.0, 2.776), (10.0, 2.228), (30.0, 2.042)] {
            assert!((quantile(0.05, freedom) - t).abs() < 5e-4, "{freedom}");
        }
        assert!((two_sided(0.0, 5.0) - 1.0).abs() < 1e-12);
    }

    /// Checked against R: t.test gives p = 0.03597227.
    #[test]
    fn a_known_test_comes_out() {
        let a = [19.8, 20.4, 19.6, 17.8, 18.5, 18.9, 18.3, 18.9, 19.5, 22.0];
        let b = [
            28.2, 26.6, 20.1, 23.3, 25.2, 22.1, 17.7, 27.6, 20.6, 13.7, 23.2, 17.5, 20.6, 18.0,
            23.9, 21.6, 24.3, 20.4, 24.0, 13.2,
        ];
        let found = welch(&a, &b, 0.0).unwrap();
        assert!((found.p - 0.035_972_27).abs() < 1e-7, "{found:?}");
        assert!(found.difference > found.margin);
    }

    #[test]
    fn a_spread_below_the_resolution_proves_nothing() {
        let found = welch(&[1.0, 1.0, 1.0], &[1.0001, 1.0001, 1.0001], 0.001).unwrap();
        assert!(found.p > 0.5, "{found:?}");
    }

    #[test]
    fn many_tests_are_believed_less() {
        let mut p = vec![0.04];
        assert_eq!(believed(&p, 0.05), [true]);
        p.extend([0.5; 9]);
        assert!(believed(&p, 0.05).iter().all(|believed| !believed));
        p[3] = 0.001;
        assert!(believed(&p, 0.05)[3]);
    }
}
