//! The decision for one request: a worker's position in its view, and what to do when a policy does not answer.

use super::{Choice, Failure, Plan, Policy, Request, View};
use crate::model::MAX_SERVERS;

/// A worker's own position in the plans of one pool. Nothing is shared between workers, so each goes round by itself. It goes on from where it
/// is when a plan takes another's place: where weights change all the time, plans that begin anew would never come to their last servers.
#[derive(Debug, Default)]
pub struct Chooser {
    /// The step that is next in the policy's cycle.
    step: usize,
    /// The step that is next in the native cycle.
    native_step: usize,
}

/// A decision and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Index into the view's servers; `None`: answer with 503.
    pub server: Option<u32>,
    /// Who decided.
    pub by: By,
    /// What was wrong with the policy, if anything; to be reported, never to be shown to a client.
    pub failure: Option<Failure>,
}

/// Who made a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The policy's table.
    Table,
    /// The policy's cycle.
    Cycle,
    /// The policy's answer for this request.
    Pick,
    /// The pool has no policy: the native weighted round robin.
    Native,
    /// The pool has a policy and it did not say: the native weighted round robin.
    Fallback,
    /// The policy refused.
    Refused,
    /// No server is up, has room and was not tried.
    Exhausted,
}

impl By {
    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Cycle => "cycle",
            Self::Pick => "pick",
            Self::Native => "native",
            Self::Fallback => "fallback",
            Self::Refused => "refused",
            Self::Exhausted => "exhausted",
        }
    }
}

impl Chooser {
    /// Chooses a server. `has_policy` says whether the pool names one, `policy` is this worker's instance of it if there is
    /// one now; it has been updated with the servers of `view`. `tried` says which servers failed
    /// this request already, also those that `request.tried` has no bit for.
    pub fn choose(
        &mut self,
        view: &View,
        request: Request,
        has_policy: bool,
        policy: Option<&mut dyn Policy>,
        tried: impl Fn(u32) -> bool,
    ) -> Chosen {
        let good = |index: u32| -> bool {
            view.servers.get(index as usize).is_some_and(|s| s.is_usable() && s.has_room() && !tried(index))
        };
        let mut failure = None;
        if view.native.is_empty() {
            // None is usable, whatever was planned.
            return Chosen { server: None, by: By::Exhausted, failure };
        }
        match &view.plan {
            Plan::Table(rows) => {
                if let Some(server) = first_from(rows, row_of(request.key, rows.len()), good) {
                    return Chosen { server: Some(server.1), by: By::Table, failure };
                }
            }
            Plan::Cycle(steps) => {
                if let Some((at, server)) = first_from(steps, self.step, good) {
                    self.step = at + 1;
                    return Chosen { server: Some(server), by: By::Cycle, failure };
                }
            }
            Plan::PerRequest => {
                if let Some(policy) = policy {
                    match policy.pick(request) {
                        Ok(Choice::Server(index)) if good(index) => {
                            return Chosen { server: Some(index), by: By::Pick, failure };
                        }
                        Ok(Choice::Server(index)) => failure = refused_server(view, index, &tried),
                        Ok(Choice::Fallback) => {}
                        Ok(Choice::Refuse) => return Chosen { server: None, by: By::Refused, failure },
                        Err(e) => failure = Some(e),
                    }
                }
            }
            Plan::Fallback => {}
        }
        let by = if has_policy { By::Fallback } else { By::Native };
        match first_from(&view.native, self.native_step, good) {
            Some((at, server)) => {
                self.native_step = at + 1;
                Chosen { server: Some(server), by, failure }
            }
            None => Chosen { server: None, by: By::Exhausted, failure },
        }
    }
}

/// Whether an answer that cannot be used is the policy's fault. A server that is full is not: it may have filled up since
/// the policy looked.
fn refused_server(view: &View, index: u32, tried: &impl Fn(u32) -> bool) -> Option<Failure> {
    let Some(server) = view.servers.get(index as usize) else {
        let last = view.servers.len();
        return Some(Failure::Invalid(format!("picked server {index} of {last}")));
    };
    if !server.is_usable() {
        let state = server.state.as_str();
        return Some(Failure::Invalid(format!(
            "picked {}, which is {state} with weight {}",
            server.name, server.weight
        )));
    }
    tried(index)
        .then(|| Failure::Invalid(format!("picked {}, which failed this request already", server.name)))
}

/// Row of a key: the low bits, as `key mod length` of the contract.
fn row_of(key: u64, rows: usize) -> usize {
    // `rows` is at least 1 and fits 64 bits; the result is below it.
    (key % (rows.max(1) as u64)) as usize
}

/// The first entry from `start` on, going round once, that is good, with its position.
fn first_from(list: &[u32], start: usize, good: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
    let start = start.checked_rem(list.len())?;
    let first = *list.get(start)?;
    if good(first) { Some((start, first)) } else { next_good(list, start, first, good) }
}

/// The entry after `start`, going round, that is good. Servers repeat in long lists, so each is asked about once: a table of a
/// million rows whose servers are all full costs a look at each row and no more.
#[cold]
fn next_good(list: &[u32], start: usize, first: u32, good: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
    let mut bad = [0u64; MAX_SERVERS / 64];
    let mut is_new = |server: u32| -> bool {
        // A list may name no server past the limit; one that does is asked about each time.
        let Some(word) = bad.get_mut(server as usize / 64) else { return true };
        let bit = 1 << (server % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    };
    is_new(first);
    let (before, after) = list.split_at_checked(start)?;
    let entries = (start..).zip(after).chain((0..).zip(before));
    entries.map(|(at, server)| (at, *server)).find(|(_, server)| is_new(*server) && good(*server))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scripted, servers, view};
    use super::*;
    use crate::model::State;
    use std::sync::Arc;

    fn request(key: u64) -> Request {
        Request { key, ..Request::default() }
    }

    fn choose(chooser: &mut Chooser, view: &View, key: u64) -> Option<u32> {
        chooser.choose(view, request(key), true, None, |_| false).server
    }

    #[test]
    fn a_table_is_indexed_by_the_key_and_skips_what_cannot_be_used() {
        let mut list = servers(&[1, 1, 1]).to_vec();
        let plan = Plan::table(vec![0, 1, 1, 2], 3).unwrap();
        let mut chooser = Chooser::default();
        let v = view(&list, plan.clone());
        assert_eq!([0, 1, 2, 3, 4].map(|k| choose(&mut chooser, &v, k)), [0, 1, 1, 2, 0].map(Some));
        list[1].state = State::Down;
        let v = view(&list, plan);
        assert_eq!([0, 1, 2, 3].map(|k| choose(&mut chooser, &v, k)), [0, 2, 2, 2].map(Some));
        let chosen = chooser.choose(&v, request(3), true, None, |i| i == 2);
        assert_eq!((chosen.server, chosen.by), (Some(0), By::Table));
    }

    #[test]
    fn a_cycle_goes_round() {
        let v = view(&servers(&[1, 1, 1]), Plan::cycle(vec![2, 0, 1], 3).unwrap());
        let mut chooser = Chooser::default();
        let got: Vec<_> = (0..7).map(|_| choose(&mut chooser, &v, 9)).collect();
        assert_eq!(got, [2, 0, 1, 2, 0, 1, 2].map(Some));
    }

    #[test]
    fn cycles_that_take_each_others_place_come_to_all_their_servers() {
        let list = servers(&[1, 1, 1, 1]);
        let short = view(&list, Plan::cycle(vec![0, 1, 2, 3], 4).unwrap());
        let long = view(&list, Plan::cycle(vec![0, 1, 2, 3, 0, 1, 2, 3], 4).unwrap());
        let mut chooser = Chooser::default();
        let mut got: Vec<_> = [&long, &short].repeat(8).iter().map(|v| choose(&mut chooser, v, 9)).collect();
        got.sort_unstable();
        assert_eq!(got, [[0; 4], [1; 4], [2; 4], [3; 4]].concat().into_iter().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn every_failure_of_a_policy_ends_in_the_native_cycle() {
        let mut list = servers(&[1, 1, 1]).to_vec();
        list[2].state = State::Drain;
        let v = view(&list, Plan::PerRequest);
        let mut chooser = Chooser::default();
        let answers = [
            Err(Failure::Trap("unreachable".into())),
            Ok(Choice::Server(3)),
            Ok(Choice::Server(2)),
            Ok(Choice::Fallback),
        ];
        for answer in answers {
            let faulty = !matches!(answer, Ok(Choice::Fallback));
            let mut policy = Scripted(vec![answer]);
            let chosen = chooser.choose(&v, request(0), true, Some(&mut policy), |_| false);
            assert!(matches!(chosen.server, Some(0 | 1)));
            assert_eq!(chosen.by, By::Fallback);
            assert_eq!(chosen.failure.is_some(), faulty);
        }
    }

    #[test]
    fn a_full_server_is_passed_over_without_blame() {
        let mut list = servers(&[1, 1]).to_vec();
        list[0].max_in_flight = Some(1);
        list[0].load.begin(0);
        let v = view(&list, Plan::PerRequest);
        let mut policy = Scripted(vec![Ok(Choice::Server(0))]);
        let chosen = Chooser::default().choose(&v, request(0), true, Some(&mut policy), |_| false);
        assert_eq!(chosen, Chosen { server: Some(1), by: By::Fallback, failure: None });
    }

    #[test]
    fn each_server_of_a_long_table_is_asked_about_once() {
        let list = servers(&[1; 3]);
        let v = view(&list, Plan::table((0..30_000).map(|row| row % 3).collect(), 3).unwrap());
        let asked = std::cell::Cell::new(0);
        let chosen = Chooser::default().choose(&v, request(7), true, None, |_| {
            asked.set(asked.get() + 1);
            true
        });
        assert_eq!(chosen.by, By::Exhausted);
        // Once for the table, once for the native cycle that comes after it.
        assert_eq!(asked.get(), 6);
    }

    #[test]
    fn refusing_is_an_answer_and_no_server_is_another() {
        let v = view(&servers(&[1]), Plan::PerRequest);
        let mut policy = Scripted(vec![Ok(Choice::Refuse)]);
        let mut chooser = Chooser::default();
        let chosen = chooser.choose(&v, request(0), true, Some(&mut policy), |_| false);
        assert_eq!(chosen, Chosen { server: None, by: By::Refused, failure: None });
        let chosen = chooser.choose(&v, request(0), false, None, |_| true);
        assert_eq!(chosen, Chosen { server: None, by: By::Exhausted, failure: None });
        let empty = View::new(1, 1, Arc::new([]), Plan::Fallback);
        assert_eq!(chooser.choose(&empty, request(0), false, None, |_| false).by, By::Exhausted);
    }

    #[test]
    fn a_cycle_goes_on_within_one_that_is_shorter() {
        let mut chooser = Chooser::default();
        let long = view(&servers(&[1; 5]), Plan::cycle(vec![0, 1, 2, 3, 4], 5).unwrap());
        (0..4).for_each(|_| {
            let _ = choose(&mut chooser, &long, 0);
        });
        let short = view(&servers(&[1]), Plan::cycle(vec![0], 1).unwrap());
        assert_eq!(choose(&mut chooser, &short, 0), Some(0));
    }
}
