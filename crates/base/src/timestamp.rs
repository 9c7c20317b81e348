//! Moments in UTC, in ticks of 100 ns, the resolution of the Azure Storage protocol.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Ticks in a second.
pub const TICKS_PER_SECOND: i64 = 10_000_000;

/// Why a text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date and time: expected a form such as 2026-11-24T10:00:00Z")]
pub struct TimestampError(String);

/// A moment: ticks of 100 ns since 1970-01-01T00:00:00Z. Always between the years 0001 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// 0001-01-01T00:00:00Z, the earliest moment of the protocol (`DateTime.MinValue`).
const TICKS_MIN: i64 = -62_135_596_800 * TICKS_PER_SECOND;
/// The last tick of the year 9999 (`DateTime.MaxValue`).
const TICKS_MAX: i64 = 253_402_300_800 * TICKS_PER_SECOND - 1;

impl Timestamp {
    /// The earliest moment that can be said.
    pub const MIN: Self = Self(TICKS_MIN);
    /// The last moment that can be said.
    pub const MAX: Self = Self(TICKS_MAX);

    /// The moment `ticks` of 100 ns after 1970, kept within the years 0001 to 9999.
    #[must_use]
    pub const fn from_ticks(ticks: i64) -> Self {
        if ticks < TICKS_MIN {
            Self::MIN
        } else if ticks > TICKS_MAX {
            Self::MAX
        } else {
            Self(ticks)
        }
    }

    /// Ticks of 100 ns since 1970.
    #[must_use]
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND)
    }

    /// Parses RFC 3339, with up to nine fraction digits and any offset.
    ///
    /// # Errors
    /// When the text is in another form, or names a moment outside the years 0001 to 9999.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimestampError> {
        let bad = || TimestampError(text.chars().take(80).collect());
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| bad())?;
        let ticks = i64::try_from(moment.unix_timestamp_nanos().div_euclid(100)).map_err(|_| bad())?;
        if (TICKS_MIN..=TICKS_MAX).contains(&ticks) { Ok(Self(ticks)) } else { Err(bad()) }
    }

    /// The moment with seven fraction digits, as in `2026-11-24T10:00:00.1234567Z`.
    #[must_use]
    pub fn to_iso7(self) -> String {
        self.iso7().as_str().to_owned()
    }

    /// The same without memory of its own, for answers that say thousands.
    #[must_use]
    pub fn iso7(self) -> Iso7 {
        let moment = self.date_time_utc();
        let mut text = *b"0000-00-00T00:00:00.0000000Z";
        let year = u64::from(moment.year().unsigned_abs());
        let fields =
            [u8::from(moment.month()), moment.day(), moment.hour(), moment.minute(), moment.second()];
        write_digits(&mut text[..4], year);
        for (field, at) in fields.into_iter().zip([5, 8, 11, 14, 17]) {
            write_digits(&mut text[at..at + 2], field.into());
        }
        write_digits(&mut text[20..27], self.0.rem_euclid(TICKS_PER_SECOND).unsigned_abs());
        Iso7(text)
    }

    /// The moment in whole seconds, as in `2026-11-24T10:00:00Z`.
    #[must_use]
    pub fn to_iso_seconds(self) -> String {
        format!("{}Z", &self.iso7().as_str()[..Iso7::SECONDS_CHARS])
    }

    /// The moment `duration` later, at most [`Self::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let ticks = i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX);
        Self::from_ticks(self.0.saturating_add(ticks))
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let ticks = u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0);
        Duration::new(ticks / 10_000_000, u32::try_from(ticks % 10_000_000).unwrap_or(0) * 100)
    }

    fn date_time_utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.unix_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// A moment as text with seven fraction digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iso7([u8; 28]);

impl Iso7 {
    /// Characters of a moment in whole seconds, which is how the text begins.
    const SECONDS_CHARS: usize = 19;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Digits and marks of ASCII, always.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes the last digits of a number, with zeros before it.
fn write_digits(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
}

impl From<SystemTime> for Timestamp {
    fn from(moment: SystemTime) -> Self {
        let epoch = Self(0);
        match moment.duration_since(UNIX_EPOCH) {
            Ok(after) => epoch.plus(after),
            Err(before) => {
                let ticks = i64::try_from(before.duration().as_nanos() / 100).unwrap_or(i64::MAX);
                Self::from_ticks(ticks.saturating_neg())
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(moment: Timestamp) -> Self {
        // Not in nanoseconds, of which 64 bits hold no more than 584 years.
        let ticks = moment.0.unsigned_abs();
        let magnitude =
            Duration::new(ticks / 10_000_000, u32::try_from(ticks % 10_000_000).unwrap_or(0) * 100);
        let shifted =
            if moment.0 >= 0 { UNIX_EPOCH.checked_add(magnitude) } else { UNIX_EPOCH.checked_sub(magnitude) };
        shifted.unwrap_or(UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.iso7().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let moment = Timestamp::parse_rfc3339("2026-11-24T10:00:00.1234567Z").unwrap();
        assert_eq!(moment.to_iso7(), "2026-11-24T10:00:00.1234567Z");
        assert_eq!(moment.to_iso_seconds(), "2026-11-24T10:00:00Z");
        assert_eq!(
            Timestamp::parse_rfc3339("1601-01-01T00:00:00Z").unwrap().to_iso_seconds(),
            "1601-01-01T00:00:00Z"
        );
        assert_eq!(Timestamp::MAX.to_iso7(), "9999-12-31T23:59:59.9999999Z");
        assert_eq!(Timestamp::MIN.to_iso7(), "0001-01-01T00:00:00.0000000Z");
        assert!(Timestamp::parse_rfc3339("yesterday").is_err());
    }

    #[test]
    fn system_times_round_trip() {
        for moment in [Timestamp::MIN, Timestamp::MAX, Timestamp::from_ticks(-1), Timestamp::from_ticks(1)] {
            assert_eq!(Timestamp::from(SystemTime::from(moment)), moment);
        }
    }

    #[test]
    fn differences() {
        let a = Timestamp::from_ticks(0);
        let b = a.plus(Duration::from_millis(1500));
        assert_eq!(b.since(a), Duration::from_millis(1500));
        assert_eq!(a.since(b), Duration::ZERO);
    }
}
