//! The life of a leader as tables: time in milliseconds, input, effects as text.
//!
//! The law behind the tables, at most one node may act, is in `model/`.

use super::record::LeadershipRecords;
use super::state::{Effect, Input, Leader};
use super::{Leadership, Record, RecordApplied};
use crate::config::ClusterSettings;
use crate::heartbeat::{Health, Paused, PeerHealth};
use crate::ids::{FencingToken, Generation, LogIndex, NodeId, Term};
use crate::ports::Now;
use crate::replication::{ConsensusReport, Progress, QuorumAcked, RaftRole};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// Node n1 with the default settings: lease 235 ms, with drift 238 ms.
struct Life {
    leader: Leader,
}

impl Life {
    fn begin() -> Life {
        Life { leader: Leader::new(N1, ClusterSettings::of(Vec::new()), Now::default()) }
    }

    /// A leader of term 5 that acts since 100 ms, with the lease of a frame sent at 100 ms.
    fn acting() -> Life {
        let mut life = Life::begin();
        life.run(100, elected(5, 900));
        life.run(100, acked(5, 100));
        life.run(100, applied(acting(5, N1)));
        life
    }

    /// A switchover to n2 in which writes are paused since 110 ms.
    fn handing_over() -> Life {
        let mut life = Life::acting();
        life.check(110, switchover(Some(N2)), "pause, ask n2, timer 115");
        life
    }

    /// The same, after the transfer at 130 ms.
    fn transferred() -> Life {
        let mut life = Life::handing_over();
        life.run(112, progress(N2, 40, 40));
        life.run(120, applied(released(5, N1)));
        life.check(130, progress(N2, 41, 41), "ask n2, transfer n2, timer 370");
        life
    }

    fn run(&mut self, ms: u64, input: Input) -> String {
        let mut effects = Vec::new();
        self.leader.step(Now::from_ms(ms), input, &mut effects);
        effects.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    fn check(&mut self, ms: u64, input: Input, expected: &str) {
        let shown = format!("{input:?}");
        assert_eq!(self.run(ms, input), expected, "at {ms} ms, {shown}");
    }
}

fn text(effect: &Effect) -> String {
    match effect {
        Effect::Publish(Leadership { term, role, token, lease_until, .. }) => match token {
            None => format!("{role:?} {} idle", term.election()),
            Some(token) => {
                let until = if lease_until.ns == u64::MAX { u64::MAX } else { lease_until.ms() };
                let until = if until == u64::MAX { "ever".into() } else { until.to_string() };
                format!("{role:?} {} acts until {until}", token.0.election())
            }
        },
        Effect::RenewLease { until } => format!("lease {}", until.ms()),
        Effect::SetTimer { at } => format!("timer {}", at.ms()),
        Effect::PauseWrites { paused: true } => "pause".to_owned(),
        Effect::PauseWrites { paused: false } => "unpause".to_owned(),
        Effect::Propose(Record::Acting { token, .. }) => format!("acting {}", token.0.election()),
        Effect::Propose(Record::Released { token, .. }) => {
            format!("released {}", token.0.election())
        }
        Effect::AskProgress { of } => format!("ask {of}"),
        Effect::Transfer { to } => format!("transfer {to}"),
        Effect::TransferFailed { to, failed_count } => format!("{to} failed {failed_count}"),
        Effect::Answer { result: Ok(leader), .. } => format!("answer {leader}"),
        Effect::Answer { result: Err(error), .. } => {
            format!("answer {}", &error.to_string()[..5])
        }
    }
}

fn term(election: u64) -> Term {
    Term::new(Generation(0), election)
}

fn report(election: u64, role: RaftRole, leader: Option<NodeId>, voters: &[NodeId]) -> Input {
    Input::Consensus(ConsensusReport {
        term: term(election),
        role,
        leader,
        voters: voters.to_vec(),
        learners: Vec::new(),
        joint_goal: None,
        granted_age_ms: 0,
    })
}

fn elected(election: u64, age_ms: u64) -> Input {
    let Input::Consensus(mut report) = report(election, RaftRole::Elected, Some(N1), &[N1, N2, N3])
    else {
        unreachable!("a report is a report")
    };
    report.granted_age_ms = age_ms;
    Input::Consensus(report)
}

fn follows(election: u64, leader: Option<NodeId>) -> Input {
    report(election, RaftRole::Follower, leader, &[N1, N2, N3])
}

fn acting(election: u64, node: NodeId) -> Record {
    let token = FencingToken(term(election));
    Record::Acting { token, node, lease_ms: 235, guard_ms: 5_000, stop_ms: 5_000 }
}

fn released(election: u64, node: NodeId) -> Record {
    Record::Released { token: FencingToken(term(election)), node }
}

fn applied(record: Record) -> Input {
    Input::RecordApplied(RecordApplied { index: LogIndex(41), record, accepted: true })
}

fn refused(record: Record) -> Input {
    Input::RecordApplied(RecordApplied { index: LogIndex(41), record, accepted: false })
}

fn acked(election: u64, sent_ms: u64) -> Input {
    Input::QuorumAcked(QuorumAcked { term: term(election), sent_at: Now::from_ms(sent_ms) })
}

fn switchover(to: Option<NodeId>) -> Input {
    Input::Switchover { request: 7, to }
}

fn progress(of: NodeId, last: u64, matching: u64) -> Input {
    let progress = Progress { last_index: LogIndex(last), matching: LogIndex(matching) };
    Input::ProgressAnswered { of, progress }
}

fn health(peer: NodeId, health: Health) -> Input {
    Input::PeerHealth(PeerHealth { peer, health })
}

const TICK: Input = Input::TimerFired;

#[test]
fn the_first_leader_of_a_cluster_waits_for_nobody_but_needs_record_and_lease() {
    let mut life = Life::begin();
    life.check(10, follows(4, None), "Follower 4 idle");
    life.check(100, elected(5, 0), "Elected 5 idle");
    life.check(105, acked(5, 101), "acting 5, timer 1065"); // before, consensus would refuse it
    life.check(110, applied(acting(5, N1)), "Elected 5 acts until 336, timer 336");
}

#[test]
fn after_an_ordinary_crash_or_a_release_there_is_no_wait() {
    let mut crash = Life::begin();
    crash.check(50, applied(acting(4, N2)), "");
    crash.check(100, elected(5, 240), "Elected 5 idle");
    crash.check(105, acked(5, 101), "acting 5, timer 1065");

    let mut release = Life::begin();
    release.check(50, applied(acting(4, N2)), "");
    release.check(60, applied(released(4, N2)), "");
    release.check(100, elected(5, 0), "Elected 5 idle");
    release.check(105, acked(5, 101), "acting 5, timer 1065");

    let mut restarted = Life::begin();
    restarted.check(1, applied(released(4, N2)), ""); // only the last record is reported again
    restarted.check(100, elected(5, 0), "Elected 5 idle");
    restarted.check(105, acked(5, 101), "acting 5, timer 1065");
}

#[test]
fn after_voters_restarted_the_rest_of_the_lease_with_drift_is_waited_out() {
    let mut life = Life::begin();
    life.check(50, applied(acting(4, N2)), "");
    life.check(100, elected(5, 38), "Elected 5 idle, timer 300");
    life.check(299, acked(5, 295), "");
    life.check(300, TICK, "acting 5, timer 1260");
    life.check(310, applied(acting(5, N1)), "Elected 5 acts until 530, timer 530");
}

#[test]
fn the_own_record_of_an_older_term_is_waited_out_like_any_other() {
    let mut life = Life::begin();
    life.check(50, applied(acting(4, N1)), "");
    life.check(100, elected(5, 0), "Elected 5 idle, timer 338");
}

#[test]
fn a_record_that_shows_up_late_is_waited_out_before_acting() {
    let mut life = Life::begin();
    life.check(100, elected(5, 38), "Elected 5 idle");
    life.check(105, acked(5, 101), "acting 5, timer 1065");
    life.check(110, applied(acting(4, N2)), "");
    life.check(120, applied(acting(5, N1)), "timer 300");
    life.check(299, acked(5, 295), "");
    life.check(300, TICK, "Elected 5 acts until 530, timer 530");

    let mut freed = Life::begin();
    freed.check(50, applied(acting(4, N2)), "");
    freed.check(100, elected(5, 38), "Elected 5 idle, timer 300");
    freed.check(105, acked(5, 101), "");
    freed.check(110, applied(released(4, N2)), "acting 5");
}

#[test]
fn a_lease_that_lapses_suspends_and_a_quorum_resumes() {
    let mut life = Life::acting();
    life.check(300, acked(5, 290), "lease 525");
    life.check(335, TICK, "timer 525");
    life.check(525, TICK, "Elected 5 idle, timer 5290");
    life.check(600, acked(5, 590), "Elected 5 acts until 825, timer 825");
    life.check(610, acked(5, 100), ""); // an older frame renews nothing
    life.check(620, acked(4, 615), ""); // nor does one of another term
}

#[test]
fn after_a_pause_only_a_frame_sent_later_counts() {
    let mut life = Life::acting();
    life.check(200, Input::Paused(Paused { length_ms: 90 }), "Elected 5 idle");
    life.check(210, acked(5, 150), "");
    life.check(220, acked(5, 200), "");
    life.check(230, acked(5, 205), "Elected 5 acts until 440");
}

#[test]
fn a_leader_without_quorum_past_the_guard_never_resumes_and_leaves_the_term() {
    let mut life = Life::acting();
    life.check(335, TICK, "Elected 5 idle, timer 5100");
    life.check(5_100, TICK, "pause, released 5, timer 6060");
    life.check(5_200, acked(5, 5_190), "");
    life.check(6_060, TICK, "released 5, timer 7020"); // the first may have been lost
    life.check(6_100, applied(released(5, N1)), "ask n2, ask n3, timer 6105");
    life.check(6_102, progress(N3, 50, 41), "");
    life.check(6_103, progress(N3, 50, 50), "transfer n3");
    life.check(6_343, TICK, "n3 failed 1, unpause");
    life.check(6_400, switchover(Some(N2)), "answer Q1021");
    life.check(6_500, follows(6, None), "Follower 6 idle");
}

#[test]
fn a_later_term_or_record_ends_the_right_at_once() {
    let mut term = Life::acting();
    term.check(200, follows(6, Some(N2)), "Follower 6 idle");
    term.check(210, acked(5, 205), "");

    let mut record = Life::acting();
    record.check(200, applied(acting(6, N2)), "Elected 5 idle");
    record.check(210, acked(5, 205), "");

    let mut again = Life::acting();
    again.check(200, elected(6, 0), "Elected 6 idle");
    again.check(335, TICK, "timer 438"); // set for the lease of term 5
    again.check(438, TICK, "");
    again.check(440, acked(5, 435), ""); // the word of an older term is none
    again.check(445, acked(6, 441), "acting 6, timer 1405");
    again.check(450, applied(acting(6, N1)), "Elected 6 acts until 676, timer 676");

    let mut released_before = Life::transferred();
    released_before.run(131, acked(5, 131));
    let effects = "unpause, n2 failed 1, answer Q1024, Elected 6 idle"; // its lease is none either
    released_before.check(132, elected(6, 0), effects);
}

#[test]
fn a_lost_proposal_is_repeated_and_a_refused_one_is_the_end() {
    let mut lost = Life::begin();
    lost.check(100, elected(5, 900), "Elected 5 idle");
    lost.check(105, acked(5, 101), "acting 5, timer 1065");
    lost.check(1_065, TICK, ""); // no quorum would take it
    lost.check(1_070, acked(5, 1_066), "acting 5, timer 2030");
    lost.check(1_075, applied(acting(5, N1)), "Elected 5 acts until 1301, timer 1301");
    lost.check(1_076, refused(acting(5, N1)), ""); // the repeat

    let mut end = Life::begin();
    end.check(100, elected(5, 900), "Elected 5 idle");
    end.check(105, acked(5, 101), "acting 5, timer 1065");
    end.check(110, refused(acting(5, N1)), "");
    end.check(120, acked(5, 115), "");
    end.check(1_065, TICK, "");
}

/// Consensus confirms it by itself for as long as it runs; a freeze ends that, as for any leader.
#[test]
fn a_sole_voter_holds_its_lease_while_it_runs() {
    let mut life = Life::begin();
    let sole = report(5, RaftRole::Elected, Some(N1), &[N1]);
    life.check(100, sole, "Elected 5 idle");
    life.check(100, acked(5, 100), "acting 5, timer 1060");
    life.check(110, applied(acting(5, N1)), "Elected 5 acts until 335, timer 335");
    life.check(120, acked(5, 120), "lease 355");
    life.check(150, acked(5, 150), "lease 385");
    life.check(500, acked(5, 490), "lease 725, timer 725"); // who read the watch knew it lapsed
    life.check(800, TICK, "Elected 5 idle, timer 5490");
}

#[test]
fn a_switchover_pauses_catches_up_releases_transfers_and_sees_it_taken() {
    let mut life = Life::handing_over();
    life.check(112, progress(N2, 40, 39), "");
    life.check(112, progress(N3, 40, 40), ""); // not the target
    life.check(112, progress(N2, 40, 40), "Elected 5 idle, released 5");
    life.check(120, applied(released(5, N1)), "ask n2, timer 125");
    life.check(122, progress(N2, 40, 40), ""); // an answer from before the release
    life.check(123, progress(N2, 41, 41), "transfer n2");
    life.check(140, follows(6, None), "unpause, Follower 6 idle, timer 363");
    life.check(150, follows(6, Some(N2)), "answer n2, Follower 6 idle");
}

#[test]
fn a_switchover_without_target_takes_the_first_fit_voter_that_matches() {
    let mut life = Life::acting();
    life.check(110, switchover(None), "pause, ask n2, ask n3, timer 115");
    life.check(112, progress(N2, 40, 30), "");
    life.check(112, progress(N3, 40, 40), "Elected 5 idle, released 5");
    life.check(113, applied(released(5, N1)), "ask n3");
}

#[test]
fn a_target_that_stays_behind_leaves_the_leader_leading() {
    let mut life = Life::handing_over();
    life.check(115, TICK, "ask n2, timer 120");
    life.check(116, progress(N2, 50, 40), "");
    life.check(1_060, acked(5, 1_055), "ask n2, lease 1290, timer 1065");
    life.check(1_070, TICK, "unpause, answer Q1023, timer 1290");
}

#[test]
fn a_transfer_that_nobody_or_another_takes_is_counted_and_not_repeated() {
    let mut nobody = Life::transferred();
    nobody.check(370, TICK, "n2 failed 1, unpause, answer Q1024");
    nobody.check(380, switchover(Some(N2)), "answer Q1021");
    nobody.check(390, acked(5, 385), ""); // Released is final

    let mut another = Life::transferred();
    let effects = "unpause, n2 failed 1, answer Q1024, Follower 6 idle";
    another.check(200, follows(6, Some(N3)), effects);

    let mut itself = Life::transferred();
    let effects = "unpause, n2 failed 1, answer Q1024, Elected 6 idle";
    itself.check(200, elected(6, 100), effects);
}

#[test]
fn a_target_that_dies_after_the_release_is_replaced_by_any_that_matches() {
    let mut life = Life::handing_over();
    life.check(112, progress(N2, 40, 40), "Elected 5 idle, released 5");
    life.check(120, applied(released(5, N1)), "ask n2, timer 125");
    life.check(1_080, TICK, "answer Q1024, timer 1081");
    life.check(1_081, TICK, "ask n2, ask n3, timer 1086");
    life.check(1_082, progress(N3, 41, 41), "transfer n3");
    life.check(1_100, follows(6, Some(N3)), "unpause, Follower 6 idle");
}

#[test]
fn a_switchover_ends_with_the_role() {
    let mut catching_up = Life::handing_over();
    let effects = "unpause, answer Q1021, Follower 6 idle";
    catching_up.check(112, follows(6, Some(N3)), effects);

    let mut releasing = Life::handing_over();
    releasing.check(112, progress(N2, 40, 40), "Elected 5 idle, released 5");
    let effects = "unpause, answer Q1024, Follower 6 idle";
    releasing.check(114, follows(6, Some(N3)), effects);
}

#[test]
fn a_switchover_is_refused_without_a_leader_a_fit_target_or_while_one_is_under_way() {
    let mut replica = Life::begin();
    replica.check(10, switchover(Some(N2)), "answer Q1021");

    let mut life = Life::acting();
    life.check(110, switchover(Some(N1)), "answer Q1022");
    life.check(110, switchover(Some(NodeId(9))), "answer Q1022");
    life.check(110, health(N2, Health::Late), "");
    life.check(110, switchover(Some(N2)), "answer Q1022");
    life.check(110, health(N2, Health::Silent), "");
    life.check(110, health(N3, Health::Silent), "");
    life.check(110, switchover(None), "answer Q1022");
    life.check(110, health(N2, Health::Responsive), "");
    life.check(110, switchover(Some(N2)), "pause, ask n2, timer 115");
    life.check(111, switchover(Some(N2)), "answer Q1025");
}

#[test]
fn the_log_accepts_each_token_once_and_none_that_is_older() {
    let token = |election| FencingToken(term(election));
    let mut records = LeadershipRecords::default();
    assert!(!records.admits(token(0)), "nobody has acted");
    let table = [
        (released(4, N1), false, None),
        (acting(4, N1), true, Some(4)),
        (acting(4, N1), false, Some(4)),
        (acting(3, N2), false, Some(4)),
        (released(3, N2), false, Some(4)),
        (released(4, N2), false, Some(4)),
        (released(4, N1), true, None),
        (released(4, N1), false, None),
        (acting(4, N1), false, None),
        (acting(6, N2), true, Some(6)),
        (released(4, N1), false, Some(6)),
        (acting(7, N1), true, Some(7)), // the dead leader of 6 released nothing
    ];
    for (record, is_accepted, admitted) in table {
        assert_eq!(records.apply(&record), is_accepted, "{record:?}");
        let admits: Vec<u64> = (0..9).filter(|at| records.admits(token(*at))).collect();
        assert_eq!(admits, Vec::from_iter(admitted), "after {record:?}");
        let format = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(&records, format).expect("records encode");
        let back = bincode::serde::decode_from_slice(&bytes, format).expect("records decode");
        assert_eq!(back, (records.clone(), bytes.len()), "a snapshot keeps them");
    }
}
