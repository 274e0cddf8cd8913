//! How figures are written. Pure.

/// `1234567.8` as `1,234,568`; small ones keep digits that matter.
pub(super) fn count(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value != 0.0 && value.abs() < 100.0 && value.fract() != 0.0 {
        return significant(value);
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if value < 0.0 && digits != "0" {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits that matter, at least; no more than three behind the point.
pub(super) fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        "?".to_owned()
    } else if magnitude >= 1000.0 {
        count(value.round())
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 1.0 || value == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// Microseconds as milliseconds.
pub(super) fn millis(micros: u64) -> String {
    significant(micros as f64 / 1e3)
}

/// Megabytes per second, with one digit behind the point.
pub(super) fn megabytes(value: f64) -> String {
    if value < 1.0 {
        significant(value)
    } else if value < 1000.0 {
        format!("{value:.1}")
    } else {
        count(value)
    }
}

/// Bytes with a binary unit.
pub(super) fn bytes(value: u64) -> String {
    let mut value = value as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return format!("{} {unit}", trimmed(value));
        }
        value /= 1024.0;
    }
    format!("{} TiB", trimmed(value))
}

/// As short as it can be said with three digits that matter.
pub(super) fn trimmed(value: f64) -> String {
    let text = significant(value);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A quantity of something: `1 run`, `3 runs`.
pub(super) fn of(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The command as one would type it; merged ones, which are separated by `;`, on lines of their own.
pub(super) fn command(words: &[String]) -> String {
    let commands = words.split(|word| word == ";").map(|words| {
        let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        quoted.join(" ")
    });
    commands.collect::<Vec<_>>().join("\n")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Seconds since 1970 of a time in RFC 3339, in UTC or with an offset.
pub(super) fn since_1970(time: &str) -> Option<f64> {
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute) = (number(11, 13)?, number(14, 16)?);
    let rest = time.get(17..)?;
    let end = rest.find(['Z', 'z', '+', '-'])?;
    let second: f64 = rest[..end].parse().ok()?;
    let zone = match rest.get(end..)? {
        "Z" | "z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let part = |from: usize, to: usize| zone.get(from..to)?.parse::<i64>().ok();
            sign * (part(1, 3)? * 60 + part(4, 6)?)
        }
    };
    // Days since 1970 in the Gregorian calendar, counting years from March so that leap days come last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    let days = days + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 - zone * 60) as f64 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(count(2_024_032.4), "2,024,032");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(0.0), "0");
        assert_eq!(count(-1_234.0), "-1,234");
        assert_eq!(significant(0.1234), "0.123");
        assert_eq!(significant(14.27), "14.3");
        assert_eq!(millis(2_500), "2.50");
        assert_eq!(bytes(8192), "8 KiB");
        assert_eq!(bytes(100), "100 B");
        assert_eq!(of(1, "run"), "1 run");
    }

    #[test]
    fn commands_can_be_typed_again() {
        let words = ["loadgen", "run", "a b", ";", "loadgen", "it's"].map(str::to_owned);
        assert_eq!(command(&words), "loadgen run 'a b'\nloadgen 'it'\\''s'");
    }

    #[test]
    fn times_are_read() {
        assert_eq!(since_1970("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(since_1970("2026-03-01T12:00:00.5Z"), Some(1_772_366_400.5));
        assert_eq!(
            since_1970("2024-02-29T01:00:00+01:00"),
            Some(1_709_164_800.0)
        );
        assert_eq!(since_1970("yesterday"), None);
    }
}
