//! Percentiles: the least value of a list that so many of its values do not exceed.
//!
//! Read next: [`rank`], which says what that means; [`Latencies`] for lists too long to keep.

use std::time::Duration;

/// Where in a sorted list of `count` values, from 1, the least value stands that `part` of `of`
/// values do not exceed. Of none and of the smallest part it is 1.
///
/// Panics if `part` is more than `of`, or `of` is 0: there is no such part.
pub fn rank(count: u64, part: u64, of: u64) -> u64 {
    assert!(part <= of && of > 0, "{part} of {of} is no part");
    (count * part).div_ceil(of).max(1)
}

/// That value of a list which is sorted, least first; `None` if it is empty.
pub fn percentile<T: Copy>(sorted: &[T], part: u64, of: u64) -> Option<T> {
    sorted.get(rank(sorted.len() as u64, part, of) as usize - 1).copied()
}

/// How long many requests took, to a tenth of a millisecond, in memory of a fixed size.
#[derive(Debug)]
pub struct Latencies {
    /// At each place the number of requests that took so many steps; the last one holds the rest.
    counts: Vec<u64>,
}

const STEP_US: u128 = 100;
const STEPS_COUNT: usize = 100_000;

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { counts: vec![0; STEPS_COUNT] }
    }
}

impl Latencies {
    /// Counts one request.
    pub fn note(&mut self, took: Duration) {
        let step = usize::try_from(took.as_micros() / STEP_US).unwrap_or(usize::MAX);
        self.counts[step.min(STEPS_COUNT - 1)] += 1;
    }

    /// In milliseconds, rounded up to a step: `part` of `of` requests took no longer. 0 if there
    /// were none; 10 s stands for anything above.
    pub fn percentile_ms(&self, part: u64, of: u64) -> f64 {
        let wanted = rank(self.counts.iter().sum(), part, of);
        let mut passed = 0;
        let reached = self.counts.iter().position(|count| {
            passed += count;
            passed >= wanted
        });
        reached.map_or(0.0, |step| (step + 1) as f64 * STEP_US as f64 / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_of_the_list() {
        let sorted: Vec<u64> = (1..=20).collect();
        let at = |part| percentile(&sorted, part, 100);
        assert_eq!((at(0), at(5), at(6), at(50)), (Some(1), Some(1), Some(2), Some(10)));
        assert_eq!((at(95), at(96), at(100)), (Some(19), Some(20), Some(20)));
        assert_eq!(percentile(&[7], 1, 100), Some(7));
        assert_eq!(percentile::<u64>(&[], 50, 100), None);
    }

    #[test]
    fn counted_latencies_have_the_percentiles_of_the_sorted_list() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile_ms(99, 100), 0.0);
        (1..=100).rev().for_each(|ms| latencies.note(Duration::from_micros(ms * 1_000 - 50)));
        assert_eq!(latencies.percentile_ms(50, 100), 50.0);
        assert_eq!(latencies.percentile_ms(99, 100), 99.0);
        latencies.note(Duration::from_secs(3_600));
        assert_eq!(latencies.percentile_ms(1_000, 1_000), 10_000.0);
    }
}
