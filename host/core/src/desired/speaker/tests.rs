//! A configuration is either carried out as a whole or named as faulty.

use super::*;

fn good() -> Config {
    let mut config = Config::new(65000, Ipv4Addr::new(192, 0, 2, 1));
    config.neighbors.push(Neighbor::new("rr1", "192.0.2.254".parse().unwrap(), 65000));
    config.neighbors.push(Neighbor::new("rr1v6", "2001:db8::fe".parse().unwrap(), 65000));
    config.routes.push(Route::of("198.51.100.1/32".parse().unwrap()));
    config
}

fn fault(change: impl FnOnce(&mut Neighbor)) -> Problem {
    let mut config = good();
    change(&mut config.neighbors[1]);
    match config.check() {
        Err(Fault::Neighbor { name, problem }) if name == config.neighbors[1].name => problem,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_carried_out_is_named_with_its_neighbor() {
    assert_eq!(good().check(), Ok(()));
    assert_eq!(fault(|one| one.name = "rr1".into()), Problem::Twice);
    assert_eq!(fault(|one| one.address = "192.0.2.254".parse().unwrap()), Problem::Twice);
    assert_eq!(fault(|one| one.peer_as = 0), Problem::As);
    assert_eq!(fault(|one| one.port = 0), Problem::Port);
    assert_eq!(fault(|one| one.address = "::".parse().unwrap()), Problem::Address);
    assert_eq!(fault(|one| one.local = Some("192.0.2.1".parse().unwrap())), Problem::Local);
    for hold in [Duration::from_secs(2), Duration::from_millis(3500), Duration::from_secs(65536)] {
        assert_eq!(fault(|one| one.hold = hold), Problem::Hold);
    }
    assert_eq!(fault(|one| one.families.clear()), Problem::Families);
    for length in [0, MAX_KEY + 1] {
        assert_eq!(fault(|one| one.key = Some(Key::new("k".repeat(length)))), Problem::Key);
    }
    assert_eq!(fault(|one| one.distance = Distance::Secured(0)), Problem::Distance);
    assert_eq!(fault(|one| one.bfd = Some(Bfd { multiplier: 0, ..Bfd::default() })), Problem::Bfd);
    let slow = Duration::from_secs(61);
    assert_eq!(fault(|one| one.bfd = Some(Bfd { send_every: slow, ..Bfd::default() })), Problem::Bfd);
}

#[test]
fn a_prefix_twice_and_an_empty_identity_are_refused() {
    let mut config = good();
    config.routes.push(config.routes[0].clone());
    assert!(matches!(config.check(), Err(Fault::Advert(AdvertError::Twice(_)))));
    let nobody = Config { local_as: 0, ..good() };
    assert_eq!(nobody.check(), Err(Fault::Identity));
}

#[test]
fn a_configuration_survives_its_text_and_no_debug_output_shows_a_key() {
    let mut config = good();
    config.neighbors[0].key = Some(Key::new("sesame".into()));
    config.neighbors[0].distance = Distance::Secured(1);
    config.neighbors[0].bfd = Some(Bfd::default());
    config.routes[0].communities.push(Community::GRACEFUL_SHUTDOWN);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    assert!(!format!("{config:?}").contains("sesame"));
}

#[test]
fn little_text_is_enough_for_a_usual_neighbor() {
    let text = r#"{"local_as": 65000, "router_id": "192.0.2.1", "wish": "announce",
        "neighbors": [{"name": "rr1", "address": "192.0.2.254", "peer_as": 65000}],
        "routes": [{"prefix": "198.51.100.1/32"}]}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    assert_eq!(config.neighbors[0], good().neighbors[0]);
    assert_eq!(config.bfd_listen, everywhere());
    let wrong = text.replace("198.51.100.1/32", "198.51.100.1/24");
    let error = serde_json::from_str::<Config>(&wrong).unwrap_err().to_string();
    assert!(error.contains("198.51.100.1/24 is no prefix"), "{error}");
}
