//! At most one node may act at any true time.
//!
//! Source: promise 2; Gray & Cheriton 1989, section 2 (a lease is over for its holder before it is
//! over for anyone else).

use super::{Checker, Seen};

/// Remembers nothing: the property is about one moment.
#[derive(Debug)]
pub struct OneActs;

impl Checker for OneActs {
    fn check(&mut self, seen: &[Seen]) -> Result<(), String> {
        let mut acting = seen.iter().filter(|node| node.may_act);
        let (Some(one), Some(other)) = (acting.next(), acting.next()) else {
            return Ok(());
        };
        let named = |node: &Seen| {
            let token = node.leadership.token.map_or_else(|| "none".to_owned(), |t| t.to_string());
            format!("{} with token {token}", node.leadership.node)
        };
        Err(format!("{} and {} may act at once", named(one), named(other)))
    }
}
