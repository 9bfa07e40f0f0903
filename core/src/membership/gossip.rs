//! Gossip: who is alive, as the members tell each other (SWIM).
//!
//! The only module that names foca, which does the protocol without I/O: bytes and timers go in,
//! bytes and timers come out. Here are our identity, our bytes, our numbers, and the queue of its
//! timers.
//!
//! Invariants
//! - Nothing is learnt here about who *belongs* to the cluster; that is the roster.
//! - A node that was declared down comes back by itself, under a higher incarnation.
//! - While this node was paused, no suspicion of others has aged.
//!
//! Read next: [`Gossip::hear`]. Source: Das, Gupta & Motivala 2002 (SWIM), section 4.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use foca::{AccumulatingRuntime, Foca, Header, Member, OwnedNotification, PeriodicParams, Timer};
use rand::rngs::SmallRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Liveness;
use crate::ids::NodeId;
use crate::link::LINK_PAYLOAD_SIZE_BYTES_MAX;
use crate::observe::planted;
use crate::ports::Now;

/// How fast a member that fell silent is found, and how sure that is. LAN numbers: a dead member
/// is called down after about 2 s, and a lost frame or two calls nobody down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GossipTuning {
    /// How often one member, in random order, is probed.
    pub probe_interval_ms: u64,
    /// After which time without an answer others are asked to probe it.
    pub probe_timeout_ms: u64,
    /// How long a suspect has to refute.
    pub suspicion_ms: u64,
    /// How often fresh news is passed on besides on probes.
    pub spread_interval_ms: u64,
    /// A timer later than this means that the node was paused.
    pub pause_ms: u64,
}

impl Default for GossipTuning {
    fn default() -> GossipTuning {
        GossipTuning {
            probe_interval_ms: 400,
            probe_timeout_ms: 150,
            suspicion_ms: 1_000,
            spread_interval_ms: 200,
            pause_ms: 117,
        }
    }
}

/// Who speaks. Travels in every frame and every piece of news, so it is small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Speaker {
    node: NodeId,
    address: SocketAddr,
    /// Which start of the node.
    start: u64,
    /// How often it came back within that start after it was declared down.
    renewal: u32,
}

impl foca::Identity for Speaker {
    type Addr = NodeId;

    fn renew(&self) -> Option<Speaker> {
        if planted("called_down_for_good") {
            return None;
        }
        Some(Speaker { renewal: self.renewal.checked_add(1)?, ..self.clone() })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Speaker) -> bool {
        (self.start, self.renewal) > (adversary.start, adversary.renewal)
    }
}

/// What the shell is asked to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GossipEffect {
    /// Send a frame.
    Send {
        /// To whom.
        to: NodeId,
        /// Where it said to be.
        address: SocketAddr,
        /// The payload.
        payload: Bytes,
    },
    /// What is said of a member changed.
    Heard {
        /// Of whom.
        member: NodeId,
        /// What.
        liveness: Liveness,
        /// Where it says to be.
        address: SocketAddr,
    },
}

/// One node's part in the gossip.
pub struct Gossip {
    foca: Foca<Speaker, GossipCodec, SmallRng, foca::NoCustomBroadcast>,
    effects: AccumulatingRuntime<Speaker>,
    /// By due time, then in the order they were asked for.
    timers: BTreeMap<(Now, u64), Timer<Speaker>>,
    timers_count: u64,
    pause_ms: u64,
    told: BTreeMap<NodeId, (Liveness, SocketAddr)>,
    /// What foca held when it was last looked at, in its order.
    held: Vec<Held>,
}

impl std::fmt::Debug for Gossip {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Gossip").field("told", &self.told).finish_non_exhaustive()
    }
}

impl Gossip {
    /// Alone until [`Gossip::announce`] or a frame from others.
    ///
    /// `start` grows from start to start of the node: an earlier start is not believed over a
    /// later one.
    pub fn new(
        this: NodeId,
        address: SocketAddr,
        start: u64,
        tuning: GossipTuning,
        rng: SmallRng,
    ) -> Gossip {
        let speaker = Speaker { node: this, address, start, renewal: 0 };
        Gossip {
            foca: Foca::new(speaker, config(tuning), rng, GossipCodec),
            effects: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            timers_count: 0,
            pause_ms: tuning.pause_ms,
            told: BTreeMap::new(),
            held: Vec::new(),
        }
    }

    /// Takes a frame. What makes no sense is dropped: the next probe repeats whatever mattered.
    pub fn hear(&mut self, now: Now, payload: &[u8], out: &mut Vec<GossipEffect>) {
        self.notice_pause(now);
        let outcome = self.foca.handle_data(payload, &mut self.effects);
        self.finish(now, outcome, out);
    }

    /// Asks `to` who is there. Not repeated here; the caller repeats it until it is answered.
    pub fn announce(
        &mut self,
        now: Now,
        to: NodeId,
        address: SocketAddr,
        out: &mut Vec<GossipEffect>,
    ) {
        // Only the node id of an announcement's addressee counts.
        let whom = Speaker { node: to, address, start: 0, renewal: 0 };
        let outcome = self.foca.announce(whom, &mut self.effects);
        self.finish(now, outcome, out);
    }

    /// Fires every timer that is due.
    pub fn timer_fired(&mut self, now: Now, out: &mut Vec<GossipEffect>) {
        self.notice_pause(now);
        while let Some(due) = self.timers.first_entry()
            && due.key().0 <= now
        {
            let timer = due.remove();
            let outcome = self.foca.handle_timer(timer, &mut self.effects);
            self.finish(now, outcome, out);
        }
    }

    /// When [`Gossip::timer_fired`] is to be called next, if ever.
    pub fn next_timer(&self) -> Option<Now> {
        self.timers.first_key_value().map(|((due, _), _)| *due)
    }

    /// Lets the time of a pause of this node not count: every timer moves by it, so that answers
    /// which wait in the socket are heard before anyone is suspected.
    fn notice_pause(&mut self, now: Now) {
        let Some(due) = self.next_timer() else { return };
        let length_ms = now.ms_since(due);
        if length_ms <= self.pause_ms {
            return;
        }
        let moved = std::mem::take(&mut self.timers).into_iter();
        self.timers =
            moved.map(|((due, at), timer)| ((due.plus_ms(length_ms), at), timer)).collect();
    }

    /// Moves what foca asked for into our own effects.
    fn finish(&mut self, now: Now, outcome: Result<(), foca::Error>, out: &mut Vec<GossipEffect>) {
        if let Err(error) = outcome {
            tracing::debug!(node = %self.foca.identity().node, %error, "gossip ignored");
        }
        while let Some((to, payload)) = self.effects.to_send() {
            out.push(GossipEffect::Send { to: to.node, address: to.address, payload });
        }
        while let Some((after, timer)) = self.effects.to_schedule() {
            let due = Now { ns: now.ns.saturating_add(after.as_nanos() as u64) };
            self.timers.insert((due, self.timers_count), timer);
            self.timers_count += 1;
        }
        while let Some(notification) = self.effects.to_notify() {
            self.log(&notification);
        }
        self.tell_changes(out);
    }

    fn log(&self, notification: &OwnedNotification<Speaker>) {
        if let OwnedNotification::Rejoin(speaker) = notification {
            let Speaker { node, renewal, .. } = speaker;
            tracing::warn!(%node, renewal, "the others called this node down; it came back");
        }
    }

    /// Foca does not notify of suspicions, so what it holds is compared with what was told. That
    /// is after each frame and each timer: among 50 members it was half of all work before it was
    /// compared in foca's own order first, which changes only now and then.
    fn tell_changes(&mut self, out: &mut Vec<GossipEffect>) {
        if self.foca.iter_membership_state().map(held).eq(self.held.iter().copied()) {
            return;
        }
        self.held.clear();
        self.held.extend(self.foca.iter_membership_state().map(held));
        let this = self.foca.identity().node;
        // In the order of ids: foca's own order is random.
        let others: BTreeMap<NodeId, (Liveness, SocketAddr)> =
            self.held.iter().copied().filter(|(node, _)| *node != this).collect();
        for (member, (liveness, address)) in &others {
            if self.told.get(member) != Some(&(*liveness, *address)) {
                let (member, liveness, address) = (*member, *liveness, *address);
                out.push(GossipEffect::Heard { member, liveness, address });
            }
        }
        self.told = others;
    }
}

/// What is told of a member.
type Held = (NodeId, (Liveness, SocketAddr));

fn held(member: &foca::Member<Speaker>) -> Held {
    (member.id().node, (liveness(member.state()), member.id().address))
}

const fn liveness(state: foca::State) -> Liveness {
    match state {
        foca::State::Alive => Liveness::Alive,
        foca::State::Suspect => Liveness::Suspect,
        foca::State::Down => Liveness::Down,
    }
}

fn config(tuning: GossipTuning) -> foca::Config {
    let one = NonZeroUsize::MIN;
    let three = one.saturating_add(2);
    let periodic = |interval_ms, num_members| {
        Some(PeriodicParams { frequency: Duration::from_millis(interval_ms), num_members })
    };
    foca::Config {
        probe_period: Duration::from_millis(tuning.probe_interval_ms),
        probe_rtt: Duration::from_millis(tuning.probe_timeout_ms),
        num_indirect_probes: three,
        max_transmissions: NonZeroU8::MIN.saturating_add(9),
        suspect_to_down_after: Duration::from_millis(tuning.suspicion_ms),
        // A member is forgotten when the roster says so; until then its last start is remembered.
        remove_down_after: None,
        max_packet_size: NonZeroUsize::new(LINK_PAYLOAD_SIZE_BYTES_MAX.min(1_400))
            .expect("a payload has a size"),
        notify_down_members: true,
        // Whom nobody has heard is announced to by `view.rs`, which knows the roster.
        periodic_announce: periodic(30_000, one),
        periodic_announce_to_down_members: None,
        periodic_gossip: periodic(tuning.spread_interval_ms, three),
    }
}

/// Our bytes for foca: bincode as everywhere, one value after the other.
#[derive(Clone, Copy, Debug)]
struct GossipCodec;

impl GossipCodec {
    fn write<T: Serialize>(value: &T, mut buffer: impl BufMut) -> Result<(), Unfit> {
        let bytes = crate::codec::encode(value);
        if buffer.remaining_mut() < bytes.len() {
            return Err(Unfit); // foca leaves the rest of its news for the next frame
        }
        buffer.put_slice(&bytes);
        Ok(())
    }

    fn read<T: DeserializeOwned>(mut buffer: impl Buf) -> Result<T, Unfit> {
        let (value, size_bytes) =
            crate::codec::decode_first(buffer.chunk()).map_err(|_malformed| Unfit)?;
        buffer.advance(size_bytes);
        Ok(value)
    }
}

/// A value does not fit the space, or the bytes no value.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("gossip that does not fit")]
struct Unfit;

impl foca::Codec<Speaker> for GossipCodec {
    type Error = Unfit;

    fn encode_header(
        &mut self,
        header: &Header<Speaker>,
        buffer: impl BufMut,
    ) -> Result<(), Unfit> {
        GossipCodec::write(header, buffer)
    }

    fn decode_header(&mut self, buffer: impl Buf) -> Result<Header<Speaker>, Unfit> {
        GossipCodec::read(buffer)
    }

    fn encode_member(
        &mut self,
        member: &Member<Speaker>,
        buffer: impl BufMut,
    ) -> Result<(), Unfit> {
        GossipCodec::write(member, buffer)
    }

    fn decode_member(&mut self, buffer: impl Buf) -> Result<Member<Speaker>, Unfit> {
        GossipCodec::read(buffer)
    }
}
