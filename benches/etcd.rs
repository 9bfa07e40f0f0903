//! A cluster of three real etcd members, with etcd's own default settings, and a client of it.
//!
//! Invariants
//! - Every write is durable at a quorum before it is answered, every read is linearizable: etcd's
//!   defaults, as Quorate's are.
//! - When an [`Etcd`] is dropped, also by a panic, its processes are gone and its files deleted.
//!   They die with the thread that started them as well.
//!
//! Read next: [`Etcd::start`]; `grpc.rs` for how it is spoken to.
//! Source: etcd's `rpc.proto`, version 3.4 (numbers of methods and fields).

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_tests::block::Block;
use tempfile::TempDir;

use crate::grpc::{Channel, Result, Value, fields, put_bytes};

const MEMBERS_COUNT: usize = 3;
const CLIENT_PORT: u16 = 2379;
const MEMBER_PORT: u16 = 2380;
const START_LIMIT: Duration = Duration::from_secs(20);

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// What `etcd --version` says first; `None` if it is not installed.
pub fn version() -> Option<String> {
    let output = Command::new("etcd").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

/// A running cluster.
#[derive(Debug)]
pub struct Etcd {
    // Dropped in this order: processes first, then what they use.
    members: Vec<Member>,
    place: TempDir,
    block: Block,
}

impl Etcd {
    /// Starts three members on a block of test addresses, their data in the temporary directory.
    pub fn start() -> Result<Etcd> {
        let place = TempDir::with_prefix("quorate-etcd-")?;
        let mut etcd = Etcd { members: Vec::new(), place, block: Block::take()? };
        for member in 1..=MEMBERS_COUNT {
            let started = etcd.spawn(member)?;
            etcd.members.push(Member(started));
        }
        Ok(etcd)
    }

    /// Where the clients of member number `member` connect; from 1.
    fn clients_at(&self, member: usize) -> SocketAddr {
        SocketAddr::new(self.block.node(member), CLIENT_PORT)
    }

    /// The process dies with the thread that calls this: `setpriv` becomes etcd.
    fn spawn(&self, member: usize) -> io::Result<Child> {
        let members_at =
            |member| format!("http://{}", SocketAddr::new(self.block.node(member), MEMBER_PORT));
        let all: Vec<String> =
            (1..=MEMBERS_COUNT).map(|member| format!("m{member}={}", members_at(member))).collect();
        let clients_at = format!("http://{}", self.clients_at(member));
        let log = File::create(self.place.path().join(format!("m{member}.log")))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "etcd", "--name", &format!("m{member}")]);
        command.arg("--data-dir").arg(self.place.path().join(format!("m{member}")));
        command.args(["--listen-client-urls", &clients_at]);
        command.args(["--advertise-client-urls", &clients_at]);
        command.args(["--listen-peer-urls", &members_at(member)]);
        command.args(["--initial-advertise-peer-urls", &members_at(member)]);
        command.args(["--initial-cluster", &all.join(",")]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
    }

    /// The process ids.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.0.id()).collect()
    }

    /// Where the data is.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// Where the leader answers clients, once there is one.
    pub async fn leader(&self) -> Result<SocketAddr> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            for member in 1..=MEMBERS_COUNT {
                let at = self.clients_at(member);
                // A member that does not answer yet is asked again.
                if leads(at).await.unwrap_or(false) {
                    return Ok(at);
                }
            }
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.place.path().join("m1.log"))?;
                return Err(format!("etcd has no leader after {START_LIMIT:?}:\n{log}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether the member says that it leads: the leader's id is its own (fields 4, and 2 of header 1).
async fn leads(at: SocketAddr) -> Result<bool> {
    let answer = Channel::open(at).await?.call(STATUS, &[]).await?;
    let number = |message, field| match value_of(message, field) {
        Some(Value::Number(number)) => number,
        _ => 0,
    };
    let leader = number(&answer, 4);
    match value_of(&answer, 1) {
        Some(Value::Bytes(header)) => Ok(leader != 0 && leader == number(header, 2)),
        _ => Err("a status has a header".into()),
    }
}

fn value_of(message: &[u8], field: u64) -> Option<Value<'_>> {
    let found = fields(message)?.into_iter().find(|(number, _)| *number == field);
    found.map(|(_, value)| value)
}

/// One process. SIGKILL when it is dropped: its files are deleted next.
#[derive(Debug)]
struct Member(Child);

impl Drop for Member {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One client with one connection.
#[derive(Debug)]
pub struct Client(Channel);

impl Client {
    /// Connects to one member.
    pub async fn open(at: SocketAddr) -> Result<Client> {
        Ok(Client(Channel::open(at).await?))
    }

    /// Sets a key: `PutRequest`, key 1, value 2.
    pub async fn put(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let mut message = Vec::with_capacity(key.len() + value.len() + 8);
        put_bytes(&mut message, 1, key.as_bytes());
        put_bytes(&mut message, 2, value);
        self.0.call(PUT, &message).await.map(drop)
    }

    /// Reads a key, linearizable: `RangeRequest`, key 1. Whether there is one: `kvs` 2 of it.
    pub async fn get(&mut self, key: &str) -> Result<bool> {
        let mut message = Vec::with_capacity(key.len() + 4);
        put_bytes(&mut message, 1, key.as_bytes());
        let answer = self.0.call(RANGE, &message).await?;
        Ok(value_of(&answer, 2).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_takes_the_processes_with_it() {
        let sleeping = Command::new("sleep").arg("600").spawn().expect("sleep is there");
        let place = format!("/proc/{}", sleeping.id());
        assert!(Path::new(&place).exists());
        let member = Member(sleeping);
        let failed = catch_unwind(AssertUnwindSafe(move || {
            let _member = member;
            panic!("the measurement fails");
        }));
        assert!(failed.is_err() && !Path::new(&place).exists());
    }
}
