//! What the simulated world promises to those who build on it, one behaviour per test.
//!
//! Read next: `tests/network.rs`, `tests/disk.rs`, `tests/machines.rs`, `tests/determinism.rs` for
//! what works; `tests/sick_disks.rs`, `tests/bad_links.rs`, `tests/strikes.rs` for what does not;
//! `tests/guard.rs` for ways around the ports.

mod bad_links;
mod determinism;
mod disk;
mod guard;
mod machines;
mod network;
mod sick_disks;
mod strikes;

use std::cell::RefCell;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use quorate_core::ports::{Env, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{MachineId, World, run_isolated};

const PORT: u16 = 8300;

fn ip(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
}

fn at(number: u8) -> SocketAddr {
    SocketAddr::new(ip(number), PORT)
}

/// Makes a boot function of an async function.
fn boot<F: Future<Output = ()> + 'static>(
    main: impl Fn(Env) -> F + 'static,
) -> impl Fn(Env) -> LocalBoxFuture<'static, ()> + 'static {
    move |env| Box::pin(main(env))
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// What happened, with the millisecond, told by machines and read by the test.
#[derive(Clone, Default)]
struct Journal(Rc<RefCell<Vec<(u64, String)>>>);

impl Journal {
    fn write(&self, text: impl Into<String>) {
        let at_ms = super::context::now_us() / 1_000;
        self.0.borrow_mut().push((at_ms, text.into()));
    }

    fn last(&self) -> (u64, String) {
        self.0.borrow().last().cloned().unwrap_or_default()
    }

    fn count(&self, text: &str) -> usize {
        self.0.borrow().iter().filter(|(_, line)| line == text).count()
    }

    /// The first line with this text at this time or later, as its time.
    fn first_since(&self, since_ms: u64, text: &str) -> Option<u64> {
        let lines = self.0.borrow();
        lines.iter().find(|(at_ms, line)| *at_ms >= since_ms && line == text).map(|(at, _)| *at)
    }
}

/// Answers each byte of every stream with the same byte.
async fn echo_server(env: Env) {
    let at = SocketAddr::new(ip(1), PORT);
    let listener = env.net.listen(at).await.expect("the port is free");
    loop {
        let (stream, _) = listener.accept().await.expect("the listener lives");
        tokio::task::spawn_local(echo(stream));
    }
}

async fn echo(mut stream: Box<dyn Stream>) {
    let mut buffer = [0; 64];
    while let Ok(size @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}

/// Sends a byte over one stream, waits for it, pauses 50 ms, and so on; connects anew on error.
async fn echo_client(env: Env, journal: Journal) {
    loop {
        let mut stream = match env.net.connect(at(1)).await {
            Ok(stream) => stream,
            Err(error) => {
                journal.write(format!("connect {:?}", error.kind()));
                sleep_ms(50).await;
                continue;
            }
        };
        journal.write("connected");
        let mut byte = [7];
        loop {
            if let Err(error) = stream.write_all(&byte).await {
                journal.write(format!("write {:?}", error.kind()));
                break;
            }
            if let Err(error) = stream.read_exact(&mut byte).await {
                journal.write(format!("read {:?}", error.kind()));
                break;
            }
            journal.write("reply");
            sleep_ms(50).await;
        }
    }
}

/// A server (machine 1) and a client (machine 2) that run since 500 ms.
fn server_and_client(seed: u64) -> (World, MachineId, MachineId, Journal) {
    let world = World::new(seed);
    let journal = Journal::default();
    let told = journal.clone();
    let server = world.machine("n1", ip(1), boot(echo_server));
    let client = world.machine("n2", ip(2), boot(move |env| echo_client(env, told.clone())));
    world.start(server);
    world.start(client);
    world.run_for(500);
    assert!(journal.count("reply") > 5, "{:?}", journal.last());
    (world, server, client, journal)
}
