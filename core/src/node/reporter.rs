//! Collects what the four actors know into one [`Status`]. It decides nothing and keeps nothing.

use actix::prelude::*;

use super::book::AddressBook;
use crate::codec::Identity;
use crate::config::Settings;
use crate::heartbeat::{AskPulse, PeerPulse};
use crate::ids::NodeId;
use crate::leader::Leadership;
use crate::link::{Link, Path};
use crate::membership::{AskView, Liveness, Member, MemberView, Role, ViewTable};
use crate::ports::{Env, Now};
use crate::replication::{AskFacts, ReplicationFacts};
use crate::rpc::Refused;
use crate::status::{AskStatus, Fact, Figure, MemberStatus, Status};
use crate::watch;

/// A leader that was silent for so many of the longest election timeouts is none any more, whoever
/// leads now: an old view is not shown as the present one.
const LEADER_SILENT_TIMEOUTS_COUNT: u64 = 4;

/// Answers [`AskStatus`] for one node.
pub(super) struct Reporter {
    /// When this node began to listen: who was not heard since then has said nothing.
    pub(super) since: Now,
    pub(super) env: Env,
    pub(super) identity: Identity,
    /// Of this node.
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) book: AddressBook,
    pub(super) link: Link,
    pub(super) refused: Refused,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) facts: Recipient<AskFacts>,
    pub(super) pulse: Recipient<AskPulse>,
    pub(super) view: Recipient<AskView>,
}

impl Actor for Reporter {
    type Context = Context<Self>;
}

impl Handler<AskStatus> for Reporter {
    type Result = ResponseActFuture<Self, Status>;

    fn handle(&mut self, _: AskStatus, _: &mut Context<Self>) -> Self::Result {
        let (facts, pulse) = (self.facts.send(AskFacts), self.pulse.send(AskPulse));
        let view = self.view.send(AskView);
        let asked = async move { (facts.await, pulse.await, view.await) };
        Box::pin(asked.into_actor(self).map(|(facts, pulse, view), reporter, _| {
            // An actor that does not answer has ended, and with it the node: nothing is shown.
            let (facts, pulse) = (facts.unwrap_or_default(), pulse.unwrap_or_default());
            let empty = || ViewTable { roster: Default::default(), members: Vec::new() };
            reporter.status(facts, &pulse, view.unwrap_or_else(|_| empty()))
        }))
    }
}

impl Reporter {
    fn status(&self, facts: ReplicationFacts, pulse: &[PeerPulse], view: ViewTable) -> Status {
        let now = self.env.clock.now();
        let leadership = self.leadership.borrow().clone();
        let is_acting = leadership.may_act(now);
        let silence_ms_max =
            self.settings.cluster.election_timeout_ms_max * LEADER_SILENT_TIMEOUTS_COUNT;
        let leader = facts.leader.filter(|leader| {
            *leader == self.identity.node || facts.leader_age_ms <= silence_ms_max
        });
        let members = view.roster.members().map(|member| {
            let seen = view.members.iter().find(|seen| seen.member == member.id);
            let pinged = pulse.iter().find(|pinged| pinged.peer == member.id);
            self.member(now, member, seen, pinged, &facts)
        });
        Status {
            node: self.identity.node,
            name: self.name.clone(),
            cluster: self.settings.cluster.name.clone(),
            cluster_id: self.identity.cluster.to_string(),
            term: leadership.term.to_string(),
            role: leadership.role,
            leader,
            acting: is_acting,
            token: leadership.token.filter(|_| is_acting).map(|token| token.to_string()),
            leader_age_ms: leader.map(|_| if is_acting { 0 } else { facts.leader_age_ms }),
            commit_index: facts.commit_index,
            applied_index: facts.applied_index,
            last_index: facts.last_index,
            voters: facts.voters.clone(),
            learners: facts.learners.clone(),
            is_joint: facts.is_joint,
            members: members.collect(),
            queues: vec![figure("writes", facts.writes_waiting_count)],
            counters: self.counters(&facts),
        }
    }

    fn member(
        &self,
        now: Now,
        member: &Member,
        seen: Option<&MemberView>,
        pinged: Option<&PeerPulse>,
        facts: &ReplicationFacts,
    ) -> MemberStatus {
        let place = self.book.place(member.id).unwrap_or_else(|| member.settings.clone());
        // What gossip and pings say together is as old as the last ping that was answered.
        let heard_ms = pinged.and_then(|pinged| Some(now.ms_since(pinged.heard_at?)));
        let never_ms = now.ms_since(self.since);
        let fact_of = |source: &str| (heard_ms.unwrap_or(never_ms), source.to_owned());
        MemberStatus {
            id: member.id,
            name: member.settings.name.clone(),
            consensus: place.consensus(),
            membership: place.membership(),
            api: place.api(),
            roster_address: member.settings.address,
            role: role(member.role).to_owned(),
            view: seen.map(|seen| {
                let (age_ms, source) = fact_of("gossip and pings");
                Fact { value: liveness(seen.liveness).to_owned(), age_ms, source }
            }),
            health: pinged.filter(|pinged| pinged.heard_at.is_some()).map(|pinged| {
                let (age_ms, source) = fact_of("ping");
                Fact { value: pinged.health, age_ms, source }
            }),
            path: pinged.map(|pinged| path(pinged.path).to_owned()),
            rtt_us: pinged.and_then(|pinged| Some(pinged.round_trip?.smoothed_us)),
            matching_index: matching(facts, member.id),
        }
    }

    fn counters(&self, facts: &ReplicationFacts) -> Vec<Figure> {
        let link = self.link.counts();
        let mut counters = vec![
            figure("snapshot_index", facts.snapshot_index.0),
            figure("remembered_requests", facts.requests_count),
            figure("calls_refused", self.refused.count()),
        ];
        counters.extend(link.figures().into_iter().map(|(name, value)| figure(name, value)));
        counters
    }
}

fn matching(facts: &ReplicationFacts, of: NodeId) -> Option<crate::ids::LogIndex> {
    facts.matching.iter().find(|(node, _)| *node == of).map(|(_, index)| *index)
}

fn figure(name: &str, value: u64) -> Figure {
    Figure { name: name.to_owned(), value }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Full => "full",
        Role::Witness => "witness",
        Role::Learner => "learner",
    }
}

fn liveness(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Alive => "alive",
        Liveness::Suspect => "suspect",
        Liveness::Down => "down",
    }
}

fn path(path: Path) -> &'static str {
    match path {
        Path::Udp => "udp",
        Path::Tcp => "tcp",
    }
}
