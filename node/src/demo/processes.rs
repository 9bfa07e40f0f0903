//! Daemons as child processes: started, signalled by process id, and never left behind.
//!
//! Used by the demo and by the process tests. It decides nothing.
//!
//! Invariants
//! - Only processes started here are signalled, and only until they were waited for: a process id
//!   that the system may have given to someone else is never used.
//! - A child dies with the thread that started it, whatever happens to that thread.
//! - A child has a process group of its own, so a Ctrl-C reaches it only through its parent.
//!
//! Read next: [`Daemon`].

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use quorate_core::config::MemberSettings;

use crate::daemon::secret;

/// How often a wait looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What distinguishes one daemon from another.
#[derive(Clone, Debug)]
pub struct DaemonPlan {
    /// Its name, one of `members`.
    pub name: String,
    /// Holds its settings, its log and its data directory.
    pub place: PathBuf,
    /// The cluster as this node is to see it.
    pub members: Vec<MemberSettings>,
    /// More lines of `[cluster]`, and after them whole tables.
    pub more_settings: String,
    /// More environment variables.
    pub environment: Vec<(String, String)>,
    /// The cluster's secret, if it is to have one.
    pub secret: Option<String>,
}

impl DaemonPlan {
    /// The node's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.place.join("data")
    }

    /// The settings file.
    pub fn settings_path(&self) -> PathBuf {
        self.place.join("quorate.toml")
    }

    /// The file with the cluster's secret.
    pub fn secret_path(&self) -> PathBuf {
        self.place.join("secret")
    }

    /// What the daemon printed, over all its starts.
    pub fn log_path(&self) -> PathBuf {
        self.place.join("log")
    }

    /// This node's own entry in `members`.
    ///
    /// Panics if it is not there: the plan was written by a program that put it there.
    pub fn member(&self) -> &MemberSettings {
        let named = |member: &&MemberSettings| member.name == self.name;
        self.members.iter().find(named).expect("a daemon is one of its members")
    }

    /// The settings as TOML.
    pub fn settings(&self) -> String {
        let text = |value: &str| toml::Value::from(value).to_string();
        let members: String = self.members.iter().map(member_line).collect();
        let data_dir = self.data_dir();
        let secret = match self.secret {
            None => String::new(),
            Some(_) => format!(
                "\n[security]\nsecret_file = {}\n",
                text(&self.secret_path().to_string_lossy())
            ),
        };
        format!(
            "[node]\nname = {}\ndata_dir = {}\n\n[cluster]\nmembers = [\n{members}]\n{}\n{secret}",
            text(&self.name),
            text(&data_dir.to_string_lossy()),
            self.more_settings,
        )
    }
}

fn member_line(member: &MemberSettings) -> String {
    let MemberSettings { name, address, consensus_port, membership_port, api_port } = member;
    let name = toml::Value::from(name.as_str());
    format!(
        "    {{ name = {name}, address = \"{address}\", consensus_port = {consensus_port}, \
         membership_port = {membership_port}, api_port = {api_port} }},\n"
    )
}

/// One node's daemon, running or not. Dropping it kills the process.
#[derive(Debug)]
pub struct Daemon {
    plan: DaemonPlan,
    binary: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// A daemon that does not run yet. `binary` is the `quorate` executable.
    pub fn new(binary: &Path, plan: DaemonPlan) -> Daemon {
        Daemon { plan, binary: binary.to_owned(), child: None }
    }

    /// What it was planned as.
    pub fn plan(&self) -> &DaemonPlan {
        &self.plan
    }

    /// Gives it other members, for its next start.
    ///
    /// Panics if it runs: a daemon reads its settings only once.
    pub fn set_members(&mut self, members: Vec<MemberSettings>) {
        assert!(self.child.is_none(), "{} runs", self.plan.name);
        self.plan.members = members;
    }

    /// Gives it another secret, or none, for its next start.
    ///
    /// Panics if it runs: a daemon reads its secret only once.
    pub fn set_secret(&mut self, secret: Option<&str>) {
        assert!(self.child.is_none(), "{} runs", self.plan.name);
        self.plan.secret = secret.map(str::to_owned);
    }

    /// The `quorate` executable it runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Where its API listens.
    pub fn api(&self) -> SocketAddr {
        self.plan.member().api()
    }

    /// Writes the settings and starts the process. It is not ready yet when this returns.
    ///
    /// Panics if it runs already.
    pub fn start(&mut self) -> io::Result<()> {
        assert!(self.child.is_none(), "{} runs already", self.plan.name);
        fs::create_dir_all(&self.plan.place)?;
        fs::write(self.plan.settings_path(), self.plan.settings())?;
        if let Some(secret) = &self.plan.secret {
            secret::write(&self.plan.secret_path(), secret)?;
        }
        let log = File::options().create(true).append(true).open(self.plan.log_path())?;
        let mut command = Command::new(&self.binary);
        command.args(["node", "run", "--config"]).arg(self.plan.settings_path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.envs(self.plan.environment.iter().map(|(name, value)| (name, value)));
        self.child = Some(spawn(command)?);
        Ok(())
    }

    /// Its process id while it runs, or has ended and was not waited for yet.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL, and the process is gone when this returns. Nothing happens if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child);
        }
    }

    /// SIGTERM: asks it to end cleanly. See [`Daemon::try_ended`].
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// SIGSTOP: no thread of it runs until [`Daemon::thaw`], and its sockets stay open.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        if let Some(child) = &self.child {
            send_signal(child, signal);
        }
    }

    /// Its exit status once it has ended; `None` while it runs or if it was never started.
    pub fn try_ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let ended = child.try_wait()?;
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended)
    }

    /// Blocks until it has ended, at most `limit_ms`; `None` if it runs on or does not run.
    pub fn ended_within_ms(&mut self, limit_ms: u64) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        while self.child.is_some() {
            if let Some(status) = self.try_ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(None)
    }

    /// What it has printed so far, over all its starts; empty if that cannot be read.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.plan.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A child process that is no daemon. Dropping it kills the process.
#[derive(Debug)]
pub struct Helper(Child);

impl Helper {
    /// Starts `command`.
    pub fn start(command: Command) -> io::Result<Helper> {
        spawn(command).map(Helper)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        send_signal(&self.0, libc::SIGTERM);
    }

    /// Its exit status once it has ended.
    pub fn try_ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Starts `command` in a process group of its own, to die with the thread that calls this.
fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: between fork and exec only the async-signal-safe prctl, getppid and _exit are called.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the request above: nobody would ever end this child.
            if libc::getppid().cast_unsigned() != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
    command.spawn()
}

fn send_signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("Linux process ids fit 22 bits");
    // SAFETY: kill has no memory effects. The child was not waited for, so the id is still its own.
    // The result is not used: the child may have ended, and then there is nobody to tell.
    let _ = unsafe { libc::kill(pid, signal) };
}

/// SIGKILL and wait. Works on frozen processes too.
fn end(child: &mut Child) {
    // Both fail only if the child is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::config::Settings;

    fn plan(place: &Path) -> DaemonPlan {
        DaemonPlan {
            name: "n\"1".to_owned(),
            place: place.to_owned(),
            members: vec![MemberSettings::at("n\"1", "127.0.0.9".parse().unwrap())],
            more_settings: "ping_interval_ms = 100\n[api]\nconnections_count_max = 7\n".to_owned(),
            environment: Vec::new(),
            secret: Some("s".repeat(32)),
        }
    }

    #[test]
    fn the_written_settings_are_read_back_as_planned() {
        let plan = plan(Path::new("/tmp/with \"quotes\" and \\"));
        let settings = Settings::from_toml(&plan.settings()).unwrap();
        assert_eq!(settings.node.data_dir, plan.data_dir());
        assert_eq!(settings.cluster.members, plan.members);
        assert_eq!(settings.cluster.ping_interval_ms, 100);
        assert_eq!(settings.api.connections_count_max, 7);
        assert_eq!(settings.security.secret_file, Some(plan.secret_path()));
    }

    #[test]
    fn a_frozen_child_is_gone_after_the_drop() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let helper = Helper::start(command).unwrap();
        send_signal(&helper.0, libc::SIGSTOP);
        let proc_path = format!("/proc/{}", helper.0.id());
        assert!(Path::new(&proc_path).exists());

        drop(helper);
        assert!(!Path::new(&proc_path).exists());
    }

    #[test]
    fn a_child_dies_with_the_thread_that_started_it() {
        let pid = std::thread::spawn(|| {
            let mut command = Command::new("sleep");
            command.arg("600");
            let helper = Helper::start(command).unwrap();
            let pid = helper.0.id();
            // Neither dropped nor waited for, as in a thread that is killed.
            std::mem::forget(helper);
            pid
        });
        let pid = pid.join().unwrap();

        let deadline = Instant::now() + Duration::from_secs(10);
        let is_running = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            !status.is_empty() && !status.contains("State:\tZ")
        };
        while is_running() {
            assert!(Instant::now() < deadline, "process {pid} outlived its thread");
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}
