//! Locks: a later grant has a greater token, no token has two owners, and between two grants
//! somebody freed the lock. So a resource that refuses a smaller token than it has seen is safe,
//! also where a holder does not know that its lock was taken away.
//!
//! That two clients never both believe to hold a lock is not promised, and not checked.
//!
//! Source: Burrows 2006, section 2.4 (sequencers); Jepsen 2020 on etcd 3.4.3 (why the lock alone
//! protects nothing).

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::ids::LogIndex;

use super::Span;

/// A lock that was given to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    lock: String,
    owner: String,
    token: LogIndex,
    span: Span,
}

/// What became of locks, and of the resource that they protect.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    grants: Vec<Grant>,
    /// Asked for, whatever became of it.
    freed: BTreeSet<(String, LogIndex)>,
    /// By lock: the greatest token that its resource has seen.
    greatest: BTreeMap<String, LogIndex>,
    /// Who wrote to the resource with each token.
    writers: BTreeMap<(String, LogIndex), String>,
    wrong: Vec<String>,
    /// Writes that the resource refused: their lock was somebody else's by then.
    pub fenced_count: u64,
}

impl Locks {
    /// A client was told that it holds the lock.
    pub fn granted(&mut self, lock: &str, owner: &str, token: LogIndex, span: Span) {
        let (lock, owner) = (lock.to_owned(), owner.to_owned());
        self.grants.push(Grant { lock, owner, token, span });
    }

    /// Somebody is about to ask that the lock with this token be freed.
    pub fn freeing(&mut self, lock: &str, token: LogIndex) {
        self.freed.insert((lock.to_owned(), token));
    }

    /// A client writes to the resource behind the lock; says whether that was accepted.
    pub fn write(&mut self, lock: &str, owner: &str, token: LogIndex) -> bool {
        let greatest = self.greatest.entry(lock.to_owned()).or_default();
        if token < *greatest {
            self.fenced_count += 1;
            return false;
        }
        *greatest = token;
        let writer = self.writers.entry((lock.to_owned(), token));
        let writer = writer.or_insert_with(|| owner.to_owned());
        if writer != owner {
            self.wrong.push(format!("{writer} and {owner} wrote behind {lock} with {token:?}"));
        }
        true
    }

    /// What is wrong, one line each.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = self.wrong.clone();
        let locks: BTreeSet<&String> = self.grants.iter().map(|grant| &grant.lock).collect();
        for lock in locks {
            let mut grants: Vec<&Grant> =
                self.grants.iter().filter(|grant| grant.lock == *lock).collect();
            grants.sort_by_key(|grant| grant.token);
            findings.extend(grants.windows(2).filter_map(|two| self.wrong_pair(two[0], two[1])));
            findings.extend(goes_back(&grants));
        }
        findings
    }

    fn wrong_pair(&self, one: &Grant, next: &Grant) -> Option<String> {
        let (lock, token) = (&one.lock, one.token);
        if token == next.token && one.owner != next.owner {
            return Some(format!(
                "{} and {} both got {lock} with {token:?}",
                one.owner, next.owner
            ));
        }
        let was_freed = token == next.token || self.freed.contains(&(lock.clone(), token));
        (!was_freed).then(|| {
            format!("{} got {lock} while nobody had freed {}'s {token:?}", next.owner, one.owner)
        })
    }
}

/// A grant that was over before another was asked for has a smaller token.
fn goes_back(by_token: &[&Grant]) -> Option<String> {
    let mut latest: Option<&Grant> = None;
    for grant in by_token {
        if let Some(before) = latest
            && grant.span.end_ms < before.span.start_ms
        {
            return Some(format!(
                "{} got {} with {:?} before {} got it with {:?}",
                grant.owner, grant.lock, grant.token, before.owner, before.token
            ));
        }
        if latest.is_none_or(|before| grant.span.start_ms > before.span.start_ms) {
            latest = Some(grant);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(grants: &[(&str, u64, u64, u64)], freed: &[u64]) -> String {
        let mut locks = Locks::default();
        for (owner, token, start_ms, end_ms) in grants {
            let span = Span { start_ms: *start_ms, end_ms: *end_ms };
            locks.granted("door", owner, LogIndex(*token), span);
        }
        freed.iter().for_each(|token| locks.freeing("door", LogIndex(*token)));
        locks.findings().join("; ")
    }

    #[test]
    fn tokens_grow_with_time_and_have_one_owner() {
        assert_eq!(found(&[("c1", 5, 0, 9), ("c2", 7, 10, 20)], &[5]), "");
        assert_eq!(found(&[("c1", 5, 0, 30), ("c2", 7, 10, 20)], &[5]), "", "at the same time");
        let twice = found(&[("c1", 5, 0, 9), ("c2", 5, 10, 20)], &[5]);
        assert_eq!(twice, "c1 and c2 both got door with LogIndex(5)");
        let held = found(&[("c1", 5, 0, 9), ("c2", 7, 10, 20)], &[]);
        assert_eq!(held, "c2 got door while nobody had freed c1's LogIndex(5)");
        let back = found(&[("c1", 7, 0, 9), ("c2", 5, 10, 20)], &[5, 7]);
        assert_eq!(back, "c1 got door with LogIndex(7) before c2 got it with LogIndex(5)");
    }

    #[test]
    fn the_resource_refuses_an_older_token_than_it_has_seen() {
        let mut locks = Locks::default();
        assert!(locks.write("door", "c1", LogIndex(5)));
        assert!(locks.write("door", "c2", LogIndex(7)));
        assert!(!locks.write("door", "c1", LogIndex(5)));
        assert_eq!((locks.fenced_count, locks.findings().len()), (1, 0));
        assert!(locks.write("door", "c3", LogIndex(7)));
        assert_eq!(locks.findings(), ["c2 and c3 wrote behind door with LogIndex(7)"]);
    }
}
