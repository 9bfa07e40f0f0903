//! How long something took: by the clock on the wall, and as time of processors.
//!
//! On a machine that others use, too, the second tells what the first would have been without them.

use std::time::Instant;

/// In which Linux tells the times of processes, on every platform that we know of.
const TICKS_PER_SECOND: f64 = 100.0;

/// Runs from its making on.
pub(super) struct Stopwatch {
    began: Instant,
    processor_seconds: f64,
}

/// What a stopwatch showed.
#[derive(Clone, Copy)]
pub(super) struct Elapsed {
    pub(super) wall_seconds: f64,
    /// Of all threads of this process; 0 where the system does not tell.
    pub(super) processor_seconds: f64,
}

impl Stopwatch {
    pub(super) fn start() -> Stopwatch {
        Stopwatch { processor_seconds: processor_seconds(), began: Instant::now() }
    }

    pub(super) fn stop(self) -> Elapsed {
        let wall_seconds = self.began.elapsed().as_secs_f64();
        Elapsed { wall_seconds, processor_seconds: processor_seconds() - self.processor_seconds }
    }
}

/// User and system time of this process so far.
///
/// Source: proc_pid_stat(5), fields 14 and 15; the second may hold spaces, and ends with the last
/// parenthesis.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_of_a_processor() {
        let watch = Stopwatch::start();
        let mut word = 1_u64;
        while watch.began.elapsed().as_millis() < 200 {
            word = std::hint::black_box(word.wrapping_mul(3));
        }
        let elapsed = watch.stop();
        assert!(elapsed.processor_seconds > 0.0 && elapsed.wall_seconds >= 0.2, "{word}");
    }
}
