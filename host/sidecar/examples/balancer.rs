//! The kernel's balancer on a line: orders as JSON on standard input, an answer to each on standard output.
//!
//! For trials and measurements in a network namespace: what the sidecar does with IPVS, without the sidecar. `cargo lab trial
//! ipvs` and `cargo lab bench ipvs` drive it; by hand:
//!
//! ```text
//! echo '"dump"' | cargo run --release -p weir-sidecar --example balancer
//! ```

#![allow(clippy::print_stdout, reason = "its answers are what it is for")]

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::ipvs::{Key, Plan, Wanted};
use weir_core::maglev::{Family, Table};
use weir_sidecar::kernel::ipvs::Balancer;

/// One line.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    /// What is wanted from now on, in a file; nothing is done.
    Read(PathBuf),
    /// What is wanted from now on; nothing is done.
    Want(Wanted),
    /// The plan, by what is known.
    Plan,
    /// Carries the plan out.
    Settle,
    /// What is wanted from now on, carried out; then reads all that the kernel has, and shows it.
    Reach(Wanted),
    /// Reads all that the kernel has.
    Look,
    /// Reads all that the kernel has, and shows it.
    Dump,
    /// Begins anew, as after a restart.
    Forget,
    /// Sends a packet from each of these sources to a UDP service.
    Send { to: SocketAddr, sources: Sources },
    /// Compares where the kernel put the flows of these sources with what is foretold by what is wanted.
    Compare { service: Key, sources: Sources },
}

/// So many sources, from a seed.
#[derive(Clone, Copy, Deserialize)]
struct Sources {
    family: Family,
    seed: u64,
    count: u32,
}

impl Sources {
    fn iter(self) -> impl Iterator<Item = SocketAddr> {
        let mut state = self.seed;
        let mut number = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        (0..self.count).map(move |_| {
            let ip: IpAddr = match self.family {
                Family::V4 => Ipv4Addr::from_bits(0x6440_0000 | number() & 0x3f_ffff).into(),
                Family::V6 => {
                    let words = [number() & 0xffff, number(), number()].map(u128::from);
                    let [a, b, c] = words;
                    Ipv6Addr::from_bits((0x2001_0db8_0064_u128 << 80) | a << 64 | b << 32 | c).into()
                }
            };
            SocketAddr::new(ip, (1024 + number() % 64000) as u16)
        })
    }
}

/// What is known between two lines.
#[derive(Default)]
struct State {
    balancer: Option<Balancer>,
    wanted: Wanted,
}

impl State {
    fn balancer(&mut self) -> Result<&mut Balancer, Box<dyn Error>> {
        if self.balancer.is_none() {
            self.balancer = Some(Balancer::open()?);
        }
        self.balancer.as_mut().ok_or_else(|| "no balancer".into())
    }

    fn obey(&mut self, order: Order) -> Result<Value, Box<dyn Error>> {
        Ok(match order {
            Order::Read(file) => {
                self.wanted = serde_json::from_reader(std::io::BufReader::new(std::fs::File::open(file)?))?;
                json!({})
            }
            Order::Want(wanted) => {
                self.wanted = wanted;
                json!({})
            }
            Order::Plan => {
                let wanted = self.wanted.clone();
                told(&self.balancer()?.plan(&wanted))
            }
            Order::Settle => {
                let wanted = std::mem::take(&mut self.wanted);
                let plan = self.balancer()?.settle(&wanted, |_| {});
                self.wanted = wanted;
                told(&plan?)
            }
            Order::Reach(wanted) => {
                self.wanted = wanted;
                let mut done = self.obey(Order::Settle)?;
                if let (Some(done), Value::Object(dump)) = (done.as_object_mut(), self.obey(Order::Dump)?) {
                    done.extend(dump);
                }
                done
            }
            Order::Look => {
                self.balancer()?.look()?;
                json!({})
            }
            Order::Dump => {
                let balancer = self.balancer()?;
                balancer.look()?;
                let services = &balancer.memory().known().services;
                json!({ "services": services.iter().collect::<Vec<_>>() })
            }
            Order::Forget => {
                self.balancer = None;
                json!({})
            }
            Order::Send { to, sources } => json!({ "sent": send(to, sources)? }),
            Order::Compare { service, sources } => self.compare(service, sources)?,
        })
    }

    fn compare(&self, key: Key, sources: Sources) -> Result<Value, Box<dyn Error>> {
        let service = self.wanted.table.get(&key).ok_or("this service is not wanted")?;
        let scheme =
            service.settings.scheme(key.family(), self.wanted.size).ok_or("it cannot be foretold")?;
        let table = Table::of(scheme, &service.list()?)?;
        let Key::Address { address, port, .. } = key else { return Err("a mark has no connections".into()) };
        let placed = connections(SocketAddr::new(address, port))?;
        let (mut equal, mut missing, mut wrong) = (0, 0, Vec::new());
        for source in sources.iter() {
            let foretold = table.place(source).destination;
            match placed.get(&source) {
                None => missing += 1,
                Some(found) if Some(*found) == foretold => equal += 1,
                Some(found) => wrong.push(format!("{source} is at {found}, foretold {foretold:?}")),
            }
        }
        let first = wrong.first();
        Ok(json!({ "equal": equal, "wrong": wrong.len(), "missing": missing, "first": first }))
    }
}

fn told(plan: &Plan) -> Value {
    let changes: Vec<String> = plan.changes.iter().take(20).map(ToString::to_string).collect();
    json!({ "changes": plan.changes.len(), "disorder": plan.disorder, "foreign": plan.foreign.len(),
            "restated": plan.restated, "first": changes })
}

fn send(to: SocketAddr, sources: Sources) -> Result<u32, Box<dyn Error>> {
    let mut sent = 0;
    for source in sources.iter() {
        // The same source may come twice; the kernel takes the port again at once.
        UdpSocket::bind(source)?.send_to(b"?", to)?;
        sent += 1;
    }
    Ok(sent)
}

/// The kernel's connections of a service: source and destination.
fn connections(service: SocketAddr) -> Result<HashMap<SocketAddr, SocketAddr>, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/net/ip_vs_conn")?;
    let mut all = HashMap::new();
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, from, from_port, to, to_port, destination, destination_port, ..] = words[..] else {
            continue;
        };
        let parsed = (at(from, from_port), at(to, to_port), at(destination, destination_port));
        if let (Some(from), Some(to), Some(destination)) = parsed
            && to == service
        {
            all.insert(from, destination);
        }
    }
    Ok(all)
}

fn at(ip: &str, port: &str) -> Option<SocketAddr> {
    let ip = match u32::from_str_radix(ip, 16) {
        Ok(bits) if ip.len() == 8 => Ipv4Addr::from_bits(bits).into(),
        _ => ip.trim_matches(['[', ']']).parse().ok()?,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut state = State::default();
    for line in std::io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?)?;
        let began = Instant::now();
        let mut answer = state.obey(order).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("micros".to_owned(), json!(began.elapsed().as_micros() as u64));
        }
        println!("{answer}");
    }
    Ok(())
}
