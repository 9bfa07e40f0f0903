//! The lane contract: jobs in order, each with its result, none lost.
//!
//! No job asserts anything, because a panic in a job ends the process: jobs note what they saw,
//! and the claims are made here.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use quorate_core::ports::{Env, Job, Lane, OpenHow};

use super::soon;

/// What jobs have noted, in the order in which they ran.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<u32>>>);

impl Notes {
    /// A job that notes `number` and succeeds.
    fn job(&self, number: u32) -> Job {
        let notes = self.clone();
        Box::new(move || {
            notes.note(number);
            Ok(())
        })
    }

    fn note(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    fn seen(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asserts what a node may expect of the lanes of its disk.
pub async fn lane(env: Env) {
    let lane = env.disk.lane("contract");
    jobs_run_in_the_order_they_were_queued(lane.as_ref()).await;
    a_failed_job_says_why_and_holds_up_nothing(lane.as_ref()).await;
    a_job_runs_even_if_nobody_waits(lane.as_ref()).await;
    lanes_do_not_wait_for_each_other(&env).await;
    a_job_may_use_the_disk(&env, lane.as_ref()).await;
}

async fn jobs_run_in_the_order_they_were_queued(lane: &dyn Lane) {
    let notes = Notes::default();
    let mut results: Vec<_> = (0..100).map(|number| lane.run(notes.job(number))).collect();
    let last = results.pop().expect("100 jobs were queued");

    soon("the last job runs", last).await.expect("the job succeeds");

    assert_eq!(
        notes.seen(),
        (0..100).collect::<Vec<_>>(),
        "the last is done, so all before it are"
    );
    for result in results {
        soon("a finished job has its result", result).await.expect("the job succeeds");
    }
}

async fn a_failed_job_says_why_and_holds_up_nothing(lane: &dyn Lane) {
    let notes = Notes::default();
    let before = lane.run(notes.job(1));
    let failing = lane.run(Box::new(|| Err(io::Error::new(ErrorKind::StorageFull, "no room"))));
    let after = lane.run(notes.job(2));

    let error = soon("a failed job answers", failing).await.expect_err("the job fails");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::StorageFull, "no room"));
    soon("jobs before it succeed", before).await.expect("the job succeeds");
    soon("jobs behind it succeed", after).await.expect("the job succeeds");
    assert_eq!(notes.seen(), [1, 2]);
}

async fn a_job_runs_even_if_nobody_waits(lane: &dyn Lane) {
    let notes = Notes::default();
    // Many, because an idle lane may be done with the first before its future is dropped.
    for number in 0..200 {
        drop(lane.run(notes.job(number)));
    }
    let never_polled = lane.run(notes.job(200));
    soon("the job behind them runs", lane.run(notes.job(201))).await.expect("the job succeeds");
    assert_eq!(notes.seen(), (0..202).collect::<Vec<_>>());
    drop(never_polled);
}

/// A job cannot wait for another lane (all lanes of a simulated machine share a thread), so this
/// shows it by what each lane has done, with lanes of one name.
async fn lanes_do_not_wait_for_each_other(env: &Env) {
    let (one, other) = (env.disk.lane("twin"), env.disk.lane("twin"));
    let (notes_one, notes_other) = (Notes::default(), Notes::default());
    let failing = one.run(Box::new(|| Err(ErrorKind::StorageFull.into())));
    let results_one: Vec<_> = (0..20).map(|number| one.run(notes_one.job(number))).collect();
    let results_other: Vec<_> = (0..20).map(|number| other.run(notes_other.job(number))).collect();
    drop(one);

    for result in results_other {
        soon("a lane works after its twin failed and was dropped", result)
            .await
            .expect("the job succeeds");
    }
    assert_eq!(notes_other.seen(), (0..20).collect::<Vec<_>>());
    soon("a failed job answers", failing).await.expect_err("the job fails");
    for result in results_one {
        soon("a dropped lane finishes its queue", result).await.expect("the job succeeds");
    }
    assert_eq!(notes_one.seen(), (0..20).collect::<Vec<_>>());
}

async fn a_job_may_use_the_disk(env: &Env, lane: &dyn Lane) {
    let disk = env.disk.clone();
    let blocks = env.disk.open(Path::new("lane/blocks"), OpenHow::CreateIfMissing);
    let blocks = blocks.expect("a file can be made");
    let job = move || {
        blocks.write_at(0, b"from a job")?;
        blocks.sync_data()?;
        disk.replace(Path::new("lane/whole"), b"also from a job")
    };
    soon("a job uses the disk", lane.run(Box::new(job))).await.expect("a job may use the disk");
    let read = |path: &str| env.disk.read(Path::new(path)).expect("a file can be read");
    assert_eq!(read("lane/blocks").as_deref(), Some(&b"from a job"[..]));
    assert_eq!(read("lane/whole").as_deref(), Some(&b"also from a job"[..]));
}
