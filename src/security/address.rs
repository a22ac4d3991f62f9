//! The outbound URL guard: which URLs from outside this server may be called. Only https and public addresses are allowed, and the check is
//! on the address that is actually dialed (threats E01 and E02).
//!
//! The resolver returns only addresses that passed, so there is no second lookup between check and use.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whether the outbound URL guard allows calls to `address`.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        // The Azure host of a virtual machine, as seen from inside that machine.
        || address == Ipv4Addr::new(168, 63, 129, 16))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    // Only global unicast, except for ranges that embed an IPv4 address or are reserved for documentation or protocols.
    (0x2000..0x4000).contains(&parts[0])
        && parts[0] != 0x2002
        && !(parts[0] == 0x2001 && (parts[1] < 0x0200 || parts[1] == 0x0db8))
        && !(parts[0] == 0x3fff && parts[1] < 0x1000)
}

/// Parses a URL from outside and checks that it may be called.
///
/// `loopback` allows addresses of this machine, for tests.
///
/// # Errors
/// The reason why it may not be called, as a sentence without a full stop.
pub fn check_url(text: &str, loopback: bool) -> Result<reqwest::Url, &'static str> {
    let url = reqwest::Url::parse(text).map_err(|_| "it is not a URL")?;
    if url.scheme() != "https" {
        return Err("it is not https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name");
    }
    if url.fragment().is_some() {
        return Err("it has a fragment");
    }
    let host = url.host_str().ok_or("it has no host")?;
    let literal = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .ok();
    match literal {
        Some(address) if !allowed(address, loopback) => return Err("its address is not public"),
        None if !loopback && is_this_machine(host) => return Err("it names this machine"),
        _ => {}
    }
    if !loopback && url.port().is_some_and(|port| port < 1024 && port != 443) {
        return Err("its port belongs to another service");
    }
    Ok(url)
}

/// Domains of private networks or of one machine: those of RFC 6761, 6762, 8375 and 9476, `internal` as reserved by ICANN, and others that
/// home and company networks use.
const INNER_NAMES: [&str; 12] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "onion",
    "alt",
];

/// Like [`check_url`], for a URL that is to be registered: its host name must also be one of the public DNS. Names are not resolved here;
/// the addresses of a name are checked when it is called.
///
/// # Errors
/// As [`check_url`].
pub fn check_registered(text: &str, loopback: bool) -> Result<reqwest::Url, &'static str> {
    let url = check_url(text, loopback)?;
    let is_name = |host: &&str| !host.starts_with('[') && host.parse::<IpAddr>().is_err();
    match url.host_str().filter(is_name) {
        Some(name) if !loopback && is_inner(name) => Err("its name belongs to an internal network"),
        _ => Ok(url),
    }
}

/// Parses a URL that whoever runs this server wrote into a file, and says whether it is on this machine: only there without TLS, and everywhere
/// else a public name or address.
///
/// # Errors
/// As [`check_url`].
pub fn check_configured(text: &str) -> Result<(reqwest::Url, bool), &'static str> {
    match reqwest::Url::parse(text).ok().filter(is_on_this_machine) {
        None => check_registered(text, false).map(|url| (url, false)),
        Some(url) if !url.username().is_empty() || url.password().is_some() => Err("it has a user name"),
        Some(url) if url.fragment().is_some() => Err("it has a fragment"),
        Some(url) => Ok((url, true)),
    }
}

/// Whether a URL names this machine plainly, for HTTP with or without TLS.
pub fn is_on_this_machine(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    matches!(url.scheme(), "http" | "https") && matches!(host, "127.0.0.1" | "[::1]" | "localhost")
}

/// Whether a host name belongs to a private network. `host` is in lower case, as the URL parser returns it.
fn is_inner(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    let ends_with = |inner: &&str| name.strip_suffix(*inner).is_some_and(|rest| rest.ends_with('.'));
    !name.contains('.') || INNER_NAMES.iter().any(ends_with)
}

/// Whether a host name is one of this machine. `host` is in lower case, as the URL parser returns it.
fn is_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn allowed(address: IpAddr, loopback: bool) -> bool {
    is_public(address) || (loopback && address.is_loopback())
}

/// Resolves names to allowed addresses only.
pub struct GuardedResolver {
    /// Whether addresses of this machine may be dialed, for tests.
    pub loopback: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let loopback = self.loopback;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| allowed(address.ip(), loopback)).collect();
            if public.is_empty() {
                return Err("the name has no address that may be called".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// URLs that must not be called, each for a different reason (threat E01).
#[cfg(test)]
pub(crate) const HOSTILE: &[&str] = &[
    // Other schemes, and texts that are not URLs.
    "http://example.org/jwks",
    "file:///etc/passwd",
    "gopher://example.org/",
    "ftp://example.org/",
    "ldap://example.org/",
    "dict://example.org:11211/",
    "jar:https://example.org!/",
    "data:application/json,%7B%7D",
    "javascript:alert(1)",
    "https://",
    "https:///",
    "//example.org",
    "jwks.json",
    "",
    // This machine.
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.53/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://0/",
    "https://0.0.0.0/",
    "https://①②⑦.⓪.⓪.①/",
    "https:/127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "https://%31%32%37.0.0.1/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://x.localhost/",
    "https://ⓛocalhost/",
    "https://%6c%6fcalhost/",
    // Private networks, link-local addresses, metadata services of clouds.
    "https://10.1.2.3/",
    "https://[::ffff:10.0.0.1]/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://3232235521/",
    "https://169.254.169.254/latest/meta-data",
    "https://2852039166/latest/meta-data",
    "https://0xA9FEA9FE/latest/meta-data",
    "https://0251.0376.0251.0376/latest/meta-data",
    "https://[::ffff:169.254.169.254]/latest/meta-data",
    "https://[fd00:ec2::254]/latest/meta-data",
    "https://100.100.100.200/latest/meta-data",
    "https://168.63.129.16/machine",
    "https://100.64.0.1/",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "https://[fec0::1]/",
    // Reserved addresses.
    "https://198.18.0.1/",
    "https://192.0.0.8/",
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://192.88.99.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    // A user name, a fragment, ports of other services.
    "https://user@example.org/",
    "https://user:pw@example.org/",
    "https://example.org@127.0.0.1/",
    "https://127.0.0.1:443@example.org/",
    "https://example.org/#x",
    "https://example.org:0/",
    "https://example.org:22/",
    "https://example.org:25/",
    "https://example.org:80/",
    "https://example.org:99999/",
];

/// URLs with names of private networks, which are refused when they are registered.
#[cfg(test)]
pub(crate) const INNER: &[&str] = &[
    "https://intranet/jwks",
    "https://INTRANET./jwks",
    "https://ip6-localhost/jwks",
    "https://payer-db:8443/jwks",
    "https://printer.local/jwks",
    "https://printer.LOCAL./jwks",
    "https://metadata.google.internal/jwks",
    "https://host.docker.internal/jwks",
    "https://keys.svc.cluster.local/jwks",
    "https://router.home.arpa/jwks",
    "https://localhost.localdomain/jwks",
    "https://keys.corp/jwks",
    "https://keys.lan/jwks",
    "https://keys.home/jwks",
    "https://keys.private/jwks",
    "https://keys.intranet/jwks",
    "https://x.onion/jwks",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_e01_only_names_that_everybody_knows_are_registered() {
        for url in INNER {
            assert!(check_registered(url, false).is_err(), "{url}");
            assert!(
                check_registered(url, true).is_ok(),
                "{url}: who listens on this machine only may have partners near it"
            );
        }
        for url in [
            "https://new-payer.example/jwks",
            "https://local.example.org/jwks",
            "https://internal.health/jwks",
            "https://8.8.8.8/jwks",
            "https://[2606:4700::1111]/jwks",
            "https://notlocal.com./jwks",
        ] {
            assert!(check_registered(url, false).is_ok(), "{url}");
        }
    }

    #[test]
    fn t_e01_only_public_https_is_called() {
        for bad in HOSTILE {
            assert!(check_url(bad, false).is_err(), "{bad}");
        }
        for good in [
            "https://example.org/jwks",
            "https://example.org:8443/a?b=c",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
        ] {
            assert!(check_url(good, false).is_ok(), "{good}");
        }
        assert!(check_url("https://127.0.0.1:9/", true).is_ok() && check_url("https://10.0.0.1/", true).is_err());
    }

    #[tokio::test]
    async fn t_e02_the_resolver_gives_out_no_private_address() {
        let name = || "localhost".parse::<Name>().expect("name");
        assert!(GuardedResolver { loopback: false }.resolve(name()).await.is_err());
        assert!(GuardedResolver { loopback: true }.resolve(name()).await.is_ok());
    }
}
