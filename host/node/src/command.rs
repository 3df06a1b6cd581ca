//! What may be asked of a running node, as values: the admin socket parses them and the node's one loop obeys.
//!
//! There is one loop so that a reload, an operator's word and a signal never run into each other.

use tokio::sync::oneshot;
use weir_core::health::{Admin, Operator, OperatorCommand, Weight};
use weir_dns::explain::{Ask, Explanation};

use crate::status::NodeStatus;

/// A command and where its answer goes. A dropped sender means that nobody waits any more.
#[derive(Debug)]
pub(crate) enum Command {
    /// What is this node doing?
    Status(oneshot::Sender<Box<NodeStatus>>),
    /// Read the fleet file and the plugin directory now.
    Reload(oneshot::Sender<Result<String, String>>),
    /// An operator's word about a server.
    Server(ServerCommand, oneshot::Sender<Result<String, String>>),
    /// Why is this DNS query answered as it is?
    Explain(Box<Ask>, oneshot::Sender<Result<Explanation, String>>),
    /// Load a quarantined plugin again.
    RetryPlugin(String, oneshot::Sender<Result<String, String>>),
}

/// An operator's word about one server of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerCommand {
    /// The pool's name in the fleet file.
    pub(crate) pool: String,
    /// The server's name in the pool.
    pub(crate) server: String,
    /// What is to be done with it.
    pub(crate) word: Word,
}

/// What an operator may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Undo drain and maint.
    Ready,
    /// No new requests.
    Drain,
    /// No requests and no checks.
    Maint,
    /// Another weight than the fleet file's; `None` is the fleet file's again.
    Weight(Option<u16>),
}

impl Word {
    /// For whoever is ordered.
    pub(crate) fn order(self) -> OperatorCommand {
        match self {
            Self::Ready => OperatorCommand::Admin(Admin::Ready),
            Self::Drain => OperatorCommand::Admin(Admin::Drain),
            Self::Maint => OperatorCommand::Admin(Admin::Maint),
            Self::Weight(weight) => OperatorCommand::Weight(weight.map(Weight::Absolute)),
        }
    }

    /// Takes it down for the next start.
    pub(crate) fn note(self, said: &mut Operator) {
        match self.order() {
            OperatorCommand::Admin(admin) => said.admin = admin,
            OperatorCommand::Weight(weight) => said.weight = weight,
        }
    }
}

impl ServerCommand {
    /// Reads `POOL/SERVER` and a word (`ready`, `drain`, `maint`, `weight=N`, `weight=default`). The error says what is wrong.
    pub(crate) fn parse(server: &str, word: &str) -> Result<Self, String> {
        let (pool, name) = server
            .split_once('/')
            .filter(|(pool, name)| !pool.is_empty() && !name.is_empty())
            .ok_or_else(|| format!("`{server}` is not POOL/SERVER, for example web/web1"))?;
        let word = match word {
            "ready" => Word::Ready,
            "drain" => Word::Drain,
            "maint" => Word::Maint,
            "weight=default" => Word::Weight(None),
            _ => Word::Weight(Some(weight(word)?)),
        };
        Ok(Self { pool: pool.to_owned(), server: name.to_owned(), word })
    }
}

fn weight(word: &str) -> Result<u16, String> {
    let number = word
        .strip_prefix("weight=")
        .ok_or_else(|| format!("`{word}` is not one of ready, drain, maint, weight=N"))?;
    number
        .parse()
        .ok()
        .filter(|w| *w <= weir_core::model::MAX_WEIGHT)
        .ok_or_else(|| format!("weight `{number}` is not a number from 0 to 256, nor `default`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_operators_are_read_and_faults_are_named() {
        let parsed = ServerCommand::parse("web/a", "weight=30").unwrap();
        assert_eq!((parsed.pool.as_str(), parsed.word), ("web", Word::Weight(Some(30))));
        assert_eq!(ServerCommand::parse("web/a", "weight=default").unwrap().word, Word::Weight(None));
        for (server, word, fault) in [
            ("web", "drain", "`web` is not POOL/SERVER, for example web/web1"),
            ("web/", "drain", "`web/` is not POOL/SERVER, for example web/web1"),
            ("web/a", "stop", "`stop` is not one of ready, drain, maint, weight=N"),
            ("web/a", "weight=257", "weight `257` is not a number from 0 to 256, nor `default`"),
            ("web/a", "weight=-1", "weight `-1` is not a number from 0 to 256, nor `default`"),
        ] {
            assert_eq!(ServerCommand::parse(server, word).unwrap_err(), fault);
        }
    }
}
