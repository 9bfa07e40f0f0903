//! `marks`: which telling places of the nodes' code the scenarios meet.

use std::collections::BTreeMap;

use clap::Args;
use quorate_core::observe::{MARKS, Marks};
use quorate_sim::scenarios::{self, required_marks};

#[derive(Debug, Args)]
pub(super) struct MarksOf {
    /// Seeds of each scenario, from 1.
    #[arg(long, value_name = "COUNT", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

impl MarksOf {
    pub(super) fn obey(self) -> bool {
        let mut is_good = true;
        let mut columns: Vec<(&str, BTreeMap<&str, u64>)> = Vec::new();
        for scenario in scenarios::ALL {
            let mut met: BTreeMap<&str, u64> = BTreeMap::new();
            for seed in 1..=self.seeds {
                match scenario.run(seed) {
                    Ok(report) => count(&mut met, report.marks),
                    Err(text) => {
                        println!("{text}");
                        is_good = false;
                    }
                }
            }
            for missed in
                required_marks(scenario.name).iter().filter(|name| !met.contains_key(*name))
            {
                println!("{} does not meet {missed}, which it must", scenario.name);
                is_good = false;
            }
            columns.push((scenario.name, met));
        }
        print(&columns, self.seeds);
        for mark in MARKS {
            if columns.iter().all(|(_, met)| !met.contains_key(mark.name)) {
                println!("no scenario meets {}: {}", mark.name, mark.means);
                is_good = false;
            }
        }
        is_good
    }
}

fn count(met: &mut BTreeMap<&'static str, u64>, marks: Marks) {
    for name in marks.names() {
        *met.entry(name).or_default() += 1;
    }
}

/// A row for each mark, a column for each scenario: how many of the seeds have met it.
fn print(columns: &[(&str, BTreeMap<&str, u64>)], seeds_count: u64) {
    println!("runs that met each mark, of {seeds_count} seeds of each scenario:");
    for (at, (scenario, _)) in columns.iter().enumerate() {
        println!("{:>3}  {scenario}", at + 1);
    }
    let numbers = (1..=columns.len()).map(|number| format!("{number:>4}"));
    println!("{:36}{}", "", numbers.collect::<String>());
    for mark in MARKS {
        let cell = |(_, met): &(&str, BTreeMap<&str, u64>)| match met.get(mark.name) {
            Some(count) => format!("{count:>4}"),
            None => "   .".to_owned(),
        };
        println!("{:36}{}", mark.name, columns.iter().map(cell).collect::<String>());
    }
}
