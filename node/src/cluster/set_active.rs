//! `quorate cluster set-active`: a planned switchover, which ends with 0 only if it took place.

use std::time::{Duration, Instant};

use quorate_core::api::ClientError;
use quorate_core::ids::NodeId;
use quorate_core::status::Status;

use super::ClusterError;
use crate::command::CommandError;
use crate::exit::Exit;
use crate::nodes::Nodes;

/// How long somebody may take to lead after a switchover of which nobody knows how it went.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Hands leadership to `member`.
pub(super) async fn perform(nodes: &mut Nodes, member: String) -> Result<Exit, CommandError> {
    let status = nodes.status_of_leader().await?;
    let found = status.member(&member).ok_or(ClusterError::NoSuchMember { member })?;
    if status.has_leader() && status.leader == Some(found.id) {
        return Err(ClusterError::LeadsAlready { member: found.name.clone() }.into());
    }
    let began = Instant::now();
    match nodes.switchover(&found.name).await {
        Ok(_) => {}
        Err(ClientError::OutcomeUnknown { .. }) => settle(nodes, found.id, &status, began).await?,
        Err(error) => return Err(error.into()),
    }
    eprintln!("{} leads, after {} ms", found.name, began.elapsed().as_millis());
    Ok(Exit::Good)
}

/// Waits until somebody leads. An error if it is not the one that was to.
async fn settle(
    nodes: &mut Nodes,
    to: NodeId,
    before: &Status,
    began: Instant,
) -> Result<(), CommandError> {
    loop {
        // Nobody may answer for a moment: that says nothing about who leads.
        let status = nodes.status_of_leader().await.unwrap_or_else(|_| before.clone());
        let leader = status.leader.filter(|_| status.has_leader());
        if leader == Some(to) {
            return Ok(());
        }
        let has_moved = leader.is_some() && leader != before.leader;
        if has_moved || began.elapsed() > SETTLED_WITHIN {
            let name = |id: NodeId| status.member(&id.to_string()).map(|found| found.name.clone());
            let (member, waited_ms) = (name(to).unwrap_or_default(), began.elapsed().as_millis());
            let leader = leader.and_then(name).unwrap_or("nobody".to_owned());
            return Err(ClusterError::NotTaken { member, waited_ms, leader }.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
