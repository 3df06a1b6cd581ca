//! Differences that are known. Each has the sentence of an RFC that leaves servers the choice, or that the other one does not
//! follow. An explanation that fits nothing any more fails the run, so that none hides what comes later.

use super::cases::{CHAOS, Case};
use super::essence::Essence;
use super::zones::CHILD;
use crate::dns::answer::Line;
use crate::dns::query::kind;

/// Why a server may answer otherwise than Weir.
pub(super) struct Explained {
    /// What differs.
    pub(super) what: &'static str,
    /// Servers that do it.
    pub(super) servers: &'static [&'static str],
    /// Who says that it may, or that it should not.
    pub(super) rfc: &'static str,
    /// Whether this is it: question, Weir's answer, the other's.
    pub(super) fits: fn(&Case, &Essence, &Essence) -> bool,
}

/// The class of a question for all classes.
const ANY_CLASS: u16 = 255;

/// All of them.
pub(super) const EXPLAINED: &[Explained] = &[
    Explained {
        what: "questions for all classes are malformed to BIND",
        servers: &["BIND"],
        rfc: "RFC 1035 section 3.2.5 has QCLASS *; BIND has views of one class each and does not serve it",
        fits: |case, _, theirs| case.class == ANY_CLASS && theirs.code == "FORMERR",
    },
    Explained {
        what: "answers for all classes are authoritative",
        servers: &["Knot", "NSD"],
        rfc: "RFC 1035 section 6.2: unless the server can guarantee that the response covers all classes, the response \
              should never be authoritative",
        fits: |case, ours, theirs| {
            case.class == ANY_CLASS
                && theirs.authoritative
                && Essence { authoritative: true, ..ours.clone() } == *theirs
        },
    },
    Explained {
        what: "negative answers for all classes have no SOA",
        servers: &["NSD"],
        rfc: "RFC 2308 section 3: the SOA must be there where the answer is authoritative; this one is not, and the SOA still \
              lets it be kept",
        fits: |case, ours, theirs| {
            case.class == ANY_CLASS && Essence { authorities: Vec::new(), ..ours.clone() } == *theirs
        },
    },
    Explained {
        what: "what is refused in class CHAOS has no answer",
        servers: &["BIND"],
        rfc: "RFC 8906 section 1: servers should answer every query; BIND limits answers in its own class",
        fits: |case, ours, theirs| case.class == CHAOS && ours.code == "REFUSED" && theirs.code == "-",
    },
    Explained {
        what: "ANY is answered with all sets",
        servers: &["NSD", "Knot", "BIND"],
        rfc: "RFC 8482 section 4: a responder may answer with a subset of the sets, or with HINFO",
        fits: |case, ours, theirs| {
            let is_minimal = ours.answers.iter().any(|line| line.kind == "HINFO");
            case.kind == kind::ANY && ours.code == theirs.code && is_minimal
        },
    },
    Explained {
        what: "ANY goes on behind a redirection",
        servers: &["NSD", "Knot"],
        rfc: "RFC 6672 section 3.2 goes on at the new name; RFC 8482 section 4.1 has a subset suffice for ANY, as it does \
              at any other alias (RFC 1034 section 4.3.2, step 3a)",
        fits: |case, ours, theirs| {
            let redirected = ours.answers.iter().any(|line| line.kind == "DNAME");
            case.kind == kind::ANY && redirected && (theirs.truncated || has_all(theirs, ours))
        },
    },
    Explained {
        what: "signatures of an alias are not looked for at its target",
        servers: &["Knot", "BIND"],
        rfc: "RFC 4035 section 2.5: signatures may stand beside an alias; in a zone that is not signed, as all of these, none does",
        fits: |case, ours, theirs| {
            let followed = ours.answers.iter().any(|line| line.kind == "CNAME");
            case.kind == kind::RRSIG && followed && theirs.answers.is_empty()
        },
    },
    Explained {
        what: "an unknown version of EDNS is answered without DO",
        servers: &["NSD"],
        rfc: "RFC 3225 section 3: the DO bit of the query must be copied in the response",
        fits: |_, ours, theirs| {
            ours.code == "BADVERS" && Essence { edns: theirs.edns, ..ours.clone() } == *theirs
        },
    },
    Explained {
        what: "an alias into a zone below, served here as well, is followed",
        servers: &["NSD"],
        rfc: "RFC 1034 section 4.3.2, step 3a goes back to step 1, which finds the nearest zone; a referral leads there too, and a \
              resolver believes no more than the first alias (RFC 2181 section 5.4.1)",
        fits: |_, ours, theirs| leads_below(ours) && has_all(theirs, ours),
    },
    Explained {
        what: "an alias into a zone below, served here as well, ends the answer",
        servers: &["BIND"],
        rfc: "RFC 1034 section 4.3.2, step 3b would put the servers of the zone below into the answer; whoever gets the alias asks \
              for its target anyway",
        fits: |_, ours, theirs| {
            leads_below(ours) && theirs.authorities.is_empty() && theirs.answers == ours.answers
        },
    },
    Explained {
        what: "an alias of itself is an error",
        servers: &["BIND"],
        rfc: "RFC 1034 section 3.6.2: loops should be signalled as an error; the alias is in the answer either way, and the \
              resolver sees the loop",
        fits: |_, ours, theirs| Essence { code: "SERVFAIL".into(), ..ours.clone() } == *theirs,
    },
    Explained {
        what: "what fits for one does not fit for another",
        servers: &["BIND"],
        rfc: "RFC 1035 section 4.1.4: whether a server compresses a name is left to it",
        fits: |case, ours, theirs| {
            !case.query.tcp && ours.truncated != theirs.truncated && ours.code == theirs.code
        },
    },
];

/// Whether all records of an answer are in another one as well.
fn has_all(all: &Essence, some: &Essence) -> bool {
    some.answers.iter().all(|line| all.answers.contains(line))
}

/// Whether an alias leads to a name of one of the zones that are below another one here.
fn leads_below(answer: &Essence) -> bool {
    let into = |line: &Line| format!(".{}", line.data).contains(&format!(".{CHILD}."));
    answer.answers.iter().any(|line| matches!(line.kind.as_str(), "CNAME" | "DNAME") && into(line))
}
