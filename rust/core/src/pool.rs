//! A rayon pool of our own for each process and thread count; rayon's global pool is never touched.
//!
//! After a fork the child inherits this memory but none of the threads, so pools carry the process they were made in, and a
//! child forgets its parent's: dropping them would wait for threads that do not exist.

use std::mem;
use std::num::NonZero;
use std::process;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
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
///
/// ```
/// assert!(unblot_core::available_threads() >= 1);
/// ```
#[must_use]
pub fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Threads of this process that work beside the caller's.
pub struct Crew {
    /// With one thread less than asked for; None where the caller works alone.
    pool: Option<Arc<ThreadPool>>,
}

impl Crew {
    /// `threads` in all, the caller's among them.
    pub(crate) fn of(threads: usize) -> Result<Self, Error> {
        Ok(Self { pool: if threads > 1 { Some(pool(threads - 1)?) } else { None } })
    }

    /// The caller's thread and the others.
    pub(crate) fn threads(&self) -> usize {
        1 + self.pool.as_ref().map_or(0, |pool| pool.current_num_threads())
    }

    /// Do the items one by one, each in the next thread that is free, with a state for each thread. The caller begins at once,
    /// while the others wake.
    pub(crate) fn share_out<I: Send, S>(
        &self,
        items: Vec<I>,
        state: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, I) + Sync,
    ) {
        let helpers = self.threads().min(items.len()).saturating_sub(1);
        if helpers == 0 {
            let mut own = state();
            return items.into_iter().for_each(|item| work(&mut own, item));
        }
        let items = Mutex::new(items.into_iter());
        let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work_off = || {
            let mut own = None;
            while let Some(item) = next() {
                work(own.get_or_insert_with(&state), item);
            }
        };
        let pool = self.pool.as_ref().expect("helpers come from a pool");
        pool.in_place_scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|_| work_off());
            }
            work_off();
        });
    }
}

/// This process's pool of `threads` threads.
///
/// The lock is held for a look-up alone. Should another thread of the parent have held it at the very moment of a fork, it never
/// opens in the child; after a fifth of a second the caller gets a pool of its own.
fn pool(threads: usize) -> Result<Arc<ThreadPool>, Error> {
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
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("unblot-{i}"))
        .build()
        .map_err(|e| Error::Image(format!("could not start {threads} threads: {e}; ask for fewer")))?;
    Ok(Arc::new(pool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_the_caller_takes_part() {
        for threads in [1, 2, 5] {
            let crew = Crew::of(threads).unwrap();
            assert_eq!(crew.threads(), threads);
            let mut done = vec![0; 1000];
            let seen = Mutex::new(std::collections::HashSet::new());
            crew.share_out(
                done.iter_mut().collect(),
                || (),
                |(), slot| {
                    *slot += 1;
                    seen.lock().unwrap().insert(thread::current().id());
                },
            );
            assert!(done.iter().all(|n| *n == 1));
            let seen = seen.into_inner().unwrap();
            assert!(seen.len() <= threads && seen.contains(&thread::current().id()));
            crew.share_out(Vec::<u8>::new(), || (), |(), _| unreachable!("there are no items"));
        }
    }

    #[test]
    fn one_pool_per_thread_count() {
        let a = pool(2).unwrap();
        assert!(Arc::ptr_eq(&a, &pool(2).unwrap()));
        assert!(!Arc::ptr_eq(&a, &pool(3).unwrap()));
        assert_eq!(a.current_num_threads(), 2);
    }
}
