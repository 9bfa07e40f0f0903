//! Tables: the life of the cluster's users, roles, hashes, and what the local file says.

use super::state::{User, UserChange, Users};
use super::*;
use crate::ports::Disk;
use crate::ports::testing::MemoryDisk;

fn hash(number: u8) -> PasswordHash {
    PasswordHash::of_phc(&format!("$argon2id${number}")).expect("it looks like one")
}

fn add(name: &str, access: Access) -> UserChange {
    UserChange::Add { name: name.to_owned(), access, hash: hash(2) }
}

fn set(name: &str, access: Option<Access>, new: Option<u8>) -> UserChange {
    UserChange::Set { name: name.to_owned(), access, hash: new.map(hash) }
}

fn remove(name: &str) -> UserChange {
    UserChange::Remove { name: name.to_owned() }
}

fn first(number: u8) -> UserChange {
    UserChange::First { name: ADMIN.to_owned(), hash: hash(number) }
}

#[test]
fn users_come_change_and_go_and_an_admin_always_stays() {
    let mut users = Users::default();
    let long = "n".repeat(NAME_SIZE_BYTES_MAX + 1);
    // The change, the code of its refusal, the users afterwards.
    let table = [
        (set("ann", None, Some(3)), "Q1057", ""),
        (add("ann", Access::Writer), "Q1060", ""),
        (first(1), "", "admin:admin:1"),
        (first(9), "", "admin:admin:1"), // only the first one counts
        (add("admin", Access::Reader), "Q1058", "admin:admin:1"),
        (add("", Access::Reader), "Q1060", "admin:admin:1"),
        (add("a:b", Access::Reader), "Q1060", "admin:admin:1"),
        (add("a\nb", Access::Reader), "Q1060", "admin:admin:1"),
        (add(&long, Access::Reader), "Q1060", "admin:admin:1"),
        (remove("admin"), "Q1059", "admin:admin:1"),
        (set("admin", Some(Access::Writer), Some(4)), "Q1059", "admin:admin:1"),
        (set("admin", Some(Access::Admin), Some(4)), "", "admin:admin:4"),
        (add("ann", Access::Reader), "", "admin:admin:4 ann:reader:2"),
        (set("ann", Some(Access::Admin), None), "", "admin:admin:4 ann:admin:2"),
        (remove("admin"), "", "ann:admin:2"),
        (first(9), "", "ann:admin:2"),
        (remove("ann"), "Q1059", "ann:admin:2"),
        (remove("bob"), "Q1057", "ann:admin:2"),
    ];
    for (change, code, expected) in table {
        let applied = users.apply(change.clone());
        let refused = applied.err().map_or(String::new(), |error| error.to_string());
        assert_eq!(refused.get(..5).unwrap_or(""), code, "{change:?}");
        let number = |user: &User| user.hash.phc().rsplit('$').next().unwrap().to_owned();
        let shown =
            |(name, user): (&str, &User)| format!("{name}:{}:{}", user.access, number(user));
        let all: Vec<String> = users.all().map(shown).collect();
        assert_eq!(all.join(" "), expected, "{change:?}");
    }
}

#[cfg(feature = "api")]
#[test]
fn a_role_allows_what_it_says() {
    let table = [
        (Access::Admin, [true, true, true, true]),
        (Access::Writer, [true, true, true, false]),
        (Access::Reader, [true, true, false, false]),
    ];
    for (access, expected) in table {
        let wishes = [Wish::Read, Wish::Own, Wish::Write, Wish::Govern];
        assert_eq!(wishes.map(|wish| access.allows(wish)), expected, "{access}");
    }
}

#[test]
fn the_local_admin_comes_back_from_its_file_and_another_file_is_refused() {
    let disk = MemoryDisk::default();
    assert_eq!(LocalAdmin::load(&disk).expect("there is no file"), None);
    for is_superseded in [false, true] {
        let admin = LocalAdmin { hash: hash(1), is_superseded };
        admin.store(&disk).expect("it is written");
        assert_eq!(LocalAdmin::load(&disk).expect("it is there"), Some(admin));
    }
    for text in ["", "plain", "$argon2id$1\nother\n", "$argon2id$ 1\n", "\u{0}"] {
        disk.replace(std::path::Path::new(local::FILE), text.as_bytes()).expect("it is written");
        assert!(LocalAdmin::load(&disk).is_err(), "{text:?}");
    }
}

#[test]
fn a_hash_is_never_shown() {
    let user = User { hash: hash(7), access: Access::Reader };
    assert!(!format!("{user:?} {:?}", add("ann", Access::Reader)).contains("argon2id"));
}

#[cfg(feature = "api")]
#[test]
fn a_password_is_known_by_its_hash_and_the_decoy_is_that_of_none() {
    let made = PasswordHash::new("correct horse", [7; 16]);
    let costs = "$argon2id$v=19$m=19456,t=2,p=1$";
    assert!(made.phc().starts_with(costs), "{}", made.phc());
    assert!(is_password_of(&made, "correct horse"));
    assert!(!is_password_of(&made, "correct horsf"));
    assert!(PasswordHash::decoy().phc().starts_with(costs));
    assert!(argon2::PasswordHash::new(PasswordHash::decoy().phc()).is_ok(), "it is computed");
    assert!(!is_password_of(&PasswordHash::decoy(), ""));
    for (size_bytes, is_fit) in [(0, false), (7, false), (8, true), (1_024, true), (1_025, false)] {
        assert_eq!(check_password(&"p".repeat(size_bytes)).is_ok(), is_fit, "{size_bytes}");
    }
}

#[test]
fn changes_and_users_keep_their_golden_bytes() {
    use crate::codec;
    use crate::ids::LogIndex;
    use crate::membership::join_token::hex;
    use crate::membership::{Roster, RosterChange};
    let (name, made) = ("03616e6e", format!("0c{}", hex(b"$argon2id$02")));
    let hash = PasswordHash::of_phc("$argon2id$02").expect("it looks like one");
    let ann = || "ann".to_owned();
    let table = [
        (UserChange::First { name: ann(), hash: hash.clone() }, format!("0900{name}{made}")),
        (
            UserChange::Add { name: ann(), access: Access::Writer, hash: hash.clone() },
            format!("0901{name}01{made}"),
        ),
        (
            UserChange::Set { name: ann(), access: Some(Access::Reader), hash: None },
            format!("0902{name}010200"),
        ),
        (UserChange::Remove { name: ann() }, format!("0903{name}")),
    ];
    for (change, golden) in table {
        let change = RosterChange::User(change);
        let bytes = codec::encode(&change);
        assert_eq!(hex(&bytes), golden, "{change:?}");
        assert_eq!(codec::decode::<RosterChange>("change", &bytes).expect("its own"), change);
    }
    let place = crate::config::MemberSettings::at("n1", [127, 0, 0, 1].into());
    let mut roster = Roster::default();
    let first = || RosterChange::User(UserChange::First { name: ann(), hash: hash.clone() });
    assert!(roster.apply(LogIndex(1), first()).is_err(), "nothing is founded");
    roster.apply(LogIndex(2), RosterChange::Found { members: vec![place] }).expect("it is first");
    roster.apply(LogIndex(3), first()).expect("it is founded");
    assert_eq!(hex(&codec::encode(roster.users())), format!("01{name}{made}00"));
    // A roster's own bytes hold none of it: snapshots of older builds have none.
    let mut read: Roster = codec::decode("roster", &codec::encode(&roster)).expect("its own");
    assert!(read.users().is_empty());
    read.set_users(roster.users().clone());
    assert_eq!(read, roster);
}
