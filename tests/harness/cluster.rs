//! Clusters of real daemons for tests, each on addresses of its own.
//!
//! Invariants
//! - When a [`Cluster`] is dropped, also by a failing assertion, its daemons are gone, its links
//!   are closed and its files are deleted; a failing test prints the daemons' logs first.
//! - Daemons die with the thread that started them: start them from the test's own thread.
//!
//! Read next: [`Cluster::of`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quorate_core::config::MemberSettings;
use quorate_core::status::Status;
use quorate_node::demo::health;
use quorate_node::demo::processes::{Daemon, DaemonPlan};
use tempfile::TempDir;

use crate::binary;
use crate::block::Block;
use crate::links::Links;

/// How long a daemon may take to say whether it leads.
const ANSWER_LIMIT: Duration = Duration::from_millis(250);
/// What the nodes of every test cluster share.
pub const SECRET: &str = "a secret that all clusters of tests share";
/// Lines of each daemon's log that a failing test prints.
const LOG_LINES_COUNT_MAX: usize = 60;

/// A cluster that is not started yet.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    nodes_count: usize,
    more_settings: String,
    environment: Vec<(String, String)>,
    has_links: bool,
    is_protected: bool,
}

impl ClusterPlan {
    /// Adds lines of `[cluster]`, and after them whole tables, to every node's settings.
    #[must_use]
    pub fn settings(mut self, lines: &str) -> ClusterPlan {
        self.more_settings.push_str(lines);
        self.more_settings.push('\n');
        self
    }

    /// Sets an environment variable for every daemon.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> ClusterPlan {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a proxy into every link between two nodes; see [`Cluster::links`].
    #[must_use]
    pub fn with_links(mut self) -> ClusterPlan {
        self.has_links = true;
        self
    }

    /// The nodes have no secret: what they send to each other travels as it is.
    #[must_use]
    pub fn unprotected(mut self) -> ClusterPlan {
        self.is_protected = false;
        self
    }

    /// The cluster with its addresses and files, and no daemon running.
    ///
    /// Panics if the machine grants no addresses or files: nothing can be tested then.
    pub fn ready(self) -> Cluster {
        let block = Block::take().expect("a block of test addresses is free");
        let place = TempDir::with_prefix("quorate-test-").expect("the temporary directory works");
        let links = self.has_links.then(|| {
            Links::open(&block, self.nodes_count).expect("the ports of a free block are free")
        });
        // A node's own word would lead the others past the proxies.
        let following = if self.has_links { "follow_moves = false\n" } else { "" };
        let more_settings = format!("{following}{}", self.more_settings);
        let daemons = (1..=self.nodes_count).map(|node| {
            let plan = DaemonPlan {
                name: name(node),
                place: place.path().join(name(node)),
                members: self.members_for(&block, node),
                more_settings: more_settings.clone(),
                environment: self.environment.clone(),
                secret: self.is_protected.then(|| SECRET.to_owned()),
            };
            Daemon::new(binary::quorate(), plan)
        });
        Cluster { daemons: daemons.collect(), links, _place: place, blocks: vec![block] }
    }

    /// The cluster with all daemons started, a leader, and members that know each other: its first
    /// entry says who they are, and reaches them after they have elected somebody.
    pub fn started(self) -> Cluster {
        let mut cluster = self.ready();
        cluster.start_all();
        cluster.wait_for_leader(10_000);
        let nodes_count = cluster.nodes_count();
        let knows_all =
            |node| cluster.status(node).is_some_and(|status| status.members.len() == nodes_count);
        let what = "all know the members";
        cluster.wait_ms(what, 10_000, || (1..=nodes_count).all(knows_all));
        cluster
    }

    /// The members as node `viewer` is to see them.
    fn members_for(&self, block: &Block, viewer: usize) -> Vec<MemberSettings> {
        let address = |node: usize| match self.has_links && node != viewer {
            true => block.link(viewer, node),
            false => block.node(node),
        };
        (1..=self.nodes_count).map(|node| MemberSettings::at(&name(node), address(node))).collect()
    }
}

fn name(node: usize) -> String {
    format!("n{node}")
}

/// A cluster of daemons, some of which may run. Nodes are counted from 1, like their ids.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: processes first, then what they use.
    daemons: Vec<Daemon>,
    links: Option<Links>,
    _place: TempDir,
    blocks: Vec<Block>,
}

impl Cluster {
    /// Plans a cluster of `nodes_count` voters with the default settings and direct links.
    pub fn of(nodes_count: usize) -> ClusterPlan {
        ClusterPlan {
            nodes_count,
            more_settings: String::new(),
            environment: vec![("QUORATE_ADMIN_PASSWORD".to_owned(), binary::PASSWORD.to_owned())],
            has_links: false,
            is_protected: true,
        }
    }

    /// How many nodes it has.
    pub fn nodes_count(&self) -> usize {
        self.daemons.len()
    }

    /// Node number `node`. Panics if there is none.
    pub fn node(&mut self, node: usize) -> &mut Daemon {
        &mut self.daemons[node - 1]
    }

    /// Where the API of node number `node` listens.
    pub fn api(&self, node: usize) -> SocketAddr {
        self.daemons[node - 1].api()
    }

    /// All APIs, in the order of the nodes.
    pub fn apis(&self) -> Vec<SocketAddr> {
        self.daemons.iter().map(Daemon::api).collect()
    }

    /// The links between the nodes. Panics if the plan has none.
    pub fn links(&self) -> &Links {
        self.links.as_ref().expect("the cluster was planned with_links")
    }

    /// Starts node number `node`. Panics if the process cannot be started.
    pub fn start(&mut self, node: usize) {
        self.node(node).start().expect("the daemon's process starts");
    }

    /// Gives every node another address and rewrites everybody's settings. No node may run.
    pub fn move_all(&mut self) {
        let members = self.take_places();
        self.daemons.iter_mut().for_each(|daemon| daemon.set_members(members.clone()));
    }

    /// Gives node number `node`, which may not run, another address; only its own settings say so.
    pub fn move_alone(&mut self, node: usize) {
        let place = self.take_places().swap_remove(node - 1);
        let mut members = self.node(node).plan().members.clone();
        members[node - 1] = place;
        self.node(node).set_members(members);
    }

    /// The members at the addresses of a block that no node has used yet.
    fn take_places(&mut self) -> Vec<MemberSettings> {
        assert!(self.links.is_none(), "links lead to fixed addresses");
        let block = Block::take().expect("a block of test addresses is free");
        let nodes = 1..=self.nodes_count();
        let places = nodes.map(|node| MemberSettings::at(&name(node), block.node(node))).collect();
        self.blocks.push(block);
        places
    }

    /// Starts every node, in order.
    pub fn start_all(&mut self) {
        (1..=self.nodes_count()).for_each(|node| self.start(node));
    }

    /// Tells the daemon of node number `node`, planned with `QUORATE_TEST_PANIC`, to panic.
    pub fn tell_to_panic(&self, node: usize) {
        let pid = self.daemons[node - 1].pid().expect("only a running daemon is told");
        let pid = i32::try_from(pid).expect("Linux process ids fit 22 bits");
        // SAFETY: kill has no memory effects. The child was not waited for, so the id is its own.
        let sent = unsafe { libc::kill(pid, libc::SIGUSR1) };
        assert_eq!(sent, 0, "a child can be signalled");
    }

    /// The nodes that say that they lead: more than one is a bug, unless one answers late.
    pub fn leaders(&self) -> Vec<usize> {
        let running = |daemon: &&Daemon| daemon.pid().is_some();
        let numbered = (1..).zip(&self.daemons).filter(|(_, daemon)| running(daemon));
        numbered
            .filter(|(_, daemon)| health::is_leader(daemon.api(), ANSWER_LIMIT))
            .map(|(node, _)| node)
            .collect()
    }

    /// Asks until `is_so`, and says for how long. Panics after `limit_ms`, with what each node says
    /// of itself then.
    pub fn wait_ms(&self, what: &str, limit_ms: u64, mut is_so: impl FnMut() -> bool) -> u128 {
        let began = Instant::now();
        while !is_so() {
            if began.elapsed() > Duration::from_millis(limit_ms) {
                let nodes = 1..=self.nodes_count();
                let statuses: Vec<_> = nodes.map(|node| self.status(node)).collect();
                panic!("{what}: not in {limit_ms} ms: {statuses:#?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        began.elapsed().as_millis()
    }

    /// Waits until exactly one node says that it leads. Panics after `limit_ms`.
    pub fn wait_for_leader(&self, limit_ms: u64) -> usize {
        self.wait_for_leader_other_than(0, limit_ms)
    }

    /// The same, for any node but `past`.
    pub fn wait_for_leader_other_than(&self, past: usize, limit_ms: u64) -> usize {
        let mut found = None;
        self.wait_ms(&format!("a leader other than {past}"), limit_ms, || {
            found = match self.leaders()[..] {
                [leader] if leader != past => Some(leader),
                _ => None,
            };
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Every node's data directory.
    pub fn data_dirs(&self) -> Vec<PathBuf> {
        self.daemons.iter().map(|daemon| daemon.plan().data_dir()).collect()
    }

    /// What node number `node` says of itself and the cluster; `None` if it does not answer.
    pub fn status(&self, node: usize) -> Option<Status> {
        let (status, body) =
            health::get_as(self.api(node), "/cluster", binary::AUTHORIZATION, ANSWER_LIMIT).ok()?;
        if status == 200 { serde_json::from_str(&body).ok() } else { None }
    }

    /// What node number `node` has counted under that name. Panics if it does not answer.
    pub fn counter(&self, node: usize, name: &str) -> u64 {
        let counters = self.status(node).expect("the node answers").counters;
        counters.into_iter().find(|counter| counter.name == name).expect("it is counted").value
    }

    /// Waits until all nodes, which must all run, have applied the same log to its end. Panics
    /// after `limit_ms`; never happens under load.
    pub fn wait_until_equal(&self, limit_ms: u64) {
        self.wait_ms("the logs are equal", limit_ms, || {
            let all: Option<Vec<Status>> =
                (1..=self.nodes_count()).map(|node| self.status(node)).collect();
            let ends = |status: &Status| (status.applied_index, status.last_index);
            all.is_some_and(|all| {
                let goal = all[0].last_index;
                all.iter().all(|status| ends(status) == (goal, goal))
            })
        });
    }

    /// Asks every running daemon to end, and waits. Panics if one does not end with status 0.
    pub fn stop_all(&mut self, limit_ms: u64) {
        self.daemons.iter().for_each(Daemon::terminate);
        for daemon in &mut self.daemons {
            if daemon.pid().is_none() {
                continue;
            }
            let name = daemon.plan().name.clone();
            let ended = daemon.ended_within_ms(limit_ms).expect("a child can be waited for");
            let status = ended.unwrap_or_else(|| panic!("{name} runs on after {limit_ms} ms"));
            assert!(status.success(), "{name} ended with {status}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for daemon in &self.daemons {
            let log = daemon.log();
            let lines: Vec<&str> = log.lines().collect();
            let first = lines.len().saturating_sub(LOG_LINES_COUNT_MAX);
            eprintln!("--- log of {}, from line {}", daemon.plan().name, first + 1);
            lines[first..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}
