//! Whether the members see each other as they are.

use std::collections::BTreeSet;

use super::{Cluster, Within};

impl Within<'_> {
    /// All members that run follow one roster, see each other alive, and all others down.
    pub fn members_agree(self) {
        let members = self.cluster.members_agree.clone();
        let members_agree = members.clone();
        let mut running = BTreeSet::new();
        let cluster = self.cluster;
        let end_ms = cluster.world.now_ms() + self.ms;
        let agreed = cluster.drive(end_ms, &mut |seen, _| {
            running = seen.iter().map(|node| node.leadership.node).collect();
            members_agree.borrow().disagreement(&running).is_none()
        });
        let disagreement = members.borrow().disagreement(&running);
        if let Some(wrong) = disagreement.filter(|_| !agreed) {
            let ms = self.ms;
            cluster.fail(&format!("within {ms} ms: the members do not agree: {wrong}"));
        }
    }
}

impl Cluster {
    /// Nobody has called a member down that ran. For runs in which no fault has struck.
    pub fn nobody_was_called_down(&mut self) {
        let count = self.members_agree.borrow().false_downs_count;
        if count > 0 {
            self.fail(&format!("a member that ran was called down {count} times"));
        }
    }
}
