//! Keys and hop counts keep out who lacks them. The kernel does that; what is tested is that it was told.

use weir_core::desired::speaker::{Distance, Key};

use super::*;

/// Long enough for several attempts: the pauses of these tests are short.
const A_WHILE: Duration = Duration::from_millis(1500);

/// Two speakers that connect to each other, with what each thinks of the other.
fn pair(first: u8, change: impl Fn(usize, &mut Neighbor)) -> [Speaker; 2] {
    let (a, b) = (port(), port());
    let mut one = config(first, a);
    one.neighbors.push(neighbor(first, first + 1, b));
    let mut two = config(first + 1, b);
    two.neighbors.push(neighbor(first + 1, first, a));
    change(0, &mut one.neighbors[0]);
    change(1, &mut two.neighbors[0]);
    [start(one), start(two)]
}

fn stays_down(pair: &[Speaker; 2]) {
    std::thread::sleep(A_WHILE);
    for speaker in pair {
        assert_eq!(speaker.status().neighbors[0].ups, 0, "{:#?}", speaker.status());
    }
}

fn key(text: &str) -> Option<Key> {
    Some(Key::new(text.to_owned()))
}

#[test]
fn the_same_key_at_both_ends_lets_them_talk_whoever_connects() {
    for passive in [0, 1] {
        let pair = pair(30, |end, neighbor| {
            neighbor.key = key("sesame");
            neighbor.passive = end == passive;
        });
        pair.iter().for_each(|speaker| drop(wait_one(speaker, "up", is_up)));
    }
}

#[test]
fn different_keys_or_a_missing_one_keep_them_apart() {
    stays_down(&pair(32, |end, neighbor| neighbor.key = key(["sesame", "mustard"][end])));
    stays_down(&pair(34, |end, neighbor| neighbor.key = key("sesame").filter(|_| end == 0)));
}

#[test]
fn a_key_that_is_taken_away_at_both_ends_is_gone_from_the_listener_too() {
    let (a, b) = (port(), port());
    let mut one = config(36, a);
    one.neighbors.push(Neighbor { passive: true, key: key("sesame"), ..neighbor(36, 37, b) });
    let mut two = config(37, b);
    two.neighbors.push(Neighbor { key: key("sesame"), ..neighbor(37, 36, a) });
    let (mut first, mut second) = (start(one.clone()), start(two.clone()));
    wait_one(&second, "with a key", is_up);
    one.neighbors[0].key = None;
    two.neighbors[0].key = None;
    first.set(one).unwrap();
    second.set(two).unwrap();
    wait_one(&first, "without one", |it| is_up(it) && it.session.is_some());
    wait_one(&second, "without one", is_up);
}

#[test]
fn keys_work_over_ipv6() {
    let (a, b) = (port(), port());
    let here = "::1".parse::<IpAddr>().unwrap();
    let config = |own: u8, listen: u16, there: u16, text: &str| {
        let mut config = config(own, listen);
        config.listen = vec![SocketAddr::new(here, listen)];
        config.neighbors.push(Neighbor {
            address: here,
            local: None,
            key: key(text),
            ..neighbor(own, 1, there)
        });
        config
    };
    let (first, second) = (start(config(38, a, b, "sesame")), start(config(39, b, a, "sesame")));
    wait_one(&first, "up", is_up);
    wait_one(&second, "up", is_up);
    drop((first, second));
    stays_down(&[start(config(38, a, b, "sesame")), start(config(39, b, a, "mustard"))]);
}

#[test]
fn enforced_distance_lets_near_ones_talk_whoever_connects_and_keeps_others_out() {
    for passive in [0, 1] {
        let pair = pair(40, |end, neighbor| {
            neighbor.distance = Distance::Secured(1);
            neighbor.passive = end == passive;
        });
        pair.iter().for_each(|speaker| drop(wait_one(speaker, "up", is_up)));
    }
    stays_down(&pair(42, |end, neighbor| {
        neighbor.distance = [Distance::Secured(1), Distance::Hops(254)][end];
    }));
    let two_away = pair(44, |end, neighbor| {
        neighbor.distance = [Distance::Secured(2), Distance::Hops(254)][end];
    });
    two_away.iter().for_each(|speaker| drop(wait_one(speaker, "up", is_up)));
}
