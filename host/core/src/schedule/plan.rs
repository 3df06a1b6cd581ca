//! What a policy wants done, checked once so that the request path need not.

use std::sync::Arc;

/// The most rows of a table and steps of a cycle: 4 MiB, sixteen times the largest Maglev table in common use.
pub const MAX_PLAN: usize = 1 << 20;

/// `plan` of `wit/scheduler.wit`. Made by [`Plan::table`] and [`Plan::cycle`], so every index is within
/// the list of servers that it was made for and no list is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Row `key mod length` holds the server.
    Table(Arc<[u32]>),
    /// The servers in turn.
    Cycle(Arc<[u32]>),
    /// Ask for each request.
    PerRequest,
    /// The native weighted round robin.
    Fallback,
}

/// Why a list is not a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to choose from; `fallback` is the word for that.
    #[error("the plan is an empty list")]
    Empty,
    /// Longer than [`MAX_PLAN`].
    #[error("the plan has {0} entries, at most {MAX_PLAN} are allowed")]
    TooLong(usize),
    /// An index that is not one of the servers.
    #[error("entry {at} of the plan is server {index}, but there are only {servers} servers")]
    OutOfRange {
        /// Where in the list.
        at: usize,
        /// What it says.
        index: u32,
        /// How many servers there are.
        servers: usize,
    },
}

impl Plan {
    /// A table over this many servers.
    pub fn table(rows: Vec<u32>, servers: usize) -> Result<Self, PlanError> {
        check(&rows, servers)?;
        Ok(Self::Table(rows.into()))
    }

    /// A cycle over this many servers.
    pub fn cycle(steps: Vec<u32>, servers: usize) -> Result<Self, PlanError> {
        check(&steps, servers)?;
        Ok(Self::Cycle(steps.into()))
    }

    /// The same for a list in which servers have other indices, or none any more: rows of one that left go to whoever has the next row that
    /// stays, its steps are left out. So what servers that stay have, they keep, until there is a plan for the new list.
    #[must_use]
    pub fn renumbered(&self, new_index: impl Fn(u32) -> Option<u32>) -> Self {
        match self {
            Self::Table(rows) => {
                let mut next = rows.iter().find_map(|server| new_index(*server));
                // From the last row on, each knows who is next; the last one's next is the first.
                let mut moved: Vec<u32> = rows
                    .iter()
                    .rev()
                    .filter_map(|server| {
                        next = new_index(*server).or(next);
                        next
                    })
                    .collect();
                moved.reverse();
                if moved.is_empty() { Self::Fallback } else { Self::Table(moved.into()) }
            }
            Self::Cycle(steps) => {
                let kept: Vec<u32> = steps.iter().filter_map(|server| new_index(*server)).collect();
                if kept.is_empty() { Self::Fallback } else { Self::Cycle(kept.into()) }
            }
            Self::PerRequest => Self::PerRequest,
            Self::Fallback => Self::Fallback,
        }
    }

    /// Its kind, for output and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::Cycle(_) => "cycle",
            Self::PerRequest => "per-request",
            Self::Fallback => "fallback",
        }
    }
}

fn check(list: &[u32], servers: usize) -> Result<(), PlanError> {
    if list.is_empty() {
        return Err(PlanError::Empty);
    }
    if list.len() > MAX_PLAN {
        return Err(PlanError::TooLong(list.len()));
    }
    match list.iter().position(|i| usize::try_from(*i).map_or(true, |i| i >= servers)) {
        None => Ok(()),
        Some(at) => {
            Err(PlanError::OutOfRange { at, index: list.get(at).copied().unwrap_or_default(), servers })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_holds_only_servers_that_exist() {
        assert_eq!(Plan::table(vec![], 3), Err(PlanError::Empty));
        assert_eq!(Plan::cycle(vec![0, 3], 3), Err(PlanError::OutOfRange { at: 1, index: 3, servers: 3 }));
        assert_eq!(Plan::table(vec![0; MAX_PLAN + 1], 1), Err(PlanError::TooLong(MAX_PLAN + 1)));
        assert!(matches!(Plan::cycle(vec![2, 0, 1], 3), Ok(Plan::Cycle(_))));
    }

    #[test]
    fn rows_of_a_server_that_left_go_to_the_next_one_that_stays_and_all_others_stay() {
        let table = Plan::table(vec![0, 1, 0, 2, 0], 3).unwrap();
        let without_first = |server: u32| server.checked_sub(1);
        assert_eq!(table.renumbered(without_first), Plan::table(vec![0, 0, 1, 1, 0], 2).unwrap());
        let swapped = |server: u32| Some([1, 0, 2][server as usize]);
        assert_eq!(table.renumbered(swapped), Plan::table(vec![1, 0, 1, 2, 1], 3).unwrap());
        let cycle = Plan::cycle(vec![0, 1, 2, 1], 3).unwrap();
        assert_eq!(cycle.renumbered(without_first), Plan::cycle(vec![0, 1, 0], 2).unwrap());
        for plan in [table, cycle, Plan::Fallback] {
            assert_eq!(plan.renumbered(|_| None), Plan::Fallback);
        }
        assert_eq!(Plan::PerRequest.renumbered(|_| None), Plan::PerRequest);
    }
}
