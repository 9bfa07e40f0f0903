//! A load at full speed that may last for hours: what it remembers does not grow with time.
//!
//! Clients of one thread write again and again to a fixed set of keys, each its own, one write at
//! a time. So a key's last acknowledged write has the greatest index of all its acknowledged ones,
//! and nothing earlier can be what a store shows at the end: only that write is remembered.
//!
//! Invariants
//! - Every value differs from every other one: an old value is not taken for the last.
//! - A write of unknown outcome is remembered too, as long as it may still be what a key shows.
//!
//! Read next: [`SteadyLoad::start`]; `load.rs` for the verdict.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::history::{Operation, Outcome};
use quorate_node::demo::writer;
use quorate_node::nodes::Nodes;
use tokio::task::JoinSet;

use crate::percentiles::Latencies;

/// Keys of each client.
const KEYS_COUNT: u64 = 16;
const VALUE_SIZE_BYTES: usize = 256;

/// Clients that write until they are stopped.
#[derive(Debug)]
pub struct SteadyLoad {
    is_stopping: Arc<AtomicBool>,
    acknowledged_count: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<Told>>>,
}

/// What the clients were told.
#[derive(Debug, Default)]
pub struct Told {
    /// Of each key the last acknowledged write and those of unknown outcome since then.
    pub operations: Vec<Operation>,
    /// Acknowledged writes, all of them.
    pub acknowledged_count: u64,
    /// Writes that were refused.
    pub refused_count: u64,
    /// Writes of unknown outcome.
    pub unknown_count: u64,
    /// How long the acknowledged writes took.
    pub latencies: Latencies,
}

impl SteadyLoad {
    /// Starts `clients_count` clients, one connection each, at `api`.
    ///
    /// Panics if the thread cannot be started.
    pub fn start(api: SocketAddr, clients_count: usize) -> SteadyLoad {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let acknowledged_count = Arc::new(AtomicU64::new(0));
        let (stopping, count) = (is_stopping.clone(), acknowledged_count.clone());
        let thread = quorate_net::run_node_thread("clients", move || {
            write_with_all(api, clients_count, stopping, count)
        });
        let thread = Some(thread.expect("a thread can be started"));
        SteadyLoad { is_stopping, acknowledged_count, thread }
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged_count(&self) -> u64 {
        self.acknowledged_count.load(Relaxed)
    }

    /// Lets each client end after the write that is under way.
    pub fn stop(mut self) -> Told {
        self.is_stopping.store(true, Relaxed);
        let thread = self.thread.take().expect("it is stopped once");
        thread.join().expect("no client panics").expect("a runtime")
    }
}

impl Drop for SteadyLoad {
    /// Nobody reads what is told to a test that has failed: its thread ends by itself.
    fn drop(&mut self) {
        self.is_stopping.store(true, Relaxed);
    }
}

async fn write_with_all(
    api: SocketAddr,
    clients_count: usize,
    is_stopping: Arc<AtomicBool>,
    acknowledged_count: Arc<AtomicU64>,
) -> Told {
    let told = Rc::new(RefCell::new(Told::default()));
    let mut clients = JoinSet::new();
    for client in 0..clients_count {
        let (told, is_stopping) = (told.clone(), is_stopping.clone());
        let acknowledged_count = acknowledged_count.clone();
        clients.spawn_local(async move {
            let mut nodes = Nodes::new(&[api], crate::binary::login());
            let mut last = BTreeMap::new();
            for number in 0_u64.. {
                if is_stopping.load(Relaxed) {
                    break;
                }
                let key = format!("steady/{client}/{}", number % KEYS_COUNT);
                let value = value(client, number);
                let (operation, _) = writer::put(&mut nodes, key, value).await;
                let is_acknowledged = operation.outcome == Outcome::Acknowledged;
                acknowledged_count.fetch_add(u64::from(is_acknowledged), Relaxed);
                note(&mut told.borrow_mut(), &mut last, operation);
            }
            told.borrow_mut().operations.extend(last.into_values().flatten());
        });
    }
    clients.join_all().await;
    // The clients have ended, and each has dropped its own reference.
    Rc::into_inner(told).map(RefCell::into_inner).expect("nobody else counts")
}

fn note(told: &mut Told, last: &mut BTreeMap<String, Vec<Operation>>, operation: Operation) {
    let of_key = last.entry(operation.key.clone()).or_default();
    match operation.outcome {
        Outcome::Acknowledged => {
            told.acknowledged_count += 1;
            told.latencies.note(Duration::from_nanos(operation.end_ns - operation.start_ns));
            of_key.clear();
            of_key.push(operation);
        }
        Outcome::Unknown => {
            told.unknown_count += 1;
            of_key.push(operation);
        }
        Outcome::Refused => told.refused_count += 1,
    }
}

/// Names its client and number, over and over.
fn value(client: usize, number: u64) -> Bytes {
    let word = [(client as u64).to_le_bytes(), number.to_le_bytes()].concat();
    Bytes::from(word.repeat(VALUE_SIZE_BYTES / word.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::history::OperationKind;

    #[test]
    fn of_each_key_the_last_acknowledged_write_and_later_unknown_ones_are_kept() {
        let operation = |key: &str, outcome, index| Operation {
            op: OperationKind::Put,
            key: key.to_owned(),
            value_hash: None,
            start_ns: 1,
            end_ns: 2,
            outcome,
            log_index: Some(index),
            node: String::new(),
        };
        let (mut told, mut last) = (Told::default(), BTreeMap::new());
        let told_in_order = [
            ("a", Outcome::Unknown, 1),
            ("a", Outcome::Acknowledged, 2),
            ("b", Outcome::Acknowledged, 3),
            ("a", Outcome::Acknowledged, 4),
            ("a", Outcome::Refused, 5),
            ("a", Outcome::Unknown, 6),
        ];
        for (key, outcome, index) in told_in_order {
            note(&mut told, &mut last, operation(key, outcome, index));
        }
        let kept: Vec<Option<u64>> =
            last.into_values().flatten().map(|operation| operation.log_index).collect();
        assert_eq!(kept, [Some(4), Some(6), Some(3)]);
        assert_eq!((told.acknowledged_count, told.refused_count, told.unknown_count), (3, 1, 2));
    }
}
