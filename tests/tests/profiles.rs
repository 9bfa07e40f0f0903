//! `quorate profiles` and the commands that use one, at real daemons that die in every way.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use quorate_node::demo::cut::{self, Cut};
use quorate_tests::binary::{Ran, command};
use quorate_tests::cluster::Cluster;
use quorate_tests::skips::skip;
use serde_json::Value;
use tempfile::TempDir;

/// By then a client that knows one living member is promised its answer; asserted with a margin of
/// three, for a machine under load.
const ANSWERED: Duration = Duration::from_millis(1_000);
/// By then it is told that nobody answers.
const GIVEN_UP: Duration = Duration::from_millis(3_000);
const MARGIN: u32 = 3;

/// A user whose settings are in this directory.
struct User {
    home: TempDir,
}

impl User {
    fn new() -> User {
        let home = TempDir::with_prefix("quorate-test-").expect("the temporary directory works");
        User { home }
    }

    /// `quorate` with these arguments, and with no variable but this user's own.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command.args(arguments).env("QUORATE_HOME", self.home.path().join("settings"));
        command.env_remove("QUORATE_NODES").env_remove("QUORATE_PROFILE");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::by(&mut self.command(arguments))
    }

    /// Runs it, and says how long that took.
    fn time(&self, arguments: &[&str]) -> (Ran, Duration) {
        let began = Instant::now();
        (self.run(arguments), began.elapsed())
    }

    /// Sets a key through the profile in use. Prints how long that took.
    fn puts(&self, how: &str) {
        let (ran, took) = self.time(&["kv", "put", "colour", how]);
        let ran = ran.ended(0, "acknowledged at log index");
        println!("{how}: acknowledged after {} ms", took.as_millis());
        assert!(took < ANSWERED * MARGIN, "{how}: {took:?} {ran:?}");
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments).json()
    }
}

fn ip(cluster: &Cluster, node: usize) -> String {
    cluster.api(node).ip().to_string()
}

#[test]
fn a_profile_follows_the_cluster_whatever_dies() {
    let mut cluster = Cluster::of(5).started();
    let user = User::new();
    // One address is enough, and the first of two may be that of nobody.
    let nobody = cluster.api(1).ip().to_string() + ":9";
    let given = format!("{nobody},{}", ip(&cluster, 2));
    user.run(&["profiles", "use", &given, "--name", "five"]).ended(0, "cluster quorate, 5 members");
    let current = user.json(&["profiles", "show-current", "--json"]);
    assert_eq!(current["list"]["members"].as_array().map(Vec::len), Some(5), "{current}");
    user.puts("all alive");
    forgets_and_learns(&user);

    cluster.node(2).kill();
    cluster.wait_for_leader_other_than(2, 10_000);
    user.puts("one refuses");
    cluster.node(1).freeze();
    wait_for_another_leader(&cluster, &[1, 2]);
    user.puts("one refuses, one is silent");
    cluster.node(1).thaw();

    cluster.start(2);
    cluster.wait_until_equal(10_000);
    match cut::missing() {
        Some(reason) => skip("a_profile_follows_the_cluster_whatever_dies_with_nft", &reason),
        None => {
            let client = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
            let dropped = [1, 2].map(|node| cluster.api(node).ip());
            let _cut = Cut::between(&dropped, &client).expect("nft takes the rules");
            user.puts("two drop what comes");
        }
    }

    (1..=5).for_each(|node| cluster.node(node).kill());
    let (ran, took) = user.time(&["kv", "get", "colour"]);
    let ran = ran.ended(4, "Q1611 nobody answered within");
    for node in 1..=5 {
        assert!(ran.err.contains(&format!("{}: ", cluster.api(node))), "{ran:?}");
    }
    println!("all dead: told after {} ms", took.as_millis());
    assert!(took < GIVEN_UP * MARGIN, "{took:?} {ran:?}");
}

/// A profile of which an older list is kept knows all members again after one command.
fn forgets_and_learns(user: &User) {
    let file = user.home.path().join("settings/profiles.toml");
    let text = fs::read_to_string(&file).expect("it was written");
    let mut table: toml::Table = text.parse().expect("it is TOML");
    let list = &mut table["profiles"]["five"]["list"];
    list["version"] = 1.into();
    list["members"].as_array_mut().expect("a list").truncate(1);
    fs::write(&file, table.to_string()).expect("it is ours");
    user.run(&["cluster", "update-profile"]).ended(0, "profile five: 5 members");
    let current = user.json(&["profiles", "show-current", "--json"]);
    assert_eq!(current["list"]["members"].as_array().map(Vec::len), Some(5), "{current}");
}

/// One of the others leads.
fn wait_for_another_leader(cluster: &Cluster, than: &[usize]) {
    cluster.wait_ms("another leader", 10_000, || {
        cluster.leaders().iter().any(|leader| !than.contains(leader))
    });
}

#[test]
fn profiles_are_made_chosen_and_forgotten() {
    let cluster = Cluster::of(1).started();
    let other = Cluster::of(1).settings("name = \"other\"").started();
    let user = User::new();
    user.run(&["profiles", "show-current"]).ended(5, "no profile is in use");
    let (one, two) = (ip(&cluster, 1), ip(&other, 1));
    user.run(&["profiles", "use", &one]).ended(0, "cluster quorate, 1 members, leader n1");
    user.run(&["profiles", "use", &two, "--name", "two"]).ended(0, "cluster other");
    user.run(&["kv", "put", "a", "of two"]).ended(0, "acknowledged");
    user.run(&["--help"]).ended(0, "");
    let asked = user.run(&["kv", "get", "a", "--profile", &one]);
    asked.ended(5, "Q1106");
    let list = user.run(&["profiles", "list"]).ended(0, "").text().to_owned();
    assert!(list.contains("* two") && list.contains(&format!("  {one}")), "{list}");
    assert_eq!(user.json(&["profiles", "list", "--json"])["current"], "two");
    let shown = user.run(&["profiles", "show-current"]).ended(0, "").text().to_owned();
    assert!(shown.contains("cluster  other (") && shown.contains(&two), "{shown}");
    user.run(&["profiles", "use", &one]).ended(0, "profile");
    assert_eq!(user.json(&["profiles", "show-current", "--json"])["name"], one.as_str());

    let file = user.home.path().join("settings/profiles.toml");
    let before = fs::read_to_string(&file).expect("it was written");
    for (code, says, arguments) in [
        (2, "Q1751 \"a b\" is no address", ["profiles", "use", "a b", "--name=x"]),
        (2, "Q1752 nowhere.invalid: ", ["profiles", "use", "nowhere.invalid", "--name=x"]),
        (4, "Q1611 nobody answered", ["profiles", "use", "127.0.0.1:9", "--name=x"]),
        (6, "Q1757 profile \"two\" is of another", ["profiles", "use", &one, "--name=two"]),
        (5, "Q1756 there is no profile \"x\"", ["kv", "list", "--profile", "x"]),
    ] {
        user.run(&arguments).ended(code, says);
    }
    user.run(&["profiles", "delete", "x"]).ended(5, "Q1756");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), before);

    user.run(&["profiles", "delete", &one]).ended(0, "");
    user.run(&["profiles", "show-current"]).ended(5, "no profile is in use");
    damaged(&user, &file);
}

/// A file that is not ours is neither followed nor replaced.
fn damaged(user: &User, file: &Path) {
    fs::write(file, "current = 7\n").expect("it is ours");
    user.run(&["kv", "list"]).ended(1, "Q1753 ");
    user.run(&["profiles", "delete", "two"]).ended(1, "Q1753 ");
    assert_eq!(fs::read_to_string(file).expect("it is there"), "current = 7\n");
}

#[test]
fn profiles_without_a_place_or_a_cluster_are_refused() {
    let mut cluster = Cluster::of(3).ready();
    let user = User::new();
    let homeless = |arguments: &[&str]| {
        let mut command = user.command(arguments);
        Ran::by(command.env_remove("QUORATE_HOME").env_remove("XDG_CONFIG_HOME").env_remove("HOME"))
    };
    homeless(&["profiles", "list"]).refused(1, "Q1755 there is no home directory;");
    homeless(&["kv", "list", "--profile", "x"]).refused(1, "Q1755 ");

    let file = user.home.path().join("file");
    fs::write(&file, "").expect("it is ours");
    let placed = |arguments: &[&str]| {
        Ran::by(user.command(arguments).env("QUORATE_HOME", file.join("below")))
    };
    placed(&["profiles", "list"]).refused(1, "Q1754 ");
    placed(&["profiles", "delete", "x"]).refused(1, "Q1754 ");
    placed(&["kv", "list"]).refused(1, "Q1754 ");

    // One of three cannot found a cluster.
    cluster.start(1);
    let at = ip(&cluster, 1);
    let began = Instant::now();
    let ran = loop {
        let ran = user.run(&["profiles", "use", &at]);
        if !ran.err.starts_with("Q1611 ") {
            break ran;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it starts: {ran:?}");
    };
    ran.refused(4, "Q1758 the cluster has no members yet;");
    user.run(&["profiles", "list", "--json"]).ended(0, "");
    assert!(!user.home.path().join("settings/profiles.toml").exists());
}
