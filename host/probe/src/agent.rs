//! Both ends of the agent check: the [question](Question) that a node asks of its servers, and the [agent](fn@serve) that
//! answers it on a server. The words are in [`weir_core::health`].

mod file;
mod question;
mod serve;

pub use file::AgentFile;
pub use question::{AgentFailure, Question};
pub use serve::{MAX_CONNECTIONS, serve};

#[cfg(test)]
mod tests;
