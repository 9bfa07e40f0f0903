//! Slowing: how long who has shown wrong passwords has to wait before the next is looked at.
//!
//! Pure. Time comes in as `now`; who logs and refuses is `api/guard.rs`.
//!
//! Two things are slowed: a user as asked for from one address, from the first wrong password on;
//! and an address, whomever it asks for, once it has been wrong often. The second does not end by a
//! right password: who has one of his own could else guess at others without end.
//!
//! Invariants
//! - While somebody has to wait, a right password is refused like a wrong one.
//! - Both tables have a bound; the entry that was wrong longest ago gives way.
//!
//! Read next: [`Slowing::wait_ms`], [`Slowing::failed`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ports::Now;

/// The wait after the first wrong password.
const WAIT_MS_MIN: u64 = 250;
/// The longest wait.
const WAIT_MS_MAX: u64 = 8_000;
/// So often in a row an address may be wrong, over all users, before it has to wait as well.
const ADDRESS_FREE_COUNT: u32 = 20;
/// After so long without another wrong password it is as if there had been none.
const FORGET_MS: u64 = 10 * 60 * 1_000;
/// Entries of each table.
const ENTRIES_COUNT_MAX: usize = 1_024;

/// How a row of wrong passwords stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    failures_count: u32,
    last: Now,
    until: Now,
}

/// What is to be said of a wrong password: how long the next one has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slowed {
    /// In a row, of this user from this address.
    pub(crate) failures_count: u32,
    /// From here on.
    pub(crate) wait_ms: u64,
    /// Whether it is the first one, or has doubled the wait.
    pub(crate) is_news: bool,
}

/// Who has shown wrong passwords lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slowing {
    pairs: BTreeMap<(String, IpAddr), Row>,
    addresses: BTreeMap<IpAddr, Row>,
}

impl Slowing {
    /// How long this user, from this address, still has to wait; `None` if not at all.
    pub(crate) fn wait_ms(&self, now: Now, user: &str, peer: IpAddr) -> Option<u64> {
        let pair = self.pairs.get(&(user.to_owned(), peer));
        let rows = pair.into_iter().chain(self.addresses.get(&peer));
        let left = rows.map(|row| row.until.since(now).as_millis() as u64).max().unwrap_or(0);
        (left > 0).then_some(left)
    }

    /// A wrong password was shown.
    pub(crate) fn failed(&mut self, now: Now, user: &str, peer: IpAddr) -> Slowed {
        self.forget(now);
        let slowed = fail(&mut self.pairs, (user.to_owned(), peer), now, 0);
        fail(&mut self.addresses, peer, now, ADDRESS_FREE_COUNT);
        slowed
    }

    /// The right password was shown.
    pub(crate) fn succeeded(&mut self, user: &str, peer: IpAddr) {
        self.pairs.remove(&(user.to_owned(), peer));
    }

    fn forget(&mut self, now: Now) {
        let is_fresh = |row: &Row| now.ms_since(row.last) < FORGET_MS;
        self.pairs.retain(|_, row| is_fresh(row));
        self.addresses.retain(|_, row| is_fresh(row));
    }
}

/// One more failure in the row of `key`; the first `free_count` of a row have no wait.
fn fail<K: Ord + Clone>(rows: &mut BTreeMap<K, Row>, key: K, now: Now, free_count: u32) -> Slowed {
    if rows.len() >= ENTRIES_COUNT_MAX && !rows.contains_key(&key) {
        let oldest = rows.iter().min_by_key(|(_, row)| row.last).map(|(key, _)| key.clone());
        oldest.map(|key| rows.remove(&key));
    }
    let row = rows.entry(key).or_insert(Row { failures_count: 0, last: now, until: now });
    row.failures_count = row.failures_count.saturating_add(1);
    row.last = now;
    let doublings = row.failures_count.checked_sub(free_count + 1);
    let wait_of = |doublings: u32| {
        WAIT_MS_MIN.checked_shl(doublings.min(32)).unwrap_or(WAIT_MS_MAX).min(WAIT_MS_MAX)
    };
    let wait_ms = doublings.map_or(0, wait_of);
    row.until = now.plus_ms(wait_ms);
    let before_ms = doublings.and_then(|count| count.checked_sub(1)).map_or(0, wait_of);
    Slowed { failures_count: row.failures_count, wait_ms, is_news: wait_ms != before_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn each_wrong_password_in_a_row_doubles_the_wait_up_to_its_bound() {
        let mut slowing = Slowing::default();
        // When, the wait that still stands, the one after one more failure, whether it is news.
        let table = [
            (0, None, 250, true),
            (250, None, 500, true),
            (750, None, 1_000, true),
            (1_750, None, 2_000, true),
            (3_750, None, 4_000, true),
            (7_750, None, 8_000, true),
            (15_750, None, 8_000, false),
            (15_751, Some(7_999), 8_000, false),
        ];
        for (at_ms, standing, wait_ms, is_news) in table {
            let now = Now::from_ms(at_ms);
            assert_eq!(slowing.wait_ms(now, "ann", HERE), standing, "at {at_ms}");
            let slowed = slowing.failed(now, "ann", HERE);
            assert_eq!((slowed.wait_ms, slowed.is_news), (wait_ms, is_news), "at {at_ms}");
        }
        let now = Now::from_ms(15_751);
        assert_eq!(slowing.wait_ms(now, "bob", HERE), None, "another user");
        assert_eq!(slowing.wait_ms(now, "ann", THERE), None, "from elsewhere");
        slowing.succeeded("ann", HERE);
        assert_eq!(slowing.wait_ms(now, "ann", HERE), None, "a right one ends it");
        assert_eq!(slowing.failed(now, "ann", HERE).wait_ms, 250);
    }

    #[test]
    fn an_address_that_is_wrong_about_many_users_waits_for_all_of_them() {
        let mut slowing = Slowing::default();
        let now = Now::from_ms(5);
        for number in 0..ADDRESS_FREE_COUNT {
            slowing.failed(now, &format!("user {number}"), HERE);
        }
        assert_eq!(slowing.wait_ms(now, "ann", HERE), None);
        slowing.failed(now, "one more", HERE);
        assert_eq!(slowing.wait_ms(now, "ann", HERE), Some(250));
        slowing.succeeded("ann", HERE);
        assert_eq!(slowing.wait_ms(now, "ann", HERE), Some(250), "an own password is no key");
        assert_eq!(slowing.wait_ms(now, "ann", THERE), None);
    }

    #[test]
    fn what_is_long_ago_is_forgotten_and_the_tables_have_a_bound() {
        let mut slowing = Slowing::default();
        slowing.failed(Now::from_ms(0), "ann", HERE);
        slowing.failed(Now::from_ms(0), "ann", HERE);
        assert_eq!(slowing.failed(Now::from_ms(FORGET_MS), "ann", HERE).wait_ms, 250);
        for number in 0..ENTRIES_COUNT_MAX as u64 {
            slowing.failed(Now::from_ms(FORGET_MS + 1 + number), &format!("u{number}"), HERE);
        }
        assert_eq!(slowing.pairs.len(), ENTRIES_COUNT_MAX);
        assert!(!slowing.pairs.contains_key(&("ann".to_owned(), HERE)), "the oldest gave way");
        assert!(slowing.pairs.contains_key(&("u0".to_owned(), HERE)));
    }
}
