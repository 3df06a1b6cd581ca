//! Keeps one pool's view right: news come in, a view goes out.
//!
//! News (membership, health, another policy) may arrive in bursts from several threads; the keeper takes all
//! that are there, publishes what follows at once with the plan in force, and then asks the policy
//! for a plan, which may take up to its deadline of 50 ms. Each pool has a thread of its own for that, so a slow
//! policy delays nobody's health but its own pool's plan.

use std::sync::{Arc, Weak, mpsc};
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;
use weir_core::pool::{Member, Members, Standing};
use weir_core::schedule::{Plan, PolicySource, View};

/// Something that the pool must know.
pub(crate) enum News {
    /// Who is in the pool now.
    Members(Vec<Member>),
    /// How one server stands now.
    Standing(Arc<str>, Standing),
    /// Where plans come from now; `None` is the native round robin.
    Policy(Option<Arc<dyn PolicySource>>),
    /// The policy has another version or configuration: its plan may differ.
    Replan,
    /// Whoever waits for everything before this has been published.
    Flush(oneshot::Sender<()>),
}

/// A handle to a pool's keeper. When the last one is gone, the thread ends and lets go of the policy.
#[derive(Clone)]
pub(crate) struct Keeper {
    news: Arc<mpsc::Sender<News>>,
}

/// A handle that keeps nothing alive: for the policy, which the keeper itself holds.
pub(crate) struct WeakKeeper(Weak<mpsc::Sender<News>>);

impl WeakKeeper {
    /// Tells the keeper, if it is there.
    pub(crate) fn tell(&self, news: News) {
        if let Some(sender) = self.0.upgrade() {
            let _ = sender.send(news);
        }
    }
}

impl Keeper {
    /// Starts a keeper, on a thread of its own. Views go out through `publish`, each with the policy whose plan it has.
    pub(crate) fn start(
        pool: &str,
        workers: usize,
        publish: impl FnMut(View, Option<&Arc<dyn PolicySource>>) + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (news, inbox) = mpsc::channel();
        let keep = move || keep(&inbox, Members::new(workers), publish);
        let thread = Builder::new().name(format!("pool {pool}")).spawn(keep)?;
        Ok((Self { news: Arc::new(news) }, thread))
    }

    /// A handle that does not keep the keeper alive.
    pub(crate) fn downgrade(&self) -> WeakKeeper {
        WeakKeeper(Arc::downgrade(&self.news))
    }

    /// Tells the keeper. Never blocks.
    pub(crate) fn tell(&self, news: News) {
        // A keeper that is gone has no pool to keep.
        let _ = self.news.send(news);
    }

    /// Waits until everything told before has been published.
    pub(crate) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        self.tell(News::Flush(done));
        let _ = wait.await;
    }
}

fn keep(
    inbox: &mpsc::Receiver<News>,
    mut members: Members,
    mut publish: impl FnMut(View, Option<&Arc<dyn PolicySource>>),
) {
    let mut policy: Option<Arc<dyn PolicySource>> = None;
    while let Ok(first) = inbox.recv() {
        let (mut replan, mut is_other) = (false, false);
        let mut waiting = Vec::new();
        for news in std::iter::once(first).chain(inbox.try_iter()) {
            match news {
                News::Members(list) => members.set_members(list),
                News::Standing(name, standing) => members.set_standing(&name, standing),
                News::Policy(other) => {
                    policy = other;
                    is_other = true;
                }
                News::Replan => replan = true,
                News::Flush(done) => waiting.push(done),
            }
        }
        if is_other {
            // What the old policy planned is not the new one's to carry out.
            members.planned(Plan::Fallback);
        }
        if let Some(view) = members.changed().or_else(|| is_other.then(|| members.view())) {
            publish(view, policy.as_ref());
            replan = true;
        }
        if replan {
            let plan = policy.as_ref().map_or(Plan::Fallback, |p| p.plan(members.servers()));
            if let Some(view) = members.planned(plan) {
                publish(view, policy.as_ref());
            }
        }
        for done in waiting {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use weir_core::model::{Server, State};
    use weir_core::schedule::{Failure, Policy, Request};

    use super::*;

    type Views = Arc<Mutex<Vec<View>>>;

    /// Plans a table that names the last server; notes what was published when it was asked.
    struct Last {
        views: Views,
        published: Mutex<Vec<Option<usize>>>,
    }

    impl PolicySource for Last {
        fn plan(&self, servers: &Arc<[Server]>) -> Plan {
            let usable = self.views.lock().unwrap().last().map(View::usable);
            self.published.lock().unwrap().push(usable);
            Plan::table(vec![servers.len() as u32 - 1], servers.len()).unwrap()
        }
        fn generation(&self) -> u64 {
            1
        }
        fn instance(&self, _: usize) -> Option<Box<dyn Policy>> {
            None
        }
        fn failed(&self, _: usize, _: u64, _: &'static str, _: &Failure) {}
        fn seen(&self, _: usize, _: Request) {}
    }

    fn flush(keeper: &Keeper) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(keeper.flush());
    }

    fn member(name: &str) -> Member {
        Member { name: name.into(), address: ([127, 0, 0, 1], 80).into(), labels: Arc::new([]) }
    }

    #[test]
    fn a_failed_server_is_out_of_the_view_before_the_policy_is_asked() {
        let views = Views::default();
        let seen = Arc::clone(&views);
        let policy = Arc::new(Last { views: Arc::clone(&views), published: Mutex::default() });
        let (keeper, thread) = Keeper::start("p", 1, move |v, _| seen.lock().unwrap().push(v)).unwrap();
        keeper.tell(News::Policy(Some(Arc::clone(&policy) as _)));
        keeper.tell(News::Members(vec![member("a"), member("b")]));
        for name in ["a", "b"] {
            let standing = Standing { state: State::Up, weight: 1, max_in_flight: None };
            keeper.tell(News::Standing(name.into(), standing));
        }
        flush(&keeper);
        views.lock().unwrap().clear();

        keeper.tell(News::Standing("b".into(), Standing::UNKNOWN));
        flush(&keeper);
        let after: Vec<_> = views.lock().unwrap().iter().map(|v| (v.usable(), v.plan.clone())).collect();
        // Published once: the policy's plan is the one in force already.
        assert_eq!(after, [(1, Plan::table(vec![1], 2).unwrap())]);
        assert_eq!(policy.published.lock().unwrap().last(), Some(&Some(1)));

        keeper.tell(News::Policy(None));
        flush(&keeper);
        assert_eq!(views.lock().unwrap().last().unwrap().plan, Plan::Fallback);
        assert_eq!(Arc::strong_count(&policy), 1);

        let weak = keeper.downgrade();
        drop(keeper);
        thread.join().unwrap();
        weak.tell(News::Replan); // late, and nobody's any more
    }
}
