//! How long ago a node last heard from a leader, as vote answers report it.
//!
//! A new leader may act at once if every voter that granted its term had not heard from an older
//! leader for a whole lease; otherwise it waits for the rest. Source: docs/leadership.md, rule 5.

use std::sync::{Mutex, MutexGuard};

use crate::ids::Term;
use crate::observe::planted;
use crate::ports::Now;

/// Shared by the answering side (which hears leaders and grants votes) and the calling side (which
/// collects the granted ages).
#[derive(Debug)]
pub(crate) struct FrameAges(Mutex<Ages>);

#[derive(Debug)]
struct Ages {
    /// When a leader's frame last came, or left, if this node led. The boot, if none has: a frame
    /// heard before it is older than the boot, so the reported age is never too great.
    heard_at: Now,
    /// Whether a frame came or left since the boot.
    has_heard: bool,
    /// When this node last accepted what a leader sent.
    followed_at: Option<Now>,
    /// The newest term this node campaigned for, and the smallest age granted to it.
    granted: Option<(Term, u64)>,
}

impl FrameAges {
    pub(crate) fn new(boot: Now) -> FrameAges {
        let (has_heard, followed_at, granted) = (false, None, None);
        FrameAges(Mutex::new(Ages { heard_at: boot, has_heard, followed_at, granted }))
    }

    /// A leader's frame was received (not: acknowledged), or sent by this node as leader.
    pub(crate) fn note_leader_frame(&self, now: Now) {
        let mut ages = self.lock();
        ages.heard_at = ages.heard_at.max(now);
        ages.has_heard = true;
    }

    /// Milliseconds since the last frame of any leader, rounded down.
    pub(crate) fn age_ms(&self, now: Now) -> u64 {
        let ages = self.lock();
        if planted("restarted_voter_votes_at_once") && !ages.has_heard {
            return u64::MAX;
        }
        now.ms_since(ages.heard_at)
    }

    /// What a leader sent was accepted: this node will not campaign for a while.
    pub(crate) fn note_followed(&self, now: Now) {
        let mut ages = self.lock();
        ages.followed_at = ages.followed_at.max(Some(now));
    }

    /// Milliseconds since that; `None` if it never was since the boot.
    pub(crate) fn followed_age_ms(&self, now: Now) -> Option<u64> {
        self.lock().followed_at.map(|at| now.ms_since(at))
    }

    /// Whether any leader was heard since the boot.
    pub(crate) fn has_heard(&self) -> bool {
        self.lock().has_heard
    }

    /// A voter granted `term` and reported `age_ms`; this node's own vote counts as well.
    pub(crate) fn note_granted(&self, term: Term, age_ms: u64) {
        let mut ages = self.lock();
        ages.granted = match ages.granted {
            Some((newest, _)) if newest > term => return,
            Some((newest, smallest)) if newest == term => Some((term, smallest.min(age_ms))),
            Some(_) | None => Some((term, age_ms)),
        };
    }

    /// The smallest age granted to `term`; 0, which makes a leader wait longest, if none is known.
    pub(crate) fn granted_age_ms(&self, term: Term) -> u64 {
        match self.lock().granted {
            Some((granted, age_ms)) if granted == term => age_ms,
            Some(_) | None => 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ages> {
        self.0.lock().expect("no code panics while it holds the ages")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Generation;

    fn term(election: u64) -> Term {
        Term::new(Generation(0), election)
    }

    #[test]
    fn the_age_counts_from_the_last_frame_or_from_the_boot() {
        let ages = FrameAges::new(Now::from_ms(1_000));
        assert_eq!((ages.age_ms(Now::from_ms(1_300)), ages.has_heard()), (300, false));
        ages.note_leader_frame(Now::from_ms(1_500));
        ages.note_leader_frame(Now::from_ms(1_400)); // never goes back
        assert_eq!(ages.age_ms(Now::from_ms(1_750)), 250);
    }

    #[test]
    fn the_smallest_age_of_the_newest_term_counts() {
        let ages = FrameAges::new(Now::default());
        assert_eq!(ages.granted_age_ms(term(4)), 0); // nobody granted it
        ages.note_granted(term(4), 300);
        ages.note_granted(term(4), 200);
        ages.note_granted(term(4), 250);
        assert_eq!(ages.granted_age_ms(term(4)), 200);
        ages.note_granted(term(5), 280);
        ages.note_granted(term(4), 10); // a late answer to an older campaign
        assert_eq!(ages.granted_age_ms(term(5)), 280);
        assert_eq!(ages.granted_age_ms(term(4)), 0);
    }
}
