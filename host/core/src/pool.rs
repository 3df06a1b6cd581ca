//! A pool's servers over time: who is in it, with which number, in which state.
//!
//! The fleet file says who is in a pool and the health machines say how each one stands. [`Members`] joins the two
//! into the list that workers choose from, and into what a changed list means for the plan in force:
//! a plan is a list of indices, so it outlives a change of state, and is written anew for another membership.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::{Load, Server, State};
use crate::schedule::{Plan, View};

/// What the fleet file says of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Unique in the pool.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Free-form pairs.
    pub labels: Arc<[(String, String)]>,
}

/// How a server stands: the outcome of its health machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Outcome of checks, agent and operator.
    pub state: State,
    /// Weight now.
    pub weight: u16,
    /// Requests that may be in flight; `None` is no limit.
    pub max_in_flight: Option<u32>,
}

impl Standing {
    /// Of a server that nothing is known of yet: it takes no work.
    pub const UNKNOWN: Self = Self { state: State::Down, weight: 0, max_in_flight: None };
}

/// The servers of one pool. Ids are given once: a server that leaves and comes back has another.
#[derive(Debug)]
pub struct Members {
    workers: usize,
    next_id: u32,
    order: Vec<Member>,
    known: BTreeMap<Arc<str>, Known>,
    epoch: u64,
    servers_epoch: u64,
    /// What is published now.
    servers: Arc<[Server]>,
    plan: Plan,
}

#[derive(Debug)]
struct Known {
    id: u32,
    load: Arc<Load>,
    standing: Standing,
}

impl Members {
    /// An empty pool whose loads are counted by this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            next_id: 0,
            order: Vec::new(),
            known: BTreeMap::new(),
            epoch: 0,
            servers_epoch: 0,
            servers: Arc::new([]),
            plan: Plan::Fallback,
        }
    }

    /// Who is in the pool now, in this order. Servers that stay keep their id, load and standing.
    pub fn set_members(&mut self, members: Vec<Member>) {
        self.known.retain(|name, _| members.iter().any(|m| m.name == *name));
        for member in &members {
            if !self.known.contains_key(&member.name) {
                let known =
                    Known { id: self.next_id, load: Load::new(self.workers), standing: Standing::UNKNOWN };
                self.next_id = self.next_id.wrapping_add(1);
                self.known.insert(Arc::clone(&member.name), known);
            }
        }
        self.order = members;
    }

    /// How one server stands now. A name that has left the pool is ignored: its last news may be late.
    pub fn set_standing(&mut self, name: &str, standing: Standing) {
        if let Some(known) = self.known.get_mut(name) {
            known.standing = standing;
        }
    }

    /// A view of what is known now, if that differs from the last view, to be published at once.
    ///
    /// The plan in force is kept, with the indices that its servers have now. Whether it should be another one
    /// is for the policy to say: ask it for a plan for the view's servers and hand that to [`Members::planned`].
    pub fn changed(&mut self) -> Option<View> {
        let servers: Arc<[Server]> = self
            .order
            .iter()
            .filter_map(|member| {
                let known = self.known.get(&member.name)?;
                Some(Server {
                    id: known.id,
                    name: Arc::clone(&member.name),
                    address: member.address,
                    state: known.standing.state,
                    weight: known.standing.weight,
                    max_in_flight: known.standing.max_in_flight,
                    labels: Arc::clone(&member.labels),
                    load: Arc::clone(&known.load),
                })
            })
            .collect();
        if self.servers_epoch > 0 && same(&self.servers, &servers) {
            return None;
        }
        // Servers that are new at the end change the meaning of no index before them.
        if !servers.iter().map(|s| s.id).take(self.servers.len()).eq(self.servers.iter().map(|s| s.id)) {
            let indices: HashMap<u32, u32> = servers.iter().map(|s| s.id).zip(0..).collect();
            let now: Vec<Option<u32>> =
                self.servers.iter().map(|old| indices.get(&old.id).copied()).collect();
            self.plan = self.plan.renumbered(|index| now.get(usize::try_from(index).ok()?).copied()?);
        }
        self.servers = servers;
        self.servers_epoch += 1;
        Some(self.publish())
    }

    /// The policy's plan for the servers of the last view, and the view to be published if that changes anything.
    pub fn planned(&mut self, plan: Plan) -> Option<View> {
        if plan == self.plan {
            return None;
        }
        self.plan = plan;
        Some(self.publish())
    }

    /// The last view again, as another.
    pub fn view(&mut self) -> View {
        self.publish()
    }

    /// The servers of the last view.
    pub fn servers(&self) -> &Arc<[Server]> {
        &self.servers
    }

    fn publish(&mut self) -> View {
        self.epoch += 1;
        View::new(self.epoch, self.servers_epoch, Arc::clone(&self.servers), self.plan.clone())
    }
}

/// Whether two lists are the same to whoever chooses from them; loads are shared, so they are.
fn same(old: &[Server], new: &[Server]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|(a, b)| {
            a.id == b.id
                && a.address == b.address
                && a.state == b.state
                && a.weight == b.weight
                && a.max_in_flight == b.max_in_flight
                && a.labels == b.labels
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        Member { name: name.into(), address: ([127, 0, 0, 1], 80).into(), labels: Arc::new([]) }
    }

    fn up(weight: u16) -> Standing {
        Standing { state: State::Up, weight, max_in_flight: None }
    }

    #[test]
    fn a_server_takes_no_work_before_anything_is_known_of_it() {
        let mut pool = Members::new(1);
        pool.set_members(vec![member("a")]);
        let view = pool.changed().unwrap();
        assert_eq!((view.usable(), view.native.len()), (0, 0));
        pool.set_standing("a", up(1));
        assert_eq!(pool.changed().unwrap().usable(), 1);
        assert!(pool.changed().is_none());
    }

    #[test]
    fn a_plan_survives_a_state_and_keeps_its_servers_in_another_membership() {
        let mut pool = Members::new(1);
        pool.set_members(vec![member("a"), member("b")]);
        for name in ["a", "b"] {
            pool.set_standing(name, up(1));
        }
        let first = pool.changed().unwrap();
        let plan = Plan::table(vec![0, 1, 1], 2).unwrap();
        assert_eq!(pool.planned(plan.clone()).unwrap().plan, plan);
        assert!(pool.planned(plan.clone()).is_none());

        pool.set_standing("b", up(0));
        let second = pool.changed().unwrap();
        assert_eq!(second.plan, plan);
        assert!(second.epoch > first.epoch && second.servers_epoch > first.servers_epoch);

        pool.set_members(vec![member("a"), member("b"), member("c")]);
        assert_eq!(pool.changed().unwrap().plan, plan);

        pool.set_members(vec![member("b"), member("a")]);
        assert_eq!(pool.changed().unwrap().plan, Plan::table(vec![1, 0, 0], 2).unwrap());

        pool.set_members(vec![member("c"), member("a")]);
        assert_eq!(pool.changed().unwrap().plan, Plan::table(vec![1, 1, 1], 2).unwrap());
        pool.set_members(vec![member("c")]);
        assert_eq!(pool.changed().unwrap().plan, Plan::Fallback);
    }

    #[test]
    fn servers_that_stay_keep_id_load_and_standing_and_numbers_are_not_used_twice() {
        let mut pool = Members::new(1);
        pool.set_members(vec![member("a"), member("b")]);
        pool.set_standing("b", up(7));
        let before = pool.changed().unwrap();
        before.servers[1].load.begin(0);
        pool.set_members(vec![member("b"), member("c")]);
        pool.set_standing("a", up(1)); // late news
        let after = pool.changed().unwrap();
        let ids: Vec<_> = after.servers.iter().map(|s| (&*s.name, s.id, s.weight)).collect();
        assert_eq!(ids, [("b", 1, 7), ("c", 2, 0)]);
        assert_eq!(after.servers[0].load.in_flight(), 1);
        pool.set_members(vec![member("a"), member("b"), member("c")]);
        assert_eq!(pool.changed().unwrap().servers[0].id, 3);
    }
}
