//! Delta debugging (Zeller and Hildebrandt's ddmin): the fewest items that still fail.

/// A sublist that still fails and from which no single item can be taken, if `fails` is asked without end.
/// `fails` answers `false` when it will not be asked again; the result has then failed all the same.
///
/// `items` is taken to fail.
pub(super) fn minimise<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    // Many failures need no fault at all: the scenario's own load is enough.
    if kept.is_empty() || fails(&[]) {
        return Vec::new();
    }
    let mut parts = 2;
    while kept.len() >= 2 {
        let size = kept.len().div_ceil(parts);
        let chunks: Vec<Vec<T>> = kept.chunks(size).map(<[T]>::to_vec).collect();
        if let Some(chunk) = chunks.iter().find(|chunk| chunk.len() < kept.len() && fails(chunk)) {
            kept.clone_from(chunk);
            parts = 2;
            continue;
        }
        // With two parts the complements are the parts themselves.
        let complement = |skip: usize| -> Vec<T> {
            chunks
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != skip)
                .flat_map(|(_, c)| c.iter().cloned())
                .collect()
        };
        let found = (0..chunks.len()).filter(|_| chunks.len() > 2).map(complement).find(|rest| fails(rest));
        if let Some(rest) = found {
            kept = rest;
            parts = (parts - 1).max(2);
        } else if size == 1 {
            break;
        } else {
            parts = (parts * 2).min(kept.len());
        }
    }
    kept
}
