//! Every recorded cluster says what its page says, and every scenario what it expects.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::thread;

use rookdoctor::check::Severity;
use rookdoctor::diagnosis::{Diagnosis, Placed, Status};
use rookdoctor::examples;
use serde::Deserialize;

use crate::support::{self, Expect, Finds, Scenario};

/// The page of a recorded cluster.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Page {
    verdict: String,
    root_causes: Vec<Said>,
    consequences: Vec<Said>,
    #[serde(default)]
    allowed: Vec<Said>,
    must_not: Vec<Said>,
    /// The order of the root causes is free.
    #[serde(default)]
    any_order: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "`object`, `why` and `note` are for the reader")]
struct Said {
    code: String,
    #[serde(default)]
    object: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    explained_by: Vec<String>,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    how: Option<String>,
    #[serde(default)]
    why: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

/// All diagnoses, made once: recorded clusters under their own name, and scenarios.
pub static DIAGNOSES: LazyLock<Vec<(String, Diagnosis)>> = LazyLock::new(|| {
    let recorded = examples::ALL.iter().map(|example| (example.name.to_owned(), support::base(example.name)));
    let scenarios = Scenario::all().into_iter().map(|scenario| (scenario.name.clone(), scenario.tree()));
    let work: Vec<_> = recorded.chain(scenarios).collect();
    let half = work.len() / 2;
    let one = |(name, tree): &(String, _)| (name.clone(), support::run(&support::bundle(Clone::clone(tree))));
    thread::scope(|scope| {
        let first = scope.spawn(|| work[..half].iter().map(one).collect::<Vec<_>>());
        let second = work[half..].iter().map(one).collect::<Vec<_>>();
        first.join().unwrap().into_iter().chain(second).collect()
    })
});

pub fn diagnosis(name: &str) -> &'static Diagnosis {
    &DIAGNOSES.iter().find(|(of, _)| of == name).unwrap().1
}

fn verdict(diagnosis: &Diagnosis) -> &'static str {
    let counted = diagnosis.findings.iter().filter(|placed| !placed.check.about_sight);
    match counted.map(|placed| placed.finding.severity).max() {
        Some(Severity::Critical) => "critical",
        Some(Severity::Warning) => "warning",
        _ if diagnosis.outcomes.iter().any(|outcome| outcome.status == Status::Unknown) => "unknown",
        _ => "healthy",
    }
}

#[test]
fn recorded_clusters_say_what_their_pages_say() {
    let mut wrong = Vec::new();
    for example in examples::ALL {
        let text = std::fs::read_to_string(support::root().join(example.name).join("expect.yaml")).unwrap();
        let page: Page = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", example.name));
        let diagnosis = diagnosis(example.name);
        let complaints = compare(&page, diagnosis);
        if !complaints.is_empty() {
            let outline = support::outline(diagnosis);
            wrong.push(format!("## {}\n- {}\n{outline}\n", example.name, complaints.join("\n- ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compare(page: &Page, diagnosis: &Diagnosis) -> Vec<String> {
    let mut complaints = Vec::new();
    if verdict(diagnosis) != page.verdict {
        complaints.push(format!("the verdict is {}, not {}", verdict(diagnosis), page.verdict));
    }
    complaints.extend(compare_roots(page, diagnosis));
    complaints.extend(page.consequences.iter().filter_map(|said| missing_consequence(said, diagnosis)));
    complaints.extend(page.must_not.iter().flat_map(|said| forbidden(said, diagnosis)));
    let said = [&page.root_causes, &page.consequences, &page.allowed].into_iter().flatten();
    let said: BTreeSet<&str> = said.map(|said| said.code.as_str()).collect();
    let unasked = diagnosis.findings.iter().filter(|placed| placed.finding.severity > Severity::Info);
    let unasked = unasked.filter(|placed| !said.contains(placed.check.code));
    complaints.extend(unasked.map(|placed| format!("{} is not on the page", placed.id)));
    complaints
}

/// Expected roots come in their order; others only where the page allows them.
fn compare_roots(page: &Page, diagnosis: &Diagnosis) -> Vec<String> {
    let mut complaints = Vec::new();
    let roots: Vec<&Placed> = diagnosis.roots.iter().map(|&at| &diagnosis.findings[at]).collect();
    let mut from = 0;
    for said in &page.root_causes {
        let start = if page.any_order { 0 } else { from };
        let found = roots[start..].iter().position(|placed| placed.check.code == said.code);
        let Some(at) = found.map(|at| at + start) else {
            complaints.push(format!("{} is not a root cause, or out of order", said.code));
            continue;
        };
        // Several findings of one code may stand for one line of the page.
        from = at;
        let severity = roots[at].finding.severity.word();
        if said.severity.as_deref().is_some_and(|wanted| wanted != severity && severity != "info") {
            complaints.push(format!("{} is {severity}", roots[at].id));
        }
    }
    let known = |code: &str| page.root_causes.iter().chain(&page.allowed).any(|said| said.code == code);
    let unknown = roots.iter().filter(|placed| !known(placed.check.code));
    complaints.extend(unknown.map(|placed| format!("{} must not be a root cause", placed.id)));
    complaints
}

fn missing_consequence(said: &Said, diagnosis: &Diagnosis) -> Option<String> {
    let mut all = (0..diagnosis.findings.len()).filter(|&at| diagnosis.findings[at].check.code == said.code).peekable();
    if all.peek().is_none() {
        return (!said.optional).then(|| format!("{} is missing", said.code));
    }
    let explained = all.any(|at| {
        let causes = support::causes(diagnosis, at);
        said.explained_by.iter().any(|code| causes.contains(&code.as_str()))
    });
    (!explained).then(|| format!("{} does not hang below {:?}", said.code, said.explained_by))
}

/// Whether a finding at this place is what a page rules out.
type IsWrong<'d> = dyn Fn(usize, &Placed) -> bool + 'd;

fn forbidden(said: &Said, diagnosis: &Diagnosis) -> Vec<String> {
    let findings = diagnosis.findings.iter().enumerate();
    let findings = findings.filter(|(_, placed)| said.code == "*" || placed.check.code == said.code);
    let at_least = |severity: Severity| move |placed: &Placed| placed.finding.severity >= severity;
    let is_wrong: Box<IsWrong<'_>> = match said.how.as_deref() {
        None | Some("any warning or critical finding") => {
            Box::new(move |_, placed| at_least(Severity::Warning)(placed))
        }
        Some("any critical finding") => Box::new(move |_, placed| at_least(Severity::Critical)(placed)),
        Some("as a root cause") => Box::new(|at, _| diagnosis.is_root(at)),
        Some("as critical or first") => {
            Box::new(|at, placed| placed.finding.severity == Severity::Critical || diagnosis.roots.first() == Some(&at))
        }
        Some("sdb as skipped") => Box::new(|_, placed| placed.finding.detail.as_deref() == Some("sdb")),
        Some("sda1, sda2 as findings") => {
            Box::new(|_, placed| placed.finding.evidence.iter().any(|evidence| evidence.excerpt.contains("sda1")))
        }
        // The verdict is compared, and a check about data needs an answer of Ceph.
        Some("a healthy or warning verdict from status.ceph.health") => Box::new(|_, _| false),
        Some("any answer about PGs or OSD state as fact") => {
            Box::new(|_, placed| ["CEPH003", "CEPH004"].contains(&placed.check.code))
        }
        Some(other) => panic!("no meaning is given to {other:?}"),
    };
    findings
        .filter(|(at, placed)| is_wrong(*at, placed))
        .map(|(_, placed)| format!("{} must not be", placed.id))
        .collect()
}

/// A server forgets its events after an hour; what is broken is broken still.
#[test]
fn root_causes_outlive_the_events() {
    for example in examples::ALL {
        let mut tree = support::base(example.name);
        let events: Vec<String> = tree
            .below("namespaces/")
            .map(|(path, _)| path.to_owned())
            .filter(|path| path.ends_with("/core/events.yaml"))
            .collect();
        for path in events {
            tree.write(&path, br#"{"apiVersion": "v1", "kind": "EventList", "items": []}"#.to_vec());
        }
        let roots = |diagnosis: &Diagnosis| -> Vec<String> {
            diagnosis.roots.iter().map(|&at| diagnosis.findings[at].id.clone()).collect()
        };
        let later = support::run(&support::bundle(tree));
        assert_eq!(roots(&later), roots(diagnosis(example.name)), "{}", support::outline(&later));
    }
}

#[test]
fn scenarios_say_what_they_expect() {
    let mut wrong = Vec::new();
    for scenario in Scenario::all() {
        let diagnosis = diagnosis(&scenario.name);
        let complaints = complaints(&scenario.expect, diagnosis);
        if !complaints.is_empty() {
            let outline = support::outline(diagnosis);
            wrong.push(format!("## {}\n- {}\n{outline}\n", scenario.name, complaints.join("\n- ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn complaints(expect: &Expect, diagnosis: &Diagnosis) -> Vec<String> {
    let mut complaints: Vec<String> = expect.finds.iter().filter_map(|finds| not_found(finds, diagnosis)).collect();
    if let Some(expected) = expect.verdict.as_deref().filter(|expected| *expected != verdict(diagnosis)) {
        complaints.push(format!("the verdict is {}, not {expected}", verdict(diagnosis)));
    }
    if let Some(expected) = &expect.roots {
        let roots: Vec<&Placed> = diagnosis.roots.iter().map(|&at| &diagnosis.findings[at]).collect();
        let same = roots.len() == expected.len()
            && roots.iter().zip(expected).all(|(placed, wanted)| *wanted == placed.id || wanted == placed.check.code);
        if !same {
            complaints.push(format!("the root causes are not {expected:?}"));
        }
    }
    for code in &expect.silent {
        match status(diagnosis, code) {
            Status::Passed | Status::NotApplicable => {}
            other => complaints.push(format!("{code} is {other:?}, not silent")),
        }
    }
    for code in &expect.unknown {
        if status(diagnosis, code) != Status::Unknown {
            complaints.push(format!("{code} is {:?}, not unknown", status(diagnosis, code)));
        }
    }
    for (effect, cause) in &expect.below {
        let mut all = (0..diagnosis.findings.len()).filter(|&at| diagnosis.findings[at].check.code == effect);
        if !all.any(|at| support::causes(diagnosis, at).contains(&cause.as_str())) {
            complaints.push(format!("{effect} does not hang below {cause}"));
        }
    }
    complaints
}

fn status(diagnosis: &Diagnosis, code: &str) -> Status {
    let outcome = diagnosis.outcomes.iter().find(|outcome| outcome.check.code == code);
    outcome.unwrap_or_else(|| panic!("there is no check {code}")).status
}

fn not_found(finds: &Finds, diagnosis: &Diagnosis) -> Option<String> {
    let mut of_code = diagnosis.findings.iter().filter(|placed| placed.check.code == finds.code);
    let is_it = |placed: &Placed| {
        let text = text(placed);
        finds.id.as_ref().is_none_or(|id| *id == placed.id)
            && finds.severity.as_ref().is_none_or(|severity| severity == placed.finding.severity.word())
            && finds.says.iter().all(|said| text.contains(said.as_str()))
    };
    if of_code.any(is_it) {
        return None;
    }
    let all = diagnosis.findings.iter().filter(|placed| placed.check.code == finds.code);
    let all: Vec<String> = all.map(|placed| format!("{}\n{}", placed.id, text(placed))).collect();
    Some(format!("{} {:?} {:?} {:?} is not found; there is {all:#?}", finds.code, finds.id, finds.severity, finds.says))
}

/// Everything that a person reads of a finding.
fn text(placed: &Placed) -> String {
    let finding = &placed.finding;
    let mut parts = vec![finding.summary.english(), finding.remedy.summary.english()];
    parts.extend(finding.objects.iter().map(ToString::to_string));
    parts.extend(finding.evidence.iter().map(|e| format!("{} {} {}", e.from, e.field, e.excerpt)));
    parts.extend(finding.remedy.commands.iter().cloned());
    parts.join("\n")
}
