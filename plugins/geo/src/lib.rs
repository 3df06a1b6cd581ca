//! Geo: addresses of the site that is written down for where the client is.
//!
//! **When to use it.** Sites on several continents. What is known of a client comes from the node's database of networks as
//! labels (`country`, `continent`, `asn`, or whatever it has); this plugin maps their values to sites, and a site is a label of
//! an address in the fleet file. Where no site of the list has a good address, any good one is answered. IPv4 and IPv6 are
//! decided apart.
//!
//! **What it costs.** A call for the first query of each network; the answer is then repeated for that network until an
//! address changes.
//!
//! **Configuration.** Beside `ttl`, `order` (`listed`), `repeat-ms` and `none-up`:
//!
//! ```text
//! # The label of an address that names its site.
//! site = site
//! # Labels of clients, the most telling first.
//! by = country, continent
//! # For each value the sites, the best first. Values of all labels are in one map.
//! map.DE = fra1, ams1
//! map.EU = ams1, fra1
//! map.NA = nyc1
//! # For everybody else.
//! default = fra1, nyc1
//! ```

use std::collections::BTreeMap;

use weir_plugin::dns_answers::{
    A, AAAA, Address, Decision, DnsAnswers, Names, Order, Question, Settings, Sites, best,
};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The policy.
#[derive(Debug)]
pub struct Geo {
    settings: Settings,
    sites: Sites,
    names: Names<[BySite; 2]>,
}

/// The good addresses of one record type.
#[derive(Debug, Default)]
struct BySite {
    by_site: BTreeMap<String, Vec<u32>>,
    all: Vec<u32>,
}

weir_plugin::export_dns_answers!(Geo);

impl Plugin for Geo {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let settings = Settings::take(&mut config, Order::Listed)?;
        let sites = Sites::take(&mut config);
        config.finish()?;
        Ok(Self { settings, sites, names: Names::default() })
    }
}

impl DnsAnswers for Geo {
    fn update(&mut self, name: &str, addresses: &[Address]) {
        let families = [A, AAAA].map(|record_type| {
            let mut family = BySite { all: best(addresses, record_type), ..BySite::default() };
            for index in &family.all {
                let site = addresses.get(*index as usize).and_then(|address| self.sites.of(address));
                if let Some(site) = site {
                    family.by_site.entry(site.to_owned()).or_default().push(*index);
                }
            }
            family
        });
        self.names.set(name, families);
    }

    fn decide(&mut self, question: &Question) -> Decision {
        let Some([v4, v6]) = self.names.of(question) else { return Decision::Fallback };
        let family = if question.record_type == A { v4 } else { v6 };
        let mut wanted = self.sites.wanted(question);
        let chosen = wanted.find_map(|site| family.by_site.get(site)).unwrap_or(&family.all);
        if chosen.is_empty() {
            return self.settings.none_up();
        }
        self.settings.answer(chosen).for_bits(self.sites.bits(question), question).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin::State;
    use weir_plugin::harness::Zone;

    const MAP: &str = "map.DE = fra1, ams1\nmap.EU = ams1, fra1\nmap.NA = nyc1\ndefault = fra1";

    fn addresses() -> Vec<Address> {
        [("192.0.2.1", "fra1"), ("192.0.2.2", "ams1"), ("192.0.2.3", "nyc1"), ("192.0.2.4", "fra1")]
            .map(|(ip, site)| Address::up(ip).labelled("site", site))
            .to_vec()
    }

    /// The answer and its scope, for a client of these labels.
    fn ask(config: &str, down: &[usize], labels: &[(&str, &str)]) -> (Vec<String>, u8) {
        let mut zone = Zone::<Geo>::new(config).unwrap();
        let mut addresses = addresses();
        for at in down {
            addresses[*at].state = State::Down;
        }
        zone.update("www", &addresses);
        let mut question = zone.question("www", "203.0.113.0/24");
        question.client_labels = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let decision = zone.decide(&question);
        let scope = if let Decision::Answer(answer) = &decision { answer.scope } else { 0 };
        (zone.shown(&question, &decision), scope)
    }

    #[test]
    fn the_most_telling_label_that_is_written_down_decides() {
        let both = [("continent", "EU"), ("country", "DE")];
        assert_eq!(ask(MAP, &[], &both), (vec!["192.0.2.1".into(), "192.0.2.4".into()], 24));
        let other = [("continent", "EU"), ("country", "FR")];
        assert_eq!(ask(MAP, &[], &other).0, ["192.0.2.2"]);
        assert_eq!(ask(MAP, &[], &[("continent", "NA")]).0, ["192.0.2.3"]);
        let by_network = format!("{MAP}\nby = asn\nmap.64496 = nyc1");
        assert_eq!(ask(&by_network, &[], &[("country", "DE"), ("asn", "64496")]).0, ["192.0.2.3"]);
    }

    #[test]
    fn a_site_that_is_down_is_passed_over_for_the_next_one_then_the_broader_label_then_any() {
        let german = [("country", "DE"), ("continent", "EU")];
        assert_eq!(ask(MAP, &[0, 3], &german).0, ["192.0.2.2"]);
        assert_eq!(ask(MAP, &[0, 3], &[("continent", "NA")]).0, ["192.0.2.3"]);
        assert_eq!(ask(MAP, &[0, 1, 3], &german).0, ["192.0.2.3"], "any");
        assert!(ask(MAP, &[0, 1, 2, 3], &german).0.is_empty());
    }

    #[test]
    fn nobody_knows_where_is_the_default_and_without_a_map_the_answer_is_for_everybody() {
        assert_eq!(ask(MAP, &[], &[]), (vec!["192.0.2.1".into(), "192.0.2.4".into()], 24));
        assert_eq!(ask("default = nyc1", &[], &[("country", "DE")]), (vec!["192.0.2.3".into()], 0));
        assert_eq!(ask("", &[], &[]).0.len(), 4);
    }
}
