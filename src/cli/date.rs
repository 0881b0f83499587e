//! Days and moments on the command line and in what is written out, in UTC.
use crate::devnet::ledger::time::rfc3339;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// A day, or a moment of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Unix milliseconds at which it begins.
    pub begin_ms: u64,
    /// Unix milliseconds at which the day is over; for a moment the same as its beginning.
    pub end_ms: u64,
}

/// `2026-11-23`, or `2026-11-23T13:05:00Z`.
pub fn parse(text: &str) -> Result<Date, &'static str> {
    const WHY: &str = "a date is YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ (UTC), from 1970 to 9999";
    let (day, clock) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u64>().ok()).ok_or(WHY);
    let mut parts = day.split('-');
    let [year, month, date] = [number(parts.next())?, number(parts.next())?, number(parts.next())?];
    let mut parts = clock.trim_end_matches('Z').split(':');
    let [hour, minute, second] = [number(parts.next())?, number(parts.next())?, number(parts.next())?];
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&date) {
        return Err(WHY);
    }
    // From March on, so that the leap day comes last; 719 468 days lie between 1 March of year 0 and 1970.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + date - 1 - 719_468;
    let seconds = hour.min(24) * 3_600 + minute.min(60) * 60 + second.min(60);
    let begin = days * 86_400 + seconds;
    // What is printed the same again is a date that there is.
    if rfc3339(begin) != format!("{day}T{clock}") {
        return Err(WHY);
    }
    let begin_ms = begin * 1_000;
    Ok(Date { begin_ms, end_ms: if text.contains('T') { begin_ms } else { begin_ms + DAY_MS } })
}

/// `2026-11-23T13:05:00.250Z`.
pub fn print(unix_ms: u64) -> String {
    format!("{}.{:03}Z", rfc3339(unix_ms / 1_000).trim_end_matches('Z'), unix_ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_printed() {
        for (text, unix) in [("1970-01-01", 0), ("2000-02-29", 951_782_400), ("2026-11-22", 1_795_305_600)] {
            let date = parse(text).expect("a date");
            assert_eq!((date.begin_ms, date.end_ms), (unix * 1_000, (unix + 86_400) * 1_000), "{text}");
        }
        let moment = parse("2026-11-22T13:11:39Z").expect("a moment");
        assert_eq!((moment.begin_ms, moment.end_ms), (1_795_353_099_000, 1_795_353_099_000));
        assert_eq!(print(1_795_353_099_007), "2026-11-22T13:11:39.007Z");
    }

    #[test]
    fn days_that_there_are_not_are_refused() {
        for text in ["2026-02-29", "2026-13-01", "2026-00-10", "26-1-1", "2026-1-1", "today", "", "1969-12-31"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["2026-11-22T25:00:00Z", "2026-11-22T13:11:39", "2026-11-22T13:11Z", "2026-11-22T24:00:00Z"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
