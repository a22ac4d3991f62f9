//! `causeway audit erase-subject`: what goes, what stays, what is refused, and that an erasure that is broken off comes to its end.

mod correlations;
mod files;
mod kept;
mod keys;
mod kills;
mod race;
mod record;
mod refused;
mod sealed;
mod traces;
