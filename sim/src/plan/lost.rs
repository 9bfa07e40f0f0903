//! Disks that are lost: wiped, believed although they lied, or rotten.
//!
//! Who has such a disk has forgotten what it promised, or may have: for consensus it is dead, and
//! an operator removes it. So does the calm. Until then the plan leaves it alone.
//!
//! Invariants
//! - One disk at most is lost in a run, so each entry has a good copy left.
//!
//! Source: the last good copy, of which TigerBeetle's fault injector takes care.

use super::members::{Standing, VOTERS_COUNT_MIN};
use super::storm::{Holds, Noted, Storm};
use super::strike::Struck;
use super::{Gust, Kind};

impl Storm<'_> {
    /// The gust's node loses its disk, if it is a voter that nothing else holds.
    pub(super) fn lose_disk(&mut self, gust: &Gust) -> Option<Struck> {
        let at = gust.node;
        let Standing::Voter(id) = self.standings[at] else { return None };
        let is_first = !self.standings.iter().any(|standing| standing.is_lost());
        let is_free = self.is_part_free(at, Holds::is_of_node);
        if !is_first || !is_free || self.voters().len() < VOTERS_COUNT_MIN {
            return None;
        }
        let name = self.names[at].clone();
        let had_promised = !self.cluster.world().synced_files(self.machine(at)).is_empty();
        match gust.kind {
            Kind::DiskLies => self.cluster.lie_about_syncs(&name, true),
            Kind::DiskRots => {
                // A process that has written nothing has nothing to lose: it goes on.
                self.cluster.rot_if_written(&name)?;
                self.cluster.crash(&[&name]);
                self.start(at);
            }
            _ => {
                self.cluster.cut_power(&[&name]);
                self.cluster.wipe(&name);
            }
        }
        self.standings[at] = Standing::Lost(id);
        let has_lost = gust.kind == Kind::DiskWiped && had_promised;
        let noted = Noted { came_true: has_lost, ..Noted::default() };
        Some(Struck { noted, ..Struck::of([at].into(), Holds::Lost, gust.lasts_ms) })
    }

    /// What the disk has done so far is all that it does: its machine is taken away. Returns
    /// whether the loss was felt.
    pub(super) fn take_away(&mut self, kind: Kind, at: usize) -> bool {
        let ended = self.cluster.ended(&self.names[at]);
        if let Some(reason) = &ended {
            let is_of_disk =
                ["Q14", "Q1502", "Q1504", "Q1506"].iter().any(|code| reason.starts_with(code));
            assert!(is_of_disk, "{} ended for another reason: {reason}", self.names[at]);
        }
        let lost_bytes = self.is_running(at) && self.cut_power(at);
        match kind {
            Kind::DiskLies => lost_bytes,
            _ => ended.is_some(),
        }
    }
}
