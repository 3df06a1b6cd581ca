//! The part of Weir that keeps the kernel's balancer, in a node: the example `balancer` of `weir-sidecar`, driven line by line.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::build;
use crate::clients::dice::Dice;
use crate::fabric::Fabric;

/// It runs in a node. Dropping it kills it; the kernel keeps what it made.
pub(crate) struct Balancer {
    node: String,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Balancer {
    /// Starts it.
    pub(crate) fn start(fabric: &Fabric, node: &str) -> Result<Self> {
        let program = build::example_program("balancer");
        let mut command = fabric.command(node, &[&program.display().to_string()])?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take().context("a balancer without input")?;
        let answers = BufReader::new(child.stdout.take().context("a balancer without output")?);
        Ok(Self { node: node.to_owned(), child, orders, answers })
    }

    /// Gives an order and awaits the answer.
    pub(crate) fn ask(&mut self, order: &Value) -> Result<Value> {
        // In one piece: a value that is written as it is formatted is a system call for each of its words.
        self.orders.write_all(format!("{order}\n").as_bytes())?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("node {}: the balancer answers {line:?}", self.node))?;
        match answer["error"].as_str() {
            Some(error) => bail!("node {}: {error}", self.node),
            None => Ok(answer),
        }
    }

    /// Says what is wanted, makes it so: the answer is what was done.
    pub(crate) fn settle(&mut self, wanted: &Value) -> Result<Value> {
        self.ask(&json!({ "want": wanted }))?;
        self.ask(&json!("settle"))
    }

    /// All that the kernel has.
    pub(crate) fn dump(&mut self) -> Result<Value> {
        Ok(self.ask(&json!("dump"))?["services"].take())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A member of a service, as its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// Which node.
    pub(crate) number: u64,
    /// Its share.
    pub(crate) weight: u64,
    /// Whether it takes new flows.
    pub(crate) taking: bool,
}

impl Member {
    /// Its address in a service of that family.
    pub(crate) fn address(&self, v6: bool) -> String {
        let number = self.number;
        if v6 {
            format!("[2001:db8:10::{number:x}]:80")
        } else {
            format!("10.0.{}.{}:80", number / 200, 1 + number % 200)
        }
    }
}

/// Members in join order. They join, leave, come back, fail and change their share.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    pub(crate) all: Vec<Member>,
    joined: u64,
}

impl Members {
    /// The first of these many.
    pub(crate) fn first(count: u64) -> Self {
        let all = (0..count).map(|number| Member { number, weight: 1 + number, taking: true }).collect();
        Self { all, joined: count }
    }

    /// One thing happens.
    pub(crate) fn step(&mut self, dice: &mut Dice) {
        let some = |dice: &mut Dice, count: usize| dice.below(count as u64) as usize;
        match dice.below(8) {
            0 | 1 if self.all.len() < 14 => {
                // Every third was there before; its old place is gone.
                let number = if dice.chance(0.33) { dice.below(self.joined) } else { self.joined };
                self.joined = self.joined.max(number + 1);
                if self.all.iter().all(|one| one.number != number) {
                    self.all.push(Member { number, weight: 1 + dice.below(40), taking: true });
                }
            }
            2 if self.all.len() > 3 => drop(self.all.remove(some(dice, self.all.len()))),
            3 => {
                let at = some(dice, self.all.len());
                if let Some(one) = self.all.get_mut(at) {
                    one.weight = 1 + dice.below(40);
                }
            }
            _ => {
                let at = some(dice, self.all.len());
                if let Some(one) = self.all.get_mut(at) {
                    one.taking = !one.taking;
                }
            }
        }
        if self.all.iter().all(|one| !one.taking)
            && let Some(one) = self.all.first_mut()
        {
            one.taking = true;
        }
    }
}

/// A UDP service on port 80 with these members, as the balancer is told it.
pub(crate) fn service(address: IpAddr, members: &[Member]) -> Value {
    let destination = |one: &Member| {
        json!({ "endpoint": one.address(address.is_ipv6()), "weight": one.weight, "taking": one.taking,
                "forwarding": { "tunnel": "ipip" } })
    };
    let destinations: Vec<Value> = members.iter().map(destination).collect();
    // 24: mh-fallback and mh-port.
    json!({ "key": key(address), "settings": { "scheduler": "mh", "flags": 24 }, "destinations": destinations })
}

/// What that service is known by.
pub(crate) fn key(address: IpAddr) -> Value {
    json!({ "address": { "protocol": "udp", "address": address, "port": 80 } })
}
