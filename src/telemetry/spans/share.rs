//! Which traces are kept: a share of them, drawn by this server alone. What a caller says about it decides nothing, and no id that a caller
//! chooses does.

/// A share of all traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanShare {
    /// Draws below this are kept; `None` for all.
    below: Option<u64>,
}

impl SpanShare {
    /// So many of a hundred.
    pub fn percent(percent: u32) -> SpanShare {
        let below = (percent < 100).then(|| u64::MAX / 100 * u64::from(percent));
        SpanShare { below }
    }

    /// Whether the trace is kept for which this was drawn.
    pub fn keeps(self, drawn: [u8; 8]) -> bool {
        self.below.is_none_or(|below| u64::from_be_bytes(drawn) < below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::sha256;

    #[test]
    fn a_share_keeps_about_as_many_as_it_says() {
        for (percent, least, most) in [(0, 0, 0), (1, 50, 150), (25, 2_300, 2_700), (100, 10_000, 10_000)] {
            let share = SpanShare::percent(percent);
            let kept = (0..10_000_u32).filter(|n| {
                let mut drawn = [0; 8];
                drawn.copy_from_slice(&sha256(&n.to_be_bytes())[..8]);
                share.keeps(drawn)
            });
            let kept = kept.count();
            assert!((least..=most).contains(&kept), "{percent}: {kept}");
        }
    }
}
