//! Somebody on a member's machine who lacks the secret, and somebody who records and plays.

use quorate_core::config::Settings;
use quorate_core::security::ClusterSecret;

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, Report, Workload};

const YEAR_MS: i64 = 365 * 24 * 3_600_000;
/// Longer than the lease of a leader whose last peer has gone.
const LEASE_OVER_MS: u64 = 3_000;

/// One of three machines falls to somebody who has everything of its node, its key and its log
/// included, but not the secret that the others have. The other two go on, although the calendar of
/// one is wrong by years; when that one crashes nobody leads, because the stranger counts for
/// nothing. Meanwhile, and again after all is mended, somebody plays what the nodes once said to
/// each other. Nobody takes it a second time.
pub(super) fn who_has_not_the_secret_and_what_was_recorded_changes_nothing(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).protected(true).seed(seed);
    let site = |cluster: &Cluster, name: &str| cluster.choose(&format!("hunt_intruders.{name}"), 1);
    cluster.record_datagrams();
    let (years, is_behind) = (site(&cluster, "years").between(1, 10), site(&cluster, "behind"));
    let wrong_by_ms = years as i64 * YEAR_MS * if is_behind.chance(0.5) { -1 } else { 1 };
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(site(&cluster, "begins_ms").between(300, 1_500));

    cluster.until_all_keys_are_known();
    let fallen = site(&cluster, "fallen").between(1, 3);
    let other = (fallen + site(&cluster, "other").between(0, 1)) % 3 + 1;
    let (fallen, other) = (format!("n{fallen}"), format!("n{other}"));
    cluster.set_wall_clock_offset(&other, wrong_by_ms);
    cluster.crash(&[&fallen]);
    cluster.restart_with(&fallen, with_another_secret);
    cluster.run_for_ms(site(&cluster, "alone_ms").between(500, 2_000));
    cluster.play_recorded();
    cluster.within_ms(5_000).another_leads(&[&fallen]);

    cluster.crash(&[&other]);
    cluster.within_ms(LEASE_OVER_MS).nobody_leads();
    cluster.write("colour", "red").not_acked_within_ms(500);
    cluster.run_for_ms(site(&cluster, "dark_ms").between(500, 2_000));

    cluster.crash(&[&fallen]);
    cluster.mend_settings(&fallen);
    cluster.restart(&[&fallen, &other]);
    cluster.play_recorded();
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(10);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}

fn with_another_secret(settings: &mut Settings) {
    let text = "somebody else has thought of this";
    settings.security.secret = Some(ClusterSecret::from_text(text).expect("it is long enough"));
}
