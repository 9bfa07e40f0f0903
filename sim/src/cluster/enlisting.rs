//! Nodes that have no cluster until somebody orders them to start or join one, as an operator would
//! by the command line.

use std::net::SocketAddr;

use quorate_core::api::{Client, ClientError, JoinBody, StartBody};
use quorate_core::config::MemberSettings;
use quorate_core::ids::NodeId;

use super::ask::Asked;
use super::{Cluster, address};

/// How long an operator goes on to order the same, whatever dies meanwhile.
const CARRIED_OUT_BY_MS: u64 = 40_000;
/// How long one command waits for its end.
const COMMAND_MS: u64 = 8_000;
/// Until an operator looks again.
const PAUSE_MS: u64 = 150;

/// How one command ended: with the node's id, or with what it printed.
type Ended = Result<NodeId, ClientError>;

impl Cluster {
    /// A node without a cluster starts one; returns once it leads.
    pub fn start_cluster(&mut self, name: &str) {
        let at = self.place(name);
        let (own, body) =
            (vec![self.api(name)], StartBody { name: Some(name.into()), address: None });
        let started = self.carry_out(name, |cluster| {
            let (own, body) = (own.clone(), body.clone());
            Asked::from(&cluster.world, &cluster.nodes[at], |env| async move {
                let mut client = Client::new(env, own).with_deadline_ms(COMMAND_MS, COMMAND_MS);
                client.start_cluster(&body).await.map(|ordered| ordered.node)
            })
        });
        if let Err(error) = started {
            self.fail(&format!("{name} has started no cluster: {error}"));
        }
        self.within_ms(CARRIED_OUT_BY_MS).one_leads();
    }

    /// A member makes a join token for so many nodes; returns its text.
    pub fn create_token(&mut self, via: &str, uses_count: u32) -> String {
        let end_ms = self.world.now_ms() + CARRIED_OUT_BY_MS;
        let (at, member) = (self.place(via), vec![self.api(via)]);
        while self.world.now_ms() < end_ms {
            self.start_what_is_down();
            let member = member.clone();
            let asked = Asked::from(&self.world, &self.nodes[at], |env| async move {
                let mut client = Client::new(env, member);
                client.create_token(uses_count, 3_600_000).await.map(|(token, _)| token.to_string())
            });
            if let Some(Ok(token)) = self.wait_for(&asked, 2 * COMMAND_MS) {
                return token;
            }
            self.run_for_ms(PAUSE_MS);
        }
        self.fail(&format!("{via} has made no join token"))
    }

    /// A node without a cluster joins that of `members`, by as many commands as it takes; whoever
    /// is down is started again meanwhile. Returns its id.
    pub fn join(&mut self, name: &str, token: &str, members: &[&str]) -> NodeId {
        let joined = self.order_to_join(name, token, members, |_| false);
        joined.unwrap_or_else(|error| self.fail(&format!("{name} has not joined: {error}")))
    }

    /// The same order is refused with this code.
    pub fn join_is_refused(&mut self, name: &str, token: &str, members: &[&str], code: &str) {
        match self.order_to_join(name, token, members, |refused| refused == code) {
            Err(ClientError::Refused(problem)) if problem.code == code => {}
            Err(error) => self.fail(&format!("{name} is to be refused with {code}: {error}")),
            Ok(id) => self.fail(&format!("{name} was let in as {id}, and not refused with {code}")),
        }
    }

    fn order_to_join(
        &mut self,
        name: &str,
        token: &str,
        members: &[&str],
        is_final: impl Fn(&str) -> bool,
    ) -> Ended {
        let (at, own) = (self.place(name), vec![self.api(name)]);
        let nodes = members.iter().map(|member| self.api(member)).collect();
        let (address, token, vote) = (None, token.to_owned(), false);
        let body = JoinBody { name: Some(name.to_owned()), address, nodes, token, vote };
        self.carry_out_until(name, is_final, |cluster| {
            let (own, body) = (own.clone(), body.clone());
            Asked::from(&cluster.world, &cluster.nodes[at], |env| async move {
                let mut client = Client::new(env, own).with_deadline_ms(COMMAND_MS, COMMAND_MS);
                client.join_cluster(&body).await.map(|ordered| ordered.node)
            })
        })
    }

    fn carry_out(&mut self, name: &str, ask: impl FnMut(&Cluster) -> Asked<Ended>) -> Ended {
        self.carry_out_until(name, |_| false, ask)
    }

    /// Gives the order until it is known to be carried out, or is refused with a final code.
    fn carry_out_until(
        &mut self,
        name: &str,
        is_final: impl Fn(&str) -> bool,
        mut ask: impl FnMut(&Cluster) -> Asked<Ended>,
    ) -> Ended {
        let (at, end_ms) = (self.place(name), self.world.now_ms() + CARRIED_OUT_BY_MS);
        loop {
            self.start_what_is_down();
            let asked = ask(self);
            let ended = self.wait_for(&asked, 2 * COMMAND_MS);
            match ended {
                Some(Ok(id)) => return Ok(id),
                Some(Err(ClientError::Refused(problem))) if is_final(&problem.code) => {
                    return Err(ClientError::Refused(problem));
                }
                // An earlier command was carried out, and its answer lost.
                Some(Err(ClientError::Refused(problem))) if problem.code == "Q1622" => {
                    if let Some(handle) = self.nodes[at].handle() {
                        return Ok(handle.node());
                    }
                }
                Some(Err(error)) if self.world.now_ms() > end_ms => return Err(error),
                None if self.world.now_ms() > end_ms => {
                    let last = "the node died".to_owned();
                    return Err(ClientError::OutcomeUnknown { waited_ms: CARRIED_OUT_BY_MS, last });
                }
                Some(Err(_)) | None => {}
            }
            self.run_for_ms(PAUSE_MS);
        }
    }

    pub(super) fn start_what_is_down(&mut self) {
        let is_down = |name: &String| !self.is_running(name);
        let down: Vec<String> = self.names().into_iter().filter(is_down).collect();
        if !down.is_empty() {
            self.run_for_ms(PAUSE_MS);
        }
        down.iter().for_each(|name| self.restart(&[name]));
    }

    /// Where the API of `name` is.
    pub(super) fn api(&self, name: &str) -> SocketAddr {
        MemberSettings::at(name, address(self.place(name) as u8 + 1)).api()
    }
}
