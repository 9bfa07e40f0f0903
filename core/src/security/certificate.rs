//! The cluster's certificate authority, and the certificates that nodes show each other.
//!
//! The authority's key grows out of the cluster's secret, so it lies on no disk, and every node
//! issues its own certificates: they say "I have the secret, and this key is that of node so".
//!
//! Invariants
//! - Two nodes with the same secret have the same authority, byte for byte.
//! - Certificates for the same node at the same second have the same size and content.

use std::fmt;
use std::net::IpAddr;

use ed25519_dalek::{Signer, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::secret::AUTHORITY;
use super::{ClusterSecret, Fingerprint};
use crate::ids::NodeId;
use crate::membership::PublicKey;
use crate::ports::UnixMs;

/// How long a certificate counts after it was issued: a day.
pub(super) const CERTIFICATE_LIFE_MS: u64 = 24 * 3_600_000;
/// How long before that it counts already, because other nodes' clocks may be behind.
const CLOCKS_DIFFER_MS_MAX: u64 = 3_600_000;
/// What follows a node's id in the name that its certificate is for.
const DOMAIN: &str = ".quorate.internal";

/// Signs with a key of ours what rcgen makes.
struct Ours(SigningKey, PublicKey);

impl Ours {
    fn of(key: SigningKey) -> Ours {
        let public = key.verifying_key().to_bytes();
        Ours(key, public)
    }
}

impl PublicKeyData for Ours {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for Ours {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

/// The public half of a key that is to be certified.
struct Theirs(PublicKey);

impl PublicKeyData for Theirs {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A node towards other nodes, on both sides of a stream.
    Member(NodeId),
    /// A node towards clients of its API.
    Server {
        /// Where they reach it.
        address: IpAddr,
    },
}

/// Who certifies the nodes of one cluster.
pub(super) struct Authority {
    issuer: Issuer<'static, Ours>,
    certificate: CertificateDer<'static>,
    fingerprint: Fingerprint,
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authority")
    }
}

impl Authority {
    pub(super) fn of(secret: &ClusterSecret) -> Authority {
        Authority::with(&SigningKey::from_bytes(&secret.key(&[AUTHORITY])))
    }

    /// The authority that has this key: a node that has no secret certifies itself.
    pub(super) fn with(key: &SigningKey) -> Authority {
        let key = Ours::of(key.clone());
        let fingerprint = Fingerprint::of_key(&key.1);
        let mut params = CertificateParams::default(); // until 4096
        params.not_before = OffsetDateTime::UNIX_EPOCH; // some clocks begin there
        params.distinguished_name.push(DnType::CommonName, "quorate cluster");
        params.serial_number = Some(SerialNumber::from_slice(&[1]));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).expect("a key of ours signs");
        let certificate = certificate.der().clone();
        Authority { issuer: Issuer::new(params, key), certificate, fingerprint }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The authority's own certificate, which all others lead to.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for a node and its key, which counts from an hour before `wall` to a day
    /// after it.
    pub(super) fn issue(
        &self,
        subject: &Subject,
        key: PublicKey,
        wall: UnixMs,
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.not_before = date(wall.0.saturating_sub(CLOCKS_DIFFER_MS_MAX));
        params.not_after = date(wall.0.saturating_add(CERTIFICATE_LIFE_MS));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Positive, of one size, and never the same for two certificates of one authority.
        let mut serial;
        match subject {
            Subject::Member(node) => {
                params.distinguished_name.push(DnType::CommonName, node.to_string());
                let name = name_of(*node).try_into().expect("a node's name is ASCII");
                params.subject_alt_names = vec![SanType::DnsName(name)];
                params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
                serial = vec![1];
                serial.extend(node.0.to_be_bytes());
            }
            Subject::Server { address } => {
                params.distinguished_name.push(DnType::CommonName, "quorate node");
                params.subject_alt_names = vec![SanType::IpAddress(*address)];
                serial = vec![2];
                serial.extend(&key[..8]);
            }
        }
        serial.extend((wall.0 / 1_000).to_be_bytes());
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let issued = params.signed_by(&Theirs(key), &self.issuer);
        issued.expect("a key of ours signs").der().clone()
    }
}

/// The latest date that certificates can state, for clocks that are out of their mind.
fn date(unix_ms: u64) -> OffsetDateTime {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    let latest = rcgen::date_time_ymd(4096, 1, 1);
    OffsetDateTime::from_unix_timestamp(seconds).map_or(latest, |date| date.min(latest))
}

/// The name that a node's certificate is for.
pub(super) fn name_of(node: NodeId) -> String {
    format!("{node}{DOMAIN}")
}

/// The node whose certificate is for this name.
pub(super) fn node_of(name: &str) -> Option<NodeId> {
    let number = name.strip_suffix(DOMAIN)?.strip_prefix('n')?;
    let node = NodeId(number.parse().ok()?);
    (name_of(node) == name).then_some(node)
}
