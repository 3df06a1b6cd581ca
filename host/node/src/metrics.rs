//! The node's numbers in the text format of Prometheus. Made from [`NodeStatus`] at each scrape, so that a number
//! is the same wherever it is read. Names follow HAProxy's exporter where it has the thing (`server`, `pool` for its `backend`).

mod network;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{Error, Write};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;
use weir_core::model::State;
use weir_wasm::CustomValue;

use crate::dns::status::AddressStatus;
use crate::l4::NODES;
use crate::status::{NodeStatus, PoolStatus, ServerStatus};

/// The text of a scrape.
pub(crate) fn encode(status: NodeStatus) -> String {
    let mut registry = Registry::with_prefix("weir");
    registry.register_collector(Box::new(Scrape(status)));
    let mut out = String::with_capacity(16 * 1024);
    if text::encode(&mut out, &registry).is_err() {
        // Writing to a string does not fail.
        let _ = writeln!(out, "# incomplete");
    }
    out
}

#[derive(Debug)]
struct Scrape(NodeStatus);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut out = Out(encoder);
        node(&mut out, &self.0)?;
        pools(&mut out, &self.0.pools)?;
        servers(&mut out, &self.0.pools)?;
        judges(&mut out, &self.0)?;
        dns(&mut out, &self.0)?;
        network::encode(&mut out, &self.0)?;
        plugins(&mut out, &self.0)
    }
}

/// One family after the other, each with a list of (labels, value).
struct Out<'a>(DescriptorEncoder<'a>);

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Out<'_> {
    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> Result<(), Error> {
        self.family(name, help, MetricType::Counter, values, |mut metric, value| {
            metric.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>)
        })
    }

    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) -> Result<(), Error> {
        self.family(name, help, MetricType::Gauge, values, |mut metric, value| metric.encode_gauge(&value))
    }

    fn family<'a, V>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (Labels<'a>, V)>,
        mut write: impl FnMut(MetricEncoder, V) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            write(family.encode_family(&escaped(&labels))?, value)?;
        }
        Ok(())
    }
}

/// Labels as the text format has them, which the library leaves to us: a quotation mark in one value would cost the whole page.
fn escaped<'a>(labels: &[(&'static str, &'a str)]) -> Vec<(&'static str, Cow<'a, str>)> {
    let escape = |value: &'a str| match value.contains(['\\', '"', '\n']) {
        false => Cow::Borrowed(value),
        true => value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n").into(),
    };
    labels.iter().map(|(name, value)| (*name, escape(value))).collect()
}

/// Gauges are floats; what is counted here is far below 2^53.
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn float(value: u64) -> f64 {
    value as f64
}

fn node(out: &mut Out, status: &NodeStatus) -> Result<(), Error> {
    let info = vec![
        ("version", status.version),
        ("node", status.node.as_str()),
        ("fleet_sha256", status.fleet.sha256.as_str()),
    ];
    out.gauges("build_info", "Always 1; what runs here, by which fleet file", [(info, 1.0)])?;
    let proxy = &status.proxy;
    let ok = f64::from(u8::from(status.fleet.last_reload_ok));
    out.gauges("uptime_seconds", "Since the node started", [(vec![], float(status.uptime_seconds))])?;
    out.gauges(
        "fleet_reload_ok",
        "Whether the last attempt to read the fleet file ended in its use",
        [(vec![], ok)],
    )?;
    out.gauges(
        "fleet_loaded_timestamp_seconds",
        "When the fleet file in force was taken in",
        [(vec![], float(status.fleet.loaded_unix))],
    )?;
    out.gauges(
        "draining",
        "1 while the node is on its way out",
        [(vec![], f64::from(u8::from(status.draining)))],
    )?;
    out.gauges(
        "agent_up",
        "Whether this node's own agent file lets it serve",
        [(vec![], f64::from(u8::from(status.agent.up)))],
    )?;
    out.counters("connections", "Client connections accepted", [(vec![], proxy.accepted)])?;
    out.gauges("connections_open", "Client connections open now", [(vec![], float(proxy.connections))])?;
    out.gauges("requests_in_flight", "Requests being served now", [(vec![], float(proxy.in_flight))])?;
    out.counters(
        "connections_misdirected",
        "Connections closed because no service has their address",
        [(vec![], proxy.misdirected)],
    )?;
    out.counters(
        "requests_answered_by_node",
        "Requests that no server saw: errors and health checks",
        [(vec![], proxy.answered)],
    )?;
    out.counters(
        "requests_malformed",
        "Connections on which something came that is no request",
        [(vec![], proxy.malformed)],
    )?;
    out.counters(
        "access_log_lines_dropped",
        "Lines lost because the log was slower than the requests, or its disk failed",
        [(vec![], proxy.log_lines_dropped)],
    )?;
    let healthy =
        status.services.iter().map(|s| (vec![("service", s.name.as_str())], f64::from(u8::from(s.healthy))));
    out.gauges("service_healthy", "What the service's healthcheck answers: 1 is 200, 0 is 503", healthy)
}

fn dns(out: &mut Out, status: &NodeStatus) -> Result<(), Error> {
    let Some(dns) = &status.dns else { return Ok(()) };
    let by = |label: &'static str, counts: &BTreeMap<&'static str, u64>| {
        counts.iter().map(move |(word, n)| (vec![(label, *word)], *n)).collect::<Vec<_>>()
    };
    out.counters("dns_queries", "DNS queries, those too that get no answer", by("transport", &dns.queries))?;
    out.counters("dns_queries_over_ipv6", "Of them, those over IPv6", [(vec![], dns.queries_over_v6)])?;
    out.counters("dns_answers", "DNS answers by response code", by("rcode", &dns.answers))?;
    out.counters("dns_answers_by_origin", "DNS answers by how they came about", by("how", &dns.how))?;
    out.counters(
        "dns_decisions",
        "What policies were asked for, by who decided: the plugin (policy), or the host",
        by("by", &dns.decisions),
    )?;
    out.counters(
        "dns_decisions_repeated",
        "Of them, those that were made earlier for the same network",
        [(vec![], dns.decisions_repeated)],
    )?;
    out.counters(
        "dns_answers_shortened",
        "DNS answers that sent the client to TCP: they did not fit, or the rate limit said so",
        [(vec![("why", "size")], dns.truncated), (vec![("why", "rate-limit")], dns.slipped)],
    )?;
    out.counters(
        "dns_answers_limited",
        "DNS answers that the rate limit held back",
        [(vec![], dns.limited)],
    )?;
    out.counters("dns_unanswerable", "What is no DNS query and got no answer", [(vec![], dns.unanswerable)])?;
    out.counters("dns_send_failed", "DNS answers that the kernel did not send", [(vec![], dns.send_failed)])?;
    out.counters("dns_connections", "DNS connections accepted", by("transport", &dns.connections))?;
    out.gauges(
        "dns_connections_open",
        "DNS connections open now",
        dns.connections_open.iter().map(|(word, n)| (vec![("transport", *word)], float(*n))),
    )?;
    out.counters(
        "dns_connections_evicted",
        "DNS connections closed since there were too many",
        by("transport", &dns.connections_evicted),
    )?;
    out.counters(
        "dns_handshakes_failed",
        "DNS connections that were to be encrypted and came to nothing",
        [(vec![], dns.handshakes_failed)],
    )?;
    out.counters(
        "dns_query_log_lines_dropped",
        "Lines of the query log that are lost",
        [(vec![], dns.log_lines_dropped)],
    )?;
    let serials = dns.zones.iter().map(|z| (vec![("zone", z.name.as_str())], f64::from(z.serial)));
    out.gauges("dns_zone_serial", "Serial number of the zone that is served", serials)?;
    let of_address = |value: fn(&AddressStatus) -> Option<f64>| {
        let policies = dns.policies.iter();
        policies.flat_map(move |policy| {
            policy.addresses.iter().filter_map(move |a| {
                let labels = vec![("policy", policy.name.as_str()), ("address", a.address.as_str())];
                Some((labels, value(a)?))
            })
        })
    };
    let up = of_address(|a| Some(f64::from(u8::from(a.state == State::Up))));
    out.gauges("dns_address_up", "Whether an address may be answered", up)?;
    let load = of_address(|a| a.load.map(f64::from));
    out.gauges("dns_address_load", "What its check's answers say of its load: 0 is idle, 1 is full", load)?;
    let fault = f64::from(u8::from(dns.state_file_fault.is_none()));
    out.gauges("dns_state_file_ok", "Whether what the state file says now is in force", [(vec![], fault)])
}

fn pools(out: &mut Out, pools: &[PoolStatus]) -> Result<(), Error> {
    let label = |p: &'_ PoolStatus| -> Vec<(&'static str, String)> { vec![("pool", p.name.clone())] };
    out.gauges(
        "pool_usable_servers",
        "Servers that take new requests",
        pools.iter().map(|p| (vec![("pool", p.name.as_str())], float(p.usable as u64))),
    )?;
    out.counters(
        "pool_decisions",
        "Servers chosen, by who chose: table, cycle and pick are the plugin's; fallback is in its place",
        pools.iter().flat_map(|p| {
            p.decisions.iter().map(|(by, n)| (vec![("pool", p.name.as_str()), ("by", *by)], *n))
        }),
    )?;
    out.counters(
        "pool_policy_failures",
        "Decisions that the plugin owed and did not give",
        pools.iter().map(|p| (vec![("pool", p.name.as_str())], p.policy_failures)),
    )?;
    out.counters(
        "pool_client_aborts",
        "Requests whose client went away",
        pools.iter().map(|p| (vec![("pool", p.name.as_str())], p.client_aborts)),
    )?;
    let help = "Time from the request to the first byte of its answer";
    let mut family = out.0.encode_descriptor("pool_response_seconds", help, None, MetricType::Histogram)?;
    for pool in pools {
        let labels = label(pool);
        let count = pool.latency.buckets.iter().map(|(_, n)| n).sum();
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            pool.latency.sum_seconds,
            count,
            &pool.latency.buckets,
            None,
        )?;
    }
    Ok(())
}

fn servers(out: &mut Out, pools: &[PoolStatus]) -> Result<(), Error> {
    fn all(pools: &[PoolStatus]) -> impl Iterator<Item = (Labels<'_>, &ServerStatus)> {
        pools.iter().flat_map(|p| {
            p.servers.iter().map(|s| (vec![("pool", p.name.as_str()), ("server", s.name.as_str())], s))
        })
    }
    fn with<'a>(mut labels: Labels<'a>, name: &'static str, value: &'a str) -> Labels<'a> {
        labels.push((name, value));
        labels
    }
    const STATES: [State; 4] = [State::Up, State::Down, State::Drain, State::Maint];
    out.gauges(
        "server_up",
        "Whether the server takes new requests by its state",
        all(pools).map(|(l, s)| (l, f64::from(u8::from(s.state == State::Up)))),
    )?;
    out.gauges(
        "server_state",
        "1 for the state that the server is in",
        all(pools).flat_map(|(l, s)| {
            STATES.map(|state| {
                (with(l.clone(), "state", state.as_str()), f64::from(u8::from(s.state == state)))
            })
        }),
    )?;
    out.gauges("server_weight", "Weight now", all(pools).map(|(l, s)| (l, f64::from(s.weight))))?;
    out.gauges(
        "server_in_flight",
        "Requests in flight to the server",
        all(pools).map(|(l, s)| (l, f64::from(s.in_flight))),
    )?;
    out.gauges(
        "server_latency_seconds",
        "Smoothed time to the first byte",
        all(pools).map(|(l, s)| (l, f64::from(s.latency_us) / 1e6)),
    )?;
    out.counters(
        "server_http_responses",
        "Answers passed on, by class of their status",
        all(pools)
            .flat_map(|(l, s)| s.answers.iter().map(move |(code, n)| (with(l.clone(), "code", code), *n))),
    )?;
    out.counters("server_bytes", "Bytes of bodies passed on", all(pools).map(|(l, s)| (l, s.bytes)))?;
    out.counters("server_connects", "New connections made", all(pools).map(|(l, s)| (l, s.connects)))?;
    out.counters(
        "server_retries",
        "Attempts that failed here and were made again elsewhere",
        all(pools).map(|(l, s)| (l, s.retries)),
    )?;
    out.counters(
        "server_failures",
        "Failed attempts, by kind",
        all(pools)
            .flat_map(|(l, s)| s.failures.iter().map(move |(kind, n)| (with(l.clone(), "kind", kind), *n))),
    )
}

fn judges(out: &mut Out, status: &NodeStatus) -> Result<(), Error> {
    let pools = status.pools.iter().filter_map(|pool| Some((pool.name.as_str(), pool.judge.as_ref()?)));
    let nodes = status.l4_judge.iter().map(|judge| (NODES, judge));
    let counts = pools.chain(nodes).flat_map(|(of, judge)| {
        [("decided", judge.decided), ("failed", judge.failed), ("nobody", judge.nobody)].map(
            |(outcome, n)| (vec![("of", of), ("plugin", judge.plugin.as_str()), ("outcome", outcome)], n),
        )
    });
    out.counters("judgements", "Questions to plugins that judge checks, by what came of them", counts)
}

fn plugins(out: &mut Out, status: &NodeStatus) -> Result<(), Error> {
    const STATES: [&str; 7] =
        ["absent", "loading", "canary", "active", "backing-off", "quarantined", "rejected"];
    let list = &status.plugins;
    out.gauges(
        "plugin_info",
        "Always 1; the version that decides",
        list.iter().filter_map(|p| {
            let v = p.version.as_ref()?;
            let labels = vec![
                ("plugin", p.instance.as_str()),
                ("name", v.name.as_str()),
                ("version", v.version.as_str()),
                ("sha256", v.sha256.as_str()),
            ];
            Some((labels, 1.0))
        }),
    )?;
    let each = |value: fn(&weir_wasm::PluginStatus) -> f64| {
        list.iter().map(move |p| (vec![("plugin", p.instance.as_str())], value(p)))
    };
    out.gauges(
        "plugin_serving",
        "Whether a version of the plugin decides; 0: the host decides as without one",
        each(|p| f64::from(u8::from(p.serving))),
    )?;
    out.gauges(
        "plugin_state",
        "1 for the state of the version that is asked for",
        list.iter().flat_map(|p| {
            STATES.map(|state| {
                let labels = vec![("plugin", p.instance.as_str()), ("state", state)];
                (labels, f64::from(u8::from(p.state == state)))
            })
        }),
    )?;
    out.gauges(
        "plugin_last_reload_successful",
        "Whether the last attempt to load ended in its use",
        each(|p| f64::from(u8::from(p.last_load_ok))),
    )?;
    out.gauges("plugin_last_reload_timestamp_seconds", "When that was", each(|p| float(p.last_load_unix)))?;
    out.gauges("plugin_generation", "Grows with each version put to use", each(|p| float(p.generation)))?;
    out.gauges(
        "plugin_memory_bytes",
        "Linear memory of the instance that makes plans",
        each(|p| float(p.version.as_ref().map_or(0, |v| v.memory_bytes))),
    )?;
    out.counters(
        "plugin_calls",
        "Calls into the plugin",
        list.iter().map(|p| (vec![("plugin", p.instance.as_str())], p.calls)),
    )?;
    out.counters(
        "plugin_failures",
        "Calls that failed, by kind",
        list.iter().flat_map(|p| {
            p.failures.iter().map(|(kind, n)| (vec![("plugin", p.instance.as_str()), ("kind", *kind)], *n))
        }),
    )?;
    let custom = |p| custom_of(p);
    out.counters(
        "plugin_custom",
        "What plugins count themselves",
        list.iter().flat_map(custom).filter_map(|(l, v)| match v {
            CustomValue::Counter(n) => Some((l, n)),
            CustomValue::Gauge(_) => None,
        }),
    )?;
    out.gauges(
        "plugin_custom_gauge",
        "What plugins measure themselves",
        list.iter().flat_map(custom).filter_map(|(l, v)| match v {
            CustomValue::Gauge(x) => Some((l, x)),
            CustomValue::Counter(_) => None,
        }),
    )
}

fn custom_of(plugin: &weir_wasm::PluginStatus) -> impl Iterator<Item = (Labels<'_>, CustomValue)> {
    plugin
        .custom
        .iter()
        .map(|m| (vec![("plugin", plugin.instance.as_str()), ("name", m.name.as_str())], m.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_ends_before_its_end() {
        let labels = escaped(&[("name", "plain"), ("version", "2 \"rc1\" \\ \n")]);
        assert_eq!(labels, [("name", "plain".into()), ("version", r#"2 \"rc1\" \\ \n"#.into())]);
    }
}
