//! A node id is given once: never to two nodes, however long the first is gone.
//!
//! Every node tells which ids its log gives to whom, so a wrong one is seen as soon as any has
//! applied it.
//!
//! Source: the invariants of core/src/membership/roster.rs; who gets the id of another would be
//! believed to remember its votes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use quorate_core::ids::NodeId;
use quorate_core::observe::Told;

use super::{Checker, Seen};

/// Who got which id.
#[derive(Debug, Default)]
pub struct IdsGivenOnce(BTreeMap<NodeId, IpAddr>);

impl Checker for IdsGivenOnce {
    fn check(&mut self, _seen: &[Seen]) -> Result<(), String> {
        Ok(())
    }

    fn hear(&mut self, told: &Told) -> Result<(), String> {
        let Told::IdGiven { id, address } = *told else { return Ok(()) };
        let first = *self.0.entry(id).or_insert(address);
        if first == address {
            return Ok(());
        }
        Err(format!("the id {id} is given to {address}, and was given to {first}"))
    }
}
