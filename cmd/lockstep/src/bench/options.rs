//! What the scenarios' options have in common: their ranges, and the sentence when one does not fit.

use super::frames::BODY_BYTES_MIN;
use lockstep_model::limits::BODY_BYTES_MAX;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Reads a number within a range.
pub(super) fn within<T: FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    let fits = text.parse().ok().filter(|number| range.contains(number));
    fits.ok_or_else(|| format!("it must be a number from {} to {}", range.start(), range.end()))
}

/// How long something is measured.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    within(text, 0.1..=3_600.0)
}

/// How many there are of something that costs sockets or rows.
pub(super) fn count(text: &str) -> Result<usize, String> {
    within(text, 1..=1_000_000)
}

/// How large a body is.
pub(super) fn body_bytes(text: &str) -> Result<usize, String> {
    within(text, BODY_BYTES_MIN..=BODY_BYTES_MAX)
}

/// How many messages a second there are.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    within(text, 0.1..=1_000_000.0)
}

/// Ends the program as it ends for any bad option: a sentence, exit code 2. Nothing has been started yet.
pub(super) fn refuse(sentence: &str) -> ! {
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{sentence}\n")).exit()
}

/// Makes sure that this process and its children can hold so many sockets, or refuses.
pub(super) fn need_sockets(sockets: usize) {
    if let Err(sentence) = super::machine::allow_sockets(sockets) {
        refuse(&sentence);
    }
}
