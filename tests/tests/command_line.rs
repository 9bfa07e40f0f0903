//! The command line at real daemons: what each command prints, where, and its exit code, as
//! docs/command_line.md has them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quorate_core::key_value::VALUE_SIZE_BYTES_MAX;
use quorate_core::status::Status;
use quorate_node::demo::health;
use quorate_tests::binary::{AUTHORIZATION, Ran, command, kv};
use quorate_tests::block::Block;
use quorate_tests::cluster::Cluster;
use serde_json::Value;

/// Runs `quorate kv` against the node with this API.
fn run(api: SocketAddr, arguments: &[impl AsRef<OsStr>]) -> Ran {
    Ran::of(kv(api, arguments))
}

/// `quorate` with these arguments, which asks the node with this API.
fn asking(api: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(arguments).env("QUORATE_NODES", api.to_string());
    command
}

/// Runs `quorate` with these arguments and input.
fn told(api: SocketAddr, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = asking(api, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin.write_all(input).expect("the command reads all of its input");
    drop(stdin);
    Ran::of(child.wait_with_output().expect("a child can be waited for"))
}

/// The modify index of `key`, as a program finds it for `cas`.
fn modify_index(api: SocketAddr, key: &str) -> String {
    let listed = run(api, &["list", key, "--json"]).json();
    assert_eq!(listed["keys"][0]["key"], key);
    listed["keys"][0]["modify_index"].to_string()
}

#[test]
fn each_kv_command_prints_what_is_documented_and_ends_with_its_code() {
    let cluster = Cluster::of(3).started();
    let api = cluster.api(1);
    let acknowledged = "acknowledged at log index ";

    let put = run(api, &["put", "colour", "blue\ngreen"]);
    assert!(put.err.starts_with(acknowledged) && put.err.contains(" by n"), "{}", put.err);
    put.printed(b"");
    run(api, &["get", "colour"]).printed(b"blue\ngreen");
    let got = run(api, &["get", "colour", "--json"]).json();
    assert_eq!((&got["key"], &got["value"]), (&"colour".into(), &"blue\ngreen".into()));
    assert_eq!((&got["size_bytes"], &got["age_ms"]), (&10.into(), &Value::Null));
    assert_eq!(got["value_hash"].as_str().map(str::len), Some(16));
    assert_eq!(got["modify_index"].to_string(), modify_index(api, "colour"));
    assert!(got["index"].as_u64() >= got["modify_index"].as_u64());

    told(api, &["kv", "put", "colour/raw", "-"], b"\xff\0\n").printed(b"");
    run(api, &["get", "colour/raw"]).printed(b"\xff\0\n");
    let raw = run(api, &["get", "colour/raw", "--json"]).json();
    assert_eq!((&raw["value"], &raw["size_bytes"]), (&Value::Null, &3.into()));

    run(api, &["list"]).printed(b"colour\ncolour/raw\n");
    run(api, &["list", "colour/"]).printed(b"colour/raw\n");
    run(api, &["list", "nothing"]).printed(b"");
    let listed = run(api, &["list", "--json"]).json();
    let keys: Vec<_> = listed["keys"].as_array().expect("a list").iter().collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key["create_index"].is_u64() && key["modify_index"].is_u64()));
    assert_eq!(run(api, &["list", "nothing", "--json"]).json()["keys"], Value::Array(vec![]));

    for arguments in [["get", "colour", "--stale"], ["list", "colour/", "--stale"]] {
        let stale = run(api, &arguments);
        assert!(stale.err.starts_with("stale: at log index "), "{}", stale.err);
        assert_eq!(stale.code, 0);
        let stale = run(api, &[&arguments[..], &["--json"]].concat()).json();
        assert!(stale["age_ms"].is_u64() && stale["index"].is_u64(), "{stale}");
    }

    run(api, &["delete", "colour"]).printed(b"");
    let missing = "Q1106 there is no key \"colour\"; nothing was changed; ";
    run(api, &["get", "colour"]).refused(5, missing);
    run(api, &["get", "colour", "--json"]).refused(5, missing);
    run(api, &["delete", "colour"]).refused(5, missing);
}

#[test]
fn a_key_is_set_only_by_who_has_seen_its_last_change() {
    let cluster = Cluster::of(3).started();
    let api = cluster.api(2);
    let cas = |value: &str, index: &str| run(api, &["cas", "lock;x", value, "--index", index]);

    cas("none yet", "7")
        .refused(6, "Q1105 \"lock;x\" is at modify index 0, not 7 (0: no such key)");
    run(api, &["get", "lock;x"]).refused(5, "Q1106");
    cas("first", "0").printed(b"");
    let first = modify_index(api, "lock;x");
    let refusal = format!("Q1105 \"lock;x\" is at modify index {first}, not 0 (0: no such key); ");
    cas("second", "0").refused(6, &refusal);
    cas("second", &first).printed(b"");
    cas("third", &first).refused(6, "Q1105 ");
    run(api, &["get", "lock;x"]).printed(b"second");
    // `-` stands for the standard input here as well.
    let second = modify_index(api, "lock;x");
    told(api, &["kv", "cas", "lock;x", "-", "--index", &second], b"\xfe").printed(b"");
    run(api, &["get", "lock;x"]).printed(b"\xfe");
}

/// Names of files and their bytes, each with something that a careless path would lose.
fn odd_files() -> Vec<(OsString, Vec<u8>)> {
    let text = |name: &str, value: &str| (OsString::from(name), value.as_bytes().to_vec());
    let mut files = vec![
        text("plain", "value"),
        text("-dash", "--json"),
        text(".hidden", ".."),
        text("a b\tc", " "),
        text("line\nbreak", "two\nlines\n"),
        text("50%25?x=1&y#z+", "+"),
        text("back\\slash\"quote'", "\""),
        text("caf\u{e9} \u{1f980}", "\u{feff}"),
        text("...", "no path"),
        text("deep/er/and deeper", "-"),
        text("empty", ""),
        (OsString::from("bytes"), (0..=255).collect()),
        (OsString::from("large"), b"\r\n\0\xff".repeat(VALUE_SIZE_BYTES_MAX / 4)),
    ];
    // More than one page of a list.
    files.extend((0..1_100).map(|at| text(&format!("many/{at}"), &at.to_string())));
    files
}

#[test]
fn an_export_writes_the_same_bytes_as_were_imported_and_names_what_it_leaves_out() {
    let cluster = Cluster::of(3).started();
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let (from, to) = (place.path().join("from"), place.path().join("to/new"));
    let files = odd_files();
    for (name, value) in &files {
        let path = from.join(name);
        fs::create_dir_all(path.parent().expect("it is below")).expect("it can be made");
        fs::write(path, value).expect("it can be written");
    }
    let api = cluster.api(1);
    let paths = |verb: &str, dir: &std::path::Path| vec![verb.into(), dir.as_os_str().to_owned()];
    let prefixed =
        |verb, dir| [paths(verb, dir), vec!["--prefix".into(), "all ?/".into()]].concat();

    let imported = run(api, &prefixed("import", &from));
    assert_eq!(imported.err, format!("{} stored, 0 left out\n", files.len()));
    imported.printed(b"");
    let exported = run(cluster.api(2), &prefixed("export", &to));
    assert_eq!(exported.err, format!("{} written, 0 left out\n", files.len()));
    exported.printed(b"");
    for (name, value) in &files {
        let found = fs::read(to.join(name)).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert!(found == *value, "{name:?} has other bytes: {} of them", found.len());
    }
    let listed = run(api, &["list", "--json"]).json();
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(files.len()));

    fs::write(from.join(OsString::from_vec(b"caf\xe9".to_vec())), "no key").expect("written");
    fs::write(from.join("large"), vec![0; VALUE_SIZE_BYTES_MAX + 1]).expect("written");
    let partial = run(api, &paths("import", &from));
    assert!(partial.err.contains("Q1711 ") && partial.err.contains("Q1713 "), "{}", partial.err);
    assert!(partial.err.ends_with(" stored, 2 left out\n"), "{}", partial.err);
    assert_eq!((partial.code, partial.out.len()), (10, 0));
    run(api, &["put", "out/../../side", "leads out"]).printed(b"");
    let partial = run(api, &[paths("export", &to), vec!["--prefix=out/".into()]].concat());
    partial.refused(10, "Q1716 \"../../side\": no path inside the directory; left out; ");
    assert!(!place.path().join("side").exists());
    let nowhere = place.path().join("nowhere");
    run(api, &paths("import", &nowhere)).refused(1, "Q1721 ");
    run(api, &paths("export", &from.join("plain"))).refused(1, "Q1721 ");
}

/// What `cluster status` says in both forms: its exit code, the JSON as a status, and the table.
fn status(api: SocketAddr) -> (i32, Status, String) {
    let printed = |arguments: &[&str]| {
        let ran = Ran::by(&mut asking(api, arguments));
        assert_eq!(ran.err, "");
        ran
    };
    let table = printed(&["cluster", "status"]).text().to_owned();
    let ran = printed(&["cluster", "status", "--json"]);
    ran.json_line();
    (ran.code, serde_json::from_slice(&ran.out).expect("it is the status of the API"), table)
}

/// Starts every command that asks the cluster, because each may take its 10 seconds: whether it
/// writes, its name, and the process.
fn start_all(api: SocketAddr, place: &std::path::Path) -> Vec<(bool, String, Child)> {
    let dir = |name: &str| place.join(name).to_string_lossy().into_owned();
    fs::create_dir_all(dir("in")).expect("it can be made");
    fs::write(place.join("in/file"), "value").expect("it can be written");
    let (from, to) = (dir("in"), dir("out"));
    let commands: [(bool, &[&str]); 7] = [
        (false, &["kv", "get", "key"]),
        (false, &["kv", "list", "--json"]),
        (false, &["kv", "export", &to]),
        (true, &["kv", "put", "key", "late"]),
        (true, &["kv", "cas", "new", "late", "--index", "0"]),
        (true, &["kv", "delete", "gone"]),
        (true, &["kv", "import", &from]),
    ];
    let start = |(is_write, arguments): (bool, &[&str])| {
        let mut command = asking(api, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        (is_write, arguments.join(" "), command.spawn().expect("the binary runs"))
    };
    commands.into_iter().map(start).collect()
}

/// Checks of every command that it ended with one of these, as (exit code, code of ours).
fn check_all(
    started: Vec<(bool, String, Child)>,
    of_reads: &[(i32, &str)],
    of_writes: &[(i32, &str)],
) {
    for (is_write, name, child) in started {
        let ran = Ran::of(child.wait_with_output().expect("a child can be waited for"));
        let expected = if is_write { of_writes } else { of_reads };
        let found = (ran.code, ran.err.get(..5).unwrap_or_default());
        assert!(expected.contains(&found), "{name}: not one of {expected:?}: {ran:?}");
        assert_eq!(ran.out, b"", "{name}");
        let changed = match found {
            (8, _) => "; may have taken effect; ",
            (4, code) if is_write && code != "Q1611" => "; nothing was written; ",
            _ => "; nothing was changed; ",
        };
        assert!(ran.err.contains(changed), "{name}: {}", ran.err);
    }
}

#[test]
fn without_a_quorum_there_is_no_leader_and_a_write_under_way_is_told_as_unknown() {
    let mut cluster = Cluster::of(3).started();
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let leader = cluster.wait_for_leader(10_000);
    let (one, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let api = cluster.api(leader);
    run(api, &["put", "key", "early"]).printed(b"");
    let whole = cluster.wait_ms("all are responsive", 10_000, || status(api).0 == 0);
    let (_, seen, table) = status(api);
    assert_eq!((seen.node, seen.leader, seen.acting), (seen.node, Some(seen.node), true));
    assert_eq!((seen.members.len(), seen.voters.len()), (3, 3), "whole after {whole} ms");
    assert!(table.contains(&format!("\nleader   n{leader}, heard ")), "{table}");
    let head = "ID   NAME          VOTE     API ";
    assert!(table.lines().any(|line| line.starts_with(head)), "{table}");

    cluster.node(one).freeze();
    cluster.wait_ms("one is silent", 10_000, || status(api).0 == 3);
    run(api, &["put", "key", "degraded"]).printed(b"");

    // The write reaches the elected node while it does not know yet that it is alone.
    cluster.node(other).freeze();
    let late = asking(api, &["kv", "put", "late", "value"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let late = (true, "put late".to_owned(), late);
    cluster.wait_ms("the quorum is lost", 10_000, || status(api).0 == 4);
    let (_, seen, table) = status(api);
    assert!(!seen.has_leader() && !seen.acting, "{seen:#?}");
    assert!(table.contains("\nleader   none"), "{table}");
    for path in ["/readyz", "/health"] {
        let answer = health::get_as(api, path, AUTHORIZATION, Duration::from_secs(1))
            .expect("the node answers");
        assert_eq!(answer.0, 503, "{path}: {}", answer.1);
    }
    check_all(vec![late], &[], &[(8, "Q1612")]);
    let refused = [(4, "Q1003"), (4, "Q1007"), (4, "Q1011"), (4, "Q1012")];
    check_all(start_all(api, place.path()), &refused, &refused);
    let stale = run(api, &["get", "key", "--stale"]);
    assert_eq!((stale.code, stale.out.as_slice()), (0, b"degraded".as_slice()), "{}", stale.err);

    cluster.node(one).thaw();
    cluster.node(other).thaw();
    cluster.wait_for_leader(10_000);
    run(api, &["get", "key"]).printed(b"degraded");
    // What nobody knew is known now, one way or the other; and what was refused was not written.
    let late = run(api, &["get", "late"]);
    assert!(late.out == b"value" || late.code == 5, "{late:?}");
    run(api, &["get", "new"]).refused(5, "Q1106");
}

#[test]
fn a_node_that_does_not_answer_is_told_apart_from_one_that_is_not_there() {
    let block = Block::take().expect("a block of test addresses is free");
    let gone = SocketAddr::new(block.node(1), quorate_core::config::API_PORT);
    let mut cluster = Cluster::of(1).started();
    let api = cluster.api(1);
    run(api, &["put", "key", "early"]).printed(b"");
    let places = [(); 2].map(|()| tempfile::tempdir().expect("a directory can be made"));

    cluster.node(1).freeze();
    let of_gone = start_all(gone, places[0].path());
    let of_frozen = start_all(api, places[1].path());
    let statuses = [gone, api].map(|at| {
        let mut command = asking(at, &["cluster", "status", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        (false, "status".to_owned(), command.spawn().expect("the binary runs"))
    });
    let nobody = [(4, "Q1611")];
    check_all(statuses.into(), &nobody, &[]);
    check_all(of_gone, &nobody, &nobody);
    check_all(of_frozen, &nobody, &nobody); // what a silent node gets is no write yet
    cluster.node(1).thaw();

    // The next address is asked, and the answer is that of the node which is there.
    let both = format!("{gone},{api}");
    let mut command = command();
    command.args(["kv", "list", "nothing", "--node", &both]);
    Ran::by(&mut command).printed(b"");
}

#[test]
fn wrong_usage_and_bad_input_end_with_2_and_change_nothing() {
    let cluster = Cluster::of(1).started();
    let api = cluster.api(1);
    let long = "k".repeat(1_025);
    let usage: [&[&str]; 11] = [
        &[],
        &["kv"],
        &["kv", "get"],
        &["kv", "put", "key"],
        &["kv", "put", "key", "a", "b"],
        &["kv", "cas", "key", "value"],
        &["kv", "cas", "key", "value", "--index", "-1"],
        &["kv", "cas", "key", "value", "--index", "new"],
        &["kv", "list", "--node", "local host"],
        &["kv", "list", "--node", ""],
        &["cluster", "status", "--yaml"],
    ];
    for arguments in usage {
        let ran = told(api, arguments, b"");
        assert!(ran.err.contains("Usage: ") || ran.err.contains("'--help'"), "{}", ran.err);
        ran.refused(2, "");
    }
    for verb in ["get", "delete"] {
        run(api, &[verb, ""]).refused(2, "Q1101 a key has 1 to 1024 bytes, not 0; ");
        run(api, &[verb, &long]).refused(2, "Q1101 a key has 1 to 1024 bytes, not 1025; ");
    }
    run(api, &["put", &long, "value"]).refused(2, "Q1101 ");
    run(api, &["cas", "", "value", "--index", "0"]).refused(2, "Q1101 ");
    let bad = OsStr::from_bytes(b"\xe9");
    run(api, &[OsStr::new("list"), bad]).refused(2, "Q1103 ");
    // More than a node reads before it hangs up: only here is it certain that nothing was sent.
    for size_bytes in [VALUE_SIZE_BYTES_MAX + 1, 32 << 20] {
        let text = format!("Q1102 a value has at most 524288 bytes, not {size_bytes}; ");
        let value = vec![b'v'; size_bytes];
        told(api, &["kv", "put", "key", "-"], &value).refused(2, &text);
        told(api, &["kv", "cas", "key", "-", "--index", "0"], &value).refused(2, &text);
    }
    run(api, &["list"]).printed(b"");
    // What looks like an option is a key or a value after `--`.
    told(api, &["kv", "put", "--", "-key", "--json"], b"").printed(b"");
    told(api, &["kv", "get", "--", "-key"], b"").printed(b"--json");
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure_with_a_code() {
    let cluster = Cluster::of(1).started();
    let api = cluster.api(1);
    run(api, &["put", "key", "value"]).printed(b"");
    let printing: [&[&str]; 6] = [
        &["kv", "get", "key"],
        &["kv", "get", "key", "--json"],
        &["kv", "list"],
        &["kv", "list", "--json"],
        &["cluster", "status"],
        &["cluster", "status", "--json"],
    ];
    for arguments in printing {
        let full = File::options().write(true).open("/dev/full").expect("Linux has one");
        Ran::by(asking(api, arguments).stdout(full))
            .refused(1, "Q1721 standard output: No space left on device");
    }
}
