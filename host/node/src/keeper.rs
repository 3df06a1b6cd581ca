//! Keeps one pool's view right: news come in, a view goes out.
//!
//! News (membership, health, another policy) may arrive in bursts from several threads; the keeper takes all
//! that are there, publishes what follows at once with the plan in force, and then asks the policy
//! for a plan, which may take up to its deadline of 50 ms. Each pool has a thread of its own for that, so a slow
//! policy delays nobody's health but its own pool's plan.

use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};

use weir_core::pool::{Member, Members, Standing};
use weir_core::schedule::{Plan, PolicySource, View};

/// Something that the pool must know.
pub(crate) enum News {
    /// Who is in the pool now.
    Members(Vec<Member>),
    /// How one server stands now.
    Standing(Arc<str>, Standing),
    /// The policy has another version or configuration: its plan may differ.
    Replan,
    /// Whoever waits for everything before this has been published.
    Flush(mpsc::Sender<()>),
}

/// A handle to a pool's keeper. When the last one is gone, the thread ends.
#[derive(Clone)]
pub(crate) struct Keeper {
    news: mpsc::Sender<News>,
}

/// The other end: a keeper that has not begun. News wait in it, so that whoever brings them can be made before
/// the pool that they are about.
pub(crate) struct Inbox(mpsc::Receiver<News>);

impl Keeper {
    /// A handle and its inbox.
    pub(crate) fn new() -> (Self, Inbox) {
        let (news, inbox) = mpsc::channel();
        (Self { news }, Inbox(inbox))
    }

    /// Tells the keeper. Never blocks.
    pub(crate) fn tell(&self, news: News) {
        // A keeper that is gone has no pool to keep.
        let _ = self.news.send(news);
    }

    /// Waits until everything told before has been published.
    pub(crate) fn flush(&self) {
        let (done, wait) = mpsc::channel();
        self.tell(News::Flush(done));
        let _ = wait.recv();
    }
}

impl Inbox {
    /// Starts keeping, on a thread of its own. Plans come from `policy`, `None` is the native round robin; views go out
    /// through `publish`.
    pub(crate) fn start(
        self,
        pool: &str,
        workers: usize,
        policy: Option<Arc<dyn PolicySource>>,
        publish: impl FnMut(View) + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        let keep = move || keep(&self.0, Members::new(workers), policy.as_deref(), publish);
        Builder::new().name(format!("pool {pool}")).spawn(keep)
    }
}

fn keep(
    inbox: &mpsc::Receiver<News>,
    mut members: Members,
    policy: Option<&dyn PolicySource>,
    mut publish: impl FnMut(View),
) {
    while let Ok(first) = inbox.recv() {
        let mut replan = false;
        let mut waiting = Vec::new();
        for news in std::iter::once(first).chain(inbox.try_iter()) {
            match news {
                News::Members(list) => members.set_members(list),
                News::Standing(name, standing) => members.set_standing(&name, standing),
                News::Replan => replan = true,
                News::Flush(done) => waiting.push(done),
            }
        }
        if let Some(view) = members.changed() {
            publish(view);
            replan = true;
        }
        if replan {
            let plan = policy.map_or(Plan::Fallback, |p| p.plan(members.servers()));
            if let Some(view) = members.planned(plan) {
                publish(view);
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

    fn member(name: &str) -> Member {
        Member { name: name.into(), address: ([127, 0, 0, 1], 80).into(), labels: Arc::new([]) }
    }

    #[test]
    fn a_failed_server_is_out_of_the_view_before_the_policy_is_asked() {
        let views = Views::default();
        let seen = Arc::clone(&views);
        let policy = Arc::new(Last { views: Arc::clone(&views), published: Mutex::default() });
        let (keeper, inbox) = Keeper::new();
        let source = Arc::clone(&policy) as Arc<dyn PolicySource>;
        let thread = inbox.start("p", 1, Some(source), move |v| seen.lock().unwrap().push(v)).unwrap();
        keeper.tell(News::Members(vec![member("a"), member("b")]));
        for name in ["a", "b"] {
            let standing = Standing { state: State::Up, weight: 1, max_in_flight: None };
            keeper.tell(News::Standing(name.into(), standing));
        }
        keeper.flush();
        views.lock().unwrap().clear();

        keeper.tell(News::Standing("b".into(), Standing::UNKNOWN));
        keeper.flush();
        let after: Vec<_> = views.lock().unwrap().iter().map(|v| (v.usable(), v.plan.clone())).collect();
        // Published once: the policy's plan is the one in force already.
        assert_eq!(after, [(1, Plan::table(vec![1], 2).unwrap())]);
        assert_eq!(policy.published.lock().unwrap().last(), Some(&Some(1)));

        drop(keeper);
        thread.join().unwrap();
    }
}
