//! A little consensus whose voters change: logs, frames, votes, joint memberships.
//!
//! Pure. It is Raft as openraft does it, with whole logs instead of pieces, and freer: anybody may
//! campaign at any moment, and voters grant right after they heard a leader. What it must get right
//! is what the right to act rests on: which voters are a quorum, when the newest frame was sent
//! that they confirmed, and how long ago whoever grants a term heard a leader.
//!
//! Invariants
//! - The last membership in the log is in effect, committed or not; a joint one needs both sets.
//! - A leader proposes a membership only when the last one is committed.
//!
//! Read next: [`Peer::receive`]. Source: Ongaro & Ousterhout 2014, sections 5, 6.

use crate::leader::Record;
use crate::ports::Now;

/// At most so many nodes; bit i of a set stands for node i.
pub(super) const NODES_COUNT_MAX: usize = 4;

/// How the right to act is confirmed: as built, or with a mistake that the model must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    AsBuilt,
    /// A sole voter may act until it is told that it is one no longer.
    EndlessSoleLease,
    /// In a joint membership the set before the change is counted alone.
    OldSetConfirms,
    /// In a joint membership the set after the change is counted alone.
    NewSetConfirms,
}

/// Who votes; while `to` is there, a majority of each of the two sets is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Voters {
    pub(super) from: u8,
    pub(super) to: Option<u8>,
}

impl Voters {
    pub(super) fn of(set: u8) -> Voters {
        Voters { from: set, to: None }
    }

    pub(super) fn all(self) -> u8 {
        self.from | self.to.unwrap_or(0)
    }

    fn sets(self) -> impl Iterator<Item = u8> {
        std::iter::once(self.from).chain(self.to)
    }

    fn is_quorum(self, nodes: u8) -> bool {
        self.sets().all(|set| 2 * (nodes & set).count_ones() > set.count_ones())
    }

    /// Those whose confirmation of a lease counts.
    fn confirming(self, rules: Rules) -> Voters {
        match rules {
            Rules::AsBuilt | Rules::EndlessSoleLease => self,
            Rules::OldSetConfirms => Voters::of(self.from),
            Rules::NewSetConfirms => Voters::of(self.to.unwrap_or(self.from)),
        }
    }
}

/// What a log is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// The first entry of a term.
    Begun,
    Voters(Voters),
    Record(Record),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) term: u64,
    pub(super) fact: Fact,
}

/// What nodes send each other.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Frame { term: u64, log: Vec<Entry>, committed: usize, sent_at: Now },
    Ack { term: u64, matching: usize, sent_at: Now },
    Ask { term: u64, last: (u64, usize) },
    Grant { term: u64, age_ms: u64 },
    Refuse { term: u64 },
    TakeOver { length: usize },
}

#[derive(Clone, Debug)]
struct Campaign {
    granted: u8,
    age_ms_min: u64,
}

#[derive(Clone, Debug)]
struct Lead {
    granted_age_ms: u64,
    /// Per node: when the newest frame was sent that it confirmed, and how far its log matches.
    acked: [Option<Now>; NODES_COUNT_MAX],
    matching: [usize; NODES_COUNT_MAX],
}

/// One node's consensus.
#[derive(Debug)]
pub(super) struct Peer {
    this: usize,
    pub(super) term: u64,
    pub(super) log: Vec<Entry>,
    pub(super) committed: usize,
    /// When a leader's frame last came or left, by the node's clock; the boot, if none has since.
    heard_at: Now,
    campaign: Option<Campaign>,
    lead: Option<Lead>,
}

impl Peer {
    /// A founder has the first entry, which says who votes; others have nothing.
    pub(super) fn new(this: usize, founders: u8, now: Now) -> Peer {
        let entry = Entry { term: 0, fact: Fact::Voters(Voters::of(founders)) };
        let log = if founders & (1 << this) != 0 { vec![entry] } else { Vec::new() };
        let committed = log.len();
        Peer { this, term: 0, log, committed, heard_at: now, campaign: None, lead: None }
    }

    pub(super) fn restart(&mut self, now: Now) {
        (self.heard_at, self.campaign, self.lead) = (now, None, None);
    }

    pub(super) fn voters(&self) -> Voters {
        self.last_voters().map_or(Voters::of(0), |(_, voters)| voters)
    }

    /// Whether it is a voter, by its own log.
    pub(super) fn votes(&self) -> bool {
        self.voters().all() & (1 << self.this) != 0
    }

    fn last_voters(&self) -> Option<(usize, Voters)> {
        let is_voters = |(at, entry): (usize, &Entry)| match entry.fact {
            Fact::Voters(voters) => Some((at + 1, voters)),
            Fact::Begun | Fact::Record(_) => None,
        };
        self.log.iter().enumerate().rev().find_map(is_voters)
    }

    /// The term that the last membership was proposed in.
    pub(super) fn voters_term(&self) -> u64 {
        self.last_voters().map_or(0, |(length, _)| self.log[length - 1].term)
    }

    pub(super) fn is_elected(&self) -> bool {
        self.lead.is_some()
    }

    pub(super) fn granted_age_ms(&self) -> u64 {
        self.lead.as_ref().map_or(0, |lead| lead.granted_age_ms)
    }

    pub(super) fn matching(&self, node: usize) -> usize {
        self.lead.as_ref().map_or(0, |lead| lead.matching[node])
    }

    /// Appends to the own log, if this node leads.
    pub(super) fn propose(&mut self, fact: Fact) {
        if self.lead.is_some() {
            self.log.push(Entry { term: self.term, fact });
            self.commit();
        }
    }

    /// Begins a change to these voters, or takes the one under way a step on.
    pub(super) fn change_voters(&mut self, to: u8) {
        let Some((length, voters)) = self.last_voters() else { return };
        if self.committed < length {
            return;
        }
        match voters.to {
            Some(goal) => self.propose(Fact::Voters(Voters::of(goal))),
            None if to != voters.from => {
                self.propose(Fact::Voters(Voters { from: voters.from, to: Some(to) }));
            }
            None => {}
        }
    }

    /// Asks for the next term; whoever may not vote does not ask.
    pub(super) fn campaign(&mut self, now: Now) -> Option<Message> {
        if !self.votes() {
            return None;
        }
        self.enter(self.term + 1);
        let age_ms_min = now.ms_since(self.heard_at);
        self.campaign = Some(Campaign { granted: 1 << self.this, age_ms_min });
        self.count_votes(now);
        Some(Message::Ask { term: self.term, last: self.last() })
    }

    /// What a leader sends, with its log but for the last `withheld_count` entries.
    pub(super) fn frame(&mut self, now: Now, withheld_count: usize) -> Message {
        self.heard_at = now;
        let log = self.log[..self.log.len().saturating_sub(withheld_count)].to_vec();
        let committed = self.committed.min(log.len());
        Message::Frame { term: self.term, log, committed, sent_at: now }
    }

    /// Takes what came in; what it returns goes back to the sender.
    pub(super) fn receive(&mut self, now: Now, from: usize, message: Message) -> Option<Message> {
        match message {
            Message::Frame { term, log, committed, sent_at } => {
                self.heard_at = now;
                if term < self.term {
                    return Some(Message::Refuse { term: self.term });
                }
                self.follow(term);
                let matching = self.adopt(log);
                self.committed = self.committed.max(committed.min(matching));
                Some(Message::Ack { term, matching, sent_at })
            }
            Message::Ack { term, matching, sent_at } => {
                let is_own = term == self.term;
                let lead = self.lead.as_mut().filter(|_| is_own)?;
                // A leader confirms what it sent itself.
                for node in [from, self.this] {
                    lead.acked[node] = lead.acked[node].max(Some(sent_at));
                }
                lead.matching[from] = lead.matching[from].max(matching);
                self.commit();
                None
            }
            Message::Ask { term, last } => {
                if term <= self.term || last < self.last() {
                    return Some(Message::Refuse { term: self.term });
                }
                self.enter(term);
                Some(Message::Grant { term, age_ms: now.ms_since(self.heard_at) })
            }
            Message::Grant { term, age_ms } => {
                let is_own = term == self.term;
                let campaign = self.campaign.as_mut().filter(|_| is_own)?;
                campaign.granted |= 1 << from;
                campaign.age_ms_min = campaign.age_ms_min.min(age_ms);
                self.count_votes(now);
                None
            }
            Message::Refuse { term } => {
                if term > self.term {
                    self.enter(term);
                }
                None
            }
            Message::TakeOver { length } => {
                if self.log.len() >= length {
                    self.campaign(now)
                } else {
                    None
                }
            }
        }
    }

    /// When the newest frame was sent that a quorum confirmed. A sole voter confirms itself.
    pub(super) fn quorum_acked_at(&self, now: Now, rules: Rules) -> Option<Now> {
        let lead = self.lead.as_ref()?;
        let voters = self.voters().confirming(rules);
        if voters == Voters::of(1 << self.this) {
            return Some(now);
        }
        let confirms = |at: Now| {
            let has = |node: &usize| lead.acked[*node] >= Some(at);
            (0..NODES_COUNT_MAX).filter(has).map(|node| 1 << node).sum()
        };
        lead.acked.iter().flatten().copied().filter(|at| voters.is_quorum(confirms(*at))).max()
    }

    /// What decides whose log is newer.
    pub(super) fn last(&self) -> (u64, usize) {
        (self.log.last().map_or(0, |entry| entry.term), self.log.len())
    }

    fn enter(&mut self, term: u64) {
        (self.term, self.campaign, self.lead) = (term, None, None);
    }

    fn follow(&mut self, term: u64) {
        self.campaign = None;
        if term > self.term {
            self.enter(term);
        }
        assert!(self.lead.is_none(), "two leaders of one term");
    }

    /// Cuts only what contradicts the leader's log: an old frame of the same term may come late.
    fn adopt(&mut self, log: Vec<Entry>) -> usize {
        let length = log.len();
        let equal_count = self.log.iter().zip(&log).take_while(|(own, sent)| own == sent).count();
        if equal_count < length {
            assert!(equal_count >= self.committed, "cuts what is committed");
            self.log = log;
        }
        length
    }

    fn count_votes(&mut self, now: Now) {
        let Some(campaign) = &self.campaign else { return };
        if !self.voters().is_quorum(campaign.granted) {
            return;
        }
        let mut acked = [None; NODES_COUNT_MAX];
        acked[self.this] = Some(now);
        let granted_age_ms = campaign.age_ms_min;
        self.campaign = None;
        self.lead = Some(Lead { granted_age_ms, acked, matching: [0; NODES_COUNT_MAX] });
        self.propose(Fact::Begun);
    }

    /// The newest entry of the own term that a quorum has, and all before it.
    fn commit(&mut self) {
        let Some(lead) = &mut self.lead else { return };
        lead.matching[self.this] = self.log.len();
        let matching = lead.matching;
        let voters = self.voters();
        let holders = |length: usize| {
            let holds = |node: &usize| matching[*node] >= length;
            (0..NODES_COUNT_MAX).filter(holds).map(|node| 1 << node).sum()
        };
        let is_own = |length: &usize| self.log[length - 1].term == self.term;
        let mut lengths = (self.committed + 1..=self.log.len()).rev().filter(is_own);
        if let Some(length) = lengths.find(|length| voters.is_quorum(holders(*length))) {
            self.committed = length;
        }
    }
}
