//! Counts what the scanner does, so that its tests bound its work without a clock. In the program it is nothing.

#[cfg(test)]
thread_local! {
    static TAKEN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// `count` looks at a byte, a name or a value.
#[inline(always)]
pub(super) fn step(count: usize) {
    #[cfg(test)]
    TAKEN.with(|taken| taken.set(taken.get() + count as u64));
    let _ = count;
}

/// Steps of this thread since the last call.
#[cfg(test)]
pub(super) fn taken() -> u64 {
    TAKEN.with(|taken| taken.replace(0))
}
