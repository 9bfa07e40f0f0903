//! Users and passwords of the API, at real daemons: who is let in before there is a cluster, in it
//! and on a joiner, what roles allow, how wrong passwords are slowed, and that none is ever shown.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quorate_node::demo::processes::Helper;
use quorate_tests::binary::{Ran, quorate};
use quorate_tests::block::Block;
use serde_json::Value;
use tempfile::TempDir;

/// What takes an election, or two pauses of a leader that looks after its members.
const SOON: Duration = Duration::from_secs(20);
/// Longer than the wait after a first wrong password.
const FORGIVEN: Duration = Duration::from_millis(300);

const FIRST: &str = "first admin password";
const SECOND: &str = "second admin password";
const LATER: &str = "later admin password";
const OF_ANN: &str = "password of ann";
const OF_BOB: &str = "password of bob";

/// Two daemons without members in their settings, which log everything they can.
struct Machines {
    // Dropped first: processes before what they use.
    daemons: [Option<Helper>; 2],
    place: TempDir,
    block: Block,
}

impl Machines {
    fn ready() -> Machines {
        let block = Block::take().expect("a block of test addresses is free");
        let place = TempDir::with_prefix("quorate-test-").expect("the temporary directory works");
        Machines { daemons: [None, None], place, block }
    }

    /// Starts node 1 or 2; its local admin has this password, if one is given.
    fn start(&mut self, node: usize, password: Option<&str>) {
        let (data_dir, address) = (self.data_dir(node), self.block.node(node));
        let text = format!("[node]\ndata_dir = {data_dir:?}\naddress = \"{address}\"\n");
        fs::write(self.file(node, "toml"), text).expect("the temporary directory works");
        let log = fs::File::options().create(true).append(true).open(self.file(node, "log"));
        let log = log.expect("the temporary directory works");
        let mut command = Command::new(quorate());
        command.args(["node", "run", "--config"]).arg(self.file(node, "toml"));
        command.env("QUORATE_LOG", "trace").env_remove("QUORATE_ADMIN_PASSWORD");
        command.envs(password.map(|password| ("QUORATE_ADMIN_PASSWORD", password)));
        let out = log.try_clone().expect("a file has several handles");
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        self.daemons[node - 1] = Some(Helper::start(command).expect("the daemon's process starts"));
        let at = self.api(node);
        wait("it listens", || TcpStream::connect(at).is_ok());
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

    fn log(&self, node: usize) -> String {
        fs::read_to_string(self.file(node, "log")).expect("the daemon has one")
    }

    fn api(&self, node: usize) -> SocketAddr {
        SocketAddr::new(self.block.node(node), 8500)
    }

    /// Runs `quorate` with these arguments, for that node, as that user.
    fn run(&self, node: usize, login: (&str, &str), arguments: &[&str]) -> Ran {
        Ran::by(self.command(login, arguments).args(["--node", &self.api(node).to_string()]))
    }

    /// Each wrong password doubles the wait of the next; a wait of some moments is waited for.
    #[track_caller]
    fn is_slowed(&self, login: (&str, &str)) {
        let codes = (0..8).map(|_| self.run(1, login, &["cluster", "status"]).err[..5].to_owned());
        let codes: Vec<String> = codes.take_while(|code| code != "Q1053").collect();
        assert!(codes.len() < 8 && codes.iter().all(|code| code == "Q1051"), "{codes:?}");
    }

    fn command(&self, (user, password): (&str, &str), arguments: &[&str]) -> Command {
        let mut command = Command::new(quorate());
        command.args(arguments).env("QUORATE_USER", user).env("QUORATE_PASSWORD", password);
        command.env("QUORATE_HOME", self.place.path().join("home")).stdin(Stdio::null());
        command.env_remove("QUORATE_NODES").env_remove("QUORATE_PROFILE");
        command
    }

    /// A cluster of node 1, whose admin's password is [`FIRST`].
    fn started(&mut self) {
        self.start(1, Some(FIRST));
        let start = ["cluster", "start", "--cluster-node-name", "n1"];
        self.run(1, ("admin", FIRST), &start).ended(0, "n1 is n1 of cluster");
        // Its local admin is the cluster's first user, in a moment.
        wait("there is a user", || {
            let listed = self.run(1, ("admin", FIRST), &["users", "list", "--json"]);
            listed.code == 0 && listed.text().contains("\"admin\"")
        });
    }

    fn add(&self, name: &str, role: &str, password: &str) -> Ran {
        let add = ["users", "add", name, "--role", role, "--node", &self.api(1).to_string()];
        Ran::by(self.command(("admin", FIRST), &add).env("QUORATE_NEW_PASSWORD", password))
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in 1..=2 {
                let log = fs::read_to_string(self.file(node, "log")).unwrap_or_default();
                let lines: Vec<&str> =
                    log.lines().filter(|line| !line.contains("openraft")).collect();
                let first = lines.len().saturating_sub(60);
                eprintln!("--- end of the log of node {node}\n{}", lines[first..].join("\n"));
            }
        }
    }
}

#[track_caller]
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(FORGIVEN);
    }
}

/// The whole answer to a request without credentials, in lower case.
fn answer(api: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(api).expect("the API listens");
    stream.set_read_timeout(Some(SOON)).expect("a timeout can be set");
    let head = "HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    write!(stream, "{method} {path} {head}").expect("the connection stands");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it is text and ends");
    text.to_ascii_lowercase()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// Nobody is told anything but a boolean, whatever it is that is asked for.
fn check_strangers_are_told_nothing(api: SocketAddr) {
    for path in ["/livez", "/readyz", "/health", "/leader", "/replica"] {
        let told = answer(api, "GET", path);
        let (head, body) = told.split_once("\r\n\r\n").expect("it has a head");
        assert!(["http/1.1 200", "http/1.1 503"].contains(&&head[..12]), "{path}: {told}");
        assert!(!head.contains("quorate-") && body.len() < 25, "{path}: {told}");
    }
    let told = answer(api, "GET", "/api/v3.1/status");
    assert!(["http/1.1 200", "http/1.1 400"].contains(&&told[..12]), "{told}");
    let asked = [
        ("GET", "/cluster"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/kv"),
        ("GET", "/api/v1/kv/colour"),
        ("PUT", "/api/v1/kv/colour"),
        ("POST", "/api/v1/txn"),
        ("POST", "/api/v1/leader/switchover"),
        ("GET", "/api/v1/tokens"),
        ("POST", "/api/v1/tokens"),
        ("DELETE", "/api/v1/tokens/1"),
        ("GET", "/api/v1/users"),
        ("PUT", "/api/v1/users/admin"),
        ("DELETE", "/api/v1/users/admin"),
        ("POST", "/api/v1/cluster/start"),
        ("POST", "/api/v1/cluster/join"),
        ("GET", "/nowhere"),
    ];
    for (method, path) in asked {
        let told = answer(api, method, path);
        assert!(told.starts_with("http/1.1 401 "), "{method} {path}: {told}");
        assert!(told.contains("\r\nwww-authenticate: basic realm=\"quorate\"\r\n"), "{told}");
        assert!(told.contains("\"q1051\""), "{method} {path}: {told}");
        assert!(!told.contains("quorate-members"), "{method} {path}: {told}");
    }
    // A node that joins has no user; it has a token, which this is not.
    let told = answer(api, "POST", "/api/v1/members");
    assert!(["http/1.1 400 ", "http/1.1 421 "].contains(&&told[..13]), "{told}");
    assert!(!told.contains("quorate-members: {\"cluster_id\":\"0"), "{told}");
}

#[test]
fn who_has_no_password_is_told_nothing_and_wrong_ones_are_slowed_before_and_in_a_cluster() {
    let mut machines = Machines::ready();
    machines.start(1, Some(FIRST));
    let api = machines.api(1);
    let start = ["cluster", "start", "--cluster-node-name", "n1"];
    for is_founded in [false, true] {
        check_strangers_are_told_nothing(api);
        let status = ["cluster", "status"];
        machines.run(1, ("admin", "wrong password"), &status).ended(7, "Q1051 user or password");
        let ran = machines.run(1, ("admin", FIRST), &status);
        assert_ne!(ran.code, 7, "it has waited by itself: {ran:?}");
        machines.is_slowed(("admin", "wrong password"));
        // Also the right one has to wait now: else guessing would go on at full speed.
        machines.run(1, ("admin", FIRST), &status).ended(7, "Q1053 what was shown before was");
        machines.is_slowed(("nobody", FIRST));
        wait("it is forgiven", || machines.run(1, ("admin", FIRST), &status).code != 7);
        machines.run(1, ("admin", ""), &status).ended(2, "Q1631 no password of \"admin\"");
        if is_founded {
            machines.run(1, ("admin", FIRST), &status).ended(0, "");
        } else {
            machines.run(1, ("admin", FIRST), &status).ended(4, "Q1621 the node at");
            machines.run(1, ("admin", FIRST), &start).ended(0, "n1 is n1 of cluster");
        }
    }
    let is_told = |line: &&str| line.contains("wrong password") && line.contains("user=\"admin\"");
    let log = machines.log(1);
    assert!(log.lines().filter(is_told).count() >= 2, "each first failure is logged");
}

#[test]
fn a_password_that_nobody_gave_is_printed_once_and_holds_from_then_on() {
    let mut machines = Machines::ready();
    machines.start(1, None);
    let printed = machines.log(1);
    let (_, rest) = printed.split_once("user admin, password ").expect("it is printed");
    let password = rest.split_whitespace().next().expect("it is printed").to_owned();
    assert_eq!(password.len(), 26);
    machines.kill(1);
    machines.start(1, None);
    let start = ["cluster", "start", "--cluster-node-name", "n1"];
    machines.run(1, ("admin", &password), &start).ended(0, "n1 is n1 of cluster");
    wait("there is a user", || {
        machines.run(1, ("admin", &password), &["users", "list"]).text().contains("admin  ")
    });
    let (log, file) = (machines.log(1), machines.data_dir(1).join("admin.phc"));
    assert_eq!(log.matches(&password).count(), 1, "it is printed once, and not in the log");
    assert!(log.contains(" DEBUG "), "the log says everything that it can");
    assert_eq!(mode(&file), 0o600);
    check_no_hash_is_in(&log, &file);

    // A bad one is refused before anything is opened.
    machines.kill(1);
    let mut command = Command::new(quorate());
    command.args(["node", "run", "--config"]).arg(machines.file(1, "toml"));
    command.env("QUORATE_ADMIN_PASSWORD", "short");
    Ran::by(&mut command).ended(1, "Q1311 QUORATE_ADMIN_PASSWORD: the password has 5 bytes");
}

/// Neither the whole hash nor its salt or its end.
fn check_no_hash_is_in(log: &str, file: &Path) {
    let text = fs::read_to_string(file).expect("it is there");
    let hash = text.lines().next().expect("it has a line");
    let parts: Vec<&str> = hash.rsplitn(3, '$').collect();
    for part in [hash, parts[0], parts[1]] {
        assert!(part.len() > 20 && !log.contains(part), "{part} is in the log");
    }
}

#[test]
fn the_clusters_users_hold_on_the_joiner_and_a_new_password_on_every_node() {
    let mut machines = Machines::ready();
    machines.started();
    machines.start(2, Some(SECOND));
    let admin = ("admin", FIRST);
    let token = machines.run(1, admin, &["cluster", "token", "create"]);
    let (token, member) = (token.text().trim().to_owned(), machines.api(1).to_string());
    let join = ["cluster", "join", &member, "--token", &token, "--cluster-node-name", "n2"];
    machines.run(2, admin, &join).ended(7, "Q1051 "); // the joiner's admin is another one yet
    std::thread::sleep(FORGIVEN);
    machines.run(2, ("admin", SECOND), &join).ended(0, "n2 is n2 of cluster");
    wait("the cluster's password holds on the joiner", || {
        machines.run(2, admin, &["kv", "list", "--stale"]).code == 0
    });
    machines.run(2, ("admin", SECOND), &["kv", "list", "--stale"]).ended(7, "Q1051 ");

    let set = ["users", "set-password", "admin", "--node", &machines.api(2).to_string()];
    std::thread::sleep(FORGIVEN);
    let mut setting = machines.command(admin, &set);
    Ran::by(setting.env("QUORATE_NEW_PASSWORD", LATER)).ended(0, "user admin has another password");
    let later = ("admin", LATER);
    for node in [1, 2] {
        wait("the new password holds", || machines.run(node, later, &["kv", "list"]).code == 0);
        machines.run(node, admin, &["kv", "list", "--stale"]).ended(7, "Q1051 ");
    }
    // Also after a restart, when nothing of the log is applied yet.
    machines.kill(2);
    machines.start(2, Some(SECOND));
    let ran = machines.run(2, ("admin", SECOND), &["kv", "list", "--stale"]);
    assert!([4, 7].contains(&ran.code), "the local admin lets nobody in any more: {ran:?}");
    wait("it is back", || machines.run(2, later, &["kv", "list", "--stale"]).code == 0);

    for node in [1, 2] {
        let (log, file) = (machines.log(node), machines.data_dir(node).join("admin.phc"));
        for password in [FIRST, SECOND, LATER] {
            assert!(!log.contains(password), "node {node} has {password:?} in its log");
        }
        check_no_hash_is_in(&log, &file);
        assert!(!log.contains("$argon2id$"), "node {node} has a hash in its log");
        assert_eq!(mode(&file), 0o600);
        let text = fs::read_to_string(&file).expect("it is there");
        assert_eq!(text.lines().nth(1), Some("superseded"));
    }
}

#[test]
fn a_role_allows_what_it_says_and_the_last_admin_stays() {
    let mut machines = Machines::ready();
    machines.started();
    let (admin, ann, bob) = (("admin", FIRST), ("ann", OF_ANN), ("bob", OF_BOB));
    machines.add("ann", "writer", OF_ANN).ended(0, "user ann is there, a writer");
    machines.add("bob", "reader", OF_BOB).ended(0, "user bob is there, a reader");
    machines.add("bob", "admin", OF_BOB).ended(6, "Q1058 there is a user \"bob\" already;");
    machines.add("a:b", "admin", OF_BOB).ended(2, "Q1060 ");
    machines.add("eve", "admin", "short").ended(2, "Q1050 the password has 5 bytes and not");

    machines.run(1, ann, &["kv", "put", "colour", "blue"]).ended(0, "");
    machines.run(1, bob, &["kv", "get", "colour"]).printed(b"blue");
    let writes = machines.run(1, bob, &["kv", "put", "colour", "red"]);
    assert_eq!(writes.code, 7, "a reader writes: {writes:?}");
    assert!(writes.err.starts_with("Q1052 bob is a reader and may not do this;"), "{writes:?}");
    for user in [ann, bob] {
        machines.run(1, user, &["cluster", "status"]).ended(0, "");
        for arguments in [
            &["users", "list"][..],
            &["users", "remove", "admin"],
            &["cluster", "token", "create"],
            &["cluster", "token", "list"],
        ] {
            machines.run(1, user, arguments).ended(7, "Q1052 ");
        }
        // Nobody's password but the own one.
        let set = |name| {
            let at = machines.api(1).to_string();
            let set = ["users", "set-password", name, "--node", &at];
            Ran::by(machines.command(user, &set).env("QUORATE_NEW_PASSWORD", user.1))
        };
        set("admin").ended(7, "Q1052 ");
        set(user.0).ended(0, "has another password");
    }
    machines.run(1, bob, &["kv", "get", "colour"]).printed(b"blue");
    machines.run(1, admin, &["users", "remove", "admin"]).ended(6, "Q1059 \"admin\" is the last");
    machines.run(1, admin, &["users", "remove", "eve"]).ended(5, "Q1057 there is no user \"eve\"");
    machines.run(1, admin, &["users", "remove", "bob"]).ended(0, "user bob is gone");
    machines.run(1, bob, &["kv", "get", "colour"]).ended(7, "Q1051 ");
    let listed = machines.run(1, admin, &["users", "list", "--json"]).json();
    let users = listed["users"].as_array().expect("a list");
    let shown = |user: &Value| format!("{} {}", user["name"], user["role"]);
    let shown: Vec<String> = users.iter().map(shown).collect();
    assert_eq!(shown, ["\"admin\" \"admin\"", "\"ann\" \"writer\""]);
}

#[test]
fn a_profile_keeps_a_login_and_never_shows_the_password() {
    let mut machines = Machines::ready();
    machines.started();
    machines.add("ann", "writer", OF_ANN).ended(0, "");
    let at = machines.api(1).to_string();
    // Nothing but the profile says as whom to ask.
    let run = |arguments: &[&str]| {
        let mut command = machines.command(("", ""), arguments);
        Ran::by(command.env_remove("QUORATE_USER").env_remove("QUORATE_PASSWORD"))
    };
    let make = ["profiles", "use", &at, "--name", "one"];
    run(&make).ended(7, "Q1051 ");
    let tenant = |name| [&make[..], &["-u", "admin", "-p", FIRST, "-t", name]].concat();
    run(&tenant("other")).ended(2, "Q1632 there is no tenant \"other\";");
    run(&tenant("default_tenant")).ended(0, "profile one in use");
    run(&["users", "list"]).ended(0, "");
    run(&["profiles", "set", "-u", "ann", "-p", "wrong password"]).ended(7, "Q1051 ");
    run(&["users", "list"]).ended(0, ""); // as before
    std::thread::sleep(FORGIVEN);
    run(&["profiles", "set", "-u", "ann", "-p", OF_ANN]).ended(0, "profile one asks as ann");
    run(&["users", "list"]).ended(7, "Q1052 ann is a writer");
    run(&["kv", "put", "colour", "blue"]).ended(0, "");
    for arguments in [&["profiles", "list"][..], &["profiles", "show-current"]] {
        for how in [&[][..], &["--json"]] {
            let ran = run(&[arguments, how].concat());
            assert!(ran.code == 0 && !ran.text().contains(OF_ANN), "{ran:?}");
        }
    }
    assert!(run(&["profiles", "show-current"]).text().contains("user     ann\n"));
    let file = machines.place.path().join("home/profiles.toml");
    assert!(fs::read_to_string(&file).expect("it is there").contains(OF_ANN), "it is kept here");
    assert_eq!(mode(&file), 0o600);

    // Who sets the own password asks with it from here on.
    let mut setting = machines.command(("", ""), &["users", "set-password", "ann"]);
    setting.env_remove("QUORATE_USER").env_remove("QUORATE_PASSWORD");
    Ran::by(setting.env("QUORATE_NEW_PASSWORD", LATER)).ended(0, "user ann has another password");
    run(&["kv", "get", "colour"]).printed(b"blue");
}
