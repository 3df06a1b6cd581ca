//! Answers, read by hickory's parser and put on a line that can be compared.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// The type of a redirection, by number.
const DNAME: u16 = super::query::kind::DNAME;

/// A record, as text in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// Whose it is, with a dot at its end, in the case of the message.
    pub(crate) owner: String,
    /// Its class, by number.
    pub(crate) class: u16,
    /// Its type.
    pub(crate) kind: String,
    /// How long it may be kept, seconds.
    pub(crate) ttl: u32,
    /// The rest, in lower case.
    pub(crate) data: String,
}

/// The EDNS record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opt {
    /// The largest message that its sender takes over UDP.
    pub(crate) size: u16,
    /// Its version.
    pub(crate) version: u8,
    /// Whether DO is set.
    pub(crate) dnssec_ok: bool,
    /// Its options, by number, in their order.
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The response code, with its upper bits where there is an OPT record.
    pub(crate) rcode: u16,
    /// Whether AA is set.
    pub(crate) authoritative: bool,
    /// Whether TC is set.
    pub(crate) truncated: bool,
    /// Other flags that are set, of `ra`, `ad`, `cd`.
    pub(crate) others: Vec<&'static str>,
    /// Answer, authority and additional records, without OPT.
    pub(crate) sections: [Vec<Line>; 3],
    /// The EDNS record.
    pub(crate) opt: Option<Opt>,
    /// Bytes.
    pub(crate) length: usize,
}

impl Answer {
    /// Reads a whole message.
    ///
    /// # Errors
    /// What is wrong with it. Bytes behind its end are.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let (plain, options) = without_options(bytes);
        let mut decoder = BinDecoder::new(&plain);
        let message = Message::read(&mut decoder).context("the answer cannot be read")?;
        ensure!(decoder.is_empty(), "bytes follow the answer's end");
        ensure!(message.metadata.message_type == MessageType::Response, "no answer, but a query");
        let lines = |records: &[Record]| records.iter().map(line).collect::<Vec<_>>();
        let opt = message.edns.as_ref().map(|edns| Opt {
            size: edns.max_payload(),
            version: edns.version(),
            dnssec_ok: edns.flags().dnssec_ok,
            options: options.clone(),
        });
        let meta = &message.metadata;
        let flags =
            [("ra", meta.recursion_available), ("ad", meta.authentic_data), ("cd", meta.checking_disabled)];
        Ok(Self {
            rcode: meta.response_code.into(),
            authoritative: meta.authoritative,
            truncated: meta.truncation,
            others: flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect(),
            sections: [lines(&message.answers), lines(&message.authorities), lines(&message.additionals)],
            opt,
            length: bytes.len(),
        })
    }

    /// The response code in words.
    pub(crate) fn code(&self) -> String {
        match self.rcode {
            0 => "NOERROR".into(),
            1 => "FORMERR".into(),
            2 => "SERVFAIL".into(),
            3 => "NXDOMAIN".into(),
            4 => "NOTIMP".into(),
            5 => "REFUSED".into(),
            6 => "YXDOMAIN".into(),
            9 => "NOTAUTH".into(),
            16 => "BADVERS".into(),
            23 => "BADCOOKIE".into(),
            other => format!("RCODE{other}"),
        }
    }

    /// The addresses of the answer section, in their order.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let [answers, ..] = &self.sections;
        answers
            .iter()
            .filter(|line| matches!(line.kind.as_str(), "A" | "AAAA"))
            .filter_map(|line| line.data.parse().ok())
            .collect()
    }

    /// The value of an option.
    pub(crate) fn option(&self, code: u16) -> Option<&[u8]> {
        let options = &self.opt.as_ref()?.options;
        options.iter().find(|(each, _)| *each == code).map(|(_, value)| value.as_slice())
    }
}

fn line(record: &Record) -> Line {
    let data = match &record.data {
        RData::TXT(txt) => txt
            .txt_data
            .iter()
            .map(|text| format!("\"{}\"", String::from_utf8_lossy(text)))
            .collect::<Vec<_>>()
            .join(" "),
        RData::Unknown { rdata, .. } => unknown(record.record_type().into(), &rdata.anything),
        other => other.to_string(),
    };
    let kind = match record.record_type() {
        RecordType::Unknown(DNAME) => "DNAME".to_owned(),
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    };
    Line {
        owner: record.name.to_string(),
        class: record.dns_class.into(),
        kind,
        ttl: record.ttl,
        data: data.to_lowercase(),
    }
}

/// Data that Hickory does not know: DNAME is a name, all else is shown in digits.
fn unknown(kind: u16, data: &[u8]) -> String {
    // Not compressed (RFC 6672 section 2.5).
    let name = BinDecodable::from_bytes(data).ok().filter(|_| kind == DNAME);
    match name {
        Some(name) => Name::to_string(&name),
        None => data.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The message with an OPT record that has no options, and these. Hickory keeps those that it knows in forms of its own, and takes
/// some for wrong that are not.
fn without_options(bytes: &[u8]) -> (Vec<u8>, Vec<(u16, Vec<u8>)>) {
    /// Owner, type, size, TTL field, length.
    const HEAD: usize = 11;
    // Servers put OPT last, and its owner, type and length are known: it is found from the end.
    for (at, head) in bytes.windows(HEAD).enumerate().rev().filter(|(_, head)| head.starts_with(&[0, 0, 41]))
    {
        let [kept @ .., high, low] = head else { continue };
        let data = bytes.get(at + HEAD..).unwrap_or_default();
        if data.len() != usize::from(u16::from_be_bytes([*high, *low])) {
            continue;
        }
        if let Some(options) = split(data) {
            let before = bytes.get(..at).unwrap_or_default();
            return ([before, kept, &[0, 0]].concat(), options);
        }
    }
    (bytes.to_vec(), Vec::new())
}

fn split(mut data: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut options = Vec::new();
    while let Some(([a, b, c, d], rest)) = data.split_first_chunk::<4>() {
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*c, *d])))?;
        options.push((u16::from_be_bytes([*a, *b]), value.to_vec()));
        data = rest;
    }
    data.is_empty().then_some(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::query::hex;

    #[test]
    fn an_answer_is_read_to_its_last_byte() {
        let well =
            hex("1234 8500 0001 0001 0000 0001 0377777700 0001 0001 c00c 0001 0001 0000003c 0004 c0000201 \
             00 0029 04d0 00008000 0006 0003 0002 6e73");
        let answer = Answer::read(&well).unwrap();
        assert_eq!(
            (answer.code().as_str(), answer.authoritative, answer.truncated),
            ("NOERROR", true, false)
        );
        assert_eq!(answer.addresses(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(answer.sections[0][0].owner, "www.");
        assert_eq!(answer.option(3), Some(&b"ns"[..]));
        let opt = answer.opt.unwrap();
        assert_eq!((opt.size, opt.version, opt.dnssec_ok), (1232, 0, true));
        assert!(Answer::read(&[well.clone(), vec![0]].concat()).is_err(), "a byte behind its end");
        assert!(Answer::read(&well[..well.len() - 1]).is_err(), "a byte is missing");
    }
}
