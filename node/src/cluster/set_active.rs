//! `quorate cluster set-active`: a planned switchover, which ends with 0 only if it took place.

use std::time::{Duration, Instant};

use quorate_core::api::ClientError;
use quorate_core::ids::NodeId;
use quorate_core::status::{MemberStatus, Status};

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
    let to = status.member(&member).ok_or(ClusterError::NoSuchMember { member })?;
    if status.leader_member().is_some_and(|leader| leader.id == to.id) {
        return Err(ClusterError::LeadsAlready { member: to.name.clone() }.into());
    }
    let began = Instant::now();
    match nodes.switchover(&to.name).await {
        Ok(_) => {}
        Err(ClientError::OutcomeUnknown { .. }) => settle(nodes, to, status.leader, began).await?,
        Err(error) => return Err(error.into()),
    }
    eprintln!("{} leads, after {} ms", to.name, began.elapsed().as_millis());
    Ok(Exit::Good)
}

/// Waits until somebody leads. An error if it is not the one that was to.
async fn settle(
    nodes: &mut Nodes,
    to: &MemberStatus,
    before: Option<NodeId>,
    began: Instant,
) -> Result<(), CommandError> {
    loop {
        // Nobody may answer for a moment.
        let status = nodes.status_of_leader().await.ok();
        if let Some(ended) = settled(status.as_ref(), to, before, began.elapsed()) {
            return Ok(ended?);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How the switchover from `before` ended, by what was told after `waited`. `None` as long as `to`
/// may still take over.
pub(super) fn settled(
    status: Option<&Status>,
    to: &MemberStatus,
    before: Option<NodeId>,
    waited: Duration,
) -> Option<Result<(), ClusterError>> {
    let leader = status.and_then(Status::leader_member);
    let id = leader.map(|leader| leader.id);
    if id == Some(to.id) {
        return Some(Ok(()));
    }
    let has_moved = id.is_some() && id != before;
    if !has_moved && waited <= SETTLED_WITHIN {
        return None;
    }
    let (member, waited_ms) = (to.name.clone(), waited.as_millis());
    let leader = leader.map_or("nobody".to_owned(), |leader| leader.name.clone());
    Some(Err(ClusterError::NotTaken { member, waited_ms, leader }))
}
