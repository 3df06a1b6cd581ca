//! Response rate limiting: a server is no amplifier for those who forge addresses.
//!
//! Answers over UDP are counted by client network and by kind of answer, as BIND, NSD and Knot do. A network that
//! has used up its share gets no answer, and now and then (`slip`) an empty truncated one: who really
//! lives there comes back over TCP, and who forges the address gains nothing. A valid cookie proves the address, so such
//! clients are not to be counted at all: ask [`Limiter`] only where the proof is not
//! [`super::cookie::Proof::Valid`] and the query came in a datagram.
//!
//! All threads count in one table. A network is what a forged flood aims at, whatever its ports and whichever of the server's addresses
//! it asks, so the limit must be that of the whole server; and a resolver that asks from one port must have all of it. The kernel
//! hands a port to one thread, always the same, so that a table for each thread fails one of the two: with a part of the limit a resolver of one
//! port has no more than that part, with the whole limit a flood from many ports has it as often as there are threads.
//!
//! The table has a fixed size. Two networks may share a bucket: a flood can then cost a bystander some
//! answers over UDP, and never memory. The secret key keeps anybody from choosing whom he meets.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use siphasher::sip::SipHasher13;

use super::answer::How;
use crate::time::Moment;

/// Bits of a network that are counted together: what one party usually holds.
const V4_PREFIX: u32 = 24;
const V6_PREFIX: u32 = 56;

/// A second in the unit of buckets, nanoseconds: fine enough for a million answers in each.
const SECOND: u64 = 1_000_000_000;

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Answers a second for one network and one kind of answer; 0 is no limit.
    pub per_second: u32,
    /// How many seconds' worth a network that was silent may have at once; at least 1.
    pub burst: u32,
    /// Every so-many-th answer over the limit is sent truncated instead of not at all; 0 is never, 1 always.
    pub slip: u32,
    /// Buckets, 16 bytes each; rounded up to a power of two, 2^24 at most.
    pub buckets: usize,
}

impl Default for Limits {
    /// 200 a second, what NSD has; five seconds' worth at once; every second one truncated; a megabyte.
    fn default() -> Self {
        Self { per_second: 200, burst: 5, slip: 2, buckets: 65_536 }
    }
}

/// What to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Send header and question with TC set.
    Truncate,
    /// Send nothing.
    Drop,
}

#[derive(Debug, Default)]
struct Bucket {
    /// When all that was answered is paid for, at one answer in each `1 / per_second`; in nanoseconds.
    paid: AtomicU64,
    /// Answers over the limit so far.
    over: AtomicU32,
}

/// Counts answers, of all threads together.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    key: [u8; 16],
    buckets: Box<[Bucket]>,
}

impl Limiter {
    /// A limiter under which everybody starts with a full share. `key` is random and secret.
    pub fn new(limits: Limits, key: [u8; 16]) -> Self {
        const MOST: usize = 1 << 24;
        let size = limits.buckets.clamp(1, MOST).next_power_of_two();
        let buckets = std::iter::repeat_with(Bucket::default).take(size).collect();
        Self { limits, key, buckets }
    }

    /// How much is allowed.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Another one of the same key, under which everybody starts anew.
    #[must_use]
    pub fn with(&self, limits: Limits) -> Self {
        Self::new(limits, self.key)
    }

    /// Whether an answer of this kind may go to this client. Threads need not agree to the microsecond on what time it is.
    pub fn judge(&self, client: IpAddr, how: How, now: Moment) -> Verdict {
        // No limit at all divides by nothing.
        let Some(each) = SECOND.checked_div(self.limits.per_second.into()) else { return Verdict::Send };
        let Some(bucket) = self.buckets.get(self.bucket_of(client, how)) else { return Verdict::Send };
        let now = now.as_micros().saturating_mul(1000);
        let latest = now.saturating_add(u64::from(self.limits.burst.max(1)).saturating_mul(SECOND));
        // Nothing else is read for what is found here, so any order does.
        let pay = |paid: u64| Some(paid.max(now).saturating_add(each)).filter(|paid| *paid <= latest);
        if bucket.paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok() {
            return Verdict::Send;
        }
        let over = bucket.over.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        match over.checked_rem(self.limits.slip) {
            Some(0) => Verdict::Truncate,
            _ => Verdict::Drop,
        }
    }

    fn bucket_of(&self, client: IpAddr, how: How) -> usize {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match client {
            IpAddr::V4(v4) => hasher.write(&(v4.to_bits() & u32::MAX << (32 - V4_PREFIX)).to_be_bytes()),
            IpAddr::V6(v6) => hasher.write(&(v6.to_bits() & u128::MAX << (128 - V6_PREFIX)).to_be_bytes()),
        }
        hasher.write(&[class_of(how)]);
        // The size is a power of two.
        let mask = u64::try_from(self.buckets.len().saturating_sub(1)).unwrap_or_default();
        usize::try_from(hasher.finish() & mask).unwrap_or_default()
    }
}

/// Names that do not exist are counted together, so that random ones are no way around; errors as well.
const fn class_of(how: How) -> u8 {
    match how {
        How::Data | How::Policy | How::NoData => 0,
        How::Wildcard => 1,
        How::NoName => 2,
        How::Referral => 3,
        How::Protocol | How::Chaos | How::NotServed => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Moment {
        Moment::from_micros(1_000_000_000 + micros)
    }

    fn limiter(per_second: u32, burst: u32, slip: u32) -> Limiter {
        Limiter::new(Limits { per_second, burst, slip, buckets: 1024 }, [3; 16])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of this many answers at one moment are sent.
    fn sent(limiter: &Limiter, client: &str, how: How, now: Moment, count: usize) -> usize {
        (0..count).filter(|_| limiter.judge(ip(client), how, now) == Verdict::Send).count()
    }

    #[test]
    fn a_network_has_its_burst_at_once_and_then_its_rate() {
        let l = limiter(10, 5, 0);
        assert_eq!(sent(&l, "192.0.2.1", How::Data, at(0), 100), 50);
        assert_eq!(sent(&l, "192.0.2.1", How::Data, at(99_000), 10), 0, "a tenth of a second for each");
        assert_eq!(sent(&l, "192.0.2.1", How::Data, at(1_000_100), 100), 10);
        assert_eq!(sent(&l, "192.0.2.1", How::Data, at(60_000_000), 100), 50, "and no more than the burst");
    }

    #[test]
    fn a_network_is_counted_together_and_others_are_not() {
        let l = limiter(10, 1, 0);
        assert_eq!(sent(&l, "192.0.2.1", How::Data, at(0), 10), 10);
        assert_eq!(sent(&l, "192.0.2.200", How::Data, at(0), 10), 0);
        assert_eq!(sent(&l, "192.0.3.1", How::Data, at(0), 10), 10);
        assert_eq!(sent(&l, "2001:db8:0:100::1", How::Data, at(0), 10), 10);
        assert_eq!(sent(&l, "2001:db8:0:1ff::9", How::Data, at(0), 10), 0);
        assert_eq!(sent(&l, "2001:db8:0:200::1", How::Data, at(0), 10), 10);
    }

    #[test]
    fn threads_that_count_at_the_same_time_give_no_answer_twice() {
        const THREADS: usize = 4;
        let l = limiter(100_000, 5, 0);
        let all_there = std::sync::Barrier::new(THREADS);
        let count = || {
            all_there.wait();
            sent(&l, "192.0.2.1", How::Data, at(0), 400_000)
        };
        let given: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(given, 500_000);
    }

    #[test]
    fn kinds_of_answers_are_counted_apart() {
        let l = limiter(10, 1, 0);
        for how in [How::Data, How::Wildcard, How::NoName, How::Referral, How::Protocol] {
            assert_eq!(sent(&l, "192.0.2.1", how, at(0), 20), 10, "{how:?}");
        }
    }

    #[test]
    fn every_so_many_th_answer_over_the_limit_is_truncated() {
        let verdicts = |slip| {
            let count = |wanted| {
                let l = limiter(1, 1, slip);
                (0..101).filter(|_| l.judge(ip("192.0.2.1"), How::Data, at(0)) == wanted).count()
            };
            (count(Verdict::Send), count(Verdict::Truncate), count(Verdict::Drop))
        };
        assert_eq!(verdicts(0), (1, 0, 100));
        assert_eq!(verdicts(1), (1, 100, 0));
        assert_eq!(verdicts(2), (1, 50, 50));
    }

    #[test]
    fn no_limit_sends_all_and_no_numbers_break_it() {
        assert_eq!(sent(&limiter(0, 0, 0), "::1", How::Data, at(0), 1000), 1000);
        let most = Limits { per_second: u32::MAX, burst: u32::MAX, slip: u32::MAX, buckets: 0 };
        let l = Limiter::new(most, [0; 16]);
        for micros in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(l.judge(ip("192.0.2.1"), How::Data, Moment::from_micros(micros)), Verdict::Send);
        }
    }
}
