//! An own replicated service on real sockets: three nodes keep one counter.
//!
//! `cargo run -p quorate-net --example counter [127.0.5]`: the addresses are .1 to .3 of it.

#[path = "counter/machine.rs"]
mod machine;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use machine::Counter;
use quorate_core::config::{ClusterSettings, MemberSettings, NodeSettings, Settings};
use quorate_core::ids::RequestId;
use quorate_core::replication::Consistency;
use quorate_core::{NodeHandle, node};

fn main() -> Result<(), Box<dyn Error>> {
    count_to_three(&std::env::args().nth(1).unwrap_or("127.0.5".to_owned()))
}

/// The whole story; `block` is what the three addresses begin with.
pub fn count_to_three(block: &str) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let count = quorate_net::block_on(async {
        let nodes = start_three(block, dir.path()).await?;
        for node in &nodes {
            let added = node.propose(Bytes::from_static(b"1"), RequestId::NONE).await?;
            println!("{} added 1 at {}", node.node(), added.index);
        }
        let count = nodes[2].read(Bytes::new(), Consistency::Linearizable).await?;
        for node in &nodes {
            node.stop().await;
        }
        Ok::<_, Box<dyn Error>>(String::from_utf8(count.reply.to_vec())?)
    })??;
    println!("n3 reads {count}");
    if count == "3" { Ok(()) } else { Err("three additions of 1 should make 3".into()) }
}

/// Starts the nodes and waits until each knows the leader.
async fn start_three(block: &str, dir: &Path) -> Result<Vec<NodeHandle>, Box<dyn Error>> {
    let mut members = Vec::new();
    for n in 1..=3 {
        members.push(MemberSettings::at(&format!("n{n}"), format!("{block}.{n}").parse()?));
    }
    let mut nodes = Vec::new();
    for member in &members {
        let data_dir = dir.join(&member.name);
        let env = quorate_net::env(member.address, &data_dir)?;
        let node = NodeSettings::listed(&member.name, data_dir);
        let settings = Settings::new(node, ClusterSettings::of(members.clone()));
        nodes.push(node::start(env, settings, Box::new(Counter::default())).await?);
    }
    while nodes.iter().any(|node| node.watch_leadership().current().elected.is_none()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(nodes)
}
