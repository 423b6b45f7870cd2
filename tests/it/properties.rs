//! Losing facts may turn answers into unknown; it never turns a finding into a pass, nor a pass into a finding.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rookdoctor::diagnosis::{Diagnosis, Status};
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::{Answer, Cost, Fact, Reading, Source, Why};
use serde_json::json;

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
            let found = found.map(|placed| placed.finding.summary.to_string()).unwrap_or_default();
            format!("{name} seed {seed}: {code} was {:?}, is {:?} {found}{}", before.status, after.status, after.reason)
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
