//! Does the same work for many records, on all processors.

use std::num::NonZero;

/// Returns the result of `work` for each of `items`, in their order. When a thread panics, each of its items gets `lost`.
pub(super) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    lost: impl Fn() -> R,
) -> Vec<R> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(workers).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let working: Vec<_> = items
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<_>>()))
            .collect();
        let mut done = Vec::with_capacity(items.len());
        for (worker, part) in working.into_iter().zip(items.chunks(share)) {
            done.extend(worker.join().unwrap_or_else(|_| part.iter().map(|_| lost()).collect()));
        }
        done
    })
}
