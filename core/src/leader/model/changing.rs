//! The law while voters change: one grows to several, several shrink to one, changes are left
//! half-way and led on by others, and whoever acts may freeze at every moment of it.
//!
//! The model has teeth: with each mistake of [`Rules`] planted it finds two nodes that may act.
//!
//! Read next: `world.rs` for what a run is made of, then the property.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::consensus::Rules;
use super::world::{Op, Seen, World};

/// How many the fixed runs are. Each planted mistake shows up about once in a thousand.
const RUNS_COUNT: usize = 20_000;
/// In how many of them things are counted.
const SEEN_RUNS_COUNT: usize = 2_000;

#[derive(Clone, Debug)]
struct Run {
    fast: Vec<bool>,
    founders: u8,
    ops: Vec<Op>,
}

impl Run {
    /// Begins with a founder that acts, and goes on until the law is broken.
    fn play(&self, rules: Rules) -> World {
        let mut world = World::new(rules, &self.fast, self.founders);
        let elected = [Op::Elect { pick: 0, asked: u8::MAX, is_instant: true }];
        let worked = Op::Work { by: 0, reached: u8::MAX, is_told: true };
        for op in elected.iter().chain([&worked; 3]).chain(&self.ops) {
            world.run(op);
            if world.broken.is_some() {
                break;
            }
        }
        world
    }
}

fn mask() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(u8::MAX), 1 => Just(0), 2 => any::<u8>()]
}

/// Often one node, or all.
fn voters(nodes_count: usize) -> impl Strategy<Value = u8> {
    let all = (1_u8 << nodes_count) - 1;
    prop_oneof![1 => (0..nodes_count).prop_map(|node| 1 << node), 1 => Just(all), 2 => 1..=all]
}

fn mostly() -> impl Strategy<Value = bool> {
    prop_oneof![3 => Just(true), 1 => Just(false)]
}

fn by() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0_usize), 1 => Just(1_usize)]
}

fn elect() -> impl Strategy<Value = Op> {
    (0..3_usize, mask(), mostly()).prop_map(|(pick, asked, is_instant)| Op::Elect {
        pick,
        asked,
        is_instant,
    })
}

fn work() -> impl Strategy<Value = Op> {
    (by(), mask(), mostly()).prop_map(|(by, reached, is_told)| Op::Work { by, reached, is_told })
}

fn single_op(nodes_count: usize) -> impl Strategy<Value = Op> {
    let node = move || 0..nodes_count;
    prop_oneof![
        6 => (1..40_u64).prop_map(|ms| Op::Advance { ms }),
        2 => (40..300_u64).prop_map(|ms| Op::Advance { ms }),
        2 => elect(),
        2 => (by(), mask(), prop_oneof![Just(0_usize), 0..3_usize])
            .prop_map(|(by, to, withheld_count)| Op::Send { by, to, withheld_count }),
        4 => any::<usize>().prop_map(|pick| Op::Arrive { pick, is_lost: false }),
        1 => any::<usize>().prop_map(|pick| Op::Arrive { pick, is_lost: true }),
        8 => work(),
        4 => (by(), voters(nodes_count)).prop_map(|(by, to)| Op::Change { by, to }),
        1 => node().prop_map(|node| Op::Deliver { node }),
        1 => node().prop_map(|node| Op::DeliverLog { node }),
        1 => node().prop_map(|node| Op::Tick { node }),
        1 => node().prop_map(|node| Op::Restart { node }),
        2 => by().prop_map(|by| Op::Freeze { by }),
        2 => Just(Op::Thaw),
        1 => node().prop_map(|node| Op::Pause { node }),
        1 => (by(), node()).prop_map(|(by, to)| Op::Switchover { by, to }),
    ]
}

/// A leader's work again and again, with pauses: as it comes, or always with the same nodes until
/// it is cut off from them.
fn works(count: usize, ms_max: u64) -> impl Strategy<Value = Vec<Op>> {
    let steady = (mask(), mostly(), 1..2 * count).prop_map(move |(mask, is_told, cut_at)| {
        let reached = move |at| if at < cut_at { mask } else { 0 };
        (0..count).map(|at| Op::Work { by: 0, reached: reached(at), is_told }).collect()
    });
    let works = prop_oneof![2 => steady, 1 => vec(work(), count)];
    (works, vec(0..ms_max, count)).prop_map(|(works, pauses)| {
        let pauses = pauses.into_iter().map(|ms| Op::Advance { ms });
        works.into_iter().zip(pauses).flat_map(|(work, pause)| [work, pause]).collect()
    })
}

/// A change of voters from its begin to its goal, unless it ends before.
fn change(nodes_count: usize) -> impl Strategy<Value = Vec<Op>> {
    (voters(nodes_count), works(3, 60), works(2, 60), 1..13_usize).prop_map(
        |(to, joint, goal, length)| {
            let step = || [Op::Change { by: 0, to }];
            let whole = step().into_iter().chain(joint).chain(step()).chain(goal);
            whole.take(length).collect()
        },
    )
}

/// Somebody is elected, perhaps past a frozen leader, and works until it may act.
fn succession() -> impl Strategy<Value = Vec<Op>> {
    (any::<bool>(), elect(), works(6, 30)).prop_map(|(freezes, elected, works)| {
        let frozen = freezes.then_some(Op::Freeze { by: 0 });
        frozen.into_iter().chain([elected]).chain(works).collect()
    })
}

fn ops(nodes_count: usize) -> impl Strategy<Value = Vec<Op>> {
    let part = prop_oneof![
        6 => single_op(nodes_count).prop_map(|op| vec![op]),
        1 => change(nodes_count),
        1 => succession(),
        1 => (change(nodes_count), succession()).prop_map(|(change, next)| [change, next].concat()),
    ];
    vec(part, 1..50).prop_map(|parts| parts.concat())
}

fn runs() -> impl Strategy<Value = Run> {
    prop_oneof![Just(3_usize), Just(4_usize)].prop_flat_map(|nodes_count| {
        let founders = voters(nodes_count);
        (vec(any::<bool>(), nodes_count), founders, ops(nodes_count))
            .prop_map(|(fast, founders, ops)| Run { fast, founders, ops })
    })
}

/// The same runs each time.
fn fixed_runs() -> impl Iterator<Item = Run> {
    let mut runner = TestRunner::deterministic();
    let run = move |_| runs().new_tree(&mut runner).expect("nothing is filtered").current();
    (0..RUNS_COUNT).map(run)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    /// At any true time at most one node may act by its own clock, whatever becomes of the voters.
    #[test]
    fn at_most_one_node_may_act_while_voters_change(run in runs()) {
        let world = run.play(Rules::AsBuilt);
        prop_assert!(world.broken.is_none(), "{:?} may act at once", world.broken);
    }
}

/// The law would hold too if nothing happened: the runs must go where voters change and the right
/// to act moves, also away from a frozen node.
#[test]
fn voters_change_and_the_right_to_act_moves_in_these_runs() {
    let mut seen = Seen::default();
    for run in fixed_runs().take(SEEN_RUNS_COUNT) {
        seen.add(&run.play(Rules::AsBuilt).seen);
    }
    let rows = [
        ("successions", seen.successions_count, 400),
        ("by other voters", seen.successions_by_other_voters_count, 200),
        ("after one who froze", seen.successions_after_frozen_count, 100),
        ("after a sole voter who froze", seen.successions_after_frozen_sole_count, 30),
        ("in a joint membership", seen.successions_joint_count, 150),
        ("changes that another leader finished", seen.finished_by_other_count, 200),
        ("one voter became more", seen.grown_from_sole_count, 400),
        ("more voters became one", seen.shrunk_to_sole_count, 250),
    ];
    for (what, count, count_min) in rows {
        assert!(count > count_min, "{what}: only {count} in {SEEN_RUNS_COUNT} runs");
    }
}

/// Some run breaks the law by this mistake, and not without it.
#[track_caller]
fn assert_found(mistake: Rules) {
    let found = fixed_runs().find(|run| run.play(mistake).broken.is_some());
    let run = found.unwrap_or_else(|| panic!("{mistake:?} is not found in {RUNS_COUNT} runs"));
    assert_eq!(run.play(Rules::AsBuilt).broken, None, "the mistake is not what breaks the law");
}

#[test]
fn an_endless_lease_of_a_sole_voter_is_found() {
    assert_found(Rules::EndlessSoleLease);
}

/// Whoever was not told of the change elects past it.
#[test]
fn a_lease_that_the_new_voters_alone_confirm_is_found() {
    assert_found(Rules::NewSetConfirms);
}

/// One that votes alone in the old set confirms itself, and votes for another all the same.
#[test]
fn a_lease_that_the_old_voters_alone_confirm_is_found() {
    assert_found(Rules::OldSetConfirms);
}
