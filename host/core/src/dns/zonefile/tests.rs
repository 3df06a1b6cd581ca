//! What files mean, and what is said of those that are wrong.

use super::{Errors, Included, read};
use crate::dns::name::{InlineName, Name};
use crate::dns::record::Type;
use crate::dns::zone::Zone;

const HEAD: &str = "$TTL 1h\n@ SOA ns hostmaster 1 2h 30m 3d 15m\n@ NS ns.example.net.\n";

fn try_read(text: &str) -> Result<Zone, Errors> {
    let origin = Name::parse("example.org").unwrap();
    read(&origin, "example.org.zone", text.as_bytes(), &mut |path, _| Err(format!("no such file: {path}")))
}

fn zone(text: &str) -> Zone {
    try_read(text).unwrap_or_else(|e| panic!("{e}"))
}

/// TTL and data in hexadecimal of each record.
fn records(zone: &Zone, name: &str, kind: Type) -> Vec<(u32, String)> {
    let name = Name::parse(name).unwrap();
    let node = zone.node_at(InlineName::lower(name.as_wire()).as_wire());
    let set = node.and_then(|n| n.set(kind));
    let show = |data: &[u8]| data.iter().map(|b| format!("{b:02x}")).collect();
    set.map(|set| set.iter().map(|data| (set.ttl, show(data))).collect()).unwrap_or_default()
}

/// The data of one record, as it is read from these words.
fn data(words: &str) -> String {
    let zone = zone(&format!("{HEAD}x {words}\n"));
    let kind = words.split_whitespace().next().and_then(Type::from_word).unwrap();
    let [(_, data)] = records(&zone, "x.example.org", kind).try_into().unwrap();
    data
}

/// The faults, without the name of the file.
fn faults(text: &str) -> Vec<String> {
    let errors = try_read(text).expect_err(text);
    errors.faults().iter().map(|f| f.to_string().replacen("example.org.zone:", "", 1)).collect()
}

#[test]
fn owners_ttls_and_origins_are_inherited_as_rfc_1035_and_2308_say() {
    let zone = zone(
        "@ IN 300 SOA ns hostmaster ( 1 ; the serial\n  7200 1800\n\n 259200 900 ) ; end\n\
         \t NS ns.example.net.\n\
         one A 192.0.2.1\n\
         $TTL 2h\n\
         two IN A 192.0.2.2\n\
         \t60 IN AAAA ::1\n\
         \tTXT \"after 60\"\n\
         $ORIGIN deep\n\
         three 5m A 192.0.2.3\n\
         four.example.org. CLASS1 30 A 192.0.2.4\n\
         @ A 192.0.2.5\n",
    );
    let ttl = |name: &str, kind| records(&zone, name, kind)[0].0;
    assert_eq!(ttl("example.org", Type::NS), 300, "of the record before");
    assert_eq!(ttl("one.example.org", Type::A), 300);
    assert_eq!(ttl("two.example.org", Type::A), 7200, "$TTL");
    assert_eq!(ttl("two.example.org", Type::AAAA), 60);
    assert_eq!(ttl("two.example.org", Type::TXT), 7200, "$TTL, not that of the record before");
    assert_eq!(ttl("three.deep.example.org", Type::A), 300);
    assert_eq!(ttl("four.example.org", Type::A), 30);
    assert_eq!(ttl("deep.example.org", Type::A), 7200);
    assert_eq!((zone.serial(), zone.negative_ttl()), (1, 300));
}

#[test]
fn a_file_without_any_ttl_has_the_minimum_of_its_soa() {
    let zone = zone("@ SOA ns hostmaster 1 2 3 4 900\n@ NS ns\nwww A 192.0.2.1\n");
    assert_eq!(records(&zone, "www.example.org", Type::A), [(900, "c0000201".into())]);
}

#[test]
fn records_of_one_set_share_the_lowest_ttl_and_are_there_once() {
    let zone = zone(&format!("{HEAD}www 60 A 192.0.2.1\nwww 30 A 192.0.2.2\nWWW 90 A 192.0.2.1\n"));
    let both = [(30, "c0000201".to_owned()), (30, "c0000202".to_owned())];
    assert_eq!(records(&zone, "www.example.org", Type::A), both);
}

#[test]
fn data_of_every_type_has_its_wire_form() {
    for (words, wire) in [
        ("A 192.0.2.1", "c0000201"),
        ("AAAA 2001:db8::1", "20010db8000000000000000000000001"),
        ("NS a", "0161076578616d706c65036f726700"),
        ("CNAME a.", "016100"),
        ("DNAME .", "00"),
        ("PTR @", "076578616d706c65036f726700"),
        ("MX 10 a.", "000a016100"),
        ("AFSDB 1 a.", "0001016100"),
        ("KX 1 a.", "0001016100"),
        (r#"TXT "a b" c \100\"e "f;g""#, "03612062016303642265"),
        ("HINFO a b", "01610162"),
        ("RP a. b.", "016100016200"),
        ("SRV 1 2 65535 a.", "00010002ffff016100"),
        (r#"NAPTR 1 2 "u" "sip" "!^.*$!sip:a!" ."#, "00010002017503736970"),
        ("CAA 128 issue \"ca.net; x=1\"", "8005697373756563612e6e65743b20783d31"),
        ("DS 1 8 2 AB cd", "00010802abcd"),
        ("CDS 0 0 0 00", "0000000000"),
        ("SSHFP 1 2 abcd", "0102abcd"),
        ("TLSA 3 1 1 (ab\n cd)", "030101abcd"),
        ("OPENPGPKEY AQID BAU=", "0102030405"),
        ("TYPE65400 \\# 3 ab cdef", "abcdef"),
        ("TYPE1 \\# 4 c0000201", "c0000201"),
        ("A \\# 4 c0000201", "c0000201"),
        ("TYPE65401 \\# 0", ""),
        ("HTTPS 0 a.", "0000016100"),
        ("HTTPS 1 . alpn=h2,h3 port=8443", "000100000100060268320268330003000220fb"),
        ("HTTPS 1 . port=8443 alpn=\"h2\"", "000100000100030268320003000220fb"),
        ("SVCB 1 . ipv4hint=192.0.2.1,192.0.2.2 key65000=x", "0001000004"),
        (
            "SVCB 1 . mandatory=port,alpn alpn=h2 no-default-alpn port=1",
            "00010000000004000100030001000302683200020000000300020001",
        ),
        (
            "SVCB 1 . ech=AQID dohpath=/q{?dns} ipv6hint=::1",
            "000100000500030102030006001000000000000000000000000000000001000700082f717b3f646e737d",
        ),
    ] {
        let is = data(words);
        let prefix_only = ["TXT", "NAPTR", "SVCB 1 . ipv4"].iter().any(|w| words.starts_with(w));
        assert!(is == wire || prefix_only && is.starts_with(wire), "{words}: {is}");
    }
}

#[test]
fn a_record_that_is_wrong_is_named_with_its_line_and_what_would_be_right() {
    for (line, message) in [
        ("www A 192.0.2", "A: `192.0.2` is not an IPv4 address, as 192.0.2.1"),
        ("www A", "A: an IPv4 address, as 192.0.2.1 is missing"),
        ("www A 192.0.2.1 192.0.2.2", "A: `192.0.2.2` is too much: the data ends before it"),
        ("www AAAA 192.0.2.1", "AAAA: `192.0.2.1` is not an IPv6 address, as 2001:db8::1"),
        ("www MX mail", "MX: `mail` is not a preference (0 to 65535)"),
        ("www MX +1 mail", "MX: `+1` is not a preference (0 to 65535)"),
        ("www MX 1 a..b", "MX: `a..b`: the name has an empty label: two dots in a row, or one at its start"),
        ("www", "the record has no type: `NAME TTL TYPE DATA`"),
        (
            "www 60 60 A 192.0.2.1",
            "`60` is no record type: types without a word are written `TYPE123 \\# 2 abcd`",
        ),
        ("www CH TXT x", "class CH: only Internet (IN) is served"),
        (
            "www 1x A 192.0.2.1",
            "`1x` is no time: write seconds, or `1h30m` with w, d, h, m, s; at most 2147483647 s",
        ),
        (
            "www 60 DYNA multifo!web",
            "`DYNA` is no type that other servers read: name the policy that decides the addresses of `www` with `_policy.www 60 TXT \"web\"`",
        ),
        (
            "www DNSKEY 257 3 8 abcd",
            "DNSKEY: its data is not read by words here: write it as `TYPE48 \\# LENGTH HEX`",
        ),
        ("www TYPE65400 \\# 3 abcd", "TYPE65400: the length says 3 bytes, and there are 2"),
        (
            "www TYPE65400 \\# 2 abc",
            "TYPE65400: data in hexadecimal has two digits for each byte, and here one is left",
        ),
        ("www CNAME \\# 2 c00c", "CNAME: these bytes are no data of type CNAME"),
        ("www ANY x", "ANY: its data is not read by words here: write it as `TYPE255 \\# LENGTH HEX`"),
        ("www TYPE41 \\# 0", "OPT stands in messages only, a zone cannot have it"),
        ("www SOA a b 1 2 3 4 5", "the SOA belongs to the origin, example.org., and not to www.example.org."),
        (
            "www.example.net. A 192.0.2.1",
            "www.example.net. is outside of the zone example.org.: records of it belong in its own file",
        ),
        ("www TXT \"open", "the quoted text has no end: close it on this line"),
        ("www A ) 192.0.2.1", "a parenthesis is closed here that was not opened"),
        ("www A ( 192.0.2.1", "the parenthesis of line 4 is never closed"),
        ("www TXT ( (", "the parenthesis of line 4 is still open: they do not nest"),
        ("$TTL", "`$TTL` wants one time: `$TTL 1h`"),
        (
            "$GENERATE 1-2 a A 192.0.2.$",
            "`$GENERATE` is no directive: there are `$ORIGIN`, `$TTL` and `$INCLUDE`",
        ),
        ("$INCLUDE other", "cannot include `other`: no such file: other"),
        ("www SVCB 1 . mandatory=port", "SVCB: `mandatory` names a key that is not there"),
        ("www SVCB 0 . port=1", "SVCB: priority 0 makes it an alias, which has no parameters"),
        (
            "www SVCB 1 . colour=red",
            "SVCB: `colour=red`: no such key: alpn, port, ipv4hint, ipv6hint, ech, mandatory, dohpath or key65000",
        ),
        ("www CAA 0 is-sue x", "CAA: the tag is letters and digits: issue, issuewild or iodef"),
    ] {
        assert_eq!(faults(&format!("{HEAD}{line}\n")), [format!("4: {message}")]);
    }
    let long = format!("{HEAD}www TXT \"{}\"\n", "x".repeat(256));
    assert_eq!(
        faults(&long),
        ["4: TXT: a text has at most 255 bytes and this one 256: write several, each in quotes"]
    );
}

#[test]
fn what_does_not_go_together_is_named() {
    for (lines, message) in [
        (
            "www CNAME a\nwww A 192.0.2.1",
            "4: www.example.org. has a CNAME and other records: an alias has nothing else (RFC 1034 §3.6.2)",
        ),
        ("www CNAME a\nwww CNAME b", "4: www.example.org. has 2 CNAME records, it can have one"),
        (
            "www DNAME a\nwww NS b",
            "4: www.example.org. has a DNAME and NS records: it is redirected or delegated, not both (RFC 6672 §2.3)",
        ),
        (
            "*.x NS b",
            "4: *.x.example.org. is a wildcard, and what NS means there is undefined (RFC 4592 §4): name each",
        ),
        (
            "_policy.www TXT a b",
            "4: _policy.www.example.org. wants one TXT with one string, the name of a policy: `TXT \"web\"`",
        ),
        (
            "_policy.www TXT \"a b\"",
            "4: _policy.www.example.org. wants one TXT with one string, the name of a policy: `TXT \"web\"`",
        ),
        (
            "www CNAME a\n_policy.www TXT web",
            "5: a policy decides the addresses of a name, and this one has a CNAME: remove one of them",
        ),
        ("@ SOA ns hostmaster 2 2 3 4 5", "2: example.org. has 2 SOA records, it can have one"),
    ] {
        assert_eq!(faults(&format!("{HEAD}{lines}\n")), [message]);
    }
    assert_eq!(
        faults("$TTL 1\n@ SOA a b 1 2 3 4 5\n"),
        ["2: the zone example.org. has no name server: `@ NS ns1.example.org.`"]
    );
    assert_eq!(
        faults("$TTL 1\n@ NS a\n"),
        ["1: the zone example.org. has no SOA: `@ SOA ns1 hostmaster 1 7200 1800 259200 900`"]
    );
    assert_eq!(
        faults(" A 192.0.2.1\n"),
        ["1: the first record has no owner: start its line with a name or `@`"]
    );
    assert_eq!(faults("www A 192.0.2.1\n"), ["1: the record has no TTL: write one, or `$TTL 1h` above it"]);
}

#[test]
fn all_faults_are_reported_at_once_up_to_a_limit() {
    assert_eq!(faults(&format!("{HEAD}a A x\nb A 192.0.2.1\n\nc A \"y\n d A z")).len(), 3);
    let many = try_read(&"www A x\n".repeat(100_000)).unwrap_err();
    assert_eq!(many.faults().len(), 50);
    assert!(many.to_string().ends_with("and perhaps more: mend these first"));
}

#[test]
fn an_included_file_has_an_origin_of_its_own_and_changes_nothing_behind_it() {
    let text = format!("{HEAD}www A 192.0.2.1\n$INCLUDE \"the hosts\" sub\n\tAAAA ::1\n");
    let mut asked = Vec::new();
    let mut include = |path: &str, from: &str| {
        asked.push(format!("{path} from {from}"));
        Ok(Included {
            name: path.into(),
            text: b"$TTL 5\n$ORIGIN x.sub.example.org.\nwww A 192.0.2.2\n".to_vec(),
        })
    };
    let zone = read(&Name::parse("example.org").unwrap(), "main", text.as_bytes(), &mut include).unwrap();
    assert_eq!(asked, ["the hosts from main"]);
    assert_eq!(records(&zone, "www.x.sub.example.org", Type::A), [(5, "c0000202".into())]);
    assert_eq!(records(&zone, "www.example.org", Type::AAAA)[0].0, 3600, "owner, origin and TTL as before");
}

#[test]
fn files_that_include_themselves_end_with_an_error_in_the_right_file() {
    let mut include =
        |_: &str, _: &str| Ok(Included { name: "loop".into(), text: b"\n$INCLUDE loop\n".repeat(9) });
    let errors = read(&Name::root(), "main", b"$INCLUDE loop\n", &mut include).unwrap_err();
    assert_eq!(
        errors.faults()[0].to_string(),
        "loop:2: files include each other 8 deep: perhaps in a circle"
    );
}

#[test]
fn policies_are_listed_with_their_lines() {
    let zone =
        zone(&format!("{HEAD}_policy.www 60 TXT \"web\"\n_policy 30 TXT apex\n_POLICY.*.geo TXT geo\n"));
    let list: Vec<_> = zone.policies().map(|p| (&*p.policy, p.max_ttl, p.place.line)).collect();
    assert_eq!(list, [("apex", 30, 5), ("web", 60, 4), ("geo", 3600, 6)]);
}

#[test]
fn line_ends_and_marks_of_other_systems_are_read() {
    let text = format!("\u{feff}{HEAD}www\tA 192.0.2.1\\\n").replace('\n', "\r\n").replace("\\\r", "\r");
    assert_eq!(records(&zone(&text), "www.example.org", Type::A).len(), 1);
}
