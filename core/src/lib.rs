//! What a Quorate node decides, and speaks: four actors behind ports.
//!
//! No sockets, no files, no clock and no threads: only the [`ports`]. Read `ARCHITECTURE.md` for
//! the map.

pub mod codec;
pub mod ids;
pub mod ports;
