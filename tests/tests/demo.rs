//! The verdict on stores that were tampered with, and the demo itself from its start to its end.
//!
//! A verdict that cannot turn red proves nothing, so here real stores of a real cluster lose one
//! write, or get an old value back, with every checksum right.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::codec;
use quorate_core::history::{Operation, OperationKind, Outcome, ValueHash};
use quorate_core::ids::LogIndex;
use quorate_core::key_value::Command as KeyValueCommand;
use quorate_core::replication::offline::{self, Rewritten};
use quorate_net::DataDisk;
use quorate_node::demo::cut;
use quorate_tests::binary::command;
use quorate_tests::block::Block;
use quorate_tests::cluster::Cluster;
use quorate_tests::load::Load;
use quorate_tests::skips::skip;
use serde_json::Value;

/// What `quorate demo-verdict` prints, and its exit code. Panics if it gives no verdict.
fn verdict(ledgers: &[PathBuf], sources: &[(&str, String)]) -> (i32, Value) {
    let mut command = command();
    command.arg("demo-verdict");
    command.args(ledgers.iter().flat_map(|ledger| ["--ledger".as_ref(), ledger.as_os_str()]));
    command.args(sources.iter().flat_map(|(option, value)| [option, value.as_str()]));
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let verdict = serde_json::from_slice(&output.stdout);
    let verdict = verdict.unwrap_or_else(|error| panic!("no verdict ({error}): {said}"));
    (output.status.code().expect("it ends by itself"), verdict)
}

fn stores(data_dirs: &[PathBuf]) -> Vec<(&'static str, String)> {
    data_dirs.iter().map(|data_dir| ("--data-dir", data_dir.display().to_string())).collect()
}

/// The verdict is red, and each finding names this key and no other.
fn is_red(what: &str, (code, verdict): (i32, Value), key: &str) {
    let findings = verdict["findings"].as_array().expect("findings are a list");
    assert_eq!(code, 1, "{what}: {verdict}");
    assert!(!findings.is_empty(), "{what}: {verdict}");
    let named = format!("{key:?}");
    for finding in findings {
        let finding = finding.as_str().expect("a finding is text");
        assert!(finding.contains(&named), "{what}: {finding} names {key}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("the directory is there") {
        let entry = entry.expect("its entries can be read");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("each has a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), &target).expect("a file can be copied")),
        }
    }
}

/// Makes `becomes` of the one entry at `index`.
fn tamper(data_dir: &Path, index: u64, becomes: &dyn Fn(KeyValueCommand) -> Rewritten) {
    let changed_count = quorate_net::block_on(async {
        let disk = DataDisk::open(data_dir).expect("its daemon has ended");
        let rewrite = |at: LogIndex, payload: &Bytes| {
            if at.0 != index {
                return Rewritten::Kept;
            }
            becomes(codec::decode("command", payload).expect("the store wrote it"))
        };
        offline::rewrite(Arc::new(disk), rewrite).await
    });
    assert_eq!(changed_count.expect("a runtime").expect("the store can be written"), 1);
}

/// The entry becomes one that gives the key another value.
fn with_value(value: Bytes) -> impl Fn(KeyValueCommand) -> Rewritten {
    move |command| {
        let KeyValueCommand::Put { key, value: _ } = command else {
            panic!("the writer puts: {command:?}");
        };
        let command = KeyValueCommand::Put { key, value: value.clone() };
        Rewritten::Replaced(command.to_bytes().expect("an old value is small enough"))
    }
}

fn removed(_: KeyValueCommand) -> Rewritten {
    Rewritten::Removed
}

/// The value that the entry at `index` gave to its key.
fn value_at(data_dir: &Path, index: u64) -> Bytes {
    let mut found = None;
    let read = quorate_net::block_on(async {
        let disk = DataDisk::open(data_dir).expect("its daemon has ended");
        let look = |at: LogIndex, payload: &Bytes| {
            if at.0 == index
                && let Ok(KeyValueCommand::Put { value, .. }) = codec::decode("command", payload)
            {
                found = Some(value);
            }
            Rewritten::Kept
        };
        offline::rewrite(Arc::new(disk), look).await
    });
    assert_eq!(read.expect("a runtime").expect("the store can be read"), 0);
    found.expect("the entry is in the log")
}

/// What a cluster has left behind: its directories and its ledgers, all in `place`.
struct Left {
    place: tempfile::TempDir,
    data_dirs: Vec<PathBuf>,
    ledgers: Vec<PathBuf>,
    operations: Vec<Operation>,
}

impl Left {
    /// Three daemons and two writers, until some key was written twice; then all of them end.
    fn by_a_cluster() -> Left {
        let mut cluster = Cluster::of(3).started();
        let mut load = Load::start(&cluster.apis(), 2);
        let deadline = Instant::now() + Duration::from_secs(20);
        while load.operations().len() < 300 {
            assert!(Instant::now() < deadline, "the writers hardly write");
            std::thread::sleep(Duration::from_millis(50));
        }
        load.stop();
        cluster.wait_until_equal(20_000);
        let nodes: Vec<_> = cluster.apis().iter().map(|api| ("--node", api.to_string())).collect();
        let (code, through_nodes) = verdict(load.ledgers(), &nodes);
        assert_eq!((code, &through_nodes["lost_count"]), (0, &0.into()), "{through_nodes}");
        cluster.stop_all(10_000);

        let place = tempfile::tempdir().expect("the temporary directory works");
        let copied = |(number, from): (usize, &PathBuf)| {
            let to = place.path().join(format!("n{number}"));
            copy(from, &to);
            to
        };
        let data_dirs = (1..).zip(&cluster.data_dirs()).map(copied).collect();
        let ledgers = (1..).zip(load.ledgers()).map(|(number, from): (usize, &PathBuf)| {
            let to = place.path().join(format!("ledger-{number}"));
            fs::copy(from, &to).expect("a ledger can be copied");
            to
        });
        Left { data_dirs, ledgers: ledgers.collect(), operations: load.operations(), place }
    }

    /// The stores, the one of `node` being a copy that was tampered with.
    fn with(
        &self,
        name: &str,
        node: usize,
        index: u64,
        becomes: &dyn Fn(KeyValueCommand) -> Rewritten,
    ) -> Vec<PathBuf> {
        let mut data_dirs = self.data_dirs.clone();
        let copied = self.place.path().join(format!("{name}-n{node}"));
        copy(&self.data_dirs[node - 1], &copied);
        tamper(&copied, index, becomes);
        data_dirs[node - 1] = copied;
        data_dirs
    }

    /// A key with at least two acknowledged writes, and the indexes of the last two.
    fn written_twice(&self) -> (&str, u64, u64) {
        let mut indexes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let is_done = |one: &&Operation| one.op.is_write() && one.outcome == Outcome::Acknowledged;
        for one in self.operations.iter().filter(is_done) {
            indexes.entry(&one.key).or_default().extend(one.log_index);
        }
        let found = indexes.iter().find(|(_, indexes)| indexes.len() >= 2);
        let (key, indexes) = found.expect("300 writes, a quarter of them to 16 keys");
        (key, indexes[indexes.len() - 2], indexes[indexes.len() - 1])
    }
}

#[test]
fn a_tampered_store_and_a_ledger_line_too_many_turn_the_verdict_red() {
    let left = Left::by_a_cluster();
    let (code, good) = verdict(&left.ledgers, &stores(&left.data_dirs));
    assert_eq!(code, 0, "{good}");
    assert_eq!(good["findings"], Value::Array(Vec::new()));
    assert_eq!(good["sources"].as_array().map(Vec::len), Some(3));
    assert!(good["reads_count"].as_u64() > Some(0), "{good}");

    let (key, before, last) = left.written_twice();
    let old = value_at(&left.data_dirs[0], before);
    let mut once = left.operations.iter().filter(|one| one.key.contains("/once/"));
    let first = once.next().expect("three quarters of all keys are written once");
    let first_index = first.log_index.expect("nothing goes wrong here");

    let dirs = left.with("removed", 2, first_index, &removed);
    is_red("an entry removed", verdict(&left.ledgers, &stores(&dirs)), &first.key);
    let dirs = left.with("last-removed", 1, last, &removed);
    is_red("the value before shows", verdict(&left.ledgers, &stores(&dirs)), key);
    let dirs = left.with("old-value", 3, last, &with_value(old.clone()));
    is_red("an old value at the last index", verdict(&left.ledgers, &stores(&dirs)), key);

    // The same in all three stores: they agree with each other, and only the ledger knows.
    let mut all = left.with("everywhere", 1, last, &with_value(old.clone()));
    for node in [2, 3] {
        let mut dirs = left.with("everywhere", node, last, &with_value(old.clone()));
        all[node - 1] = dirs.remove(node - 1);
    }
    is_red("an old value everywhere", verdict(&left.ledgers, &stores(&all)), key);

    let line = Operation {
        key: "writer-1/hot/0".to_owned(),
        value_hash: Some(ValueHash::of(b"never written")),
        start_ns: u64::MAX - 1,
        end_ns: u64::MAX,
        log_index: Some(u64::MAX),
        ..first.clone()
    };
    let longer = left.place.path().join("longer");
    let text = fs::read_to_string(&left.ledgers[0]).expect("the ledger is there");
    fs::write(&longer, text.clone() + &line.to_line()).expect("the place is writable");
    let ledgers = [longer, left.ledgers[1].clone()];
    is_red("a ledger line too many", verdict(&ledgers, &stores(&left.data_dirs)), &line.key);

    // All stores are right, and one client was shown what had been replaced.
    let stale = Operation {
        op: OperationKind::Get,
        key: key.to_owned(),
        value_hash: Some(ValueHash::of(&old)),
        log_index: Some(last),
        ..line
    };
    let with_stale = left.place.path().join("with-stale");
    fs::write(&with_stale, text + &stale.to_line()).expect("the place is writable");
    let ledgers = [with_stale, left.ledgers[1].clone()];
    is_red("a stale read", verdict(&ledgers, &stores(&left.data_dirs)), key);
}

#[test]
fn a_value_of_unknown_outcome_does_not_hide_a_lost_write_in_real_stores() {
    let left = Left::by_a_cluster();
    let (key, before, last) = left.written_twice();
    let old = value_at(&left.data_dirs[0], before);
    // The older write as if its answer had been lost: all is well, it was superseded.
    let forgotten = left.operations.iter().map(|one| match one.log_index {
        Some(index) if index == before && one.op.is_write() => {
            Operation { outcome: Outcome::Unknown, log_index: None, ..one.clone() }
        }
        Some(_) | None => one.clone(),
    });
    let ledger = left.place.path().join("forgotten");
    let text: String = forgotten.map(|one| one.to_line()).collect();
    fs::write(&ledger, text).expect("the place is writable");
    let ledgers = [ledger];
    assert_eq!(verdict(&ledgers, &stores(&left.data_dirs)).0, 0);
    // With its value where the acknowledged one belongs, it is not.
    for (name, becomes) in [
        ("hidden-removed", &removed as &dyn Fn(KeyValueCommand) -> Rewritten),
        ("hidden-old", &with_value(old)),
    ] {
        let dirs = left.with(name, 1, last, becomes);
        let mut alone = vec![dirs[0].clone()];
        is_red(name, verdict(&ledgers, &stores(&alone)), key);
        alone.extend(left.data_dirs[1..].iter().cloned());
        is_red(name, verdict(&ledgers, &stores(&alone)), key);
    }
}

/// The demo as a child process, with a temporary directory and a block of addresses of its own.
struct Demo {
    child: Child,
    place: tempfile::TempDir,
    _block: Block,
}

impl Demo {
    fn start() -> Demo {
        let block = Block::take().expect("a block of test addresses is free");
        let place = tempfile::tempdir().expect("the temporary directory works");
        let (tree, temporary) = (place.path().join("tree"), place.path().join("tmp"));
        fs::create_dir_all(tree.join("deep")).expect("a directory can be made");
        fs::create_dir_all(&temporary).expect("a directory can be made");
        fs::write(tree.join("one"), "1").expect("a file can be made");
        fs::write(tree.join("deep/two"), "22").expect("a file can be made");
        let mut command = command();
        command.args(["demo", "--json", "--block", &block.first().to_string(), "--tree"]).arg(tree);
        command.env("TMPDIR", temporary).stdin(Stdio::null());
        // Ctrl-C reaches a whole process group, which must not be that of this test.
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().expect("the binary runs");
        Demo { child, place, _block: block }
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("Linux process ids fit 22 bits");
        // SAFETY: kill has no memory effects, and the child was not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Its exit code, what it prints, and what it said; `say` is called with each line as it comes.
    fn ended(&mut self, mut say: impl FnMut(&Demo, &str)) -> (Option<i32>, String, String) {
        let stderr = self.child.stderr.take().expect("it is asked for a pipe");
        let mut said = String::new();
        for line in BufReader::new(stderr).lines() {
            let line = line.expect("it prints text");
            say(self, &line);
            said.push_str(&line);
            said.push('\n');
        }
        let mut stdout = self.child.stdout.take().expect("it is asked for a pipe");
        let printed = std::io::read_to_string(&mut stdout).expect("it prints text");
        (self.child.wait().expect("a child can be waited for").code(), printed, said)
    }

    /// Processes that were started with a path in its directories, by what `/proc` says.
    fn processes(&self) -> Vec<String> {
        let temporary = self.place.path().join("tmp").display().to_string();
        let all = fs::read_dir("/proc").expect("this is Linux").flatten();
        let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let texts = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        texts.filter(|text| text.contains(&temporary)).collect()
    }

    /// The end of what each daemon has logged.
    fn last_words(&self) -> String {
        let mut words = String::new();
        let stages = fs::read_dir(self.place.path().join("tmp")).expect("it was made here");
        for stage in stages.flatten() {
            for node in 1..=4 {
                let log = stage.path().join(format!("n{node}/log"));
                let log = fs::read_to_string(&log).unwrap_or_else(|error| format!("{error}"));
                let lines: Vec<&str> = log.lines().collect();
                for line in &lines[lines.len().saturating_sub(20)..] {
                    words.push_str(&format!("n{node}  {line}\n"));
                }
            }
        }
        words
    }

    /// No process, no file and no rule of the network is left.
    fn left_nothing(&self, test: &str) {
        assert_eq!(self.processes(), Vec::<String>::new());
        let temporary = fs::read_dir(self.place.path().join("tmp")).expect("it was made here");
        let files: Vec<PathBuf> = temporary.map(|entry| entry.expect("readable").path()).collect();
        assert_eq!(files, Vec::<PathBuf>::new(), "files of the demo are left");
        match cut::missing() {
            Some(reason) => skip(&format!("{test}_with_nft"), &reason),
            None => assert!(!has_table(self.child.id()), "a table of the demo is left"),
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Both fail only if it has ended; its own children die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the demo says when there is most to clean up: with nft, in the middle of the cut.
fn where_most_is_to_clean_up() -> &'static str {
    match cut::missing() {
        Some(_) => "SIGSTOP for half of them",
        None => "the network between the two halves is cut",
    }
}

/// Whether the demo with this process id has rules in the network; without nft nobody has.
fn has_table(pid: u32) -> bool {
    if cut::missing().is_some() {
        return false;
    }
    let listed = Command::new("nft").args(["list", "tables"]).output().expect("nft runs");
    assert!(listed.status.success(), "{listed:?}");
    let name = format!("quorate_demo_{pid}");
    String::from_utf8_lossy(&listed.stdout).split_whitespace().any(|word| word == name)
}

#[test]
fn the_demo_loses_nothing_and_leaves_nothing() {
    let began = Instant::now();
    let mut demo = Demo::start();
    let mut most_processes_count = 0;
    let (code, printed, said) = demo.ended(|demo, _| {
        most_processes_count = most_processes_count.max(demo.processes().len());
    });
    println!("the demo took {} ms", began.elapsed().as_millis());
    assert_eq!(code, Some(0), "{said}{printed}");
    let report: Value = serde_json::from_str(&printed).expect("one line of JSON");
    assert_eq!((&report["good"], &report["version"]), (&true.into(), &1.into()), "{report}");
    let fact =
        |name: &str| report["facts"][name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert_eq!(fact("files_count"), 2);
    assert_eq!(fact("lost_count"), 0);
    assert_eq!(fact("frozen_acknowledged_count"), 0);
    // Three and four nodes, each asked twice and read offline.
    assert_eq!(fact("sources_count"), 3 * 3 + 4 * 3);
    assert!(fact("acknowledged_count") > 100 && fact("keys_count") > 50, "{report}");
    assert!(fact("unknown_count") < fact("acknowledged_count"), "{report}");
    assert!(fact("leader_killed_without_leader_ms") <= 3_000, "{report}");
    assert!(fact("duration_ms") < 60_000, "{report}");
    assert!(
        report["facts"]["leader_killed_heir"].as_str().is_some_and(|heir| heir.starts_with('n'))
    );
    if cut::missing().is_none() {
        assert_eq!(fact("nft_acknowledged_count"), 0);
    }
    assert!(most_processes_count >= 4, "the daemons were seen while they ran");
    demo.left_nothing("the_demo_loses_nothing_and_leaves_nothing");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let mut demo = Demo::start();
    let at = where_most_is_to_clean_up();
    let mut is_interrupted = false;
    let (code, printed, said) = demo.ended(|demo, line| {
        if line.contains(at) {
            std::thread::sleep(Duration::from_millis(500));
            let running = demo.processes();
            assert!(
                running.len() >= 5,
                "four daemons and a writer: {running:#?}\n{}",
                demo.last_words()
            );
            assert_eq!(has_table(demo.child.id()), cut::missing().is_none(), "the network is cut");
            demo.signal(libc::SIGINT);
            is_interrupted = true;
        }
    });
    assert!(is_interrupted, "{said}");
    assert_eq!((code, printed.as_str()), (Some(130), ""), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("Q1744 ")), "{said}");
    demo.left_nothing("an_interrupted_demo_leaves_nothing");
}

#[test]
fn a_killed_demo_leaves_no_process_and_no_rule() {
    if let Some(reason) = cut::missing() {
        skip("a_killed_demo_leaves_no_process_and_no_rule_with_nft", &reason);
    }
    let mut demo = Demo::start();
    let at = where_most_is_to_clean_up();
    let mut is_killed = false;
    let (code, printed, said) = demo.ended(|demo, line| {
        if line.contains(at) {
            assert_eq!(has_table(demo.child.id()), cut::missing().is_none(), "the network is cut");
            demo.signal(libc::SIGKILL);
            is_killed = true;
        }
    });
    assert!(is_killed, "{said}");
    assert_eq!((code, printed.as_str()), (None, ""), "{said}");
    let began = Instant::now();
    while has_table(demo.child.id()) || !demo.processes().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10), "a rule or a process is left");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn rules_that_nft_refuses_are_told_and_leave_nothing() {
    if let Some(reason) = cut::missing() {
        return skip("rules_that_nft_refuses_are_told_and_leave_nothing", &reason);
    }
    let refused = cut::Cut::between(&[], &[]).expect_err("nobody can be cut off from nobody");
    assert!(refused.to_string().contains("syntax error"), "{refused}");
    assert!(!has_table(std::process::id()));
}

#[test]
fn a_demo_on_taken_addresses_starts_nothing() {
    let block = Block::take().expect("a block of test addresses is free");
    let at = std::net::SocketAddr::new(block.node(12), 8_500);
    let _taken = std::net::TcpListener::bind(at).expect("the port of a free block is free");
    let mut first = command();
    first.args(["demo", "--block", &block.first().to_string()]);
    let output = first.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("Q1741 {at} is taken")), "{said}");
    let wrong = [("--block", "10.0.0.0"), ("--block", "127.0.0.1"), ("--block", "localhost")];
    for (option, wrong) in wrong.into_iter().chain([("--tree", "/nowhere")]) {
        let output = command().args(["demo", option, wrong]).output();
        assert_eq!(output.expect("the binary runs").status.code(), Some(2), "{option} {wrong}");
    }
}
