//! The commands of the page that Quorate grew out of (Cloudify Manager 4.3, "Building an HA cluster
//! of managers"), in its order and with its options, at three machines that each have a network of
//! their own; then the leader dies, and the same profile goes on.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quorate_node::demo::processes::Helper;
use quorate_tests::binary::{Ran, quorate};
use quorate_tests::network::Network;
use quorate_tests::skips::skip;
use tempfile::TempDir;

/// The machine that the operator sits at; those before it run daemons.
const OPERATOR: u8 = 4;
/// What an election takes, with the margin of a machine under load.
const SOON: Duration = Duration::from_secs(20);

/// Three machines with a daemon each, and an operator's.
struct Page {
    // Dropped first: processes before what they use.
    daemons: Vec<Option<Helper>>,
    network: Network,
    place: TempDir,
}

impl Page {
    fn started(network: Network) -> Page {
        let place = TempDir::with_prefix("quorate-test-").expect("the temporary directory works");
        let mut page = Page { daemons: Vec::new(), network, place };
        for machine in 1..OPERATOR {
            let (data_dir, address) = (page.path(machine, "data"), Network::address(machine));
            fs::create_dir(&data_dir).expect("the temporary directory works");
            let text = format!("[node]\ndata_dir = {data_dir:?}\naddress = \"{address}\"\n");
            fs::write(page.path(machine, "toml"), text).expect("as above");
            let mut daemon = Command::new(quorate());
            daemon.args(["node", "run", "--config"]).arg(page.path(machine, "toml"));
            daemon.env("QUORATE_ADMIN_PASSWORD", password(machine));
            let log = File::create(page.path(machine, "log")).expect("as above");
            let mut daemon = page.network.inside(machine, &daemon);
            daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            page.daemons.push(Some(Helper::start(daemon).expect("the daemon's process starts")));
        }
        page
    }

    fn path(&self, machine: u8, kind: &str) -> PathBuf {
        self.place.path().join(format!("{machine}.{kind}"))
    }

    /// `quorate` with the words of this line, as the operator types it.
    fn types(&self, line: &str) -> Ran {
        let mut typed = Command::new(quorate());
        typed.args(line.split(' ')).env("QUORATE_HOME", self.place.path().join("operator"));
        for variable in ["QUORATE_NODES", "QUORATE_PROFILE", "QUORATE_USER", "QUORATE_PASSWORD"] {
            typed.env_remove(variable);
        }
        let ran = Ran::by(&mut self.network.inside(OPERATOR, &typed));
        println!("$ quorate {line}\n{}{}", ran.err, String::from_utf8_lossy(&ran.out));
        ran
    }

    /// `quorate profiles use` with everything that the page says.
    fn uses(&self, machine: u8) -> Ran {
        let (address, password) = (Network::address(machine), password(machine));
        let line = format!("profiles use {address} -t default_tenant -u admin -p {password}");
        // Its daemon may be on its way up.
        let began = Instant::now();
        loop {
            let ran = self.types(&line);
            if ran.code != 4 || began.elapsed() > SOON {
                return ran;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for machine in 1..OPERATOR {
                let log = fs::read_to_string(self.path(machine, "log")).unwrap_or_default();
                eprintln!("--- log of machine {machine}\n{log}");
            }
        }
    }
}

/// Each machine's first admin has another.
fn password(machine: u8) -> String {
    format!("admin-password-{machine}")
}

#[test]
fn the_original_page_works_word_for_word_and_its_profile_survives_the_leader() {
    if let Some(reason) = Network::missing() {
        let name = "the_original_page_works_word_for_word_and_its_profile_survives_the_leader";
        return skip(name, &reason);
    }
    let network = Network::of(OPERATOR).expect("it was possible just now");
    let mut page = Page::started(network);
    let [leader, first, second] = [1, 2, 3].map(Network::address);

    page.uses(1).ended(0, "it waits for `cluster start` or `cluster join`");
    page.types("cluster start --cluster-node-name n1").ended(0, "a leader");
    let join =
        |name: &str| page.types(&format!("cluster join --cluster-node-name {name} {leader}"));
    page.uses(2).ended(0, "it waits for");
    join("n2").ended(0, "a learner");
    page.uses(3).ended(0, "it waits for");
    join("n3").ended(0, "a voter");
    // The first admin of the first machine is the cluster's, and the profiles know.
    let list = page.types("profiles list").ended(0, "");
    for address in [leader, first, second] {
        assert!(list.text().contains(&format!("{address}               quorate")), "{list:?}");
    }
    let nodes = page.types("cluster nodes list").ended(0, "");
    let states = |state| nodes.text().matches(state).count();
    assert_eq!((states("leader"), states("replica")), (1, 2), "{nodes:?}");
    refusals(&page);

    page.types(&format!("profiles use {leader}")).ended(0, "cluster quorate, 3 members, leader n1");
    page.types("kv put colour blue").ended(0, "acknowledged");
    page.daemons[0] = None;
    let began = Instant::now();
    page.types("kv put colour red").ended(0, "acknowledged");
    println!("acknowledged {} ms after the leader's death", began.elapsed().as_millis());
    assert_eq!(page.types("kv get colour").ended(0, "").out, b"red");
    let status = page.types("cluster status");
    assert!(!status.text().contains("leader   n1"), "{status:?}");
    page.types("cluster set-active n1").ended(6, "Q1023 n1 did not catch up");
}

/// What the page does not show, and does not say twice.
fn refusals(page: &Page) {
    let leader = Network::address(1);
    let join = format!("cluster join --cluster-node-name n3 {leader}");
    page.types(&join).ended(6, "Q1622 n3 belongs to cluster");
    page.types("cluster start --cluster-node-name n3").ended(6, "Q1622 n3 belongs to cluster");
    page.types("cluster join --cluster-node-name n3 10.77.0.9").ended(2, "Q1767 no profile knows");
    // The password that the third machine's admin had before it joined opens nothing now.
    page.uses(3).ended(7, "Q1051 ");
    let tokens = page.types("cluster token list").ended(0, "");
    assert!(!tokens.text().contains("valid"), "none is left over: {tokens:?}");
}
