use std::collections::BTreeMap;

use super::*;

/// `192.0.2.N`, or `2001:db8::N` where it is below zero.
fn address(n: i16, state: State, weight: u16) -> Address {
    let ip = match u8::try_from(n) {
        Ok(n) => IpAddr::from([192, 0, 2, n]),
        Err(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n.unsigned_abs()]),
    };
    Address { ip, state, weight, load: None, labels: Arc::new([]) }
}

fn up(n: i16) -> Address {
    address(n, State::Up, 1)
}

fn question(kind: Type) -> Question {
    Question { name: 0, kind, client: IpAddr::from([203, 0, 113, 0]), prefix: 24, labels: Arc::new([]) }
}

fn answer(addresses: &[u32]) -> Choice {
    Choice::Answer(Chosen { addresses: addresses.to_vec(), ..Chosen::default() })
}

fn settle(choice: &Choice, kind: Type, addresses: &[Address], rules: &Rules) -> (Vec<String>, Settled) {
    let mut out = vec![IpAddr::from([9, 9, 9, 9])];
    let settled = Settled::of(choice, kind, addresses, rules, 7, &mut out);
    (out.iter().map(ToString::to_string).collect(), settled)
}

/// Without order, since the host's own choices are shuffled.
fn sorted(choice: &Choice, addresses: &[Address], rules: &Rules) -> (Vec<String>, By) {
    let (mut out, settled) = settle(choice, Type::A, addresses, rules);
    out.sort();
    (out, settled.by)
}

#[test]
fn an_index_that_does_not_exist_is_a_failure_and_the_rest_is_cut_to_its_bounds() {
    let addresses: Vec<Address> = (0..100).map(up).chain([up(-1)]).collect();
    let check = |choice: Choice| choice.checked(&question(Type::A), &addresses);
    let said = check(answer(&[3, 101])).unwrap_err();
    assert_eq!(said, Failure::Invalid("answered with address 101 of 101".into()));
    assert!(!said.poisons());
    assert_eq!(
        check(answer(&[5, 3, 5, 100, 4])),
        Ok(answer(&[5, 3, 4])),
        "each once, none of the other family"
    );
    let Ok(Choice::Answer(all)) = check(answer(&(0..100).collect::<Vec<_>>())) else { panic!() };
    assert_eq!(all.addresses, (0..64).collect::<Vec<_>>());
    let wide = Chosen { addresses: vec![1], ttl: u32::MAX, scope: 32, lifetime: Duration::MAX };
    let Ok(Choice::Answer(wide)) = check(Choice::Answer(wide)) else { panic!() };
    assert_eq!((wide.scope, wide.lifetime), (24, MAX_LIFETIME));
    assert_eq!(check(answer(&[100])), Ok(Choice::Fallback), "nothing of this family is left");
    assert_eq!(check(Choice::NoneUp(Otherwise::NoData)), Ok(Choice::NoneUp(Otherwise::NoData)));
}

#[test]
fn what_a_policy_chose_is_sent_in_its_order_with_a_ttl_within_the_fleet_files_bounds() {
    let addresses = [up(1), address(2, State::Down, 0), up(-1)];
    let rules = |own_ttl| Rules { ttl: (5, 60), own_ttl, ..Rules::default() };
    for (ttl, own_ttl, expected) in
        [(0, 99, 5), (30, 99, 30), (u32::MAX, 99, 60), (30, 17, 17), (u32::MAX, 17, 17), (u32::MAX, 1, 5)]
    {
        let rules = rules(own_ttl);
        let lifetime = Duration::from_secs(2);
        let chosen = Chosen { addresses: vec![1, 0, 2], ttl, scope: 24, lifetime };
        let (out, settled) = settle(&Choice::Answer(chosen), Type::A, &addresses, &rules);
        assert_eq!(out, ["192.0.2.2", "192.0.2.1"]);
        assert_eq!(settled, Settled { by: By::Policy, ttl: expected, scope: 24, lifetime });
    }
    let contradicting = Rules { ttl: (50, 10), ..Rules::default() };
    assert_eq!(settle(&answer(&[0]), Type::A, &addresses, &contradicting).1.ttl, 50);
}

#[test]
fn the_host_itself_answers_with_all_that_are_good_and_with_weight_0_only_when_nothing_else_is_up() {
    let mut addresses = vec![
        up(1),
        up(2),
        address(3, State::Up, 0),
        address(4, State::Down, 1),
        address(5, State::Drain, 1),
        address(6, State::Maint, 1),
        up(-7),
    ];
    let rules = Rules::default();
    let take = |addresses: &[Address]| sorted(&Choice::Fallback, addresses, &rules);
    assert_eq!(take(&addresses), (vec!["192.0.2.1".into(), "192.0.2.2".into()], By::Healthy));
    for good in addresses.iter_mut().take(2) {
        good.state = State::Down;
    }
    assert_eq!(take(&addresses), (vec!["192.0.2.3".into()], By::Healthy));
    addresses[2].state = State::Down;
    let all: Vec<String> = (1..6).map(|n| format!("192.0.2.{n}")).collect();
    assert_eq!(take(&addresses), (all, By::All), "all but what somebody took out");
    let settled = settle(&Choice::Fallback, Type::AAAA, &addresses, &rules);
    assert_eq!(settled.0, ["2001:db8::7"], "each family for itself");
    assert_eq!(take(&[address(6, State::Maint, 1)]), (vec!["192.0.2.6".into()], By::All));
    assert_eq!(take(&[]), (vec![], By::All));
}

#[test]
fn with_nothing_good_the_policys_word_counts_and_else_the_fleet_files() {
    let addresses = [address(1, State::Down, 1), address(2, State::Down, 1)];
    let set: Arc<[IpAddr]> =
        Arc::new([IpAddr::from([198, 51, 100, 9]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]);
    let rules =
        |otherwise| Rules { otherwise, fallback_set: Arc::clone(&set), own_ttl: 3, ..Rules::default() };
    let all = || (vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()], By::All);
    let fallback_set = || (vec!["198.51.100.9".to_owned()], By::FallbackSet);
    let none = || (vec![], By::NoData);
    for (otherwise, expected) in
        [(Otherwise::All, all()), (Otherwise::FallbackSet, fallback_set()), (Otherwise::NoData, none())]
    {
        assert_eq!(sorted(&Choice::Fallback, &addresses, &rules(otherwise)), expected);
        let word = Choice::NoneUp(otherwise);
        assert_eq!(sorted(&word, &addresses, &rules(Otherwise::NoData)), expected);
        assert_eq!(sorted(&word, &addresses, &rules(Otherwise::All)), expected);
    }
    let unset = Rules { otherwise: Otherwise::FallbackSet, ..Rules::default() };
    assert_eq!(sorted(&Choice::Fallback, &addresses, &unset), all(), "a set of nothing is no set");
    let ttl = settle(&Choice::Fallback, Type::A, &addresses, &rules(Otherwise::All)).1;
    assert_eq!((ttl.ttl, ttl.scope, ttl.lifetime), (3, 0, Duration::ZERO));
}

#[test]
fn every_order_of_the_hosts_own_choice_is_as_likely_as_any_other() {
    let addresses = [up(1), up(2), up(3)];
    let mut orders: BTreeMap<Vec<IpAddr>, u32> = BTreeMap::new();
    let mut out = Vec::new();
    for random in 0..6000u64 {
        Settled::of(&Choice::Fallback, Type::A, &addresses, &Rules::default(), random * 977, &mut out);
        *orders.entry(out.clone()).or_default() += 1;
    }
    assert!(orders.len() == 6 && orders.values().all(|n| n.abs_diff(1000) < 150), "{orders:?}");
}
