//! Passwords: what may be one, and how one is hashed and compared. Both take tens of milliseconds
//! and some memory on purpose: never on a node's own thread.
//!
//! Source: RFC 9106 (argon2id); the costs are those of the OWASP Password Storage Cheat Sheet.

use argon2::password_hash::{PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use super::{PASSWORD_SIZE_BYTES_MAX, PASSWORD_SIZE_BYTES_MIN, PasswordHash};

/// Memory in KiB, passes, lanes.
const COSTS: (u32, u32, u32) = (19_456, 2, 1);

/// A password that is none. Retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the password has {size_bytes} bytes and not {PASSWORD_SIZE_BYTES_MIN} to \
    {PASSWORD_SIZE_BYTES_MAX}"
)]
pub struct UnfitPassword {
    /// How long it is.
    pub size_bytes: usize,
}

/// Whether this may be a password. It goes by its length: whether it can be guessed, nobody can
/// tell.
pub fn check_password(password: &str) -> Result<(), UnfitPassword> {
    let size_bytes = password.len();
    match (PASSWORD_SIZE_BYTES_MIN..=PASSWORD_SIZE_BYTES_MAX).contains(&size_bytes) {
        true => Ok(()),
        false => Err(UnfitPassword { size_bytes }),
    }
}

impl PasswordHash {
    /// Of a password, with the salt that was drawn for it.
    pub fn new(password: &str, salt: [u8; 16]) -> PasswordHash {
        let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
        let (memory_kib, passes_count, lanes_count) = COSTS;
        let costs = Params::new(memory_kib, passes_count, lanes_count, None);
        let costs = costs.expect("the costs are within argon2's bounds");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs);
        let hashed = argon2.hash_password(password.as_bytes(), &salt);
        let phc = hashed.expect("argon2 hashes every password").to_string();
        PasswordHash::of_phc(&phc).expect("argon2 writes its own PHC strings")
    }

    /// The hash of nothing that anybody knows: who asks for an unknown user waits as long.
    pub(crate) fn decoy() -> PasswordHash {
        let (memory_kib, passes_count, lanes_count) = COSTS;
        let costs = format!("m={memory_kib},t={passes_count},p={lanes_count}");
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        PasswordHash::of_phc(&format!("$argon2id$v=19${costs}${salt}${hash}"))
            .expect("it is in the form of one")
    }
}

/// Whether this is the password of that hash. Compares in constant time.
pub fn is_password_of(hash: &PasswordHash, password: &str) -> bool {
    let Ok(parsed) = argon2::PasswordHash::new(hash.phc()) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
}
