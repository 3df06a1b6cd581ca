//! Advances the engine's epoch while guests run, and sleeps while none does.
//!
//! Guests that keep their deadlines run for a fraction of a microsecond, so what is to be seen is one that does not return. The
//! ticker looks every other millisecond, and four times as often once it has found a call under way: to wake up costs a core that
//! serves requests about ten microseconds, whatever is done then.
//!
//! Whether guests run is told by [`Lane`]s: one cell for each instance, on a cache line of its own, that only its worker
//! writes. So a call costs one exchange on a line that no other core wants, instead of a counter that all fight for.
//! The ticker reads the lanes at each look and parks when none has moved for a while; a worker that begins a call sees
//! the flag and wakes it. Exchange and flag are both sequentially consistent, so one of the two always sees the other.
//!
//! It is an ordinary thread and no task of a runtime: those are late when a core is busy, which is when it is needed.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// Length of an epoch while no call was found under way.
const LOOK: Duration = Duration::from_millis(2);
/// Length of an epoch after one was.
const TICK: Duration = Duration::from_micros(500);
/// Looks without a call before it parks: waking it costs a worker as much as a look.
const LINGER: u32 = 50;

/// Calls of one instance: odd while one runs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Lane(AtomicU64);

impl Lane {
    /// Calls that have ended or run now.
    pub fn calls(&self) -> u64 {
        self.0.load(Ordering::Relaxed).div_ceil(2)
    }
}

#[derive(Debug, Default)]
struct State {
    parked: AtomicBool,
    stop: AtomicBool,
    lanes: Mutex<Vec<Weak<Lane>>>,
}

/// The thread that ticks. Ends when it is dropped.
#[derive(Debug)]
pub struct Ticker {
    state: Arc<State>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let thread = thread::Builder::new().name("weir-ticker".into()).spawn({
            let (state, engine) = (Arc::clone(&state), engine.weak());
            move || run(&state, &engine)
        })?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// A lane for one more instance; forgotten when the instance is.
    pub fn lane(&self) -> Arc<Lane> {
        let lane = Arc::new(Lane::default());
        let mut lanes = self.state.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|l| l.strong_count() > 0);
        lanes.push(Arc::downgrade(&lane));
        lane
    }

    /// A call begins. To be followed by [`Ticker::end`] on the same lane, by the same thread.
    #[inline]
    pub fn begin(&self, lane: &Lane) {
        let calls = lane.0.load(Ordering::Relaxed);
        lane.0.swap(calls.wrapping_add(1), Ordering::SeqCst);
        if self.state.parked.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// A call is over.
    #[inline]
    pub fn end(&self, lane: &Lane) {
        let calls = lane.0.load(Ordering::Relaxed);
        lane.0.store(calls.wrapping_add(1), Ordering::Release);
    }

    /// Whether it sleeps because no guest runs.
    pub fn is_parked(&self) -> bool {
        self.state.parked.load(Ordering::SeqCst)
    }

    #[cold]
    fn wake(&self) {
        if self.state.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        self.state.parked.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn run(state: &State, engine: &EngineWeak) {
    let mut last = 0;
    let mut idle = 0;
    let mut pause = LOOK;
    while !state.stop.load(Ordering::SeqCst) {
        thread::sleep(pause);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        drop(engine);
        let activity = state.activity(last);
        pause = if matches!(activity, Activity::Running) { TICK } else { LOOK };
        match activity {
            Activity::Running => idle = 0,
            Activity::Changed(sum) => (last, idle) = (sum, 0),
            Activity::None => idle += 1,
        }
        if idle < LINGER {
            continue;
        }
        state.parked.store(true, Ordering::SeqCst);
        // A call that began before the store did not see it: look once more.
        if matches!(state.activity(last), Activity::None) {
            while state.parked.load(Ordering::SeqCst) {
                thread::park();
            }
        }
        state.parked.store(false, Ordering::SeqCst);
        idle = 0;
    }
}

enum Activity {
    None,
    Changed(u64),
    Running,
}

impl State {
    fn activity(&self, last: u64) -> Activity {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = 0u64;
        for lane in lanes.iter().filter_map(Weak::upgrade) {
            let calls = lane.0.load(Ordering::SeqCst);
            if calls % 2 == 1 {
                return Activity::Running;
            }
            sum = sum.wrapping_add(calls);
        }
        if sum == last { Activity::None } else { Activity::Changed(sum) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_ticker_sleeps_without_guests_and_wakes_for_one() {
        let engine = crate::engine::compiling().unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        let lane = ticker.lane();
        let wait_for = |parked: bool| {
            let since = Instant::now();
            while ticker.is_parked() != parked {
                assert!(since.elapsed() < Duration::from_secs(30));
                thread::yield_now();
            }
        };
        wait_for(true);
        ticker.begin(&lane);
        assert!(!ticker.is_parked());
        ticker.end(&lane);
        assert_eq!(lane.calls(), 1);
        wait_for(true);
    }
}
