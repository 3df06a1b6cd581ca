//! The batches for `ip` that make segments, cut nodes off and mend them. Pure: it only knows which port is whose.
//!
//! A node is cut off by taking its ports out of their bridges: nothing passes, the carrier stays up, and one batch
//! does all of a node's ports. The state of a bridge port would not do: the kernel sets a disabled port to
//! forwarding with the next change of any link.

use std::fmt::Write;

/// Which ports there are.
#[derive(Debug, Default)]
pub(super) struct Switch {
    segments: usize,
    ports: Vec<Port>,
}

#[derive(Debug)]
struct Port {
    node: String,
    name: String,
    bridge: String,
}

impl Switch {
    /// A bridge and a cable to each member: (node, interface in it, process that holds its namespace).
    pub(super) fn segment(&mut self, name: &str, members: &[(&str, &str, u32)]) -> String {
        let bridge = format!("br{}", self.segments);
        self.segments += 1;
        // Snooping would hold multicast back until somebody has asked for it: neighbour discovery would wait.
        let mut batch = format!(
            "link add name {bridge} type bridge mcast_snooping 0 forward_delay 0\n\
             link set dev {bridge} alias {name}\nlink set dev {bridge} up\n"
        );
        for (node, interface, holder) in members {
            // Interface names end at 15 characters, so ports have numbers and the alias says whose they are.
            let port = format!("p{}", self.ports.len());
            let _ = writeln!(batch, "link add name {port} type veth peer name {interface} netns {holder}");
            let _ = writeln!(batch, "link set dev {port} master {bridge} alias {node} up");
            self.ports.push(Port { node: (*node).to_owned(), name: port, bridge: bridge.clone() });
        }
        batch
    }

    /// Silences all ports of a node.
    pub(super) fn cut_off(&self, node: &str) -> String {
        self.each(node, |_| "nomaster".to_owned())
    }

    /// Lets all ports of a node speak again.
    pub(super) fn reconnect(&self, node: &str) -> String {
        self.each(node, |bridge| format!("master {bridge}"))
    }

    fn each(&self, node: &str, change: impl Fn(&str) -> String) -> String {
        let mut batch = String::new();
        for port in self.ports.iter().filter(|port| port.node == node) {
            let _ = writeln!(batch, "link set dev {} {}", port.name, change(&port.bridge));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_cut_off_loses_its_ports_on_every_segment_and_no_other_node_does() {
        let mut switch = Switch::default();
        switch.segment("edge", &[("router-1", "eth0", 10), ("l4-1", "eth0", 11)]);
        switch.segment("users", &[("router-1", "eth1", 10), ("users", "eth0", 12)]);
        assert_eq!(switch.cut_off("router-1"), "link set dev p0 nomaster\nlink set dev p2 nomaster\n");
        assert_eq!(switch.reconnect("users"), "link set dev p3 master br1\n");
        assert_eq!(switch.cut_off("nobody"), "");
    }

    #[test]
    fn a_segment_is_one_bridge_with_one_cable_a_member() {
        let mut switch = Switch::default();
        let batch = switch.segment("edge", &[("l4-1", "eth0", 77)]);
        assert!(batch.contains("link add name p0 type veth peer name eth0 netns 77\n"), "{batch}");
        assert!(batch.contains("link set dev p0 master br0 alias l4-1 up\n"), "{batch}");
        assert!(switch.segment("other", &[]).starts_with("link add name br1 "));
    }
}
