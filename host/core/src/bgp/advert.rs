//! What is to be announced: said once for all neighbors, made into attributes for each of them.

use std::collections::BTreeMap;

use super::attributes::{Attributes, Community, LargeCommunity, NextHop, Origin, link_bandwidth};
use super::message::{Family, Prefix};
use super::{NextHops, Settings};

/// Communities of an advert at most, of all kinds together: attributes then never fill a message of 4096 bytes.
pub const MAX_COMMUNITIES: usize = 100;
/// Own AS numbers in front of a path at most.
const MAX_PREPEND: u8 = 32;
/// `LOCAL_PREF` where nothing is said, as everybody has it.
const LOCAL_PREFERENCE: u32 = 100;

/// How a prefix is announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Metric {
    med: Option<u32>,
    local_preference: Option<u32>,
}

/// A prefix, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advert {
    prefix: Prefix,
    metric: Metric,
    prepend: u8,
    communities: Vec<Community>,
    large_communities: Vec<LargeCommunity>,
    /// Bytes per second. An integer, so that adverts compare.
    bandwidth: Option<u64>,
}

/// What is wrong with a set of adverts: the configuration is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdvertError {
    /// The same prefix twice.
    #[error("{0} is announced twice; name it once")]
    Twice(Prefix),
    /// More than [`MAX_COMMUNITIES`].
    #[error("{0} has {1} communities, more than {MAX_COMMUNITIES}; name fewer")]
    Communities(Prefix, usize),
    /// More than 32.
    #[error("{0} is prepended {1} times, more than {MAX_PREPEND}; name a smaller number")]
    Prepend(Prefix, u8),
}

impl Advert {
    /// Announced plainly.
    pub const fn of(prefix: Prefix) -> Self {
        Self {
            prefix,
            metric: Metric { med: None, local_preference: None },
            prepend: 0,
            communities: Vec::new(),
            large_communities: Vec::new(),
            bandwidth: None,
        }
    }

    /// Of what.
    pub const fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// With this `MULTI_EXIT_DISC`: smaller is preferred.
    #[must_use]
    pub const fn med(mut self, med: u32) -> Self {
        self.metric.med = Some(med);
        self
    }

    /// With this `LOCAL_PREF` instead of 100; only neighbors in the same AS are told.
    #[must_use]
    pub const fn local_preference(mut self, preference: u32) -> Self {
        self.metric.local_preference = Some(preference);
        self
    }

    /// With our AS number so many times more in the path; only neighbors in other AS are told.
    #[must_use]
    pub const fn prepend(mut self, times: u8) -> Self {
        self.prepend = times;
        self
    }

    /// With these communities. Order and repetition say nothing.
    #[must_use]
    pub fn communities(mut self, communities: impl IntoIterator<Item = Community>) -> Self {
        self.communities.extend(communities);
        self.communities.sort_unstable();
        self.communities.dedup();
        self
    }

    /// With these large communities.
    #[must_use]
    pub fn large_communities(mut self, communities: impl IntoIterator<Item = LargeCommunity>) -> Self {
        self.large_communities.extend(communities);
        self.large_communities.sort_unstable();
        self.large_communities.dedup();
        self
    }

    /// With this capacity, for routers that share traffic in proportion.
    #[must_use]
    pub const fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bandwidth = Some(bytes_per_second);
        self
    }

    fn fade(mut self) -> Self {
        // Neighbors that know the community prefer other paths; in our own AS the smallest preference does it for all.
        self.metric.local_preference = Some(0);
        self.communities([Community::GRACEFUL_SHUTDOWN])
    }

    fn attributes(&self, settings: &Settings, next_hop: NextHop) -> Attributes {
        let internal = settings.is_internal();
        let path = if internal { 0 } else { 1 + usize::from(self.prepend) };
        let bandwidth = self.bandwidth.map(|bytes| link_bandwidth(settings.local_as, bytes as f32));
        Attributes {
            origin: Origin::Igp,
            as_path: vec![settings.local_as; path],
            next_hop,
            med: self.metric.med,
            local_preference: internal.then_some(self.metric.local_preference.unwrap_or(LOCAL_PREFERENCE)),
            communities: self.communities.clone(),
            large_communities: self.large_communities.clone(),
            extended_communities: bandwidth.into_iter().collect(),
        }
    }
}

/// The whole of what is to be announced; what is not in it is withdrawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adverts(BTreeMap<Prefix, Advert>);

impl Adverts {
    /// Checks them.
    pub fn new(adverts: impl IntoIterator<Item = Advert>) -> Result<Self, AdvertError> {
        let mut all = BTreeMap::new();
        for advert in adverts {
            let prefix = advert.prefix;
            let communities = advert.communities.len() + advert.large_communities.len();
            if communities > MAX_COMMUNITIES {
                return Err(AdvertError::Communities(prefix, communities));
            }
            if advert.prepend > MAX_PREPEND {
                return Err(AdvertError::Prepend(prefix, advert.prepend));
            }
            if all.insert(prefix, advert).is_some() {
                return Err(AdvertError::Twice(prefix));
            }
        }
        Ok(Self(all))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is to be announced.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, asking for traffic to go elsewhere (RFC 8326).
    pub(super) fn fading(&self) -> Self {
        Self(self.0.iter().map(|(prefix, advert)| (*prefix, advert.clone().fade())).collect())
    }

    /// What this neighbor is told: prefixes of the families that it speaks and that have a next hop.
    pub(super) fn resolve(
        &self,
        settings: &Settings,
        families: &[Family],
        hops: NextHops,
    ) -> BTreeMap<Prefix, Attributes> {
        let hop = |family| {
            let address = match family {
                Family::Ipv4 => hops.v4.map(Into::into),
                Family::Ipv6 => hops.v6.map(Into::into),
            };
            let link_local = hops.link_local.filter(|_| family == Family::Ipv6);
            address.filter(|_| families.contains(&family)).map(|address| NextHop { address, link_local })
        };
        let told = self.0.values().filter_map(|advert| {
            hop(advert.prefix.family()).map(|next| (advert.prefix, advert.attributes(settings, next)))
        });
        told.collect()
    }
}
