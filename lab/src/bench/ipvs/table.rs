//! The table that is programmed, as each program is told it: services on ports of one address, tunnels to L7 nodes, `mh`.

use std::fmt::Write as _;

/// So many services with so many destinations each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) services: u16,
    pub(super) destinations: u16,
}

const SERVICE: &str = "198.51.100.1";
const FIRST_PORT: u16 = 1001;
const WEIGHT: u32 = 10;

impl Table {
    /// Services and destinations in all.
    pub(super) fn objects(self) -> usize {
        usize::from(self.services) * (1 + usize::from(self.destinations))
    }

    fn ports(self) -> impl Iterator<Item = u16> {
        (FIRST_PORT..).take(self.services.into())
    }

    fn nodes(self) -> impl Iterator<Item = String> {
        (0..self.destinations).map(|number| format!("10.0.{}.{}", number / 200, 1 + number % 200))
    }

    /// For `ipvsadm --restore`.
    pub(super) fn as_rules(self) -> String {
        let mut text = String::new();
        for port in self.ports() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "-A -t {SERVICE}:{port} -s mh -b mh-fallback,mh-port");
            for node in self.nodes() {
                let _ = writeln!(text, "-a -t {SERVICE}:{port} -r {node}:{port} -i -w {WEIGHT}");
            }
        }
        text
    }

    /// For keepalived. Nobody checks the nodes: they are up from the start.
    pub(super) fn as_keepalived(self) -> String {
        let mut text = String::from("global_defs {\n  router_id bench\n}\n");
        for port in self.ports() {
            let _ = write!(
                text,
                "virtual_server {SERVICE} {port} {{\n  lvs_sched mh\n  mh-port\n  mh-fallback\n  lvs_method TUN\n  protocol TCP\n"
            );
            for node in self.nodes() {
                let _ = writeln!(text, "  real_server {node} {port} {{\n    weight {WEIGHT}\n  }}");
            }
            text.push_str("}\n");
        }
        text
    }

    /// For Weir's sidecar: the order that says all of it.
    pub(super) fn as_order(self, generation: u64) -> String {
        let mut text = format!(
            "{{\"set\":{{\"generation\":{generation},\"tunnels\":[],\"addresses\":[\"{SERVICE}\"],\"sysctls\":[],\
             \"hold\":{{\"secs\":10,\"nanos\":0}},\"ipvs\":{{\"ownership\":{{\"addresses\":[\"{SERVICE}\"]}},\"table\":["
        );
        for (count, port) in self.ports().enumerate() {
            let comma = if count == 0 { "" } else { "," };
            let _ = write!(
                text,
                "{comma}{{\"key\":{{\"address\":{{\"protocol\":\"tcp\",\"address\":\"{SERVICE}\",\"port\":{port}}}}},\
                 \"settings\":{{\"scheduler\":\"mh\",\"flags\":24}},\"destinations\":["
            );
            for (count, node) in self.nodes().enumerate() {
                let comma = if count == 0 { "" } else { "," };
                let _ = write!(
                    text,
                    "{comma}{{\"endpoint\":\"{node}:{port}\",\"weight\":{WEIGHT},\"taking\":true,\
                     \"forwarding\":{{\"tunnel\":\"ipip\"}}}}"
                );
            }
            text.push_str("]}");
        }
        text.push_str("]}}}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_are_told_of_as_many_objects() {
        let table = Table { services: 3, destinations: 5 };
        assert_eq!(table.objects(), 18);
        assert_eq!(table.as_rules().lines().count(), 18);
        let keepalived = table.as_keepalived();
        assert_eq!(keepalived.matches("_server ").count(), 18);
        let order: serde_json::Value = serde_json::from_str(&table.as_order(7)).unwrap();
        let services = order["set"]["ipvs"]["table"].as_array().unwrap();
        assert_eq!(services.len(), 3);
        assert!(services.iter().all(|service| service["destinations"].as_array().unwrap().len() == 5));
    }
}
