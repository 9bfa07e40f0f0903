//! `quorate cluster start` and `join`: three daemons that know nothing become a cluster by the
//! commands of an operator, and each order that does not fit is refused by its code.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quorate_node::daemon::secret;
use quorate_node::demo::processes::Helper;
use quorate_tests::binary::{command, kv};
use quorate_tests::block::Block;
use serde_json::Value;
use tempfile::TempDir;

/// What takes an election, or two pauses of a leader that looks after its members.
const SOON: Duration = Duration::from_secs(20);

/// Daemons without members in their settings, from 1 on.
struct Machines {
    // Dropped first: processes before what they use.
    daemons: Vec<Option<Helper>>,
    place: TempDir,
    block: Block,
}

impl Machines {
    fn ready(count: usize) -> Machines {
        let block = Block::take().expect("a block of test addresses is free");
        let place = TempDir::with_prefix("quorate-test-").expect("the temporary directory works");
        let daemons = (0..count).map(|_| None).collect();
        let machines = Machines { daemons, place, block };
        for node in 1..=count {
            let (data_dir, address) = (machines.data_dir(node), machines.block.node(node));
            fs::create_dir_all(&data_dir).expect("the temporary directory works");
            let text = format!("[node]\ndata_dir = {data_dir:?}\naddress = \"{address}\"\n");
            fs::write(machines.file(node, "toml"), text).expect("as above");
        }
        machines
    }

    fn start(&mut self, node: usize) {
        let log = fs::File::options().create(true).append(true).open(self.file(node, "log"));
        let log = log.expect("the temporary directory works");
        let mut command = command();
        command.args(["node", "run", "--config"]).arg(self.file(node, "toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemons[node - 1] = Some(Helper::start(command).expect("the daemon's process starts"));
        let at = self.api(node);
        wait("it listens", || std::net::TcpStream::connect(at).is_ok());
    }

    /// SIGKILL.
    fn kill(&mut self, node: usize) {
        self.daemons[node - 1] = None;
    }

    fn file(&self, node: usize, kind: &str) -> PathBuf {
        self.place.path().join(format!("{node}.{kind}"))
    }

    fn data_dir(&self, node: usize) -> PathBuf {
        self.place.path().join(format!("{node}"))
    }

    fn api(&self, node: usize) -> SocketAddr {
        SocketAddr::new(self.block.node(node), 8500)
    }

    /// What lies in its data directory, by name.
    fn files(&self, node: usize) -> Vec<String> {
        let entries = fs::read_dir(self.data_dir(node)).expect("it is there");
        let names = entries.map(|entry| entry.expect("as above").file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs `quorate cluster` with these arguments, for node number `node`.
    fn cluster(&self, node: usize, arguments: &[&str]) -> Ran {
        let mut command = command();
        command.arg("cluster").args(arguments).args(["--node", &self.api(node).to_string()]);
        ran(&mut command)
    }

    fn join(&self, node: usize, member: usize, token: &str, more: &[&str]) -> Ran {
        let member = self.api(member).to_string();
        self.cluster(node, &[&["join", &member, "--token", token], more].concat())
    }

    /// Asks node 1 for node 2 until it is told so: each wrong token doubles the wait of the next,
    /// and a machine with much to do comes too late for a short one.
    #[track_caller]
    fn join_until(&self, token: &str, says: &str) {
        let name = ["--cluster-node-name", "n2"];
        wait(says, || {
            let ran = self.join(2, 1, token, &name);
            assert_eq!(ran.code, Some(7), "{ran:?}");
            ran.err.contains(says)
        });
    }

    /// A token, as its maker reads it.
    fn token(&self, via: usize, more: &[&str]) -> String {
        let made = self.cluster(via, &[&["token", "create"], more].concat()).ended(0, "");
        made.out.trim().to_owned()
    }

    fn voters(&self, via: usize) -> Vec<u64> {
        let ran = self.cluster(via, &["status", "--json"]);
        let Ok(status) = serde_json::from_str::<Value>(&ran.out) else { return Vec::new() };
        let voters = status["voters"].as_array().cloned().unwrap_or_default();
        voters.iter().filter_map(Value::as_u64).collect()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in 1..=self.daemons.len() {
                let log = fs::read_to_string(self.file(node, "log")).unwrap_or_default();
                eprintln!("--- log of node {node}\n{log}");
            }
        }
    }
}

/// What a command did: its exit code, what it printed for programs, and for people.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ended(self, code: i32, says: &str) -> Ran {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(says) || self.out.contains(says), "{says}: {self:?}");
        self
    }

    fn json(self) -> Value {
        let value: Value = serde_json::from_str(&self.out).expect("JSON");
        assert_eq!(value["version"], 1);
        value
    }
}

fn ran(command: &mut Command) -> Ran {
    command.env_remove("QUORATE_NODES").env_remove("QUORATE_PROFILE");
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("it says text");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[track_caller]
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_cluster_is_started_and_joined_by_commands_and_survives_its_leader() {
    let mut machines = Machines::ready(3);
    (1..=3).for_each(|node| machines.start(node));
    machines.cluster(1, &["status"]).ended(4, "Q1621 the node at");

    let name = ["--cluster-node-name", "n1"];
    let started = machines.cluster(1, &[&["start", "--json"], &name[..]].concat()).ended(0, "");
    let started = started.json();
    assert_eq!((&started["node"], &started["state"]), (&"n1".into(), &"leader".into()));
    machines.cluster(1, &["status"]).ended(0, "failover not automatic: two more nodes must join;");
    assert_eq!(kv(machines.api(1), &["put", "colour", "blue"]).status.code(), Some(0));

    let token = machines.token(1, &["--uses", "2"]);
    let joined = machines.join(2, 1, &token, &["--cluster-node-name", "n2", "--json"]).ended(0, "");
    let joined = joined.json();
    assert_eq!((&joined["node"], &joined["state"]), (&"n2".into(), &"learner".into()));
    machines.cluster(2, &["status"]).ended(0, "failover not automatic: one more node must join;");
    assert_eq!(machines.voters(1), [1]);
    machines.join(3, 2, &token, &["--cluster-node-name", "n3"]).ended(0, "n3 is n3 of cluster");
    wait("both vote", || machines.voters(3) == [1, 2, 3]);

    machines.kill(1);
    let put = || kv(machines.api(2), &["put", "shape", "round"]).status.code() == Some(0);
    wait("writes go on without the leader", put);
    // Who a node is stands in its data directory: its settings have no name.
    machines.start(1);
    wait("the first one is back", || {
        kv(machines.api(1), &["get", "shape", "--stale"]).stdout == b"round"
    });
    assert_eq!(kv(machines.api(1), &["get", "colour"]).stdout, b"blue");
    machines.cluster(1, &["nodes", "get", "n1"]).ended(0, "name        n1 (n1)");
}

#[test]
fn a_second_node_votes_at_once_only_if_it_is_asked_to() {
    let mut machines = Machines::ready(2);
    (1..=2).for_each(|node| machines.start(node));
    machines.cluster(1, &["start", "--cluster-node-name", "n1"]).ended(0, "");
    let token = machines.token(1, &[]);
    machines.join(2, 1, &token, &["--cluster-node-name", "n2", "--vote"]).ended(0, "");
    wait("it votes", || machines.voters(1) == [1, 2]);
}

#[test]
fn each_order_that_does_not_fit_is_refused_by_its_code_and_changes_nothing() {
    let mut machines = Machines::ready(3);
    let segment = machines.data_dir(3).join("log/0001.segment");
    fs::create_dir_all(segment.parent().expect("it has one")).expect("the directory works");
    fs::write(&segment, "what a member has written").expect("the directory works");
    (1..=3).for_each(|node| machines.start(node));
    ran(command().args(["cluster", "start"])).ended(2, "Q1765 an order is for one");
    let start = ["start", "--cluster-node-name", "n1"];
    machines.cluster(3, &start).ended(9, "Q1624 its data directory holds log/0001.segment;");
    machines.cluster(1, &["start"]).ended(2, "Q1306 name \"\" is not 1 to 63 bytes long");
    let elsewhere = ["--cluster-host-ip", "10.0.0.1"];
    machines
        .cluster(1, &[&start[..], &elsewhere].concat())
        .ended(2, "Q1628 this node cannot listen at");
    machines.cluster(1, &start).ended(0, "");
    machines.cluster(1, &start).ended(6, "Q1622 n1 belongs to cluster");

    let n2 = ["--cluster-node-name", "n2"];
    let token = machines.token(1, &[]);
    let parts: Vec<&str> = token.split('-').collect();
    let [prefix, cluster, id, secret, authority] = parts[..] else { panic!("{token}") };
    let other = [prefix, &"00".repeat(16), id, secret, authority].join("-");
    let wrong = [prefix, cluster, id, &"00".repeat(16), authority].join("-");
    let stranger = [prefix, cluster, id, secret, &"00".repeat(32)].join("-");
    let late = machines.token(1, &["--expires-in", "1s"]);
    let revoked = machines.token(1, &[]);
    let id = revoked.split('-').nth(2).expect("it has parts").to_owned();
    machines.cluster(1, &["token", "revoke", &id]).ended(0, &format!("token {id} is revoked"));
    std::thread::sleep(Duration::from_millis(1_100));
    machines.join(2, 1, &stranger, &n2).ended(7, "Q1614 ");
    machines.join(2, 1, "qjt1-", &n2).ended(2, "Q1048 ");
    machines.join(2, 1, &other, &n2).ended(6, "Q1609 ");
    machines.join(2, 1, &wrong, &n2).ended(7, "Q1041 ");
    machines.join_until(&wrong, "Q1053 "); // wrong tokens are slowed like passwords
    machines.join_until(&late, "Q1043 ");
    machines.join(2, 1, &revoked, &n2).ended(7, "Q1044 ");
    machines.join(2, 1, &token, &["--cluster-node-name", "n1"]).ended(6, "Q1045 ");
    // It has no cluster that could vouch for it.
    machines.join(2, 3, &token, &n2).ended(7, "Q1614 ");
    machines.kill(3);
    machines.join(2, 3, &token, &n2).ended(4, "Q1611 nobody answered");
    let files = machines.files(2);
    assert_eq!(files, ["LOCK", "admin.phc", "node.key"], "the joiner is as it was");
    assert_eq!(fs::read(&segment).expect("it is there"), b"what a member has written");

    machines.join(2, 1, &token, &n2).ended(0, "n2 is n2 of cluster");
    machines.join(2, 1, &token, &n2).ended(6, "Q1622 n2 belongs to cluster");
    machines.kill(2);
    fs::remove_dir_all(machines.data_dir(2)).expect("it is there");
    machines.start(2);
    let more = machines.token(1, &[]);
    machines.join(2, 1, &token, &["--cluster-node-name", "n4"]).ended(7, "Q1042 ");
    machines.join(2, 1, &more, &n2).ended(6, "Q1045 the name \"n2\" belongs to n2;");
    machines.join(2, 1, &more, &["--cluster-node-name", "n4"]).ended(0, "n4 is n3 of cluster");
    let list = machines.cluster(1, &["token", "list", "--json"]).ended(0, "").json();
    let tokens = list["tokens"].as_array().expect("a list");
    let states: Vec<_> = tokens.iter().filter_map(|token| token["state"].as_str()).collect();
    assert_eq!(states, ["used", "expired", "revoked", "used"]);
}

#[test]
fn a_cluster_makes_its_own_secret_and_a_joiner_gets_it_and_joins_no_other() {
    let mut machines = Machines::ready(3);
    let secret_of_its_own = machines.file(3, "secret");
    secret::write(&secret_of_its_own, &"x".repeat(64)).expect("the directory works");
    let settings = machines.file(3, "toml");
    let text = fs::read_to_string(&settings).expect("it was written");
    let named = format!("{text}[security]\nsecret_file = {secret_of_its_own:?}\n");
    fs::write(&settings, &named).expect("as above");
    (1..=3).for_each(|node| machines.start(node));
    machines.cluster(1, &["start", "--cluster-node-name", "n1"]).ended(0, "");
    let token = machines.token(1, &["--uses", "2"]);
    assert!(token.starts_with("qjt2-"), "it names the cluster's authority");

    let n3 = ["--cluster-node-name", "n3"];
    machines.join(3, 1, &token, &n3).ended(6, "Q1627 security.secret_file holds another secret");
    machines.join(2, 1, &token, &["--cluster-node-name", "n2"]).ended(0, "");
    let kept = [1, 2, 3].map(|node| machines.data_dir(node).join("cluster.secret"));
    let sealed = fs::read(&kept[0]).expect("it is kept");
    assert_eq!(fs::read(&kept[1]).expect("it is kept"), sealed);
    assert!(!kept[2].exists());
    for path in &kept[..2] {
        let mode = fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // Whose settings name no secret any more, and who are to join, get that of the cluster.
    machines.kill(3);
    fs::write(&settings, text).expect("as above");
    machines.start(3);
    machines.join(3, 2, &token, &n3).ended(0, "");
    wait("all vote", || machines.voters(3) == [1, 2, 3]);

    let text = String::from_utf8_lossy(&sealed[sealed.len() - 64..]).into_owned();
    for node in 1..=3 {
        let log = fs::read_to_string(machines.file(node, "log")).expect("it logs");
        assert!(log.contains("fingerprint="), "{log}");
        assert!(!log.contains(&text) && !log.contains(&token), "a secret is in a log");
    }
}
