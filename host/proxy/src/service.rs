//! What is offered to clients: addresses, and the pool behind them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::Method;
use pingora_http::RequestHeader;
use weir_core::l4::SERVICE_HEADER;

use crate::pool::Pool;
use crate::settings::ClientTimeouts;

/// A service: some addresses with one pool behind them.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name in the fleet file.
    pub name: Arc<str>,
    /// Where clients find it. An unspecified address (`0.0.0.0`, `::`) is every address of its port that no other
    /// service has; a connection to any other address is closed.
    pub addresses: Vec<SocketAddr>,
    /// Who answers.
    pub pool: Arc<Pool>,
    /// The path that this node answers itself, `/healthcheck` by default; `None` passes everything on.
    pub healthcheck: Option<Arc<str>>,
    /// How long clients are waited for.
    pub client: ClientTimeouts,
}

impl Service {
    /// A service with `/healthcheck` and the default limits on clients.
    pub fn new(name: impl Into<Arc<str>>, addresses: Vec<SocketAddr>, pool: Arc<Pool>) -> Self {
        Self {
            name: name.into(),
            addresses,
            pool,
            healthcheck: Some("/healthcheck".into()),
            client: ClientTimeouts::default(),
        }
    }
}

/// All services of a node. Immutable; a change makes another, see [`Shards::set_services`](crate::Shards::set_services).
#[derive(Debug, Clone, Default)]
pub struct ServiceTable {
    services: Vec<Arc<Service>>,
    /// By address, and by port alone with an unspecified address; sorted. Looked up for every request, and a node
    /// has a handful: to compare is cheaper than to hash.
    by_address: Vec<(SocketAddr, usize)>,
    /// Where checks of this node come that name the service they are about.
    own: Vec<IpAddr>,
    /// What they ask for, where that is not each service's health path.
    own_path: Option<Arc<str>>,
}

/// Why services cannot be offered together. The fleet file is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Two services with one address.
    #[error("services {first} and {second} both have the address {address}; give one of them another")]
    SameAddress {
        /// The one that came first.
        first: Arc<str>,
        /// The other.
        second: Arc<str>,
        /// Their address.
        address: SocketAddr,
    },
}

impl ServiceTable {
    /// The table of these services.
    pub fn new(services: Vec<Service>) -> Result<Self, ServiceError> {
        let services: Vec<_> = services.into_iter().map(Arc::new).collect();
        let mut by_address: Vec<(SocketAddr, usize)> = Vec::new();
        for (at, service) in services.iter().enumerate() {
            for address in &service.addresses {
                let address = normal(*address);
                match by_address.binary_search_by_key(&address, |(a, _)| *a) {
                    Err(place) => by_address.insert(place, (address, at)),
                    Ok(place) => {
                        let first = by_address.get(place).map(|(_, at)| *at).filter(|first| *first != at);
                        if let Some(first) = first.and_then(|first| services.get(first)) {
                            let (first, second) = (first.name.clone(), service.name.clone());
                            return Err(ServiceError::SameAddress { first, second, address });
                        }
                    }
                }
            }
        }
        Ok(Self { services, by_address, own: Vec::new(), own_path: None })
    }

    /// The same, of a node that is asked about all its services at these addresses of its own, which some of the services have as well. Who
    /// asks names the service in a header [`SERVICE_HEADER`], and asks for the service's health path or for this one.
    #[must_use]
    pub fn asked_at(self, own: &[IpAddr], path: Option<Arc<str>>) -> Self {
        Self { own: own.iter().map(IpAddr::to_canonical).collect(), own_path: path, ..self }
    }

    /// The services, in the order they were given.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The service that a request is for, as an index into [`ServiceTable::services`]: the one at its connection's local address, unless it
    /// is a check that names another one. What is no check and names one is for nobody: services of a port are kept apart by their addresses.
    pub(crate) fn asked(&self, local: SocketAddr, head: &RequestHeader) -> Option<usize> {
        if self.own.is_empty() || !self.own.contains(&local.ip().to_canonical()) {
            return self.at(local);
        }
        let Some(name) = head.headers.get(SERVICE_HEADER) else { return self.at(local) };
        let is_asked = |service: &Service| {
            let paths = [self.own_path.as_deref(), service.healthcheck.as_deref()];
            *service.name.as_bytes() == *name.as_bytes()
                && service.addresses.iter().any(|address| address.port() == local.port())
                && paths.into_iter().flatten().any(|path| path.as_bytes() == head.raw_path())
        };
        self.services.iter().position(|service| head.method == Method::GET && is_asked(service))
    }

    /// The service at a connection's local address, as an index.
    pub(crate) fn at(&self, local: SocketAddr) -> Option<usize> {
        let find = |address: SocketAddr| {
            let place = self.by_address.binary_search_by_key(&address, |(a, _)| *a).ok()?;
            self.by_address.get(place).map(|(_, at)| *at)
        };
        let local = normal(local);
        find(local).or_else(|| find(SocketAddr::new(IpAddr::from([0u8; 16]), local.port())))
    }
}

/// One spelling for each address: IPv4 as such where a dual-stack socket shows it mapped into IPv6, `::` for both
/// unspecified addresses, no scope and flow.
pub(crate) fn normal(address: SocketAddr) -> SocketAddr {
    let ip = address.ip().to_canonical();
    let ip = if ip.is_unspecified() { IpAddr::from([0u8; 16]) } else { ip };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::PoolSettings;
    use weir_core::schedule::{Plan, View};

    fn service(name: &str, addresses: &[&str]) -> Service {
        let view = View::new(1, 1, Arc::new([]), Plan::Fallback);
        let pool = Pool::new(name, 1, PoolSettings::default(), None, view);
        Service::new(name, addresses.iter().map(|a| a.parse().unwrap()).collect(), pool)
    }

    #[test]
    fn a_mapped_address_finds_its_ipv4_service_and_another_address_finds_none() {
        let table = ServiceTable::new(vec![
            service("a", &["198.51.100.1:80", "[2001:db8::1]:80"]),
            service("b", &["198.51.100.2:80"]),
        ])
        .unwrap();
        let at = |a: &str| table.at(a.parse().unwrap());
        assert_eq!(at("[::ffff:198.51.100.2]:80"), Some(1));
        assert_eq!(at("[2001:db8::1]:80"), Some(0));
        assert_eq!(at("198.51.100.1:81"), None);
        assert_eq!(at("192.0.2.1:80"), None);
    }

    #[test]
    fn an_unspecified_address_is_every_other_address_of_its_port() {
        let table =
            ServiceTable::new(vec![service("any", &["0.0.0.0:80"]), service("one", &["192.0.2.1:80"])])
                .unwrap();
        assert_eq!(table.at("192.0.2.1:80".parse().unwrap()), Some(1));
        assert_eq!(table.at("[2001:db8::9]:80".parse().unwrap()), Some(0));
        assert_eq!(table.at("192.0.2.1:8080".parse().unwrap()), None);
    }

    #[test]
    fn a_service_is_named_at_an_address_of_the_nodes_own_and_nowhere_else() {
        let services =
            vec![service("a", &["198.51.100.1:80", "192.0.2.11:80"]), service("b", &["198.51.100.2:80"])];
        let own = ["192.0.2.11".parse().unwrap()];
        let table = ServiceTable::new(services).unwrap().asked_at(&own, Some("/all".into()));
        let asked = |at: &str, line: &str, name: Option<&'static str>| {
            let (method, path) = line.split_once(' ').unwrap();
            let mut head = RequestHeader::build(method, path.as_bytes(), None).unwrap();
            if let Some(name) = name {
                head.insert_header("Weir-Service", name).unwrap();
            }
            table.asked(at.parse().unwrap(), &head)
        };
        assert_eq!(asked("192.0.2.11:80", "GET /", None), Some(0));
        for check in ["GET /healthcheck", "GET /all"] {
            assert_eq!(asked("[::ffff:192.0.2.11]:80", check, Some("b")), Some(1));
            assert_eq!(asked("192.0.2.11:80", check, Some("c")), None, "not up for what it has not heard of");
            assert_eq!(asked("192.0.2.11:443", check, Some("b")), None);
            assert_eq!(asked("198.51.100.1:80", check, Some("b")), Some(0));
        }
        for other in ["GET /", "DELETE /healthcheck", "GET /healthcheck?all"] {
            assert_eq!(asked("192.0.2.11:80", other, Some("b")), None);
        }
    }

    #[test]
    fn an_address_belongs_to_one_service() {
        let both = vec![service("a", &["192.0.2.1:80"]), service("b", &["[::ffff:192.0.2.1]:80"])];
        assert!(matches!(ServiceTable::new(both), Err(ServiceError::SameAddress { .. })));
    }
}
