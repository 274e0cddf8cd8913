//! Durations as ISO 8601 writes them.

/// A duration in days and what is shorter (`P1DT2H3M4.5S`), in milliseconds; none for what is no such text, or
/// negative.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    let text = text.strip_prefix('P')?;
    let (days, times) = match text.split_once('T') {
        Some((days, times)) if !times.is_empty() => (days, times),
        Some(_) => return None,
        None => (text, ""),
    };
    if days.is_empty() && times.is_empty() {
        return None;
    }
    let days = amounts(days, &[('D', 86_400_000)])?;
    let times = amounts(times, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)])?;
    days.checked_add(times)
}

/// Numbers with these units, each at most once and in this order, as their sum. Seconds may have a fraction.
fn amounts(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut sum = 0_i64;
    for &(unit, ms) in units {
        let Some((number, rest)) = text.split_once(unit) else {
            continue;
        };
        text = rest;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fractional = unit == 'S' || !number.contains('.');
        if whole.is_empty() || !digits(whole) || !digits(fraction) || !fractional {
            return None;
        }
        sum = sum.checked_add(whole.parse::<i64>().ok()?.checked_mul(ms)?)?;
        let thousandths = format!("{fraction:0<3}");
        sum = sum.checked_add(thousandths.get(..3)?.parse().ok()?)?;
    }
    text.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_iso_8601_writes_them() {
        for (text, ms) in [
            ("PT1H", 3_600_000),
            ("P1D", 86_400_000),
            (
                "P2DT3H4M5.25S",
                2 * 86_400_000 + 3 * 3_600_000 + 4 * 60_000 + 5_250,
            ),
            ("PT0.001S", 1),
            ("PT90S", 90_000),
        ] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in [
            "", "P", "PT", "1H", "PT1", "PT1M1H", "PT-1S", "P1DT", "PT1.5H", "PTS",
        ] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }
}
