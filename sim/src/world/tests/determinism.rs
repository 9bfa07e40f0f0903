//! The same seed gives the same run; and how fast five machines of actors run.
//!
//! Read next: `trace.rs`.

use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use actix::{Actor, AsyncContext, Context, Handler, Message};
use quorate_core::ports::{Datagrams, OpenHow};

use super::super::{Freeze, LinkSettings};
use super::*;

const MACHINES_COUNT: u8 = 5;
const INTERVAL: Duration = Duration::from_millis(50);

/// Pings every other machine by datagram, every 50 ms.
struct Pinger {
    me: u8,
    socket: Arc<dyn Datagrams>,
    pongs_count: u64,
}

/// A datagram came in.
#[derive(Message)]
#[rtype(result = "()")]
struct Received {
    from: SocketAddr,
    is_ping: bool,
}

impl Actor for Pinger {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(INTERVAL, |pinger, _| {
            for peer in (1..=MACHINES_COUNT).filter(|peer| *peer != pinger.me) {
                pinger.socket.try_send_to(b"ping", at(peer)).unwrap();
            }
        });
        let (socket, me) = (self.socket.clone(), context.address());
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 64];
            while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                me.do_send(Received { from, is_ping: &buffer[..size] == b"ping" });
            }
        });
    }
}

impl Handler<Received> for Pinger {
    type Result = ();

    fn handle(&mut self, Received { from, is_ping }: Received, _: &mut Context<Self>) {
        if is_ping {
            self.socket.try_send_to(b"pong", from).unwrap();
        } else {
            self.pongs_count += 1;
            if self.pongs_count.is_multiple_of(100) {
                tracing::info!(pongs_count = self.pongs_count, "still there");
            }
        }
    }
}

/// Asks every other machine over one stream each, every 50 ms, and writes each answer to disk.
struct Asker {
    me: u8,
    env: Env,
}

impl Actor for Asker {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        for peer in (1..=MACHINES_COUNT).filter(|peer| *peer != self.me) {
            tokio::task::spawn_local(ask(self.env.clone(), peer));
        }
    }
}

async fn ask(env: Env, peer: u8) {
    loop {
        let Ok(mut stream) = env.net.connect(at(peer)).await else {
            sleep_ms(50).await;
            continue;
        };
        let mut answer = [0; 8];
        loop {
            let question = env.clock.wall().0.to_le_bytes();
            let sent = stream.write_all(&question).await;
            if sent.is_err() || stream.read_exact(&mut answer).await.is_err() {
                break;
            }
            assert_eq!(answer, question);
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

async fn actors(env: Env, me: u8) {
    let socket = env.net.datagrams(at(me)).await.unwrap();
    let listener = env.net.listen(at(me)).await.unwrap();
    let pinger = Pinger { me, socket, pongs_count: 0 }.start();
    let asker = Asker { me, env: env.clone() }.start();
    let lane = env.disk.lane("log");
    let file = env.disk.open("log".as_ref(), OpenHow::CreateIfMissing).unwrap();
    lane.run(Box::new(move || {
        file.write_at(0, b"started")?;
        file.sync_data()
    }))
    .await
    .unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        assert!(pinger.connected() && asker.connected());
        tokio::task::spawn_local(echo(stream));
    }
}

fn five_machines(seed: u64) -> (World, Vec<MachineId>) {
    let world = World::new(seed);
    for me in 1..=MACHINES_COUNT {
        world.machine(&format!("n{me}"), ip(me), boot(move |env| actors(env, me)));
    }
    let ids = world.machines();
    let latency =
        LinkSettings { latency_us_min: 1_000, latency_us_max: 5_000, ..LinkSettings::default() };
    world.set_links(latency);
    for id in &ids {
        world.start(*id);
    }
    (world, ids)
}

/// Faults of every kind over 12 s; the number that stands for all of it.
fn faulty_run(seed: u64, one_latency_us_max: u64) -> (u64, u64) {
    run_isolated(move || {
        let (world, ids) = five_machines(seed);
        let link = LinkSettings {
            latency_us_min: 1_000,
            latency_us_max: one_latency_us_max,
            loss: 0.05,
            duplication: 0.05,
            heavy_tail: 0.02,
            reordering: 0.02,
            ..LinkSettings::default()
        };
        world.set_link(ids[0], ids[1], link);
        world.run_for(2_000);
        world.crash(ids[2]);
        world.partition(&ids[..2], &ids[2..]);
        world.run_for(2_000);
        world.start(ids[2]);
        world.heal();
        world.freeze(ids[4], Freeze::Machine);
        world.run_for(2_000);
        world.crash(ids[3]);
        world.cut_power_at_disk_operation(ids[3], 1);
        world.start(ids[3]);
        world.thaw(ids[4]);
        world.run_for(2_000);
        assert!(!world.is_running(ids[3]), "the planned power cut did not happen");
        world.start(ids[3]);
        world.cut_power(ids[0]);
        world.run_for(2_000);
        world.start(ids[0]);
        world.run_for(2_000);
        (world.event_hash(), world.events_count())
    })
}

#[test]
fn the_same_seed_gives_the_same_run_and_any_change_another() {
    let first = faulty_run(1, 5_000);
    assert!(first.1 > 5_000, "{} events are no test", first.1);
    assert_eq!(faulty_run(1, 5_000), first, "twice in one process");
    let parallel: Vec<_> = (0..4).map(|_| thread::spawn(|| faulty_run(1, 5_000))).collect();
    for run in parallel {
        assert_eq!(run.join().unwrap(), first, "in parallel");
    }
    assert_ne!(faulty_run(2, 5_000).0, first.0, "another seed");
    assert_ne!(faulty_run(1, 5_100).0, first.0, "another latency");
}

/// Set in the other process, which prints its hash instead of comparing it.
const OTHER_PROCESS: &str = "QUORATE_SIM_PRINTS_HASH";

#[test]
fn another_process_gives_the_same_run() {
    let line = format!("hash and events {:?}", faulty_run(3, 5_000));
    if std::env::var_os(OTHER_PROCESS).is_some() {
        println!("{line}");
        return;
    }
    let name = "world::tests::determinism::another_process_gives_the_same_run";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(OTHER_PROCESS, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&line), "here {line}, there {text}");
}

#[test]
fn five_machines_of_actors_run_much_faster_than_time() {
    const SIMULATED_MS: u64 = 60_000;
    let (rate, events_count) = run_isolated(|| {
        let (world, ids) = five_machines(1);
        let began = Instant::now();
        world.run_for(SIMULATED_MS);
        let wall_ms = began.elapsed().as_millis().max(1) as u64;
        assert!(ids.iter().all(|id| world.is_running(*id)));
        (SIMULATED_MS / wall_ms, world.events_count())
    });
    println!("{rate} simulated seconds per wall second, {events_count} events");
    assert!(events_count > 20_000, "{events_count} events: the actors do not talk");
    assert!(rate >= 5, "{rate} simulated seconds per wall second: the kernel is wrong");
}

#[test]
fn idle_machines_cost_nothing() {
    run_isolated(|| {
        let world = World::new(1);
        let idle = Rc::new(|_: Env| async {
            loop {
                sleep_ms(60_000).await;
            }
        });
        for me in 1..=MACHINES_COUNT {
            let idle = idle.clone();
            world.machine(&format!("n{me}"), ip(me), boot(move |env| idle(env)));
        }
        for id in world.machines() {
            world.start(id);
        }
        let began = Instant::now();
        world.run_for(3_600_000);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?} for an idle hour", began.elapsed());
    });
}
