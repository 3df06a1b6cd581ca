//! What a zone says, and what is not served.

use super::{Probe, probe};
use crate::dns::query::{ask, ask_class, kind};

pub(super) fn data() -> Vec<Probe> {
    let a = |name: &str| ask(name, kind::A);
    vec![
        probe("a name", a("ns1.example.org"), "NOERROR aa an=[ns1.example.org. 3600 A 192.0.2.1]"),
        probe("no such name", a("nothing.example.org"), "NXDOMAIN aa au=[SOA]"),
        probe("no such type", ask("www.example.org", kind::MX), "NOERROR aa au=[SOA]"),
        probe("an empty non-terminal", a("ent.example.org"), "NOERROR aa au=[SOA]"),
        probe("an empty non-terminal below one", a("er.ent.example.org"), "NOERROR aa au=[SOA]"),
        probe("beside what an empty non-terminal has", a("x.ent.example.org"), "NXDOMAIN aa au=[SOA]"),
        probe("below a leaf", a("x.mail.example.org"), "NXDOMAIN aa au=[SOA]"),
        probe(
            "the SOA has its own TTL",
            ask("example.org", kind::SOA),
            "NOERROR aa an=[example.org. 3600 SOA ns1.example.org. hostmaster.example.org. 7 7200 1800 259200 900]",
        ),
        probe(
            "name servers of the zone",
            ask("example.org", kind::NS),
            "NOERROR aa an=[example.org. 3600 NS ns1.example.org., example.org. 3600 NS ns2.example.net.] ad=[ns1.example.org. 3600 A 192.0.2.1, ns1.example.org. 3600 AAAA 2001:db8::1]",
        ),
        probe(
            "a mail server",
            ask("example.org", kind::MX),
            "NOERROR aa an=[example.org. 3600 MX 10 mail.example.org.]",
        ),
        probe(
            "a service",
            ask("_sip._tcp.example.org", kind::SRV),
            "NOERROR aa an=[_sip._tcp.example.org. 3600 SRV 10 20 5060 mail.example.org.]",
        ),
        probe(
            "a type without a word",
            ask("odd.example.org", 65400),
            "NOERROR aa an=[odd.example.org. 3600 TYPE65400 abcdef]",
        ),
        probe(
            "in the case of the question",
            a("nS1.eXample.ORG"),
            "NOERROR aa an=[nS1.eXample.ORG. 3600 A 192.0.2.1]",
        ),
        probe(
            "a wildcard",
            a("foo.wild.example.org"),
            "NOERROR aa an=[foo.wild.example.org. 3600 A 192.0.2.77]",
        ),
        probe(
            "a wildcard for two labels",
            a("a.b.wild.example.org"),
            "NOERROR aa an=[a.b.wild.example.org. 3600 A 192.0.2.77]",
        ),
        probe("a wildcard without the type", ask("foo.wild.example.org", kind::MX), "NOERROR aa au=[SOA]"),
        probe(
            "a name blocks the wildcard, with its type",
            a("there.wild.example.org"),
            "NOERROR aa an=[there.wild.example.org. 3600 A 192.0.2.78]",
        ),
        probe(
            "a name blocks the wildcard, without its type",
            ask("there.wild.example.org", kind::TXT),
            "NOERROR aa au=[SOA]",
        ),
        probe("below a name that blocks the wildcard", a("x.there.wild.example.org"), "NXDOMAIN aa au=[SOA]"),
        probe(
            "the wildcard by its own name",
            a("*.wild.example.org"),
            "NOERROR aa an=[*.wild.example.org. 3600 A 192.0.2.77]",
        ),
        probe("below the wildcard by its own name", a("x.*.wild.example.org"), "NXDOMAIN aa au=[SOA]"),
        probe("the wildcard's parent", a("wild.example.org"), "NOERROR aa au=[SOA]"),
        probe(
            "a wildcard that is an alias",
            ask("foo.w-alias.example.org", kind::AAAA),
            "NOERROR aa an=[foo.w-alias.example.org. 3600 CNAME www.example.org., www.example.org. 60 AAAA 2001:db8::1]",
        ),
        probe(
            "an alias",
            ask("alias.example.org", kind::AAAA),
            "NOERROR aa an=[alias.example.org. 3600 CNAME www.example.org., www.example.org. 60 AAAA 2001:db8::1]",
        ),
        probe(
            "an alias of an alias",
            ask("alias2.example.org", kind::AAAA),
            "NOERROR aa an=[alias2.example.org. 3600 CNAME alias.example.org., alias.example.org. 3600 CNAME www.example.org., www.example.org. 60 AAAA 2001:db8::1]",
        ),
        probe(
            "an alias itself",
            ask("alias2.example.org", kind::CNAME),
            "NOERROR aa an=[alias2.example.org. 3600 CNAME alias.example.org.]",
        ),
        probe(
            "an alias of a name without the type",
            ask("alias.example.org", kind::MX),
            "NOERROR aa an=[alias.example.org. 3600 CNAME www.example.org.] au=[SOA]",
        ),
        probe(
            "an alias of nothing",
            a("dangle.example.org"),
            "NXDOMAIN aa an=[dangle.example.org. 3600 CNAME nothing.example.org.] au=[SOA]",
        ),
        probe(
            "an alias that leaves the zone",
            a("out.example.org"),
            "NOERROR aa an=[out.example.org. 3600 CNAME www.example.net.]",
        ),
        probe(
            "aliases in a circle",
            a("loop-a.example.org"),
            "NOERROR aa an=[loop-a.example.org. 3600 CNAME loop-b.example.org., loop-b.example.org. 3600 CNAME loop-a.example.org.]",
        ),
        probe(
            "a wildcard that is its own alias",
            a("y.w-self.example.org"),
            "NOERROR aa an=[y.w-self.example.org. 3600 CNAME x.w-self.example.org., x.w-self.example.org. 3600 CNAME x.w-self.example.org.]",
        ),
        probe(
            "an alias and ANY",
            ask("alias.example.org", kind::ANY),
            "NOERROR aa an=[alias.example.org. 3600 CNAME www.example.org.]",
        ),
    ]
}

pub(super) fn delegations() -> Vec<Probe> {
    let a = |name: &str| ask(name, kind::A);
    let referral = "au=[sub.example.org. 3600 NS ns.sub.example.org., sub.example.org. 3600 NS ns1.example.org.] \
                    ad=[ns.sub.example.org. 3600 A 192.0.2.53, ns1.example.org. 3600 A 192.0.2.1, \
                    ns1.example.org. 3600 AAAA 2001:db8::1]";
    let plain = &format!("NOERROR {referral}");
    let ds = "NOERROR aa an=[sub.example.org. 3600 DS 0001080200112233445566778899aabbccddeeff00112233445566778899aabbccddeeff]";
    vec![
        probe("at a cut", a("sub.example.org"), plain),
        probe("below a cut", a("x.y.sub.example.org"), plain),
        probe("the name servers at a cut", ask("sub.example.org", kind::NS), plain),
        probe("ANY at a cut", ask("sub.example.org", kind::ANY), plain),
        probe("SOA at a cut", ask("sub.example.org", kind::SOA), plain),
        probe("a name server's address below a cut", a("ns.sub.example.org"), plain),
        probe("DS at a cut belongs to this side", ask("sub.example.org", kind::DS), ds),
        probe("DS below a cut", ask("x.sub.example.org", kind::DS), plain),
        probe("DS at the origin", ask("example.org", kind::DS), "NOERROR aa au=[SOA]"),
        probe(
            "an alias to below a cut",
            a("c-sub.example.org"),
            format!("NOERROR aa an=[c-sub.example.org. 3600 CNAME host.sub.example.org.] {referral}"),
        ),
        probe(
            "below a DNAME",
            a("a.old.example.org"),
            "NOERROR aa an=[old.example.org. 3600 DNAME new.example.org., a.old.example.org. 3600 CNAME a.new.example.org., a.new.example.org. 3600 A 192.0.2.90]",
        ),
        probe(
            "below a DNAME to nothing",
            a("b.old.example.org"),
            "NXDOMAIN aa an=[old.example.org. 3600 DNAME new.example.org., b.old.example.org. 3600 CNAME b.new.example.org.] au=[SOA]",
        ),
        probe(
            "below a DNAME that leaves the zone",
            a("a.there.example.org"),
            "NOERROR aa an=[there.example.org. 3600 DNAME example.net., a.there.example.org. 3600 CNAME a.example.net.]",
        ),
        probe(
            "CNAME below a DNAME to nothing",
            ask("b.old.example.org", kind::CNAME),
            "NOERROR aa an=[old.example.org. 3600 DNAME new.example.org., b.old.example.org. 3600 CNAME b.new.example.org.]",
        ),
        probe(
            "at a DNAME",
            ask("old.example.org", kind::TXT),
            "NOERROR aa an=[old.example.org. 3600 TXT \"own\"]",
        ),
        probe(
            "the DNAME itself",
            ask("old.example.org", kind::DNAME),
            "NOERROR aa an=[old.example.org. 3600 DNAME new.example.org.]",
        ),
        probe("at a DNAME without the type", a("old.example.org"), "NOERROR aa au=[SOA]"),
    ]
}

pub(super) fn unserved() -> Vec<Probe> {
    let apex = |class| ask_class("example.org", kind::A, class);
    vec![
        probe("another zone", ask("www.example.net", kind::A), "REFUSED"),
        probe("above the zone", ask("org", kind::A), "REFUSED"),
        probe("the root", ask(".", kind::NS), "REFUSED"),
        probe(
            "ANY",
            ask("www.example.org", kind::ANY),
            "NOERROR aa an=[www.example.org. 3600 HINFO rfc8482 ]",
        ),
        probe("ANY of nothing", ask("nothing.example.org", kind::ANY), "NXDOMAIN aa au=[SOA]"),
        probe("ANY of an empty non-terminal", ask("ent.example.org", kind::ANY), "NOERROR aa au=[SOA]"),
        probe("an unknown type", ask("www.example.org", 65280), "NOERROR aa au=[SOA]"),
        probe("type OPT", ask("www.example.org", kind::OPT), "NOERROR aa au=[SOA]"),
        probe("type 0", ask("www.example.org", 0), "NOERROR aa au=[SOA]"),
        probe("type RRSIG", ask("www.example.org", kind::RRSIG), "NOERROR aa au=[SOA]"),
        probe("type TSIG", ask("example.org", kind::TSIG), "NOTIMP"),
        probe("type MAILA", ask("example.org", kind::MAILA), "NOTIMP"),
        probe("type MAILB", ask("example.org", kind::MAILB), "NOTIMP"),
        probe("a transfer over UDP", ask("example.org", kind::AXFR), "NOTIMP"),
        probe("a transfer over TCP", ask("example.org", kind::AXFR).tcp(), "REFUSED"),
        probe("a partial transfer over UDP", ask("example.org", kind::IXFR), "NOTIMP"),
        probe("a partial transfer over TCP", ask("example.org", kind::IXFR).tcp(), "REFUSED"),
        probe(
            "class CHAOS, the version",
            ask_class("version.bind", kind::TXT, 3),
            "NOERROR aa an=[version.bind. 0 TXT \"weir\"]",
        ),
        probe(
            "class CHAOS, which server",
            ask_class("ID.server", kind::TXT, 3),
            "NOERROR aa an=[ID.server. 0 TXT \"dns-1\"]",
        ),
        probe("class CHAOS, another name", ask_class("authors.bind", kind::TXT, 3), "REFUSED"),
        probe("class CHAOS, another type", ask_class("version.bind", kind::A, 3), "REFUSED"),
        probe("class CHAOS, a name of the zone", apex(3), "REFUSED"),
        probe("class HESIOD", apex(4), "REFUSED"),
        probe("class 0", apex(0), "REFUSED"),
        probe("class NONE", apex(254), "REFUSED"),
        probe(
            "class ANY",
            ask_class("ns1.example.org", kind::A, 255),
            "NOERROR an=[ns1.example.org. 3600 A 192.0.2.1]",
        ),
    ]
}
