//! Rules of the DNS node: its listeners, and the policies that decide addresses.

mod listeners;

use std::collections::BTreeSet;

use super::{Rules, checks, labels};
use crate::config::source::at;
use crate::config::{AllDown, CheckType, DnsPolicy, Fleet, MAX_DNS_ADDRESSES, MAX_ENTRIES, Period, Role};

/// The longest identity and version: they are sent as one text of TXT, and with all else in 512 bytes.
const MAX_TEXT: usize = 128;

/// The longest TTL (RFC 2181 §8 has 31 bits; resolvers keep nothing for longer than a week).
const MAX_TTL: Period = Period::from_millis(7 * 86_400_000);

pub(super) fn check(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let dns = &fleet.dns;
    if fleet.nodes.values().any(|node| node.has(Role::Dns)) {
        listeners::check(fleet, rules);
    }
    for (field, text) in [("identity", &dns.identity), ("version", &dns.version)] {
        if text.len() > MAX_TEXT {
            let message = format!("the text has {} bytes; at most {MAX_TEXT} are sent", text.len());
            rules.value(at!["dns", field], message);
        }
    }
    if dns.tcp.idle == Period::ZERO {
        let message = "an idle time of zero closes connections before a query: write a time such as \"30s\"";
        rules.value(at!["dns", "tcp", "idle"], message.to_owned());
    }
    if let Some(geography) = &dns.geography {
        labels::check(at!["dns", "geography", "labels"], &geography.labels, "a client", rules);
        for (label, path) in &geography.labels {
            if path.split('.').any(str::is_empty) {
                let message = format!(
                    "`{path}` leads nowhere: write names with dots between, such as \"country.iso_code\""
                );
                rules.value(at!["dns", "geography", "labels", label.as_str()], message);
            }
        }
    }
    if dns.policies.len() > MAX_ENTRIES {
        let message = format!("{} policies: at most {MAX_ENTRIES} are allowed", dns.policies.len());
        rules.key(at!["dns", "policies"], message);
    }
    for (name, policy) in &dns.policies {
        if fleet.pools.contains_key(name) {
            let message = format!(
                "`{name}` is a pool and a policy: `weir drain {name}/...` could mean either, so name one of them otherwise"
            );
            rules.key(at!["dns", "policies", name.as_str()], message);
        }
        policy_is_whole(name, policy, rules);
    }
}

fn policy_is_whole(name: &str, policy: &DnsPolicy, rules: &mut Rules<'_, '_, '_>) {
    let here = |field: &'static str| [at!["dns", "policies", name], at![field]].concat();
    if let Some(plugin) = &policy.plugin {
        rules.refers(&here("plugin"), plugin, "plugins");
    }
    if let Some(check) = &policy.check {
        checks::check(&here("check"), check, rules);
        if check.kind == CheckType::Tcp && check.port.is_none() {
            rules.value(
                &here("check"),
                "a check of type \"tcp\" wants a `port`: addresses have none".to_owned(),
            );
        }
    }
    if policy.load_header.is_some() && policy.check.as_ref().is_none_or(|c| c.kind != CheckType::Http) {
        let message =
            "`load-header` is one of the answer to a check of type \"http\": the policy has no such check";
        rules.key(&here("load-header"), message.to_owned());
    }
    if policy.min_ttl > policy.max_ttl {
        let message = format!("the lowest TTL, {}, is above the highest, {}", policy.min_ttl, policy.max_ttl);
        rules.value(&here("min-ttl"), message);
    }
    if policy.max_ttl > MAX_TTL {
        rules.value(&here("max-ttl"), format!("{} is too long for a TTL: at most {MAX_TTL}", policy.max_ttl));
    }
    for (field, time) in [("min-ttl", policy.min_ttl), ("max-ttl", policy.max_ttl)] {
        if time.subsec_nanos() > 0 {
            rules.value(&here(field), format!("{time} is no TTL: whole seconds are sent"));
        }
    }
    match policy.all_down {
        AllDown::Fallback if policy.fallback.is_empty() => {
            let message = "all-down = \"fallback\" wants addresses in `fallback`";
            rules.value(&here("all-down"), message.to_owned());
        }
        AllDown::All | AllDown::NoData if !policy.fallback.is_empty() && policy.plugin.is_none() => {
            let message = "`fallback` is used with all-down = \"fallback\", or by a plugin";
            rules.key(&here("fallback"), message.to_owned());
        }
        _ => {}
    }
    if policy.fallback.len() > MAX_DNS_ADDRESSES {
        let message = format!("{} addresses: at most {MAX_DNS_ADDRESSES}", policy.fallback.len());
        rules.key(&here("fallback"), message);
    }
    addresses(name, policy, rules);
}

fn addresses(name: &str, policy: &DnsPolicy, rules: &mut Rules<'_, '_, '_>) {
    let list = at!["dns", "policies", name, "addresses"];
    let count = policy.addresses.len();
    if count == 0 && !rules.source.is_thinned(list) {
        let message = format!("the policy has no address: add [[dns.policies.{name}.addresses]]");
        rules.value(list, message);
    }
    if count > MAX_DNS_ADDRESSES {
        rules.key(list, format!("{count} addresses: a policy has at most {MAX_DNS_ADDRESSES}"));
    }
    let mut seen = BTreeSet::new();
    for (i, address) in policy.addresses.iter().enumerate() {
        if !seen.insert(address.address) {
            let message = format!("{} is there twice", address.address);
            rules.value(at!["dns", "policies", name, "addresses", i, "address"], message);
        }
        let place = at!["dns", "policies", name, "addresses", i, "labels"];
        labels::check(place, &address.labels, "an address", rules);
    }
}
