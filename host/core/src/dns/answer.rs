//! From a query to its answer, as an authoritative server gives it.
//!
//! Everything about the message is here (header, EDNS, classes, what is refused); what a zone says to a name is
//! in [`walk`]. Nothing here fails: what cannot be answered is answered with a response code, and what must
//! not be answered is `None`.

mod chaos;
pub mod choose;
pub mod known;
mod options;
mod policy;
#[cfg(test)]
mod tests;
mod transport;
mod walk;

pub use policy::{Asked, Decision, MAX_ADDRESSES, Policies, Static};
pub use transport::Transport;

use std::net::IpAddr;

use super::cookie::{Cookie, Proof, Secrets};
use super::name::{InlineName, Name};
use super::record::Type;
use super::wire::{Flags, Message, Opt, OptRecord, Options, Question, Rcode, Received, Writer, class, read};
use super::zone::{PolicyRecord, Zones};
use options::Extras;
use walk::Walk;

/// The largest UDP answer by default, bytes: it passes every path of the IPv6 minimum MTU (RFC 9715).
pub const UDP_SIZE: u16 = 1232;

/// What every client can take (RFC 1035 §4.2.1).
const PLAIN_SIZE: u16 = 512;

/// How a server presents itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The largest UDP answer, bytes; below 512 counts as 512.
    pub udp_size: u16,
    /// The answer to NSID, which server this is; empty answers nothing, and what is beyond 128 bytes is cut.
    pub nsid: Vec<u8>,
    /// The answer to `id.server` and `hostname.bind` in class CHAOS; `None` refuses.
    pub identity: Option<String>,
    /// The answer to `version.bind` and `version.server` in class CHAOS; `None` refuses.
    pub version: Option<String>,
    /// Makes and judges cookies; `None` ignores them.
    pub secrets: Option<Secrets>,
    /// Whether policies are told the client subnet that a resolver sends; otherwise it is as if none had come.
    pub subnet: bool,
    /// Tenths of a second that an idle TCP connection is kept, told to clients that ask (RFC 7828); `None` tells nothing.
    pub keepalive: Option<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            udp_size: UDP_SIZE,
            nsid: Vec::new(),
            identity: None,
            version: None,
            secrets: None,
            subnet: true,
            keepalive: None,
        }
    }
}

/// A query, and what is known beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Request<'m> {
    /// The message, without a stream's length before it.
    pub message: &'m [u8],
    /// The address it came from; IPv4 as IPv4, not mapped into IPv6.
    pub from: IpAddr,
    /// How it came.
    pub transport: Transport,
    /// Seconds of the UNIX epoch modulo 2^32, for cookies.
    pub now: u32,
    /// Any number that is another one each time: static addresses start at another one of them.
    pub turn: u32,
}

/// What the answer says, for logs, metrics and limits. The bytes are in the buffer that was given.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'z> {
    /// The response code.
    pub rcode: Rcode,
    /// It did not fit, and the client is told to come back over TCP.
    pub truncated: bool,
    /// How it came about.
    pub how: How,
    /// The zone that it is from.
    pub zone: Option<&'z Name>,
    /// The policy record that decided it.
    pub policy: Option<&'z PolicyRecord>,
    /// Bits of the client's subnet for which it holds; 0 is everybody.
    pub scope: u8,
    /// What the query's cookie proves.
    pub proof: Proof,
    /// How many answers there are to these very bytes, in turn ([`Request::turn`]), for as long as the zones stay what they are. 0: it
    /// depends on more than that, such as who asks and when.
    pub turns: u16,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// The message was malformed, or asked for what is not done.
    Protocol,
    /// It is about the server itself.
    Chaos,
    /// No zone here has the name.
    NotServed,
    /// Records of the zone.
    Data,
    /// Records of a wildcard.
    Wildcard,
    /// A policy chose the addresses.
    Policy,
    /// The name exists and has no such record.
    NoData,
    /// The name does not exist.
    NoName,
    /// The name belongs to another zone, whose servers are named.
    Referral,
}

/// Answers queries. Immutable and shared by all threads.
#[derive(Debug, Clone, Default)]
pub struct Responder {
    settings: Settings,
}

impl Responder {
    /// A server that presents itself so.
    pub fn new(mut settings: Settings) -> Self {
        settings.nsid.truncate(options::MAX_NSID);
        settings.udp_size = settings.udp_size.max(PLAIN_SIZE);
        Self { settings }
    }

    /// Writes the answer into `out`, whose content is dropped; `None` is no answer at all.
    pub fn respond<'z>(
        &self,
        request: &Request<'_>,
        zones: &'z Zones,
        policies: &mut dyn Policies,
        out: &mut Vec<u8>,
    ) -> Option<Reply<'z>> {
        out.clear();
        let (message, malformed) = match read(request.message) {
            Received::Unanswerable => return None,
            Received::Malformed(message) => (message, true),
            Received::Message(message) => (message, false),
        };
        let refuse = |rcode, out| Some(self.refuse(&message, rcode, Flags::default(), out));
        if message.header.opcode != 0 {
            return refuse(Rcode::NOTIMP, out);
        }
        if malformed {
            return refuse(Rcode::FORMERR, out);
        }
        let options = match message.opt {
            Some(opt) if opt.version != 0 => return refuse(Rcode::BADVERS, out),
            Some(opt) => opt.options(),
            None => Some(Options::default()),
        };
        let Some(options) = options else { return refuse(Rcode::FORMERR, out) };
        // Of a subnet that nobody is to be told of nothing is taken: the answer is the resolver's own.
        let options = Options { subnet: options.subnet.filter(|_| self.settings.subnet), ..options };
        let (proof, cookie) = self.judge(&options, request).unzip();
        let extras = Extras::new(&self.settings, &options, cookie, request.transport);
        let mut answer =
            Answer { responder: self, request, message: &message, options: &options, extras: &extras };
        let mut reply = match &message.question {
            Some(question) => answer.question(question, zones, policies, out),
            // Nothing but a cookie was asked for (RFC 7873 §5.4).
            None if cookie.is_some() => answer.code(Rcode::NOERROR, out),
            None => answer.code(Rcode::FORMERR, out),
        };
        reply.proof = proof.unwrap_or_default();
        if options != Options::default() {
            // What is answered to options is for this client, at this time.
            reply.turns = 0;
        }
        Some(reply)
    }

    /// Writes the answer that has nothing but TC set, so that the client comes back over TCP: for a client that has had
    /// enough (see [`super::ratelimit`]). False where there is none.
    ///
    /// It has a cookie where the query has one: a client whose cookie has become too old is limited for just that, and learns a new one
    /// here (RFC 7873 §5.2.4). That makes nobody's flood larger: the query has at least 12 bytes of a cookie, the answer 28.
    pub fn truncated(&self, request: &Request<'_>, out: &mut Vec<u8>) -> bool {
        out.clear();
        let (message, is_read) = match read(request.message) {
            Received::Unanswerable => return false,
            Received::Malformed(message) => (message, false),
            Received::Message(message) => (message, true),
        };
        let options = message.opt.filter(|opt| is_read && opt.version == 0).and_then(|opt| opt.options());
        let cookie = options.and_then(|options| self.judge(&options, request)).map(|(_, cookie)| cookie);
        let extras = Extras::only(cookie);
        let (bytes, length) = extras.write(None);
        let flags = Flags { authoritative: false, truncated: true };
        self.empty(&message, Rcode::NOERROR, flags, bytes.get(..length).unwrap_or_default(), out);
        true
    }

    /// What the cookie of a query proves, and that of its answer; `None` where it has none, or cookies are not spoken of.
    fn judge(&self, options: &Options<'_>, request: &Request<'_>) -> Option<(Proof, Cookie)> {
        let (client, server) = options.cookie?;
        Some(self.settings.secrets.as_ref()?.judge(client, server, request.from, request.now))
    }

    /// An answer without any option or record.
    fn refuse<'z>(&self, message: &Message<'_>, rcode: Rcode, flags: Flags, out: &mut Vec<u8>) -> Reply<'z> {
        self.empty(message, rcode, flags, &[], out);
        Reply::of(rcode, How::Protocol)
    }

    /// An answer without any record.
    fn empty(&self, message: &Message<'_>, rcode: Rcode, flags: Flags, options: &[u8], out: &mut Vec<u8>) {
        let writer = Writer::new(out, usize::from(PLAIN_SIZE), message.question.as_ref());
        let opt = message.opt.map(|asked| self.opt(&asked, options, false));
        writer.finish(&message.header, rcode, flags, opt);
    }

    fn opt<'o>(&self, asked: &Opt<'_>, options: &'o [u8], is_padded: bool) -> OptRecord<'o> {
        OptRecord { size: self.settings.udp_size, dnssec_ok: asked.dnssec_ok, options, is_padded }
    }
}

impl Reply<'_> {
    const fn of(rcode: Rcode, how: How) -> Self {
        Self {
            rcode,
            truncated: false,
            how,
            zone: None,
            policy: None,
            scope: 0,
            proof: Proof::None,
            turns: 0,
        }
    }
}

/// A well-formed query that is being answered.
struct Answer<'q> {
    responder: &'q Responder,
    request: &'q Request<'q>,
    message: &'q Message<'q>,
    options: &'q Options<'q>,
    extras: &'q Extras<'q>,
}

impl Answer<'_> {
    fn question<'z>(
        &mut self,
        question: &Question<'_>,
        zones: &'z Zones,
        policies: &mut dyn Policies,
        out: &mut Vec<u8>,
    ) -> Reply<'z> {
        match question.class {
            class::IN | class::ANY => {}
            class::CH => return self.chaos(question, out),
            _ => return self.code(Rcode::REFUSED, out),
        }
        match question.kind {
            // A transfer is a stream of messages (RFC 5936 §4.2), and nobody may have one here.
            Type::AXFR | Type::IXFR => {
                let is_datagram = self.request.transport.is_datagram();
                return self.code(if is_datagram { Rcode::NOTIMP } else { Rcode::REFUSED }, out);
            }
            Type::TKEY | Type::TSIG | Type::MAILA | Type::MAILB => return self.code(Rcode::NOTIMP, out),
            _ => {}
        }
        let lower = InlineName::lower(question.name);
        let Some(zone) = zones.find(lower.as_wire(), question.kind == Type::DS) else {
            let reply = self.code(Rcode::REFUSED, out);
            return Reply { how: How::NotServed, ..reply };
        };
        let client = options::client(self.options, self.request.from);
        let mut writer = self.writer(out);
        let mut walk = Walk::new(zone, &mut writer, policies, client, self.request.turn);
        let truncated = walk.run(question.name, &lower, question.kind).is_err();
        let found = walk.outcome();
        if truncated {
            // Parts of an answer help nobody: resolvers drop them and come back over TCP.
            writer.clear_records();
        }
        // No server answers for all classes at once (RFC 1034 §4.3.2).
        let flags = Flags { authoritative: found.authoritative && question.class != class::ANY, truncated };
        let rcode = if truncated { Rcode::NOERROR } else { found.rcode };
        self.finish(writer, rcode, flags, Some(found.scope));
        Reply {
            truncated,
            zone: Some(zone.origin()),
            policy: found.policy,
            scope: found.scope,
            turns: found.turns,
            ..Reply::of(rcode, found.how)
        }
    }

    /// The server speaks of itself (RFC 4892).
    fn chaos<'z>(&self, question: &Question<'_>, out: &mut Vec<u8>) -> Reply<'z> {
        let Some(text) = chaos::text(&self.responder.settings, question) else {
            return self.code(Rcode::REFUSED, out);
        };
        let mut writer = self.writer(out);
        let written = writer.record_of(class::CH, question.name, Type::TXT, 0, &text);
        let flags = Flags { authoritative: true, truncated: written.is_err() };
        self.finish(writer, Rcode::NOERROR, flags, None);
        Reply::of(Rcode::NOERROR, How::Chaos)
    }

    fn code<'z>(&self, rcode: Rcode, out: &mut Vec<u8>) -> Reply<'z> {
        self.finish(self.writer(out), rcode, Flags::default(), None);
        Reply::of(rcode, How::Protocol)
    }

    /// A writer that leaves room for the OPT record.
    fn writer<'o>(&self, out: &'o mut Vec<u8>) -> Writer<'o> {
        let size = match (self.request.transport.is_datagram(), self.message.opt) {
            (false, _) => u16::MAX,
            (true, None) => PLAIN_SIZE,
            (true, Some(opt)) => opt.size.clamp(PLAIN_SIZE, self.responder.settings.udp_size),
        };
        let kept = if self.message.opt.is_some() { self.extras.room() } else { 0 };
        Writer::new(out, usize::from(size).saturating_sub(kept), self.message.question.as_ref())
    }

    /// `scope` where the answer depends on the zone, so that a client subnet is answered.
    fn finish(&self, writer: Writer<'_>, rcode: Rcode, flags: Flags, scope: Option<u8>) {
        let written = self.message.opt.map(|asked| (asked, self.extras.write(scope)));
        let opt = written.as_ref().map(|(asked, (bytes, length))| {
            self.responder.opt(asked, bytes.get(..*length).unwrap_or_default(), self.extras.is_padded())
        });
        writer.finish(&self.message.header, rcode, flags, opt);
    }
}
