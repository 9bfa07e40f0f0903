//! Membership: who belongs to the cluster (the roster), and who is seen alive (the view).
//!
//! The roster is committed in the log and changed only by joint changes; gossip never changes it.
//!
//! Invariants
//! - A node id is allocated from the log and never used again.
//! - A member is called down only if gossip and pings both say so.
//!
//! Read next: `state.rs`.
pub mod roster;
pub use roster::{Roster, RosterChange, RosterOutcome};
