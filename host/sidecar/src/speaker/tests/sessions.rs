//! Sessions come up, say what is configured, end with a reason and come back.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use weir_core::bgp::{Capability, Cease, Community, Family, Message, Notification, Open, Stage, Update};
use weir_core::desired::speaker::{Pauses, Wish};

use super::end::{End, listen, open, speaks_both};
use super::*;

#[test]
fn two_speakers_find_each_other_count_routes_and_survive_a_restart_of_either() {
    let (a, b) = (port(), port());
    let mut one = config(1, a);
    one.neighbors.push(neighbor(1, 2, b));
    one.routes = vec![route("198.51.100.1/32"), route("198.51.100.2/32"), route("2001:db8::1/128")];
    one.neighbors[0].next_hop.v6 = Some("2001:db8::99".parse().unwrap());
    let mut two = config(2, b);
    two.neighbors.push(neighbor(2, 1, a));

    let mut first = start(one.clone());
    let second = start(two.clone());
    let seen = wait_one(&second, "three routes", |it| is_up(it) && it.received.announced == 3);
    assert_eq!(seen.session.unwrap().families, [Family::Ipv4, Family::Ipv6]);
    let told = wait_one(&first, "told", is_up);
    assert_eq!((told.announced_v4, told.announced_v6), (2, 1));

    one.routes.remove(0);
    first.set(one.clone()).unwrap();
    wait_one(&second, "one withdrawn", |it| it.received.withdrawn == 1);
    assert_eq!(wait_one(&first, "still the same session", is_up).ups, 1);

    second.stop("upgrade");
    let down = wait_one(&first, "the end and its reason", |it| !is_up(it));
    assert!(down.last_error.unwrap().contains("\"upgrade\""));
    let second = start(two);
    wait_one(&second, "two routes again", |it| is_up(it) && it.received.announced == 2);
    wait_one(&first, "up again", |it| is_up(it) && it.ups == 2 && it.downs == 1);

    drop(first);
    wait_one(&second, "the other one is gone", |it| !is_up(it));
    let first = start(one);
    wait_one(&second, "and back", |it| is_up(it) && it.received.announced == 4);
    wait_one(&first, "at both ends", is_up);
}

#[test]
fn both_connecting_at_once_end_up_with_one_session_that_stays() {
    for round in 0..10 {
        let (a, b) = (port(), port());
        let mut one = config(3, a);
        one.neighbors.push(neighbor(3, 4, b));
        let mut two = config(4, b);
        two.neighbors.push(neighbor(4, 3, a));
        let (first, second) = (start(one), start(two));
        for speaker in [&first, &second] {
            let up = wait_one(speaker, "up", |it| is_up(it) && it.state_for > Duration::from_millis(100));
            // The ends may come to see it differently, each rightly; then it takes another try, and is counted.
            assert!(up.ups == up.downs + 1 && up.downs < 3, "round {round}: {up:#?}");
        }
    }
}

#[test]
fn a_neighbor_is_told_what_is_configured_then_what_changes_then_why_it_ends() {
    let (listener, there) = listen(6);
    let mut wanted = config(5, port());
    wanted.neighbors.push(neighbor(5, 6, there));
    wanted.neighbors[0].next_hop.v6 = Some("2001:db8::99".parse().unwrap());
    wanted.routes = vec![route("198.51.100.1/32"), route("2001:db8::1/128")];
    wanted.routes[0].med = Some(7);
    wanted.routes[0].communities = vec![Community(65000, 1)];
    let mut speaker = start(wanted.clone());
    let mut end = End::accept(&listener);
    assert!(speaks_both(&end.greet(&open(6, 65000))));

    let [v4, v6] = &end.table()[..] else { unreachable!() };
    let (attributes, prefixes) = v4.announced.as_ref().unwrap();
    assert_eq!(prefixes[..], ["198.51.100.1/32".parse().unwrap()]);
    assert_eq!((attributes.next_hop.address, attributes.med), (ip(5), Some(7)));
    assert_eq!((attributes.local_preference, &attributes.as_path[..]), (Some(100), &[][..]));
    assert_eq!(attributes.communities, [Community(65000, 1)]);
    let (attributes, prefixes) = v6.announced.as_ref().unwrap();
    assert_eq!(prefixes[..], ["2001:db8::1/128".parse().unwrap()]);
    assert_eq!(attributes.next_hop.address, "2001:db8::99".parse::<IpAddr>().unwrap());

    let gone = wanted.routes.remove(1);
    speaker.set(wanted.clone()).unwrap();
    let withdrawn = Update { family: Family::Ipv6, withdrawn: vec![gone.prefix], announced: None };
    assert_eq!(end.update(), withdrawn);

    end.say(&Message::RouteRefresh(Some(Family::Ipv4)));
    assert_eq!(end.update().announced.unwrap().1, ["198.51.100.1/32".parse().unwrap()]);

    speaker.stop("maintenance until noon");
    assert_eq!(end.reason(), Notification::cease_with(Cease::Shutdown, "maintenance until noon"));
}

#[test]
fn a_leave_fades_withdraws_and_ends_in_this_order_and_can_be_called_off() {
    let (listener, there) = listen(8);
    let mut wanted = config(7, port());
    wanted.neighbors.push(neighbor(7, 8, there));
    wanted.routes = vec![route("198.51.100.1/32")];
    wanted.pauses = Pauses { fade: Duration::from_millis(50), drain: Duration::from_millis(50) };
    let mut speaker = start(wanted.clone());
    let mut end = End::accept(&listener);
    end.greet(&open(8, 65000));
    assert_eq!(end.table().len(), 1);

    wanted.wish = Wish::Stop;
    wanted.reason = "rack 12 moves".to_owned();
    speaker.set(wanted.clone()).unwrap();
    let (faded, _) = end.update().announced.unwrap();
    assert_eq!(faded.communities, [Community::GRACEFUL_SHUTDOWN]);
    assert_eq!(faded.local_preference, Some(0));
    assert_eq!(end.update().withdrawn, ["198.51.100.1/32".parse().unwrap()]);
    assert_eq!(end.reason(), Notification::cease_with(Cease::Shutdown, "rack 12 moves"));
    wait(&speaker, "done", |status| status.stage == Stage::Done);
    super::end::nobody_comes(&listener, Duration::from_millis(300));

    listener.set_nonblocking(false).unwrap();
    wanted.wish = Wish::Announce;
    speaker.set(wanted).unwrap();
    let mut end = End::accept(&listener);
    end.greet(&open(8, 65000));
    assert!(end.table()[0].announced.as_ref().unwrap().0.communities.is_empty());
}

#[test]
fn a_changed_neighbor_gets_a_new_session_and_the_others_keep_theirs() {
    let (first, p1) = listen(10);
    let (second, p2) = listen(11);
    let mut wanted = config(9, port());
    wanted.neighbors = vec![neighbor(9, 10, p1), neighbor(9, 11, p2)];
    let mut speaker = start(wanted.clone());
    let mut ends = [(&first, 10), (&second, 11)].map(|(listener, own)| {
        let mut end = End::accept(listener);
        end.greet(&open(own, 65000));
        end.table();
        end
    });
    wanted.neighbors[0].hold = Duration::from_secs(30);
    speaker.set(wanted.clone()).unwrap();
    assert_eq!(ends[0].reason(), Notification::cease(Cease::ConfigurationChanged));
    drop(std::mem::replace(&mut ends[0], End::accept(&first)));
    assert_eq!(ends[0].greet(&open(10, 65000)).hold_seconds, 30);

    wanted.neighbors.remove(1);
    speaker.set(wanted).unwrap();
    assert_eq!(ends[1].reason(), Notification::cease(Cease::Deconfigured));
    wait(&speaker, "one is left", |status| status.neighbors.len() == 1 && is_up(&status.neighbors[0]));
}

#[test]
fn bytes_that_make_no_message_are_answered_and_the_next_session_is_a_new_one() {
    let (listener, there) = listen(13);
    let mut wanted = config(12, port());
    wanted.neighbors.push(neighbor(12, 13, there));
    let speaker = start(wanted);
    for (bytes, code, subcode) in [
        (vec![0; 19], 1, 1),
        ([[0xff; 16].to_vec(), vec![0x20, 0, 2]].concat(), 1, 2),
        ([[0xff; 16].to_vec(), vec![0, 23, 2, 0, 9, 0, 0]].concat(), 3, 1),
    ] {
        let mut end = End::accept(&listener);
        end.greet(&open(13, 65000));
        end.table();
        end.stream.write_all(&bytes).unwrap();
        let why = end.reason();
        assert_eq!((why.code, why.subcode), (code, subcode));
    }
    // One that can be lived with.
    let mut end = End::accept(&listener);
    end.greet(&open(13, 65000));
    end.table();
    let odd = [[0xff; 16].to_vec(), vec![0, 27, 2, 0, 0, 0, 4, 0x40, 1, 9, 0]].concat();
    end.stream.write_all(&odd).unwrap();
    let seen = wait_one(&speaker, "counted", |it| it.received.unread == 1);
    assert!(is_up(&seen) && seen.ups == 4, "{seen:?}");
}

#[test]
fn a_family_that_the_neighbor_did_not_turn_on_is_named() {
    let (listener, there) = listen(24);
    let mut wanted = config(23, port());
    wanted.neighbors.push(neighbor(23, 24, there));
    let speaker = start(wanted);
    let mut end = End::accept(&listener);
    let only_v4 = |one: &Capability| *one != Capability::Multiprotocol(Family::Ipv6);
    let capabilities = open(24, 65000).capabilities.into_iter().filter(only_v4).collect();
    end.greet(&Open { capabilities, ..open(24, 65000) });
    let session = wait_one(&speaker, "up", is_up).session.unwrap();
    assert_eq!((session.families, session.lacking), (vec![Family::Ipv4], vec![Family::Ipv6]));
}

#[test]
fn a_silent_neighbor_is_told_that_its_time_is_over() {
    let (listener, there) = listen(15);
    let mut wanted = config(14, port());
    wanted.neighbors.push(neighbor(14, 15, there));
    wanted.neighbors[0].hold = Duration::from_secs(3);
    let _speaker = start(wanted);
    let mut end = End::accept(&listener);
    end.greet(&open(15, 65000));
    assert_eq!(end.reason(), Notification::new(4, 0));
}

#[test]
fn a_neighbor_that_does_not_read_holds_up_nobody() {
    let (deaf, p1) = listen(17);
    let (good, p2) = listen(18);
    let mut wanted = config(16, port());
    // Without a hold time: neither end of the test says that it is still there.
    wanted.neighbors = vec![neighbor(16, 17, p1), neighbor(16, 18, p2)];
    wanted.neighbors.iter_mut().for_each(|one| one.hold = Duration::ZERO);
    let mut speaker = start(wanted.clone());
    let mut ends = [(&deaf, 17), (&good, 18)].map(|(listener, own)| {
        let mut end = End::accept(listener);
        end.greet(&open(own, 65000));
        end.table();
        end
    });
    // More than a megabyte each time; sockets hold a few of them.
    let many = |med: u32| {
        (0..8000_u32).map(move |n| {
            let mut one = route(&format!("10.0.{}.{}/32", n >> 8, n & 255));
            one.med = Some(med + n);
            one.communities = (0..20).map(|c| Community(65000, c)).collect();
            one
        })
    };
    let mut round = 0;
    let seen = loop {
        let seen = speaker.status().neighbors.remove(0);
        if seen.downs > 0 {
            break seen;
        }
        assert!(round < 60, "what a neighbor is owed has a limit");
        wanted.routes = many(round * 10_000).collect();
        speaker.set(wanted.clone()).unwrap();
        let mut heard = 0;
        while heard < 8000 {
            heard += ends[1].update().announced.unwrap().1.len();
        }
        round += 1;
    };
    assert_eq!(seen.last_error.unwrap(), "given up here: the neighbor does not read, and 16 MiB wait for it");
    assert!(round > 10, "the limit is far above what a table needs: {round} rounds");
    assert_eq!(speaker.status().neighbors[1].downs, 0);
    drop(ends);
}

#[test]
fn a_fault_of_this_end_is_not_called_one_of_the_neighbor() {
    let mut wanted = config(25, port());
    // Nobody listens, and an address that this machine does not have.
    let nowhere = "192.0.2.1".parse().unwrap();
    wanted.neighbors =
        vec![neighbor(25, 26, port()), Neighbor { local: Some(nowhere), ..neighbor(25, 27, port()) }];
    let speaker = start(wanted);
    let status = wait(&speaker, "two failures", |status| {
        status.neighbors.len() == 2 && status.neighbors.iter().all(|one| one.last_error.is_some())
    });
    let [refused, unbound] = [0, 1].map(|n| status.neighbors[n].last_error.clone().unwrap());
    assert_eq!(refused, "cannot connect: Connection refused (os error 111)");
    assert_eq!(unbound, "cannot connect: from 192.0.2.1: Cannot assign requested address (os error 99)");
}

#[test]
fn an_as_number_that_is_not_the_expected_one_is_named() {
    let (listener, there) = listen(29);
    let mut wanted = config(28, port());
    wanted.neighbors.push(neighbor(28, 29, there));
    let speaker = start(wanted);
    let mut end = End::accept(&listener);
    end.say(&Message::Open(open(29, 65010)));
    let seen = wait_one(&speaker, "the fault", |it| it.last_error.is_some());
    let expected = "ended here: bad peer AS (2/2): the neighbor says AS 65010, expected 65000";
    assert_eq!(seen.last_error.unwrap(), expected);
}

#[test]
fn who_is_no_neighbor_is_turned_away_and_counted() {
    let here = port();
    let mut wanted = config(19, here);
    wanted.neighbors.push(neighbor(19, 20, 1));
    wanted.neighbors[0].passive = true;
    let speaker = start(wanted);
    let to = SocketAddr::new(ip(19), here);
    wait(&speaker, "listening", |status| status.listeners.len() == 1 && status.listeners[0].error.is_none());
    // It may be turned away before it knows that it was connected.
    if let Ok(mut stranger) = End::connect(21, to) {
        assert_eq!(stranger.next(), None);
    }
    wait(&speaker, "counted", |status| status.strangers == 1);
    let mut end = End::connect(20, to).unwrap();
    end.greet(&open(20, 65000));
    assert!(end.table().is_empty());
    assert!(wait_one(&speaker, "up", is_up).session.unwrap().incoming);
}

#[test]
fn an_address_that_is_taken_is_reported_and_tried_again() {
    let taken = TcpListener::bind(SocketAddr::new(ip(22), 0)).unwrap();
    let wanted = config(22, taken.local_addr().unwrap().port());
    let mut speaker = start(wanted.clone());
    wait(&speaker, "an error", |status| status.listeners.iter().any(|one| one.error.is_some()));
    drop(taken);
    speaker.set(wanted).unwrap();
    wait(&speaker, "no error", |status| status.listeners.iter().all(|one| one.error.is_none()));
}
