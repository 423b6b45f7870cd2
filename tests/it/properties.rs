//! Losing facts may turn answers into unknown; it never turns a finding into a pass, nor a pass into a finding.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rookdoctor::diagnosis::{Diagnosis, Status};
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::{Answer, Cost, Fact, Reading, Source, Why};
use serde_json::{Value, json};

use crate::scenarios::DIAGNOSES;
use crate::support::{self, Scenario};

/// A source that withholds, refuses, delays or mangles a share of its facts, the same ones for the same seed.
struct Faulty {
    inner: Bundle,
    seed: u64,
    /// Of a hundred facts, so many are lost.
    share: u64,
    /// Delay some for ever, so that the deadline ends the run.
    hangs: bool,
}

impl Source for Faulty {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        let mut hasher = DefaultHasher::new();
        (self.seed, fact).hash(&mut hasher);
        let lot = hasher.finish();
        if lot % 100 >= self.share {
            return self.inner.fetch(fact);
        }
        async move {
            match (lot / 100) % 5 {
                0 => Err(Why::NotCaptured),
                1 => Err(Why::Forbidden("not for you".into())),
                2 => Err(Why::Unreachable("connection reset".into())),
                3 if self.hangs => futures::future::pending().await,
                3 => Err(Why::Timeout),
                _ => Ok(mangled(fact)),
            }
        }
        .boxed()
    }
    fn now(&self) -> Timestamp {
        self.inner.now()
    }
    fn cost(&self) -> Cost {
        self.inner.cost()
    }
    fn server_version(&self) -> Option<String> {
        self.inner.server_version()
    }
}

/// An answer that is not what it should be; each is recognised as malformed.
fn mangled(fact: &Fact) -> Reading {
    match fact {
        Fact::List { .. } | Fact::Object { .. } => Answer::Objects(vec![json!({"metadata": "not a map"})]),
        Fact::Ceph { .. } | Fact::Socket { .. } => Answer::Text(b"\n{\"truncat".to_vec()),
        _ => Answer::Objects(vec![json!("nonsense")]),
    }
    .into()
}

fn compare(name: &str, seed: u64, whole: &Diagnosis, lossy: &Diagnosis) -> Vec<String> {
    let pairs = whole.outcomes.iter().zip(&lossy.outcomes).filter(|(outcome, _)| !outcome.check.about_sight);
    let wrong = pairs.filter(|(before, after)| match before.status {
        Status::Found => !matches!(after.status, Status::Found | Status::Unknown),
        Status::Passed | Status::NotApplicable => after.status == Status::Found,
        Status::Unknown => false,
    });
    wrong
        .map(|(before, after)| {
            let code = before.check.code;
            let found = lossy.findings.iter().find(|placed| placed.check.code == code);
            let found = found.map(|placed| placed.finding.summary.english()).unwrap_or_default();
            format!("{name} seed {seed}: {code} was {:?}, is {:?} {found}{}", before.status, after.status, after.why())
        })
        .collect()
}

#[test]
fn lost_facts_never_change_an_answer() {
    let recorded =
        rookdoctor::examples::ALL.iter().map(|example| (example.name.to_owned(), support::base(example.name)));
    let scenarios = Scenario::all().into_iter().map(|scenario| (scenario.name.clone(), scenario.tree()));
    let work: Vec<_> = recorded.chain(scenarios).collect();
    let one = |(at, (name, tree)): (usize, &(String, _))| {
        let whole = &DIAGNOSES.iter().find(|(of, _)| of == name).unwrap().1;
        let mut wrong = Vec::new();
        // Few facts lost finds wrong turns within a check, many lost finds wrong turns between them.
        for (round, share) in [(1, 3), (2, 6), (3, 12), (4, 20), (5, 40)] {
            let seed = 1_000 * round + at as u64;
            let source = Faulty { inner: support::bundle(Clone::clone(tree)), seed, share, hangs: false };
            wrong.extend(compare(name, seed, whole, &support::run(&source)));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let odd =
            scope.spawn(|| work.iter().enumerate().filter(|(at, _)| at % 2 == 1).flat_map(one).collect::<Vec<_>>());
        let even: Vec<String> = work.iter().enumerate().filter(|(at, _)| at % 2 == 0).flat_map(one).collect();
        odd.join().unwrap().into_iter().chain(even).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_source_that_hangs_is_cut_off_by_the_deadline() {
    for (at, example) in rookdoctor::examples::ALL.iter().enumerate() {
        let whole = &DIAGNOSES.iter().find(|(of, _)| of == example.name).unwrap().1;
        let inner = support::bundle(support::base(example.name));
        let source = Faulty { inner, seed: at as u64, share: 20, hangs: true };
        let lossy = support::run_within(&source, Duration::from_secs(1));
        let wrong = compare(example.name, at as u64, whole, &lossy);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A source whose answers are well formed and full of values that nobody expects, the same ones for the same seed.
struct Hostile {
    inner: Bundle,
    seed: u64,
}

impl Hostile {
    /// The lot of the next value of a fact.
    fn lot(&self, fact: &Fact, at: &mut u64) -> usize {
        *at += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, fact, *at).hash(&mut hasher);
        hasher.finish() as usize
    }

    /// All numbers become one, or all times, or a share of all values becomes something else: one malformed object
    /// makes a list unknown, so the share is small.
    fn spoil(&self, fact: &Fact, at: &mut u64, value: &mut Value) {
        let numbers = [json!(0), json!(i32::MAX), json!(u32::MAX), json!(u64::MAX), json!(i64::MAX), json!(-1)];
        let times = [json!(Timestamp::MIN), json!(Timestamp::MAX)];
        let is_time = |text: &str| text.parse::<Timestamp>().is_ok();
        let (kind, lot) = (self.seed as usize % 12, self.lot(fact, at));
        let (hit, which) = (kind >= 8 && lot.is_multiple_of(100), lot / 100);
        match value {
            Value::Number(_) if kind < 6 => *value = numbers[kind].clone(),
            Value::String(text) if (6..8).contains(&kind) && is_time(text) => *value = times[kind - 6].clone(),
            Value::Number(_) if hit => *value = numbers[which % numbers.len()].clone(),
            Value::String(text) if hit && is_time(text) => *value = times[which % times.len()].clone(),
            Value::String(text) if hit => {
                let odd: String = text.char_indices().map(|(at, c)| if at % 5 == 2 { 'é' } else { c }).collect();
                let texts = [String::new(), odd, format!("{text}{text}"), "-".into(), "9".repeat(30)];
                *value = json!(texts[which % texts.len()]);
            }
            Value::Array(items) if hit => items.clear(),
            Value::Array(items) => items.iter_mut().for_each(|item| self.spoil(fact, at, item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.spoil(fact, at, field)),
            _ => {}
        }
    }
}

impl Source for Hostile {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        async move {
            let mut reading = self.inner.fetch(fact).await?;
            let mut at = 0;
            match &mut reading.answer {
                Answer::Objects(objects) => objects.iter_mut().for_each(|object| self.spoil(fact, &mut at, object)),
                Answer::Rows(table) => {
                    table.cells.iter_mut().flatten().for_each(|cell| self.spoil(fact, &mut at, cell));
                }
                Answer::Text(text) => {
                    // A log is no JSON; its lines are.
                    let whole = serde_json::from_slice::<Value>(text);
                    let is_log = whole.is_err();
                    let lines = || String::from_utf8_lossy(text).lines().map(|line| json!(line)).collect();
                    let mut value = whole.unwrap_or_else(|_| Value::Array(lines()));
                    self.spoil(fact, &mut at, &mut value);
                    let lines = value.as_array().filter(|_| is_log);
                    let lines =
                        lines.map(|lines| lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"));
                    *text = lines.unwrap_or_else(|| value.to_string()).into_bytes();
                }
                Answer::Kinds(_) => {}
            }
            Ok(reading)
        }
        .boxed()
    }
    fn now(&self) -> Timestamp {
        self.inner.now()
    }
    fn cost(&self) -> Cost {
        self.inner.cost()
    }
    fn server_version(&self) -> Option<String> {
        self.inner.server_version()
    }
}

#[test]
fn no_value_makes_a_check_panic() {
    let recorded = rookdoctor::examples::ALL.iter().map(|example| support::base(example.name));
    let scenarios = Scenario::all().into_iter().map(|scenario| scenario.tree());
    for (seed, tree) in (0..).zip(recorded.chain(scenarios)) {
        support::run(&Hostile { inner: support::bundle(tree), seed });
    }
}
