//! A network of machines: each has a network namespace and a real address of its own, and one
//! switch joins them.
//!
//! Invariants
//! - Addresses, links and rules are in namespaces made here; of this machine's own network nothing
//!   is touched.
//! - A namespace lives as long as a process that dies with the thread that made it: it is gone
//!   however a test ends.
//!
//! Read next: [`Network::of`], [`Network::inside`].

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quorate_node::demo::processes::Helper;

/// How long a process may take to get its namespace.
const SOON: Duration = Duration::from_secs(10);

/// Machines from 1 on, with nothing but each other.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    machines: Vec<Namespace>,
}

/// A network namespace, held by a process that sleeps.
#[derive(Debug)]
struct Namespace {
    holder: Helper,
}

impl Network {
    /// Why there can be none here; `None` if there can.
    pub fn missing() -> Option<String> {
        Network::of(1).err().map(|error| error.to_string())
    }

    /// So many machines, up to 250. The error says why this machine does not allow it.
    pub fn of(count: u8) -> io::Result<Network> {
        let switch = Namespace::new()?;
        switch.ip("link add switch type bridge")?;
        switch.ip("link set switch up")?;
        let mut machines = Vec::new();
        for machine in 1..=count {
            let namespace = Namespace::new()?;
            let held = switch.holder.id();
            namespace
                .ip(&format!("link add eth0 type veth peer name port{machine} netns {held}"))?;
            namespace.ip(&format!("address add {}/24 dev eth0", Network::address(machine)))?;
            namespace.ip("link set lo up")?;
            namespace.ip("link set eth0 up")?;
            switch.ip(&format!("link set port{machine} master switch up"))?;
            machines.push(namespace);
        }
        Ok(Network { switch, machines })
    }

    /// Where the machine is. The same in every network: they do not know of each other.
    pub fn address(machine: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 77, 0, machine))
    }

    /// The command as that machine runs it: with its program, arguments and variables.
    pub fn inside(&self, machine: u8, command: &Command) -> Command {
        self.namespace(machine).inside(command)
    }

    /// Takes these lines as the rules of the machine's firewall, in place of all earlier ones.
    pub fn rules(&self, machine: u8, rules: &str) -> io::Result<()> {
        let mut nft = Command::new("nft");
        nft.args(["-f", "-"]);
        let mut nft = self.inside(machine, &nft);
        let nft = nft.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut nft = nft.spawn()?;
        let mut rules_of = nft.stdin.take().expect("asked for a pipe");
        rules_of.write_all(format!("flush ruleset\n{rules}\n").as_bytes())?;
        drop(rules_of);
        let ended = nft.wait_with_output()?;
        judge(ended.status.success(), "nft", &ended.stderr)
    }

    fn namespace(&self, machine: u8) -> &Namespace {
        &self.machines[usize::from(machine) - 1]
    }

    /// Pulls the machine's cable, or puts it in again.
    pub fn connect(&self, machine: u8, is_connected: bool) -> io::Result<()> {
        let state = if is_connected { "up" } else { "down" };
        self.switch.ip(&format!("link set port{machine} {state}"))
    }
}

impl Namespace {
    fn new() -> io::Result<Namespace> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let own = fs::read_link("/proc/self/ns/net")?;
        let mut holder = Helper::start(command)?;
        let began = Instant::now();
        while fs::read_link(path_of(&holder)).is_ok_and(|theirs| theirs == own) {
            let has_ended = holder.try_ended()?.is_some();
            if has_ended || began.elapsed() > SOON {
                return Err(io::Error::other("no network namespace can be made; it needs root"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Namespace { holder })
    }

    fn inside(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.arg(format!("--net={}", path_of(&self.holder).display()));
        entered.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(name, value),
                None => entered.env_remove(name),
            };
        }
        entered
    }

    fn ip(&self, arguments: &str) -> io::Result<()> {
        let mut ip = Command::new("ip");
        ip.args(arguments.split(' '));
        let ended = self.inside(&ip).stdin(Stdio::null()).output()?;
        judge(ended.status.success(), "ip", &ended.stderr)
    }
}

fn path_of(holder: &Helper) -> PathBuf {
    PathBuf::from(format!("/proc/{}/ns/net", holder.id()))
}

fn judge(is_good: bool, program: &str, said: &[u8]) -> io::Result<()> {
    let said = String::from_utf8_lossy(said);
    match is_good {
        true => Ok(()),
        false => Err(io::Error::other(format!("{program}: {}", said.trim_end()))),
    }
}
