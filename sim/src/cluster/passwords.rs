//! Nodes whose API asks for a password, and an operator who changes it.

use quorate_core::api::{Client, ClientError};
use quorate_core::users::{ADMIN, LocalAdmin, PasswordHash};

use super::Cluster;
use super::ask::Asked;

/// What lets the local admin of every node in that asks for a password.
pub const FIRST_PASSWORD: &str = "first password";
/// Of that, at a cost that a simulation can pay often.
const FIRST_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw\
    $+tN+NDw+CcQ4ZyRlL4wHLAfNLAVk6S/NTE761HdBbFg";
/// How long an operator goes on to try the same, whatever dies meanwhile: longer than the waits of
/// who was wrong a few times.
const DONE_BY_MS: u64 = 40_000;
/// How long one command waits for its end.
const COMMAND_MS: u64 = 4_000;
/// Until an operator looks again.
const PAUSE_MS: u64 = 150;

/// The local admin of every node that asks for a password.
pub(super) fn local_admin() -> LocalAdmin {
    let hash = PasswordHash::of_phc(FIRST_HASH).expect("it is a PHC string");
    LocalAdmin { hash, is_superseded: false }
}

impl Cluster {
    /// An operator at `via` gives the cluster's admin another password; returns once that has
    /// happened, by as many commands as it takes. Whoever is down is started again meanwhile.
    pub fn set_password(&mut self, via: &str, old: &str, new: &str) {
        let end_ms = self.world.now_ms() + DONE_BY_MS;
        let (mut is_changed, mut last) = (false, "the node died".to_owned());
        while self.world.now_ms() < end_ms {
            self.start_what_is_down();
            let (password, new) = (if is_changed { new } else { old }, new.to_owned());
            let done = self.ask_as_admin(via, password, async move |client| {
                client.set_password(ADMIN, &new).await
            });
            match done {
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    // An earlier command was carried out, and its answer lost.
                    is_changed |= has_code(&error, "Q1051");
                    last = error.to_string();
                }
                None => {}
            }
            self.run_for_ms(PAUSE_MS);
        }
        self.fail(&format!("{via} has not changed the password: {last}"));
    }

    /// The API of `name` lets the admin in with this password, in a while.
    pub fn lets_in(&mut self, name: &str, password: &str) {
        let last = self.until(name, password, |ended| ended.is_ok());
        if let Err(error) = last {
            self.fail(&format!("{name} does not let {password:?} in: {error}"));
        }
    }

    /// The API of `name` does not let the admin in with this password.
    pub fn keeps_out(&mut self, name: &str, password: &str) {
        let is_told = |ended: &Result<(), ClientError>| match ended {
            Ok(()) => true,
            Err(error) => has_code(error, "Q1051"),
        };
        match self.until(name, password, is_told) {
            Err(error) if has_code(&error, "Q1051") => {}
            Ok(()) => self.fail(&format!("{name} lets the old password in")),
            Err(error) => self.fail(&format!("{name} does not say {password:?} is wrong: {error}")),
        }
    }

    /// Asks with this password until the answer is one that counts, or time is over.
    fn until(
        &mut self,
        name: &str,
        password: &str,
        counts: impl Fn(&Result<(), ClientError>) -> bool,
    ) -> Result<(), ClientError> {
        let end_ms = self.world.now_ms() + DONE_BY_MS;
        loop {
            let ended =
                self.ask_as_admin(name, password, async |client| client.users().await.map(drop));
            let last = "the node died".to_owned();
            let died = || Err(ClientError::OutcomeUnknown { waited_ms: DONE_BY_MS, last });
            let ended = ended.unwrap_or_else(died);
            if counts(&ended) || self.world.now_ms() > end_ms {
                return ended;
            }
            self.run_for_ms(PAUSE_MS);
        }
    }

    /// Asks the API of `name` from its own machine; `None` if that dies, or says nothing in time.
    fn ask_as_admin(
        &mut self,
        name: &str,
        password: &str,
        question: impl AsyncFnOnce(&mut Client) -> Result<(), ClientError> + 'static,
    ) -> Option<Result<(), ClientError>> {
        let (own, password) = (vec![self.api(name)], password.to_owned());
        let node = &self.nodes[self.place(name)];
        let asked = Asked::from(&self.world, node, |env| async move {
            let client = Client::new(env, own).with_deadline_ms(COMMAND_MS, COMMAND_MS);
            question(&mut client.with_credentials(ADMIN, &password)).await
        });
        self.wait_for(&asked, 2 * COMMAND_MS)
    }
}

fn has_code(error: &ClientError, code: &str) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.code == code)
}
