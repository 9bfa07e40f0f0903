//! `quorate cluster nodes`: the members, as the leader sees them; without one, as whoever answers.

use quorate_core::ids::LogIndex;
use quorate_core::status::{MemberStatus, Status};
use serde::Serialize;

use super::status::exit_for;
use super::{ClusterError, shown};
use crate::command::{self, CommandError};
use crate::exit::Exit;

#[derive(Serialize)]
struct ListOutput<'a> {
    version: u32,
    asked: &'a str,
    nodes: Vec<MemberOutput<'a>>,
}

#[derive(Serialize)]
struct GetOutput<'a> {
    version: u32,
    asked: &'a str,
    #[serde(flatten)]
    node: MemberOutput<'a>,
}

#[derive(Serialize)]
struct MemberOutput<'a> {
    state: &'static str,
    /// Entries that the leader has and this member is not known to have; null if nobody knows.
    lag_entries: Option<u64>,
    #[serde(flatten)]
    member: &'a MemberStatus,
}

impl<'a> MemberOutput<'a> {
    fn of(status: &Status, member: &'a MemberStatus) -> MemberOutput<'a> {
        let behind = |at: LogIndex| status.last_index.0.saturating_sub(at.0);
        MemberOutput {
            state: state(status, member),
            lag_entries: member.matching_index.map(behind),
            member,
        }
    }
}

/// What people call it: `leader`, `silent` if it does not answer, `replica`, `learner`; `none` if
/// it neither votes nor learns.
pub(super) fn state(status: &Status, member: &MemberStatus) -> &'static str {
    match member.id {
        id if status.leader_member().is_some_and(|leader| leader.id == id) => "leader",
        _ if !member.answers() => "silent",
        id if status.voters.contains(&id) => "replica",
        id if status.learners.contains(&id) => "learner",
        _ => "none",
    }
}

/// The members in a table. `NoLeader` if nobody leads, `Degraded` if one does not answer.
pub(super) fn print_all(status: &Status, json: bool) -> Result<Exit, CommandError> {
    let outputs = status.members.iter().map(|member| MemberOutput::of(status, member));
    let outputs: Vec<MemberOutput<'_>> = outputs.collect();
    let exit = exit_for(status);
    if json {
        command::print_json(&ListOutput { version: 1, asked: &status.name, nodes: outputs })?;
        return Ok(exit);
    }
    let mut text =
        format!("{:<5}{:<24}{:<24}{:<10}{:<24}{}\n", "ID", "NAME", "API", "STATE", "PINGS", "LAG");
    for output in outputs {
        let MemberOutput { state, lag_entries, member } = output;
        text += &format!(
            "{:<5}{:<24}{:<24}{state:<10}{:<24}{}\n",
            member.id.to_string(),
            member.name,
            member.api.to_string(),
            shown(member.health.as_ref()),
            lag(lag_entries),
        );
    }
    command::print(text.as_bytes())?;
    Ok(exit)
}

/// One member, by name or id.
pub(super) fn print_one(status: &Status, member: String, json: bool) -> Result<Exit, CommandError> {
    let found = status.member(&member).ok_or(ClusterError::NoSuchMember { member })?;
    let node = MemberOutput::of(status, found);
    if json {
        return command::print_json(&GetOutput { version: 1, asked: &status.name, node });
    }
    let MemberOutput { state, lag_entries, member } = node;
    let gossip = shown(member.view.as_ref());
    let round_trip = member.rtt_us.map_or("-".to_owned(), |us| format!("{us} us"));
    let text = format!(
        "name        {} ({})\nstate       {state}, as {} sees it\nrole        {}\n\
         API         {}\nconsensus   {}\nmembership  {}\ngossip      {gossip}\npings       {}\n\
         round trip  {round_trip}\nlag         {}\n",
        member.name,
        member.id,
        status.name,
        member.role,
        member.api,
        member.consensus,
        member.membership,
        shown(member.health.as_ref()),
        lag(lag_entries),
    );
    command::print(text.as_bytes())
}

fn lag(entries: Option<u64>) -> String {
    entries.map_or("-".to_owned(), |entries| format!("{entries} entries"))
}
