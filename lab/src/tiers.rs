//! Which topology and which stacks a command asks for.
//!
//! `--l4` and `--l7` take a number of nodes or a stack, and may be given twice: `--l7 13 --l7 weir`.

use std::str::FromStr;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::kernel::Kernel;
use crate::stack::{Choice, Stack};
use crate::topology::Size;

/// The wish as flags.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Tiers {
    /// Whose programs run on every tier that has a choice: weir or classic
    #[arg(long, value_name = "STACK")]
    stack: Option<Stack>,
    /// How many nodes there are: two of everything, or those of the reference deployment
    #[arg(long, value_name = "SIZE")]
    size: Option<Named>,
    /// Number of L4 nodes, or their stack
    #[arg(long, value_name = "N|STACK")]
    l4: Vec<Part>,
    /// Number of L7 nodes, or their stack
    #[arg(long, value_name = "N|STACK")]
    l7: Vec<Part>,
    /// Stack of the DNS server
    #[arg(long, value_name = "STACK")]
    dns: Option<Stack>,
    /// Number of application servers
    #[arg(long, value_name = "N")]
    servers: Option<u32>,
    /// Number of user addresses
    #[arg(long, value_name = "N")]
    users: Option<u32>,
    /// The machine's own kernel, or the user-mode kernel
    #[arg(long)]
    pub(crate) kernel: Option<Kernel>,
}

/// A size with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Named {
    /// Two L4 nodes, two L7 nodes, two servers, ten users
    Small,
    /// Seven, thirteen, ten, two hundred
    Full,
}

/// What may follow `--l4` and `--l7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Count(u32),
    Stack(Stack),
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse() {
            Ok(count) => Ok(Self::Count(count)),
            Err(_) => match text.parse() {
                Ok(stack) => Ok(Self::Stack(stack)),
                Err(_) => bail!("`{text}` is neither a number nor `classic` nor `weir`"),
            },
        }
    }
}

/// The wish, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// How many nodes of each kind.
    pub(crate) size: Size,
    /// Whose programs run on them.
    pub(crate) choice: Choice,
}

impl Tiers {
    /// Whether anything was asked for at all.
    pub(crate) fn is_plain(&self) -> bool {
        self.stack.is_none()
            && self.size.is_none()
            && self.l4.is_empty()
            && self.l7.is_empty()
            && self.dns.is_none()
            && self.servers.is_none()
            && self.users.is_none()
            && self.kernel.is_none()
    }

    /// What that comes to. Small, and Weir on every tier, unless said otherwise.
    ///
    /// # Errors
    /// The same thing asked for twice.
    pub(crate) fn shape(&self) -> Result<Shape> {
        let mut size = match self.size {
            Some(Named::Full) => Size::full(),
            _ => Size::small(),
        };
        let mut choice = match self.stack {
            Some(Stack::Classic) => Choice::CLASSIC,
            _ => Choice::WEIR,
        };
        apply("--l4", &self.l4, &mut size.l4, &mut choice.l4)?;
        apply("--l7", &self.l7, &mut size.l7, &mut choice.l7)?;
        choice.dns = self.dns.unwrap_or(choice.dns);
        size.servers = self.servers.unwrap_or(size.servers);
        size.users = self.users.unwrap_or(size.users);
        Ok(Shape { size, choice })
    }
}

fn apply(flag: &str, parts: &[Part], count: &mut u32, stack: &mut Stack) -> Result<()> {
    let counts = parts.iter().filter(|part| matches!(part, Part::Count(_))).count();
    if counts > 1 || parts.len() - counts > 1 {
        bail!("{flag} has at most one number and one stack");
    }
    for part in parts {
        match *part {
            Part::Count(number) => *count = number,
            Part::Stack(name) => *stack = name,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        tiers: Tiers,
    }

    fn shape(line: &str) -> Result<Shape> {
        let words = std::iter::once("up").chain(line.split_ascii_whitespace());
        Line::try_parse_from(words)?.tiers.shape()
    }

    #[test]
    fn without_flags_the_lab_is_small_and_weir_has_every_tier() {
        assert_eq!(shape("").unwrap(), Shape { size: Size::small(), choice: Choice::WEIR });
        assert!(Line::parse_from(["up"]).tiers.is_plain());
        assert!(!Line::parse_from(["up", "--l7", "weir"]).tiers.is_plain());
    }

    #[test]
    fn numbers_and_stacks_are_given_by_the_same_flags() {
        let wished = shape("--l4 7 --l7 13 --servers 10 --users 200").unwrap();
        assert_eq!(wished, Shape { size: Size::full(), choice: Choice::WEIR });
        let wished = shape("--l7 weir --l4 classic --l7 3 --stack classic").unwrap();
        assert_eq!(wished.choice, Choice { l7: Stack::Weir, ..Choice::CLASSIC });
        assert_eq!(shape("--dns weir --stack classic").unwrap().choice.dns, Stack::Weir);
        assert_eq!(wished.size, Size { l7: 3, ..Size::small() });
        let wished = shape("--size full --stack classic --l7 20").unwrap();
        assert_eq!(wished, Shape { size: Size { l7: 20, ..Size::full() }, choice: Choice::CLASSIC });
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        for (line, word) in [
            ("--dns modern", "neither `classic`"),
            ("--l7 3 --l7 4", "at most one number"),
            ("--l7 modern", "neither a number"),
        ] {
            let refusal = format!("{:#}", shape(line).unwrap_err());
            assert!(refusal.contains(word), "{line}: {refusal}");
        }
    }
}
