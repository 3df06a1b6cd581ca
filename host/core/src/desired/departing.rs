//! What a node goes on serving for a while though nobody wants it any more: routers still send there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Desired;
use crate::ipvs::Key;

impl Desired {
    /// The addresses of `before` that are not wanted any more.
    pub fn gone_since(&self, before: &Self) -> BTreeSet<IpAddr> {
        let stays: BTreeSet<IpAddr> = self.addresses.iter().map(|address| address.0).collect();
        before.addresses.iter().map(|address| address.0).filter(|address| !stays.contains(address)).collect()
    }

    /// This, and beside it what `before` has at these addresses.
    #[must_use]
    pub fn with_departing(&self, before: &Self, addresses: &BTreeSet<IpAddr>) -> Self {
        let mut with = self.clone();
        let departing = before.addresses.iter().filter(|address| addresses.contains(&address.0));
        with.addresses.extend(departing.copied());
        for service in before.ipvs.table.iter() {
            if matches!(&service.key, Key::Address { address, .. } if addresses.contains(address)) {
                // It was let in before, and nothing has taken its place.
                let _ = with.ipvs.table.put(service.clone());
            }
        }
        with
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::ServiceAddress;
    use crate::ipvs::{Service, Settings, Table, Wanted};

    fn serving(services: &[&str]) -> Desired {
        let keys = services.iter().map(|service| Key::tcp(service.parse().unwrap()));
        let table = Table::of(keys.map(|key| Service {
            key,
            settings: Settings::maglev(),
            destinations: Vec::new(),
        }));
        let addresses: BTreeSet<IpAddr> =
            services.iter().map(|service| service.parse::<std::net::SocketAddr>().unwrap().ip()).collect();
        Desired {
            addresses: addresses.into_iter().map(ServiceAddress).collect(),
            ipvs: Wanted { table: table.unwrap(), ..Wanted::default() },
            ..Desired::default()
        }
    }

    #[test]
    fn an_address_that_goes_takes_its_services_with_it_and_a_port_that_goes_does_not_come_back() {
        let before = serving(&["198.51.100.1:80", "198.51.100.1:443", "198.51.100.2:80", "198.51.100.2:443"]);
        let after = serving(&["198.51.100.1:80"]);
        let gone = after.gone_since(&before);
        assert_eq!(gone, ["198.51.100.2".parse().unwrap()].into());
        let both = after.with_departing(&before, &gone);
        assert_eq!(both, serving(&["198.51.100.1:80", "198.51.100.2:80", "198.51.100.2:443"]));
        assert_eq!(both.check(), Ok(()));
        assert!(before.gone_since(&after).is_empty());
    }
}
