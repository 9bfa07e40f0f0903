//! Users: who may ask the API of a node, what they may do, and how wrong passwords are slowed.
//!
//! Nobody who lacks a user's password is told or changes anything over the API but the boolean
//! health paths, and wrong passwords get slower, also before there is a cluster.
//!
//! The cluster's users are part of the replicated state, with the roster. A node that has applied
//! none asks for the password of its local admin instead; the first leader makes its own local
//! admin the cluster's first user.
//!
//! Invariants
//! - Log, snapshots and files hold hashes of passwords only, and no `Debug` shows even these.
//! - The last admin can be neither removed nor given a lesser role.
//! - A local admin counts for nothing any more once the cluster's users did on its node.
//!
//! Read next: `state.rs` for the cluster's users, `slowing.rs` for wrong passwords, `local.rs` for
//! the local admin, then `api/guard.rs`, which asks all of them.

pub mod local;
#[cfg(feature = "api")]
pub(crate) mod password;
#[cfg(feature = "api")]
pub(crate) mod slowing;
pub(crate) mod state;
#[cfg(test)]
mod tests;

pub use local::LocalAdmin;
#[cfg(feature = "api")]
pub use password::{UnfitPassword, check_password, is_password_of};
pub use state::{UserChange, UserRefusal, Users};

use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(feature = "api")]
use crate::observe::planted;

/// What the local admin is called, and the first user of a cluster.
pub const ADMIN: &str = "admin";
/// The longest name of a user in bytes.
pub const NAME_SIZE_BYTES_MAX: usize = 63;
/// The shortest password in bytes.
pub const PASSWORD_SIZE_BYTES_MIN: usize = 8;
/// The longest.
pub const PASSWORD_SIZE_BYTES_MAX: usize = 1_024;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everything.
    Admin,
    /// Reads everything but users and tokens, writes keys.
    Writer,
    /// Reads everything but users and tokens.
    Reader,
}

impl fmt::Display for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Access::Admin => "admin",
            Access::Writer => "writer",
            Access::Reader => "reader",
        })
    }
}

/// What a request wants, as far as roles tell requests apart.
#[cfg(feature = "api")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To be told something that is no secret among users.
    Read,
    /// To write keys.
    Write,
    /// Something about the user who asks, and about nobody else.
    Own,
    /// Anything else: members, leadership, tokens, users.
    Govern,
}

#[cfg(feature = "api")]
impl Access {
    /// Whether a user of this role may do that.
    pub(crate) fn allows(self, wish: Wish) -> bool {
        if planted("role_not_asked") {
            return true;
        }
        match (self, wish) {
            (Access::Admin, _) | (_, Wish::Read | Wish::Own) => true,
            (Access::Writer, Wish::Write) => true,
            (Access::Reader, Wish::Write) | (Access::Writer | Access::Reader, Wish::Govern) => {
                false
            }
        }
    }
}

/// The hash of a password with its salt and its costs, in the form of PHC strings.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The longest PHC string in bytes.
    const SIZE_BYTES_MAX: usize = 256;

    /// Takes a PHC string of argon2id; `None` if it cannot be one.
    pub fn of_phc(text: &str) -> Option<PasswordHash> {
        let is_one = text.starts_with("$argon2id$")
            && text.len() <= PasswordHash::SIZE_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_one.then(|| PasswordHash(text.to_owned()))
    }

    /// The PHC string.
    pub fn phc(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PasswordHash")
    }
}

/// Whether a user may have this name.
pub fn is_user_name(name: &str) -> bool {
    (1..=NAME_SIZE_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|sign| sign.is_control() || sign == ':')
}
