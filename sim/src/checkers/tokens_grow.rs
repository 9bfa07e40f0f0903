//! Fencing tokens only grow: whoever may act has the greatest token ever seen, and alone.
//!
//! Source: docs/leadership.md, rule 1; Burrows 2006, section 2.4 (sequencers).

use quorate_core::ids::{FencingToken, NodeId};

use super::{Checker, Seen};

/// The greatest token so far, and who had it.
#[derive(Debug, Default)]
pub struct TokensGrow {
    greatest: Option<(FencingToken, NodeId)>,
}

impl Checker for TokensGrow {
    fn check(&mut self, seen: &[Seen]) -> Result<(), String> {
        for node in seen.iter().filter(|node| node.may_act) {
            let Some(token) = node.leadership.token else {
                return Err(format!("{} may act without a token", node.leadership.node));
            };
            let this = (token, node.leadership.node);
            match self.greatest {
                Some((greatest, owner)) if token < greatest => {
                    let name = this.1;
                    return Err(format!("{name} acts with {token} after {owner} had {greatest}"));
                }
                Some((greatest, owner)) if token == greatest && owner != this.1 => {
                    return Err(format!("{owner} and {} have the same token {token}", this.1));
                }
                Some(_) | None => self.greatest = Some(this),
            }
        }
        Ok(())
    }
}
