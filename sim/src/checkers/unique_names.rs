//! Unique inserts: of all who want one name, one gets it, and keeps it.
//!
//! Source: Jepsen's workload of unique ids, with owners; promise 1 (an acknowledged write stays).

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::ids::LogIndex;

/// What a client was told about a name it wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has it.
    First,
    /// This one has it.
    There(String),
    /// Nothing was done.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// Who wanted which names.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, Vec<(String, Told)>>);

impl Names {
    /// A client's request for a name is over, or was given up.
    pub fn asked(&mut self, name: &str, owner: &str, told: Told) {
        self.0.entry(name.to_owned()).or_default().push((owner.to_owned(), told));
    }

    /// What is wrong, as the names are taken in the end, one line each.
    pub fn findings(&self, taken: &BTreeMap<String, (LogIndex, String)>) -> Vec<String> {
        let names = self.0.keys().chain(taken.keys()).collect::<BTreeSet<_>>();
        let of = |name: &String| self.findings_of(name, taken.get(name).map(|(_, owner)| owner));
        names.into_iter().flat_map(of).collect()
    }

    fn findings_of(&self, name: &str, owner: Option<&String>) -> Vec<String> {
        let none = Vec::new();
        let asked = self.0.get(name).unwrap_or(&none);
        let shown = owner.map_or("nobody", String::as_str);
        let mut findings: Vec<String> = asked
            .iter()
            .filter_map(|(client, told)| match told {
                Told::First => (owner != Some(client))
                    .then(|| format!("{client} got {name}, which {shown} has")),
                Told::There(other) => (owner != Some(other))
                    .then(|| format!("{client} was told that {other} has {name}: {shown} has")),
                Told::Refused | Told::Unknown => None,
            })
            .collect();
        let may_have = |client: &String| {
            asked
                .iter()
                .any(|(one, told)| one == client && matches!(told, Told::First | Told::Unknown))
        };
        if let Some(owner) = owner.filter(|owner| !may_have(owner)) {
            findings.push(format!("{owner} has {name} and never got it"));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gets_a_name_and_keeps_it() {
        let found = |told: [Told; 2], owner: Option<&str>| {
            let mut names = Names::default();
            for (client, told) in ["c1", "c2"].into_iter().zip(told) {
                names.asked("n", client, told);
            }
            let owner = owner.map(|owner| ("n".to_owned(), (LogIndex(1), owner.to_owned())));
            names.findings(&owner.into_iter().collect()).join("; ")
        };
        let there = || Told::There("c1".to_owned());
        assert_eq!(found([Told::First, there()], Some("c1")), "");
        assert_eq!(found([Told::Unknown, Told::Refused], Some("c1")), "");
        assert_eq!(found([Told::Unknown, Told::Refused], None), "");
        assert_eq!(found([Told::First, Told::First], Some("c1")), "c2 got n, which c1 has");
        assert_eq!(found([Told::First, Told::Refused], None), "c1 got n, which nobody has");
        let wrong = found([Told::Unknown, there()], None);
        assert_eq!(wrong, "c2 was told that c1 has n: nobody has");
        let wrong = found([Told::Unknown, Told::Refused], Some("c2"));
        assert_eq!(wrong, "c2 has n and never got it");
    }
}
