//! The runtime of a real node: one thread, one `LocalSet`, as in the simulator.
//!
//! Invariants
//! - Every task of a node runs on the node's own thread. Two nodes in one process need two
//!   threads, because the entered clock is a property of the thread.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::task::LocalSet;

/// Runs `future` to its end on this thread, with timers, sockets and `spawn_local`.
///
/// Local tasks that are still alive then are dropped before this returns. Fails if the system
/// grants no runtime (file handles used up).
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let output = local.block_on(&runtime, future);
    // Destructors of the remaining tasks may still ask for the runtime.
    let _entered = runtime.enter();
    drop(local);
    Ok(output)
}

/// Starts a thread of that name and runs there, as [`block_on`] does, the future `make` returns.
///
/// The thread's result is the future's output. A panic in it is the thread's panic.
pub fn run_node_thread<Make, F>(
    name: &str,
    make: Make,
) -> io::Result<JoinHandle<io::Result<F::Output>>>
where
    Make: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
{
    std::thread::Builder::new().name(name.to_owned()).spawn(move || block_on(make()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::time::Duration;

    #[test]
    fn timers_and_local_tasks_run_and_leftover_tasks_are_dropped() {
        struct AsksForRuntime(Rc<std::cell::Cell<bool>>);
        impl Drop for AsksForRuntime {
            fn drop(&mut self) {
                self.0.set(tokio::runtime::Handle::try_current().is_ok());
            }
        }
        let had_runtime = Rc::new(std::cell::Cell::new(false));
        let guard = AsksForRuntime(had_runtime.clone());

        let answer = block_on(async move {
            tokio::task::spawn_local(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            });
            tokio::task::spawn_local(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                7
            })
            .await
            .unwrap()
        });

        assert_eq!(answer.unwrap(), 7);
        assert!(had_runtime.get(), "the leftover task's destructor ran within the runtime");
    }

    #[test]
    fn a_node_thread_has_its_name_and_hands_back_its_output() {
        let thread =
            run_node_thread("n1", || async { std::thread::current().name().map(str::to_owned) });
        assert_eq!(thread.unwrap().join().unwrap().unwrap().as_deref(), Some("n1"));
    }
}
