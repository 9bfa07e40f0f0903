//! Exactly once: an element that a client appends, however often it asks under one request id, is
//! in its list once, in the order of real time, and every read saw a beginning of that list.
//!
//! Source: README's promise on request ids; Kingsbury & Alvaro 2020 (Elle), section 3 (a list names
//! every version that it went through).

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::history::Outcome;

use super::Span;

/// What clients did to lists.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// By list and element. Elements are written by one request each.
    appended: BTreeMap<(String, String), (Span, Outcome)>,
    /// Linearizable reads that were answered.
    reads: Vec<(String, Span, Vec<String>)>,
}

impl Lists {
    /// An append is over, or was given up.
    pub fn appended(&mut self, list: &str, element: &str, span: Span, outcome: Outcome) {
        self.appended.insert((list.to_owned(), element.to_owned()), (span, outcome));
    }

    /// A read was answered.
    pub fn read(&mut self, list: &str, span: Span, elements: Vec<String>) {
        self.reads.push((list.to_owned(), span, elements));
    }

    /// How many appends were acknowledged.
    pub fn acknowledged_count(&self) -> usize {
        self.appended.values().filter(|(_, outcome)| *outcome == Outcome::Acknowledged).count()
    }

    /// What is wrong with the lists as they are in the end, one line each.
    pub fn findings(&self, lists: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        let none = Vec::new();
        let asked: BTreeSet<&String> = self.appended.keys().map(|(list, _)| list).collect();
        let names = asked.into_iter().chain(lists.keys()).collect::<BTreeSet<_>>();
        let of = |list: &String| self.findings_of(list, lists.get(list).unwrap_or(&none));
        names.into_iter().flat_map(of).collect()
    }

    fn findings_of(&self, list: &str, elements: &[String]) -> Vec<String> {
        let mut findings = Vec::new();
        let mut present = BTreeSet::new();
        for element in elements {
            if !present.insert(element) {
                findings.push(format!("{element} is in {list} more than once"));
            }
            match self.appended.get(&(list.to_owned(), element.clone())) {
                None => findings.push(format!("{list} has {element}, which nobody appended")),
                Some((_, Outcome::Refused)) => {
                    findings.push(format!("{list} has {element}, which was refused"));
                }
                Some((_, Outcome::Acknowledged | Outcome::Unknown)) => {}
            }
        }
        let of_list = self.appended.iter().filter(|((name, _), _)| name == list);
        for ((_, element), (_, outcome)) in of_list {
            if *outcome == Outcome::Acknowledged && !present.contains(element) {
                findings.push(format!("{element} was acknowledged and is not in {list}"));
            }
        }
        findings.extend(self.out_of_order(list, elements));
        findings.extend(self.wrong_reads(list, elements));
        findings
    }

    /// An element that was acknowledged before another was asked for stands before it.
    fn out_of_order(&self, list: &str, elements: &[String]) -> Option<String> {
        let span = |element: &String| self.appended.get(&(list.to_owned(), element.clone()));
        // The earliest end among the elements that stand behind.
        let mut earliest: Option<(u64, &String)> = None;
        for element in elements.iter().rev() {
            let Some((span, outcome)) = span(element) else { continue };
            if let Some((end_ms, behind)) = earliest
                && end_ms < span.start_ms
            {
                return Some(format!("{list} has {element} before {behind}, which was done first"));
            }
            let is_earlier = earliest.is_none_or(|(end_ms, _)| span.end_ms < end_ms);
            if *outcome == Outcome::Acknowledged && is_earlier {
                earliest = Some((span.end_ms, element));
            }
        }
        None
    }

    /// Reads are beginnings of the list, miss nothing that was done before them, and never go back.
    fn wrong_reads(&self, list: &str, elements: &[String]) -> Vec<String> {
        let mut findings = Vec::new();
        let of_list = |(name, _): &(&(String, String), &(Span, Outcome))| name.0 == list;
        let place: BTreeMap<&String, usize> = elements.iter().zip(1..).collect();
        // Each is a moment from which on a read must show at least so many elements.
        let done =
            self.appended.iter().filter(of_list).filter_map(|((_, element), (span, end))| {
                let place = place.get(element)?;
                (*end == Outcome::Acknowledged).then_some((span.end_ms, *place))
            });
        let reads: Vec<_> = self.reads.iter().filter(|(name, ..)| name == list).collect();
        let mut least: Vec<(u64, usize)> =
            done.chain(reads.iter().map(|(_, span, seen)| (span.end_ms, seen.len()))).collect();
        least.sort_unstable();
        let mut most = 0;
        for (_, count) in &mut least {
            most = most.max(*count);
            *count = most;
        }
        for (_, span, seen) in reads {
            let Span { start_ms, end_ms } = *span;
            if !elements.starts_with(seen) {
                let text =
                    format!("a read of {list} at {end_ms} ms is no beginning of it: {seen:?}");
                findings.push(text);
                continue;
            }
            let before = least.partition_point(|(end_ms, _)| *end_ms < start_ms);
            let least_count = before.checked_sub(1).map_or(0, |last| least[last].1);
            if seen.len() < least_count {
                let text = format!(
                    "a read of {list} at {start_ms} ms shows {} elements, {least_count} were there",
                    seen.len()
                );
                findings.push(text);
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start_ms: u64, end_ms: u64) -> Span {
        Span { start_ms, end_ms }
    }

    fn list(text: &str) -> BTreeMap<String, Vec<String>> {
        BTreeMap::from([("l".to_owned(), words(text))])
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn only_what_the_clients_were_told_may_be_in_a_list() {
        let mut lists = Lists::default();
        lists.appended("l", "a", span(0, 10), Outcome::Acknowledged);
        lists.appended("l", "b", span(20, 30), Outcome::Acknowledged);
        lists.appended("l", "c", span(0, 40), Outcome::Unknown);
        lists.appended("l", "d", span(0, 40), Outcome::Refused);
        let table = [
            ("a b", ""),
            ("a c b", ""),
            ("c a b", ""),
            ("a a b", "a is in l more than once"),
            ("a", "b was acknowledged and is not in l"),
            ("b a", "l has b before a, which was done first"),
            ("a b d", "l has d, which was refused"),
            ("a b e", "l has e, which nobody appended"),
        ];
        for (in_the_end, finding) in table {
            assert_eq!(lists.findings(&list(in_the_end)).join("; "), finding, "{in_the_end}");
        }
    }

    #[test]
    fn a_read_is_a_beginning_misses_nothing_and_never_goes_back() {
        let read = |start_ms, seen: &str| {
            let mut lists = Lists::default();
            lists.appended("l", "a", span(0, 10), Outcome::Acknowledged);
            lists.appended("l", "b", span(20, 60), Outcome::Acknowledged);
            lists.read("l", span(21, 30), words("a b"));
            lists.read("l", span(start_ms, start_ms + 5), words(seen));
            lists.findings(&list("a b")).join("; ")
        };
        assert_eq!(read(5, ""), "");
        assert_eq!(read(25, "a"), "", "at the same time as the other read");
        assert_eq!(read(40, "a b"), "");
        assert_eq!(read(11, ""), "a read of l at 11 ms shows 0 elements, 1 were there");
        assert_eq!(read(31, "a"), "a read of l at 31 ms shows 1 elements, 2 were there");
        assert_eq!(read(31, "b"), "a read of l at 36 ms is no beginning of it: [\"b\"]");
    }
}
