//! "Did you mean": the nearest of the allowed names.

/// The candidate nearest to `word` by edit distance, if near enough to be a slip of the hand: at most two
/// edits, or a third of the word for long ones. A candidate that starts with the word also counts.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let begins = folded.chars().count() >= 3 && lower.starts_with(&folded);
            (if begins { 1 } else { distance(&folded, &lower) }, candidate)
        })
        .filter(|(edits, candidate)| *edits <= limit && *edits < candidate.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        let names = ["throttle", "timeout", "torn-write", "crash", "crash-at-point"];
        assert_eq!(nearest("throtle", names), Some("throttle"));
        assert_eq!(nearest("Crash", names), Some("crash"));
        assert_eq!(nearest("crash-at", names), Some("crash-at-point"));
        assert_eq!(nearest("elephant", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
