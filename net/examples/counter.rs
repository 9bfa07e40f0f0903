//! An own replicated service on real sockets: three nodes keep one counter.
//!
//! `cargo run -p quorate-net --example counter`

#[path = "counter/machine.rs"]
mod machine;

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::config::{ClusterSettings, MemberSettings, NodeSettings, Settings};
use quorate_core::ids::RequestId;
use quorate_core::replication::Consistency;
use quorate_core::{NodeHandle, node};

use machine::Counter;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("quorate-counter-{}", std::process::id()));
    let counted = quorate_net::block_on(async {
        let nodes = start_three(&dir).await?;
        wait_for_leader(&nodes).await;
        for node in &nodes {
            let added = node.propose(Bytes::from_static(b"1"), RequestId::NONE).await?;
            println!("{} added 1 at {}", node.node(), added.index);
        }
        let count = nodes[2].read(Bytes::new(), Consistency::Linearizable).await?;
        for node in &nodes {
            node.stop().await;
        }
        Ok::<_, Box<dyn Error>>(String::from_utf8(count.reply.to_vec())?)
    })?;
    std::fs::remove_dir_all(&dir)?;
    println!("n3 reads {}", counted.as_deref().unwrap_or("nothing"));
    if counted? == "3" { Ok(()) } else { Err("three additions of 1 should make 3".into()) }
}

async fn start_three(dir: &std::path::Path) -> Result<Vec<NodeHandle>, Box<dyn Error>> {
    let address = |n: u8| IpAddr::from([127, 0, 5, n]);
    let members: Vec<_> =
        (1..=3).map(|n| MemberSettings::at(&format!("n{n}"), address(n))).collect();
    let mut nodes = Vec::new();
    for member in &members {
        let data_dir = dir.join(&member.name);
        let env = quorate_net::env(member.address, &data_dir)?;
        let node = NodeSettings { name: member.name.clone(), data_dir };
        let settings = Settings::new(node, ClusterSettings::of(members.clone()));
        nodes.push(node::start(env, settings, Box::new(Counter::default())).await?);
    }
    Ok(nodes)
}

async fn wait_for_leader(nodes: &[NodeHandle]) {
    let knows = |node: &NodeHandle| node.watch_leadership().current().elected.is_some();
    while !nodes.iter().all(knows) || !nodes.iter().any(|node| node.watch_leadership().may_act()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
