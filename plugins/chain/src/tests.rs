use super::*;
use weir_plugin::State;
use weir_plugin::harness::Zone;

/// Two sites, and a priority and a load for each address.
fn addresses() -> Vec<Address> {
    [
        ("192.0.2.1", "fra1", "1", 0.5),
        ("192.0.2.2", "fra1", "1", 0.9),
        ("192.0.2.3", "nyc1", "1", 0.1),
        ("192.0.2.4", "nyc1", "2", -1.0),
    ]
    .map(|(ip, site, priority, load)| {
        let address = Address::up(ip).labelled("site", site).labelled("priority", priority);
        Address { load, ..address }
    })
    .to_vec()
}

fn zone(config: &str, addresses: &[Address]) -> Zone<Chain> {
    let mut zone = Zone::new(config).unwrap();
    zone.update("www", addresses);
    zone
}

/// The last numbers of the addresses of an answer, with its scope and lifetime, for a client in this country.
fn ask(config: &str, addresses: &[Address], country: &str) -> (String, u8, u32) {
    let mut zone = zone(config, addresses);
    let mut question = zone.question("www", "203.0.113.0/24");
    question.client_labels = vec![("country".into(), country.into())];
    let decision = zone.decide(&question);
    let Decision::Answer(answer) = &decision else { return (format!("{decision:?}"), 0, 0) };
    let (scope, lifetime) = (answer.scope, answer.lifetime_ms);
    let last = |ip: &String| ip.rsplit('.').next().unwrap_or_default().to_owned();
    (zone.shown(&question, &decision).iter().map(last).collect::<Vec<_>>().join(" "), scope, lifetime)
}

const MAP: &str = "map.DE = fra1, nyc1\nmap.US = nyc1\n";

#[test]
fn each_step_takes_what_the_one_before_it_left() {
    let all = addresses();
    let says = |steps: &str| ask(&format!("{MAP}steps = {steps}"), &all, "US");
    assert_eq!(says("up"), ("1 2 3 4".into(), 0, 60_000));
    assert_eq!(says("up, priority"), ("1 2 3".into(), 0, 60_000));
    assert_eq!(says("up, priority, shed"), ("1 3".into(), 0, 60_000));
    assert_eq!(says("up, shed, first 2"), ("1 3".into(), 0, 60_000));
    assert_eq!(says("up, first 2, shed"), ("1".into(), 0, 60_000));
    assert_eq!(says("up, geo"), ("3 4".into(), 24, 60_000));
    assert_eq!(says("up, geo, priority"), ("3".into(), 24, 60_000));
    assert_eq!(says("geo, up, first 1"), ("3".into(), 24, 60_000));
    assert_eq!(ask(&format!("{MAP}steps = up, shed, geo"), &all, "DE").0, "1");
}

#[test]
fn a_step_that_would_leave_none_is_passed_over_but_up_is_not() {
    let mut all = addresses();
    all[2].state = State::Down;
    all[3].state = State::Down;
    // The first site for the client has none: the next one, then any.
    assert_eq!(ask(&format!("{MAP}steps = up, geo"), &all, "US").0, "1 2");
    assert_eq!(ask("steps = up, shed\nshed-over = 10", &all, "US").0, "1 2");
    all[0].state = State::Down;
    all[1].state = State::Down;
    let none_up = |config: &str| {
        let mut zone = zone(config, &all);
        let question = zone.question("www", "203.0.113.0/24");
        zone.decide(&question)
    };
    assert_eq!(none_up("steps = up, first 1"), Decision::Fallback);
    let no_data = Decision::NoneUp(weir_plugin::dns_answers::Otherwise::NoData);
    assert_eq!(none_up("steps = up\nnone-up = no-data"), no_data);
    assert_eq!(ask("steps = first 2", &all, "US").0, "1 2", "nobody asked for what is up");
}

#[test]
fn up_is_of_what_is_left() {
    let mut all = addresses();
    // Weight 0 is for when no other of those that are left is up.
    all[0].weight = 0;
    assert_eq!(ask("steps = up", &all, "US").0, "2 3 4");
    all[1].state = State::Down;
    all[2].state = State::Down;
    assert_eq!(ask("steps = priority, up", &all, "US").0, "1");
    all[3].state = State::Down;
    assert_eq!(ask("steps = up", &all, "US").0, "1");
}

#[test]
fn what_is_drawn_is_drawn_for_each_query_unless_it_may_be_repeated() {
    let weighed: Vec<Address> =
        addresses().into_iter().zip([3, 1, 0, 0]).map(|(address, weight)| address.weighing(weight)).collect();
    assert_eq!(ask("steps = up, weighted", &weighed, "US").2, 0);
    assert_eq!(ask("steps = up, weighted\nrepeat-ms = 100", &weighed, "US").2, 100);
    let mut zone = zone("steps = up, weighted, first 1", &weighed);
    let first = zone.count("www", "0.0.0.0/0", 4000).get(&vec!["192.0.2.1".to_owned()]).copied();
    assert!(first.is_some_and(|times| times.abs_diff(3000) < 150), "{first:?}");
}

#[test]
fn a_network_keeps_its_order_and_that_is_said_of_it() {
    let all = addresses();
    let steps = "steps = up, sticky, first 1\nbits-v4 = 20";
    let (chosen, scope, lifetime) = ask(steps, &all, "US");
    assert_eq!((scope, lifetime), (20, 60_000));
    assert_eq!(ask(steps, &all, "DE").0, chosen);
    // With where the client is, all that is known of it counts.
    assert_eq!(ask(&format!("{MAP}steps = up, geo, sticky\nbits-v4 = 20"), &all, "US").1, 24);
}

#[test]
fn a_word_that_is_no_step_is_told() {
    for wrong in ["up, nearest", "first", "first 0", "first 65", "up,,shed", ""] {
        let error = Zone::<Chain>::new(&format!("steps = {wrong}")).err();
        let told = error.is_some_and(|error| format!("{error:?}").contains("known are `up`"));
        assert!(told, "{wrong}");
    }
}
