//! Worker threads of a sweep: each takes the next run as soon as it has told one.
//!
//! Read next: [`work`], then `sweep.rs` for what it is asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lets `jobs` threads do the tasks with the numbers 0, 1, 2, ..., for as long as `goes_on` says
/// so of a number; `done` hears of each result, one at a time.
///
/// Every number below one that was begun was begun, too.
pub(super) fn work<T: Send>(
    jobs: usize,
    goes_on: impl Fn(u64) -> bool + Sync,
    task: impl Fn(u64) -> T + Sync,
    done: impl FnMut(T) + Send,
) {
    let next = AtomicU64::new(0);
    let done = Mutex::new(done);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(number) {
                        break;
                    }
                    let result = task(number);
                    (*done.lock().expect("nothing panics while it hears of a result"))(result);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_until_no_more_goes_on() {
        let mut done: Vec<u64> = Vec::new();
        work(3, |number| number < 100, |number| number * 2, |twice| done.push(twice));
        done.sort_unstable();
        assert_eq!(done, (0..100).map(|number| number * 2).collect::<Vec<u64>>());
    }
}
