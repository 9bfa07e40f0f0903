//! Last inputs: what the four actors were told last, kept for the day on which one panics.
//!
//! An actor's shell notes each input where it steps. Nothing is formatted then, and nothing
//! allocated once the rings are full: a note is a name and two numbers, copied. A panic hook asks
//! for [`report`].
//!
//! Invariants
//! - Nothing here decides anything, and no payload is kept: the log may be shown to others.
//! - The nodes of a simulator share a thread, so a ring is that of a thread and not of a node.
//!
//! Read next: [`note`], then `heartbeat/last_inputs.rs` for how an input becomes a note.

use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use crate::ids::NodeId;
use crate::observe;
use crate::ports::Now;

/// Inputs kept of each actor. More would push the panic itself off the screen.
const INPUTS_COUNT_MAX: usize = 16;

/// One of the four actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorName {
    /// Who belongs to the cluster.
    Membership,
    /// Who answers pings.
    Heartbeat,
    /// Consensus, log and state.
    Replication,
    /// Who may act.
    Leader,
}

impl ActorName {
    /// All of them, in the order of their numbers.
    pub const ALL: [ActorName; 4] =
        [ActorName::Membership, ActorName::Heartbeat, ActorName::Replication, ActorName::Leader];

    /// The actor that is written like this, if there is one.
    pub fn from_name(name: &str) -> Option<ActorName> {
        ActorName::ALL.into_iter().find(|actor| actor.to_string() == name)
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            ActorName::Membership => "membership",
            ActorName::Heartbeat => "heartbeat",
            ActorName::Replication => "replication",
            ActorName::Leader => "leader",
        })
    }
}

/// What is kept of an input: its name, and up to two numbers that tell it from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brief {
    name: &'static str,
    numbers: [Option<(&'static str, u64)>; 2],
}

impl Brief {
    pub(crate) const fn of(name: &'static str) -> Brief {
        Brief { name, numbers: [None, None] }
    }

    /// With one more number. Panics at the third.
    pub(crate) fn with(mut self, name: &'static str, number: u64) -> Brief {
        let free = self.numbers.iter_mut().find(|number| number.is_none());
        *free.expect("a note has two numbers") = Some((name, number));
        self
    }
}

impl Brief {
    /// One number over all of it, the same in every process.
    fn digest(self) -> u64 {
        let numbers = self.numbers.into_iter().flatten();
        let numbers = numbers.flat_map(|(name, number)| name.bytes().chain(number.to_be_bytes()));
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.name.bytes().chain(numbers).fold(0xcbf2_9ce4_8422_2325, step)
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)?;
        let numbers = self.numbers.iter().flatten();
        numbers.into_iter().try_for_each(|(name, number)| write!(out, " {name}={number}"))
    }
}

/// An input of one node's actor.
#[derive(Clone, Copy, Debug)]
struct Noted {
    node: NodeId,
    at: Now,
    brief: Brief,
}

/// The last inputs of the actors of one thread, in the order of [`ActorName::ALL`].
#[derive(Debug, Default)]
struct Rings([VecDeque<Noted>; 4]);

/// Rings of all threads that run actors: the log writer's thread runs none, and its panic is
/// explained by what the actors did.
static OF_ALL_THREADS: Mutex<Vec<Weak<Mutex<Rings>>>> = Mutex::new(Vec::new());
/// The actor that is to panic: its number plus one, or 0.
static TO_PANIC: AtomicU8 = AtomicU8::new(0);

thread_local! {
    /// Empty on a thread that has run no actor.
    static RINGS: OnceCell<Arc<Mutex<Rings>>> = const { OnceCell::new() };
    static RUNNING: Cell<Option<ActorName>> = const { Cell::new(None) };
}

fn new_rings() -> Arc<Mutex<Rings>> {
    let rings = Arc::new(Mutex::new(Rings::default()));
    let mut all = OF_ALL_THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|known| known.strong_count() > 0);
    all.push(Arc::downgrade(&rings));
    rings
}

/// While it lives, its actor is the one that runs on this thread.
#[must_use = "the actor runs for as long as this lives"]
pub(crate) struct Running {
    before: Option<ActorName>,
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(self.before);
    }
}

/// Notes an input that `actor` of `node` is about to handle, and that it runs until the answer is
/// dropped.
pub(crate) fn note(actor: ActorName, node: NodeId, now: Now, brief: Brief) -> Running {
    RINGS.with(|rings| {
        // Nobody waits for this lock: only a panic looks from another thread.
        let mut rings = rings.get_or_init(new_rings).lock().unwrap_or_else(PoisonError::into_inner);
        rings.push(actor, Noted { node, at: now, brief });
    });
    observe::handles(actor, node, now, || brief.digest());
    let running = Running { before: RUNNING.replace(Some(actor)) };
    if TO_PANIC.load(Ordering::Relaxed) == actor as u8 + 1 {
        panic!("a test told {actor} to panic at its next input");
    }
    running
}

/// For tests of what a panic does: the next input of any `actor` of this process panics, in the
/// actor's own handler. There is no way back.
pub fn panic_at_next_input(actor: ActorName) {
    TO_PANIC.store(actor as u8 + 1, Ordering::Relaxed);
}

/// Which actor runs on this thread, and the last inputs of all four: those of this thread, or of
/// the whole process if this thread has run none. For a panic hook: it never blocks or panics.
pub fn report() -> String {
    let running = RUNNING.try_with(Cell::get).ok().flatten();
    let actor = running.map_or("none, a task or another thread".to_owned(), |it| it.to_string());
    let mut text = format!("actor: {actor}\n");
    let own = RINGS.try_with(|rings| rings.get().cloned()).ok().flatten();
    for rings in own.map_or_else(all_rings, |own| vec![own]) {
        match locked(&rings) {
            // Writing to a string does not fail.
            Some(rings) => drop(write!(text, "{}", *rings)),
            None => text.push_str("last inputs are being noted at this moment\n"),
        }
    }
    text
}

fn all_rings() -> Vec<Arc<Mutex<Rings>>> {
    match OF_ALL_THREADS.try_lock() {
        Ok(all) => all.iter().filter_map(Weak::upgrade).collect(),
        Err(_) => Vec::new(),
    }
}

fn locked(rings: &Mutex<Rings>) -> Option<MutexGuard<'_, Rings>> {
    match rings.try_lock() {
        Ok(rings) => Some(rings),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Rings {
    fn push(&mut self, actor: ActorName, noted: Noted) {
        let ring = &mut self.0[actor as usize];
        if ring.len() == INPUTS_COUNT_MAX {
            ring.pop_front();
        }
        ring.push_back(noted);
    }
}

/// Ages are counted back from the newest of all: what the clock shows says nothing to a reader.
impl fmt::Display for Rings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = self.0.iter().flatten().map(|noted| noted.at).max().unwrap_or_default();
        for (actor, ring) in ActorName::ALL.iter().zip(&self.0) {
            writeln!(out, "last inputs of {actor}, oldest first:")?;
            for Noted { node, at, brief } in ring {
                let age_ms = newest.ms_since(*at);
                writeln!(out, "  {age_ms} ms ago, {node}: {brief}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64, name: &'static str) -> Running {
        note(ActorName::Leader, NodeId(1), Now::from_ms(ms), Brief::of(name))
    }

    #[test]
    fn a_report_names_the_actor_that_runs_and_what_all_four_were_told_last() {
        let brief = Brief::of("PongReceived").with("from", 2).with("sequence", 7);
        drop(note(ActorName::Heartbeat, NodeId(1), Now::from_ms(100), brief));
        let leader = at_ms(130, "TimerFired");
        let inner = note(ActorName::Membership, NodeId(3), Now::from_ms(150), Brief::of("Heard"));
        assert!(report().starts_with("actor: membership\n"), "{}", report());
        drop(inner);
        let expected = "actor: leader\n\
            last inputs of membership, oldest first:\n  0 ms ago, n3: Heard\n\
            last inputs of heartbeat, oldest first:\n\
            \x20 50 ms ago, n1: PongReceived from=2 sequence=7\n\
            last inputs of replication, oldest first:\n\
            last inputs of leader, oldest first:\n  20 ms ago, n1: TimerFired\n";
        assert_eq!(report(), expected);
        drop(leader);
        assert!(report().starts_with("actor: none"));
    }

    #[cfg(feature = "observed")]
    #[test]
    fn who_handles_other_inputs_or_in_another_order_has_another_digest() {
        let digest_of = |inputs: &[(u64, &'static str, u64)]| {
            observe::begin();
            for (ms, name, number) in inputs {
                let brief = Brief::of(name).with("sequence", *number);
                drop(note(ActorName::Heartbeat, NodeId(1), Now::from_ms(*ms), brief));
            }
            observe::inputs_digest()
        };
        let (one, other) = ((5, "PingDue", 1), (5, "PongReceived", 1));
        let digest = digest_of(&[one, other]);
        assert_eq!(digest_of(&[one, other]), digest);
        for inputs in [
            &[other, one][..],
            &[one],
            &[one, (6, "PongReceived", 1)],
            &[one, (5, "PongReceived", 2)],
            &[one, other, other],
        ] {
            assert_ne!(digest_of(inputs), digest, "{inputs:?}");
        }
    }

    #[test]
    fn only_the_newest_inputs_of_an_actor_are_kept() {
        (0..100).for_each(|ms| drop(at_ms(ms, "TimerFired")));
        let report = report();
        assert_eq!(report.matches("TimerFired").count(), INPUTS_COUNT_MAX, "{report}");
        assert!(report.contains("  15 ms ago") && !report.contains("  16 ms ago"), "{report}");
    }

    #[test]
    fn a_thread_without_actors_reports_what_those_of_the_process_were_told() {
        let _running = at_ms(1, "ToldOnTheFirstThread");
        let other = std::thread::scope(|scope| scope.spawn(report).join())
            .expect("a report does not panic");
        assert!(other.starts_with("actor: none"), "{other}");
        assert!(other.contains("n1: ToldOnTheFirstThread"), "{other}");
    }

    #[test]
    fn an_actor_is_found_by_its_name_and_by_no_other() {
        for actor in ActorName::ALL {
            assert_eq!(ActorName::from_name(&actor.to_string()), Some(actor));
            assert_eq!(ActorName::ALL[actor as usize], actor);
        }
        assert_eq!(ActorName::from_name("Leader"), None);
    }
}
