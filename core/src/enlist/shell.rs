//! The shell around [`Enlisting`]: the API port, the data directory, the cluster that is asked. It
//! decides nothing.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;
use std::pin::pin;

use ed25519_dalek::{Signer, SigningKey};
use futures_util::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::state::{Drawn, Effect, Enlisting, Input, Refusal, Told};
use super::{Enlisted, Order};
use crate::api::guard::Guard;
use crate::api::{self, AdmittedBody, Client, ClientError, MemberBody, MemberList, waiting};
use crate::codec::Identity;
use crate::config::{MemberSettings, Settings};
use crate::ids::{ClusterId, Generation, Lineage, LogIndex, RequestId};
use crate::membership::JoinToken;
use crate::membership::join_token::hex;
use crate::node::StartError;
use crate::node::identity::{self, NewIdentity};
use crate::ports::Env;
use crate::security::{ClusterSecret, Edge, Trust};
use crate::watch;

/// Orders that may wait to be looked at.
const ORDERS_COUNT_MAX: usize = 16;

/// What comes of an order.
pub(crate) type Outcome = Result<NewIdentity, Refusal>;

/// An order as it comes in by the API.
pub(crate) struct Given {
    pub(crate) id: RequestId,
    pub(crate) order: Order,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

struct Shell<'a> {
    env: &'a Env,
    settings: &'a Settings,
    key: SigningKey,
    state: Enlisting,
    waiting: BTreeMap<u64, oneshot::Sender<Outcome>>,
    requests_count: u64,
    asking: Option<LocalBoxFuture<'static, Told>>,
}

/// Listens on the API port alone until an order is carried out.
pub(super) async fn wait_for_order(env: &Env, settings: &Settings) -> Result<Enlisted, StartError> {
    // Before any cluster is asked: who dies half way must come back with the same key.
    let key = identity::load_key(env, true)?;
    let place = settings.place().expect("the settings were validated");
    let at = place.api();
    let taken = |error: std::io::Error| StartError::Port { at, detail: error.to_string() };
    let listener = env.net.listen(at).await.map_err(taken)?;
    let (given, mut orders) = mpsc::channel(ORDERS_COUNT_MAX);
    let (stop, stopping) = watch::channel(false);
    let guard = Guard::of_waiting(env, settings.security.local_admin.as_ref());
    let router = waiting::router(place.clone(), given, guard);
    let count_max = settings.api.connections_count_max;
    // Without a cluster it has nobody but itself to vouch for it.
    let edge = Edge::new(None, &key, place.address, env);
    tracing::info!(api = %at, fingerprint = %edge.fingerprint(), "node waits for a cluster");
    let entry = api::Entry::new(edge, settings.cluster.is_network_private);
    let mut serving = pin!(api::serve(listener, entry, router, count_max, stopping));
    let mut shell = Shell {
        env,
        settings,
        key,
        state: Enlisting::default(),
        waiting: BTreeMap::new(),
        requests_count: 0,
        asking: None,
    };
    let place = loop {
        let input = tokio::select! {
            biased;
            () = &mut serving => unreachable!("it is served until it is told to stop"),
            told = shell.told() => Input::Told(told),
            Some(given) = orders.recv() => shell.ordered(given).await?,
        };
        if let Some(place) = shell.advance(input)? {
            break place;
        }
    };
    drop(stop);
    serving.await;
    Ok(Enlisted { place })
}

impl Shell<'_> {
    /// What the cluster says that is being asked; never, if none is.
    async fn told(&mut self) -> Told {
        let told = match &mut self.asking {
            Some(asking) => asking.await,
            None => pending().await,
        };
        self.asking = None;
        told
    }

    async fn ordered(&mut self, given: Given) -> Result<Input, StartError> {
        let Given { id, order, reply } = given;
        let request = self.requests_count;
        self.requests_count += 1;
        self.waiting.insert(request, reply);
        let found = self.found()?;
        let named = self.settings.security.secret.as_ref();
        let drawn = || ClusterSecret::drawn(&*self.env.entropy);
        let secret = named.cloned().unwrap_or_else(drawn);
        let drawn = Drawn { cluster: identity::random_cluster_id(self.env), secret };
        let authority = named.map(ClusterSecret::fingerprint);
        let unfit = self.unfit(order.place()).await;
        Ok(Input::Ordered { request, id, order, found, unfit, drawn, authority })
    }

    /// Why this machine cannot be where an order says, if it cannot: the node would never start.
    async fn unfit(&self, place: &MemberSettings) -> Option<String> {
        let (env, consensus, membership) = (self.env, place.consensus(), place.membership());
        let tried = match env.net.listen(consensus).await {
            Ok(_) => env.net.datagrams(membership).await.map(drop).map_err(|why| (membership, why)),
            Err(why) => Err((consensus, why)),
        };
        let (at, why) = tried.err()?;
        let address = place.address;
        Some(format!(
            "Q1628 this node cannot listen at {at} ({why}); nothing was changed; is {address} an \
             address of this machine, and the port free?"
        ))
    }

    /// What only members of a cluster have in their data directory.
    fn found(&self) -> Result<Vec<String>, StartError> {
        let disk_error = |error: std::io::Error| StartError::Disk { detail: error.to_string() };
        let mut found = self.env.disk.list(Path::new("")).map_err(disk_error)?;
        let own = [crate::node::KEY, crate::node::SECRET, crate::users::local::FILE];
        found.retain(|path| !own.iter().any(|own| path == Path::new(own)));
        found.extend(self.env.disk.list(Path::new("log")).map_err(disk_error)?);
        Ok(found.iter().map(|path| path.display().to_string()).collect())
    }

    /// Reads the clock once, steps, performs the effects in order. Returns where the node is from
    /// here on, once it has a cluster.
    fn advance(&mut self, input: Input) -> Result<Option<MemberSettings>, StartError> {
        let mut effects = Vec::new();
        self.state.step(self.env.clock.now(), input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Ask { id, order } => self.ask(id, order),
                Effect::Make(new) => return self.make(&new),
                Effect::Answer { request, result } => {
                    if let Some(reply) = self.waiting.remove(&request) {
                        let _ = reply.send(result); // whoever asked may have gone
                    }
                }
                Effect::End => {}
            }
        }
        Ok(None)
    }

    fn make(&mut self, new: &NewIdentity) -> Result<Option<MemberSettings>, StartError> {
        identity::make(self.env, self.settings, new)?;
        let (node, cluster) = (new.identity.node, new.identity.cluster);
        tracing::info!(%node, %cluster, founds = new.founds, "node has a cluster");
        self.advance(Input::Written)?;
        Ok(Some(new.place.clone()))
    }

    fn ask(&mut self, id: RequestId, order: Order) {
        let Order::Join { place, nodes, token, wants_vote } = order else {
            unreachable!("who starts a cluster asks none")
        };
        let public_key = self.key.verifying_key().to_bytes();
        let signature = self.key.sign(&MemberBody::signed(&token, &public_key)).to_bytes();
        let (public_key, signature) = (hex(&public_key), hex(&signature));
        let body = MemberBody { settings: place, public_key, vote: wants_vote, token, signature };
        let env = self.env.clone();
        let trust = match token.authority {
            Some(authority) => Trust::Pinned(vec![authority]),
            None if self.settings.cluster.is_network_private => Trust::Network,
            None => Trust::Pinned(Vec::new()),
        };
        let client = Client::new(env, nodes).trusting(trust);
        self.asking = Some(Box::pin(ask(client, body, id)));
    }
}

/// Asks members to let this node in, for as long as a call of a client takes.
async fn ask(client: Client, body: MemberBody, id: RequestId) -> Told {
    let JoinToken { cluster, authority, .. } = body.token;
    // A node of another cluster refuses what is for this one.
    let (cluster_id, version, members) = (cluster.to_string(), LogIndex(0), Vec::new());
    let mut client = client.knowing(MemberList { cluster_id, version, authority, members });
    match client.admit(&body, id).await {
        Ok(admitted) => {
            let identity = identity_of(cluster, &admitted);
            match admitted.secret.map(|text| ClusterSecret::from_text(&text)).transpose() {
                Ok(secret) => Told::Admitted { identity, secret },
                Err(error) => Told::Unknown(error.to_string()),
            }
        }
        Err(error @ ClientError::OutcomeUnknown { .. }) => Told::Unknown(error.to_string()),
        Err(
            error @ (ClientError::Refused(_)
            | ClientError::Unreachable { .. }
            | ClientError::NotTrusted { .. }
            | ClientError::NotQuorate { .. }),
        ) => Told::Refused(error.to_string()),
    }
}

fn identity_of(cluster: ClusterId, admitted: &AdmittedBody) -> Identity {
    let (lineage, generation) = (Lineage(admitted.lineage), Generation(admitted.generation));
    Identity { cluster, lineage, generation, node: admitted.node }
}
