//! The randomness of TLS, and its key exchange: both are of the node whose handshake is polled.
//!
//! What two sides agree on in the exchange is mixed with the cluster's secret. Who lacks that can
//! read nothing of a handshake, not even a certificate, and cannot end one.
//!
//! The library takes both from statics. Two runs of the simulator with one seed would differ by
//! random bytes of the system, so the future that shakes hands names what is meant while it is
//! polled. After a handshake TLS 1.3 needs none.
//!
//! Source: RFC 7748, section 6.1 (X25519); RFC 8446, sections 7.1 and 7.4.2, where a key that is
//! shared beforehand goes into the schedule in the same way.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use ring::hkdf::{HKDF_SHA256, Salt};
use rustls::crypto::{
    ActiveKeyExchange, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::ClusterSecret;
use crate::observe::planted;
use crate::ports::Entropy;

/// What a node brings to its handshakes. Clones share it.
#[derive(Clone)]
pub(super) struct Own {
    pub(super) entropy: Arc<dyn Entropy>,
    /// Grown out of the cluster's secret; none where anybody may shake hands.
    key: Option<Arc<[u8; 32]>>,
}

impl Own {
    pub(super) fn new(entropy: Arc<dyn Entropy>, secret: &ClusterSecret) -> Own {
        Own { entropy, key: Some(Arc::new(secret.key(&[b"streams"]))) }
    }

    /// For what is open to everybody: the API, and who asks there.
    pub(super) fn open(entropy: Arc<dyn Entropy>) -> Own {
        Own { entropy, key: None }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// Handshakes in `future` are those of this node, while it is polled.
pub(super) async fn shaking_as<F: Future>(own: &Own, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let before = CURRENT.replace(Some(own.clone()));
        let polled = future.as_mut().poll(context);
        CURRENT.set(before);
        polled
    })
    .await
}

/// Draws from the entropy of the node whose handshake is polled.
#[derive(Debug)]
pub(super) struct Drawn;

impl SecureRandom for Drawn {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        CURRENT.with_borrow(|current| {
            current.as_ref().ok_or(GetRandomFailed)?.entropy.fill("tls", bytes);
            Ok(())
        })
    }
}

/// X25519 with a key that is drawn, and the cluster's secret.
#[derive(Debug)]
pub(super) struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        Drawn.fill(&mut bytes)?;
        let secret = StaticSecret::from(bytes);
        let public = PublicKey::from(&secret);
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: StaticSecret,
    public: PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        if !shared.was_contributory() {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        if planted("secret_not_asked") {
            return Ok(SharedSecret::from(shared.as_bytes().as_slice()));
        }
        let own = CURRENT.with_borrow(Clone::clone);
        let own = own.ok_or_else(|| Error::General("nobody shakes hands".to_owned()))?;
        let Some(key) = own.key else {
            return Ok(SharedSecret::from(shared.as_bytes().as_slice()));
        };
        let mixed = Salt::new(HKDF_SHA256, key.as_slice()).extract(shared.as_bytes());
        let mut bytes = Zeroizing::new([0; 32]);
        let grown = mixed.expand(&[b"quorate streams 1"], HKDF_SHA256);
        grown.and_then(|grown| grown.fill(bytes.as_mut_slice())).expect("32 bytes are one hash");
        Ok(SharedSecret::from(bytes.as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::fake::{World, run};

    /// Node `id` of the cluster with that secret.
    fn own(id: u64, letter: char) -> Own {
        let secret = ClusterSecret::from_text(&letter.to_string().repeat(64)).unwrap();
        Own::new(World::new().env(id).entropy, &secret)
    }

    async fn agreed(one: &Own, other: &Own) -> [Vec<u8>; 2] {
        let start = |own: Own| async move { shaking_as(&own, async { X25519.start() }).await };
        let first = start(one.clone()).await.unwrap();
        let second = start(other.clone()).await.unwrap();
        let (to_first, to_second) = (second.pub_key().to_vec(), first.pub_key().to_vec());
        assert_ne!(to_first, to_second);
        let first = shaking_as(one, async { first.complete(&to_first) }).await;
        let second = shaking_as(other, async { second.complete(&to_second) }).await;
        [first, second].map(|shared| shared.unwrap().secret_bytes().to_vec())
    }

    #[test]
    fn two_sides_agree_only_with_the_same_secret_and_keys_of_small_order_are_refused() {
        run(async {
            let [mine, theirs] = agreed(&own(1, 'a'), &own(2, 'a')).await;
            assert_eq!(mine, theirs);
            let [mine, theirs] = agreed(&own(1, 'a'), &own(2, 'b')).await;
            assert_ne!(mine, theirs);
            for bad in [&[0; 32][..], &[1; 31]] {
                let completing = async { X25519.start().unwrap().complete(bad) };
                assert!(shaking_as(&own(1, 'a'), completing).await.is_err(), "{bad:?}");
            }
            assert!(X25519.start().is_err(), "outside of a handshake nothing is drawn");
        });
    }
}
