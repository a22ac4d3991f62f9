//! How many files this process may have open: raised to what the system allows, and compared with what the configuration needs.
//!
//! Each connection is a file. Were there more connections than files, nobody else could connect, and the store could not open its own.

use crate::config::Config;
use crate::error::{Failure, Fault};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files in addition to those of connections and of the store: the log, the listeners, the operations side, key sets that are fetched.
const OTHERS: u64 = 512;
/// Files for each connection to the store: with SQLite the database, its log and what belongs to them.
const OF_STORE: u64 = 4;
/// Fewest connections with which a server starts.
const LEAST: u64 = 64;

/// Raises the limit of this process, and lowers `limits.connections` to what fits. Returns what the operator has to be told, if anything.
///
/// # Errors
/// [`Fault::ConfigInvalid`] when hardly any connection fits.
pub(super) fn prepare(config: &mut Config) -> Result<Option<String>, Failure> {
    let wanted = config.limits.connections;
    let others = OTHERS + u64::from(config.store.connections) * OF_STORE;
    let may = raised();
    let fits = fitting(may, wanted, others);
    if fits == Some(wanted) {
        return Ok(None);
    }
    let (may, needed) = (may.unwrap_or(u64::MAX), others.saturating_add(wanted as u64));
    let raise = format!("Raise the hard limit of open files to {needed} (LimitNOFILE of the service, or ulimit -Hn).");
    let Some(fits) = fits else {
        return Err(Failure::new(Fault::ConfigInvalid)
            .at("limits.connections")
            .remedy(raise)
            .because(format!("the process may open only {may} files")));
    };
    config.limits.connections = fits;
    Ok(Some(format!(
        "This process may open only {may} files, so it accepts {fits} connections instead of {wanted}. {raise}"
    )))
}

/// Raises the soft limit to the hard one. Returns the limit that holds then; `None` when there is none.
fn raised() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    match before.current == before.maximum || setrlimit(Resource::Nofile, wanted).is_ok() {
        true => before.maximum,
        false => before.current,
    }
}

/// How many of the `wanted` connections fit beside `others` when the process may open `may` files; `None` when there are too few.
fn fitting(may: Option<u64>, wanted: usize, others: u64) -> Option<usize> {
    let Some(may) = may else { return Some(wanted) };
    let left = may.saturating_sub(others);
    match usize::try_from(left) {
        Ok(left) if left < wanted => (left as u64 >= LEAST).then_some(left),
        _ => Some(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_b07_no_more_connections_are_taken_than_files_may_be_open() {
        for (may, wanted, fits) in [
            (None, 4096, Some(4096)),
            (Some(16_384), 4096, Some(4096)),
            (Some(4096 + 600), 4096, Some(4096)),
            (Some(4096), 4096, Some(3496)),
            (Some(1024), 4096, Some(424)),
            (Some(663), 4096, None),
            (Some(256), 16, None),
        ] {
            assert_eq!(fitting(may, wanted, 600), fits, "{may:?} {wanted}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let may = raised();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.maximum), (may, may));
    }

    #[test]
    fn a_configuration_that_fits_stays_as_it_is() {
        let mut config = Config::load(None, []).expect("defaults");
        let before = config.limits.connections;
        let told = prepare(&mut config).expect("enough files");
        assert_eq!(told.is_none(), config.limits.connections == before);
    }
}
