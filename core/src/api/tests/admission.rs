//! Who is let in as a member, whatever a request id was used for before.

use std::sync::Arc;

use super::fake::{Fake, Pipes};
use super::in_node;
use crate::codec::encode;
use crate::config::MemberSettings;
use crate::ids::{LogIndex, NodeId, RequestId};
use crate::membership::join_token::hash_of;
use crate::membership::{Join, Role, Roster, RosterChange, RosterOutcome};

/// Node `name` with that key, which shows the secret of the token that entry 2 made.
fn join(name: &str, key: u8, secret: u8) -> Join {
    Join {
        settings: MemberSettings::at(name, [127, 0, 0, 9].into()),
        public_key: [key; 32],
        becomes: Role::Full,
        zone: None,
        wants_vote: false,
        token: LogIndex(2),
        secret_hash: hash_of(&[secret; 16]),
        now_ms: 0,
    }
}

/// A cluster of n1 that has made a token, and let n2 in by it, with key 7.
fn roster() -> Roster {
    let mut roster = Roster::default();
    let members = vec![MemberSettings::at("n1", [127, 0, 0, 1].into())];
    let secret_hash = hash_of(&[1; 16]);
    let token = RosterChange::AddToken { secret_hash, uses_count: 9, expires_at_ms: 1, now_ms: 0 };
    let joined = RosterChange::Join(join("n2", 7, 1));
    for (index, change) in [(1, RosterChange::Found { members }), (2, token), (3, joined)] {
        roster.apply(LogIndex(index), change).expect("it fits");
    }
    roster
}

/// What comes of it if the log answers as for these members.
async fn admitted(fake: &Fake, join: Join, ids: &[u64]) -> Result<NodeId, String> {
    let ids = ids.iter().copied().map(NodeId).collect();
    let reply: Result<RosterOutcome, String> = Ok(RosterOutcome { ids });
    fake.plan.borrow_mut().roster_reply = Some(encode(&reply).into());
    let admitted = fake.handle.admit(join, RequestId(5)).await;
    admitted.map_err(|error| error.to_string()[..5].to_owned())
}

#[test]
fn a_request_id_that_was_used_for_something_else_lets_nobody_in() {
    in_node(async {
        let fake = Fake::start(Arc::new(Pipes::default()));
        fake.roster.send_replace(roster());
        assert_eq!(admitted(&fake, join("n2", 7, 1), &[2]).await, Ok(NodeId(2)));
        // The reply of a change that is about nobody, and that of somebody else's join.
        assert_eq!(admitted(&fake, join("n3", 8, 1), &[]).await, Err("Q1041".to_owned()));
        assert_eq!(admitted(&fake, join("n3", 8, 1), &[2]).await, Err("Q1041".to_owned()));
        assert_eq!(admitted(&fake, join("n2", 8, 1), &[2]).await, Err("Q1041".to_owned()));
    });
}

#[test]
fn who_shows_no_token_of_the_cluster_writes_nothing_into_its_log() {
    in_node(async {
        let fake = Fake::start(Arc::new(Pipes::default()));
        fake.roster.send_replace(roster());
        // The log would say yes.
        assert_eq!(admitted(&fake, join("n2", 7, 2), &[2]).await, Err("Q1041".to_owned()));
        let later = Join { token: LogIndex(99), ..join("n2", 7, 1) };
        assert_eq!(admitted(&fake, later, &[2]).await, Err("Q1061".to_owned()));
        let never = Join { token: LogIndex(1), ..join("n2", 7, 1) };
        assert_eq!(admitted(&fake, never, &[2]).await, Err("Q1041".to_owned()));
    });
}
