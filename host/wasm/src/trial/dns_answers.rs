//! Trying a chooser: names, a thousand questions of clients all over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use weir_core::dns::answer::choose::{Address, Choice, Chooser, Names, Otherwise, Question};
use weir_core::dns::record::Type;
use weir_core::model::{MAX_WEIGHT, State};
use weir_core::schedule::Failure;

use super::{QUESTIONS, TrialError, golden_cases, nanos, rehearse, timed};
use crate::instance::{ChooserInstance, SetupError};
use crate::status::SelfTest;

/// Synthetic questions beside the recent ones.
const SYNTHETIC_QUESTIONS: usize = 64;

pub(crate) fn self_test(
    instance: &mut ChooserInstance,
    names: &[(Arc<str>, Arc<[Address]>)],
) -> Result<SelfTest, TrialError> {
    let failed = |hook| move |failure| TrialError::Call { hook, failure };
    let start = Instant::now();
    let mut numbers = Vec::new();
    for (name, addresses) in names {
        numbers.push(instance.update(name, addresses).map_err(failed("update"))?);
    }
    let mut test = SelfTest { update_ns: nanos(start.elapsed()), ..SelfTest::default() };
    timed(&mut test, synthetic_questions(&numbers), |question| instance.decide(&question).map(drop))
        .map_err(failed("decide"))?;
    Ok(test)
}

/// Asks it what the version that serves was asked just now.
pub(crate) fn canary(
    instance: &mut ChooserInstance,
    names: &[(Arc<str>, Arc<[Address]>)],
    recent: &[(Arc<str>, Question)],
) -> Result<u32, TrialError> {
    // A number belongs to an instance, so the question is put to the name.
    let known = |(name, question): &(Arc<str>, Question)| {
        Some(Question { name: instance.number(name)?, ..question.clone() })
    };
    let recent: Vec<Question> = recent.iter().filter_map(known).collect();
    let numbers: Vec<u32> = names.iter().filter_map(|(name, _)| instance.number(name)).collect();
    let synthetic: Vec<Question> =
        synthetic_questions(&numbers).skip(QUESTIONS as usize).take(SYNTHETIC_QUESTIONS).collect();
    rehearse(recent.into_iter().chain(synthetic), |question| instance.decide(&question).map(drop))
}

/// Names for a plugin that has none yet: one with addresses of both families in every state, one with none.
pub(crate) fn synthetic_names() -> Names {
    let address = |id: u8, ip: IpAddr| Address {
        ip,
        state: match id % 5 {
            2 => State::Down,
            3 => State::Drain,
            4 => State::Maint,
            _ => State::Up,
        },
        weight: u16::from(id % 4),
        load: (!id.is_multiple_of(3)).then(|| f32::from(id) / 10.0),
        labels: Arc::new([("site".to_owned(), format!("site-{}", id % 3))]),
    };
    let addresses = (0..10u8).flat_map(|id| {
        let v6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(id)];
        [address(id, IpAddr::from([192, 0, 2, id])), address(id, IpAddr::from(v6))]
    });
    let few = [address(0, IpAddr::from([192, 0, 2, 100])), address(2, IpAddr::from([192, 0, 2, 101]))];
    let none: [Address; 0] = [];
    Arc::new([
        ("synthetic".into(), addresses.collect()),
        ("synthetic-few".into(), Arc::new(few)),
        ("synthetic-none".into(), Arc::new(none)),
    ])
}

/// Questions about these names for both record types, from clients of every prefix length, some with labels.
fn synthetic_questions(names: &[u32]) -> impl Iterator<Item = Question> {
    let labels: [Arc<[(String, String)]>; 2] = [
        Arc::new([]),
        Arc::new([
            ("country".into(), "DE".into()),
            ("continent".into(), "EU".into()),
            ("asn".into(), "64496".into()),
        ]),
    ];
    let turns = if names.is_empty() { 0..0 } else { 0..u32::MAX };
    turns.zip(names.iter().copied().cycle()).zip(labels.into_iter().cycle()).map(|((turn, name), labels)| {
        let bits = turn.wrapping_mul(0x9E37_79B9);
        let kind = if turn / 3 % 2 == 0 { Type::A } else { Type::AAAA };
        let (client, prefix) = if turn % 5 < 3 {
            let prefix = u8::try_from(turn % 33).unwrap_or(0);
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            (IpAddr::from((bits & mask).to_be_bytes()), prefix)
        } else {
            let prefix = u8::try_from(turn % 129).unwrap_or(0);
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            let address = (0x2001_0db8 << 96 | u128::from(bits) << 64) & mask;
            (IpAddr::from(address.to_be_bytes()), prefix)
        };
        Question { name, kind, client, prefix, labels }
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    config: String,
    names: Vec<GoldenName>,
    questions: Vec<GoldenQuestion>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenName {
    name: String,
    addresses: Vec<GoldenAddress>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenAddress {
    ip: IpAddr,
    #[serde(default = "up")]
    state: State,
    #[serde(default = "one")]
    weight: u16,
    load: Option<f32>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenQuestion {
    name: String,
    /// `A` or `AAAA`.
    #[serde(rename = "type", default = "a")]
    kind: String,
    /// `203.0.113.0/24`.
    #[serde(default = "anybody")]
    client: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    expect: Expect,
}

/// What is not named of an answer is not compared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
enum Expect {
    Answer { addresses: Vec<IpAddr>, ttl: Option<u32>, scope: Option<u8>, lifetime_ms: Option<u64> },
    Fallback,
    All,
    FallbackSet,
    NoData,
}

fn up() -> State {
    State::Up
}

fn one() -> u16 {
    1
}

fn a() -> String {
    "A".into()
}

fn anybody() -> String {
    "0.0.0.0/0".into()
}

/// Compares all golden cases; returns how many there were.
pub(crate) fn golden(
    text: &str,
    make: &dyn Fn(&str) -> Result<ChooserInstance, SetupError>,
) -> Result<u32, TrialError> {
    golden_cases(text, |case: Case| {
        let mut instance = make(&case.config)?;
        Ok(case.compare(&mut instance))
    })
}

impl Case {
    fn compare(self, instance: &mut ChooserInstance) -> Result<(), String> {
        let mut known: BTreeMap<String, (u32, Arc<[Address]>)> = BTreeMap::new();
        for GoldenName { name, addresses } in self.names {
            let addresses: Arc<[Address]> = addresses.into_iter().map(GoldenAddress::real).collect();
            let number = instance.update(&name.as_str().into(), &addresses);
            let number = number.map_err(|failure| format!("`update` {failure}"))?;
            known.insert(name, (number, addresses));
        }
        for (at, golden) in (1..).zip(self.questions) {
            let (number, addresses) = known
                .get(&golden.name)
                .ok_or_else(|| format!("question {at}: the case has no name `{}`", golden.name))?;
            golden.compare(*number, addresses, instance).map_err(|said| format!("question {at}: {said}"))?;
        }
        Ok(())
    }
}

impl GoldenAddress {
    fn real(self) -> Address {
        let Self { ip, state, weight, load, labels } = self;
        Address { ip, state, weight: weight.min(MAX_WEIGHT), load, labels: labels.into_iter().collect() }
    }
}

impl GoldenQuestion {
    fn compare(
        self,
        number: u32,
        addresses: &[Address],
        instance: &mut ChooserInstance,
    ) -> Result<(), String> {
        let kind = Type::from_word(&self.kind).filter(|kind| [Type::A, Type::AAAA].contains(kind));
        let kind = kind.ok_or_else(|| format!("`{}` is neither `A` nor `AAAA`", self.kind))?;
        let client = self.client.split_once('/').and_then(|(ip, prefix)| {
            let (ip, prefix): (IpAddr, u8) = (ip.parse().ok()?, prefix.parse().ok()?);
            (prefix <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, prefix))
        });
        let (client, prefix) = client.ok_or_else(|| format!("`{}` is no `ADDRESS/BITS`", self.client))?;
        let labels = self.labels.into_iter().collect();
        let question = Question { name: number, kind, client, prefix, labels };
        let came = instance.decide(&question).map_err(|failure: Failure| format!("it {failure}"))?;
        let same = match (&self.expect, &came) {
            (Expect::Answer { addresses: expected, ttl, scope, lifetime_ms }, Choice::Answer(chosen)) => {
                let at = |index: &u32| addresses.get(usize::try_from(*index).ok()?).map(|a| a.ip);
                chosen.addresses.iter().filter_map(at).eq(expected.iter().copied())
                    && ttl.is_none_or(|ttl| ttl == chosen.ttl)
                    && scope.is_none_or(|scope| scope == chosen.scope)
                    && lifetime_ms.is_none_or(|ms| Duration::from_millis(ms) == chosen.lifetime)
            }
            (Expect::Fallback, Choice::Fallback)
            | (Expect::All, Choice::NoneUp(Otherwise::All))
            | (Expect::FallbackSet, Choice::NoneUp(Otherwise::FallbackSet))
            | (Expect::NoData, Choice::NoneUp(Otherwise::NoData)) => true,
            _ => false,
        };
        if same { Ok(()) } else { Err(format!("it answered {came:?}, expected {:?}", self.expect)) }
    }
}
