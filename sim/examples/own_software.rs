//! Software that is no node of Quorate, under the same faults: an actor that keeps a number on its
//! disk, and the bug that only a power cut shows.
//!
//! `cargo run -p quorate-sim --example own_software`. Ends with 0 if the sound keeper passes every
//! seed and the hasty one is caught, and prints the seed that caught it.

use std::cell::Cell;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use quorate_core::ports::{Disk, Env, Lane};
use quorate_sim::cluster::Cluster;
use quorate_sim::run_isolated;

const SEEDS_COUNT: u64 = 20;
const FILE: &str = "number";

/// Adds one, and answers with the new number. Sent by clients.
#[derive(Message)]
#[rtype(result = "u64")]
struct AddOne;

/// What is kept. Sent by clients.
#[derive(Message)]
#[rtype(result = "u64")]
struct Kept;

/// Keeps a number: what it has answered survives a power cut.
struct Keeper {
    disk: Arc<dyn Disk>,
    lane: Arc<dyn Lane>,
    number: u64,
    /// The bug: it answers before the number is on the disk.
    is_hasty: bool,
}

impl Keeper {
    /// The software as its machine starts it: everything it needs of the world is in `env`.
    async fn start(env: Env, is_hasty: bool) -> Addr<Keeper> {
        let bytes = env.disk.read(Path::new(FILE)).expect("the disk can be read");
        let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let number = text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let (lane, disk) = (env.disk.lane("keeper"), env.disk);
        Keeper { disk, lane, number, is_hasty }.start()
    }
}

impl Actor for Keeper {
    type Context = Context<Keeper>;
}

impl Handler<AddOne> for Keeper {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, _: AddOne, _: &mut Context<Keeper>) -> ResponseFuture<u64> {
        self.number += 1;
        let (disk, number, is_hasty) = (self.disk.clone(), self.number, self.is_hasty);
        let job = move || disk.replace(Path::new(FILE), number.to_string().as_bytes());
        let written = self.lane.run(Box::new(job));
        Box::pin(async move {
            if !is_hasty {
                written.await.expect("the disk can be written");
            }
            number
        })
    }
}

impl Handler<Kept> for Keeper {
    type Result = u64;

    fn handle(&mut self, _: Kept, _: &mut Context<Keeper>) -> u64 {
        self.number
    }
}

/// Adds again and again on two machines, of which one loses power now and then.
fn add_through_power_cuts(seed: u64, is_hasty: bool) {
    let setup = Cluster::of(2).software(move |env| Keeper::start(env, is_hasty));
    let mut cluster = setup.seed(seed);
    let answered = Rc::new(Cell::new(0));
    cluster.run_for_ms(50);
    for round in 1..=5 {
        let additions_count = cluster.choose("keeper.additions_count", round).between(1, 9);
        for _ in 0..additions_count {
            let add = |keeper: Addr<Keeper>| async move { keeper.send(AddOne).await.ok() };
            if let Some(Some(number)) = cluster.ask("n1", 100, add) {
                answered.set(number);
            }
        }
        cluster.cut_power(&["n1"]);
        cluster.run_for_ms(100);
        cluster.restore_power(&["n1"]);
        cluster.run_for_ms(50);
        let kept = |keeper: Addr<Keeper>| async move { keeper.send(Kept).await.ok() };
        let kept = cluster.ask("n1", 100, kept).flatten();
        if kept.is_none_or(|kept| kept < answered.get()) {
            cluster.reject(&format!("n1 answered {} and keeps {kept:?}", answered.get()));
        }
    }
}

fn main() -> ExitCode {
    // A bug that is found shows as a panic, and is told below.
    std::panic::set_hook(Box::new(|_| ()));
    let mut is_as_expected = true;
    for is_hasty in [false, true] {
        let name = if is_hasty { "hasty keeper" } else { "sound keeper" };
        let found = (1..=SEEDS_COUNT).find_map(|seed| {
            let told = move || run_isolated(move || add_through_power_cuts(seed, is_hasty));
            let panicked = std::panic::catch_unwind(told).err()?;
            Some((seed, panicked.downcast_ref::<String>().cloned().unwrap_or_default()))
        });
        let line = found.as_ref().and_then(|(_, text)| text.lines().next()).unwrap_or("");
        match &found {
            Some((seed, _)) => println!("{name}: found with seed {seed}: {line}"),
            None => println!("{name}: nothing found in {SEEDS_COUNT} seeds"),
        }
        // A run that fails for another reason has found nothing.
        is_as_expected &= is_hasty == line.contains("n1 answered");
    }
    if is_as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
