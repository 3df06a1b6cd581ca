//! The privileged half of a node: it has power over the network, and decides nothing.
//!
//! `weir sidecar` is a process of its own. The host process (proxy, checks, plugins, HTTP) sends it the *whole* desired state of
//! the network side over a UNIX socket, [`weir_core::desired::Desired`]; the sidecar makes it so, looks again on a timer, and
//! reports what it sees. A crash, an upgrade or a bad plugin in the host so never drops a BGP session or a row of the kernel's
//! table, and code that parses requests, queries and plugins has no power over the network.
//!
//! | module | what it is |
//! |---|---|
//! | [`kernel`] | IPVS, tunnels, addresses and settings: observe, compare, change |
//! | [`speaker`] | BGP and BFD: sockets, bytes and clock around the machines of `weir-core` |

pub mod kernel;
pub mod speaker;
