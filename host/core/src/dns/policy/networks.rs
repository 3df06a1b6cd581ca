//! Where clients are: a database of networks, as far as decisions know it.

use std::fmt;
use std::net::IpAddr;

use crate::dns::answer::choose::Labels;

/// Says what is known of networks. The crate that reads databases from files has one.
pub trait Networks: fmt::Debug + Send + Sync {
    /// What is known of the network of this client, as pairs with unique names; none where nothing is.
    fn labels(&self, client: IpAddr) -> Labels;
}
