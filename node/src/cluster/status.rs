//! `quorate cluster status`: what one node knows of the cluster, for people or as JSON.

use quorate_core::status::{MemberStatus, Status, Tolerance};
use serde::Serialize;

use super::shown;
use crate::command::{self, CommandError};
use crate::exit::Exit;

#[derive(Serialize)]
struct StatusOutput {
    version: u32,
    tolerance: Tolerance,
    #[serde(flatten)]
    status: Status,
}

/// Prints it. `Degraded` if a voter is not reachable, `NoLeader` if nobody leads.
pub(super) fn print(status: Status, json: bool) -> Result<Exit, CommandError> {
    let exit = exit_for(&status);
    if json {
        let tolerance = status.tolerance();
        command::print_json(&StatusOutput { version: 1, tolerance, status })?;
    } else {
        command::print(table(&status).as_bytes())?;
    }
    Ok(exit)
}

/// What a command about this cluster ends with.
pub(super) fn exit_for(status: &Status) -> Exit {
    if !status.has_leader() {
        return Exit::NoLeader;
    }
    match status.members.iter().all(MemberStatus::answers) {
        true => Exit::Good,
        false => Exit::Degraded,
    }
}

fn table(status: &Status) -> String {
    let leader = match status.leader {
        Some(leader) if status.has_leader() => leader.to_string(),
        Some(elected) => format!("none ({elected} is elected and may not act)"),
        None => "none".to_owned(),
    };
    let age = status.leader_age_ms.map_or("never heard".to_owned(), |age| format!("{age} ms ago"));
    let mut text = format!(
        "cluster  {} ({})\nasked    {} {}, {:?}, term {}\nleader   {leader}, heard {age}\n\
         log      committed {}, applied {}, last {}\nlosses   {}\n",
        status.cluster,
        status.cluster_id,
        status.node,
        status.name,
        status.role,
        status.term,
        status.commit_index,
        status.applied_index,
        status.last_index,
        status.tolerance(),
    );
    if let Some(missing) = status.missing_for_failover() {
        text += &format!("failover {missing}\n");
    }
    text += &format!(
        "\n{:<5}{:<14}{:<9}{:<22}{:<26}{:<26}{}\n",
        "ID", "NAME", "VOTE", "API", "GOSSIP", "PINGS", "LOG MATCHES"
    );
    for member in &status.members {
        text += &member_line(status, member);
    }
    text
}

fn member_line(status: &Status, member: &MemberStatus) -> String {
    let vote = match member.id {
        id if status.voters.contains(&id) => "voter",
        id if status.learners.contains(&id) => "learner",
        _ => "none",
    };
    let matching = member.matching_index.map_or("-".to_owned(), |index| index.to_string());
    format!(
        "{:<5}{:<14}{vote:<9}{:<22}{:<26}{:<26}{}\n",
        member.id.to_string(),
        member.name,
        member.api.to_string(),
        shown(member.view.as_ref()),
        shown(member.health.as_ref()),
        matching
    )
}
