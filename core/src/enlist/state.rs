//! Enlisting: which order is carried out, how far it is, and who waits for its outcome.
//!
//! Pure. The shell asks the cluster, writes the identity and answers; see `shell.rs`.
//!
//! Invariants
//! - One order is carried out at a time, and each request gets one answer.
//! - What a cluster has said to a join that may have reached it is asked for until it is known, or
//!   the time is over: then the same order may be given again.
//!
//! Read next: [`Enlisting::step`], then `tests.rs`.

use super::Order;
use crate::codec::Identity;
use crate::ids::{ClusterId, RequestId};
use crate::node::identity::{NewIdentity, first_of};
use crate::ports::Now;
use crate::security::{ClusterSecret, Fingerprint};

/// How long a cluster may take to say whether the node may join.
pub(crate) const JOIN_MS_MAX: u64 = 30_000;

/// What the state machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and seldom")]
pub(crate) enum Input {
    /// Somebody gives an order.
    Ordered {
        /// Names the request in [`Effect::Answer`].
        request: u64,
        /// The same for each repeat of one order.
        id: RequestId,
        order: Order,
        /// What lies in the data directory that only members of a cluster have.
        found: Vec<String>,
        /// Why the node could not be where the order says, if it could not.
        unfit: Option<String>,
        /// What a new cluster gets.
        drawn: Drawn,
        /// What the secret in this node's settings is known by, if they name one.
        authority: Option<Fingerprint>,
    },
    /// What came of [`Effect::Ask`].
    Told(Told),
    /// The identity is durable.
    Written,
}

/// What is drawn for a new cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Never used before.
    pub(crate) cluster: ClusterId,
    /// That of the settings, if they name one.
    pub(crate) secret: ClusterSecret,
}

/// How a cluster has answered a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is a member.
    Admitted {
        identity: Identity,
        /// To be kept; none if the cluster has none.
        secret: Option<ClusterSecret>,
    },
    /// It is not, or nobody was asked; in the words of who says so.
    Refused(String),
    /// It may be a member.
    Unknown(String),
}

/// What the shell is asked to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask the cluster to let this node in. The answer comes back as [`Input::Told`].
    Ask { id: RequestId, order: Order },
    /// Make the identity durable; then [`Input::Written`].
    Make(NewIdentity),
    /// Answer a request.
    Answer { request: u64, result: Result<NewIdentity, Refusal> },
    /// Answer what was asked, close the port, and start the node.
    End,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another one is being carried out.
    UnderWay,
    /// The data directory is that of a member of some cluster.
    HoldsData { found: Vec<String> },
    /// Nothing was changed; the words of who refused.
    Refused(String),
    /// The cluster may have let the node in.
    Unknown { waited_ms: u64, last: String },
    /// The settings name another secret than that of the cluster.
    OtherSecret,
    /// Another order was carried out.
    HasCluster(ClusterId),
}

/// The state machine. One per node that has no cluster.
#[derive(Debug, Default)]
pub(crate) struct Enlisting {
    under_way: Option<UnderWay>,
    /// The order that was carried out.
    done: Option<NewIdentity>,
}

#[derive(Debug)]
struct UnderWay {
    id: RequestId,
    order: Order,
    began_at: Now,
    waiting: Vec<u64>,
    /// What it makes of this node, once that is known.
    new: Option<NewIdentity>,
}

impl Enlisting {
    /// The only function that changes this state. Effects are performed in order.
    pub(crate) fn step(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Ordered { request, id, order, found, unfit, drawn, authority } => {
                let refusal = unfit.map(Refusal::Refused);
                let refusal = refusal.or_else(|| refusal_of(&order, found, authority));
                self.begin(now, (request, id, order), refusal, drawn, out);
            }
            Input::Told(told) => self.go_on(now, told, out),
            Input::Written => self.end(out),
        }
        let is_making = self.under_way.as_ref().is_some_and(|one| one.new.is_some());
        assert!(!(is_making && self.done.is_some()), "a node enlists once");
    }

    fn begin(
        &mut self,
        now: Now,
        (request, id, order): (u64, RequestId, Order),
        refusal: Option<Refusal>,
        drawn: Drawn,
        out: &mut Vec<Effect>,
    ) {
        if let Some(done) = &self.done {
            let is_same = done.order == id;
            let other = || Refusal::HasCluster(done.identity.cluster);
            let result = is_same.then(|| done.clone()).ok_or_else(other);
            return out.push(Effect::Answer { request, result });
        }
        if let Some(one) = &mut self.under_way {
            if one.id == id || one.order == order {
                return one.waiting.push(request);
            }
            return out.push(Effect::Answer { request, result: Err(Refusal::UnderWay) });
        }
        if let Some(refusal) = refusal {
            return out.push(Effect::Answer { request, result: Err(refusal) });
        }
        let waiting = vec![request];
        let one = UnderWay { id, order, began_at: now, waiting, new: None };
        match one.order.clone() {
            Order::Start { .. } => {
                self.make(one, (first_of(drawn.cluster), Some(drawn.secret)), true, out);
            }
            order @ Order::Join { .. } => {
                self.under_way = Some(one);
                out.push(Effect::Ask { id, order });
            }
        }
    }

    fn go_on(&mut self, now: Now, told: Told, out: &mut Vec<Effect>) {
        let one = self.under_way.take().expect("only an order under way asks a cluster");
        let waited_ms = now.ms_since(one.began_at);
        match told {
            Told::Admitted { identity, secret } => self.make(one, (identity, secret), false, out),
            Told::Refused(text) => one.refuse(&Refusal::Refused(text), out),
            Told::Unknown(last) if waited_ms >= JOIN_MS_MAX => {
                one.refuse(&Refusal::Unknown { waited_ms, last }, out);
            }
            Told::Unknown(_) => {
                out.push(Effect::Ask { id: one.id, order: one.order.clone() });
                self.under_way = Some(one);
            }
        }
    }

    fn make(
        &mut self,
        mut one: UnderWay,
        (identity, secret): (Identity, Option<ClusterSecret>),
        founds: bool,
        out: &mut Vec<Effect>,
    ) {
        let place = one.order.place().clone();
        let new = NewIdentity { identity, place, founds, order: one.id, secret };
        out.push(Effect::Make(new.clone()));
        one.new = Some(new);
        self.under_way = Some(one);
    }

    fn end(&mut self, out: &mut Vec<Effect>) {
        let one = self.under_way.take().expect("only an order under way writes an identity");
        let new = one.new.expect("what is written was made");
        let answer = |request| Effect::Answer { request, result: Ok(new.clone()) };
        out.extend(one.waiting.into_iter().map(answer));
        out.push(Effect::End);
        self.done = Some(new);
    }
}

/// Why the node cannot do what it is ordered, whoever else is asked.
fn refusal_of(
    order: &Order,
    found: Vec<String>,
    authority: Option<Fingerprint>,
) -> Option<Refusal> {
    if !found.is_empty() {
        return Some(Refusal::HoldsData { found });
    }
    match order {
        Order::Join { token, .. } if authority.is_some() && token.authority != authority => {
            Some(Refusal::OtherSecret)
        }
        Order::Join { .. } | Order::Start { .. } => None,
    }
}

impl UnderWay {
    fn refuse(self, refusal: &Refusal, out: &mut Vec<Effect>) {
        let answer = |request| Effect::Answer { request, result: Err(refusal.clone()) };
        out.extend(self.waiting.into_iter().map(answer));
    }
}
