//! Where a door listens: a host and a port, not yet resolved.
//!
//! In: `127.0.0.1:3200`, `[::1]:3200`, `localhost:3200`, `:3200` (all interfaces). Out: the socket
//! addresses to bind. Host names other than `localhost` are resolved when the server starts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A host and a port as written. Port 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// Why a text is not an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an address: write host and port, such as \"127.0.0.1:3200\", \"[::1]:3200\", or \
     \":3200\" for all interfaces"
)]
pub struct AddressError;

impl Address {
    pub fn localhost(port: u16) -> Self {
        Self { host: "localhost".to_owned(), port }
    }

    /// The numeric addresses to bind, or `None` for a name that must be resolved. `localhost` is
    /// both loopbacks: Node resolves it to `::1` where Python takes `127.0.0.1`.
    pub fn numeric(&self) -> Option<Vec<SocketAddr>> {
        if self.host.eq_ignore_ascii_case("localhost") {
            let loopbacks = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Some(loopbacks.map(|host| SocketAddr::new(host, self.port)).to_vec());
        }
        let host: IpAddr = self.host.parse().ok()?;
        Some(vec![SocketAddr::new(host, self.port)])
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.trim().rsplit_once(':').ok_or(AddressError)?;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError);
        }
        let port = port.parse().map_err(|_| AddressError)?;
        if host.is_empty() || host == "*" {
            return Ok(Self { host: Ipv4Addr::UNSPECIFIED.to_string(), port });
        }
        Ok(Self { host: parse_host(host)?.to_owned(), port })
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets; without brackets nobody can tell where
/// the address ends and the port begins.
fn parse_host(text: &str) -> Result<&str, AddressError> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(AddressError)?;
        return inner.parse::<Ipv6Addr>().map(|_| inner).map_err(|_| AddressError);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.chars().all(is_name) { Ok(text) } else { Err(AddressError) }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> Vec<String> {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string().parse(), Ok(address.clone()), "written and read again");
        address.numeric().unwrap_or_default().iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn hosts_become_socket_addresses() {
        assert_eq!(numeric("127.0.0.1:3200"), ["127.0.0.1:3200"]);
        assert_eq!(numeric("[::1]:4317"), ["[::1]:4317"]);
        assert_eq!(numeric("localhost:0"), ["127.0.0.1:0", "[::1]:0"]);
        assert_eq!(numeric(":4318"), ["0.0.0.0:4318"]);
        assert!(numeric("traces.example.com:80").is_empty());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "3200", "127.0.0.1", "127.0.0.1:", "a:99999", "::1:80", "[::1", "a b:1"] {
            let _: AddressError = text.parse::<Address>().unwrap_err();
        }
        assert_eq!("[::1]".parse::<Address>(), Err(AddressError));
        assert_eq!("127.0.0.1:+1".parse::<Address>(), Err(AddressError));
    }
}
