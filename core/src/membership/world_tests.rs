//! Link, heartbeat and membership of whole nodes together, on sockets in memory.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::sleep;

use super::*;
use crate::config::ClusterSettings;
use crate::heartbeat::{AskPulse, HeartbeatActor, Paused, PeerHealth, PeerLoss, Reports};
use crate::ids::{LogIndex, Term};
use crate::link::Link;
use crate::link::fake::{World, address, identity, run};
use crate::replication::{ConsensusReport, RaftRole};
use crate::security::Protection;

type Log = Rc<RefCell<Vec<String>>>;

/// Stands for leader and replication: keeps reports, and carries out orders at once on a roster of
/// its own.
struct Others {
    log: Log,
    roster: Roster,
    membership: Option<Recipient<RosterApplied>>,
}

impl Actor for Others {
    type Context = Context<Self>;
}

/// One handler that only keeps a line.
macro_rules! keeps {
    ($message:ty, $result:ty, $answer:expr, $text:expr) => {
        impl Handler<$message> for Others {
            type Result = $result;
            fn handle(&mut self, message: $message, _ctx: &mut Context<Self>) -> $result {
                let text: fn(&$message) -> String = $text;
                self.log.borrow_mut().push(text(&message));
                $answer
            }
        }
    };
}

keeps!(Paused, (), (), |it| format!("paused {}", it.length_ms));
keeps!(PeerLoss, (), (), |it| format!("{} lossy {}", it.peer, it.is_lossy));
keeps!(PeerHealth, (), (), |it| format!("{} {:?}", it.peer, it.health));
keeps!(ViewChanged, (), (), |it| format!("view {} {:?}", it.member, it.liveness));
keeps!(AddressLearnt, (), (), |it| format!("{} at {}", it.node, it.membership));
keeps!(AddLearner, Result<(), MembershipError>, Ok(()), |it| format!("learner {}", it.id));
keeps!(ChangeVoters, Result<(), MembershipError>, Ok(()), |it| format!("voters {:?}", it.voters));
keeps!(DropLearner, Result<(), MembershipError>, Ok(()), |it| format!("drop {}", it.id));

impl Handler<ProposeRoster> for Others {
    type Result = Result<RosterOutcome, MembershipError>;

    fn handle(&mut self, order: ProposeRoster, _ctx: &mut Context<Self>) -> Self::Result {
        let index = LogIndex(self.roster.changed_at().0 + 1);
        let applied = self.roster.apply(index, order.change);
        let outcome = applied.map_err(|detail| MembershipError::Refused { detail })?;
        let membership = self.membership.as_ref().expect("a test sets it before it elects");
        membership.do_send(RosterApplied { roster: self.roster.clone() });
        Ok(outcome)
    }
}

struct Node {
    link: Link,
    heartbeat: Addr<HeartbeatActor>,
    membership: Addr<MembershipActor>,
    others: Addr<Others>,
    log: Log,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Connect(Recipient<RosterApplied>);

impl Handler<Connect> for Others {
    type Result = ();

    fn handle(&mut self, Connect(membership): Connect, _ctx: &mut Context<Self>) {
        self.membership = Some(membership);
    }
}

impl Node {
    /// The way `node.rs` wires them: membership's own address goes into heartbeat's reports.
    async fn start(world: &World, id: u64, start: u64) -> Node {
        let members = (1..=3).map(|id| MemberSettings::at(&format!("n{id}"), address(id).ip()));
        let settings = ClusterSettings::of(members.collect());
        let env = world.env(id);
        let link = Link::open(&env, identity(id), address(id), Protection::none()).await.unwrap();
        let log = Log::default();
        let (roster, membership) = (Roster::default(), None);
        let others = Others { log: log.clone(), roster, membership }.start();
        let mut heartbeat = None;
        let membership = MembershipActor::create(|ctx| {
            let to_membership = ctx.address();
            let reports = Reports {
                paused: others.clone().recipient(),
                health: vec![others.clone().recipient(), to_membership.clone().recipient()],
                loss: others.clone().recipient(),
                path: to_membership.recipient(),
            };
            let actor = HeartbeatActor::new(NodeId(id), &env, link.clone(), &settings, reports);
            let started = actor.start();
            let outside = Outside {
                heartbeat: started.clone().recipient(),
                orders: Orders {
                    propose_roster: others.clone().recipient(),
                    add_learner: others.clone().recipient(),
                    change_voters: others.clone().recipient(),
                    drop_learner: others.clone().recipient(),
                },
                view: vec![others.clone().recipient()],
                addresses: vec![others.clone().recipient()],
            };
            heartbeat = Some(started);
            {
                let founders = settings.founders().to_vec();
                MembershipActor::new(
                    NodeId(id),
                    &env,
                    link.clone(),
                    &settings,
                    founders,
                    start,
                    outside,
                )
            }
        });
        let heartbeat = heartbeat.unwrap();
        link.deliver_to(heartbeat.clone().recipient(), membership.clone().recipient());
        others.do_send(Connect(membership.clone().recipient()));
        Node { link, heartbeat, membership, others, log }
    }

    async fn view(&self) -> String {
        let table = self.membership.send(AskView).await.unwrap();
        let row =
            |seen: &MemberView| format!("{} {:?} {:?}", seen.member, seen.liveness, seen.path);
        table.members.iter().map(row).collect::<Vec<_>>().join(", ")
    }
}

async fn three(world: &World) -> [Node; 3] {
    let [one, two, three] = [1, 2, 3].map(|id| Node::start(world, id, 1));
    [one.await, two.await, three.await]
}

#[test]
fn three_nodes_see_each_other_and_notice_a_dead_one_within_the_goal() {
    run(async {
        let world = World::new();
        let [one, two, three] = three(&world).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(one.view().await, "n2 Alive Udp, n3 Alive Udp");
        assert_eq!(three.view().await, "n1 Alive Udp, n2 Alive Udp");

        three.link.close();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(one.view().await, "n2 Alive Udp, n3 Down Udp");
        assert_eq!(two.view().await, "n1 Alive Udp, n3 Down Udp");
        assert!(one.log.borrow().ends_with(&["view n3 Down".to_owned()]), "{:?}", one.log);

        let back = Node::start(&world, 3, 2).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(one.view().await, "n2 Alive Udp, n3 Alive Udp");
        assert_eq!(back.view().await, "n1 Alive Udp, n2 Alive Udp");
    });
}

#[test]
fn where_udp_is_blocked_pings_and_gossip_go_over_tcp_and_nobody_is_called_down() {
    run(async {
        let world = World::new();
        let [one, two, _three] = three(&world).await;
        sleep(Duration::from_secs(2)).await;
        one.log.borrow_mut().clear();

        world.cut_udp(true);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(one.view().await, "n2 Alive Tcp, n3 Alive Tcp");
        let pulses = two.heartbeat.send(AskPulse).await.unwrap();
        assert!(pulses.iter().all(|pulse| pulse.health == Health::Responsive), "{pulses:?}");
        let is_down = |line: &String| line.contains("Down") || line.contains("Silent");
        assert!(!one.log.borrow().iter().any(is_down), "{:?}", one.log);
        assert_eq!(world.streams_count(), 6); // one to each peer, kept open

        world.cut_udp(false);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(one.view().await, "n2 Alive Udp, n3 Alive Udp");
    });
}

#[test]
fn the_elected_node_writes_the_roster_and_carries_out_a_change_from_request_to_reply() {
    run(async {
        let world = World::new();
        let [one, _two, _three] = three(&world).await;
        sleep(Duration::from_secs(2)).await;
        let report = ConsensusReport {
            term: Term::from_bits(1),
            role: RaftRole::Elected,
            leader: Some(NodeId(1)),
            voters: vec![NodeId(1), NodeId(2), NodeId(3)],
            learners: Vec::new(),
            joint_goal: None,
            granted_age_ms: 0,
        };
        one.membership.send(report).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(one.membership.send(AskView).await.unwrap().roster.next_id(), NodeId(4));

        let removed = one.membership.send(ChangeMembers::Remove(vec![NodeId(3)])).await.unwrap();
        assert_eq!(removed, Ok(vec![NodeId(3)]));
        assert!(one.log.borrow().contains(&"voters [NodeId(1), NodeId(2)]".to_owned()));
        let refused = one.membership.send(ChangeMembers::Remove(vec![NodeId(3)])).await.unwrap();
        assert!(matches!(refused, Err(MembershipError::Refused { .. })), "{refused:?}");
        assert!(one.others.connected());
    });
}

/// Idle cost: what a node of three sends while nothing happens.
#[test]
fn an_idle_node_sends_few_frames() {
    run(async {
        let world = World::new();
        let [one, _two, _three] = three(&world).await;
        sleep(Duration::from_secs(60)).await;
        let before = one.link.counts();
        sleep(Duration::from_secs(60)).await;
        let counts = one.link.counts();
        let sent_count = counts.sent_udp_count - before.sent_udp_count;
        // Per second 8 pings, 8 pongs, 2.5 probes and about as many answers.
        assert!((16 * 60..25 * 60).contains(&sent_count), "{sent_count} frames in a minute");
        assert_eq!((counts.sent_tcp_count, counts.dropped_count, counts.failed_count), (0, 0, 0));
        assert_eq!(counts.refused_count.len(), 0);
    });
}
