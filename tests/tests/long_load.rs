//! Full load on real daemons with their default settings: no election, nothing lost, all bounded.
//!
//! `QUORATE_LOAD_MINUTES=30` makes it last that long; a few seconds otherwise. Build it with
//! `--release` for figures that mean something, and let it run alone on the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use quorate_core::status::Status;
use quorate_tests::cluster::Cluster;
use quorate_tests::load::verdict_on;
use quorate_tests::processes::{handles_count, resident_size_bytes};
use quorate_tests::steady::SteadyLoad;

const CLIENTS_COUNT: usize = 64;
const LENGTH_UNLESS_TOLD: Duration = Duration::from_secs(6);
const LOOKS_COUNT: u32 = 60;
const MIB: u64 = 1 << 20;

/// What a node may hold at the end beyond what it held in the middle, besides a half of that again:
/// a snapshot may be under way at one look and not at the other.
const ROOM_MEMORY_BYTES: u64 = 32 * MIB;
const ROOM_DISK_BYTES: u64 = 128 * MIB;
const ROOM_HANDLES_COUNT: usize = 16;

/// How large one node is at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    memory_bytes: u64,
    disk_bytes: u64,
    handles_count: usize,
}

#[test]
fn full_load_brings_no_election_and_everything_stays_bounded() {
    let length = match std::env::var("QUORATE_LOAD_MINUTES") {
        Ok(minutes) => Duration::from_secs(60 * minutes.parse::<u64>().expect("a number")),
        Err(_) => LENGTH_UNLESS_TOLD,
    };
    let mut cluster = Cluster::of(3).started();
    let leader = cluster.wait_for_leader(10_000);
    let before = settled(&cluster, leader);
    let load = SteadyLoad::start(cluster.api(leader), CLIENTS_COUNT);

    let began = Instant::now();
    let (mut looks, mut answers_count) = (Vec::new(), 0);
    for look in 1..=LOOKS_COUNT {
        std::thread::sleep((began + length * look / LOOKS_COUNT) - Instant::now());
        for node in 1..=3 {
            // A node that is too busy to answer in time is asked again by the next look.
            let Some(status) = cluster.status(node) else { continue };
            answers_count += 1;
            assert_same_leader(&before, &status);
        }
        looks.push(sizes(&mut cluster));
        let sizes = looks.last().expect("it was just pushed");
        let seconds = began.elapsed().as_secs();
        println!("{seconds} s: {} acknowledged, {}", load.acknowledged_count(), text(sizes));
    }
    let elapsed = began.elapsed();
    let told = load.stop();

    // Terms only grow, and each election takes a new one: none was held, seen or not.
    let after = settled(&cluster, leader);
    assert_same_leader(&before, &after);
    assert!(answers_count * 2 > 3 * LOOKS_COUNT, "only {answers_count} statuses were answered");
    println!(
        "{CLIENTS_COUNT} clients, {} s: {} acknowledged, {:.0} per s, p50 {:.1} ms, p99 {:.1} ms, \
         p99.9 {:.1} ms, max {:.1} ms; term {}",
        elapsed.as_secs(),
        told.acknowledged_count,
        told.acknowledged_count as f64 / elapsed.as_secs_f64(),
        told.latencies.percentile_ms(50, 100),
        told.latencies.percentile_ms(99, 100),
        told.latencies.percentile_ms(999, 1_000),
        told.latencies.percentile_ms(1, 1),
        after.term,
    );
    assert!(told.acknowledged_count > 100, "{} writes are no load", told.acknowledged_count);
    assert_eq!((told.unknown_count, told.refused_count), (0, 0), "nothing went wrong");
    assert_bounded(&looks);
    let verdict = verdict_on(&mut cluster, &told.operations);
    println!("{} keys compared at {} sources", verdict.keys_count, verdict.sources.len());
    assert!(verdict.is_good(), "{verdict:#?}");
}

/// The leader's own status, once all nodes say the same of term and leader.
fn settled(cluster: &Cluster, leader: usize) -> Status {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let all: Vec<Status> = (1..=3).filter_map(|node| cluster.status(node)).collect();
        let view = |status: &Status| (status.term.clone(), status.leader);
        if all.len() == 3 && all.iter().all(|status| view(status) == view(&all[0])) {
            return all[leader - 1].clone();
        }
        assert!(Instant::now() < deadline, "the nodes differ: {all:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_same_leader(before: &Status, now: &Status) {
    let (name, term) = (&now.name, &now.term);
    assert_eq!(before.term, *term, "{name} has another term: an election was held");
    assert_eq!(before.leader, now.leader, "{name} sees another leader in term {term}");
}

fn sizes(cluster: &mut Cluster) -> [Size; 3] {
    let data_dirs = cluster.data_dirs();
    std::array::from_fn(|at| {
        let pid = cluster.node(at + 1).pid().expect("it runs");
        Size {
            memory_bytes: resident_size_bytes(pid).expect("it runs"),
            disk_bytes: size_of_dir(&data_dirs[at]),
            handles_count: handles_count(pid).expect("it runs"),
        }
    })
}

/// What the files take up. A file that is deleted meanwhile takes up nothing.
fn size_of_dir(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_of_dir(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn text(sizes: &[Size; 3]) -> String {
    let of_node = |size: &Size| {
        let Size { memory_bytes, disk_bytes, handles_count } = size;
        let (memory_mib, disk_mib) = (memory_bytes / MIB, disk_bytes / MIB);
        format!("{memory_mib} MiB memory {disk_mib} MiB disk {handles_count} handles")
    };
    sizes.iter().map(of_node).collect::<Vec<_>>().join("; ")
}

/// The second half of the run needs little more than the first one did.
fn assert_bounded(looks: &[[Size; 3]]) {
    let (first_half, second_half) = looks.split_at(looks.len() / 2);
    for node in 0..3 {
        let greatest = |half: &[[Size; 3]]| {
            let of_node = half.iter().map(|sizes| sizes[node]);
            of_node.fold(Size::default(), |greatest, size| Size {
                memory_bytes: greatest.memory_bytes.max(size.memory_bytes),
                disk_bytes: greatest.disk_bytes.max(size.disk_bytes),
                handles_count: greatest.handles_count.max(size.handles_count),
            })
        };
        let (middle, last) = (greatest(first_half), greatest(second_half));
        let grew = format!("n{} grows: {middle:?} by the middle, {last:?} after", node + 1);
        let memory_bytes_max = middle.memory_bytes * 3 / 2 + ROOM_MEMORY_BYTES;
        assert!(last.memory_bytes <= memory_bytes_max, "{grew}");
        assert!(last.disk_bytes <= middle.disk_bytes * 3 / 2 + ROOM_DISK_BYTES, "{grew}");
        assert!(last.handles_count <= middle.handles_count + ROOM_HANDLES_COUNT, "{grew}");
    }
}
