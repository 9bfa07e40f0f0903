//! The search: which edits are tried, and in which order.
//!
//! Pure. First faults pass by, then there are fewer nodes, then less of everything that is counted,
//! then every other choice of the plan gets its smallest value or one as small as it can be. This
//! goes on until nothing gets smaller. At last, edits that change nothing are taken back.
//!
//! Read next: [`shrink`].

use std::collections::BTreeSet;

use super::ddmin::ddmin;
use super::reason::kind_of;
use super::size::{Part, Size, part_of, text_of};
use crate::choices::{Choice, Edit, Edits, Extent};

/// Rounds through all stages. More than two are rare: a round without a smaller run is the last.
const ROUNDS_COUNT_MAX: usize = 5;
/// A choice of fewer values is tried value by value: its order may mean little.
const VALUES_COUNT_MAX: u64 = 8;

/// So many faults are tried two by two, which takes up to half the square of it in runs.
const PAIRED_COUNT_MAX: usize = 14;

/// How a run ended, and what was recorded of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Why it failed, as in a choice file; `None` if it ended well, or never did.
    pub failure: Option<String>,
    /// What was chosen, with [`Keep::Chosen`](crate::choices::Keep).
    pub choices: Vec<Choice>,
    /// Edits that met no choice.
    pub unmet: Vec<Edit>,
    /// How large it was.
    pub extent: Extent,
}

/// What the search is about to make smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Which faults strike.
    Faults,
    /// How many nodes there are.
    Nodes,
    /// How many operations and other things there are.
    Counts,
    /// When, where, how long, how bad.
    Values,
    /// The edits that do not matter.
    Edits,
}

/// Who tells the runs that the search asks for.
pub trait Teller {
    /// Tells the run with these edits; `None` ends the search, with the smallest run so far.
    fn tell(&mut self, edits: &Edits) -> Option<Told>;

    /// What comes now, and the smallest run so far.
    fn show(&mut self, stage: Stage, smallest: &Shrunk);
}

/// The smallest run that was found.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is forced in it.
    pub edits: Edits,
    /// How it ended.
    pub told: Told,
    /// False if the search was ended before it was through.
    pub is_finished: bool,
}

impl Shrunk {
    /// The run in one line: its faults, nodes, time, events and edits.
    pub fn text(&self) -> String {
        format!("{}, {} edits", text_of(&self.told), self.edits.count())
    }
}

/// Searches a smaller run that fails in the same way as the one with these edits.
///
/// The first is told first: the error is how it ended if it does not fail, or not like `reason`
/// where one is given; `None` if it was not told at all.
pub fn shrink(
    edits: Edits,
    reason: Option<&str>,
    teller: &mut dyn Teller,
) -> Result<Shrunk, Option<Told>> {
    let told = teller.tell(&edits).ok_or(None)?;
    let kind = told.failure.as_deref().map(kind_of);
    let is_same = reason.is_none() || reason.map(kind_of) == kind;
    let Some(kind) = kind.filter(|_| is_same) else { return Err(Some(told)) };
    let best = Shrunk { edits, told, is_finished: false };
    let mut search = Search { teller, kind, best, known: BTreeSet::new(), is_over: false };
    search.drop_unmet();
    search.run();
    search.best.is_finished = !search.is_over;
    Ok(search.best)
}

/// Forces one more choice to its smallest value.
fn smallest(edits: Edits, choice: &Choice) -> Edits {
    edits.with(&choice.site, choice.instance, choice.k, choice.min)
}

struct Search<'a> {
    teller: &'a mut dyn Teller,
    kind: String,
    best: Shrunk,
    /// What was told already, so that no run is told twice.
    known: BTreeSet<Edits>,
    is_over: bool,
}

impl Search<'_> {
    fn run(&mut self) {
        for _ in 0..ROUNDS_COUNT_MAX {
            let before = Size::of(&self.best.told);
            self.let_faults_pass();
            self.lower_each(Stage::Nodes, Part::Nodes);
            self.lower_each(Stage::Counts, Part::Count);
            self.simplify();
            self.lower_each(Stage::Values, Part::Other);
            if self.is_over || Size::of(&self.best.told) == before {
                break;
            }
        }
        self.take_back_edits();
    }

    /// Tells a run unless it is known; `Some` if it fails in the same way.
    fn tell(&mut self, edits: &Edits) -> Option<Told> {
        if self.is_over || !self.known.insert(edits.clone()) {
            return None;
        }
        let Some(told) = self.teller.tell(edits) else {
            self.is_over = true;
            return None;
        };
        let kind = told.failure.as_deref().map(kind_of);
        (kind.as_ref() == Some(&self.kind)).then_some(told)
    }

    /// Tells a run, and keeps it if it fails in the same way and is smaller; says whether.
    fn is_smaller(&mut self, edits: Edits) -> bool {
        let told = self.tell(&edits);
        let smaller = told.filter(|told| Size::of(told) < Size::of(&self.best.told));
        smaller.map(|told| self.keep(edits, told)).is_some()
    }

    fn keep(&mut self, edits: Edits, told: Told) {
        self.best = Shrunk { edits, told, is_finished: false };
        self.drop_unmet();
    }

    /// An edit that met no choice forces nothing.
    fn drop_unmet(&mut self) {
        let unmet = std::mem::take(&mut self.best.told.unmet);
        if !unmet.is_empty() {
            let met = self.best.edits.list().into_iter().filter(|edit| !unmet.contains(edit));
            self.best.edits = met.collect();
        }
    }

    /// The choices of the smallest run that could be smaller.
    fn odd(&self, part: Part) -> Vec<Choice> {
        let choices = self.best.told.choices.iter();
        let odd = choices.filter(|choice| choice.value > choice.min);
        odd.filter(|choice| part_of(&choice.site) == part).cloned().collect()
    }

    fn let_faults_pass(&mut self) {
        self.teller.show(Stage::Faults, &self.best);
        let faults = self.odd(Part::Fault);
        self.keep_few(&faults);
        self.let_pairs_pass();
    }

    /// A fault and its end often come together, and neither can be left out alone: where few are
    /// left, every two of them are tried.
    fn let_pairs_pass(&mut self) {
        loop {
            let faults = self.odd(Part::Fault);
            if faults.len() > PAIRED_COUNT_MAX {
                return;
            }
            let pairs = (0..faults.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
            let mut pairs = pairs.map(|(one, other)| [&faults[one], &faults[other]]);
            let is_smaller = pairs.any(|pair| {
                let edits = self.best.edits.clone();
                self.is_smaller(pair.into_iter().fold(edits, smallest))
            });
            if !is_smaller {
                return;
            }
        }
    }

    /// Every other choice of the plan becomes its smallest, except those that must not.
    fn simplify(&mut self) {
        self.teller.show(Stage::Values, &self.best);
        let others = self.odd(Part::Other);
        self.keep_few(&others);
    }

    /// Forces all of these to their smallest value, except as few as possible.
    fn keep_few(&mut self, choices: &[Choice]) {
        let base = self.best.edits.clone();
        ddmin(choices, &mut |kept| {
            let others = choices.iter().filter(|choice| !kept.contains(choice));
            self.is_smaller(others.fold(base.clone(), smallest))
        });
    }

    /// Gives each choice of this part a value as small as it can have.
    fn lower_each(&mut self, stage: Stage, part: Part) {
        self.teller.show(stage, &self.best);
        for choice in self.odd(part) {
            self.lower(&choice);
        }
    }

    /// Lowers one choice: value by value from below if there are few, else by bisection.
    fn lower(&mut self, choice: &Choice) {
        let Choice { min, value, .. } = *choice;
        if choice.means.is_some() || value - min <= VALUES_COUNT_MAX {
            let _first = (min..value).find(|lower| self.is_lowered(choice, *lower));
            return;
        }
        if self.is_lowered(choice, min) {
            return;
        }
        // From here on it fails with `high`, and not in the same way, as far as tried, with `low`.
        let (mut low, mut high) = (min, value);
        while high - low > 1 && !self.is_over {
            let middle = low + (high - low) / 2;
            match self.is_lowered(choice, middle) {
                true => high = middle,
                false => low = middle,
            }
        }
    }

    /// A choice that decides about others, such as how many nodes there are, may change them too:
    /// a second try forces them to stay.
    fn is_lowered(&mut self, choice: &Choice, value: u64) -> bool {
        let Choice { site, instance, k, .. } = choice;
        if self.is_smaller(self.best.edits.clone().with(site, *instance, *k, value)) {
            return true;
        }
        let is_plain = match part_of(site) {
            Part::Nodes | Part::Count => false,
            Part::Fault | Part::Other | Part::Stream => true,
        };
        if is_plain {
            return false;
        }
        let plan = self.best.told.choices.iter().filter(|one| part_of(&one.site) != Part::Stream);
        let pinned = plan.fold(self.best.edits.clone(), |edits, one| {
            edits.with(&one.site, one.instance, one.k, one.value)
        });
        self.is_smaller(pinned.with(site, *instance, *k, value))
    }

    /// Takes back what does not matter: first edits without which it is the very same run, then
    /// those without which the run is no larger.
    fn take_back_edits(&mut self) {
        self.teller.show(Stage::Edits, &self.best);
        // A fault that strikes without effect is still one more to read about.
        let plan = |told: &Told| {
            let Size { faults_count, machines_count, counts_sum, .. } = Size::of(told);
            (faults_count, machines_count, counts_sum)
        };
        let same = |one: &Told, other: &Told| {
            (&one.failure, one.extent) == (&other.failure, other.extent) && plan(one) <= plan(other)
        };
        ddmin(&self.best.edits.list(), &mut |kept| {
            let edits: Edits = kept.iter().cloned().collect();
            let told = self.tell(&edits).filter(|told| same(told, &self.best.told));
            told.map(|told| self.keep(edits, told)).is_some()
        });
        for edit in self.best.edits.list() {
            let others = self.best.edits.list().into_iter().filter(|other| *other != edit);
            let edits: Edits = others.collect();
            let told = self.tell(&edits);
            let no_larger = told.filter(|told| Size::of(told) <= Size::of(&self.best.told));
            if let Some(told) = no_larger {
                self.keep(edits, told);
            }
        }
    }
}
