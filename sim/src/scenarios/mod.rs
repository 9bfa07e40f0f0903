//! Stories with an outcome, each a plain function of a seed.
//!
//! The tests run each with a few fixed seeds and sweep many on request; the `quorate-sim` program
//! runs one by name with any seed.
//!
//! Read next: any of them, then `cluster/` for the words they are told in.

mod growth;
mod half_outage;
mod half_partition;
mod hunt_bad_settings;
mod hunt_called_down;
mod hunt_chance;
mod hunt_dark_leader;
mod hunt_dead_addresses;
mod hunt_failed_sync;
mod hunt_founding;
mod hunt_handover;
mod hunt_intruders;
mod hunt_joint;
mod hunt_lease;
mod hunt_left_behind;
mod hunt_long_dark;
mod hunt_old_store;
mod hunt_passwords;
mod hunt_poor_links;
mod hunt_reads;
mod hunt_repeats;
mod hunt_reused_id;
mod hunt_rot;
mod hunt_slow_disks;
mod hunt_strangers;
mod hunt_switchover;
mod hunt_transactions;
mod join_by_token;
mod leader_crash;
mod marks;
mod members_change;
mod old_store;
mod power_cut_in_commit;
mod soak;
mod storm;

pub use marks::required_marks;
pub use soak::{Size, Soaked, soak};

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use crate::choices::{self, ChoiceFile, Choices, Edits, Keep};
use crate::cluster::{Report, again, keep_diagram, keep_history, name_scenario};
use crate::world::run_isolated;

/// A story and its name on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// As in `quorate-sim run NAME`.
    pub name: &'static str,
    /// Tells it; panics if a promise does not hold.
    pub tell: fn(u64) -> Report,
}

/// What of a run is kept in files, however it ends.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// What clients asked and were told, one line of JSON each.
    pub history: Option<PathBuf>,
    /// The diagram, as a page for a browser.
    pub diagram: Option<PathBuf>,
}

/// Clients that have written too little by the end of a story go on until then.
const WRITTEN_BY_MS: u64 = 20_000;

/// Every scenario.
pub const ALL: [Scenario; 37] = [
    Scenario { name: "leader_crash", tell: leader_crash::the_leader_crashes_and_comes_back },
    Scenario { name: "half_partition", tell: half_partition::half_of_the_cluster_is_cut_off },
    Scenario { name: "half_outage", tell: half_outage::half_of_the_cluster_goes_down },
    Scenario { name: "growth", tell: growth::the_first_node_freezes_while_the_cluster_grows },
    Scenario { name: "members_change", tell: members_change::two_members_join_and_one_leaves },
    Scenario {
        name: "join_by_token",
        tell: join_by_token::two_nodes_join_by_tokens_while_machines_fail,
    },
    Scenario {
        name: "power_cut_in_commit",
        tell: power_cut_in_commit::the_power_fails_in_the_middle_of_a_commit,
    },
    Scenario { name: "power_cut_everywhere", tell: storm::the_power_fails_everywhere },
    Scenario { name: "storm", tell: storm::a_storm_of_every_fault_passes },
    Scenario { name: "storm_of_disks", tell: storm::a_storm_of_disks_passes },
    Scenario { name: "storm_of_links", tell: storm::a_storm_of_links_passes },
    Scenario { name: "storm_of_clocks", tell: storm::a_storm_of_clocks_passes },
    Scenario { name: "change_in_a_storm", tell: storm::the_members_change_in_a_storm },
    Scenario {
        name: "hunt_bad_settings",
        tell: hunt_bad_settings::bad_settings_are_refused_and_start_nothing,
    },
    Scenario {
        name: "hunt_called_down",
        tell: hunt_called_down::who_was_called_down_is_seen_alive_again,
    },
    Scenario { name: "hunt_chance", tell: hunt_chance::the_same_seed_is_told_two_times },
    Scenario {
        name: "hunt_dark_leader",
        tell: hunt_dark_leader::the_leaders_machine_goes_dark_while_replicas_wait_for_it,
    },
    Scenario {
        name: "hunt_dead_addresses",
        tell: hunt_dead_addresses::one_living_address_of_three_is_enough,
    },
    Scenario {
        name: "hunt_failed_sync",
        tell: hunt_failed_sync::every_disk_fails_to_sync_and_the_power_goes,
    },
    Scenario {
        name: "hunt_founding",
        tell: hunt_founding::a_founder_dies_while_the_cluster_is_founded,
    },
    Scenario { name: "hunt_lease", tell: hunt_lease::the_others_start_anew_while_a_lease_holds },
    Scenario {
        name: "hunt_passwords",
        tell: hunt_passwords::a_password_is_changed_while_machines_fail,
    },
    Scenario { name: "hunt_poor_links", tell: hunt_poor_links::a_leader_with_poor_links_gives_way },
    Scenario {
        name: "hunt_reads",
        tell: hunt_reads::a_leader_that_was_cut_off_is_asked_for_values,
    },
    Scenario {
        name: "hunt_repeats",
        tell: hunt_repeats::a_repeated_request_is_answered_and_not_executed,
    },
    Scenario {
        name: "hunt_reused_id",
        tell: hunt_reused_id::a_joiner_never_gets_the_id_of_one_that_left,
    },
    Scenario { name: "hunt_rot", tell: hunt_rot::a_node_with_a_damaged_entry_does_not_start },
    Scenario {
        name: "hunt_switchover",
        tell: hunt_switchover::leadership_is_handed_on_while_clients_write,
    },
    Scenario {
        name: "hunt_transactions",
        tell: hunt_transactions::a_transaction_happens_as_a_whole_or_not_at_all,
    },
    Scenario { name: "hunt_handover", tell: hunt_handover::a_hand_over_is_cut_in_the_middle },
    Scenario {
        name: "hunt_intruders",
        tell: hunt_intruders::who_has_not_the_secret_and_what_was_recorded_changes_nothing,
    },
    Scenario { name: "hunt_joint", tell: hunt_joint::the_leader_dies_in_a_joint_change },
    Scenario { name: "hunt_left_behind", tell: hunt_left_behind::a_node_comes_back_far_behind },
    Scenario {
        name: "hunt_long_dark",
        tell: hunt_long_dark::a_log_does_not_grow_for_a_member_that_is_away,
    },
    Scenario { name: "hunt_old_store", tell: hunt_old_store::a_store_of_an_older_build_is_served },
    Scenario {
        name: "hunt_slow_disks",
        tell: hunt_slow_disks::disks_are_slow_when_leadership_changes,
    },
    Scenario {
        name: "hunt_strangers",
        tell: hunt_strangers::a_leader_is_alone_for_long_and_strangers_talk,
    },
];

/// Tells a story on a thread of its own, with the choices of the run that this thread tells.
fn retell(scenario: Scenario, seed: u64) -> Result<Report, String> {
    scenario.run_with(&Choices::of(seed).again(), None)
}

/// The scenario of that name.
pub fn by_name(name: &str) -> Option<Scenario> {
    ALL.into_iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Tells it with this seed, on a thread of its own. The error is what a reader needs to find
    /// out what went wrong: the line to repeat it, the reason, the last events.
    pub fn run(self, seed: u64) -> Result<Report, String> {
        self.run_and_keep(seed, None)
    }

    /// The same; the history of its clients is in this file afterwards, however it ended.
    pub fn run_and_keep(self, seed: u64, history: Option<PathBuf>) -> Result<Report, String> {
        self.run_with(&Choices::new(seed, Edits::default(), Keep::Nothing), history)
    }

    /// Tells it two times with this seed; a difference is an error, too: what a seed finds must be
    /// found again.
    pub fn run_twice(self, seed: u64) -> Result<Report, String> {
        self.run_twice_with(&Choices::new(seed, Edits::default(), Keep::Nothing))
    }

    /// The same with edits. What was recorded is that of the first run.
    pub fn run_twice_with(self, choices: &Choices) -> Result<Report, String> {
        let again = choices.again();
        let (first, second) = (self.run_with(choices, None)?, self.run_with(&again, None)?);
        if first == second {
            return Ok(first);
        }
        let Scenario { name, tell: _ } = self;
        let seed = choices.seed();
        Err(format!("{name}, seed {seed}: two runs differ: {first:?}, {second:?}"))
    }

    /// Tells it with these choices, of which none was made yet. What was recorded of them is there
    /// afterwards, however it ended.
    pub fn run_with(self, choices: &Choices, history: Option<PathBuf>) -> Result<Report, String> {
        self.run_keeping(choices, Kept { history, ..Kept::default() })
    }

    /// The same; what is to be kept of it is in its files afterwards.
    pub fn run_keeping(self, choices: &Choices, kept: Kept) -> Result<Report, String> {
        let Scenario { name, tell } = self;
        let told = panic::catch_unwind(AssertUnwindSafe(|| {
            let choices = choices.clone();
            run_isolated(move || {
                let seed = choices.seed();
                choices::tell(choices);
                name_scenario(name);
                keep_history(kept.history);
                keep_diagram(kept.diagram);
                tell(seed)
            })
        }));
        told.map_err(|panicked| {
            let text = panicked
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panicked.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without text");
            format!("{}\n{text}", again(Some(name), choices))
        })
    }

    /// How a run with these choices ended, as a file that repeats it and can be edited.
    pub fn choice_file(self, choices: &Choices, told: &Result<Report, String>) -> ChoiceFile {
        let ended = match told {
            Ok(report) => Ok(report.event_hash),
            // The line that repeats it comes first, the reason next.
            Err(text) => Err(text.lines().nth(1).unwrap_or(text)),
        };
        ChoiceFile::of(self.name, choices, ended)
    }
}
