//! The PROXY protocol, version 2, as a balancer writes it before the first byte of TLS (haproxy.org, proxy-protocol.txt, section 2.2).
//!
//! Only headers from configured balancers are read; from any other peer such a header is broken TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The first bytes of every header.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Length of the fixed part in bytes.
const FIXED: usize = 16;
/// Longest variable part that is accepted, in bytes: addresses, and the extensions (TLVs) that balancers add, which are skipped.
const REST_MAX: usize = 2048;

/// Whose address a header contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxiedClient {
    /// The address of the client that the balancer serves.
    Client(SocketAddr),
    /// The balancer itself, as in its health checks.
    Balancer,
}

/// The fixed part: whether the header is about a client, the address family, and the length of the variable part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fixed {
    is_client: bool,
    family: u8,
    rest: usize,
}

fn fixed(bytes: &[u8; FIXED]) -> Option<Fixed> {
    let (signature, fields) = bytes.split_at(SIGNATURE.len());
    let [version_command, family, high, low] = fields else {
        return None;
    };
    let rest = usize::from(u16::from_be_bytes([*high, *low]));
    let is_client = match version_command {
        0x20 => false,
        0x21 => true,
        _ => return None,
    };
    (signature == SIGNATURE && rest <= REST_MAX).then_some(Fixed {
        is_client,
        family: *family,
        rest,
    })
}

fn source(fixed: Fixed, rest: &[u8]) -> Option<ProxiedClient> {
    if !fixed.is_client {
        return Some(ProxiedClient::Balancer);
    }
    // Source address, destination address, source port, destination port; only TCP is supported here.
    match fixed.family {
        0x11 => {
            let address: [u8; 4] = rest.get(..4)?.try_into().ok()?;
            let port = port_at(rest, 8)?;
            Some(ProxiedClient::Client(
                (IpAddr::from(Ipv4Addr::from(address)), port).into(),
            ))
        }
        0x21 => {
            let address: [u8; 16] = rest.get(..16)?.try_into().ok()?;
            let port = port_at(rest, 32)?;
            let address = Ipv6Addr::from(address).to_canonical();
            Some(ProxiedClient::Client((address, port).into()))
        }
        _ => None,
    }
}

/// The source port; `None` when the two ports are not complete.
fn port_at(rest: &[u8], at: usize) -> Option<u16> {
    let ports = rest.get(at..at + 4)?;
    Some(u16::from_be_bytes([ports[0], ports[1]]))
}

/// Reads one header from the start of a connection, and no byte beyond it.
///
/// # Errors
/// `InvalidData` when there is no header that can be used; those of the socket.
pub async fn read(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<ProxiedClient> {
    let mut head = [0; FIXED];
    socket.read_exact(&mut head).await?;
    let fixed = fixed(&head).ok_or(io::ErrorKind::InvalidData)?;
    let mut rest = vec![0; fixed.rest];
    socket.read_exact(&mut rest).await?;
    source(fixed, &rest).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header as a balancer writes it, with `extensions` after its addresses.
    fn header(command: u8, client: SocketAddr, extensions: &[u8]) -> Vec<u8> {
        let (family, addresses) = match client.ip() {
            IpAddr::V4(ip) => (0x11, [&ip.octets()[..], &[192, 0, 2, 1]].concat()),
            IpAddr::V6(ip) => (0x21, [&ip.octets()[..], &[0; 16]].concat()),
        };
        let ports = [client.port().to_be_bytes(), 443u16.to_be_bytes()].concat();
        let rest = [&addresses[..], &ports, extensions].concat();
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, &rest].concat()
    }

    fn read_all(bytes: &[u8]) -> (io::Result<ProxiedClient>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let mut left = bytes;
        let source = runtime.block_on(read(&mut left));
        (source, left.len())
    }

    #[test]
    fn the_balancers_own_connections_are_the_balancers() {
        let local = [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat();
        assert_eq!(read_all(&local).0.expect("a header"), ProxiedClient::Balancer);
        let with_address = header(0x20, "192.0.2.9:1".parse().expect("an address"), &[]);
        assert_eq!(read_all(&with_address).0.expect("a header"), ProxiedClient::Balancer);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let client = "192.0.2.9:1".parse().expect("an address");
        let good = header(0x21, client, &[]);
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            bytes
        };
        for bytes in [
            b"PROXY TCP4 192.0.2.9 192.0.2.1 1 443\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00".to_vec(),
            changed(0, 0),
            changed(12, 0x11),
            changed(12, 0x22),
            changed(13, 0x12),
            changed(13, 0x31),
            changed(13, 0x00),
            changed(14, 0xff),
            changed(15, 11),
            good[..good.len() - 1].to_vec(),
            Vec::new(),
        ] {
            assert!(read_all(&bytes).0.is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_balancer_writes_is_read_to_its_last_byte_and_not_further(
            v6 in any::<bool>(), ip in any::<u128>(), port in any::<u16>(),
            extensions in proptest::collection::vec(any::<u8>(), 0..300), tls in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let ip = if v6 { IpAddr::from(Ipv6Addr::from(ip)) } else { IpAddr::from(Ipv4Addr::from(ip as u32)) };
            let bytes = [header(0x21, (ip, port).into(), &extensions), tls.clone()].concat();
            let (source, left) = read_all(&bytes);
            prop_assert_eq!(source.expect("a header"), ProxiedClient::Client((ip.to_canonical(), port).into()));
            prop_assert_eq!(left, tls.len());
        }

        #[test]
        fn any_bytes_are_read_or_refused(begins_well in any::<bool>(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = if begins_well { [&SIGNATURE[..], &bytes].concat() } else { bytes };
            let _ = read_all(&bytes);
        }
    }
}
