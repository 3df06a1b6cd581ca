//! What a field is when it is not written.

use super::*;
use std::time::Duration;

#[test]
fn what_is_not_written_has_the_documented_default() {
    let fleet = good(SMALL);
    assert_eq!(fleet.paths, Paths::default());
    assert_eq!(fleet.paths.plugins.to_str(), Some(PLUGINS_DIRECTORY));
    assert_eq!((fleet.log.level, fleet.log.access.clone()), (Level::Info, Access::Stdout));
    assert_eq!((fleet.metrics.enabled, fleet.metrics.listen), (true, METRICS_LISTEN));
    assert_eq!(fleet.agent.listen, AGENT_LISTEN);
    assert_eq!(fleet.node("here").map(|node| node.workers), Ok(0));

    let pool = &fleet.pools["web"];
    assert_eq!(
        (pool.scheduler.clone(), pool.key.clone(), pool.retries, pool.send_proxy),
        (None, None, RETRIES, false)
    );
    assert_eq!(pool.timeouts, Timeouts::default());
    assert_eq!(pool.timeouts.connect.get(), Duration::from_secs(5));
    assert_eq!((pool.check.clone(), pool.agent_check.clone(), pool.slow_start), (None, None, Period::ZERO));
    let server = &pool.servers[0];
    assert_eq!((server.weight, server.limit(), server.labels.len()), (WEIGHT, None, 0));

    let service = &fleet.services["www"];
    assert!(service.addresses.is_empty());
    assert_eq!(service.healthcheck.path(), Some("/healthcheck"));
    assert_eq!(service.client_timeouts, ClientTimeouts::default());
}

#[test]
fn a_check_that_only_says_its_type_is_haproxys() {
    let fleet =
        good(&format!("{SMALL}[pools.web.check]\ntype = \"http\"\n[pools.web.agent-check]\n").replace(
            "servers = [{ name = \"a\", address = \"192.0.2.1:80\" }]\n",
            "[[pools.web.servers]]\nname = \"a\"\naddress = \"192.0.2.1:80\"\nmax-in-flight = 7\n",
        ));
    let pool = &fleet.pools["web"];
    let check = pool.check.as_ref().unwrap();
    assert_eq!((&*check.path, check.host.as_deref(), check.port), ("/", None, None));
    assert_eq!(check.expect.to_string(), "200-399");
    let health = pool.health(&pool.servers[0]);
    let timing = health.check.unwrap();
    assert_eq!((timing.interval, timing.fast_interval), (Duration::from_secs(2), Duration::from_secs(2)));
    assert_eq!((timing.timeout, timing.rise, timing.fall), (Duration::from_secs(1), 2, 3));
    assert_eq!(health.agent.map(|agent| agent.interval), Some(Duration::from_secs(2)));
    assert_eq!((health.weight, health.max_in_flight), (1, Some(7)));
    assert_eq!(pool.agent_check.as_ref().map(|agent| agent.port), Some(5555));
}

#[test]
fn a_short_interval_shortens_the_timeout_that_is_not_written() {
    let fleet = good(
        &SMALL.replace("[services", "[pools.web.check]\ntype = \"tcp\"\ninterval = \"300ms\"\n[services"),
    );
    let timing = fleet.pools["web"].check.as_ref().map(Check::timing);
    assert_eq!(timing.map(|t| t.timeout), Some(Duration::from_millis(300)));
}

#[test]
fn a_dns_node_without_a_section_serves_its_zones_on_port_53() {
    let fleet = good(&SMALL.replace("\"l7\"", "\"dns\""));
    assert_eq!(fleet.dns, Dns::default());
    assert_eq!((fleet.dns.listen.as_slice(), fleet.dns.udp_size), (&[DNS_LISTEN][..], 1232));
    assert_eq!((fleet.dns.query_log.clone(), fleet.dns.cookies), (Access::Off, true));
}

#[test]
fn a_policy_with_only_addresses_answers_all_of_them_in_turn() {
    let fleet = good(&format!("{SMALL}[dns.policies.www]\naddresses = [{{ address = \"192.0.2.1\" }}]\n"));
    let policy = &fleet.dns.policies["www"];
    assert_eq!((policy.plugin.clone(), policy.check.clone(), policy.all_down), (None, None, AllDown::All));
    assert_eq!((policy.min_ttl, policy.max_ttl), (DNS_MIN_TTL, DNS_MAX_TTL));
    assert_eq!((policy.addresses[0].weight, policy.health(&policy.addresses[0]).weight), (1, 1));
}

#[test]
fn the_four_keys_are_read() {
    let key = |text: &str| {
        good(&SMALL.replace("[services", &format!("key = {text}\n[services"))).pools["web"].key.clone()
    };
    assert_eq!(key("\"path\""), Some(Key::Path));
    assert_eq!(key("\"source\""), Some(Key::Source));
    assert!(matches!(key("{ header = \"x-user\" }"), Some(Key::Header(name)) if &*name == "x-user"));
    assert!(matches!(key("{ cookie = \"session\" }"), Some(Key::Cookie(name)) if &*name == "session"));
}

#[test]
fn values_are_written_as_they_are_read() {
    for text in ["500ms", "2s", "1m", "36h", "1d", "7us", "1500ms", "0s"] {
        assert_eq!(text.parse::<Period>().map(|t| t.to_string()), Ok(text.to_owned()));
    }
    for text in ["16MiB", "1GiB", "3KiB", "5B", "0B"] {
        assert_eq!(text.parse::<Size>().map(|t| t.to_string()), Ok(text.to_owned()));
    }
    for text in ["200", "200-399", "200,204,300-308"] {
        assert_eq!(text.parse::<Statuses>().map(|t| t.to_string()), Ok(text.to_owned()));
    }
    let statuses: Statuses = "200, 204 ,300-308".parse().unwrap();
    let wanted: Vec<u16> = (0..=999).filter(|s| statuses.contains(*s)).collect();
    assert_eq!(wanted, [200, 204, 300, 301, 302, 303, 304, 305, 306, 307, 308]);
    let pin = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
    assert_eq!(pin.to_uppercase().parse::<Sha256>().map(|t| t.to_string()), Ok(pin.to_owned()));
    assert_eq!("24h".parse::<Period>().map(|t| t.to_string()), Ok("1d".to_owned()));
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    // A check of type "tcp" is written with the fields of "http", which are not read with it.
    let fleet = good(&EXAMPLE.replace("{ type = \"tcp\" }", "{ type = \"http\" }"));
    let text = toml::to_string(&fleet).unwrap();
    assert_eq!(good(&text), fleet);
}

#[test]
fn dns_over_tls_is_an_option_and_listens_where_clients_look() {
    assert_eq!(good(&SMALL.replace("\"l7\"", "\"dns\"")).dns.tls, None);
    let fleet = good(&format!("{SMALL}[dns.tls]\ncertificate = \"/a.crt\"\nkey = \"/a.key\"\n"));
    let tls = fleet.dns.tls.unwrap();
    assert_eq!((tls.listen.as_slice(), tls.https.len(), tls.quic.len()), (&[DNS_TLS_LISTEN][..], 0, 0));
    assert_eq!(&*tls.https_path, "/dns-query");
}
