//! Nothing acknowledged is lost, and nothing refused takes effect.
//!
//! The ledger is kept by the clients. A write whose outcome is unknown may be there or not.
//!
//! Source: promise 1; Herlihy & Wing 1990, section 2, for writes that each have their own name.

use std::collections::{BTreeMap, BTreeSet};

/// What became of the writes to one name.
#[derive(Clone, Debug, Default)]
struct Entry {
    acknowledged: Option<String>,
    unknown: BTreeSet<String>,
}

/// What clients were told.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<String, Entry>,
    /// How many writes were acknowledged.
    pub acknowledged_count: u64,
    /// How many were refused: they must have no effect.
    pub refused_count: u64,
    /// Of how many the outcome is not known.
    pub unknown_count: u64,
}

impl Ledger {
    /// The write was acknowledged, after any earlier one of the same name.
    pub fn acknowledged(&mut self, name: &str, value: &str) {
        self.acknowledged_count += 1;
        self.entries.entry(name.to_owned()).or_default().acknowledged = Some(value.to_owned());
    }

    /// The write was refused.
    pub fn refused(&mut self, name: &str) {
        self.refused_count += 1;
        self.entries.entry(name.to_owned()).or_default();
    }

    /// Nobody knows what became of the write.
    pub fn unknown(&mut self, name: &str, value: &str) {
        self.unknown_count += 1;
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.unknown.insert(value.to_owned());
    }

    /// The acknowledged value of a name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.entries.get(name)?.acknowledged.as_deref()
    }

    /// Compares the whole state of one replica; call it when the replica has applied everything.
    pub fn check(&self, replica: &str, state: &BTreeMap<String, String>) -> Result<(), String> {
        for (name, entry) in &self.entries {
            let found = state.get(name);
            if found == entry.acknowledged.as_ref()
                || found.is_some_and(|value| entry.unknown.contains(value))
            {
                continue;
            }
            let Entry { acknowledged, unknown } = entry;
            return Err(format!(
                "{replica} has {name} = {found:?}; acknowledged was {acknowledged:?}, unknown \
                 {unknown:?}"
            ));
        }
        Ok(())
    }
}
