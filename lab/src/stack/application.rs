//! The application: nginx that takes the PROXY protocol, and behind it, on the same server, the lab's own server for
//! everything that is more than the server's name.
//!
//! nginx is what the original has, and what an L7 node talks to. It hands bodies on as they come in both directions, so
//! that a slow client is slow through all of it.

use std::path::Path;

use super::{Outfit, Turn};
use crate::topology::SERVER_PORT;

const FILE: &str = "/etc/nginx/lab.conf";
const BEHIND: &str = "127.0.0.1:8080";

pub(super) fn outfit(outfit: &mut Outfit, name: &str, lab: &Path) {
    outfit.file(FILE, configuration(name));
    outfit.program("nginx", Turn::First, &["/usr/sbin/nginx", "-e", "stderr", "-c", FILE]);
    outfit.program("application", Turn::First, &[&lab.display().to_string(), "serve", name, BEHIND]);
}

fn configuration(name: &str) -> String {
    let mut paths = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        paths.push_str(&format!("  {kind}_temp_path /run/nginx-{kind};\n"));
    }
    format!(
        "user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
pid /run/nginx.pid;
error_log stderr;

events {{
  worker_connections 4096;
}}

http {{
  default_type text/plain;
  access_log /dev/stdout;
{paths}
  add_header X-Remote-Addr $remote_addr;
  add_header X-Remote-Port $remote_port;

  server {{
    listen [::]:{SERVER_PORT} default ipv6only=off proxy_protocol;
    set_real_ip_from ::/0;
    set_real_ip_from 0.0.0.0/0;
    real_ip_header proxy_protocol;

    client_max_body_size 0;

    location = / {{
      return 200 \"{name}\\n\";
    }}

    location / {{
      proxy_pass http://{BEHIND};
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }}
    client_body_timeout 1h;
    send_timeout 1h;
  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_takes_the_proxy_protocol_says_its_name_and_hands_bodies_on_as_they_come() {
        let text = configuration("S3");
        for line in [
            "listen [::]:88 default ipv6only=off proxy_protocol;",
            "return 200 \"S3\\n\";",
            "proxy_pass http://127.0.0.1:8080;",
            "proxy_request_buffering off;",
            "proxy_buffering off;",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
