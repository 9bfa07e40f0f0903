//! Both worlds keep the promises of the ports.
//!
//! The promises are functions in `tests/harness/contracts`; a world is a way to run them.

mod real {
    //! Sockets on a block of addresses of this process's own, files in a temporary directory.

    use std::net::{IpAddr, SocketAddr};
    use std::sync::OnceLock;

    use quorate_core::ports::Env;
    use quorate_tests::block::Block;
    use quorate_tests::contracts;

    const SERVER_PORT: u16 = 28_300;

    /// The address of a node of this process.
    fn ip(node: usize) -> IpAddr {
        static BLOCK: OnceLock<Block> = OnceLock::new();
        let take = || Block::take().expect("a block of test addresses is free");
        BLOCK.get_or_init(take).node(node)
    }

    /// The world of a node, and the directory that ends with it.
    fn node(number: usize) -> (tempfile::TempDir, Env) {
        let place = tempfile::tempdir().expect("a temporary directory can be made");
        let env =
            quorate_net::env(ip(number), place.path()).expect("a fresh directory can be taken");
        (place, env)
    }

    #[test]
    fn net_between_two_nodes() {
        let (_server_place, server_env) = node(1);
        let (_client_place, client_env) = node(2);
        let at = SocketAddr::new(ip(1), SERVER_PORT);
        quorate_net::block_on(async {
            let mut server = tokio::task::spawn_local(contracts::net_server(server_env, at));
            tokio::select! {
                biased;
                ended = &mut server => panic!("the server ended: {ended:?}"),
                () = contracts::net_client(client_env, ip(2), at) => {}
            }
        })
        .unwrap();
    }

    #[test]
    fn net_of_one_node() {
        let (_place, env) = node(3);
        quorate_net::block_on(contracts::net_alone(env, ip(3))).unwrap();
    }

    #[test]
    fn disk() {
        let (_place, env) = node(4);
        quorate_net::block_on(contracts::disk(env)).unwrap();
    }

    #[test]
    fn lane() {
        let (_place, env) = node(5);
        quorate_net::block_on(contracts::lane(env)).unwrap();
    }

    /// The consensus library does so. A simulated machine has one thread, which must not wait for
    /// another, so this is shown here only.
    #[test]
    fn the_result_of_a_lane_may_be_awaited_on_another_thread() {
        let (_place, env) = node(6);
        let waited = quorate_net::block_on(async move {
            let lane = env.disk.lane("contract");
            let result = lane.run(Box::new(|| Err(std::io::ErrorKind::StorageFull.into())));
            let waiting = std::thread::spawn(move || quorate_net::block_on(result));
            waiting.join().expect("the other thread waits without a panic")
        });
        let result = waited.unwrap().expect("the other thread has a runtime");
        assert_eq!(result.map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
    }
}

mod simulated {
    //! Machines that exist only in memory.

    use std::cell::Cell;
    use std::future::Future;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::rc::Rc;

    use quorate_core::ports::Env;
    use quorate_sim::run_isolated;
    use quorate_sim::world::World;
    use quorate_tests::contracts;

    fn ip(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 77, 0, last))
    }

    /// Runs a contract on a machine, beside a server, until it is kept or a minute has passed.
    fn kept<F: Future<Output = ()> + 'static>(contract: fn(Env) -> F) {
        run_isolated(move || {
            let world = World::new(1);
            let server = world.machine("n1", ip(1), |_| Box::pin(async {}));
            let client = world.machine("n2", ip(2), |_| Box::pin(async {}));
            world.start(server);
            world.start(client);
            world.spawn(server, |env| contracts::net_server(env, SocketAddr::new(ip(1), 28_300)));
            let is_done = Rc::new(Cell::new(false));
            let done = is_done.clone();
            world.spawn(client, |env| async move {
                contract(env).await;
                done.set(true);
            });
            assert!(world.run_until_true(60_000, |_| is_done.get()), "the contract has no end");
        });
    }

    #[test]
    fn net_between_two_nodes() {
        kept(|env| contracts::net_client(env, ip(2), SocketAddr::new(ip(1), 28_300)));
    }

    #[test]
    fn net_of_one_node() {
        kept(|env| contracts::net_alone(env, ip(2)));
    }

    #[test]
    fn disk() {
        kept(contracts::disk);
    }

    #[test]
    fn lane() {
        kept(contracts::lane);
    }
}

mod stock {
    //! Machines in the second world, on the turmoil project's simulator as it stands.

    use std::cell::Cell;
    use std::future::Future;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::rc::Rc;

    use quorate_core::ports::Env;
    use quorate_sim::run_isolated;
    use quorate_sim::world::stock::StockWorld;
    use quorate_tests::contracts;

    fn ip(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 78, 0, last))
    }

    /// Runs a contract on a machine, beside a server, until it is kept or a minute has passed.
    fn kept<F: Future<Output = ()> + 'static>(contract: fn(Env) -> F) {
        run_isolated(move || {
            let world = StockWorld::new(1);
            let server = world.machine("n1", ip(1), |_| Box::pin(async {}));
            let client = world.machine("n2", ip(2), |_| Box::pin(async {}));
            world.spawn(server, |env| contracts::net_server(env, SocketAddr::new(ip(1), 28_300)));
            let is_done = Rc::new(Cell::new(false));
            let done = is_done.clone();
            world.spawn(client, |env| async move {
                contract(env).await;
                done.set(true);
            });
            assert!(world.run_until_true(60_000, |_| is_done.get()), "the contract has no end");
        });
    }

    #[test]
    fn net_between_two_nodes() {
        kept(|env| contracts::net_client(env, ip(2), SocketAddr::new(ip(1), 28_300)));
    }

    #[test]
    fn net_of_one_node() {
        kept(|env| contracts::net_alone(env, ip(2)));
    }

    #[test]
    fn disk() {
        kept(contracts::disk);
    }

    #[test]
    fn lane() {
        kept(contracts::lane);
    }
}
