//! A lane: one named thread that runs blocking jobs strictly in order.
//!
//! The queue has no bound. [`Lane::run`] is not async, so a full queue could only block the node's
//! own thread, which is the one thing a lane exists to prevent; who queues must await the results,
//! as the log writer does before it queues its next batch.
//!
//! Invariants
//! - A queued job runs, also if its future or the lane itself is dropped: dropping the lane waits
//!   until the queue is empty and the thread has let the data directory go. So whoever has dropped
//!   a node or a store can open its directory again at once.
//! - A job that panics ends the process. Its caller may believe half of its work was done, and the
//!   jobs behind it build on all of it.
//! - The thread keeps the data directory, so nobody else gets it while a job may still write.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quorate_core::ports::{Job, Lane};
use tokio::sync::oneshot;

use crate::disk::DataDir;

type Queued = (Job, oneshot::Sender<io::Result<()>>);

/// The node's end of a lane. Dropping it blocks until the thread has finished its queue.
#[derive(Debug)]
pub(crate) struct ThreadLane {
    name: &'static str,
    /// Why there is no thread, if the system granted none; every job then fails with it.
    running: Result<Running, io::ErrorKind>,
}

/// Both are taken only when the lane is dropped.
#[derive(Debug)]
struct Running {
    queue: Option<mpsc::Sender<Queued>>,
    thread: Option<JoinHandle<()>>,
}

impl ThreadLane {
    /// Starts the thread, which keeps `held` until it ends.
    pub(crate) fn start(name: &'static str, held: Arc<DataDir>) -> ThreadLane {
        let (queue, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name.to_owned());
        let started = thread.spawn(move || {
            run_in_order(name, &jobs);
            drop(held);
        });
        let running = started
            .map(|thread| Running { queue: Some(queue), thread: Some(thread) })
            .map_err(|error| error.kind());
        ThreadLane { name, running }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.queue.take());
        // A job may own the last use of its own lane; the thread cannot wait for itself.
        let others = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(others) {
            // A panic in a job has ended the process before this.
            let _ = thread.join();
        }
    }
}

fn run_in_order(name: &str, jobs: &mpsc::Receiver<Queued>) {
    for (job, reply) in jobs {
        let Ok(result) = catch_unwind(AssertUnwindSafe(job)) else {
            tracing::error!(lane = name, "a job panicked; the process ends");
            std::process::abort();
        };
        // Nobody has to wait for a result: the job was asked for, not the answer.
        let _ = reply.send(result);
    }
}

impl Lane for ThreadLane {
    fn run(&self, job: Job) -> BoxFuture<'static, io::Result<()>> {
        let name = self.name;
        let queue = match &self.running {
            Ok(running) => &running.queue,
            Err(kind) => {
                let error = io::Error::new(*kind, format!("lane {name} has no thread"));
                return futures_util::future::ready(Err(error)).boxed();
            }
        };
        let (reply, result) = oneshot::channel();
        // A refused job drops its reply, so the future below fails as it should.
        let _ = queue.as_ref().map(|queue| queue.send((job, reply)));
        async move {
            let ended = |_| io::Error::new(io::ErrorKind::BrokenPipe, format!("lane {name} ended"));
            result.await.map_err(ended)?
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    fn lane(name: &'static str) -> (tempfile::TempDir, Arc<DataDir>, ThreadLane) {
        let place = tempfile::tempdir().unwrap();
        let held = Arc::new(DataDir::open(place.path()).unwrap());
        let lane = ThreadLane::start(name, held.clone());
        (place, held, lane)
    }

    #[test]
    fn jobs_run_on_a_thread_of_the_lanes_name() {
        let (_place, _held, lane) = lane("log");
        let (seen, name) = mpsc::channel();
        let done = lane.run(Box::new(move || {
            seen.send(std::thread::current().name().map(str::to_owned)).unwrap();
            Ok(())
        }));
        crate::block_on(done).unwrap().unwrap();
        assert_eq!(name.recv().unwrap().as_deref(), Some("log"));
    }

    #[test]
    fn a_dropped_lane_finishes_its_queue_and_then_frees_the_data_directory() {
        let (place, held, lane) = lane("log");
        let (go_on, wait) = mpsc::channel::<()>();
        let (tell, done) = mpsc::channel();
        drop(lane.run(Box::new(move || {
            wait.recv().unwrap();
            Ok(())
        })));
        drop(lane.run(Box::new(move || {
            tell.send(()).unwrap();
            Ok(())
        })));
        drop(held);
        let dropping = std::thread::spawn(move || drop(lane));

        let taken = DataDir::open(place.path()).unwrap_err().to_string();
        assert!(taken.starts_with("Q1401"), "a job still runs, but another got in: {taken}");
        go_on.send(()).unwrap();
        dropping.join().unwrap();
        done.try_recv().unwrap();
        DataDir::open(place.path()).unwrap();
    }

    #[test]
    fn a_job_may_own_the_last_use_of_its_own_lane() {
        let (_place, _held, lane) = lane("log");
        let lane = Arc::new(lane);
        let (go_on, wait) = mpsc::channel::<()>();
        let (tell, done) = mpsc::channel();
        let own = lane.clone();
        drop(lane.run(Box::new(move || {
            wait.recv().unwrap();
            drop(own);
            tell.send(()).unwrap();
            Ok(())
        })));
        drop(lane);
        go_on.send(()).unwrap();
        done.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    }

    /// Runs itself in a second process, because the first must live to see how that one ends.
    #[test]
    fn a_panicking_job_ends_the_process() {
        const IS_VICTIM: &str = "QUORATE_TEST_LANE_PANIC";
        if std::env::var_os(IS_VICTIM).is_some() {
            let (_place, _held, lane) = lane("log");
            let _ = crate::block_on(lane.run(Box::new(|| panic!("planted"))));
            return;
        }
        let this_test = "lane::tests::a_panicking_job_ends_the_process";
        let victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this_test, "--nocapture"])
            .env(IS_VICTIM, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&victim.stderr);
        assert_eq!(victim.status.signal(), Some(libc::SIGABRT), "{said}");
        assert!(said.contains("planted"), "the panic's text is lost: {said}");
    }
}
