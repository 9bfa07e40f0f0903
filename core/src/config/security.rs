//! `[security]`: what protects the nodes' talk with each other.

use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;
use crate::security::ClusterSecret;

/// `[security]`: the same on every node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecuritySettings {
    /// A file that only its owner can read, with the same 32 to 4,096 bytes on every node. Default
    /// none: then frames travel as they are, on loopback only.
    pub secret_file: Option<PathBuf>,
    /// Set by a program: what is in that file. No settings file can set it.
    #[serde(skip)]
    pub secret: Option<ClusterSecret>,
}

impl SecuritySettings {
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
