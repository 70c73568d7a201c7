//! A rayon pool of our own for each process and thread count; rayon's global pool is never touched.
//!
//! After a fork the child inherits this memory but none of the threads, so pools carry the process they were made in, and a
//! child forgets its parent's: dropping them would wait for threads that do not exist.

use std::mem;
use std::num::NonZero;
use std::process;
use std::sync::{Arc, Mutex, TryLockError};
use std::thread;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Error;

struct Pools {
    process: u32,
    by_threads: Vec<(usize, Arc<ThreadPool>)>,
}

static POOLS: Mutex<Pools> = Mutex::new(Pools { process: 0, by_threads: Vec::new() });

/// Cores that this process may use.
#[must_use]
pub fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// This process's pool of `threads` threads.
///
/// The lock is held for a look-up alone. Should another thread of the parent have held it at the very moment of a fork, it never
/// opens in the child; after a fifth of a second the caller gets a pool of its own.
pub(crate) fn pool(threads: usize) -> Result<Arc<ThreadPool>, Error> {
    for _ in 0..200 {
        let mut pools = match POOLS.try_lock() {
            Ok(pools) => pools,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
        };
        if pools.process != process::id() {
            mem::forget(mem::take(&mut pools.by_threads));
            pools.process = process::id();
        }
        if let Some((_, pool)) = pools.by_threads.iter().find(|(n, _)| *n == threads) {
            return Ok(Arc::clone(pool));
        }
        let pool = build(threads)?;
        pools.by_threads.push((threads, Arc::clone(&pool)));
        return Ok(pool);
    }
    build(threads)
}

fn build(threads: usize) -> Result<Arc<ThreadPool>, Error> {
    let pool =
        ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("unblot-{i}")).build().map_err(|e| {
            Error::Image(format!("could not start {threads} threads: {e}; ask for fewer with threads="))
        })?;
    Ok(Arc::new(pool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pool_per_thread_count() {
        let a = pool(2).unwrap();
        assert!(Arc::ptr_eq(&a, &pool(2).unwrap()));
        assert!(!Arc::ptr_eq(&a, &pool(3).unwrap()));
        assert_eq!(a.current_num_threads(), 2);
    }
}
