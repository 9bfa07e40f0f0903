//! `soak`: a long quiet run.

use clap::Args;
use quorate_sim::scenarios;

#[derive(Debug, Args)]
pub(super) struct Soak {
    /// Voters.
    nodes: u8,
    /// Simulated minutes.
    minutes: u64,
}

impl Soak {
    pub(super) fn obey(self) -> bool {
        let soaked = scenarios::soak(self.nodes, self.minutes * 60_000, 1);
        soaked.sizes.iter().for_each(|size| println!("{size:?}"));
        println!("{:?}", soaked.report);
        println!("{:.0} simulated seconds per wall second", soaked.rate);
        true
    }
}
