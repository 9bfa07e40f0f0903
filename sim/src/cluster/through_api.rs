//! A client of the API, as the command line is one, on the machine of a node.

use std::net::SocketAddr;

use bytes::Bytes;
use quorate_core::api::{Client, MemberList};
use quorate_core::config::MemberSettings;

use super::ask::Asked;
use super::{Cluster, address};

impl Cluster {
    /// A client on the machine of `from`, which knows the APIs of `known` in this order and nothing
    /// else, sets a key. Fails the run unless that is acknowledged within `limit_ms`. Returns what
    /// the client has learnt about the members.
    ///
    /// For nodes whose machine is the key-value store: see [`Setup::machine`](super::Setup).
    pub fn put_through_api(
        &mut self,
        from: &str,
        known: &[&str],
        (key, value): (&str, &str),
        limit_ms: u64,
    ) -> MemberList {
        let api = |name: &&str| MemberSettings::at(name, address(self.place(name) as u8 + 1)).api();
        let places: Vec<SocketAddr> = known.iter().map(api).collect();
        let (key, value) = (key.to_owned(), Bytes::copy_from_slice(value.as_bytes()));
        let node = &self.nodes[self.place(from)];
        let asked = Asked::from(&self.world, node, |env| async move {
            let mut client = Client::new(env, places);
            let put = client.put(&key, value).await;
            put.map(|_| client.members().cloned()).map_err(|error| error.to_string())
        });
        match self.wait_for(&asked, limit_ms) {
            Some(Ok(Some(list))) => list,
            Some(Ok(None)) => self.fail("an answer came without the members"),
            Some(Err(error)) => self.fail(&format!("a client that knows {known:?}: {error}")),
            None => self
                .fail(&format!("a client that knows {known:?} has no answer within {limit_ms} ms")),
        }
    }
}
