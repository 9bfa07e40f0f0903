//! A world in memory for the tests of link, rpc, heartbeat and membership: sockets that a test can
//! cut, and a clock that follows the paused time of the runtime.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::future::LocalBoxFuture;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use crate::codec::Identity;
use crate::ids::{ClusterId, Generation, Lineage, NodeId};
use crate::ports::{
    Blocks, Clock, Datagrams, Disk, Entropy, Env, Lane, Listener, Net, Now, OpenHow, Stream, UnixMs,
};

/// Runs a test in the node's own kind of runtime, with time that passes only when all wait.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    LocalSet::new().block_on(&runtime, test);
}

/// Where node `id` listens.
pub(crate) fn address(id: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, id as u8], 8301))
}

/// Node `id` of the one cluster of these tests.
pub(crate) fn identity(id: u64) -> Identity {
    let (lineage, generation) = (Lineage(0), Generation(0));
    Identity { cluster: ClusterId([7; 16]), lineage, generation, node: NodeId(id) }
}

/// The network between the nodes of one test.
#[derive(Clone, Debug, Default)]
pub(crate) struct World(Arc<Mutex<Wires>>);

#[derive(Debug, Default)]
struct Wires {
    datagrams: BTreeMap<SocketAddr, UnboundedSender<(Vec<u8>, SocketAddr)>>,
    listeners: BTreeMap<SocketAddr, UnboundedSender<(DuplexStream, SocketAddr)>>,
    is_udp_cut: bool,
    accepted_count: u64,
}

impl World {
    pub(crate) fn new() -> World {
        World::default()
    }

    /// Node `id`'s view of this world.
    pub(crate) fn env(&self, id: u64) -> Env {
        Env {
            clock: Arc::new(FakeClock { start: clock_reading() }),
            net: Arc::new(FakeNet { world: self.clone(), from: address(id) }),
            disk: Arc::new(NoDisk),
            entropy: Arc::new(FakeEntropy(id)),
        }
    }

    /// Every datagram is lost from now on, or none.
    pub(crate) fn cut_udp(&self, is_cut: bool) {
        self.0.lock().unwrap().is_udp_cut = is_cut;
    }

    /// How many streams were opened so far.
    pub(crate) fn streams_count(&self) -> u64 {
        self.0.lock().unwrap().accepted_count
    }

    /// Puts `bytes` on the wire as they are.
    pub(crate) fn inject(&self, bytes: &[u8], from: SocketAddr, to: SocketAddr) {
        let wires = self.0.lock().unwrap();
        wires.datagrams[&to].send((bytes.to_vec(), from)).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock port of the tests")]
fn clock_reading() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[derive(Debug)]
struct FakeClock {
    start: tokio::time::Instant,
}

impl Clock for FakeClock {
    fn now(&self) -> Now {
        Now { ns: (clock_reading() - self.start).as_nanos() as u64 }
    }

    fn wall(&self) -> UnixMs {
        UnixMs(self.now().ms())
    }
}

#[derive(Debug)]
struct FakeNet {
    world: World,
    from: SocketAddr,
}

impl Net for FakeNet {
    fn connect(&self, to: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let mut wires = self.world.0.lock().unwrap();
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let remote = SocketAddr::new(self.from.ip(), 40_000);
            let listener = wires.listeners.get(&to);
            let sent = listener.map(|listener| listener.send((theirs, remote)));
            if !matches!(sent, Some(Ok(()))) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            wires.accepted_count += 1;
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }

    fn listen(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let (sender, streams) = unbounded_channel();
        let before = self.world.0.lock().unwrap().listeners.insert(at, sender);
        if before.is_some_and(|listener| !listener.is_closed()) {
            return Box::pin(async { Err(io::ErrorKind::AddrInUse.into()) });
        }
        let listener = FakeListener { at, streams: streams.into() };
        Box::pin(async move { Ok(Box::new(listener) as Box<dyn Listener>) })
    }

    fn datagrams(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Arc<dyn Datagrams>>> {
        let (sender, arrived) = unbounded_channel();
        let before = self.world.0.lock().unwrap().datagrams.insert(at, sender);
        if before.is_some_and(|socket| !socket.is_closed()) {
            return Box::pin(async { Err(io::ErrorKind::AddrInUse.into()) });
        }
        let world = self.world.clone();
        let socket = FakeDatagrams { world, at, arrived: arrived.into() };
        Box::pin(async move { Ok(Arc::new(socket) as Arc<dyn Datagrams>) })
    }
}

type Arrived = UnboundedReceiver<(Vec<u8>, SocketAddr)>;

#[derive(Debug)]
struct FakeListener {
    at: SocketAddr,
    streams: tokio::sync::Mutex<UnboundedReceiver<(DuplexStream, SocketAddr)>>,
}

impl Listener for FakeListener {
    fn accept(&self) -> LocalBoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async {
            let next = self.streams.lock().await.recv().await;
            let (stream, remote) = next.ok_or(io::ErrorKind::BrokenPipe)?;
            Ok((Box::new(stream) as Box<dyn Stream>, remote))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

#[derive(Debug)]
struct FakeDatagrams {
    world: World,
    at: SocketAddr,
    arrived: tokio::sync::Mutex<Arrived>,
}

impl Datagrams for FakeDatagrams {
    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let wires = self.world.0.lock().unwrap();
        if !wires.is_udp_cut
            && let Some(socket) = wires.datagrams.get(&to)
        {
            let _ = socket.send((bytes.to_vec(), self.at)); // a closed socket loses it
        }
        Ok(())
    }

    fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> LocalBoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async {
            let next = self.arrived.lock().await.recv().await;
            let (bytes, from) = next.ok_or(io::ErrorKind::BrokenPipe)?;
            let size_bytes = bytes.len().min(buffer.len());
            buffer[..size_bytes].copy_from_slice(&bytes[..size_bytes]);
            Ok((size_bytes, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

#[derive(Debug)]
struct FakeEntropy(u64);

impl Entropy for FakeEntropy {
    fn fork(&self, purpose: &'static str) -> SmallRng {
        SmallRng::seed_from_u64(self.0 << 8 | purpose.len() as u64)
    }

    fn fill(&self, _purpose: &'static str, bytes: &mut [u8]) {
        bytes.fill(self.0 as u8);
    }
}

/// What these actors have no use for.
#[derive(Debug)]
struct NoDisk;

const NO_DISK: &str = "link, heartbeat and membership keep nothing on disk";

impl Disk for NoDisk {
    fn open(&self, _path: &Path, _how: OpenHow) -> io::Result<Box<dyn Blocks>> {
        panic!("{NO_DISK}")
    }
    fn read(&self, _path: &Path) -> io::Result<Option<Vec<u8>>> {
        panic!("{NO_DISK}")
    }
    fn replace(&self, _path: &Path, _bytes: &[u8]) -> io::Result<()> {
        panic!("{NO_DISK}")
    }
    fn list(&self, _dir: &Path) -> io::Result<Vec<PathBuf>> {
        panic!("{NO_DISK}")
    }
    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        panic!("{NO_DISK}")
    }
    fn remove(&self, _path: &Path) -> io::Result<()> {
        panic!("{NO_DISK}")
    }
    fn lane(&self, _name: &'static str) -> Arc<dyn Lane> {
        panic!("{NO_DISK}")
    }
}
