//! Tells the partner that the record has arrived. Neither PDex nor HRex defines a message for that: the answer that was read to its end is
//! the receipt, so there is nothing to send. Safe to repeat: it does nothing.

use super::open::Went;
use super::result::{StepEnd, StepGain};
use crate::partner::peer::CallFacts;

pub(super) fn run() -> Went {
    Ok((StepEnd::Done(StepGain::Ready), CallFacts::default()))
}
