//! The answer as a person reads it, at any time of the night: who gets the flow comes first, numbers after it.

use std::fmt;

use super::{Explanation, Outcome, Place, Supposed};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flow, service, out, now, supposed } = self;
        writeln!(f, "{} -> {} (service {service})", flow.source, flow.destination)?;
        let words = supposed.as_ref().map_or("now", |supposed| supposed.what.as_str());
        let width = words.len().max(3);
        writeln!(f, "  {:width$}  {now}", "now")?;
        if let Some(supposed) = supposed {
            writeln!(f, "  {:width$}  {}", supposed.what, supposed.outcome)?;
            writeln!(f)?;
            write!(f, "{supposed}")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "Every l4 node places new connections so (table {:016x}); those that it knows stay where they are.",
            now.table
        )?;
        match out.as_slice() {
            [] => writeln!(
                f,
                "Taken for granted: every l7 node is healthy. Name those that are not with --out NODE."
            ),
            out => writeln!(
                f,
                "Taken for granted: no new connections to {}; every other l7 node is healthy.",
                out.join(", ")
            ),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = format!("row {} of {}", self.row, self.rows);
        match (&self.node, &self.owner) {
            (Some(node), Some(owner)) if node.node == owner.node => write!(f, "{node}, {row}"),
            (Some(node), Some(owner)) => {
                write!(f, "{node}, {row}, since {} whose row it is takes no new connections", owner.node)
            }
            (None, Some(owner)) => {
                write!(f, "refused: {row} belongs to {}, and nobody takes new connections", owner.node)
            }
            (_, None) => write!(f, "refused: {row} belongs to nobody"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, join {}, weight {})", self.node, self.address, self.join, self.weight)
    }
}

impl fmt::Display for Supposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let this = if self.moves { "This flow moves." } else { "This flow stays." };
        write!(f, "{this} Of all flows {} go elsewhere", percent(self.flows_moved))?;
        let rows = f64::from(self.outcome.rows);
        if self.rows_shuffled > 0 {
            let shuffled = percent(f64::from(self.rows_shuffled) / rows);
            write!(f, " ({shuffled} from one node that stays to another)")?;
        }
        match self.flows_refused {
            refused if refused > 0.0 => writeln!(f, "; {} are refused.", percent(refused)),
            _ => writeln!(f, "; none is refused."),
        }?;
        writeln!(f, "Rows with another owner: {} of {}.", self.rows_moved, self.outcome.rows)
    }
}
