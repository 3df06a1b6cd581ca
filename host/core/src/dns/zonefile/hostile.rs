//! Hostile zone files: a zone that answers, or faults that lead to lines of the file.

use weir_hostile::{Memory, Shape, Target, attack};

use super::{Included, read};
use crate::dns::answer::{Request, Responder, Static, Transport};
use crate::dns::name::Name;
use crate::dns::record::Type;
use crate::dns::wire::Rcode;
use crate::dns::zone::Zones;

const HEAD: &str = "$TTL 1h\n@ SOA ns hostmaster 1 2h 30m 3d 15m\n@ NS ns.example.net.\n";

/// One of everything that the format has.
const RICH: &str = "www 1h IN A ( 192.0.2.1 ) ; text\n TXT \"a\\\"b\" \\100c\n*.x CNAME @\nt TYPE65400 \\# 2 abcd\n\
    s SVCB 1 . alpn=\"h2,h3\" mandatory=alpn\n_policy.www TXT web\nc CAA 0 issue \"x\"\nk OPENPGPKEY AQID\n\
    $INCLUDE f sub\n$ORIGIN y\n@ A 192.0.2.1\nsub NS ns.sub\nns.sub A 192.0.2.1\nd DNAME e\n\
    m MX 10 mail\n_sip._tcp SRV 1 2 5060 mail\nn NAPTR 1 2 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b!\" .\n\
    l LOC 51 30 12.748 N 0 7 39.611 W 0.00m\np SSHFP 4 2 00ff\nq TLSA 3 1 1 00ff\ne DS 1 8 2 00ff\n";

/// A file, which may include itself.
struct ZoneFile(Name);

impl Target for ZoneFile {
    fn name(&self) -> &'static str {
        "dns-zone-file"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let lines = RICH.lines().map(|line| format!("{HEAD}{line}\n"));
        lines.chain([HEAD.to_owned(), format!("{HEAD}{RICH}")]).map(String::into_bytes).collect()
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        let mut include = |path: &str, _: &str| match path {
            "self" => Ok(Included { name: "self".into(), text: bytes.to_vec() }),
            "none" => Err("no such file".to_owned()),
            _ => Ok(Included { name: "f".into(), text: b"h A 192.0.2.1\n".to_vec() }),
        };
        let zone = match read(&self.0, "main", bytes, &mut include) {
            Ok(zone) => zone,
            Err(errors) => {
                let lines = u32::try_from(bytes.iter().filter(|byte| **byte == b'\n').count() + 1).unwrap();
                assert!(!errors.faults().is_empty() && errors.to_string().len() < 50 * 800);
                assert!(errors.faults().iter().all(|fault| (1..=lines).contains(&fault.place.line)));
                return Shape::of(&errors.faults().first().map(|fault| fault.message.clone()));
            }
        };
        let (names, origin) = (zone.names(), zone.origin().clone());
        let zones = Zones::new([zone]).unwrap();
        // Whatever it is, it is a zone: its SOA is there for who asks.
        let question = [origin.as_wire(), &Type::SOA.0.to_be_bytes(), &[0, 1]].concat();
        let message = [&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let request = Request {
            message: &message,
            from: std::net::Ipv4Addr::LOCALHOST.into(),
            transport: Transport::Tcp,
            now: 0,
            turn: 0,
        };
        let reply = Responder::default().respond(&request, &zones, &mut Static, &mut Vec::new());
        assert_eq!(reply.map(|reply| reply.rcode), Some(Rcode::NOERROR));
        Shape::of(&names.min(8).to_string().repeat(names.min(8)))
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"$INCLUDE self\n",
            b"$INCLUDE none\n",
            b"$ORIGIN ",
            b"$TTL ",
            b"\\# ",
            b"\\000",
            b"\\255",
            b"_policy.",
            b" TYPE",
            b" CLASS1 ",
            b"\"",
            b"(",
            b")",
            b";",
            b"*.",
            b"4294967296",
            b"w1d1h1m1s",
        ]
    }

    /// A file that includes itself does so as often as it may, and each of its names is a node with a table's place.
    fn memory(&self) -> Memory {
        Memory { base: 1 << 20, per_byte: 16 << 10 }
    }
}

#[test]
fn dns_zone_file() {
    attack(&ZoneFile(Name::parse("example.org").unwrap()));
}
