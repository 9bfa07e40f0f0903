//! One value with many readers, who are woken in the order in which they began to wait.
//!
//! The same as `tokio::sync::watch`, except for that order: tokio's comes from a random number of
//! the thread, and then the same seed does not give the same run.
//!
//! Invariants
//! - A reader that asks after a change never sleeps through it: it waits before it looks.
//! - Only values pass here, never the order of an effect: who reads late sees the newest value.
//!
//! Read next: [`channel`].

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

/// All senders are gone; the last value can still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

#[derive(Debug)]
struct Shared<T> {
    value: RwLock<T>,
    /// Counts the changes that readers are told of. Written under the value's lock.
    version: AtomicU64,
    senders_count: AtomicUsize,
    receivers_count: AtomicUsize,
    changed: Notify,
}

impl<T> Shared<T> {
    // Who panics in `modify` has changed the value as far as it came; so does tokio's.
    fn read(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The value, locked for as long as this lives: never keep it across an `await`.
#[derive(Debug)]
pub(crate) struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Changes the value.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// Reads the value and waits for its changes.
#[derive(Debug)]
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// A value, and its first reader, who has seen it.
pub(crate) fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        value: RwLock::new(value),
        version: AtomicU64::new(0),
        senders_count: AtomicUsize::new(1),
        receivers_count: AtomicUsize::new(1),
        changed: Notify::new(),
    });
    (Sender(shared.clone()), Receiver { shared, seen: 0 })
}

impl<T> Sender<T> {
    /// Replaces the value; gives it back if nobody reads any more.
    pub(crate) fn send(&self, value: T) -> Result<(), T> {
        if self.0.receivers_count.load(SeqCst) == 0 {
            return Err(value);
        }
        self.send_replace(value);
        Ok(())
    }

    /// Replaces the value, whether anybody reads or not.
    pub(crate) fn send_replace(&self, value: T) {
        self.send_if_modified(|current| {
            *current = value;
            true
        });
    }

    /// Changes the value in place; readers are told only if `modify` says so.
    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let is_news = {
            let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
            let is_news = modify(&mut value);
            self.0.version.fetch_add(u64::from(is_news), SeqCst);
            is_news
        };
        if is_news {
            self.0.changed.notify_waiters();
        }
        is_news
    }

    /// The newest value.
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.0.read()
    }

    /// A reader more, who has seen the present value.
    pub(crate) fn subscribe(&self) -> Receiver<T> {
        self.0.receivers_count.fetch_add(1, SeqCst);
        Receiver { shared: self.0.clone(), seen: self.0.version.load(SeqCst) }
    }
}

impl<T> Receiver<T> {
    /// Waits for a value that this reader has not seen, and counts it as seen.
    pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            let changed = self.shared.changed.notified();
            let version = self.shared.version.load(SeqCst);
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.shared.senders_count.load(SeqCst) == 0 {
                return Err(Closed);
            }
            changed.await;
        }
    }

    /// Whether there is a value that this reader has not seen.
    #[cfg(test)]
    pub(crate) fn has_changed(&self) -> bool {
        self.shared.version.load(SeqCst) != self.seen
    }

    /// The newest value; it does not count as seen.
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.shared.read()
    }

    /// The newest value, which counts as seen.
    pub(crate) fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        self.seen = self.shared.version.load(SeqCst);
        value
    }

    /// Waits until the value fits; `Closed` if no sender is left that could make it fit.
    pub(crate) async fn wait_for(&mut self, fits: impl Fn(&T) -> bool) -> Result<(), Closed> {
        while !fits(&self.borrow_and_update()) {
            self.changed().await?;
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.senders_count.fetch_add(1, SeqCst);
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders_count.fetch_sub(1, SeqCst) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

/// The clone has seen what the original has.
impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.receivers_count.fetch_add(1, SeqCst);
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers_count.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    #[tokio::test]
    async fn a_reader_is_told_of_what_it_has_not_seen() {
        let (sender, mut reader) = channel(1);
        assert!(!reader.has_changed());
        sender.send(2).expect("it is read");
        sender.send_replace(3);
        assert_eq!(reader.changed().await, Ok(()));
        assert_eq!((*reader.borrow(), reader.has_changed()), (3, false));
        assert!(!sender.send_if_modified(|value| {
            *value = 4;
            false // not worth waking anybody
        }));
        assert_eq!((*reader.borrow(), reader.has_changed()), (4, false));
        sender.send_replace(5);
        assert_eq!(*reader.borrow_and_update(), 5);
        assert!(!reader.has_changed());
        assert!(!sender.subscribe().has_changed());
    }

    #[tokio::test]
    async fn the_end_of_the_last_sender_is_told_after_its_last_value() {
        let (sender, mut reader) = channel(1);
        let second = sender.clone();
        drop(sender);
        second.send_replace(2);
        drop(second);
        assert_eq!(reader.changed().await, Ok(()));
        assert_eq!(reader.changed().await, Err(Closed));
        assert_eq!(*reader.borrow(), 2);
        assert_eq!(reader.wait_for(|value| *value == 2).await, Ok(()));
        assert_eq!(reader.wait_for(|value| *value == 3).await, Err(Closed));
    }

    #[tokio::test]
    async fn a_value_that_nobody_reads_comes_back() {
        let (sender, reader) = channel(1);
        let second = reader.clone();
        drop(reader);
        assert_eq!(sender.send(2), Ok(()));
        drop(second);
        assert_eq!(sender.send(3), Err(3));
        assert_eq!(*sender.borrow(), 2);
    }

    /// With tokio's, this order differs from run to run.
    #[tokio::test]
    async fn readers_are_woken_in_the_order_in_which_they_began_to_wait() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let (sender, reader) = channel(0);
        let all = LocalSet::new();
        all.run_until(async {
            for number in 0..40 {
                let (mut reader, told) = (reader.clone(), told.clone());
                spawn_local(async move {
                    while reader.changed().await.is_ok() {
                        told.borrow_mut().push(number);
                    }
                });
            }
            for round in 1..=3 {
                yield_now().await;
                sender.send_replace(round);
                yield_now().await;
                assert_eq!(told.take(), (0..40).collect::<Vec<_>>(), "round {round}");
            }
        })
        .await;
    }

    #[test]
    fn a_reader_in_another_thread_misses_nothing() {
        let (sender, mut reader) = channel(0_u32);
        std::thread::scope(|threads| {
            let reading = threads.spawn(move || {
                let building = tokio::runtime::Builder::new_current_thread().build();
                building.expect("a runtime can be built").block_on(async move {
                    let mut newest = 0;
                    while reader.changed().await.is_ok() {
                        let value = *reader.borrow_and_update();
                        assert!(value > newest);
                        newest = value;
                    }
                    newest
                })
            });
            (1..=10_000).for_each(|value| sender.send_replace(value));
            drop(sender);
            assert_eq!(reading.join().expect("it read on"), 10_000);
        });
    }
}
