//! ddmin: a small part of a list with which something still happens.
//!
//! Pure. The result is 1-minimal: without any one of its elements it does not happen any more.
//!
//! Source: Zeller & Hildebrandt 2002, figure 2 (the minimising delta debugging algorithm).

/// A part of `items` for which `happens` says yes, and no for it without any single element.
///
/// It is taken for granted that it happens with all of them. The empty list is asked about first:
/// most choices do not matter at all.
pub fn ddmin<T: Clone>(items: &[T], happens: &mut dyn FnMut(&[T]) -> bool) -> Vec<T> {
    let mut left = items.to_vec();
    if left.is_empty() || happens(&[]) {
        return Vec::new();
    }
    let mut parts_count = 2;
    while left.len() >= 2 {
        let parts: Vec<&[T]> = left.chunks(left.len().div_ceil(parts_count)).collect();
        let without = |at: usize| {
            let others = parts.iter().enumerate().filter(|(other, _)| *other != at);
            others.flat_map(|(_, part)| part.iter().cloned()).collect::<Vec<T>>()
        };
        if let Some(part) = parts.iter().find(|part| happens(part)) {
            (left, parts_count) = (part.to_vec(), 2);
        } else if let Some(rest) = (parts.len() > 2)
            .then(|| (0..parts.len()).map(without).find(|rest| happens(rest)))
            .flatten()
        {
            (left, parts_count) = (rest, (parts.len() - 1).max(2));
        } else if parts_count >= left.len() {
            break;
        } else {
            parts_count = (parts_count * 2).min(left.len());
        }
    }
    left
}
