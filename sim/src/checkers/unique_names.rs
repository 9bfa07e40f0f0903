//! Unique inserts: of all who want one name, one gets it, and keeps it.
//!
//! Source: Jepsen's workload of unique ids, with owners; promise 1 (an acknowledged write stays).

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::history::Outcome;
use quorate_core::ids::LogIndex;

/// A client's request for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    client: String,
    outcome: Outcome,
    /// Who had the name before, as the answer said.
    holder: Option<String>,
}

impl Asked {
    /// Whether the client may have the name.
    fn may_have_got(&self) -> bool {
        match self.outcome {
            Outcome::Acknowledged => self.holder.is_none(),
            Outcome::Refused => false,
            Outcome::Unknown => true,
        }
    }
}

/// Who wanted which names.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, Vec<Asked>>);

impl Names {
    /// A client's request for a name is over, or was given up. One that is acknowledged has got the
    /// name, unless the answer names who had it before.
    pub fn asked(&mut self, (name, owner): (&str, &str), outcome: Outcome, holder: Option<&str>) {
        let (client, holder) = (owner.to_owned(), holder.map(str::to_owned));
        self.0.entry(name.to_owned()).or_default().push(Asked { client, outcome, holder });
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
        let finding = |Asked { client, outcome, holder }: &Asked| match (outcome, holder) {
            (Outcome::Acknowledged, None) => {
                (owner != Some(client)).then(|| format!("{client} got {name}, which {shown} has"))
            }
            (Outcome::Acknowledged, Some(other)) => (owner != Some(other))
                .then(|| format!("{client} was told that {other} has {name}: {shown} has")),
            (Outcome::Refused | Outcome::Unknown, _) => None,
        };
        let mut findings: Vec<String> = asked.iter().filter_map(finding).collect();
        let may_have =
            |client: &String| asked.iter().any(|one| one.client == *client && one.may_have_got());
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
        const DONE: Outcome = Outcome::Acknowledged;
        const REFUSED: Outcome = Outcome::Refused;
        const UNKNOWN: Outcome = Outcome::Unknown;
        let found = |asked: [(Outcome, Option<&str>); 2], owner: Option<&str>| {
            let mut names = Names::default();
            for (client, (outcome, holder)) in ["c1", "c2"].into_iter().zip(asked) {
                names.asked(("n", client), outcome, holder);
            }
            let owner = owner.map(|owner| ("n".to_owned(), (LogIndex(1), owner.to_owned())));
            names.findings(&owner.into_iter().collect()).join("; ")
        };
        let got = (DONE, None);
        let there = (DONE, Some("c1"));
        let (refused, unknown) = ((REFUSED, None), (UNKNOWN, None));
        assert_eq!(found([got, there], Some("c1")), "");
        assert_eq!(found([unknown, refused], Some("c1")), "");
        assert_eq!(found([unknown, refused], None), "");
        assert_eq!(found([got, got], Some("c1")), "c2 got n, which c1 has");
        assert_eq!(found([got, refused], None), "c1 got n, which nobody has");
        assert_eq!(found([unknown, there], None), "c2 was told that c1 has n: nobody has");
        assert_eq!(found([unknown, refused], Some("c2")), "c2 has n and never got it");
    }
}
