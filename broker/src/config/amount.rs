//! Amounts of memory and space as people write them: `512M`, `4G`, `1048576`, or a share, `30%`.

use std::fmt;
use std::str::FromStr;

/// Bytes, or a share of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of a per cent of the whole.
    Share(u32),
}

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a size such as 512M, 4G or 1048576 (K, M, G and T are powers of 1024), or a share such as 30%"
)]
pub struct NoAmount;

impl Amount {
    /// The amount in bytes, where the whole is `whole`.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(share) => {
                let bytes = u128::from(whole) * u128::from(share) / 10_000;
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        }
    }
}

impl FromStr for Amount {
    type Err = NoAmount;

    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let text = text.trim();
        if let Some(share) = text.strip_suffix('%') {
            let share: f64 = share.trim().parse().map_err(|_| NoAmount)?;
            if !(0.0..=100.0).contains(&share) {
                return Err(NoAmount);
            }
            return Ok(Self::Share((share * 100.0).round() as u32));
        }
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim().to_ascii_uppercase();
        let factor = match unit.trim_end_matches('B').trim_end_matches('I') {
            "" => 1_u64,
            "K" => 1 << 10,
            "M" => 1 << 20,
            "G" => 1 << 30,
            "T" => 1 << 40,
            _ => return Err(NoAmount),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self::Bytes).ok_or(NoAmount);
        }
        let number: f64 = number.parse().map_err(|_| NoAmount)?;
        let bytes = number * factor as f64;
        // Beyond 2^53 a fraction of a terabyte is not what anyone means.
        if bytes < (1_u64 << 53) as f64 {
            Ok(Self::Bytes(bytes as u64))
        } else {
            Err(NoAmount)
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bytes(bytes) => {
                let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
                let unit = units
                    .iter()
                    .find(|(shift, _)| bytes > 0 && bytes % (1 << shift) == 0);
                match unit {
                    Some((shift, unit)) => write!(f, "{}{unit}", bytes >> shift),
                    None => write!(f, "{bytes}"),
                }
            }
            Self::Share(share) if share % 100 == 0 => write!(f, "{}%", share / 100),
            Self::Share(share) => write!(f, "{}%", f64::from(share) / 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_read_and_written() {
        let read = |text: &str| text.parse::<Amount>().unwrap();
        assert_eq!(read("512M"), Amount::Bytes(512 << 20));
        assert_eq!(read("4g"), Amount::Bytes(4 << 30));
        assert_eq!(read("4GiB"), Amount::Bytes(4 << 30));
        assert_eq!(read("4 GB"), Amount::Bytes(4 << 30));
        assert_eq!(read("1.5K"), Amount::Bytes(1536));
        assert_eq!(read("1048576"), Amount::Bytes(1 << 20));
        assert_eq!(read("30%"), Amount::Share(3000));
        assert_eq!(read("2.5%").of(1000), 25);
        assert_eq!(read("25%").of(u64::MAX), u64::MAX / 4);
        assert_eq!(read("512M").to_string(), "512M");
        assert_eq!(read("1025").to_string(), "1025");
        assert_eq!(read("0").to_string(), "0");
        assert_eq!(read("2.5%").to_string(), "2.5%");
        assert_eq!(read("30%").to_string(), "30%");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "M",
            "-1",
            "101%",
            "4X",
            "1..5G",
            "NaN%",
            "99999999999T",
            "1.5",
            "four",
        ] {
            let read = text.parse::<Amount>();
            let fine = text == "1.5" && read == Ok(Amount::Bytes(1));
            assert!(fine || read.is_err(), "{text} was read as {read:?}");
        }
    }
}
