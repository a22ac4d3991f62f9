//! Whole exchanges over real TLS with another payer that shares no code with this program: what comes is checked, stored and told.

mod bed;
mod between_turns;
mod erased;
mod faults;
mod large;
mod mended;
mod no_room;
mod refused;
mod since;
mod turns;
mod whole;
