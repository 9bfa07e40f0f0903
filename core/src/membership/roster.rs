//! Roster: who belongs to the cluster, as committed in the log.
//!
//! Pure and deterministic: it is part of the replicated state, changed only by [`Roster::apply`],
//! kept in every snapshot.
//!
//! Invariants
//! - An id is given once. Removing a member does not free its id, nor does a recovery.
//! - Names and keys are unique among the members.
//! - A refused change changes nothing.
//!
//! Read next: [`RosterChange`], [`Roster::apply`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::admissions::{Admissions, Join, JoinRefusal, Token};
use super::join_token::SecretHash;
use crate::config::MemberSettings;
use crate::ids::{LogIndex, NodeId};
use crate::observe::{Told, mark, planted, tell};
use crate::users::{UserChange, Users};

/// Public half of a node's ed25519 key pair.
pub type PublicKey = [u8; 32];

/// The longest name in bytes.
const NAME_SIZE_BYTES_MAX: usize = 63;
/// More members than any cluster has; a bound for frames and snapshots.
const MEMBERS_COUNT_MAX: usize = 255;

/// What a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Votes, carries everything.
    Full,
    /// Votes, keeps log and key-value state, carries nothing else.
    Witness,
    /// Receives the log, has no vote.
    Learner,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Never used for another.
    pub id: NodeId,
    /// Name, address and ports. Where gossip knows better, gossip is followed.
    pub settings: MemberSettings,
    /// The key that its node made at its first start, once known.
    pub public_key: Option<PublicKey>,
    /// What it is for.
    pub role: Role,
    /// What it is for once promoted: `Full` or `Witness`.
    pub becomes: Role,
    /// Where it stands, if that was said. Members of one zone fail together.
    pub zone: Option<String>,
}

/// The committed membership. Starts empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    members: BTreeMap<NodeId, Member>,
    next_id: NodeId,
    changed_at: LogIndex,
    /// Has a section of its own in snapshots: older ones have none.
    #[serde(skip)]
    admissions: Admissions,
    /// As the admissions.
    #[serde(skip)]
    users: Users,
}

/// One change, as it stands in the log (`EntryKind::Membership`, through `codec::encode`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RosterChange {
    /// The first entry: these members found the cluster and get the ids 1, 2, 3 and so on.
    Found {
        /// In the order of `cluster.members`.
        members: Vec<MemberSettings>,
    },
    /// A joiner; the entry gives it its id.
    AddLearner {
        /// Name, address and ports.
        settings: MemberSettings,
        /// Its key, if known.
        public_key: Option<PublicKey>,
        /// What it is for once promoted: `Full` or `Witness`.
        becomes: Role,
        /// Where it stands.
        zone: Option<String>,
    },
    /// These learners vote from now on, each as what it becomes.
    Promote {
        /// Which.
        ids: Vec<NodeId>,
    },
    /// These members are gone for good.
    Remove {
        /// Which.
        ids: Vec<NodeId>,
    },
    /// A member's key became known, or its node's key pair was replaced.
    SetKey {
        /// Whose.
        id: NodeId,
        /// The key.
        public_key: PublicKey,
    },
    /// A member moved. Its name stays.
    SetAddress {
        /// Who.
        id: NodeId,
        /// Where it is; the name in it must be its own.
        settings: MemberSettings,
    },
    /// Somebody is invited: who shows the secret may join. The entry gives the token its id.
    AddToken {
        /// Of the secret.
        secret_hash: SecretHash,
        /// So many may join by it.
        uses_count: u32,
        /// Wall time, in milliseconds since 1970.
        expires_at_ms: u64,
        /// Wall time of the node that was asked.
        now_ms: u64,
    },
    /// An invitation is taken back. Who has joined by it stays.
    RevokeToken {
        /// Which.
        id: LogIndex,
    },
    /// A node joins by a token, as a learner; the entry gives it its id.
    Join(Join),
    /// Who may ask the API.
    User(UserChange),
}

/// What a change did: the ids it is about, ascending. For `Found`, `AddLearner` and
/// `Join` these are new; a token has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterOutcome {
    /// The members added, promoted, removed or changed.
    pub ids: Vec<NodeId>,
}

impl Default for Roster {
    fn default() -> Roster {
        let (members, admissions, users) = Default::default();
        Roster { members, next_id: NodeId(1), changed_at: LogIndex(0), admissions, users }
    }
}

impl Roster {
    /// All members, by ascending id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The member of that id.
    pub fn get(&self, id: NodeId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// The member of that name.
    pub fn named(&self, name: &str) -> Option<&Member> {
        self.members().find(|member| member.settings.name == name)
    }

    /// Whether the cluster has not been founded yet.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The id that the next joiner gets.
    pub fn next_id(&self) -> NodeId {
        self.next_id
    }

    /// Index of the last change that was not refused; 0 before the first.
    pub fn changed_at(&self) -> LogIndex {
        self.changed_at
    }

    /// Who may join, and who has.
    pub fn admissions(&self) -> &Admissions {
        &self.admissions
    }

    /// Takes what a snapshot says of them.
    pub(crate) fn set_admissions(&mut self, admissions: Admissions) {
        self.admissions = admissions;
    }

    /// Who may ask the API; nobody but local admins if they are empty.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Takes what a snapshot says of them.
    pub(crate) fn set_users(&mut self, users: Users) {
        self.users = users;
    }

    /// The only function that changes the roster. `index` is that of the entry.
    ///
    /// On `Err` nothing has changed; the text completes "…; nothing was changed".
    pub fn apply(
        &mut self,
        index: LogIndex,
        change: RosterChange,
    ) -> Result<RosterOutcome, String> {
        let outcome = match change {
            RosterChange::Found { members } => self.found(members),
            RosterChange::AddLearner { settings, public_key, becomes, zone } => {
                self.add(settings, public_key, becomes, zone)
            }
            RosterChange::Promote { ids } => self.promote(&ids),
            RosterChange::Remove { ids } => self.remove(&ids),
            RosterChange::SetKey { id, public_key } => self.set_key(id, public_key),
            RosterChange::SetAddress { id, settings } => self.set_address(id, settings),
            RosterChange::AddToken { secret_hash, uses_count, expires_at_ms, now_ms } => {
                let token =
                    Token { secret_hash, uses_left: uses_count, expires_at_ms, is_revoked: false };
                self.admissions.add_token(index, token, now_ms).map(|()| outcome(&[]))
            }
            RosterChange::RevokeToken { id } => self.admissions.revoke(id).map(|()| outcome(&[])),
            RosterChange::Join(join) => self.join(join).map_err(|refusal| refusal.to_string()),
            // To found the cluster is to begin with nobody.
            RosterChange::User(_) if self.is_empty() => {
                Err("the cluster is not founded yet".to_owned())
            }
            RosterChange::User(change) => {
                let changed = self.users.apply(change).map(|()| outcome(&[]));
                changed.map_err(|refusal| refusal.to_string())
            }
        }?;
        self.changed_at = index;
        self.assert_invariants();
        Ok(outcome)
    }

    fn found(&mut self, members: Vec<MemberSettings>) -> Result<RosterOutcome, String> {
        if self.next_id != NodeId(1) {
            return Err("the cluster is founded already".to_owned());
        }
        if members.is_empty() || members.len() > MEMBERS_COUNT_MAX {
            return Err(format!("{} members cannot found a cluster", members.len()));
        }
        // Built beside the roster, so that a refusal in the middle leaves no trace.
        let mut founded = Roster::default();
        for settings in members {
            founded.check_new(&settings, None)?;
            founded.insert(settings, None, Role::Full, Role::Full, None);
        }
        *self = founded;
        Ok(RosterOutcome { ids: self.members.keys().copied().collect() })
    }

    fn add(
        &mut self,
        settings: MemberSettings,
        public_key: Option<PublicKey>,
        becomes: Role,
        zone: Option<String>,
    ) -> Result<RosterOutcome, String> {
        if self.is_empty() {
            return Err("the cluster is not founded yet".to_owned());
        }
        if self.members.len() >= MEMBERS_COUNT_MAX {
            return Err(format!("there are {MEMBERS_COUNT_MAX} members already"));
        }
        match becomes {
            Role::Full | Role::Witness => {}
            Role::Learner => return Err("a learner becomes a full node or a witness".to_owned()),
        }
        self.check_new(&settings, public_key)?;
        let id = self.insert(settings, public_key, Role::Learner, becomes, zone);
        Ok(RosterOutcome { ids: vec![id] })
    }

    /// The node that has this name and key is answered again as long as it has not voted: its first
    /// answer may be lost, and with it nothing that the cluster relies on.
    fn join(&mut self, join: Join) -> Result<RosterOutcome, JoinRefusal> {
        self.admissions.known(&join)?;
        if let Some(holder) = self.named(&join.settings.name) {
            let (id, name) = (holder.id, join.settings.name.clone());
            let is_same = holder.public_key == Some(join.public_key);
            if !is_same || planted("join_not_repeatable") {
                return Err(JoinRefusal::NameTaken { name, holder: id });
            }
            if holder.role != Role::Learner {
                return Err(JoinRefusal::VotesAlready { id });
            }
            mark("membership.join_repeated");
            self.members.get_mut(&id).expect("it was found by its name").settings = join.settings;
            return Ok(outcome(&[id]));
        }
        self.admissions.judge(&join)?;
        let Join { settings, public_key, becomes, zone, .. } = join.clone();
        let added = self.add(settings, Some(public_key), becomes, zone);
        let added = added.map_err(|detail| JoinRefusal::Roster { detail })?;
        added.ids.iter().for_each(|id| self.admissions.admit(*id, &join));
        Ok(added)
    }

    fn check_new(
        &self,
        settings: &MemberSettings,
        public_key: Option<PublicKey>,
    ) -> Result<(), String> {
        let name = &settings.name;
        if name.is_empty() || name.len() > NAME_SIZE_BYTES_MAX {
            return Err(format!("name {name:?} is not 1 to {NAME_SIZE_BYTES_MAX} bytes long"));
        }
        if let Some(holder) = self.named(name) {
            return Err(match (holder.public_key, public_key) {
                (Some(held), Some(key)) if held != key => {
                    format!("the name {name:?} belongs to another key, that of {}", holder.id)
                }
                (Some(_) | None, Some(_) | None) => {
                    format!("the name {name:?} belongs to {}", holder.id)
                }
            });
        }
        public_key.map_or(Ok(()), |key| self.check_key(key, None))
    }

    /// A key names one node: nobody but `owner` may hold it.
    fn check_key(&self, key: PublicKey, owner: Option<NodeId>) -> Result<(), String> {
        let holds = |member: &&Member| member.public_key == Some(key) && Some(member.id) != owner;
        match self.members().find(holds) {
            Some(holder) => Err(format!("the key belongs to {}", holder.id)),
            None => Ok(()),
        }
    }

    fn insert(
        &mut self,
        settings: MemberSettings,
        public_key: Option<PublicKey>,
        role: Role,
        becomes: Role,
        zone: Option<String>,
    ) -> NodeId {
        let mut id = self.next_id;
        self.next_id = NodeId(id.0 + 1);
        if planted("id_reused_after_wipe") {
            let is_free = |id: &NodeId| !self.members.contains_key(id);
            id = (1..).map(NodeId).find(is_free).expect("there are more ids than members");
        }
        tell(Told::IdGiven { id, address: settings.address });
        self.members.insert(id, Member { id, settings, public_key, role, becomes, zone });
        id
    }

    fn promote(&mut self, ids: &[NodeId]) -> Result<RosterOutcome, String> {
        for member in self.all(ids)? {
            match member.role {
                Role::Learner => {}
                Role::Full | Role::Witness => return Err(format!("{} votes already", member.id)),
            }
        }
        for id in ids {
            let member = self.members.get_mut(id).expect("every id was looked up above");
            member.role = member.becomes;
        }
        Ok(outcome(ids))
    }

    fn remove(&mut self, ids: &[NodeId]) -> Result<RosterOutcome, String> {
        self.all(ids)?;
        let stays = |member: &&Member| member.role == Role::Full && !ids.contains(&member.id);
        if self.members().find(stays).is_none() {
            return Err("no full node would be left".to_owned());
        }
        self.members.retain(|id, _| !ids.contains(id));
        self.admissions.forget(ids);
        Ok(outcome(ids))
    }

    fn set_key(&mut self, id: NodeId, public_key: PublicKey) -> Result<RosterOutcome, String> {
        self.all(&[id])?;
        self.check_key(public_key, Some(id))?;
        let member = self.members.get_mut(&id).expect("the id was looked up above");
        member.public_key = Some(public_key);
        Ok(outcome(&[id]))
    }

    fn set_address(
        &mut self,
        id: NodeId,
        settings: MemberSettings,
    ) -> Result<RosterOutcome, String> {
        self.all(&[id])?;
        let member = self.members.get_mut(&id).expect("the id was looked up above");
        if member.settings.name != settings.name {
            return Err(format!("{id} is {:?}, not {:?}", member.settings.name, settings.name));
        }
        member.settings = settings;
        Ok(outcome(&[id]))
    }

    /// The members of these ids: at least one, none twice, all known.
    fn all(&self, ids: &[NodeId]) -> Result<Vec<&Member>, String> {
        if ids.is_empty() {
            return Err("no member is named".to_owned());
        }
        let mut found = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            if ids[..at].contains(id) {
                return Err(format!("{id} is named twice"));
            }
            found.push(self.get(*id).ok_or_else(|| format!("{id} is no member"))?);
        }
        Ok(found)
    }

    /// Called after every change, in release builds too: a roster that breaks these on one node
    /// breaks them on all.
    fn assert_invariants(&self) {
        let last = self.members.keys().next_back();
        assert!(last.is_none_or(|id| *id < self.next_id), "an id was given that is not used up");
        assert!(!self.members.contains_key(&NodeId(0)), "0 means no node");
    }
}

fn outcome(ids: &[NodeId]) -> RosterOutcome {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    RosterOutcome { ids }
}
