//! The neighbors: which programs they run, how they are asked what they have.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::route::Seen;
use super::wish::{INNER, OUTER, Speaker};
use super::{bird, exabgp, frr, gobgp};
use crate::fabric::{Daemon, Fabric};

/// Who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brand {
    Bird,
    GoBgp,
    Frr,
    ExaBgp,
}

/// All of them.
pub(super) const ALL: [Brand; 4] = [Brand::Bird, Brand::GoBgp, Brand::Frr, Brand::ExaBgp];

/// What a neighbor is given and runs.
pub(super) struct Outfit {
    /// Path and text.
    pub(super) files: Vec<(&'static str, String)>,
    /// In the order in which they start. The last one speaks BGP.
    pub(super) programs: Vec<Program>,
}

/// A program of a neighbor.
pub(super) struct Program {
    /// Its name, also that of its log.
    pub(super) name: &'static str,
    /// Program and arguments.
    pub(super) argv: Vec<&'static str>,
    /// What has to be there first.
    pub(super) after: Option<&'static str>,
}

impl Program {
    fn start(&self, fabric: &Fabric, node: &str) -> Result<Daemon> {
        let lab = std::env::current_exe().context("cannot find this program")?.display().to_string();
        let waits = self.after.map(|file| [lab.as_str(), "turn", "--after", file, "--"]);
        let argv: Vec<&str> = waits.iter().flatten().chain(&self.argv).copied().collect();
        fabric.start(node, self.name, &argv)
    }
}

impl Brand {
    /// Its node, and the name by which Weir knows it.
    pub(super) const fn node(self) -> &'static str {
        match self {
            Self::Bird => "bird",
            Self::GoBgp => "gobgp",
            Self::Frr => "frr",
            Self::ExaBgp => "exabgp",
        }
    }

    /// The end of its addresses.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Bird => 11,
            Self::GoBgp => 12,
            Self::Frr => 13,
            Self::ExaBgp => 14,
        }
    }

    pub(super) fn v4(self) -> String {
        format!("10.99.0.{}", self.number())
    }

    pub(super) fn v6(self) -> String {
        format!("fd99::{}", self.number())
    }

    /// What it announces to Weir, one of each family.
    pub(super) fn own_prefixes(self) -> [String; 2] {
        let number = self.number();
        [format!("192.0.2.{}/28", number % 8 * 16), format!("2001:db8:{number}::/48")]
    }

    fn outfit(self) -> Outfit {
        match self {
            Self::Bird => bird::outfit(),
            Self::GoBgp => gobgp::outfit(),
            Self::Frr => frr::outfit(),
            Self::ExaBgp => exabgp::outfit(),
        }
    }

    /// Whether it watches this speaker with BFD. FRR 8.4 takes a neighbor that it does GTSM with for one that is several hops away, and
    /// so its BFD is of another kind (RFC 5883).
    pub(super) fn watches(self, speaker: &Speaker) -> bool {
        match self {
            Self::Bird => [OUTER.node, INNER.node].contains(&speaker.node),
            Self::Frr => speaker.node == INNER.node,
            Self::GoBgp | Self::ExaBgp => false,
        }
    }

    /// Whether it can be told to ask for everything again. GoBGP keeps what came, and looks there.
    pub(super) const fn asks_again(self) -> bool {
        matches!(self, Self::Bird | Self::Frr)
    }

    /// Whether it can read why a session was shut down. ExaBGP 4.2 fails over the text with an error of its own, and ends the session.
    pub(super) const fn reads_reasons(self) -> bool {
        !matches!(self, Self::ExaBgp)
    }

    /// Whether it shows routes as they came, without what it would add.
    pub(super) const fn shows_what_came(self) -> bool {
        matches!(self, Self::GoBgp | Self::ExaBgp)
    }

    /// Makes it announce its own prefixes, where its configuration does not.
    pub(super) fn originate(self, fabric: &Fabric) -> Result<()> {
        match self {
            Self::GoBgp => gobgp::originate(fabric),
            _ => Ok(()),
        }
    }

    /// Whether it has a session with one of Weir's speakers.
    pub(super) fn is_up(self, fabric: &Fabric, speaker: &Speaker) -> Result<bool> {
        match self {
            Self::Bird => bird::is_up(fabric, speaker),
            Self::GoBgp => gobgp::is_up(fabric, speaker),
            Self::Frr => frr::is_up(fabric, speaker),
            Self::ExaBgp => exabgp::is_up(fabric, speaker),
        }
    }

    /// Whether it has a BFD session with one of Weir's speakers.
    pub(super) fn bfd_is_up(self, fabric: &Fabric, speaker: &Speaker) -> Result<bool> {
        match self {
            Self::Bird => bird::bfd_is_up(fabric, speaker),
            Self::Frr => frr::bfd_is_up(fabric, speaker),
            Self::GoBgp | Self::ExaBgp => Ok(false),
        }
    }

    /// All that it has from Weir.
    pub(super) fn routes(self, fabric: &Fabric) -> Result<BTreeMap<String, Seen>> {
        match self {
            Self::Bird => bird::routes(fabric),
            Self::GoBgp => gobgp::routes(fabric),
            Self::Frr => frr::routes(fabric),
            Self::ExaBgp => exabgp::routes(fabric),
        }
    }

    /// How many `UPDATE`s or routes came from `outer`, repeated ones counted again.
    pub(super) fn updates(self, fabric: &Fabric) -> Result<u64> {
        match self {
            Self::Bird => bird::updates(fabric),
            Self::Frr => frr::updates(fabric),
            Self::GoBgp | Self::ExaBgp => Ok(0),
        }
    }

    /// Sends `ROUTE-REFRESH` to `outer`.
    pub(super) fn ask_again(self, fabric: &Fabric) -> Result<()> {
        match self {
            Self::Bird => bird::ask_again(fabric),
            Self::Frr => frr::ask_again(fabric),
            Self::GoBgp | Self::ExaBgp => Ok(()),
        }
    }

    /// What its log has once End-of-RIB of each family has come.
    pub(super) const fn ends_of_table(self) -> &'static [&'static str] {
        match self {
            Self::Bird => bird::ENDS_OF_TABLE,
            Self::GoBgp => gobgp::ENDS_OF_TABLE,
            Self::Frr => frr::ENDS_OF_TABLE,
            Self::ExaBgp => exabgp::ENDS_OF_TABLE,
        }
    }

    /// Whether any of its logs holds this text.
    pub(super) fn has_said(self, fabric: &Fabric, text: &str) -> bool {
        let folder = std::fs::read_dir(fabric.logs(self.node())).into_iter().flatten().flatten();
        let texts = folder.filter_map(|file| std::fs::read(file.path()).ok());
        texts.into_iter().any(|log| String::from_utf8_lossy(&log).contains(text))
    }
}

/// A neighbor that runs.
pub(super) struct Running {
    brand: Brand,
    daemons: Vec<Daemon>,
}

impl Running {
    /// Furnishes its node and starts it.
    pub(super) fn start(fabric: &Fabric, brand: Brand) -> Result<Self> {
        let outfit = brand.outfit();
        for (path, text) in &outfit.files {
            fabric.write(brand.node(), path, text)?;
        }
        let start = |program: &Program| program.start(fabric, brand.node());
        Ok(Self { brand, daemons: outfit.programs.iter().map(start).collect::<Result<_>>()? })
    }

    /// SIGKILL to the program that speaks BGP.
    pub(super) fn kill(&self) -> Result<()> {
        self.daemons.last().context("a neighbor without a program")?.kill()
    }

    /// Starts it after that.
    pub(super) fn start_again(&mut self, fabric: &Fabric) -> Result<()> {
        let outfit = self.brand.outfit();
        let program = outfit.programs.last().context("a neighbor without a program")?;
        drop(self.daemons.pop());
        self.daemons.push(program.start(fabric, self.brand.node())?);
        Ok(())
    }
}
