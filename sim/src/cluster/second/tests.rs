//! The ordinary stories, told to both worlds.

use super::*;
use crate::cluster::Cluster;
use crate::run_isolated;

const SEEDS: [u64; 3] = [1, 2, 3];

#[test]
fn the_ordinary_stories_end_well_in_the_first_world() {
    for Story { name: _, nodes_count, tell } in STORIES {
        for seed in SEEDS {
            run_isolated(move || tell(&mut Cluster::of(nodes_count).seed(seed)));
        }
    }
}

#[test]
fn the_ordinary_stories_end_well_in_the_second_world() {
    for Story { name: _, nodes_count, tell } in STORIES {
        for seed in SEEDS {
            run_isolated(move || tell(&mut SecondCluster::of(nodes_count, seed)));
        }
    }
}
