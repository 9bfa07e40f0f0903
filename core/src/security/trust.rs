//! The client's side of TLS: which servers are who they should be.
//!
//! Names and addresses prove nothing here, they change; a key does. A client knows the fingerprints
//! of a cluster's authority, or of single nodes, and takes nobody else for a member.
//!
//! Invariants
//! - Nothing is sent to a server that is not trusted.
//! - No clock decides about a node whose own key is trusted.
//!
//! Read next: [`Trust`], then `edge.rs` for what a server shows.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::TlsConnector;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::Fingerprint;
use super::exchange::{Own, shaking_as};
use super::own::WallTime;
use super::tls::{key_in, provider, refusal};
use crate::membership::PublicKey;
use crate::observe::planted;
use crate::ports::{Env, Stream};

/// What stands before the key of an authority, without what is around both.
const ANCHOR_PREFIX: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// Which servers a client takes for members of its cluster.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Whoever answers, without TLS: for networks that nobody else can enter.
    #[default]
    Network,
    /// Who has one of these keys, or is certified by one. Without any: who answers at a loopback
    /// address, without TLS, and nobody else.
    Pinned(Vec<Fingerprint>),
    /// Whoever answers first; then only who is of the same authority. Loopback as above.
    FirstUse(Seen),
}

/// The authority that a server has shown, once one has. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Option<Fingerprint>>>);

impl Seen {
    /// What was shown.
    pub fn get(&self) -> Option<Fingerprint> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the first, or the same.
    fn agree(&self, shown: Fingerprint) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.get_or_insert(shown) == shown
    }
}

impl Trust {
    /// What is needed to speak with `at`; `also` is trusted beside the pins. `None`: no TLS.
    fn pins(&self, at: SocketAddr, also: Option<Fingerprint>) -> Option<Pins> {
        let known = |pins: &[Fingerprint]| pins.iter().copied().chain(also).collect::<Vec<_>>();
        let pins = match self {
            Trust::Network => return None,
            Trust::Pinned(pins) => Pins { known: known(pins), seen: None },
            Trust::FirstUse(seen) => Pins { known: known(&[]), seen: Some(seen.clone()) },
        };
        let is_local = at.ip().is_loopback() && pins.known.is_empty();
        (!is_local).then_some(pins)
    }

    /// Makes the calling side of a stream to `at`. Fails with `PermissionDenied` if that is nobody
    /// who is trusted.
    pub(crate) async fn open(
        &self,
        stream: Box<dyn Stream>,
        at: SocketAddr,
        also: Option<Fingerprint>,
        env: &Env,
    ) -> io::Result<Box<dyn Stream>> {
        let Some(pins) = self.pins(at, also) else { return Ok(stream) };
        let judge = Judge { pins, provider: provider() };
        let time = Arc::new(WallTime(env.clock.clone()));
        let mut client = ClientConfig::builder_with_details(judge.provider.clone(), time)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(judge))
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        let connector = TlsConnector::from(Arc::new(client));
        let name = ServerName::from(at.ip());
        let connecting = async { connector.connect(name, stream).await };
        let own = Own::open(env.entropy.clone());
        match shaking_as(&own, connecting).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(told(error)),
        }
    }
}

/// The same error with its kind: who is not trusted is told from who cannot be reached.
fn told(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()).cloned();
    match cause {
        Some(Error::General(detail)) => io::Error::new(io::ErrorKind::PermissionDenied, detail),
        // Its clock, or ours: that says nothing about whose key it is.
        Some(Error::InvalidCertificate(cause)) => io::Error::other(format!(
            "its certificate does not count now ({cause:?}); compare the clocks"
        )),
        Some(_) | None => error,
    }
}

#[derive(Clone, Debug)]
struct Pins {
    known: Vec<Fingerprint>,
    seen: Option<Seen>,
}

/// Compares what a server shows with what is trusted.
#[derive(Debug)]
struct Judge {
    pins: Pins,
    provider: Arc<CryptoProvider>,
}

impl Judge {
    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(refusal)?;
        let own = Fingerprint::of_key(&key_in(&certificate)?);
        if self.pins.known.contains(&own) || planted("server_not_checked") {
            return Ok(());
        }
        let Some(shown) = intermediates.first() else { return Err(stranger(own)) };
        let anchor = anchor_from_trusted_cert(shown).map_err(refusal)?;
        let key = anchor.subject_public_key_info.strip_prefix(&ANCHOR_PREFIX);
        let key: PublicKey = key
            .and_then(|key| key.try_into().ok())
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let authority = Fingerprint::of_key(&key);
        let (algorithms, anchors, usage) =
            ([webpki::ring::ED25519], [anchor], KeyUsage::server_auth());
        let checked =
            certificate.verify_for_usage(&algorithms, &anchors, &[], now, usage, None, None);
        checked.map_err(refusal)?;
        let is_first = || self.pins.seen.as_ref().is_some_and(|seen| seen.agree(authority));
        match self.pins.known.contains(&authority) || is_first() {
            true => Ok(()),
            false => Err(stranger(authority)),
        }
    }
}

fn stranger(shown: Fingerprint) -> Error {
    Error::General(format!("it shows fingerprint {shown}, which is not trusted"))
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
