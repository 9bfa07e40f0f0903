//! openraft's runtime: tasks of the node's `LocalSet`, timers on the node's clock.

use std::fmt::Debug;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt::{AsyncRuntime, Instant, OptionalSend};
use openraft_rt_tokio::TokioRuntime;

use super::watch::OrderedWatch;
use crate::ports::node_now;

/// What consensus runs on, in both worlds. Randomness comes from the seed of its scope.
pub(crate) type NodeRuntime = DeterministicRng<LocalRuntime>;

/// tokio's queues and timers, local tasks, the node's clock, watches whose order is certain.
#[derive(Debug)]
pub(crate) struct LocalRuntime;

/// A reading of the node's monotonic clock, as openraft wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeInstant(pub(crate) Duration);

impl Instant for NodeInstant {
    fn now() -> NodeInstant {
        NodeInstant(Duration::from_nanos(node_now().ns))
    }
}

impl Add<Duration> for NodeInstant {
    type Output = NodeInstant;

    fn add(self, length: Duration) -> NodeInstant {
        NodeInstant(self.0.saturating_add(length))
    }
}

impl AddAssign<Duration> for NodeInstant {
    fn add_assign(&mut self, length: Duration) {
        *self = *self + length;
    }
}

impl Sub<Duration> for NodeInstant {
    type Output = NodeInstant;

    fn sub(self, length: Duration) -> NodeInstant {
        NodeInstant(self.0.saturating_sub(length))
    }
}

impl Sub<NodeInstant> for NodeInstant {
    type Output = Duration;

    fn sub(self, earlier: NodeInstant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl SubAssign<Duration> for NodeInstant {
    fn sub_assign(&mut self, length: Duration) {
        *self = *self - length;
    }
}

impl AsyncRuntime for LocalRuntime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = NodeInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = rand::rngs::SmallRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = OrderedWatch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        tokio::task::spawn_local(future)
    }

    fn sleep(length: Duration) -> Self::Sleep {
        TokioRuntime::sleep(length)
    }

    fn sleep_until(deadline: NodeInstant) -> Self::Sleep {
        TokioRuntime::sleep(deadline - NodeInstant::now())
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        length: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(length, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: NodeInstant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(deadline - NodeInstant::now(), future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        error.is_panic()
    }

    /// Never called: [`NodeRuntime`] draws from the seed of its scope instead.
    fn thread_rng() -> Self::ThreadLocalRng {
        unreachable!("consensus draws its randomness from the node's seed")
    }

    /// Never called: a node runs inside the runtime of whoever started it.
    fn new(_threads: usize) -> Self {
        unreachable!("consensus makes no runtime of its own")
    }

    fn block_on<F, T>(&mut self, _future: F) -> T
    where
        F: Future<Output = T>,
    {
        unreachable!("consensus blocks no thread")
    }
}
