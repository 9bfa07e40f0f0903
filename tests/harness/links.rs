//! Links between daemons, each direction of which can be cut and healed while they run.
//!
//! A node's settings name, for every other node, an address of [`Block::link`] instead of the real
//! one. A proxy listens there and passes streams and datagrams on, leaving from the address at
//! which the receiver in turn finds the sender; so neither side sees the other's real address.
//!
//! Invariants
//! - A cut loses datagrams and holds back stream bytes until it heals, as a cut cable does under
//!   TCP: nothing is reset, nothing arrives twice or out of order.
//! - Cutting a to b leaves b to a as it was.
//!
//! Read next: [`Links::cut`].

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use quorate_core::config::{API_PORT, CONSENSUS_PORT, MEMBERSHIP_PORT};
use quorate_net::run_node_thread;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_local;

use crate::block::Block;

/// From node, to node; both counted from 1.
type Direction = (usize, usize);
/// The directions that pass nothing.
type Cuts = BTreeSet<Direction>;

/// The proxies between all pairs of nodes of one cluster. Dropping it closes every link.
#[derive(Debug)]
pub struct Links {
    cuts: Arc<watch::Sender<Cuts>>,
    thread: Option<(oneshot::Sender<()>, JoinHandle<io::Result<()>>)>,
}

impl Links {
    /// Opens a link for every ordered pair of `nodes_count` nodes; all are whole.
    pub fn open(block: &Block, nodes_count: usize) -> io::Result<Links> {
        let cuts = Arc::new(watch::Sender::new(Cuts::new()));
        let pairs = (1..=nodes_count).flat_map(|from| (1..=nodes_count).map(move |to| (from, to)));
        let links: Vec<Link> = pairs
            .filter(|(from, to)| from != to)
            .map(|(from, to)| Link {
                direction: (from, to),
                listens_at: block.link(from, to),
                leaves_from: block.link(to, from),
                target: block.node(to),
            })
            .collect();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let shared = cuts.clone();
        let thread = run_node_thread("links", move || async move {
            let opened = open_all(&links, &shared).await;
            let is_open = opened.is_ok();
            // The other end waits for exactly this, so it is there.
            let _ = ready.send(opened);
            if is_open {
                // Ends with the sender, used or dropped.
                let _ = stopped.await;
            }
        })?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Links { cuts, thread: Some((stop, thread)) })
    }

    /// Nothing passes from `from` to `to` until it is healed.
    pub fn cut(&self, from: usize, to: usize) {
        self.cuts.send_modify(|cuts| {
            cuts.insert((from, to));
        });
    }

    /// Nothing passes between the two groups, in either direction, until it is healed.
    pub fn partition(&self, group: &[usize], others: &[usize]) {
        for &one in group {
            for &other in others {
                self.cut(one, other);
                self.cut(other, one);
            }
        }
    }

    /// Every link is whole again, and held bytes flow on.
    pub fn heal(&self) {
        self.cuts.send_modify(Cuts::clear);
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            let _ = stop.send(());
            // A panic there was printed there; a second one here would hide the test's own.
            let _ = thread.join();
        }
    }
}

/// One direction between two nodes, as addresses.
#[derive(Clone, Copy, Debug)]
struct Link {
    direction: Direction,
    listens_at: IpAddr,
    leaves_from: IpAddr,
    target: IpAddr,
}

async fn open_all(links: &[Link], cuts: &watch::Sender<Cuts>) -> io::Result<()> {
    let mut sockets = Vec::new();
    for link in links {
        for port in [CONSENSUS_PORT, MEMBERSHIP_PORT, API_PORT] {
            let listener = TcpListener::bind((link.listens_at, port)).await?;
            spawn_local(accept(*link, listener, port, cuts.subscribe()));
        }
        let socket = UdpSocket::bind((link.listens_at, MEMBERSHIP_PORT)).await?;
        sockets.push((*link, Rc::new(socket)));
    }
    for (link, socket) in &sockets {
        let back = |other: &&(Link, Rc<UdpSocket>)| other.0.listens_at == link.leaves_from;
        let (_, leaves) = sockets.iter().find(back).expect("each pair has both directions");
        let (arrives, leaves) = (socket.clone(), leaves.clone());
        spawn_local(pass_datagrams(*link, arrives, leaves, cuts.subscribe()));
    }
    Ok(())
}

async fn pass_datagrams(
    link: Link,
    arrives: Rc<UdpSocket>,
    leaves: Rc<UdpSocket>,
    cuts: watch::Receiver<Cuts>,
) {
    let mut buffer = vec![0; 65_536];
    let target = SocketAddr::new(link.target, MEMBERSHIP_PORT);
    loop {
        // An error is that of an earlier datagram nobody listened for; the next may arrive.
        let Ok((size_bytes, _)) = arrives.recv_from(&mut buffer).await else { continue };
        if !cuts.borrow().contains(&link.direction) {
            let _ = leaves.send_to(&buffer[..size_bytes], target).await;
        }
    }
}

async fn accept(link: Link, listener: TcpListener, port: u16, cuts: watch::Receiver<Cuts>) {
    while let Ok((stream, _)) = listener.accept().await {
        let cuts = cuts.clone();
        spawn_local(async move {
            // On an error the accepted stream is dropped, which the dialing node sees as a reset.
            let _ = join_streams(link, stream, port, cuts).await;
        });
    }
}

async fn join_streams(
    link: Link,
    near: TcpStream,
    port: u16,
    mut cuts: watch::Receiver<Cuts>,
) -> io::Result<()> {
    pass(&mut cuts, link.direction).await;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(link.leaves_from, 0))?;
    let far = socket.connect(SocketAddr::new(link.target, port)).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let (from, to) = link.direction;
    spawn_local(pump(near_read, far_write, (from, to), cuts.clone()));
    spawn_local(pump(far_read, near_write, (to, from), cuts));
    Ok(())
}

/// Copies until the reader ends or fails, then ends the writer.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut cuts: watch::Receiver<Cuts>,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(size_bytes) = from.read(&mut buffer).await {
        // Also the end of a stream does not cross a cut link.
        pass(&mut cuts, direction).await;
        if size_bytes == 0 || to.write_all(&buffer[..size_bytes]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Waits until `direction` is whole.
async fn pass(cuts: &mut watch::Receiver<Cuts>, direction: Direction) {
    // Fails only when the links are closed, and then the task is dropped as well.
    let _ = cuts.wait_for(|cuts| !cuts.contains(&direction)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    const SHORT: Option<Duration> = Some(Duration::from_millis(200));
    const LONG: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn a_cut_holds_stream_bytes_in_one_direction_and_healing_lets_them_pass() {
        let block = Block::take().unwrap();
        let links = Links::open(&block, 2).unwrap();
        let listener = TcpListener::bind((block.node(2), CONSENSUS_PORT)).unwrap();
        let mut near = TcpStream::connect((block.link(1, 2), CONSENSUS_PORT)).unwrap();
        let (mut far, seen_as) = listener.accept().unwrap();
        assert_eq!(seen_as.ip(), block.link(2, 1), "node 2 sees node 1 where it would look for it");
        let mut byte = [0];

        links.cut(1, 2);
        near.write_all(b"a").unwrap();
        far.set_read_timeout(SHORT).unwrap();
        assert!(far.read(&mut byte).is_err());
        far.write_all(b"b").unwrap();
        near.set_read_timeout(LONG).unwrap();
        near.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");

        links.heal();
        far.set_read_timeout(LONG).unwrap();
        far.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"a");
    }

    #[test]
    fn a_partition_loses_datagrams_between_the_groups_only() {
        let block = Block::take().unwrap();
        let links = Links::open(&block, 3).unwrap();
        let bind = |node| UdpSocket::bind((block.node(node), MEMBERSHIP_PORT)).unwrap();
        let (one, two, three) = (bind(1), bind(2), bind(3));
        let send = |text: &[u8], to| {
            one.send_to(text, (block.link(1, to), MEMBERSHIP_PORT)).unwrap();
        };
        let mut buffer = [0; 8];
        let mut received = |socket: &UdpSocket, limit| {
            socket.set_read_timeout(limit).unwrap();
            let (size_bytes, from) = socket.recv_from(&mut buffer).ok()?;
            Some((buffer[..size_bytes].to_vec(), from.ip()))
        };

        links.partition(&[1, 2], &[3]);
        send(b"lost", 3);
        send(b"kept", 2);
        assert_eq!(received(&two, LONG), Some((b"kept".to_vec(), block.link(2, 1))));
        assert_eq!(received(&three, SHORT), None);

        links.heal();
        send(b"later", 3);
        assert_eq!(received(&three, LONG), Some((b"later".to_vec(), block.link(3, 1))));
    }
}
