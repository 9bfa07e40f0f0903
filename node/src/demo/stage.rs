//! A cluster of the demo with its daemons, its writer and its ledgers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use quorate_core::config::MemberSettings;
use quorate_core::history::register::{Source, Verdict, judge};
use quorate_core::history::{Operation, Outcome};
use quorate_core::observe::planted;
use quorate_core::ports::{Clock, Entropy};
use quorate_core::replication::Consistency;
use quorate_core::users::ADMIN;
use quorate_net::{BootClock, OsEntropy};
use tempfile::TempDir;

use super::processes::{Daemon, DaemonPlan, Helper};
use super::{DemoError, check, health};
use crate::exit::Exit;
use crate::login::Login;
use crate::nodes::Nodes;

/// How often a wait looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long one daemon may take to say whether it leads.
const ANSWER_LIMIT: Duration = Duration::from_millis(100);
/// Last octet of the first node's address; the next has the next address.
const FIRST_OCTET: u8 = 11;

/// One cluster from its first start to its verdict. Dropping it kills and deletes everything.
pub(super) struct Stage {
    // Dropped in this order: processes first, then their files.
    writer: Option<Helper>,
    pub(super) daemons: Vec<Daemon>,
    ledgers: Vec<PathBuf>,
    login: Login,
    place: TempDir,
}

/// What only the nodes of this cluster have.
fn new_secret() -> String {
    let mut bytes = [0; 32];
    OsEntropy.fill("cluster secret", &mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Stage {
    /// Starts `nodes_count` daemons at .11 and following of the block.
    pub(super) fn start(block: Ipv4Addr, nodes_count: u8) -> Result<Stage, DemoError> {
        let members: Vec<MemberSettings> =
            (0..nodes_count).map(|number| member(block, number)).collect();
        members.iter().try_for_each(ports_are_free)?;
        let mut place = TempDir::with_prefix("quorate-demo-")?;
        place.disable_cleanup(planted("interrupted_demo_leaves_its_files"));
        let binary = std::env::current_exe()?;
        let secret = new_secret();
        let login = Login { user: ADMIN.to_owned(), password: new_secret() };
        let daemon = |member: &MemberSettings| {
            let plan = DaemonPlan {
                name: member.name.clone(),
                place: place.path().join(&member.name),
                members: members.clone(),
                more_settings: String::new(),
                environment: vec![("QUORATE_ADMIN_PASSWORD".to_owned(), login.password.clone())],
                secret: Some(secret.clone()),
            };
            Daemon::new(&binary, plan)
        };
        let daemons = members.iter().map(daemon).collect();
        let mut stage = Stage { daemons, place, login, writer: None, ledgers: Vec::new() };
        stage.daemons.iter_mut().try_for_each(Daemon::start)?;
        Ok(stage)
    }

    /// Waits until exactly one node says that it leads; returns its place in `daemons`.
    pub(super) async fn leader(&self, limit_ms: u64) -> Result<usize, DemoError> {
        let found = within_ms(limit_ms, || match self.leaders()[..] {
            [leader] => Some(leader),
            _ => None,
        });
        let error = || self.too_late(format!("no leader within {limit_ms} ms"));
        found.await.ok_or_else(error)
    }

    /// The running nodes that say that they lead.
    pub(super) fn leaders(&self) -> Vec<usize> {
        let leads = |daemon: &Daemon| {
            daemon.pid().is_some() && health::is_leader(daemon.api(), ANSWER_LIMIT)
        };
        (0..self.daemons.len()).filter(|at| leads(&self.daemons[*at])).collect()
    }

    /// Stores the tree, in a process of its own. Returns whether files were left out.
    pub(super) async fn import(&mut self, tree: &Path) -> Result<bool, DemoError> {
        let mut command = self.command(&["kv", "import"], "import");
        command.arg(tree).args(["--prefix", "tree/"]);
        command.args(["--exclude", ".git", "--exclude", "target"]);
        let status = self.ended(Helper::start(command)?, "the import", 30_000).await?;
        match status.code() {
            Some(code) if code == Exit::Good as i32 => Ok(false),
            Some(code) if code == Exit::Partial as i32 => Ok(true),
            _ => Err(self.too_late(format!("the import ended with {status}"))),
        }
    }

    /// Starts to write, in a process of its own, until [`Stage::stop_writer`].
    pub(super) fn start_writer(&mut self) -> Result<(), DemoError> {
        let mut command = self.command(&["demo-writer"], "writer");
        command.args(["--prefix", "writer/"]);
        self.writer = Some(Helper::start(command)?);
        Ok(())
    }

    /// Lets the writer end after the write that is under way.
    pub(super) async fn stop_writer(&mut self) -> Result<(), DemoError> {
        let writer = self.writer.take().expect("the story starts the writer first");
        writer.terminate();
        let status = self.ended(writer, "the writer", 35_000).await?;
        if status.success() {
            return Ok(());
        }
        Err(self.too_late(format!("the writer ended with {status}")))
    }

    /// This program with arguments, its ledger, and the nodes to ask.
    fn command(&mut self, arguments: &[&str], name: &str) -> Command {
        let ledger = self.place.path().join(format!("{name}.ledger"));
        let mut command = Command::new(self.daemons[0].binary());
        let nodes: Vec<String> = self.apis().iter().map(SocketAddr::to_string).collect();
        command.args(arguments).arg("--ledger").arg(&ledger).args(["--node", &nodes.join(",")]);
        command.env("QUORATE_USER", &self.login.user);
        command.env("QUORATE_PASSWORD", &self.login.password);
        // Its remarks stand in the files of the demo, its failure in its exit code.
        self.ledgers.push(ledger);
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null());
        command
    }

    async fn ended(
        &self,
        mut helper: Helper,
        name: &str,
        limit_ms: u64,
    ) -> Result<ExitStatus, DemoError> {
        let ended = within_ms(limit_ms, || helper.try_ended().transpose()).await;
        ended.unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into())).map_err(|cause| {
            self.too_late(format!("{name} did not end within {limit_ms} ms: {cause}"))
        })
    }

    /// The first write that began after `after_ns` and was acknowledged, in milliseconds since.
    pub(super) async fn next_acknowledged_ms(&self, after_ns: u64) -> Result<u64, DemoError> {
        let limit_ms = 20_000;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(limit_ms) {
            let operations = self.operations()?;
            let mut acknowledged = operations
                .iter()
                .filter(|one| one.op.is_write() && one.outcome == Outcome::Acknowledged);
            if let Some(first) = acknowledged.find(|one| one.start_ns > after_ns) {
                return Ok((first.end_ns - after_ns) / 1_000_000);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(self.too_late(format!("no write was acknowledged within {limit_ms} ms")))
    }

    /// All ledgers' lines.
    pub(super) fn operations(&self) -> Result<Vec<Operation>, DemoError> {
        check::read_ledgers(&self.ledgers)
    }

    /// Waits until the node has applied what the leader has committed at this moment.
    pub(super) async fn caught_up(&self, at: usize, limit_ms: u64) -> Result<(), DemoError> {
        let leader = self.leader(limit_ms).await?;
        let goal = self.nodes(leader).status().await?.commit_index;
        let mut node = self.nodes(at);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(limit_ms) {
            // An error here is that of a node which is not ready yet.
            if node.status().await.is_ok_and(|status| status.applied_index >= goal) {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let name = &self.daemons[at].plan().name;
        Err(self.too_late(format!("{name} did not catch up within {limit_ms} ms")))
    }

    /// Reads everything through every node, ends the daemons, reads every data directory, judges.
    pub(super) async fn end(mut self) -> Result<Verdict, DemoError> {
        let mut sources = Vec::new();
        for at in 0..self.daemons.len() {
            self.caught_up(at, 10_000).await?;
            sources.extend(self.sources_of(at).await?);
        }
        let mut unclean = Vec::new();
        self.daemons.iter().for_each(Daemon::terminate);
        for daemon in &mut self.daemons {
            let name = daemon.plan().name.clone();
            match within_ms(10_000, || daemon.try_ended().transpose()).await.transpose()? {
                Some(status) if status.success() => {}
                Some(status) => unclean.push(format!("{name} was asked to end and gave {status}")),
                None => unclean.push(format!("{name} did not end within 10000 ms")),
            }
            daemon.kill();
        }
        for daemon in &self.daemons {
            let name = format!("{} offline", daemon.plan().name);
            sources.push(check::offline(&daemon.plan().data_dir(), &name).await?);
        }
        let mut verdict = judge(&self.operations()?, &sources);
        verdict.findings.extend(unclean);
        self.place.disable_cleanup(false);
        Ok(verdict)
    }

    async fn sources_of(&self, at: usize) -> Result<Vec<Source>, DemoError> {
        let name = &self.daemons[at].plan().name;
        let mut nodes = self.nodes(at);
        let newest = check::through(&mut nodes, name, Consistency::Linearizable).await?;
        let own = check::through(&mut nodes, &format!("{name} itself"), Consistency::Stale).await?;
        Ok(vec![newest, own])
    }

    fn nodes(&self, at: usize) -> Nodes {
        Nodes::new(&[self.daemons[at].api()], Some(self.login.clone()))
    }

    fn apis(&self) -> Vec<SocketAddr> {
        self.daemons.iter().map(Daemon::api).collect()
    }

    /// The error, after the end of each daemon's log: everything is deleted with the stage.
    pub(super) fn too_late(&self, what: String) -> DemoError {
        for daemon in &self.daemons {
            let log = daemon.log();
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(10)..] {
                eprintln!("{}  {line}", daemon.plan().name);
            }
        }
        DemoError::TooLate { what }
    }
}

/// Looks again and again, at most for `limit_ms`.
pub(super) async fn within_ms<T>(limit_ms: u64, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_millis(limit_ms);
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The clock of the ledgers.
pub(super) fn now_ns() -> u64 {
    BootClock.now().ns
}

fn member(block: Ipv4Addr, number: u8) -> MemberSettings {
    let [a, b, c, _] = block.octets();
    let address = IpAddr::V4(Ipv4Addr::new(a, b, c, FIRST_OCTET + number));
    MemberSettings::at(&format!("n{}", number + 1), address)
}

/// The first and the last address, for people.
pub(super) fn addresses(block: Ipv4Addr, nodes_count: u8) -> String {
    let first = member(block, 0).address;
    format!("{first} to .{}", FIRST_OCTET + nodes_count - 1)
}

fn ports_are_free(member: &MemberSettings) -> Result<(), DemoError> {
    let taken = |at, cause| DemoError::PortTaken { at, cause };
    for at in [member.consensus(), member.membership(), member.api()] {
        TcpListener::bind(at).map_err(|cause| taken(at, cause))?;
    }
    let at = member.membership();
    UdpSocket::bind(at).map_err(|cause| taken(at, cause))?;
    Ok(())
}
