//! Which sites are for whom, by what is known of where a client is.

use std::collections::BTreeMap;

use super::{Address, Question};
use crate::Config;

/// Sites by labels of clients:
///
/// ```text
/// # The label of an address that names its site.
/// site = site
/// # Labels of clients, the most telling first.
/// by = country, continent
/// # For each value the sites, the best first. Values of all labels are in one map.
/// map.DE = fra1, ams1
/// map.EU = ams1, fra1
/// # For everybody else.
/// default = fra1, nyc1
/// ```
#[derive(Debug, Clone)]
pub struct Sites {
    site: String,
    by: Vec<String>,
    map: BTreeMap<String, Vec<String>>,
    default: Vec<String>,
}

impl Sites {
    /// Takes these keys.
    pub fn take(config: &mut Config<'_>) -> Self {
        let site = config.text("site").unwrap_or("site").to_owned();
        let by = words(config.text("by").unwrap_or("country, continent"));
        let map =
            config.all("map.").into_iter().map(|(value, sites)| (value.to_owned(), words(sites))).collect();
        let default = words(config.text("default").unwrap_or_default());
        Self { site, by, map, default }
    }

    /// The site of an address.
    pub fn of<'a>(&self, address: &'a Address) -> Option<&'a str> {
        address.label(&self.site)
    }

    /// The sites for whoever asks, the best first; one may come again.
    pub fn wanted<'s>(&'s self, question: &'s Question) -> impl Iterator<Item = &'s str> {
        let wanted = self.by.iter().filter_map(|label| self.map.get(question.label(label)?)).flatten();
        wanted.chain(&self.default).map(String::as_str)
    }

    /// How many bits of the client's network that depends on: another network may be elsewhere; without a map nobody is.
    pub fn bits(&self, question: &Question) -> u8 {
        if self.map.is_empty() { 0 } else { question.client_prefix }
    }
}

/// Words between commas.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
