//! A failure planted into a real cluster: a checker that refuses that n2 is frozen while n1 is
//! down. And a story that hangs once nothing strikes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::checkers::{Checker, Seen};
use crate::choices::{ChoiceFile, Choices, Edits, Keep};
use crate::cluster::{Cluster, Report};
use crate::scenarios::Scenario;
use crate::shrink::{Limits, Runner, Size};

const LIMITS: Limits = Limits {
    runs_count_max: 1_000,
    wall: Duration::from_secs(300),
    run_wall: Duration::from_secs(60),
};

/// Whether n2 is frozen; that n1 is down is seen.
struct Refuses(Rc<Cell<bool>>);

impl Checker for Refuses {
    fn check(&mut self, seen: &[Seen]) -> Result<(), String> {
        let is_down = seen.iter().all(|node| node.at != 0);
        match is_down && self.0.get() {
            true => Err(format!("n2 is frozen while n1 is down, {} nodes run", seen.len())),
            false => Ok(()),
        }
    }
}

fn planted(seed: u64) -> Report {
    let choices = Choices::of(seed);
    let nodes = [("three", 3), ("four", 4), ("five", 5)];
    let nodes_count = *choices.chosen("planted.nodes", 0).one_of(&nodes);
    let gusts_count = choices.chosen("planted.gusts_count", 0).between(2, 12);
    let mut cluster = Cluster::of(nodes_count).seed(seed);
    let is_frozen = Rc::new(Cell::new(false));
    cluster.check_with(Box::new(Refuses(is_frozen.clone())));
    let mut fares = vec!["well"; usize::from(nodes_count)];
    for number in 1..=gusts_count {
        let site = |name: &str| choices.chosen(&format!("planted.gust.{name}"), number);
        cluster.run_for_ms(site("pause_ms").between(20, 199));
        let at = site("node").between(1, u64::from(nodes_count)) as usize;
        let fault = *site("fault").one_of(&[("crash", "down"), ("freeze", "frozen")]);
        if !site("strikes").chance(0.9) {
            continue;
        }
        let name = format!("n{at}");
        let after = if fares[at - 1] == "well" { fault } else { "well" };
        match (fares[at - 1], after) {
            ("down", _) => cluster.restart(&[&name]),
            ("frozen", _) => cluster.thaw(&[&name]),
            (_, "down") => cluster.crash(&[&name]),
            (_, _) => cluster.freeze(&[&name]),
        }
        fares[at - 1] = after;
        is_frozen.set(fares[1] == "frozen");
    }
    cluster.run_for_ms(100);
    cluster.report()
}

/// The file of a run, told as a trial.
fn told(scenario: Scenario, seed: u64) -> ChoiceFile {
    let choices = Choices::trial(seed, Edits::default(), Keep::Chosen);
    let told = scenario.run_with(&choices, None);
    scenario.choice_file(&choices, &told)
}

#[test]
fn a_failure_of_a_real_cluster_is_brought_down_to_its_two_faults() {
    let scenario = Scenario { name: "planted", tell: planted };
    let file = (1..50).map(|seed| told(scenario, seed)).find(|file| file.failure.is_some());
    let file = file.expect("one in a few seeds fails");
    let mut runner = Runner::new(scenario, file.seed, LIMITS, false);
    let shrunk = runner.shrink(&file).expect("it fails again");
    println!("{} after {} runs in {:?}", shrunk.text(), runner.runs_count(), runner.wall());
    assert!(shrunk.is_finished, "{} runs", runner.runs_count());
    let size = Size::of(&shrunk.told);
    assert_eq!((size.faults_count, size.machines_count), (2, 3), "{}", shrunk.text());
    assert!(shrunk.told.extent.simulated_ms > 0 && shrunk.told.extent.events_count > 0);

    // Told again, it is the same run: no edit was lost, none is in vain.
    let choices = Choices::trial(file.seed, shrunk.edits.clone(), Keep::Chosen);
    let again = scenario.run_with(&choices, None);
    assert_eq!(scenario.choice_file(&choices, &again).failure, shrunk.told.failure);
    assert_eq!(choices.unmet_edits(), []);
    assert_eq!(choices.recorded(), shrunk.told.choices);
    let failure = shrunk.told.failure.expect("it fails");
    assert!(failure.contains("n2 is frozen while n1 is down"), "{failure}");
}

/// Fails once the first of eight strikes, and never ends if none does.
fn hangs(seed: u64) -> Report {
    let choices = Choices::of(seed);
    let strike = |number| choices.chosen("hangs.gust.strikes", number).chance(0.99);
    let striking: Vec<u64> = (1..=8).filter(|number| strike(*number)).collect();
    while striking.is_empty() {
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(!striking.contains(&1), "the first one struck");
    panic!("another one struck");
}

#[test]
fn a_run_that_hangs_is_left_behind() {
    let scenario = Scenario { name: "hangs", tell: hangs };
    let file = told(scenario, 1);
    let began = Instant::now();
    let limits = Limits { run_wall: Duration::from_secs(3), ..LIMITS };
    let shrunk = Runner::new(scenario, 1, limits, false).shrink(&file).expect("it fails again");
    assert_eq!(Size::of(&shrunk.told).faults_count, 1, "{}", shrunk.text());
    assert!(shrunk.text().starts_with("1 of 8 gusts strike (1)"), "{}", shrunk.text());
    assert!(shrunk.is_finished && began.elapsed() >= limits.run_wall);
}

#[test]
fn a_search_ends_at_its_deadline_in_the_middle_of_a_run() {
    let scenario = Scenario { name: "hangs", tell: hangs };
    let file = told(scenario, 1);
    let limits = Limits { wall: Duration::from_secs(2), ..LIMITS };
    let began = Instant::now();
    let shrunk = Runner::new(scenario, 1, limits, false).shrink(&file).expect("it fails again");
    assert!(!shrunk.is_finished && shrunk.told.failure.is_some());
    assert!(began.elapsed() < limits.run_wall, "{:?}", began.elapsed());
}
