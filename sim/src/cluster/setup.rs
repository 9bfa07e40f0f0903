//! How a cluster begins: its size, its settings, its state machine, and the seed's weather.
//!
//! The weather is what differs from run to run without being a fault: latencies, disks, clock
//! rates. Half of the runs have each kind, so that each is also absent (swarm testing).
//! Source: Groce et al. 2012.

use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;

use quorate_core::StateMachine;
use quorate_core::config::{ApiSettings, ClusterSettings, MemberSettings, NodeSettings, Settings};
use quorate_core::observe;
use quorate_core::ports::Env;
use quorate_core::security::ClusterSecret;

use super::diagram::Diagram;
use super::node::{Made, Node};
use super::passwords::local_admin;
use super::software::{self, address};
use super::{Client, Cluster, DEFAULT_BOUND_MS, Objects};
use crate::checkers::{self, Checker, History, Ledger};
use crate::choices::{Choices, number};
use crate::world::{LinkSettings, World};

/// Makes the state machine of a node at each boot.
pub type StateMachines = Rc<dyn Fn() -> Box<dyn StateMachine>>;

/// A cluster that has no seed yet.
pub struct Setup {
    nodes_count: u8,
    tune: Box<dyn Fn(&mut ClusterSettings)>,
    machines: StateMachines,
    links: Option<LinkSettings>,
    has_api: bool,
    is_stopped: bool,
    is_protected: Option<bool>,
    is_enlisting: bool,
    is_guarded: bool,
    software: Option<software::Boot>,
    disk: Vec<(PathBuf, Vec<u8>)>,
}

impl Setup {
    pub(super) fn of(nodes_count: u8) -> Setup {
        let machines: StateMachines = Rc::new(|| Box::new(Objects::default()));
        let tune = Box::new(|_: &mut ClusterSettings| ());
        Setup {
            nodes_count,
            tune,
            machines,
            links: None,
            has_api: true,
            is_stopped: false,
            is_protected: None,
            is_enlisting: false,
            is_guarded: false,
            software: None,
            disk: Vec::new(),
        }
    }

    /// Changes the settings that all nodes share.
    #[must_use]
    pub fn tune(mut self, tune: impl Fn(&mut ClusterSettings) + 'static) -> Setup {
        self.tune = Box::new(tune);
        self
    }

    /// Another state machine than the [`Objects`]. Named writes and reads are then not for it.
    #[must_use]
    pub fn machine<M: StateMachine>(mut self, make: impl Fn() -> M + 'static) -> Setup {
        self.machines = Rc::new(move || Box::new(make()));
        self
    }

    /// Files that lie on the disk of `n1` before its first start.
    #[must_use]
    pub fn disk(mut self, files: Vec<(PathBuf, Vec<u8>)>) -> Setup {
        self.disk = files;
        self
    }

    /// This software on every machine, instead of nodes of Quorate. `start` runs at every boot;
    /// what it returns answers [`Cluster::ask`] for as long as that process lives.
    ///
    /// Machines are `n1`, `n2`, ... at [`address`]`(1)`, `(2)`, ... Verbs about leaders, writes and
    /// reads are for nodes and fail here; [`Cluster::always`] says what must hold.
    #[must_use]
    pub fn software<H: 'static, F: Future<Output = H> + 'static>(
        mut self,
        start: impl Fn(Env) -> F + 'static,
    ) -> Setup {
        self.software = Some(software::boot(start));
        self
    }

    /// Whether the nodes share a secret and protect what they send with it. Without this the seed
    /// decides: most runs do.
    #[must_use]
    pub fn protected(mut self, is_protected: bool) -> Setup {
        self.is_protected = Some(is_protected);
        self
    }

    /// These links and no weather at all.
    #[must_use]
    pub fn links(mut self, links: LinkSettings) -> Setup {
        self.links = Some(links);
        self
    }

    /// No node is started: the scenario does it, with [`Cluster::restart`], and so it sees how a
    /// cluster is founded.
    #[must_use]
    pub fn stopped(mut self) -> Setup {
        self.is_stopped = true;
        self
    }

    /// No node has a cluster: the scenario orders one to start one, and the others to join it.
    #[must_use]
    pub fn enlisting(mut self) -> Setup {
        self.is_enlisting = true;
        self
    }

    /// The API of every node asks for a password: [`FIRST_PASSWORD`](super::FIRST_PASSWORD), until
    /// the cluster has another.
    #[must_use]
    pub fn guarded(mut self) -> Setup {
        self.is_guarded = true;
        self
    }

    /// Starts every node and runs until one of them acts; neither if they are to begin stopped.
    pub fn seed(self, seed: u64) -> Cluster {
        observe::begin();
        let choices = Choices::of(seed);
        let world = World::of(choices.clone());
        world.exempt_panics(quorate_core::replication::is_panic_guarded);
        let history = History::default();
        let nodes: Vec<Node> = match &self.software {
            None => self.declare_nodes(&world, &history, &choices),
            Some(boot) => {
                let declare = |number| {
                    let place = (format!("n{number}"), address(number));
                    Node::declare_software(&world, place, boot.clone())
                };
                (1..=self.nodes_count).map(declare).collect()
            }
        };
        match self.links {
            Some(links) => world.set_links(links),
            None => make_weather(&world, &nodes, &choices),
        }
        world.remember_usual();
        for (path, bytes) in &self.disk {
            let written = world.disk(nodes[0].machine).replace(path, bytes);
            written.expect("an outside look meets no fault");
        }
        for node in nodes.iter().filter(|_| !self.is_stopped) {
            node.start(&world);
        }
        let diagram = Diagram::begin(&world, nodes.len());
        let mut cluster = Cluster {
            world,
            diagram,
            caller: Client::new(&choices, 0),
            choices,
            nodes,
            history,
            checkers: self.checkers(),
            always: Vec::new(),
            ledger: Ledger::default(),
            books: Default::default(),
            writers: None,
            atlas: Default::default(),
            margins: Default::default(),
            members_agree: Default::default(),
            excused: Default::default(),
            coverage: Default::default(),
            goes_on: Default::default(),
            pretended: Default::default(),
            tokens: Default::default(),
        };
        if self.software.is_none() && !self.is_stopped && !self.is_enlisting {
            cluster.within_ms(DEFAULT_BOUND_MS).one_leads();
        }
        cluster
    }

    fn checkers(&self) -> Vec<Box<dyn Checker>> {
        if self.software.is_some() {
            return Vec::new();
        }
        let mut shared = ClusterSettings::of(Vec::new());
        (self.tune)(&mut shared);
        checkers::all(shared.snapshot_entries_count)
    }

    fn declare_nodes(&self, world: &World, history: &History, choices: &Choices) -> Vec<Node> {
        let is_protected = choices.chosen("weather.is_protected", 0).chance(0.75);
        let secret = self.is_protected.unwrap_or(is_protected).then(secret);
        let members: Vec<MemberSettings> = (1..=self.nodes_count).map(member).collect();
        let mut shared = ClusterSettings::of(members.clone());
        shared.is_network_private = true;
        if self.is_enlisting {
            shared.members.clear();
        }
        (self.tune)(&mut shared);
        let declare = |(at, member): (usize, &MemberSettings)| {
            let mut node = NodeSettings::listed(&member.name, "/data");
            node.address = self.is_enlisting.then_some(member.address);
            let mut settings = Settings::new(node, shared.clone());
            settings.api = ApiSettings { enabled: self.has_api, ..settings.api };
            settings.security.secret.clone_from(&secret);
            settings.security.local_admin = self.is_guarded.then(local_admin);
            let (machines, history) = (self.machines.clone(), history.clone());
            Node::declare(world, at, Made { settings, machines, history })
        };
        members.iter().enumerate().map(declare).collect()
    }
}

/// What the nodes of every simulated cluster have in common.
pub(super) fn secret() -> ClusterSecret {
    ClusterSecret::from_text("nobody in this world can guess it").expect("it is long enough")
}

pub(super) fn member(number: u8) -> MemberSettings {
    MemberSettings::at(&format!("n{number}"), address(number))
}

fn make_weather(world: &World, nodes: &[Node], choices: &Choices) {
    let has = |site| choices.chosen(site, 0).chance(0.5);
    let mut links = LinkSettings::default();
    if has("weather.has_slow_links") {
        links.latency_us_max = choices.chosen("weather.latency_us_max", 0).between(1_200, 5_999);
    }
    if has("weather.has_lossy_links") {
        links.loss = 0.002;
        links.duplication = 0.002;
    }
    world.set_links(links);
    let drifts = has("weather.has_drifting_clocks");
    let slow_disks = has("weather.has_slow_disks");
    for (at, node) in nodes.iter().enumerate() {
        let machine = number(at);
        if drifts {
            let ppm = choices.chosen("weather.clock_drift_ppm", machine).between(0, 4_500) as i64;
            let is_slow = choices.chosen("weather.is_clock_slow", machine).chance(0.5);
            world.set_clock_drift_ppm(node.machine, if is_slow { -ppm } else { ppm });
        }
        if slow_disks {
            let ms_max = choices.chosen("weather.disk_latency_ms_max", machine).between(1, 7);
            world.set_disk_latency(node.machine, 0, ms_max);
        }
    }
}
