//! The cluster's users, as committed in the log.
//!
//! Pure and deterministic: part of the replicated state, changed only by [`Users::apply`], kept in
//! every snapshot that has any.
//!
//! Invariants
//! - Once there is a user, there is an admin.
//! - A refused change changes nothing.
//!
//! Read next: [`UserChange`], [`Users::apply`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Access, PasswordHash, is_user_name};

/// More users than any cluster has; a bound for snapshots.
const USERS_COUNT_MAX: usize = 1_000;

/// Why the users stay as they are. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefusal {
    /// Retry does not help.
    #[error("Q1057 there is no user {name:?}; nothing was changed; see `users list`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Retry does not help.
    #[error(
        "Q1058 there is a user {name:?} already; nothing was changed; choose another name, or \
         `users set-password`"
    )]
    Taken {
        /// The name.
        name: String,
    },
    /// Retry does not help: nobody could ever make a user again.
    #[error("Q1059 {name:?} is the last admin; nothing was changed; make another admin first")]
    LastAdmin {
        /// The name.
        name: String,
    },
    /// Retry does not help.
    #[error("Q1060 {detail}; nothing was changed; mend it, or remove users that nobody is")]
    Unfit {
        /// Which rule it breaks.
        detail: String,
    },
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Of the password.
    pub hash: PasswordHash,
    /// What the user may do.
    pub access: Access,
}

/// One change, as it stands in the log within a `RosterChange`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserChange {
    /// The first user, an admin: a leader's local one. Without effect if there is any user.
    First {
        /// The name.
        name: String,
        /// Of the password.
        hash: PasswordHash,
    },
    /// A user is there from here on.
    Add {
        /// The name.
        name: String,
        /// What the user may do.
        access: Access,
        /// Of the password.
        hash: PasswordHash,
    },
    /// A user has another password or role.
    Set {
        /// The name.
        name: String,
        /// What the user may do; as before, if `None`.
        access: Option<Access>,
        /// Of the password; as before, if `None`.
        hash: Option<PasswordHash>,
    },
    /// A user is gone.
    Remove {
        /// The name.
        name: String,
    },
}

/// All users by name. Starts empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    users: BTreeMap<String, User>,
}

impl Users {
    /// Whether there are none: the nodes' local admins count.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The user of that name.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// All users, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// The only function that changes the users. On `Err` nothing has changed.
    pub fn apply(&mut self, change: UserChange) -> Result<(), UserRefusal> {
        match change {
            // Two leaders may have seen none; the first entry counts.
            UserChange::First { .. } if !self.is_empty() => {}
            UserChange::First { name, hash } => self.add(name, Access::Admin, hash)?,
            UserChange::Add { name, access, hash } => self.add(name, access, hash)?,
            UserChange::Set { name, access, hash } => self.set(name, access, hash)?,
            UserChange::Remove { name } => self.remove(name)?,
        }
        self.assert_invariants();
        Ok(())
    }

    fn add(&mut self, name: String, access: Access, hash: PasswordHash) -> Result<(), UserRefusal> {
        if !is_user_name(&name) {
            let detail = format!("{name:?} is no name of a user");
            return Err(UserRefusal::Unfit { detail });
        }
        if self.users.contains_key(&name) {
            return Err(UserRefusal::Taken { name });
        }
        if self.users.len() >= USERS_COUNT_MAX {
            let detail = format!("there are {USERS_COUNT_MAX} users already");
            return Err(UserRefusal::Unfit { detail });
        }
        if self.is_empty() && access != Access::Admin {
            let detail = format!("the first user is an admin, and {name:?} would be none");
            return Err(UserRefusal::Unfit { detail });
        }
        self.users.insert(name, User { hash, access });
        Ok(())
    }

    fn set(
        &mut self,
        name: String,
        access: Option<Access>,
        hash: Option<PasswordHash>,
    ) -> Result<(), UserRefusal> {
        let is_lessened = access.is_some_and(|access| access != Access::Admin);
        if is_lessened && self.is_last_admin(&name) {
            return Err(UserRefusal::LastAdmin { name });
        }
        let Some(user) = self.users.get_mut(&name) else {
            return Err(UserRefusal::Unknown { name });
        };
        user.access = access.unwrap_or(user.access);
        if let Some(hash) = hash {
            user.hash = hash;
        }
        Ok(())
    }

    fn remove(&mut self, name: String) -> Result<(), UserRefusal> {
        if self.is_last_admin(&name) {
            return Err(UserRefusal::LastAdmin { name });
        }
        match self.users.remove(&name) {
            Some(_) => Ok(()),
            None => Err(UserRefusal::Unknown { name }),
        }
    }

    fn is_last_admin(&self, name: &str) -> bool {
        let mut admins = self.users.iter().filter(|(_, user)| user.access == Access::Admin);
        admins.next().is_some_and(|(only, _)| only == name) && admins.next().is_none()
    }

    /// Called after every change, in release builds too.
    fn assert_invariants(&self) {
        let has_admin = self.users.values().any(|user| user.access == Access::Admin);
        assert!(has_admin || self.is_empty(), "there are users and no admin");
    }
}
