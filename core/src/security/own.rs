//! The certificate that this node shows, and the clock by which certificates are judged.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring as provided;
use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;

use super::certificate::{Authority, CERTIFICATE_LIFE_MS, Subject};
use super::tls::signing;
use crate::membership::PublicKey;
use crate::observe::mark;
use crate::ports::{Clock, UnixMs};

/// This node's certificate, issued anew when half of its life is over.
pub(super) struct OwnCertificate {
    authority: Authority,
    subject: Subject,
    public_key: PublicKey,
    key: Arc<dyn rustls::sign::SigningKey>,
    clock: Arc<dyn Clock>,
    issued: Mutex<Option<(UnixMs, Arc<CertifiedKey>)>>,
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OwnCertificate").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl OwnCertificate {
    pub(super) fn new(
        authority: Authority,
        subject: Subject,
        key: &SigningKey,
        clock: Arc<dyn Clock>,
    ) -> OwnCertificate {
        let signing = provided::sign::any_eddsa_type(&signing(key));
        OwnCertificate {
            authority,
            subject,
            public_key: key.verifying_key().to_bytes(),
            key: signing.expect("an ed25519 key of ours can sign"),
            clock,
            issued: Mutex::new(None),
        }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let wall = self.clock.wall();
        let mut issued = self.issued.lock().expect("no code panics while it holds this");
        if let Some((at, shown)) = issued.as_ref() {
            // A clock that was put back makes one anew, too.
            if (at.0..at.0.saturating_add(CERTIFICATE_LIFE_MS / 2)).contains(&wall.0) {
                return shown.clone();
            }
            mark("security.certificate_renewed");
        }
        let certificate = self.authority.issue(&self.subject, self.public_key, wall);
        let chain = match self.subject {
            Subject::Member(_) => vec![certificate], // the others have the authority's, too
            Subject::Server { .. } => vec![certificate, self.authority.certificate().clone()],
        };
        let shown = Arc::new(CertifiedKey::new(chain, self.key.clone()));
        *issued = Some((wall, shown.clone()));
        shown
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// The node's wall clock, for the dates of certificates.
#[derive(Debug)]
pub(super) struct WallTime(pub(super) Arc<dyn Clock>);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let wall = Duration::from_millis(self.0.wall().0);
        Some(UnixTime::since_unix_epoch(wall))
    }
}
