//! What processes have used and hold, from Linux's `/proc`.
//!
//! Read next: [`cpu_seconds`].

use std::fs;
use std::io;

/// Clock ticks per second of `/proc/PID/stat`: fixed for user space on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of one process since it started, in seconds.
///
/// Fields 14 and 15 of `/proc/PID/stat` (proc(5)), counted after the name in brackets. Fails if
/// there is no such process.
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or(io::ErrorKind::InvalidData)?;
    let field = |at: usize| fields.split(' ').nth(at).and_then(|text| text.parse::<u64>().ok());
    match (field(11), field(12)) {
        (Some(user), Some(system)) => Ok((user + system) as f64 / TICKS_PER_SECOND),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The same of several processes together.
pub fn cpu_seconds_of_all(pids: &[u32]) -> io::Result<f64> {
    pids.iter().map(|pid| cpu_seconds(*pid)).sum()
}

/// Memory of one process that is in use now, in bytes.
pub fn resident_size_bytes(pid: u32) -> io::Result<u64> {
    Ok(status_field(pid, "VmRSS:")? * 1_024)
}

/// How often the threads of one process went to sleep and were woken since each started. Threads
/// that have ended do not count any more, so the sum of a process that ends some may fall.
pub fn wakeups_count(pid: u32) -> io::Result<u64> {
    let mut count = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        count += number_after(&status, "voluntary_ctxt_switches:")?;
    }
    Ok(count)
}

/// How many files, sockets and other handles one process has open now.
pub fn handles_count(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

fn status_field(pid: u32, name: &str) -> io::Result<u64> {
    number_after(&fs::read_to_string(format!("/proc/{pid}/status"))?, name)
}

fn number_after(status: &str, name: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn this_process_has_used_time_and_memory() {
        let this = std::process::id();
        let mut sum = 0_u64;
        while cpu_seconds(this).expect("it runs") == 0.0 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(resident_size_bytes(this).expect("it runs") > 100_000);
        let _file = fs::File::open("/proc/self/stat").expect("it runs");
        assert!(handles_count(this).expect("it runs") > 3, "three at its start, and this file");
    }

    /// Of a process with one thread: those of the other tests come and go in this one.
    #[test]
    fn a_process_that_slept_was_woken() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "for i in 1 2 3 4 5 6; do sleep 0.01; done; read line"]);
        let mut child = shell.stdin(Stdio::piped()).spawn().expect("there is a shell");
        let deadline = Instant::now() + Duration::from_secs(10);
        let is_woken = loop {
            match wakeups_count(child.id()) {
                Ok(count) if count >= 5 => break true,
                Ok(_) | Err(_) if Instant::now() > deadline => break false,
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        // Its input ends, and so does it.
        drop(child.stdin.take());
        child.wait().expect("it is a child of this process");
        assert!(is_woken, "it waited for six others to end");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(cpu_seconds(u32::MAX).is_err());
        assert!(wakeups_count(u32::MAX).is_err());
        assert!(handles_count(u32::MAX).is_err());
    }
}
