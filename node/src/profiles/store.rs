//! The file that keeps profiles: who asks, reads it; who learns something, replaces it.
//!
//! Invariants
//! - The file is replaced as a whole, under a lock: of two commands at once neither is lost.
//! - Only its owner can read it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use quorate_core::api::MemberList;
use quorate_core::security::Fingerprint;
use serde::{Deserialize, Serialize};

use super::ProfileError;
use crate::login::Login;
use crate::place::Place;

const FILE: &str = "profiles.toml";
const LOCK: &str = "profiles.lock";
const VERSION: u32 = 1;

/// A cluster, as commands find it; or a node that waits for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The cluster's name, once it was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// What it was made from. Asked when no member answers.
    pub given: Vec<Place>,
    /// What servers show who they are by, besides what the list says: taken on trust by `profiles
    /// use`, or given to it.
    #[serde(default)]
    pub trust: Vec<Fingerprint>,
    /// As whom it is asked, if that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// The members, as the newest answer said; `None` while there is no cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<MemberList>,
}

impl Profile {
    /// Everything that its servers are known by.
    pub fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        self.trust.iter().copied().chain(self.list.as_ref().and_then(|list| list.authority))
    }

    /// Where to ask: the members, then what it was made from. A name is looked up by `profiles use`
    /// only, which may take longer than all else.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let members = self.list.iter().flat_map(|list| &list.members).map(|member| member.api);
        members.chain(self.given.iter().filter_map(Place::address))
    }

    /// Takes over what an answer said, unless it is older or of another cluster.
    pub fn learn(&mut self, list: &MemberList, cluster: Option<&str>) {
        if self.list.as_ref().is_none_or(|known| list.is_newer_than(known)) {
            self.list = Some(list.clone());
        }
        let is_ours = self.list.as_ref().is_some_and(|ours| ours.cluster_id == list.cluster_id);
        if let (true, Some(cluster)) = (is_ours, cluster) {
            self.cluster = Some(cluster.to_owned());
        }
    }
}

/// All profiles of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    version: u32,
    /// The one in use.
    #[serde(default)]
    pub current: Option<String>,
    /// By name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Those that know one of these addresses, by name.
    pub fn knowing(&self, addresses: &[SocketAddr]) -> impl Iterator<Item = (&String, &Profile)> {
        let knows = |profile: &Profile| profile.addresses().any(|at| addresses.contains(&at));
        self.profiles.iter().filter(move |(_, profile)| knows(profile))
    }
}

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles { version: VERSION, current: None, profiles: BTreeMap::new() }
    }
}

/// Where profiles are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// `$QUORATE_HOME`, else `quorate` in the directory that the system has for settings of users.
    /// `None` if this user has no home. An empty variable is none.
    pub fn of_user(variable: impl Fn(&str) -> Option<OsString>) -> Option<Store> {
        let named = |name: &str| variable(name).filter(|value| !value.is_empty());
        let dir = named("QUORATE_HOME").map(PathBuf::from).or_else(|| {
            let settings = named("XDG_CONFIG_HOME").map(PathBuf::from);
            let settings = settings.or_else(|| Some(Path::new(&named("HOME")?).join(".config")));
            settings.map(|settings| settings.join("quorate"))
        })?;
        Some(Store { dir })
    }

    /// What is kept; nothing if there is no file.
    pub fn load(&self) -> Result<Profiles, ProfileError> {
        let path = self.dir.join(FILE);
        let damaged = |detail: String| ProfileError::Damaged { path: path.clone(), detail };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Profiles::default()),
            Err(cause) => return Err(ProfileError::File { path, cause }),
        };
        let profiles: Profiles =
            toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        if profiles.version != VERSION {
            let newer = profiles.version;
            return Err(damaged(format!("it has version {newer}, this program reads {VERSION}")));
        }
        let has_nobody = |list: &MemberList| list.members.is_empty();
        let has_nobody = |profile: &Profile| profile.list.as_ref().is_some_and(has_nobody);
        match profiles.profiles.iter().find(|(_, profile)| has_nobody(profile)) {
            Some((name, _)) => Err(damaged(format!("profile {name:?} has no members"))),
            None => Ok(profiles),
        }
    }

    /// Changes what is kept, unless `change` refuses; then nothing is written.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Profiles) -> Result<T, ProfileError>,
    ) -> Result<T, ProfileError> {
        let refused = |cause| ProfileError::File { path: self.dir.join(FILE), cause };
        let _lock = self.lock().map_err(refused)?;
        let mut profiles = self.load()?;
        let before = profiles.clone();
        let value = change(&mut profiles)?;
        if profiles != before {
            self.replace(&profiles).map_err(refused)?;
        }
        Ok(value)
    }

    /// Held until the file is dropped.
    fn lock(&self) -> io::Result<File> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let path = self.dir.join(LOCK);
        let mut how = OpenOptions::new();
        let lock = how.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        lock.lock()?;
        Ok(lock)
    }

    fn replace(&self, profiles: &Profiles) -> io::Result<()> {
        let text = toml::to_string(profiles).map_err(io::Error::other)?;
        let beside = self.dir.join("profiles.new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, self.dir.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use quorate_core::api::MemberPlace;
    use quorate_core::ids::{LogIndex, NodeId};

    use super::*;

    fn profile(version: u64) -> Profile {
        let api = SocketAddr::from(([10, 0, 0, 1], 8500));
        let member = MemberPlace { id: NodeId(1), name: "n1".to_owned(), api };
        let (cluster_id, version) = ("00".repeat(16), LogIndex(version));
        Profile {
            cluster: Some("quorate".to_owned()),
            given: vec!["10.0.0.1".parse().expect("a place"), "db:9".parse().expect("a place")],
            trust: vec!["ab".repeat(32).parse().expect("64 digits")],
            login: (version.0 > 1)
                .then(|| Login { user: "ann".to_owned(), password: "anchovy".to_owned() }),
            list: Some(MemberList { cluster_id, version, authority: None, members: vec![member] }),
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let place = tempfile::tempdir().expect("a temporary directory can be made");
        let dir = place.path().join("settings/quorate");
        (place, Store { dir })
    }

    fn put(store: &Store, name: &str, version: u64) {
        let changed = store.change(|profiles| {
            profiles.profiles.insert(name.to_owned(), profile(version));
            profiles.current = Some(name.to_owned());
            Ok(())
        });
        changed.expect("it is written");
    }

    #[test]
    fn what_is_kept_comes_back_and_only_its_owner_reads_it() {
        let (_place, store) = store();
        assert_eq!(store.load().expect("no file"), Profiles::default());
        put(&store, "a", 1);
        put(&store, "b", 2);
        let profiles = store.load().expect("it was written");
        assert_eq!(profiles.current.as_deref(), Some("b"));
        assert_eq!(profiles.profiles["a"], profile(1));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode(&store.dir.join(FILE)) & 0o777, 0o600);
        assert_eq!(mode(&store.dir) & 0o777, 0o700);
    }

    #[test]
    fn profiles_are_kept_where_the_environment_says() {
        let (home, xdg, own) = (("HOME", "/h"), ("XDG_CONFIG_HOME", "/x"), ("QUORATE_HOME", "/q"));
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Variables<'_>, Option<&str>); 7] = [
            (&[home, xdg, own], Some("/q")),
            (&[own], Some("/q")),
            (&[home, xdg], Some("/x/quorate")),
            (&[home, xdg, ("QUORATE_HOME", "")], Some("/x/quorate")),
            (&[home, ("XDG_CONFIG_HOME", "")], Some("/h/.config/quorate")),
            (&[("HOME", "")], None),
            (&[], None),
        ];
        for (variables, dir) in cases {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            let found = Store::of_user(variable).map(|store| store.dir);
            assert_eq!(found.as_deref(), dir.map(Path::new), "{variables:?}");
        }
    }

    #[test]
    fn a_change_that_is_refused_and_a_file_that_is_damaged_change_nothing() {
        let (_place, store) = store();
        put(&store, "a", 1);
        let refused: Result<(), ProfileError> = store.change(|profiles| {
            profiles.profiles.clear();
            Err(ProfileError::Unknown { name: "b".to_owned() })
        });
        assert!(refused.is_err());
        assert!(store.load().expect("as before").profiles.contains_key("a"));
        let nobody = "version = 1\n[profiles.a]\ncluster = \"a\"\ngiven = [\"db\"]\n\
            list = { cluster_id = \"0\", version = 1, members = [] }\n";
        for text in ["current = 3", "version = 1\nother = 2", "version = 2", "\u{0}", nobody] {
            fs::write(store.dir.join(FILE), text).expect("it is ours");
            let refused = store.change(|_| Ok(())).expect_err("it is damaged").to_string();
            assert!(refused.starts_with("Q1753 "), "{refused}");
            assert_eq!(fs::read_to_string(store.dir.join(FILE)).expect("as it was"), text);
        }
    }

    #[test]
    fn commands_at_the_same_time_lose_nothing_of_each_other() {
        let (_place, store) = store();
        std::thread::scope(|threads| {
            for at in 0..8 {
                let store = &store;
                threads.spawn(move || put(store, &format!("p{at}"), at));
            }
        });
        assert_eq!(store.load().expect("it was written").profiles.len(), 8);
    }
}
