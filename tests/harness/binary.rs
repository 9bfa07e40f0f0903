//! The `quorate` executable as operators build it, without the features of the simulator: found,
//! built once if it is missing, and run.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use quorate_core::users::ADMIN;
use quorate_node::login::Login;
use serde_json::Value;

/// The password of the local admin of every node of the tests, and so of every cluster's.
pub const PASSWORD: &str = "correct horse battery";
/// What HTTP makes of `admin` and [`PASSWORD`], not by our own code.
pub const AUTHORIZATION: &str = "Basic YWRtaW46Y29ycmVjdCBob3JzZSBiYXR0ZXJ5";

/// As whom tests ask.
pub fn login() -> Option<Login> {
    Some(Login { user: ADMIN.to_owned(), password: PASSWORD.to_owned() })
}

/// A run of the executable under test that is let in: as a command, and as a daemon.
pub fn command() -> Command {
    let mut command = Command::new(quorate());
    command.env("QUORATE_USER", ADMIN).env("QUORATE_PASSWORD", PASSWORD);
    command.env("QUORATE_ADMIN_PASSWORD", PASSWORD);
    command
}

/// The executable under test: `QUORATE_BINARY` if that is set, or one that is built
/// beside this test.
///
/// Cargo builds a package's binaries for that package's own tests only, so in this package the
/// first test to ask runs `cargo build`, which takes a moment if nothing has changed. Panics if
/// that fails: no process test means anything without it.
pub fn quorate() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os("QUORATE_BINARY") {
        Some(path) => PathBuf::from(path),
        None => built(&profile_dir()),
    })
}

/// What `quorate kv` with these arguments did at the node with this API. Panics if it does not run.
pub fn kv(api: SocketAddr, arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut command = command();
    command.arg("kv").args(arguments).args(["--node", &api.to_string()]);
    command.output().expect("the binary runs")
}

/// What a command did: its exit code, and all that it printed.
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed for programs.
    pub out: Vec<u8>,
    /// What it printed for people.
    pub err: String,
}

impl fmt::Debug for Ran {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printed = String::from_utf8_lossy(&self.out);
        let mut shown = out.debug_struct("Ran");
        shown.field("code", &self.code).field("out", &printed).field("err", &self.err).finish()
    }
}

impl Ran {
    /// Panics if a signal ended it, or if what it says to people is no text.
    pub fn of(output: Output) -> Ran {
        let Output { status, stdout: out, stderr } = output;
        let code = status.code().expect("it ends by itself");
        Ran { code, out, err: String::from_utf8(stderr).expect("it says text") }
    }

    /// Runs the command to its end.
    pub fn by(command: &mut Command) -> Ran {
        Ran::of(command.output().expect("the binary runs"))
    }

    /// What it printed for programs, as text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.out).expect("it prints text")
    }

    /// It ended with this code, and said this to people.
    pub fn ended(self, code: i32, says: &str) -> Ran {
        assert_eq!(self.code, code, "{says}: {self:?}");
        assert!(self.err.contains(says), "{says}: {self:?}");
        self
    }

    /// It did what it was told, and printed exactly this.
    pub fn printed(self, out: &[u8]) {
        assert_eq!((self.code, self.out.as_slice()), (0, out), "{}", self.err);
    }

    /// It refused with this exit code and text, and printed nothing for programs.
    pub fn refused(self, code: i32, text: &str) {
        assert_eq!(self.code, code, "{text}: {}", self.err);
        assert!(self.err.starts_with(text), "{text}: {}", self.err);
        assert_eq!(self.out, b"", "{text}");
    }

    /// What a program reads of a command that did as it was told and had nothing to say to people.
    pub fn json(self) -> Value {
        assert_eq!((self.code, self.err.as_str()), (0, ""));
        self.json_line()
    }

    /// What a program reads, however the command ended: one line of JSON of version 1.
    pub fn json_line(&self) -> Value {
        let value: Value = serde_json::from_slice(&self.out).expect("it is JSON");
        let lines_count = self.out.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines_count, 1, "one line: {value}");
        assert_eq!(value["version"], 1);
        value
    }
}

/// `target/debug` or `target/release`: test executables lie in its `deps`.
fn profile_dir() -> PathBuf {
    let this = std::env::current_exe().expect("a running test knows its own path");
    let deps = this.ancestors().find(|dir| dir.ends_with("deps"));
    let profile = deps.and_then(Path::parent).expect("cargo puts test executables into deps");
    profile.to_owned()
}

fn built(profile_dir: &Path) -> PathBuf {
    // Several test executables may get here at once; cargo itself would queue them too, but says
    // so on the terminal.
    let lock = File::create(profile_dir.join(".quorate-tests-build.lock"))
        .and_then(|file| file.lock().map(|()| file))
        .expect("the target directory is writable, cargo just wrote to it");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target_dir = profile_dir.parent().expect("a profile's directory lies in the target's");
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "quorate-node", "--target-dir"]).arg(target_dir);
    if profile_dir.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let status = build.status().expect("cargo runs this test, so it can be run");
    assert!(status.success(), "cargo build of quorate-node failed: {status}");
    drop(lock);
    profile_dir.join("quorate")
}
