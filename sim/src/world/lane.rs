//! `Lane` for a simulated machine: a seeded delay, the job inline, a seeded delay.
//!
//! A crash in the first delay loses the job; one in the second leaves it done but unacknowledged.
//!
//! Invariants
//! - Jobs of one lane run in the order of [`Lane::run`], one at a time.
//! - A job runs on its machine: with its clock, its disk, and never while it is frozen.
//!
//! Read next: `disk/mod.rs`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::BoxFuture;
use quorate_core::ports::{Job, Lane};
use tokio::sync::{mpsc, oneshot};

use super::disk::{DiskFaults, DiskState};
use crate::choices::{Dice, number};

type Order = (Job, oneshot::Sender<io::Result<()>>);

/// A lane of a running machine.
#[derive(Debug)]
pub(super) struct MachineLane {
    name: &'static str,
    orders: mpsc::UnboundedSender<Order>,
}

impl MachineLane {
    /// Starts the lane's task on the current machine; it ends with the last handle and its jobs.
    pub(super) fn open(name: &'static str, disk: Arc<DiskState>) -> MachineLane {
        let (orders, received) = mpsc::unbounded_channel();
        let site = |what| disk.choices.site(&format!("lane.{name}.{what}"), number(disk.machine));
        let lots = Lots {
            latency_ms: site("latency_ms"),
            stalls: site("stalls"),
            stall_ms: site("stall_ms"),
        };
        tokio::task::spawn_local(work(disk, lots, received));
        MachineLane { name, orders }
    }
}

/// What a lane leaves to chance.
struct Lots {
    latency_ms: Dice,
    stalls: Dice,
    stall_ms: Dice,
}

async fn work(disk: Arc<DiskState>, lots: Lots, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some((job, done)) = orders.recv().await {
        delay(&disk, &lots).await;
        let result = job();
        delay(&disk, &lots).await;
        // Whoever waited may be gone; the job ran all the same.
        let _ = done.send(result);
    }
}

async fn delay(disk: &DiskState, lots: &Lots) {
    let DiskFaults { latency_ms: (ms_min, ms_max), stalls: (share, stall_ms_max), .. } =
        disk.faults();
    let mut latency_ms = lots.latency_ms.between(ms_min, ms_max);
    if lots.stalls.chance(share) {
        disk.stalls_count.fetch_add(1, Relaxed);
        latency_ms += lots.stall_ms.between(stall_ms_max / 10, stall_ms_max);
    }
    if latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
}

impl Lane for MachineLane {
    fn run(&self, job: Job) -> BoxFuture<'static, io::Result<()>> {
        let (done, result) = oneshot::channel();
        let sent = self.orders.send((job, done));
        let name = self.name;
        Box::pin(async move {
            let ended = || io::Error::new(io::ErrorKind::BrokenPipe, format!("lane {name} ended"));
            sent.map_err(|_| ended())?;
            result.await.map_err(|_| ended())?
        })
    }
}

/// A lane for an outside look at a disk: the job runs at once.
#[derive(Debug)]
pub(super) struct InlineLane;

impl Lane for InlineLane {
    fn run(&self, job: Job) -> BoxFuture<'static, io::Result<()>> {
        let result = job();
        Box::pin(async move { result })
    }
}
