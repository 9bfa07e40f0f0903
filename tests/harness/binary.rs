//! The `quorate` executable as operators build it, without the features of the simulator: found,
//! built once if it is missing, and run.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

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
    let mut command = Command::new(quorate());
    command.arg("kv").args(arguments).args(["--node", &api.to_string()]);
    command.output().expect("the binary runs")
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
