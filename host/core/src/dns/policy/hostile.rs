//! Hostile state files: all of it is understood, or a line of it is named.

use std::net::IpAddr;

use weir_hostile::{Shape, Target, attack};

use super::StateFile;

/// The form that gdnsd's `extfile` has.
struct States([IpAddr; 4]);

impl Target for States {
    fn name(&self) -> &'static str {
        "dns-state-file"
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let lines = [
            "198.51.100.1 => UP\n",
            "2001:db8::198.51.100.1 => DOWN/17\n",
            "2001:db8::198.51.100.* => DOWN\n",
            "\"198.51.100.2\" => up, 198.51.?0?.3 => down/604800 # both\n",
            "\n# nothing\n",
        ];
        lines.iter().map(|line| line.as_bytes().to_vec()).chain([lines.concat().into_bytes()]).collect()
    }

    fn attack(&self, bytes: &[u8]) -> Shape {
        match StateFile::parse(&String::from_utf8_lossy(bytes)) {
            Ok(file) => {
                let said = self.0.map(|address| file.of(address));
                assert!(said.iter().flatten().all(|said| said.ttl.is_none_or(|ttl| ttl <= 604_800)));
                Shape::of(&said)
            }
            Err(error) => {
                assert!((1..=bytes.len() + 1).contains(&error.line));
                Shape::of(&error.line.min(3).to_string().repeat(error.line.min(3)))
            }
        }
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[b"=>", b"UP", b"DOWN/", b"*", b"****", b"?", b"::ffff:", b"4294967296", b",", b"#"]
    }
}

#[test]
fn dns_state_file() {
    let addresses = ["198.51.100.1", "198.51.100.200", "2001:db8::c633:6401", "::"];
    attack(&States(addresses.map(|text| text.parse().unwrap())));
}
