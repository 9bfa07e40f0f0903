//! `[security]`: what protects the nodes' talk with each other, and who may ask their API.

use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;
use crate::security::ClusterSecret;
use crate::users::LocalAdmin;

/// `[security]`: the secret is the same on every node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecuritySettings {
    /// A file that only its owner can read, with the same 32 to 4,096 bytes on every node. Default
    /// none: an order to start or join a cluster makes or brings a secret, and between nodes that
    /// `cluster.members` lists frames travel as they are, on loopback only.
    pub secret_file: Option<PathBuf>,
    /// Set by a program: what is in that file. No settings file can set it.
    #[serde(skip)]
    pub secret: Option<ClusterSecret>,
    /// A file that only its owner can read, with the password of this node's local admin. Default
    /// none: then it is in the environment, or drawn at the first start.
    pub admin_password_file: Option<PathBuf>,
    /// Set by a program: whose password the API asks for while the cluster has no users. With
    /// `None` it asks nobody, ever. No settings file can set it.
    #[serde(skip)]
    pub local_admin: Option<LocalAdmin>,
}

impl SecuritySettings {
    /// Whether there is a secret without any order.
    pub(super) fn names_secret(&self) -> bool {
        self.secret_file.is_some() || self.secret.is_some()
    }

    /// Refuses to go without the protection that was ordered: who reads settings reads the secret.
    pub(crate) fn check_is_read(&self) -> Result<(), ConfigError> {
        let unread = self.secret_file.as_ref().filter(|_| self.secret.is_none());
        match unread {
            None => Ok(()),
            Some(file) => {
                let detail = format!("nobody has read the secret in {}", file.display());
                Err(ConfigError::Secret { detail })
            }
        }
    }
}
