use super::*;

fn said(line: &str) -> AgentReport {
    parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

#[test]
fn every_word_of_the_grammar_means_what_haproxy_says() {
    let none = AgentReport::default;
    let table = [
        ("\n", none()),
        ("up\n", AgentReport { health: Some(Health::Up), ..none() }),
        ("UP\r\n", AgentReport { health: Some(Health::Up), ..none() }),
        ("down\n", AgentReport { health: Some(Health::Down), ..none() }),
        ("Fail\n", AgentReport { health: Some(Health::Down), ..none() }),
        ("stopped\r", AgentReport { health: Some(Health::Down), ..none() }),
        ("ready\n", AgentReport { admin: Some(Admin::Ready), ..none() }),
        ("DRAIN\n", AgentReport { admin: Some(Admin::Drain), ..none() }),
        ("maint\n", AgentReport { admin: Some(Admin::Maint), ..none() }),
        ("75%\n", AgentReport { weight: Some(Weight::Percent(75)), ..none() }),
        ("0%\n", AgentReport { weight: Some(Weight::Percent(0)), ..none() }),
        ("250%\n", AgentReport { weight: Some(Weight::Percent(250)), ..none() }),
        ("99999999999%\n", AgentReport { weight: Some(Weight::Percent(MAX_PERCENT)), ..none() }),
        ("weight:50%\n", AgentReport { weight: Some(Weight::Percent(50)), ..none() }),
        ("Weight:256\n", AgentReport { weight: Some(Weight::Absolute(256)), ..none() }),
        ("maxconn:30\n", AgentReport { max_in_flight: Some(30), ..none() }),
        ("MaxConn:0\n", AgentReport { max_in_flight: Some(0), ..none() }),
        ("maxconn:99999999999\n", AgentReport { max_in_flight: Some(u32::MAX), ..none() }),
    ];
    for (line, report) in table {
        assert_eq!(said(line), report, "{line:?}");
    }
}

#[test]
fn words_are_separated_by_spaces_tabs_and_commas_and_the_last_of_a_category_wins() {
    let report = said(" ,\tup,drain  maint\tdown ready,10%,\t20% maxconn:5,,maxconn:6 weight:7 ,\n");
    let expected = AgentReport {
        health: Some(Health::Down),
        admin: Some(Admin::Ready),
        weight: Some(Weight::Absolute(7)),
        max_in_flight: Some(6),
        reason: None,
        complaint: None,
    };
    assert_eq!(report, expected);
}

#[test]
fn what_follows_the_line_is_not_read() {
    assert_eq!(said("up\ndown\n").health, Some(Health::Up));
    assert_eq!(said("up\rdown\n").health, Some(Health::Up));
    assert_eq!(said(&format!("up\n{}", "x".repeat(10_000))).health, Some(Health::Up));
}

#[test]
fn text_after_a_sharp_at_the_start_of_a_word_is_the_reason() {
    assert_eq!(said("down # \t disk full, really \n").reason.as_deref(), Some("disk full, really"));
    assert_eq!(
        said("down #up drain 0%\n"),
        AgentReport { reason: Some("up drain 0%".into()), ..said("down\n") }
    );
    assert_eq!(said("down #\n").reason, None);
    assert_eq!(said("# only text\n").reason.as_deref(), Some("only text"));
    // As in HAProxy, inside a word it is a part of the word.
    assert_eq!(parse(b"down#disk\n"), Err(AgentError::UnknownWord("down#disk".into())));
}

#[test]
fn reasons_are_bounded_and_cannot_move_a_cursor() {
    let reason = said(&format!("down #\x1b[2J{}\n", "ü".repeat(200))).reason.unwrap();
    assert!(reason.starts_with("\u{fffd}[2Jü"), "{reason}");
    assert!(reason.len() <= MAX_REASON && !reason.contains('\x1b'));
    assert_eq!(parse(b"down #\xff\xfe\n").unwrap().reason.as_deref(), Some("\u{fffd}\u{fffd}"));
}

#[test]
fn a_line_of_which_nothing_can_be_used_is_an_error() {
    let unknown = |word: &str| AgentError::UnknownWord(word.into());
    let number = |word: &str| AgentError::BadNumber(word.into());
    let long = format!("{}\n", " ".repeat(MAX_LINE + 1));
    let endless = "u".repeat(MAX_LINE + 1);
    let table = [
        ("", AgentError::Incomplete("".into())),
        ("up", AgentError::Incomplete("up".into())),
        ("up # no line end", AgentError::Incomplete("up # no line end".into())),
        (long.as_str(), AgentError::TooLong),
        (endless.as_str(), AgentError::TooLong),
        ("upp\n", unknown("upp")),
        ("u\n", unknown("u")),
        ("up\0\n", unknown("up\u{fffd}")),
        ("up;down\n", unknown("up;down")),
        ("75\n", unknown("75")),
        ("%\n", unknown("%")),
        ("-5%\n", unknown("-5%")),
        ("weight\n", unknown("weight")),
        ("maxconn\n", unknown("maxconn")),
        ("stop ping\n", unknown("stop")),
        ("5%5\n", number("5%5")),
        ("5x%\n", number("5x%")),
        ("5%%\n", number("5%%")),
        ("weight:\n", number("weight:")),
        ("weight:%\n", number("weight:%")),
        ("weight:257\n", number("weight:257")),
        ("weight:-1\n", number("weight:-1")),
        ("weight:1.5\n", number("weight:1.5")),
        ("weight: 10\n", number("weight:")),
        ("maxconn:\n", number("maxconn:")),
        ("maxconn:-1\n", number("maxconn:-1")),
        ("maxconn:+1\n", number("maxconn:+1")),
        ("maxconn:10%\n", number("maxconn:10%")),
        ("nonsense # with a reason\n", unknown("nonsense")),
        ("first second\n", unknown("first")),
    ];
    for (line, error) in table {
        assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
    }
}

#[test]
fn a_bad_word_does_not_spoil_the_good_ones_and_the_first_is_complained_about() {
    let report = said("huh drain weight:999 what up # why\n");
    assert_eq!((report.health, report.admin, report.weight), (Some(Health::Up), Some(Admin::Drain), None));
    assert_eq!(report.reason.as_deref(), Some("why"));
    assert_eq!(report.complaint, Some(AgentError::UnknownWord("huh".into())));
    // A later wrong number leaves the earlier right one.
    assert_eq!(said("50% weight:999\n").weight, Some(Weight::Percent(50)));
}

#[test]
fn a_line_of_exactly_the_limit_is_read() {
    let line = format!("{:<MAX_LINE$}\n", "drain");
    assert_eq!(said(&line).admin, Some(Admin::Drain));
}

#[test]
fn no_bytes_make_it_panic_or_keep_much() {
    let mut random = 1u64;
    let alphabet = b"updownreadmi%:#, \t\r\n0123456789weightmaxconn\0\xff\x1b";
    for _ in 0..20_000 {
        let mut line = Vec::new();
        for _ in 0..random % 40 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            line.push(alphabet[usize::try_from(random >> 33).unwrap() % alphabet.len()]);
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(7);
        if let Ok(report) = parse(&line) {
            assert!(line.iter().any(|b| matches!(b, b'\r' | b'\n')), "{line:?}");
            assert!(report.reason.is_none_or(|reason| reason.len() <= MAX_REASON));
        }
    }
}

#[test]
fn weights_are_of_the_configured_one_and_only_nothing_is_nothing() {
    let table = [
        (Weight::Percent(100), 10, 10),
        (Weight::Percent(75), 10, 7),
        (Weight::Percent(50), 1, 1), // HAProxy: 0
        (Weight::Percent(1), 10, 1),
        (Weight::Percent(0), 10, 0),
        (Weight::Percent(300), 100, 256),
        (Weight::Percent(MAX_PERCENT), 0, 0),
        (Weight::Percent(u32::MAX), 256, 256),
        (Weight::Absolute(0), 10, 0),
        (Weight::Absolute(9), 10, 9),
        (Weight::Absolute(u16::MAX), 10, 256),
    ];
    for (weight, configured, result) in table {
        assert_eq!(weight.of(configured), result, "{weight:?} of {configured}");
    }
    assert_eq!(Weight::parse("20%"), Some(Weight::Percent(20)));
    assert_eq!(Weight::parse("20"), Some(Weight::Absolute(20)));
    assert_eq!(Weight::parse("257"), None);
    assert_eq!(Weight::parse(" 2"), None);
}
