//! A recorded cluster without the names and addresses of its owner has the diagnosis that it had with them.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use rookdoctor::diagnosis::Diagnosis;
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::redact::{self, Replaced};

use crate::support::Scenario;
use crate::{scenarios, support};

/// The owner's way back: what stood there before.
struct Back {
    names: AhoCorasick,
    original: Vec<String>,
}

impl Back {
    fn new(replaced: &[Replaced]) -> Self {
        let one = |from: &str| from.replace([':', '.'], "-");
        let mut pairs: Vec<(String, String)> = Vec::new();
        for Replaced { sort, original, replacement } in replaced.iter().filter(|one| one.sort != "network") {
            pairs.push((replacement.clone(), original.clone()));
            if ["address", "domain"].contains(sort) {
                pairs.push((one(replacement), one(original)));
            }
        }
        let names =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(pairs.iter().map(|(new, _)| new));
        Self { names: names.unwrap(), original: pairs.into_iter().map(|(_, original)| original).collect() }
    }

    fn of(&self, text: &str) -> String {
        let mut out = String::new();
        let mut done = 0;
        for found in self.names.find_iter(text) {
            let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            if !is_part(text[..found.start()].chars().last()) && !is_part(text[found.end()..].chars().next()) {
                out.push_str(&text[done..found.start()]);
                out.push_str(&self.original[found.pattern().as_usize()]);
                done = found.end();
            }
        }
        out + &text[done..]
    }
}

/// What differs between the diagnosis of a tree and that of its anonymous copy, and what is left of the names.
fn differences(name: &str, tree: &Tree, diagnosis: &Diagnosis) -> Vec<String> {
    let anonymous = redact::anonymize(tree);
    let back = Back::new(&anonymous.replaced);
    assert!(anonymous.replaced.len() > 3, "{name}: hardly anything was replaced");
    let after = support::run(&support::bundle(anonymous.tree.clone()));
    let (before, after) = (support::told(diagnosis), support::told(&after));
    let after: BTreeSet<String> = after.iter().map(|line| back.of(line)).collect();
    let lost = before.difference(&after).map(|line| format!("{name}: - {line}"));
    let new = after.difference(&before).map(|line| format!("{name}: + {line}"));
    let mut all: Vec<String> = lost.chain(new).collect();
    let kinds = ["node", "namespace", "user", "domain", "serial", "address", "mac"];
    let originals: Vec<&str> =
        anonymous.replaced.iter().filter(|one| kinds.contains(&one.sort)).map(|one| one.original.as_str()).collect();
    let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&originals).unwrap();
    for (path, file) in anonymous.tree.below("") {
        let bytes = file.bytes().unwrap();
        for text in [path.as_bytes(), &bytes] {
            let left = search.find_iter(text).find(|found| {
                let is_part =
                    |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.');
                let before = found.start().checked_sub(1).and_then(|at| text.get(at));
                // `10.0.0.0/8` is of no cluster in particular.
                !is_part(before) && !is_part(text.get(found.end())) && !text[found.end()..].starts_with(b"/8")
            });
            all.extend(
                left.map(|found| format!("{name}: {} is left in {path}", originals[found.pattern().as_usize()])),
            );
        }
    }
    all
}

/// One scenario of so many; the recorded clusters are all tried.
const SAMPLE: usize = 14;

#[test]
fn an_anonymous_cluster_has_the_same_diagnosis() {
    let mut differ = Vec::new();
    for example in examples::ALL {
        let (_, diagnosis) = scenarios::DIAGNOSES.iter().find(|(name, _)| name == example.name).unwrap();
        differ.extend(differences(example.name, &support::base(example.name), diagnosis));
    }
    for scenario in Scenario::all().iter().step_by(SAMPLE) {
        let (_, diagnosis) = scenarios::DIAGNOSES.iter().find(|(name, _)| *name == scenario.name).unwrap();
        differ.extend(differences(&scenario.name, &scenario.tree(), diagnosis));
    }
    assert!(differ.is_empty(), "{} differences:\n{}", differ.len(), differ.join("\n"));
}
