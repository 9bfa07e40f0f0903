//! Where a node's API is, as people write it: an address or a host name, with a port or without.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use quorate_core::config::API_PORT;
use serde::{Deserialize, Serialize};

/// Why a text is no [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Q1751 {text:?} is no address; nothing was done; write 10.0.0.1, [fd00::1]:8500 or a name")]
pub struct PlaceError {
    text: String,
}

/// A host and a port. What a name stands for is looked up at each use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    host: String,
    port: u16,
}

impl Place {
    /// Every address that the host has; never none.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        match found.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            false => Ok(found),
        }
    }

    /// The address, if it is written as one.
    pub fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse().ok()?, self.port))
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Place, PlaceError> {
        let wrong = || PlaceError { text: text.to_owned() };
        if let Some(host) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let host = host.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string();
            return Ok(Place { host, port: API_PORT });
        }
        if let Ok(at) = text.parse::<SocketAddr>() {
            if at.port() == 0 {
                return Err(wrong());
            }
            return Ok(Place { host: at.ip().to_string(), port: at.port() });
        }
        if let Ok(host) = text.parse::<IpAddr>() {
            return Ok(Place { host: host.to_string(), port: API_PORT });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (text, API_PORT),
        };
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name_byte) || port == 0 {
            return Err(wrong());
        }
        Ok(Place { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for Place {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Place, PlaceError> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        place.to_string()
    }
}

impl From<SocketAddr> for Place {
    fn from(at: SocketAddr) -> Place {
        Place { host: at.ip().to_string(), port: at.port() }
    }
}

/// The shortest text that is read as the same place.
impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = self.host.parse::<Ipv6Addr>().is_ok();
        match (self.port, is_v6) {
            (API_PORT, _) => out.write_str(&self.host),
            (port, true) => write!(out, "[{}]:{port}", self.host),
            (port, false) => write!(out, "{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_shown() {
        for (text, shown) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:8500", "10.0.0.1"),
            ("10.0.0.1:9", "10.0.0.1:9"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:9", "[::1]:9"),
            ("db-1.example", "db-1.example"),
            ("localhost:9", "localhost:9"),
        ] {
            let place: Place = text.parse().expect(text);
            assert_eq!(place.to_string(), shown);
            assert_eq!(shown.parse(), Ok(place));
        }
        for wrong in [
            "",
            ":9",
            "a b",
            "a:0",
            "a:b",
            "a:1:2",
            "10.0.0.1:70000",
            "10.0.0.1:0",
            "[a]",
            "http://a",
        ] {
            let refused = wrong.parse::<Place>().expect_err(wrong).to_string();
            assert!(refused.starts_with(&format!("Q1751 {wrong:?} is no address;")), "{refused}");
        }
    }

    #[test]
    fn a_name_is_looked_up() {
        let place: Place = "localhost:9".parse().expect("a name");
        let found = place.resolve().expect("every machine knows it");
        assert!(found.iter().all(|at| at.ip().is_loopback() && at.port() == 9), "{found:?}");
    }
}
