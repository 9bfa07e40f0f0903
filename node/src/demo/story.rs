//! What the demo shows, in order: a leader is killed; half of a cluster is cut off.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_core::history::register::Verdict;
use quorate_core::history::{Operation, Outcome};

use super::cut::{self, Cut};
use super::report::Report;
use super::stage::{Stage, addresses, now_ns, within_ms};
use super::{DemoArguments, DemoError};

/// How long things run undisturbed between two faults.
const CALM: Duration = Duration::from_secs(2);
/// How long half of the cluster stays away.
const CUT: Duration = Duration::from_millis(2_500);
/// How long after a cut an old leader's last answers may still arrive: more than a lease.
const LEASE_LIMIT_NS: u64 = 500_000_000;

/// Both acts and their verdicts.
pub(super) async fn tell(arguments: &DemoArguments) -> Result<Report, DemoError> {
    let mut report = Report::new();
    let tree = arguments.tree.clone().unwrap_or_else(default_tree);
    let block = arguments.block;
    let verdicts =
        [leader_killed(&mut report, block, &tree).await?, half_cut_off(&mut report, block).await?];
    report.conclude(&verdicts);
    Ok(report)
}

/// The sources this was built from, if they are still there.
fn default_tree() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = sources.join("Cargo.toml").exists();
    found.then(|| sources.canonicalize().ok()).flatten().unwrap_or_else(|| PathBuf::from("."))
}

/// Three voters. The leader is killed in the middle of writes, and comes back.
async fn leader_killed(
    report: &mut Report,
    block: Ipv4Addr,
    tree: &Path,
) -> Result<Verdict, DemoError> {
    report.tell(&format!("three daemons start on {}", addresses(block, 3)));
    let mut stage = Stage::start(block, 3)?;
    stage.leader(10_000).await?;
    report.tell(&format!("{} is being stored, one key for each file", tree.display()));
    let is_partial = stage.import(tree).await?;
    let files_count = stage.operations()?.len();
    report.fact("files_count", "files stored", files_count);
    if is_partial {
        report.tell("some files were left out, for the reasons above");
    }
    stage.start_writer()?;
    tokio::time::sleep(CALM).await;

    let old = stage.leader(10_000).await?;
    let old_name = stage.daemons[old].plan().name.clone();
    let killed_ns = now_ns();
    stage.daemons[old].kill();
    report.tell(&format!("SIGKILL for the leader, {old_name}, in the middle of writes"));
    let heir = within_ms(10_000, || stage.leaders().first().copied()).await;
    let without_leader_ms = (now_ns() - killed_ns) / 1_000_000;
    let heir = heir.ok_or_else(|| stage.too_late("no leader within 10000 ms".to_owned()))?;
    let heir_name = stage.daemons[heir].plan().name.clone();
    report.tell(&format!("{heir_name} leads, {without_leader_ms} ms later"));
    let label = format!("{old_name} killed: time without a leader, ms");
    report.fact("leader_killed_without_leader_ms", &label, without_leader_ms);
    report.fact("leader_killed_heir", "who leads then", heir_name);
    let write_ms = stage.next_acknowledged_ms(killed_ns).await?;
    report.fact("leader_killed_next_write_ms", "next acknowledged write after, ms", write_ms);
    tokio::time::sleep(CALM).await;

    let back_ns = now_ns();
    stage.daemons[old].start()?;
    stage.caught_up(old, 15_000).await?;
    let caught_up_ms = (now_ns() - back_ns) / 1_000_000;
    report.tell(&format!("{old_name} is back and has caught up"));
    report.fact(
        "leader_back_ms",
        &format!("{old_name} back and caught up after, ms"),
        caught_up_ms,
    );
    tokio::time::sleep(CALM / 2).await;
    stage.stop_writer().await?;
    report.tell("writes end; every key is read from every node, then offline from every disk");
    stage.end().await
}

/// Four voters. Two of them, the leader among them, are cut off; nobody may acknowledge anything.
async fn half_cut_off(report: &mut Report, block: Ipv4Addr) -> Result<Verdict, DemoError> {
    report.tell(&format!("four daemons start on {}, as another cluster", addresses(block, 4)));
    let mut stage = Stage::start(block, 4)?;
    stage.leader(10_000).await?;
    stage.start_writer()?;
    tokio::time::sleep(CALM / 2).await;

    let (half, _) = halves(&stage).await?;
    report.tell("SIGSTOP for half of them, the leader among them");
    let cut_ns = now_ns();
    half.iter().for_each(|at| stage.daemons[*at].freeze());
    tokio::time::sleep(CUT).await;
    note_silence(report, &stage, cut_ns, "by SIGSTOP")?;
    let healed_ns = now_ns();
    half.iter().for_each(|at| stage.daemons[*at].thaw());
    let write_ms = stage.next_acknowledged_ms(healed_ns).await?;
    report.fact("frozen_next_write_ms", "half thawed: next acknowledged write after, ms", write_ms);
    tokio::time::sleep(CALM / 2).await;

    match cut::missing() {
        Some(reason) => {
            report.fact("nft", "the same with the network cut (nft)", format!("skipped: {reason}"));
        }
        None => cut_by_network(report, &stage).await?,
    }
    stage.stop_writer().await?;
    report.tell("writes end; every key is read from every node, then offline from every disk");
    stage.end().await
}

async fn cut_by_network(report: &mut Report, stage: &Stage) -> Result<(), DemoError> {
    let (half, others) = halves(stage).await?;
    let address = |at: &usize| stage.daemons[*at].plan().member().address;
    let of = |group: &[usize]| group.iter().map(address).collect::<Vec<_>>();
    let cut = Cut::between(&of(&half), &of(&others))?;
    let cut_ns = now_ns();
    report.tell("the network between the two halves is cut");
    tokio::time::sleep(CUT).await;
    note_silence(report, stage, cut_ns, "by nft")?;
    let healed_ns = now_ns();
    drop(cut);
    let write_ms = stage.next_acknowledged_ms(healed_ns).await?;
    report.fact("nft", "network whole: next acknowledged write after, ms", write_ms);
    tokio::time::sleep(CALM / 2).await;
    Ok(())
}

/// The leader with one other, and the rest.
async fn halves(stage: &Stage) -> Result<(Vec<usize>, Vec<usize>), DemoError> {
    let leader = stage.leader(10_000).await?;
    let other = (leader + 1) % stage.daemons.len();
    let all = 0..stage.daemons.len();
    Ok(all.partition(|at| *at == leader || *at == other))
}

/// At the end of a cut: nobody leads, and nothing was acknowledged since the lease ran out.
fn note_silence(
    report: &mut Report,
    stage: &Stage,
    cut_ns: u64,
    how: &str,
) -> Result<(), DemoError> {
    for at in stage.leaders() {
        let name = &stage.daemons[at].plan().name;
        report.finding(format!("{name} says that it leads while half is cut off {how}"));
    }
    let operations = stage.operations()?;
    let is_done = |one: &&Operation| one.op.is_write() && one.outcome == Outcome::Acknowledged;
    let acknowledged = operations.iter().filter(is_done);
    let count = acknowledged.filter(|one| one.start_ns > cut_ns + LEASE_LIMIT_NS).count();
    if count > 0 {
        report.finding(format!("{count} writes were acknowledged while half was cut off {how}"));
    }
    let label = format!("half of four cut off {how}: acknowledged meanwhile");
    let name = if how == "by nft" { "nft_acknowledged_count" } else { "frozen_acknowledged_count" };
    report.fact(name, &label, count);
    Ok(())
}
