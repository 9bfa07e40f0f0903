//! What goes wrong with the clocks of a machine.
//!
//! Read next: `../clock.rs`.

use quorate_core::ports::{Now, UnixMs};

use super::super::{MachineId, World};

impl World {
    /// Both clocks of the machine gain this many microseconds per second; negative: lose.
    pub fn set_clock_drift_ppm(&self, id: MachineId, drift_ppm: i64) {
        self.on(id, &format!("clock drift {drift_ppm} ppm"), |machine| {
            machine.clock.set_drift_ppm(drift_ppm);
        });
    }

    /// From here on the machine's wall clock is wrong by this much; 0 sets it right.
    pub fn set_wall_clock_offset(&self, id: MachineId, offset_ms: i64) {
        self.on(id, &format!("wall clock is off by {offset_ms} ms"), |machine| {
            machine.clock.set_wall_offset_ms(offset_ms);
        });
    }

    /// Moves the machine's wall clock.
    pub fn jump_wall_clock(&self, id: MachineId, by_ms: i64) {
        self.on(id, &format!("wall clock jumps {by_ms} ms"), |machine| {
            machine.clock.jump_wall_ms(by_ms);
        });
    }

    /// Moves the machine's monotonic clock forward, as a suspension does that nothing else shows.
    pub fn jump_clock(&self, id: MachineId, by_ms: u64) {
        self.on(id, &format!("clock jumps {by_ms} ms"), |machine| {
            machine.clock.jump_mono_ms(by_ms)
        });
    }

    /// What the machine's monotonic clock shows.
    pub fn clock_now(&self, id: MachineId) -> Now {
        self.kernel.borrow().machines[id.0].clock.shows().0
    }

    /// What the machine's wall clock shows.
    pub fn clock_wall(&self, id: MachineId) -> UnixMs {
        self.kernel.borrow().machines[id.0].clock.shows().1
    }
}
