//! Which numbers of a session have been seen.

/// How far a datagram may be overtaken and still be accepted, in datagrams.
const WIDTH: u64 = 1_024;
const WORDS: usize = (WIDTH / 64) as usize;

/// The numbers seen among the last 1,024 up to the highest.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    highest: u64,
    /// Number n is bit n modulo the width.
    seen: [u64; WORDS],
}

impl Window {
    /// True once per number, from 1; false also for numbers that are too far behind.
    pub(super) fn accepts(&mut self, number: u64) -> bool {
        if number == 0 || self.highest.saturating_sub(number) >= WIDTH {
            return false;
        }
        if number > self.highest {
            let passed_count = (number - self.highest).min(WIDTH);
            for passed in 0..passed_count {
                self.set(number - passed, false);
            }
            self.highest = number;
        }
        let is_new = !self.has(number);
        self.set(number, true);
        is_new
    }

    fn has(&self, number: u64) -> bool {
        let at = number % WIDTH;
        self.seen[(at / 64) as usize] >> (at % 64) & 1 == 1
    }

    fn set(&mut self, number: u64, is_seen: bool) {
        let at = number % WIDTH;
        let word = &mut self.seen[(at / 64) as usize];
        *word = *word & !(1 << (at % 64)) | u64::from(is_seen) << (at % 64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A number is accepted if it was not before and is not 1,024 or more behind the highest.
        #[test]
        fn a_number_is_accepted_once_unless_it_is_too_far_behind(
            steps in prop::collection::vec((0..4_000u64, 0..40u64), 1..300),
        ) {
            let (mut window, mut seen, mut highest) = (Window::default(), BTreeSet::new(), 0);
            for (back, forth) in steps {
                let number = (highest + forth).saturating_sub(back % 1_400);
                let is_near = number + WIDTH > highest;
                let expected = number > 0 && is_near && !seen.contains(&number);
                prop_assert_eq!(window.accepts(number), expected, "{} of {}", number, highest);
                if expected {
                    seen.insert(number);
                }
                highest = highest.max(number);
            }
        }
    }

    #[test]
    fn a_leap_forgets_all_that_is_out_of_reach() {
        let mut window = Window::default();
        assert!(window.accepts(1) && window.accepts(u64::MAX) && !window.accepts(u64::MAX));
        assert!(!window.accepts(1) && window.accepts(u64::MAX - 1_023));
        assert!(!window.accepts(u64::MAX - 1_024));
    }
}
