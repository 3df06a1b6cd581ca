//! Chain: what is left of a name's addresses after steps in an order of yours.
//!
//! **When to use it.** One rule is not enough: those that are up, of these the sites near the client, of these the ones that are
//! not busy, of these two by weight. Each step takes what the step before it left. A step that would leave none is passed
//! over, but for `up`: where nothing of what is left is up, `none-up` says what is answered, so `up` is best the first. IPv4 and IPv6 are decided apart.
//!
//! **What it costs.** With `weighted` a call for each query, unless `repeat-ms` allows the host to repeat an answer; with `geo` or `sticky`
//! one for the first query of each network; else one until an address changes.
//!
//! **Configuration.** Beside `ttl`, `order` (`listed`), `repeat-ms` and `none-up`:
//!
//! ```text
//! # Steps, in order:
//! #   up         those that are up; of weight 0 only where no other of them is
//! #   priority   those with the lowest number in their label `priority`; without one, the last
//! #   shed       those whose load is not over `shed-over`; nobody says: not over
//! #   geo        those of the first site for the client that has one: see `site`, `by`, `map.` and `default`
//! #   sticky     puts them into the order of the client's network: see `bits-v4` and `bits-v6`
//! #   weighted   puts them into an order drawn by weight for each query
//! #   first N    the first so many of them
//! steps = up
//! # The label of an address that has its priority.
//! priority = priority
//! # Percent of load.
//! shed-over = 80
//! # As of the plugin `geo`.
//! site = site
//! by = country, continent
//! map.EU = ams1, fra1
//! default = fra1
//! # As of the plugin `sticky-subnet`.
//! bits-v4 = 24
//! bits-v6 = 56
//! ```

use weir_plugin::dns_answers::{
    A, AAAA, Address, Decision, DnsAnswers, Names, NetworkBits, Order, Question, Settings, Sites,
};
use weir_plugin::{Config, ConfigError, Description, Plugin};

/// The policy.
#[derive(Debug)]
pub struct Chain {
    settings: Settings,
    /// What no query changes: done once for each change of an address.
    fixed: Vec<Step>,
    /// From the first step on that depends on who asks, or is drawn.
    asked: Vec<Step>,
    priority: String,
    shed_over: f32,
    sites: Sites,
    bits: NetworkBits,
    names: Names<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Up,
    Priority,
    Shed,
    Geo,
    Sticky,
    Weighted,
    First(usize),
}

impl Step {
    /// What the step does is the same for every query.
    const fn is_fixed(self) -> bool {
        !matches!(self, Self::Geo | Self::Sticky | Self::Weighted)
    }
}

/// A name's addresses, and what the fixed steps left of those of each type.
#[derive(Debug)]
struct Name {
    addresses: Vec<Address>,
    left: [Vec<u32>; 2],
}

weir_plugin::export_dns_answers!(Chain);

impl Plugin for Chain {
    fn describe() -> Description {
        weir_plugin::describe!()
    }

    fn configure(config: &str) -> Result<Self, ConfigError> {
        let mut config = Config::parse(config)?;
        let mut steps = steps(config.text("steps").unwrap_or("up"))?;
        let settings = Settings::take(&mut config, Order::Listed)?;
        let priority = config.text("priority").unwrap_or("priority").to_owned();
        let shed_over = f32::from(config.number("shed-over", 0..=100, 80u8)?) / 100.0;
        let (sites, bits) = (Sites::take(&mut config), NetworkBits::take(&mut config)?);
        config.finish()?;
        let settings = if steps.contains(&Step::Weighted) { settings.drawing() } else { settings };
        let asked = steps.split_off(steps.iter().take_while(|step| step.is_fixed()).count());
        Ok(Self { settings, fixed: steps, asked, priority, shed_over, sites, bits, names: Names::default() })
    }
}

/// Words such as `up, shed, first 2`.
fn steps(text: &str) -> Result<Vec<Step>, ConfigError> {
    let step = |word: &str| match word.split_whitespace().collect::<Vec<_>>()[..] {
        ["up"] => Some(Step::Up),
        ["priority"] => Some(Step::Priority),
        ["shed"] => Some(Step::Shed),
        ["geo"] => Some(Step::Geo),
        ["sticky"] => Some(Step::Sticky),
        ["weighted"] => Some(Step::Weighted),
        ["first", count] => count.parse().ok().filter(|count| (1..=64).contains(count)).map(Step::First),
        _ => None,
    };
    let words = text.split(',').map(str::trim);
    words
        .map(|word| {
            step(word).ok_or_else(|| {
                let known = "`up`, `priority`, `shed`, `geo`, `sticky`, `weighted`, `first` and a number from 1 to 64";
                ConfigError::Invalid(format!("`{word}` is no step of `steps`; known are {known}"))
            })
        })
        .collect()
}

impl DnsAnswers for Chain {
    fn update(&mut self, name: &str, addresses: &[Address]) {
        let left = [A, AAAA].map(|record_type| {
            let all = (0..).zip(addresses).filter(|(_, address)| address.is_of(record_type));
            let mut left: Vec<u32> = all.map(|(index, _)| index).collect();
            for step in &self.fixed {
                left = self.filtered(*step, addresses, left);
            }
            left
        });
        self.names.set(name, Name { addresses: addresses.to_vec(), left });
    }

    fn decide(&mut self, question: &Question) -> Decision {
        let Some(name) = self.names.of(question) else { return Decision::Fallback };
        let [v4, v6] = &name.left;
        let mut left = if question.record_type == A { v4 } else { v6 }.clone();
        let mut bits = 0;
        for step in &self.asked {
            match step {
                Step::Geo => {
                    bits = bits.max(self.sites.bits(question));
                    let site_of =
                        |index: &u32| name.addresses.get(*index as usize).and_then(|a| self.sites.of(a));
                    let here = self
                        .sites
                        .wanted(question)
                        .find(|site| left.iter().any(|i| site_of(i) == Some(*site)));
                    if let Some(site) = here {
                        left.retain(|index| site_of(index) == Some(site));
                    }
                }
                Step::Sticky => {
                    bits = bits.max(self.bits.of(question));
                    self.bits.rank(question, &name.addresses, &mut left);
                }
                Step::Weighted => self.settings.draw(&name.addresses, &mut left),
                step => left = self.filtered(*step, &name.addresses, left),
            }
        }
        if left.is_empty() {
            return self.settings.none_up();
        }
        self.settings.answer(&left).for_bits(bits, question).into()
    }
}

impl Chain {
    /// What a step leaves that looks at addresses only.
    fn filtered(&self, step: Step, addresses: &[Address], left: Vec<u32>) -> Vec<u32> {
        let address = |index: &u32| addresses.get(*index as usize);
        let kept: Vec<u32> = match step {
            Step::Up => {
                let is_up = |index: &u32| address(index).is_some_and(|a| a.state.is_up());
                let weighs = |index: &u32| address(index).is_some_and(|a| a.weight > 0);
                // Weight 0 is for when no other of them is up.
                let any = left.iter().any(|index| is_up(index) && weighs(index));
                return left.into_iter().filter(|index| is_up(index) && (!any || weighs(index))).collect();
            }
            Step::Priority => {
                let number = |index: &u32| address(index)?.label(&self.priority)?.parse::<u32>().ok();
                let rank = |index: &u32| number(index).map_or(u64::MAX, u64::from);
                let lowest = left.iter().map(rank).min();
                left.iter().filter(|index| Some(rank(index)) == lowest).copied().collect()
            }
            Step::Shed => {
                let fits = |index: &&u32| address(index).is_some_and(|a| a.load <= self.shed_over);
                left.iter().filter(fits).copied().collect()
            }
            Step::First(count) => left.iter().take(count).copied().collect(),
            // These look at who asks.
            Step::Geo | Step::Sticky | Step::Weighted => return left,
        };
        if kept.is_empty() { left } else { kept }
    }
}

#[cfg(test)]
mod tests;
