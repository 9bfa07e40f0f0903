//! Load: writer processes with ledgers, and the verdict on what they were told.
//!
//! Read next: [`Load::verdict`]; `steady.rs` for hours at full speed;
//! `core/src/history/register.rs` is the judge.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use quorate_core::history::register::{Verdict, judge};
use quorate_core::history::{Operation, Outcome};
use quorate_core::replication::Consistency;
use quorate_node::demo::check;
use quorate_node::demo::processes::Helper;
use quorate_node::nodes::Nodes;
use tempfile::TempDir;

use crate::binary;
use crate::cluster::Cluster;

/// Writers that write new random values until they are stopped.
#[derive(Debug)]
pub struct Load {
    // Dropped in this order: processes first, then their files.
    writers: Vec<Helper>,
    ledgers: Vec<PathBuf>,
    _place: TempDir,
}

impl Load {
    /// Starts `writers_count` processes, each with keys of its own, that ask the nodes at `apis`.
    ///
    /// Panics if a process cannot be started.
    pub fn start(apis: &[SocketAddr], writers_count: usize) -> Load {
        let place = TempDir::with_prefix("quorate-load-").expect("the temporary directory works");
        let nodes: Vec<String> = apis.iter().map(SocketAddr::to_string).collect();
        let mut load = Load { writers: Vec::new(), ledgers: Vec::new(), _place: place };
        for number in 1..=writers_count {
            let ledger = load._place.path().join(format!("writer-{number}"));
            let mut command = binary::command();
            command.arg("demo-writer").arg("--ledger").arg(&ledger);
            command.args(["--prefix", &format!("writer-{number}/"), "--node", &nodes.join(",")]);
            command.stdin(Stdio::null());
            load.writers.push(Helper::start(command).expect("a writer's process starts"));
            load.ledgers.push(ledger);
        }
        load
    }

    /// Lets each writer end after the write that is under way. Panics if one fails or hangs.
    pub fn stop(&mut self) {
        self.writers.iter().for_each(Helper::terminate);
        let deadline = Instant::now() + Duration::from_secs(40);
        for mut writer in self.writers.drain(..) {
            let status = loop {
                if let Some(status) = writer.try_ended().expect("a child can be waited for") {
                    break status;
                }
                assert!(Instant::now() < deadline, "a writer does not end");
                std::thread::sleep(Duration::from_millis(10));
            };
            assert!(status.success(), "a writer ended with {status}");
        }
    }

    /// The ledgers, one for each writer.
    pub fn ledgers(&self) -> &[PathBuf] {
        &self.ledgers
    }

    /// The lines of all ledgers so far.
    pub fn operations(&self) -> Vec<Operation> {
        // A writer that has just been started has made no ledger yet.
        let made: Vec<PathBuf> =
            self.ledgers.iter().filter(|path| path.exists()).cloned().collect();
        check::read_ledgers(&made).expect("writers write whole lines")
    }

    /// Milliseconds from `after_ns` (the nodes' monotonic clock) to the end of the first write
    /// that began later and was acknowledged. Panics if there is none within `limit_ms`.
    pub fn next_acknowledged_ms(&self, after_ns: u64, limit_ms: u64) -> u64 {
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        loop {
            let operations = self.operations().into_iter();
            let is_done =
                |one: &Operation| one.op.is_write() && one.outcome == Outcome::Acknowledged;
            let later = operations.filter(|one| is_done(one) && one.start_ns > after_ns);
            if let Some(end_ns) = later.map(|one| one.end_ns).min() {
                return (end_ns - after_ns) / 1_000_000;
            }
            assert!(Instant::now() < deadline, "nothing was acknowledged within {limit_ms} ms");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the load and judges what the cluster holds by the ledgers; see [`verdict_on`].
    pub fn verdict(mut self, cluster: &mut Cluster) -> Verdict {
        self.stop();
        verdict_on(cluster, &self.operations())
    }
}

/// Reads everything through every node, ends the daemons, reads every data directory, and judges
/// that by what clients were told. Nobody may write any more.
///
/// Panics if a node does not answer or does not end cleanly.
pub fn verdict_on(cluster: &mut Cluster, operations: &[Operation]) -> Verdict {
    cluster.wait_until_equal(20_000);
    let mut sources = Vec::new();
    for api in cluster.apis() {
        for how in [Consistency::Linearizable, Consistency::Stale] {
            let name = format!("{api}, {how:?}");
            let asked = async {
                check::through(&mut Nodes::new(&[api], binary::login()), &name, how).await
            };
            let asked = quorate_net::block_on(asked);
            sources.push(asked.expect("a runtime").expect("every node answers"));
        }
    }
    cluster.stop_all(10_000);
    for data_dir in cluster.data_dirs() {
        let name = data_dir.display().to_string();
        let read = quorate_net::block_on(check::offline(&data_dir, &name));
        sources.push(read.expect("a runtime").expect("the daemon of this directory ended"));
    }
    judge(operations, &sources)
}
