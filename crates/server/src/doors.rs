//! The ports of the server, bound before anything else is done.
//!
//! In: the addresses of the configuration. Out: listeners, or an error that names the port, who is
//! asked to give way, and the flag. Binding early means that a second server fails before it has
//! replayed anything, and that clients wait in the queue of the socket instead of being refused.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, lookup_host};

use crate::config::Config;
use crate::config::address::Address;

/// The listeners of one door; `localhost` has two.
#[derive(Debug)]
pub struct Door {
    pub listeners: Vec<TcpListener>,
    /// The first listener's address, with the port the system chose if it was asked to.
    pub address: SocketAddr,
}

/// All that the server listens on.
#[derive(Debug)]
pub struct Doors {
    pub http: Door,
    pub otlp_grpc: Door,
    pub otlp_http: Door,
}

/// Where the server listens, with the ports that the system chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub http: SocketAddr,
    pub otlp_grpc: SocketAddr,
    pub otlp_http: SocketAddr,
}

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error(
        "port {port} of {host} is in use: stop what listens there, or choose another address with \
         {flag}"
    )]
    InUse { host: String, port: u16, flag: &'static str },
    #[error("cannot listen on {address}: {error}; choose another address with {flag}")]
    Bind { address: SocketAddr, flag: &'static str, error: io::Error },
    #[error("cannot resolve `{host}`: {reason}; choose another address with {flag}")]
    Resolve { host: String, flag: &'static str, reason: String },
}

/// Binds every port of the configuration, or none.
pub async fn open(config: &Config) -> Result<Doors, DoorError> {
    Ok(Doors {
        http: open_door(&config.server.http, "--http").await?,
        otlp_grpc: open_door(&config.otlp.grpc, "--otlp-grpc").await?,
        otlp_http: open_door(&config.otlp.http, "--otlp-http").await?,
    })
}

async fn open_door(address: &Address, flag: &'static str) -> Result<Door, DoorError> {
    let addresses = resolve(address, flag).await?;
    let Some((&first, others)) = addresses.split_first() else {
        let reason = "it has no address".to_owned();
        return Err(DoorError::Resolve { host: address.host.clone(), flag, reason });
    };
    let listener = bind(first, flag).await?;
    let address = listener.local_addr().map_err(|error| refused(first, flag, error))?;
    let mut listeners = vec![listener];
    for other in others {
        let other = SocketAddr::new(other.ip(), address.port());
        match bind(other, flag).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if may_miss(first, &error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Door { listeners, address })
}

/// `::1` beside `127.0.0.1` is a courtesy: a machine may have no IPv6, and a port that the system
/// chose for one may be taken on the other.
fn may_miss(first: SocketAddr, error: &DoorError) -> bool {
    match error {
        DoorError::Bind { .. } => true,
        DoorError::InUse { .. } => first.port() == 0,
        DoorError::Resolve { .. } => false,
    }
}

async fn resolve(address: &Address, flag: &'static str) -> Result<Vec<SocketAddr>, DoorError> {
    if let Some(addresses) = address.numeric() {
        return Ok(addresses);
    }
    match lookup_host((address.host.as_str(), address.port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => {
            let (host, reason) = (address.host.clone(), error.to_string());
            Err(DoorError::Resolve { host, flag, reason })
        }
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, DoorError> {
    TcpListener::bind(address).await.map_err(|error| refused(address, flag, error))
}

fn refused(address: SocketAddr, flag: &'static str, error: io::Error) -> DoorError {
    if error.kind() == ErrorKind::AddrInUse {
        return DoorError::InUse { host: address.ip().to_string(), port: address.port(), flag };
    }
    DoorError::Bind { address, flag, error }
}

impl Doors {
    pub fn addresses(&self) -> Addresses {
        Addresses {
            http: self.http.address,
            otlp_grpc: self.otlp_grpc.address,
            otlp_http: self.otlp_http.address,
        }
    }
}

/// Where a client on this machine reaches a door: an address such as `0.0.0.0` cannot be called,
/// its loopback can.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open_text(address: &str) -> Result<Door, DoorError> {
        open_door(&address.parse().unwrap(), "--http").await
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_flag() {
        let first = open_text("127.0.0.1:0").await.unwrap();
        let taken = first.address.to_string();
        let error = open_text(&taken).await.unwrap_err().to_string();
        let port = first.address.port();
        let expected = format!("port {port} of 127.0.0.1 is in use: stop what listens there, or ");
        assert!(error.starts_with(&expected) && error.ends_with("with --http"), "{error}");
    }

    #[tokio::test]
    async fn the_port_that_the_system_chose_is_known() {
        let door = open_text("localhost:0").await.unwrap();
        assert_ne!(door.address.port(), 0);
        for listener in &door.listeners {
            assert_eq!(listener.local_addr().unwrap().port(), door.address.port());
        }
        assert!(door.address.ip().is_loopback());
    }

    #[tokio::test]
    async fn all_interfaces_are_reached_through_loopback() {
        let door = open_text(":0").await.unwrap();
        assert!(door.address.ip().is_unspecified());
        assert_eq!(reachable(door.address).ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(reachable(door.address).port(), door.address.port());
    }

    #[tokio::test]
    async fn a_host_that_is_not_ours_is_refused() {
        let error = open_text("192.0.2.1:0").await.unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on 192.0.2.1:0: "), "{error}");
    }
}
