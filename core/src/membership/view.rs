//! View: how the other members are seen, from gossip and pings together; and where they are.
//!
//! Pure. It also decides whom to ping, and to whom this node announces itself until it is heard.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::state::Effect;
use super::{Liveness, MemberView, Role, Roster};
use crate::heartbeat::Health;
use crate::ids::NodeId;
use crate::link::Path;
use crate::ports::Now;

/// The first wait between two announcements to one member; it doubles.
const ANNOUNCE_MS_MIN: u64 = 250;
/// The longest. Also how long two halves may take to find each other after a partition.
const ANNOUNCE_MS_MAX: u64 = 4_000;
/// Announcements at once; the answer to the first names everyone else.
const ANNOUNCEMENTS_COUNT_MAX: usize = 3;

/// One member other than this node.
#[derive(Clone, Debug)]
struct Seen {
    address: SocketAddr,
    /// What it wrote there of itself; asked too while it is missing.
    roster_address: SocketAddr,
    gossip: Option<Liveness>,
    health: Health,
    is_pinged: bool,
    path: Path,
    reported: Liveness,
    announce_at: Now,
    announce_wait_ms: u64,
}

#[derive(Debug)]
pub(super) struct View {
    this: NodeId,
    /// Where the settings say that the founding members are: newer than the roster if all moved.
    seeds: BTreeMap<NodeId, SocketAddr>,
    /// Whether a member is looked for where it says to be.
    follows_moves: bool,
    /// What gossip says, also of nodes that the roster does not know yet.
    heard: BTreeMap<NodeId, Liveness>,
    /// Where they said to be while gossip did not call them down: of one that is down, others may
    /// hold an older place than settings do.
    said: BTreeMap<NodeId, SocketAddr>,
    members: BTreeMap<NodeId, Seen>,
}

impl View {
    pub(super) fn new(this: NodeId, seeds: Vec<(NodeId, SocketAddr)>, follows_moves: bool) -> View {
        let seeds = seeds.into_iter().filter(|(id, _)| *id != this).collect();
        let (heard, said) = (BTreeMap::new(), BTreeMap::new());
        View { this, seeds, follows_moves, heard, said, members: BTreeMap::new() }
    }

    /// Follows the roster; before there is one, the founding members of the settings.
    pub(super) fn set_roster(&mut self, now: Now, roster: &Roster, out: &mut Vec<Effect>) {
        let wanted: BTreeMap<NodeId, SocketAddr> = if roster.is_empty() {
            self.seeds.clone()
        } else {
            let others = roster.members().filter(|member| member.id != self.this);
            others.map(|member| (member.id, member.settings.membership())).collect()
        };
        self.members.retain(|id, _| wanted.contains_key(id));
        for (id, roster_address) in wanted {
            let (said, seed) = (self.said.get(&id).copied(), self.seeds.get(&id).copied());
            let written = seed.unwrap_or(roster_address);
            let address = said.unwrap_or(written);
            if !self.members.contains_key(&id) && address != written {
                // It was heard before it was a member, and nobody else has been told.
                out.push(Effect::ReportAddress { node: id, address });
            }
            let seen = self.members.entry(id).or_insert_with(|| Seen::at(address, now));
            seen.address = address;
            seen.roster_address = roster_address;
            seen.gossip = self.heard.get(&id).copied();
            seen.is_pinged = pings(roster, self.this, id);
        }
        self.set_peers(out);
        self.report_changes(out);
    }

    pub(super) fn hear(
        &mut self,
        now: Now,
        member: NodeId,
        liveness: Liveness,
        address: SocketAddr,
        out: &mut Vec<Effect>,
    ) {
        self.heard.insert(member, liveness);
        let is_word = self.follows_moves && liveness != Liveness::Down;
        if is_word {
            self.said.insert(member, address);
        }
        let Some(seen) = self.members.get_mut(&member) else { return };
        seen.gossip = Some(liveness);
        if liveness == Liveness::Down {
            seen.announce_wait_ms = ANNOUNCE_MS_MIN;
            seen.announce_at = now.plus_ms(ANNOUNCE_MS_MIN);
        }
        if is_word && seen.address != address {
            seen.address = address;
            out.push(Effect::ReportAddress { node: member, address });
            self.set_peers(out);
        }
        self.report_changes(out);
    }

    pub(super) fn set_health(&mut self, peer: NodeId, health: Health, out: &mut Vec<Effect>) {
        if let Some(seen) = self.members.get_mut(&peer) {
            seen.health = health;
        }
        self.report_changes(out);
    }

    pub(super) fn set_path(&mut self, peer: NodeId, path: Path) {
        if let Some(seen) = self.members.get_mut(&peer) {
            seen.path = path;
        }
    }

    /// Where gossip for a node goes that says to be at `said`.
    pub(super) fn gossip_address(&self, to: NodeId, said: SocketAddr) -> SocketAddr {
        let written = self.members.get(&to).filter(|_| !self.follows_moves);
        written.map_or(said, |seen| seen.address)
    }

    /// By which path gossip goes there. UDP for nodes that are no members.
    pub(super) fn path(&self, to: NodeId) -> Path {
        self.members.get(&to).map_or(Path::Udp, |seen| seen.path)
    }

    pub(super) fn liveness(&self, member: NodeId) -> Liveness {
        if member == self.this {
            return Liveness::Alive;
        }
        self.members.get(&member).map_or(Liveness::Suspect, Seen::judge)
    }

    pub(super) fn table(&self) -> Vec<MemberView> {
        let row = |(id, seen): (&NodeId, &Seen)| MemberView {
            member: *id,
            liveness: seen.judge(),
            gossip: seen.gossip,
            health: seen.is_pinged.then_some(seen.health),
            address: seen.address,
            path: seen.path,
        };
        self.members.iter().map(row).collect()
    }

    /// Announces this node to members that gossip does not know alive, ever more rarely.
    pub(super) fn announce(&mut self, now: Now, out: &mut Vec<Effect>) {
        let due = |seen: &&mut Seen| seen.is_missing() && seen.announce_at <= now;
        let mut announced_count = 0;
        for (id, seen) in &mut self.members {
            if !due(&seen) {
                continue;
            }
            if announced_count == ANNOUNCEMENTS_COUNT_MAX {
                seen.announce_at = now.plus_ms(ANNOUNCE_MS_MIN);
                continue;
            }
            announced_count += 1;
            seen.announce_at = now.plus_ms(seen.announce_wait_ms);
            seen.announce_wait_ms = (seen.announce_wait_ms * 2).min(ANNOUNCE_MS_MAX);
            out.push(Effect::Announce { to: *id, address: seen.address });
            if seen.roster_address != seen.address {
                // Settings may be older than the roster, as well as newer.
                out.push(Effect::Announce { to: *id, address: seen.roster_address });
            }
        }
    }

    /// When [`View::announce`] has something to do again, if ever.
    pub(super) fn next_announcement(&self) -> Option<Now> {
        let missing = self.members.values().filter(|seen| seen.is_missing());
        missing.map(|seen| seen.announce_at).min()
    }

    fn set_peers(&self, out: &mut Vec<Effect>) {
        let pinged = self.members.iter().filter(|(_, seen)| seen.is_pinged);
        let peers = pinged.map(|(id, seen)| (*id, seen.address)).collect();
        out.push(Effect::SetPeers { peers });
    }

    fn report_changes(&mut self, out: &mut Vec<Effect>) {
        for (id, seen) in &mut self.members {
            let liveness = seen.judge();
            if liveness != seen.reported {
                seen.reported = liveness;
                out.push(Effect::ReportView { member: *id, liveness });
            }
        }
    }
}

impl Seen {
    fn at(address: SocketAddr, now: Now) -> Seen {
        Seen {
            address,
            roster_address: address,
            gossip: None,
            health: Health::Late,
            is_pinged: false,
            path: Path::Udp,
            reported: Liveness::Suspect,
            announce_at: now,
            announce_wait_ms: ANNOUNCE_MS_MIN,
        }
    }

    fn is_missing(&self) -> bool {
        match self.gossip {
            None | Some(Liveness::Down) => true,
            Some(Liveness::Alive | Liveness::Suspect) => false,
        }
    }

    /// Down only if both signals say so; where no pings go, gossip's word is all there is.
    fn judge(&self) -> Liveness {
        if !self.is_pinged {
            return self.gossip.unwrap_or(Liveness::Suspect);
        }
        match (self.gossip, self.health) {
            (Some(Liveness::Alive), Health::Responsive | Health::Late) => Liveness::Alive,
            // Its answers reach us at this moment: a suspicion is about to be refuted.
            (Some(Liveness::Suspect) | None, Health::Responsive) => Liveness::Alive,
            (Some(Liveness::Alive), Health::Silent) => Liveness::Suspect,
            (Some(Liveness::Suspect), Health::Late | Health::Silent) => Liveness::Suspect,
            (Some(Liveness::Down), Health::Responsive | Health::Late) => Liveness::Suspect,
            (None, Health::Late) => Liveness::Suspect,
            // Nobody ever said a word of it, and it says none itself.
            (Some(Liveness::Down) | None, Health::Silent) => Liveness::Down,
        }
    }
}

/// Voters ping everyone, learners only voters: with many learners the pings stay few.
fn pings(roster: &Roster, from: NodeId, to: NodeId) -> bool {
    let votes = |id| match roster.get(id).map(|member| member.role) {
        Some(Role::Full | Role::Witness) => true,
        Some(Role::Learner) | None => false,
    };
    roster.is_empty() || votes(from) || votes(to)
}
