//! Nodes that are started with settings that cannot be meant.

use quorate_core::config::Settings;

use super::Cluster;

/// A start that is refused opens nothing, so it is over at once.
const REFUSED_WITHIN_MS: u64 = 100;

impl Cluster {
    /// Starts a node that does not run, with what `spoil` makes of its settings, now and at each
    /// later start; [`Cluster::mend_settings`] ends that.
    pub fn restart_with(&mut self, name: &str, spoil: fn(&mut Settings)) {
        let at = self.place(name);
        self.nodes[at].set_spoils(Some(spoil));
        self.restart(&[name]);
    }

    /// From its next start on the node has its own settings again.
    pub fn mend_settings(&mut self, name: &str) {
        self.nodes[self.place(name)].set_spoils(None);
    }

    /// Starts a node that does not run, with what `spoil` makes of its settings. It must end by
    /// itself and say this code, and must not have touched its disk nor the network.
    pub fn is_refused_a_start(&mut self, name: &str, code: &str, spoil: fn(&mut Settings)) {
        let at = self.place(name);
        let machine = self.nodes[at].machine;
        let before = self.world.disk_digest(machine);
        self.nodes[at].set_spoils(Some(spoil));
        self.nodes[at].start(&self.world);
        self.nodes[at].set_may_end(true);
        let end_ms = self.world.now_ms() + REFUSED_WITHIN_MS;
        while self.nodes[at].ended().is_none() && self.world.now_ms() < end_ms {
            if self.world.sockets_count(machine) > 0 {
                self.fail(&format!("{name} listens, and {code} was to refuse its settings"));
            }
            self.run_for_ms(1);
        }
        self.nodes[at].set_may_end(false);
        self.nodes[at].set_spoils(None);
        let Some(reason) = self.nodes[at].ended() else {
            self.fail(&format!("{name} runs, and {code} was to refuse its settings"));
        };
        if !reason.starts_with(code) {
            self.fail(&format!("{code} was to refuse the settings of {name}: {reason}"));
        }
        if self.world.disk_digest(machine) != before {
            self.fail(&format!("{name} has changed its disk, and refused its settings: {reason}"));
        }
    }
}
