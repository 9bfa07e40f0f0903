//! The margin at each change of who acts: the true time between the moment from which the old one
//! may no longer act and the moment at which the new one begins.
//!
//! That it is never negative is for `one_acts.rs`; how small it gets says how near a run came to
//! two that act. It counts where a lease ran out: an old one that handed over or gave up, and one
//! whose process ended, leaves no lease to wait for, and is counted without its margin.
//!
//! The moments are those of the world: what a lease had left by its holder's clock is taken as true
//! from one instant to the next, which a drift of 1 % makes wrong by microseconds. Where a pause is
//! hidden from the old one its lease does not run out, and counts as given up.
//!
//! Source: Gray & Cheriton 1989, section 2.

use std::fmt;

use quorate_core::ids::FencingToken;

use super::Seen;

/// The upper bounds of the buckets; the last bucket has none.
const BOUNDS_MS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];
/// A lease that had no more than this left when it was seen last has run out, if it is over.
const ENDED_EARLY_US: u64 = 1_000;

/// The margins of a run, or of many.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Margins {
    by_lease: [u32; BOUNDS_MS.len() + 1],
    /// Of those by lease.
    smallest_us: Option<u64>,
    given_up_count: u32,
    down_count: u32,
}

impl Margins {
    /// How often somebody else began to act after a lease had run out.
    pub fn by_lease_count(&self) -> u32 {
        self.by_lease.iter().sum()
    }

    /// The smallest margin after a lease, in microseconds of the world.
    pub fn smallest_us(&self) -> Option<u64> {
        self.smallest_us
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Margins) {
        let Margins { by_lease, smallest_us, given_up_count, down_count } = other;
        self.by_lease.iter_mut().zip(by_lease).for_each(|(mine, count)| *mine += count);
        self.smallest_us = [self.smallest_us, *smallest_us].into_iter().flatten().min();
        self.given_up_count += given_up_count;
        self.down_count += down_count;
    }

    fn note(&mut self, margin_us: u64) {
        let is_below = |bound_ms: &u64| margin_us < bound_ms * 1_000;
        let bucket = BOUNDS_MS.iter().position(is_below).unwrap_or(BOUNDS_MS.len());
        self.by_lease[bucket] += 1;
        self.smallest_us = Some(self.smallest_us.map_or(margin_us, |least| least.min(margin_us)));
    }
}

/// One line.
impl fmt::Debug for Margins {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Margins { by_lease, smallest_us, given_up_count, down_count } = self;
        write!(out, "{} by lease", self.by_lease_count())?;
        for (bucket, count) in by_lease.iter().enumerate().filter(|(_, count)| **count > 0) {
            match BOUNDS_MS.get(bucket) {
                Some(bound_ms) => write!(out, ", {count} below {bound_ms} ms")?,
                None => write!(out, ", {count} above")?,
            }
        }
        if let Some(smallest_us) = smallest_us {
            let (ms, us) = (smallest_us / 1_000, smallest_us % 1_000);
            write!(out, " (smallest {ms}.{us:03} ms)")?;
        }
        write!(out, "; {given_up_count} given up, {down_count} down")
    }
}

/// Who acted last, as it was seen then.
#[derive(Clone, Copy, Debug)]
struct Acted {
    at: usize,
    token: Option<FencingToken>,
    seen_us: u64,
    left_us: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    RanOut { at_us: u64 },
    GivenUp,
    Down,
}

/// Looks at every instant of a run.
#[derive(Debug, Default)]
pub struct MarginWatch {
    acted: Option<Acted>,
    /// So far.
    pub margins: Margins,
}

impl MarginWatch {
    /// All running nodes at this time of the world.
    pub fn look(&mut self, seen: &[Seen], now_us: u64) {
        let acting = seen.iter().find(|node| node.may_act);
        if let Some(acted) = &mut self.acted
            && acted.end.is_none()
            && acting.is_none_or(|node| node.at != acted.at)
        {
            let ran_out_us = acted.seen_us + acted.left_us;
            acted.end = Some(if ran_out_us <= now_us + ENDED_EARLY_US {
                End::RanOut { at_us: ran_out_us.min(now_us) }
            } else if seen.iter().any(|node| node.at == acted.at) {
                End::GivenUp
            } else {
                End::Down
            });
        }
        let Some(node) = acting else { return };
        let token = node.leadership.token;
        if let Some(Acted { at, token: old, end: Some(end), .. }) = self.acted
            && at != node.at
            && old != token
        {
            match end {
                End::RanOut { at_us } => self.margins.note(now_us - at_us),
                End::GivenUp => self.margins.given_up_count += 1,
                End::Down => self.margins.down_count += 1,
            }
        }
        let left_us = u64::try_from(node.left.as_micros()).unwrap_or(u64::MAX / 2);
        self.acted = Some(Acted { at: node.at, token, seen_us: now_us, left_us, end: None });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_core::ids::{Generation, NodeId, Term};
    use quorate_core::leader::Leadership;
    use quorate_core::ports::Now;

    use super::*;

    fn seen(at: usize, left_ms: u64) -> Seen {
        let unknown = Leadership::unknown(NodeId(at as u64 + 1), Now::default());
        let token = FencingToken(Term::new(Generation(0), at as u64 + 1));
        let leadership = Leadership { token: Some(token), ..unknown };
        let left = Duration::from_millis(left_ms);
        Seen { at, leadership, may_act: left_ms > 0, left }
    }

    /// What a story comes to: times in ms, and what each node's lease has left then.
    fn told(story: &[(u64, &[(usize, u64)])]) -> String {
        let mut watch = MarginWatch::default();
        for (at_ms, nodes) in story {
            let nodes: Vec<Seen> = nodes.iter().map(|(at, left_ms)| seen(*at, *left_ms)).collect();
            watch.look(&nodes, at_ms * 1_000);
        }
        format!("{:?}", watch.margins)
    }

    #[test]
    fn a_change_counts_from_the_end_of_the_lease_however_late_that_is_seen() {
        let story: [(u64, &[_]); 4] = [
            (10, &[(0, 100), (1, 0)]),
            (60, &[(0, 50), (1, 0)]),
            (113, &[(0, 0), (1, 0)]),
            (117, &[(0, 0), (1, 90)]),
        ];
        let text = "1 by lease, 1 below 10 ms (smallest 7.000 ms); 0 given up, 0 down";
        assert_eq!(told(&story), text);
        let at_once: [(u64, &[_]); 2] = [(60, &[(0, 50), (1, 0)]), (110, &[(0, 0), (1, 90)])];
        let text = "1 by lease, 1 below 1 ms (smallest 0.000 ms); 0 given up, 0 down";
        assert_eq!(told(&at_once), text);
    }

    #[test]
    fn who_hands_over_or_is_down_leaves_no_margin_and_a_gap_is_no_change() {
        let story: [(u64, &[_]); 6] = [
            (10, &[(0, 100), (1, 0)]),
            (20, &[(0, 0), (1, 0)]),
            (21, &[(0, 0), (1, 90)]),
            (30, &[(0, 0)]),
            (500, &[(0, 50)]),
            (600, &[(0, 50)]),
        ];
        assert_eq!(told(&story), "0 by lease; 1 given up, 1 down");
        let gap: [(u64, &[_]); 3] = [(10, &[(0, 10)]), (20, &[(0, 0)]), (30, &[(0, 50)])];
        assert_eq!(told(&gap), "0 by lease; 0 given up, 0 down");
    }

    #[test]
    fn margins_of_many_runs_are_summed() {
        let mut all = Margins::default();
        for margin_us in [400, 2_500_000, 30_000] {
            let mut one = Margins::default();
            one.note(margin_us);
            all.add(&one);
        }
        let text = "3 by lease, 1 below 1 ms, 1 below 50 ms, 1 above (smallest 0.400 ms); 0 given \
                    up, 0 down";
        assert_eq!(format!("{all:?}"), text);
        assert_eq!((all.by_lease_count(), all.smallest_us()), (3, Some(400)));
    }
}
