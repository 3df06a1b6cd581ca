//! The DNS node: what it listens to, where its zones lie, and the policies that decide the addresses of names.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::default;
use super::node::Access;
use super::value::{AbsolutePath, Name, Period, Token, UrlPath};
use crate::health::HealthSpec;
use crate::model::MAX_WEIGHT;

/// The most addresses of one policy, and of its fallback: as many as an answer may have.
pub const MAX_DNS_ADDRESSES: usize = crate::dns::answer::MAX_ADDRESSES;

/// The most TCP connections of clients that may be allowed: each costs a descriptor and some KiB.
pub const MAX_DNS_CONNECTIONS: u16 = 65535;

/// What nodes with the role `dns` do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Dns {
    /// Addresses and ports that queries come to, UDP and TCP; `[::]` takes IPv4 as well. Port 0: any free one.
    #[serde(deserialize_with = "super::value::endpoints")]
    #[schemars(with = "Vec<super::value::Endpoint>")]
    pub listen: Vec<SocketAddr>,
    /// Directory of zone files, each named after its zone: `example.org` or `example.org.zone`. `weir reload` reads it again, all
    /// zones or none.
    pub zones: AbsolutePath,
    /// Which server this is: the answer to NSID, and to `id.server` in class CHAOS. Empty: the name of the node. `"off"`: neither is
    /// answered.
    pub identity: String,
    /// The answer to `version.bind` in class CHAOS. Empty: refused.
    pub version: String,
    /// The largest answer over UDP, bytes; what does not fit comes over TCP.
    #[serde(deserialize_with = "super::value::within::<_, _, 512, 4096>")]
    #[schemars(range(min = 512, max = 4096))]
    pub udp_size: u16,
    /// Whether clients may prove their address by cookies (RFC 7873), which are then not counted by `rate-limit`. The secret is
    /// `dns-cookie` in `paths.state`: 32 hexadecimal digits, made at the first start; give nodes that share an address the same one.
    pub cookies: bool,
    /// Whether policies are told the client's network that a resolver sends along (RFC 7871). `false`: they are told of the resolver, and
    /// it is answered as if it had sent none.
    pub client_subnet: bool,
    /// Where one JSON line for each query goes: `"stdout"`, `"off"` or a file.
    pub query_log: Access,
    /// How many answers over UDP one client network may have.
    pub rate_limit: RateLimit,
    /// Queries over TCP.
    pub tcp: DnsTcp,
    /// Queries over encrypted connections. Absent: none.
    pub tls: Option<DnsTls>,
    /// A file in which people and programs say which addresses are down.
    pub state_file: StateFile,
    /// A database of networks, by which policies are told where clients are. Absent: they are not.
    pub geography: Option<Geography>,
    /// Who decides the addresses of names: `_policy.www TXT "web"` in a zone file hands the name `www` to the policy `web`.
    pub policies: BTreeMap<Name, DnsPolicy>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            listen: vec![default::DNS_LISTEN],
            zones: AbsolutePath::fixed(default::ZONES_DIRECTORY),
            identity: String::new(),
            version: String::new(),
            udp_size: crate::dns::answer::UDP_SIZE,
            cookies: true,
            client_subnet: true,
            query_log: Access::Off,
            rate_limit: RateLimit::default(),
            tcp: DnsTcp::default(),
            tls: None,
            state_file: StateFile::default(),
            geography: None,
            policies: BTreeMap::new(),
        }
    }
}

/// How many answers over UDP one client network (/24, /56) may have from the whole node, so that nobody is flooded in another's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RateLimit {
    /// Answers a second of one kind (data, no such name, referral, error). 0: no limit.
    #[serde(deserialize_with = "super::value::within::<_, _, 0, 1000000>")]
    #[schemars(range(max = 1_000_000))]
    pub per_second: u32,
    /// How many seconds' worth a network that was silent may have at once.
    #[serde(deserialize_with = "super::value::within::<_, _, 1, 3600>")]
    #[schemars(range(min = 1, max = 3600))]
    pub burst: u32,
    /// Every so-many-th answer over the limit says "come back over TCP" instead of nothing. 0: none does.
    #[serde(deserialize_with = "super::value::within::<_, _, 0, 1000>")]
    #[schemars(range(max = 1000))]
    pub slip: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        let limits = crate::dns::ratelimit::Limits::default();
        Self { per_second: limits.per_second, burst: limits.burst, slip: limits.slip }
    }
}

/// Queries over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DnsTcp {
    /// Connections at a time; over each of TLS, HTTPS and QUIC as many again. Where one more comes, the one that has been idle for longest
    /// is closed.
    #[serde(deserialize_with = "super::value::within::<_, _, 1, { MAX_DNS_CONNECTIONS as u64 }>")]
    #[schemars(range(min = 1))]
    pub connections: u16,
    /// How long a connection without a query is kept, over TLS, HTTPS and QUIC too.
    pub idle: Period,
}

impl Default for DnsTcp {
    fn default() -> Self {
        Self { connections: default::DNS_CONNECTIONS, idle: default::DNS_IDLE }
    }
}

/// Queries over encrypted connections: over TLS (RFC 7858), over HTTPS (RFC 8484, HTTP/2), over QUIC (RFC 9250).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DnsTls {
    /// The certificate, and behind it those that vouch for it, in PEM. `weir reload` reads both files again; connections that are open
    /// keep the one they began with.
    pub certificate: AbsolutePath,
    /// The key of the certificate in PEM: PKCS#8, SEC1 or PKCS#1.
    pub key: AbsolutePath,
    /// Addresses and ports for queries over TLS. Port 0: any free one.
    #[serde(default = "tls_listen", deserialize_with = "super::value::endpoints")]
    #[schemars(with = "Vec<super::value::Endpoint>")]
    pub listen: Vec<SocketAddr>,
    /// Addresses and ports for queries over HTTPS, such as `"[::]:443"`.
    #[serde(default, deserialize_with = "super::value::endpoints")]
    #[schemars(with = "Vec<super::value::Endpoint>")]
    pub https: Vec<SocketAddr>,
    /// The path of queries over HTTPS; elsewhere nothing is found.
    #[serde(default = "https_path")]
    pub https_path: UrlPath,
    /// Addresses and ports for queries over QUIC, such as `"[::]:853"`: UDP, so `listen` may have the same.
    #[serde(default, deserialize_with = "super::value::endpoints")]
    #[schemars(with = "Vec<super::value::Endpoint>")]
    pub quic: Vec<SocketAddr>,
}

fn tls_listen() -> Vec<SocketAddr> {
    vec![default::DNS_TLS_LISTEN]
}

fn https_path() -> UrlPath {
    UrlPath::fixed(default::DNS_HTTPS_PATH)
}

/// A database of networks in MaxMind's form (`.mmdb`): GeoLite2, GeoIP2, DB-IP's, or one of your own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Geography {
    /// The file. `weir reload` reads it again.
    pub database: AbsolutePath,
    /// The labels that plugins see of a client, and where the value of each stands in the database: names of fields and numbers of
    /// a list's elements, with dots between. At most 32. Where the database has no such value, the client has no such label.
    #[serde(default = "Geography::usual_labels")]
    pub labels: BTreeMap<String, String>,
}

impl Geography {
    /// Where MaxMind's own databases have what most people ask for.
    pub fn usual_labels() -> BTreeMap<String, String> {
        let usual = [
            ("asn", "autonomous_system_number"),
            ("city", "city.names.en"),
            ("continent", "continent.code"),
            ("country", "country.iso_code"),
            ("region", "subdivisions.0.iso_code"),
        ];
        usual.into_iter().map(|(label, place)| (label.to_owned(), place.to_owned())).collect()
    }
}

/// The state file, in the form of gdnsd's `extfile`: lines such as `198.51.100.1 => DOWN`, `2001:db8::* => UP` or `192.0.2.1 => DOWN/17`,
/// where 17 is a TTL. The last line that fits an address counts. A file that is not there when the node starts, or when `path` changes, is
/// an empty one. One that vanishes later is a fault that `weir status` shows, and what it said stays in force: to take it back, empty it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct StateFile {
    /// Where it lies. It is looked at several times a second.
    pub path: AbsolutePath,
    /// What an address is that the file does not name.
    pub unlisted: Unlisted,
}

impl Default for StateFile {
    fn default() -> Self {
        Self { path: AbsolutePath::fixed(default::DNS_STATE_FILE), unlisted: Unlisted::Up }
    }
}

/// What an address is that the state file does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unlisted {
    /// What its checks say.
    Up,
    /// Down.
    Down,
}

/// A policy: the addresses that a name may have, how their health is known, and who chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DnsPolicy {
    /// The plugin instance that chooses, by its name in `plugins`. Absent: all addresses that are up, in turn; those of weight 0 only
    /// where no other is.
    pub plugin: Option<Name>,
    /// Health check of each address. Absent: none, an address counts as up. `port` must be written for `"tcp"`, and is 80 for `"http"`
    /// where it is not.
    pub check: Option<Check>,
    /// The header of the answer to the check in which an address says its load, for plugins that shed it: `0.42` or `42%`, full at most.
    /// A load that the answers of `fall` checks in a row did not say is forgotten. Absent: nobody says a load.
    pub load_header: Option<Token>,
    /// What is answered while no address of the type that is asked for is up.
    #[serde(default)]
    pub all_down: AllDown,
    /// The addresses for `all-down = "fallback"`.
    #[serde(default, deserialize_with = "super::value::addresses")]
    #[schemars(with = "Vec<super::value::Address>")]
    pub fallback: Vec<IpAddr>,
    /// The lowest TTL of an answer. Within the bounds the TTL is the time that it takes to notice a change.
    #[serde(default = "min_ttl")]
    pub min_ttl: Period,
    /// The highest TTL of an answer. The TTL of the `_policy` record is a limit too.
    #[serde(default = "max_ttl")]
    pub max_ttl: Period,
    /// The addresses, at least one, of both families. A query is answered with those of its type.
    pub addresses: Vec<DnsAddress>,
}

impl DnsPolicy {
    /// All that the health machine of one of its addresses is told.
    pub fn health(&self, address: &DnsAddress) -> HealthSpec {
        HealthSpec {
            // A weight of 0 is for when nothing else is up; it is no drain, as it would be with a server.
            weight: address.weight.max(1),
            check: self.check.as_ref().map(Check::timing),
            ..HealthSpec::default()
        }
    }
}

fn min_ttl() -> Period {
    default::DNS_MIN_TTL
}

fn max_ttl() -> Period {
    default::DNS_MAX_TTL
}

/// What is answered while no address is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AllDown {
    /// All addresses: a server that may answer beats none.
    #[default]
    All,
    /// Those in `fallback`.
    Fallback,
    /// The name exists and has no address.
    NoData,
}

/// An address that a name may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DnsAddress {
    /// An IPv4 or IPv6 address, such as `"198.51.100.1"`.
    #[serde(deserialize_with = "super::value::address")]
    #[schemars(with = "super::value::Address")]
    pub address: IpAddr,
    /// Its share of the answers, for plugins that weigh. 0: for when nothing else is up.
    #[serde(default = "weight", deserialize_with = "super::value::within::<_, _, 0, { MAX_WEIGHT as u64 }>")]
    #[schemars(range(max = MAX_WEIGHT))]
    pub weight: u16,
    /// Pairs that a plugin may read, such as `site = "fra1"`: at most 32, each side at most 256 bytes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn weight() -> u16 {
    default::WEIGHT
}
