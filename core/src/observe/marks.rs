//! The telling places of production code: each names something that tests must have brought about.
//!
//! A scenario that is to meet a place declares it; a place that no scenario meets is a promise that
//! nothing has tried.
//!
//! Invariants
//! - Each name stands in one place of the code, and here; the tidy test compares.

use std::fmt;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Room and fact.
    pub name: &'static str,
    /// What has happened when it is met.
    pub means: &'static str,
}

const fn mark(name: &'static str, means: &'static str) -> Mark {
    Mark { name, means }
}

/// Every place.
pub const MARKS: [Mark; 39] = [
    mark("api.tls", "somebody spoke TLS with an API"),
    mark("handover.aborted", "the target stayed behind: the leader goes on"),
    mark("handover.not_taken", "a transfer was answered by nobody, or by another than its target"),
    mark("handover.taken", "the target leads"),
    mark("heartbeat.pause_noticed", "a node has seen by its timers that it did not run"),
    mark("heartbeat.peer_lossy", "a good part of the pings to a peer had no answer in time"),
    mark("heartbeat.peer_silent", "a peer has missed so many pings that it counts as silent"),
    mark("leader.deposed", "an elected node gives up its term: no quorum for too long"),
    mark("leader.fenced_by_pause", "a node that acted waits for a new confirmation after a pause"),
    mark("leader.lease_ran_out", "a node that acted may not: no quorum has confirmed it in time"),
    mark("leader.older_record_refused", "a record of a token that is not the newest is refused"),
    mark("leader.old_lease_waited_out", "an elected node waits for what an older one may still do"),
    mark("link.frame_refused", "a small frame was damaged or foreign, and is dropped"),
    mark("log.compacted", "entries that a snapshot covers are dropped"),
    mark("log.read_from_disk", "entries are sent that are not in memory any more"),
    mark("log.torn_group_dropped", "a start finds a group of the log that is not whole"),
    mark("log.truncated", "entries that were never committed give way to a later leader's"),
    mark("membership.joined_by_token", "a node has become a learner by a join token"),
    mark("membership.join_repeated", "a node that had joined asks again, and is answered again"),
    mark("membership.joint_change_finished", "a successor finishes a joint change it has found"),
    mark("membership.learners_promoted", "a leader lets those vote that have joined by a token"),
    mark("read.index_from_leader", "a replica asks the leader how far it must have applied"),
    mark("read.not_confirmed", "no quorum, or no leader, has confirmed reads"),
    mark("read.waited_for_apply", "a confirmed read waits until the state has caught up"),
    mark("request.repeated", "a request that was executed before is answered, not executed"),
    mark("security.certificate_renewed", "half of a certificate's life was over"),
    mark("security.clock_ignored", "by this node's clock a known member's certificate is too old"),
    mark("security.greeted", "a datagram was made for another session of its receiver"),
    mark("security.unknown_key_certified", "a key that the roster does not name has a certificate"),
    mark("snapshot.installed", "a node far behind becomes the state of a leader's snapshot"),
    mark("snapshot.restored_at_start", "a start begins with a snapshot"),
    mark("snapshot.taken", "the applied state is captured"),
    mark("vote.granted_after_restart", "a voter votes that has heard no leader since its boot"),
    mark("vote.refused_leader_heard", "no vote, because a leader was heard a moment ago"),
    mark("vote.refused_log_behind", "no vote, because the candidate's log misses entries"),
    mark("write.bounced", "consensus refuses a write of a node that leads no more"),
    mark("write.forwarded", "a replica sends a write to the leader"),
    mark("write.outcome_unknown", "a write has no outcome in time, and may take effect later"),
    mark("write.refused_in_handover", "a write is refused while leadership is handed over"),
];

/// Which places were met, each once. As small as a number, so that every run can tell.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks(u64);

const _: () = assert!(MARKS.len() <= u64::BITS as usize, "each place has a bit");

impl Marks {
    /// None of them.
    pub const NONE: Marks = Marks(0);

    /// The place at this position of [`MARKS`] as well.
    #[must_use]
    pub fn with(self, at: usize) -> Marks {
        Marks(self.0 | 1 << at)
    }

    /// Those that are in either.
    #[must_use]
    pub fn or(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }

    /// Whether the place of this name was met. Panics if there is none.
    pub fn has(self, name: &str) -> bool {
        let at = MARKS.iter().position(|mark| mark.name == name);
        let at = at.unwrap_or_else(|| panic!("there is no mark {name}"));
        self.0 & 1 << at != 0
    }

    /// Their names, in the order of [`MARKS`].
    pub fn names(self) -> Vec<&'static str> {
        MARKS.iter().map(|mark| mark.name).filter(|name| self.has(name)).collect()
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_gather_and_tell_their_names() {
        let two = Marks::NONE.with(0).or(Marks::NONE.with(MARKS.len() - 1)).with(0);
        assert_eq!(two.names(), [MARKS[0].name, MARKS[MARKS.len() - 1].name]);
        assert!(two.has(MARKS[0].name) && !two.has(MARKS[1].name));
    }

    #[test]
    fn each_mark_has_one_name_in_the_order_of_the_alphabet() {
        let names: Vec<&str> = MARKS.iter().map(|mark| mark.name).collect();
        let is_ordered =
            names.windows(2).all(|pair| pair[0].replace('_', "") < pair[1].replace('_', ""));
        assert!(is_ordered, "{names:?}");
    }
}
