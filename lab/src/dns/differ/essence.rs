//! What an answer says to a resolver, without what servers are free to add or to leave out.
//!
//! - Records of a set have no order (RFC 2181 §5.1), and names no case (RFC 4343 §3): both are sorted out.
//! - Beside an answer with data, authority and additional records are a courtesy (RFC 1034 §4.3.2, step 6): left out.
//! - Of a referral the additional addresses count where the server's name is below the cut: nobody else can say them (RFC 9471
//!   §3.1). Others are a courtesy.
//! - With TC set, nothing is to be made of what is there (RFC 2181 §9).
//! - Whether there is EDNS counts, with its version and DO; which options a server has to say, is its own affair.

use std::fmt;

use super::cases::Case;
use crate::dns::answer::{Answer, Line};
use crate::dns::query::kind;

/// What counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Essence {
    /// In words.
    pub(super) code: String,
    pub(super) authoritative: bool,
    pub(super) truncated: bool,
    /// Flags that no authoritative server has to set.
    pub(super) others: Vec<&'static str>,
    /// Sorted.
    pub(super) answers: Vec<Line>,
    /// Sorted; SOA of a negative answer, NS of a referral.
    pub(super) authorities: Vec<Line>,
    /// Sorted; addresses that a referral must have.
    pub(super) glue: Vec<Line>,
    /// Version and DO.
    pub(super) edns: Option<(u8, bool)>,
}

impl Essence {
    /// No answer at all.
    pub(super) fn nothing() -> Self {
        Self {
            code: "-".into(),
            authoritative: false,
            truncated: false,
            others: Vec::new(),
            answers: Vec::new(),
            authorities: Vec::new(),
            glue: Vec::new(),
            edns: None,
        }
    }

    /// Of an answer to this question.
    pub(super) fn of(answer: &Answer, case: &Case) -> Self {
        let [answers, authorities, additionals] = answer.sections.clone().map(sorted);
        let mut essence = Self {
            code: answer.code(),
            authoritative: answer.authoritative,
            truncated: answer.truncated,
            others: answer.others.clone(),
            answers,
            authorities,
            glue: Vec::new(),
            edns: answer.opt.as_ref().map(|opt| (opt.version, opt.dnssec_ok)),
        };
        if essence.truncated {
            essence.answers.clear();
            essence.authorities.clear();
            return essence;
        }
        let has_soa = essence.authorities.iter().any(|line| line.kind == "SOA");
        let asks_for_alias = matches!(case.kind, kind::CNAME | kind::ANY);
        let is_data = |line: &Line| match line.kind.as_str() {
            "CNAME" => asks_for_alias,
            "DNAME" => case.kind == kind::DNAME || asks_for_alias,
            _ => true,
        };
        let ends_in_data = essence.answers.iter().any(is_data);
        let cut = essence.authorities.iter().find(|line| line.kind == "NS").map(|line| line.owner.clone());
        match cut {
            Some(_) if ends_in_data => essence.authorities.clear(),
            Some(cut) if !has_soa => essence.glue = glue(&essence.authorities, &additionals, &cut),
            _ => {}
        }
        essence
    }

    /// In which of its parts another one differs.
    pub(super) fn difference(&self, other: &Self) -> String {
        let mut parts = Vec::new();
        if self.code != other.code {
            parts.push(format!("{} against {}", self.code, other.code));
        }
        for (name, differs) in [
            ("AA", self.authoritative != other.authoritative),
            ("TC", self.truncated != other.truncated),
            ("other flags", self.others != other.others),
            ("answer", self.answers != other.answers),
            ("authority", self.authorities != other.authorities),
            ("glue", self.glue != other.glue),
            ("EDNS", self.edns != other.edns),
        ] {
            if differs {
                parts.push(name.to_owned());
            }
        }
        parts.join(", ")
    }
}

impl fmt::Display for Essence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if self.authoritative {
            f.write_str(" aa")?;
        }
        if self.truncated {
            f.write_str(" tc")?;
        }
        self.others.iter().try_for_each(|flag| write!(f, " {flag}"))?;
        let sections = [("an", &self.answers), ("au", &self.authorities), ("glue", &self.glue)];
        for (word, lines) in sections.iter().filter(|(_, lines)| !lines.is_empty()) {
            write!(f, " {word}=[")?;
            for (number, line) in lines.iter().take(6).enumerate() {
                let comma = if number == 0 { "" } else { ", " };
                let data: String = line.data.chars().take(60).collect();
                write!(f, "{comma}{} {} {} {data}", line.owner, line.ttl, line.kind)?;
            }
            f.write_str(if lines.len() > 6 { ", ...]" } else { "]" })?;
        }
        match self.edns {
            Some((version, dnssec_ok)) => write!(f, " edns={version}{}", if dnssec_ok { "/do" } else { "" }),
            None => Ok(()),
        }
    }
}

fn sorted(mut lines: Vec<Line>) -> Vec<Line> {
    lines.iter_mut().for_each(|line| line.owner.make_ascii_lowercase());
    lines.sort();
    lines.dedup();
    lines
}

/// Addresses of servers that are at or below the cut.
fn glue(servers: &[Line], additionals: &[Line], cut: &str) -> Vec<Line> {
    let below = |name: &str| name == cut || name.ends_with(&format!(".{cut}"));
    let needed = |line: &&Line| below(&line.owner) && servers.iter().any(|server| server.data == line.owner);
    additionals.iter().filter(needed).cloned().collect()
}
