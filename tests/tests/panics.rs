//! Each actor of a real daemon panics while it leads: the process is gone at once, its log says
//! why, another node leads, and nothing that was acknowledged is lost.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use quorate_core::last_inputs::ActorName;
use quorate_core::ports::Clock;
use quorate_net::BootClock;
use quorate_tests::cluster::Cluster;
use quorate_tests::load::Load;

/// What any actor of a leader under load is told again within this time.
const GONE_LIMIT_MS: u64 = 2_000;
/// Three times the goal for the time until the next acknowledged write.
const NEXT_LIMIT_MS: u64 = 3_000;

#[test]
fn a_panic_of_any_actor_ends_the_process_and_another_node_leads() {
    leave_no_core_dumps();
    for actor in ActorName::ALL {
        panics_while_it_leads(actor);
    }
}

fn panics_while_it_leads(actor: ActorName) {
    let told = actor.to_string();
    let mut cluster = Cluster::of(3).variable("QUORATE_TEST_PANIC", &told).started();
    let load = Load::start(&cluster.apis(), 2);
    load.next_acknowledged_ms(0, 10_000);
    std::thread::sleep(Duration::from_millis(500)); // every actor has inputs to show
    let old = cluster.wait_for_leader(10_000);

    let (told_at, told_ns) = (Instant::now(), BootClock.now().ns);
    cluster.tell_to_panic(old);
    let ended = cluster.node(old).ended_within_ms(GONE_LIMIT_MS).expect("a child is waited for");
    let gone_ms = told_at.elapsed().as_millis();
    let log = cluster.node(old).log();
    let status = ended.unwrap_or_else(|| panic!("{told} did not end its process: {log}"));
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}");
    check_log(actor, old, &log);

    // Counted from a write that began when the process was surely gone: the one under way at its
    // end may have been acknowledged by it.
    let next = cluster.wait_for_leader_other_than(old, 10_000);
    let leads_ms = told_at.elapsed().as_millis();
    let gone_ns = told_ns + u64::try_from(gone_ms).expect("a short time") * 1_000_000;
    let next_ms = load.next_acknowledged_ms(gone_ns, 20_000);
    println!(
        "{told} of n{old} panicked: gone after {gone_ms} ms, n{next} leads after {leads_ms} ms, \
         next acknowledged write {next_ms} ms after the end"
    );
    assert!(next_ms <= NEXT_LIMIT_MS, "{next_ms} ms without an acknowledged write");

    cluster.start(old);
    let verdict = load.verdict(&mut cluster);
    assert!(verdict.is_good(), "{told}: {verdict:#?}");
}

fn check_log(actor: ActorName, node: usize, log: &str) {
    let (_, report) = log.split_once("Q1530 panic in thread").expect("the log has the code");
    for expected in [
        format!("a test told {actor} to panic at its next input; this process ends at once"),
        format!("\nactor: {actor}\n"),
    ] {
        assert!(report.contains(&expected), "{expected:?} is not in {report}");
    }
    // The ring of the actor that panicked ends with the input that it was given last: the newest
    // of all.
    let (_, ring) = report
        .split_once(&format!("\nlast inputs of {actor}, oldest first:\n"))
        .expect("the log has the inputs of each actor");
    let inputs: Vec<&str> = ring.lines().take_while(|line| line.contains(" ms ago, n")).collect();
    assert!((2..=16).contains(&inputs.len()), "{report}");
    let last = inputs.last().expect("there are two at least");
    assert!(last.starts_with(&format!("  0 ms ago, n{node}: ")), "{last}");
    assert!(report.contains("WriteAsked write="), "replication was told of writes: {report}");
    assert!(report.contains("PongReceived from="), "heartbeat was told of pongs: {report}");
    assert!(report.contains("\n   0: "), "a backtrace follows: {report}");
}

/// A daemon inherits the limit, and an abort on purpose is no reason for a file.
fn leave_no_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call reads the structure, which outlives it.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    assert_eq!(set, 0, "a limit can always be lowered");
}
