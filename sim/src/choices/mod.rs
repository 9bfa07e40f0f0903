//! Choices: everything that a run leaves to chance, by the site where it is decided.
//!
//! A run is a scenario, a seed, and edits. A site is a name and an instance (a machine, a client, a
//! gust of a storm); its `k`-th choice is a function of seed, site and `k`, and of nothing else.
//! So randomness that is added in one place leaves all others alone, and a run is changed in one
//! place by forcing one choice.
//!
//! Invariants
//! - Nothing else in this crate draws lots; the tidy rule "one choice stream" looks for it.
//! - A site that is handed out again goes on counting: no two draws of a run have the same number.
//! - Machines count from 1 in instances, as their names do; a pair of numbers is the first times a
//!   million plus the second: link 1000003 goes from the first machine to the third.
//!
//! Read next: [`Choices`], `dice.rs` for how a value is made, `file.rs` for runs as data.
//! Source: MacIver & Donaldson 2020, "Test-Case Reduction via Test-Case Generation" (choices as
//! what a failure is reduced by).

mod dice;
mod edits;
mod entropy;
mod file;

#[cfg(test)]
mod tests;

pub use dice::Dice;
pub use edits::{Choice, Edit, Edits};
pub use file::ChoiceFile;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub(crate) use dice::mix;
use dice::{Record, Site, Watch};
pub(crate) use entropy::BootEntropy;

const PAIR: u64 = 1_000_000;

thread_local! {
    /// The run that this thread tells.
    static RUN: RefCell<Option<Choices>> = const { RefCell::new(None) };
}

/// Which choices a run records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None, as long runs need it.
    Nothing,
    /// Those of scenarios, clients and weather: what a reader wants to know.
    Chosen,
    /// Also each delay of each packet and job. This takes some memory.
    Everything,
}

/// How large a run was, also one that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Machines of its world.
    pub machines_count: u64,
    /// How long it took, in simulated time.
    pub simulated_ms: u64,
    /// How many events its hash stands for.
    pub events_count: u64,
    /// Equal exactly if two runs were equal.
    pub event_hash: u64,
}

/// All choices of one run. Clones are the same run.
#[derive(Clone, Debug)]
pub struct Choices(Arc<Run>);

#[derive(Debug)]
struct Run {
    seed: u64,
    edits: Edits,
    keep: Keep,
    /// See [`Choices::trial`].
    is_trial: bool,
    extent: Mutex<Extent>,
    record: Record,
    /// By name and instance.
    sites: Mutex<BTreeMap<String, BTreeMap<u64, Arc<Site>>>>,
}

impl Choices {
    /// The run that this thread tells, if it has this seed; else a run without edits and record.
    pub fn of(seed: u64) -> Choices {
        let told = RUN.with_borrow(|run| run.clone().filter(|choices| choices.0.seed == seed));
        told.unwrap_or_else(|| Choices::new(seed, Edits::default(), Keep::Nothing))
    }

    /// A run in which nothing was drawn yet.
    pub fn new(seed: u64, edits: Edits, keep: Keep) -> Choices {
        Choices::begin(seed, edits, keep, false)
    }

    /// The same for one of many tries: nobody reads its panic, which is not printed, and whoever
    /// tells it gives up on it where it hangs, so that this does not end the process.
    pub fn trial(seed: u64, edits: Edits, keep: Keep) -> Choices {
        Choices::begin(seed, edits, keep, true)
    }

    fn begin(seed: u64, edits: Edits, keep: Keep, is_trial: bool) -> Choices {
        let (extent, record, sites) = Default::default();
        Choices(Arc::new(Run { seed, edits, keep, is_trial, extent, record, sites }))
    }

    /// The same run from its beginning.
    #[must_use]
    pub fn again(&self) -> Choices {
        Choices::begin(self.0.seed, self.0.edits.clone(), self.0.keep, self.0.is_trial)
    }

    /// How large its world was when it ended; nothing before.
    pub fn extent(&self) -> Extent {
        *self.0.extent.lock().expect("no code panics while it holds this")
    }

    pub(crate) fn note_extent(&self, extent: Extent) {
        *self.0.extent.lock().expect("no code panics while it holds this") = extent;
    }

    pub(crate) fn is_trial(&self) -> bool {
        self.0.is_trial
    }

    /// The seed of what is not forced.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// What is forced.
    pub fn edits(&self) -> &Edits {
        &self.0.edits
    }

    /// A site for what happens all the time, such as the delay of a packet: not recorded unless
    /// everything is.
    pub fn site(&self, name: &str, instance: u64) -> Dice {
        self.hand_out(name, instance, self.0.keep == Keep::Everything)
    }

    /// A site at which a scenario or a client chooses: recorded, so that a reader sees the plan.
    pub fn chosen(&self, name: &str, instance: u64) -> Dice {
        self.hand_out(name, instance, self.0.keep != Keep::Nothing)
    }

    fn hand_out(&self, name: &str, instance: u64, is_recorded: bool) -> Dice {
        let Run { seed, edits, record, sites, .. } = &*self.0;
        let mut sites = sites.lock().expect("no code panics while it holds this");
        if !sites.contains_key(name) {
            sites.insert(name.to_owned(), BTreeMap::new());
        }
        let of_name = sites.get_mut(name).expect("it is there since two lines");
        let site = of_name.entry(instance).or_insert_with(|| {
            let forced = edits.at(name, instance);
            let watch = (is_recorded || !forced.is_empty()).then(|| Watch {
                name: name.to_owned(),
                instance,
                forced,
                record: is_recorded.then(|| record.clone()),
            });
            Arc::new(Site::new(*seed, name, instance, watch))
        });
        Dice(site.clone())
    }

    /// The recorded choices so far, in the order in which they were made.
    pub fn recorded(&self) -> Vec<Choice> {
        self.0.record.lock().expect("no code panics while it holds this").clone()
    }

    /// Edits of choices that the run has not made (so far): their site has another name, or its
    /// story went another way.
    pub fn unmet_edits(&self) -> Vec<Edit> {
        let sites = self.0.sites.lock().expect("no code panics while it holds this");
        let drawn_count =
            |edit: &Edit| sites.get(&edit.site)?.get(&edit.instance).map(|site| site.drawn_count());
        let is_unmet = |edit: &Edit| !(1..=drawn_count(edit).unwrap_or(0)).contains(&edit.k);
        self.0.edits.list().into_iter().filter(is_unmet).collect()
    }
}

/// From here on this thread tells this run: [`Choices::of`] its seed gives it.
pub(crate) fn tell(choices: Choices) {
    RUN.set(Some(choices));
}

/// Whether this thread tells a [`Choices::trial`]. Asked where code panics: it never does.
pub(crate) fn tells_trial() -> bool {
    let told = RUN.try_with(|run| {
        let run = run.try_borrow().ok()?;
        run.as_ref().map(Choices::is_trial)
    });
    told.ok().flatten().unwrap_or(false)
}

/// The instance of a machine by its place among the machines, from 0.
pub(crate) fn number(place: usize) -> u64 {
    place as u64 + 1
}

/// The instance of something between two things, or of the `second` time of one.
pub(crate) fn pair(first: u64, second: u64) -> u64 {
    first * PAIR + second
}
