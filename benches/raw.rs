//! What the machine can do by itself, beside which every other figure stands.
//!
//! Read next: `examples/throughput.rs`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

/// How long each limit is measured.
const MEASURED: Duration = Duration::from_secs(1);
/// Room for all values of one measurement.
const FILE_SIZE_BYTES: usize = 16 << 20;

/// How the values of [`fdatasyncs_per_second`] reach their file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Each makes the file longer: the file system has its size to make durable as well.
    Grows,
    /// The file has had its size before, as the stores of both systems arrange it.
    IsThere,
}

/// Writes of one value of this size per second, each made durable before the next.
pub fn fdatasyncs_per_second(value_size_bytes: usize, room: Room) -> io::Result<f64> {
    let place = tempfile::TempDir::with_prefix("quorate-bench-")?;
    let file = File::create(place.path().join("values"))?;
    if room == Room::IsThere {
        file.write_all_at(&vec![0; FILE_SIZE_BYTES], 0)?;
        file.sync_all()?;
    }
    let value = vec![7; value_size_bytes];
    let places = (0..FILE_SIZE_BYTES - value_size_bytes).step_by(value_size_bytes).cycle();
    let (began, mut count) = (Instant::now(), 0);
    for at in places {
        if began.elapsed() >= MEASURED {
            break;
        }
        file.write_all_at(&value, at as u64)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Round trips of one value of this size over TCP on the loopback, over all connections together.
///
/// Two blocking threads for each connection: no runtime, no protocol, only the kernel.
pub fn round_trips_per_second(connections_count: usize, size_bytes: usize) -> io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut pairs = Vec::new();
    for _ in 0..connections_count {
        let asking = TcpStream::connect(listener.local_addr()?)?;
        let (answering, _) = listener.accept()?;
        asking.set_nodelay(true)?;
        answering.set_nodelay(true)?;
        pairs.push((asking, answering));
    }
    let began = Instant::now();
    let (mut asking, mut answering) = (Vec::new(), Vec::new());
    for (ask, answer) in pairs {
        answering.push(thread::spawn(move || echo(answer, size_bytes)));
        asking.push(thread::spawn(move || ask_again_and_again(ask, size_bytes)));
    }
    let mut count = 0;
    for thread in asking {
        count += thread.join().expect("it does not panic")?;
    }
    let per_second = count as f64 / began.elapsed().as_secs_f64();
    for thread in answering {
        thread.join().expect("it does not panic")?;
    }
    Ok(per_second)
}

/// How many round trips were made.
fn ask_again_and_again(mut stream: TcpStream, size_bytes: usize) -> io::Result<u64> {
    let mut buffer = vec![7; size_bytes];
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < MEASURED {
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        count += 1;
    }
    Ok(count)
}

/// Ends well when the other side closes between two values.
fn echo(mut stream: TcpStream, size_bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; size_bytes];
    loop {
        match stream.read_exact(&mut buffer) {
            Ok(()) => stream.write_all(&buffer)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_made_and_every_thread_ends() {
        assert!(round_trips_per_second(2, 256).expect("the loopback works") > 10.0);
    }
}
