//! Who asks.

use std::net::IpAddr;

use http::HeaderMap;

use crate::hub::Role;

/// What a proxy says of whom it asks for; its own line is the last.
const FORWARDED: &str = "x-forwarded-for";

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub enum Peer {
    /// Somebody with an address, who needs a token.
    Address(IpAddr),
    /// Somebody on this machine whom a socket lets in, and who needs a token.
    Local,
    /// Somebody whom `ssh` has let in, for one repository.
    Admitted {
        /// The repository.
        repository: String,
        /// What may be done there.
        role: Role,
        /// For logs.
        name: String,
    },
}

impl Peer {
    /// Where a request comes from, if that is known. A proxy on this machine says for whom it asks; nobody else is believed.
    pub fn address(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let own = match self {
            Peer::Address(address) if address.is_loopback() => Some(*address),
            Peer::Address(address) => return Some(*address),
            Peer::Local => None,
            Peer::Admitted { .. } => return None,
        };
        let last = headers.get_all(FORWARDED).iter().next_back().and_then(|value| value.to_str().ok()?.rsplit(',').next());
        last.and_then(|last| last.trim().parse::<IpAddr>().ok()).map(|address| address.to_canonical()).or(own)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_proxy_on_this_machine_is_believed_and_nobody_else() {
        let headers =
            |values: &[&str]| values.iter().map(|value| (FORWARDED.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>();
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let (proxy, stranger) = (Peer::Address(Ipv4Addr::LOCALHOST.into()), Peer::Address(Ipv4Addr::new(10, 0, 0, 9).into()));
        let said = headers(&["203.0.113.7", "198.51.100.1, ::ffff:192.0.2.4"]);
        assert_eq!(proxy.address(&said), address("192.0.2.4"), "what comes before is the client's own word");
        assert_eq!(Peer::Local.address(&said), address("192.0.2.4"));
        assert_eq!(stranger.address(&said), address("10.0.0.9"));
        for nothing in [headers(&[]), headers(&["unknown"]), headers(&["192.0.2.4, "])] {
            assert_eq!(proxy.address(&nothing), address("127.0.0.1"));
            assert_eq!(Peer::Local.address(&nothing), None);
        }
    }
}
