//! A protected datagram is taken once: never again, neither by the same boot of its receiver nor
//! by a later one.
//!
//! Nodes tell each protected datagram that they take. An unprotected one may be taken twice, and
//! nobody tells it.
//!
//! Source: the invariants of core/src/security/datagrams.rs; what was true once, such as that a
//! member is alive, could otherwise be played to the nodes for ever.

use std::collections::BTreeMap;

use quorate_core::ids::NodeId;
use quorate_core::observe::Told;

use super::{Checker, Seen};

/// Who has taken what of whose sessions: number n is bit n of the words.
#[derive(Debug, Default)]
pub struct DatagramsTakenOnce(BTreeMap<(NodeId, NodeId, [u8; 16]), Vec<u64>>);

impl Checker for DatagramsTakenOnce {
    fn check(&mut self, _seen: &[Seen]) -> Result<(), String> {
        Ok(())
    }

    fn hear(&mut self, told: &Told) -> Result<(), String> {
        let Told::DatagramTaken { by, from, session, number } = *told else { return Ok(()) };
        let words = self.0.entry((by, from, session)).or_default();
        let at = (number / 64) as usize;
        if words.len() <= at {
            words.resize(at + 1, 0);
        }
        let bit = 1 << (number % 64);
        if words[at] & bit != 0 {
            return Err(format!("{by} takes datagram {number} of {from} again"));
        }
        words[at] |= bit;
        Ok(())
    }
}
