//! Choices as data: what was chosen where, and what is to be chosen instead.
//!
//! Read next: [`Edits`], then `file.rs` for how they are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One choice that a run has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Name of the site.
    pub site: String,
    /// Which of the sites with this name: a machine, a client, a gust; 0 where there is one only.
    pub instance: u64,
    /// Number of the choice at its site. The first is 1.
    pub k: u64,
    /// The smallest value it could have.
    pub min: u64,
    /// The largest value it could have.
    pub max: u64,
    /// What was chosen.
    pub value: u64,
    /// What the value means, where the number does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<String>,
}

/// A value forced upon one choice.
///
/// It reads from the line of a [`Choice`] as well, so that an edit is a copied line with another
/// value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Name of the site.
    pub site: String,
    /// As in [`Choice::instance`].
    pub instance: u64,
    /// As in [`Choice::k`].
    pub k: u64,
    /// What is chosen; the nearest bound if the draw does not allow it.
    pub value: u64,
}

/// Forced values, at most one per choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edits(BTreeMap<(String, u64), BTreeMap<u64, u64>>);

impl Edits {
    /// Forces a value upon the `k`-th choice of a site, in place of an earlier edit of it.
    #[must_use]
    pub fn with(mut self, site: &str, instance: u64, k: u64, value: u64) -> Edits {
        self.0.entry((site.to_owned(), instance)).or_default().insert(k, value);
        self
    }

    /// How many choices are forced.
    pub fn count(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Every edit, by site, instance and `k`.
    pub fn list(&self) -> Vec<Edit> {
        let edits = self.0.iter().flat_map(|((site, instance), values)| {
            values.iter().map(|(k, value)| Edit {
                site: site.clone(),
                instance: *instance,
                k: *k,
                value: *value,
            })
        });
        edits.collect()
    }

    /// What is forced at one site, by `k`.
    pub(super) fn at(&self, site: &str, instance: u64) -> BTreeMap<u64, u64> {
        self.0.get(&(site.to_owned(), instance)).cloned().unwrap_or_default()
    }
}

impl FromIterator<Edit> for Edits {
    /// Of two edits of one choice the later counts.
    fn from_iter<I: IntoIterator<Item = Edit>>(edits: I) -> Edits {
        edits.into_iter().fold(Edits::default(), |all, Edit { site, instance, k, value }| {
            all.with(&site, instance, k, value)
        })
    }
}
