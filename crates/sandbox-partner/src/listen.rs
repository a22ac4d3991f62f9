//! The rule of loopback: every listener of the sandbox is on this machine, or there is none.

use crate::error::SandboxError;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// Parses `address:port`, where the address is one of this machine or `localhost`; `at` names the key in the error.
///
/// # Errors
/// [`SandboxError::NotLoopback`] for every other address, and for every other name, whatever it would resolve to.
pub(crate) fn loopback(at: &str, text: &str) -> Result<SocketAddr, SandboxError> {
    let refused = || SandboxError::NotLoopback {
        at: at.to_owned(),
        address: text
            .strip_suffix(":0")
            .filter(|_| at == "host")
            .unwrap_or(text)
            .to_owned(),
    };
    let address = match text.strip_prefix("localhost:") {
        Some(port) => {
            let port = port.parse().map_err(|_| refused())?;
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
        }
        None => text.parse().map_err(|_| refused())?,
    };
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(refused())
    }
}

/// Listens on a loopback address.
///
/// # Errors
/// As [`loopback`]; [`SandboxError::Listen`] when the address is taken.
pub(crate) fn listen(at: &str, text: &str) -> Result<TcpListener, SandboxError> {
    let address = loopback(at, text)?;
    let failed = |error: std::io::Error| SandboxError::Listen(format!("{at}: {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(failed)?;
    // What the operating system says counts, not what was asked for.
    let bound = listener.local_addr().map_err(failed)?;
    if !bound.ip().is_loopback() {
        return Err(SandboxError::NotLoopback {
            at: at.to_owned(),
            address: bound.to_string(),
        });
    }
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_listened_on() {
        for good in ["127.0.0.1:0", "127.9.9.9:80", "[::1]:0", "localhost:8443"] {
            assert!(loopback("listen", good).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0:0",
            "[::]:0",
            "192.168.1.4:80",
            "10.0.0.1:80",
            "[::ffff:127.0.0.1]:80",
            "[::ffff:10.0.0.1]:80",
            "example.com:80",
            "127.0.0.1",
            ":80",
            "",
            "localhost.example.com:1",
            "[fe80::1]:80",
        ] {
            let refused = loopback("listen", bad).expect_err(bad);
            assert!(matches!(refused, SandboxError::NotLoopback { .. }), "{bad}: {refused}");
        }
    }
}
