//! Ranges of seeds: `0..200` is two hundred of them, `7` is one.

use std::{ops::Range, str::FromStr};

/// Most seeds of one sweep; beyond this a slip of the hand is likelier than patience.
const MOST: u64 = 1_000_000;

/// A range of seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim()
                .parse::<u64>()
                .map_err(|_| format!("`{text}` is not a whole number from 0; write A..B or A"))
        };
        let range = match text.split_once("..") {
            None => number(text)?..number(text)?.saturating_add(1),
            Some((from, to)) => match to.strip_prefix('=') {
                Some(last) => number(from)?..number(last)?.saturating_add(1),
                None => number(from)?..number(to)?,
            },
        };
        match range.end.saturating_sub(range.start) {
            0 => Err(format!("`{text}` has no seed in it; write A..B with A below B")),
            count if count > MOST => Err(format!("`{text}` has {count} seeds; at most {MOST}")),
            _ => Ok(Self(range)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_reads_as_people_write_it() {
        let read = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(read("0..200"), Ok(0..200));
        assert_eq!(read("3..=4"), Ok(3..5));
        assert_eq!(read("7"), Ok(7..8));
        assert_eq!(read("5..5").unwrap_err(), "`5..5` has no seed in it; write A..B with A below B");
        assert_eq!(read("a..5").unwrap_err(), "`a` is not a whole number from 0; write A..B or A");
    }
}
