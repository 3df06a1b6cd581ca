//! gdnsd: names of the services, addresses that fail their check left out.

use std::fmt::Write as _;

use super::names::{POLICIES, STATE_FILE, state_file};
use super::{Outfit, Turn};
use crate::topology::address::{beside, service};

const FOLDER: &str = "/etc/gdnsd";

pub(super) fn outfit(outfit: &mut Outfit) {
    outfit.file("/etc/gdnsd/config", configuration());
    outfit.file("/etc/gdnsd/zones/example.org", ZONE.into());
    outfit.file(STATE_FILE, state_file(&[]));
    outfit.program("gdnsd", Turn::First, &["/usr/sbin/gdnsd", "-c", FOLDER, "start"]);
}

const ZONE: &str = "\
@ SOA ns1 dns.example.org. 1 7200 1800 259200 900
@ NS ns1.example.com.

www  60 DYNA multifo!web1
www1 60 DYNA multifo!web1
www2 60 DYNA multifo!web2
";

fn configuration() -> String {
    // `run_dir` and `state_dir` are not in the original; the nodes have no /var/lib of their own.
    let mut text = format!(
        "options => {{
  listen => any
  zones_rfc1035_auto => true
  run_dir => /run/gdnsd
  state_dir => /run/gdnsd-state
}}

service_types => {{
  web => {{
    plugin => http_status
    url_path => /healthcheck
    down_thresh => 5
    interval => 5
  }}
  ext => {{
    plugin => extfile
    file => {STATE_FILE}
    def_down => true
  }}
}}

plugins => {{
  multifo => {{
"
    );
    for (name, first) in POLICIES {
        let (one, other) = (service(first), service(first + 1));
        let _ = write!(
            text,
            "    {name} => {{
      service_types => [ ext, web ]
      addrs_v4 => [ {one}, {other} ]
      addrs_v6 => [ {}, {} ]
    }}
",
            beside(one),
            beside(other)
        );
    }
    text.push_str("  }\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_two_addresses_of_each_family() {
        let text = configuration();
        for line in [
            "      addrs_v4 => [ 198.51.100.1, 198.51.100.2 ]\n",
            "      addrs_v6 => [ 2001:db8::c633:6403, 2001:db8::c633:6404 ]\n",
            "    file => /etc/lb/ext\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
