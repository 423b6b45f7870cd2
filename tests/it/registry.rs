//! What checks declare is true.

use std::collections::{BTreeMap, BTreeSet};

use rookdoctor::check::Check;
use rookdoctor::checks;
use rookdoctor::diagnosis::Status;
use rookdoctor::facts::Row;
use rookdoctor::overview;

use crate::scenarios::DIAGNOSES;
use crate::support::Scenario;

#[test]
fn codes_and_names_are_unique_and_in_order() {
    let codes: Vec<(_, &str)> = checks::ALL.iter().map(|check| (check.area, check.code)).collect();
    assert!(codes.is_sorted(), "the registry is not in the order of the catalogue");
    let unique: BTreeSet<&str> = checks::ALL.iter().flat_map(|check| [check.code, check.name]).collect();
    assert_eq!(unique.len(), 2 * checks::ALL.len());
    for check in checks::ALL {
        let number = check.code.strip_prefix(check.area.prefix()).expect(check.code);
        assert!(number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()), "{}", check.code);
        assert!(check.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit()));
        assert!(checks::RETIRED.iter().all(|(retired, _)| *retired != check.code), "{} was retired", check.code);
    }
}

#[test]
fn every_page_has_its_five_headings_with_text() {
    let headings = ["What it looks at", "Why it matters", "Confirm by hand", "Fix", "References"];
    for check in checks::ALL {
        let sections: Vec<&str> = check.docs.split("\n # ").collect();
        let found: Vec<&str> = sections.iter().map(|s| s.lines().next().unwrap().trim_matches(['#', ' '])).collect();
        assert_eq!(found, headings, "{}", check.code);
        for section in sections {
            assert!(section.lines().skip(1).any(|line| line.len() > 20), "{}: empty section in {section}", check.code);
        }
    }
}

/// The document is what `checks -o markdown` prints: `cargo run -q -- checks -o markdown > src/checks/README.md`.
#[test]
fn the_printed_catalogue_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks/README.md");
    let same = std::fs::read_to_string(path).unwrap() == rookdoctor::commands::checks::markdown::catalogue();
    assert!(same, "print it anew: cargo run -q -- checks -o markdown > src/checks/README.md");
}

#[test]
fn cause_links_form_a_graph_without_cycles() {
    fn walk(check: &'static Check, path: &mut Vec<&'static str>) {
        assert!(!path.contains(&check.code), "a cycle: {path:?} {}", check.code);
        path.push(check.code);
        check.causes().for_each(|(cause, _)| walk(cause, path));
        path.pop();
    }
    checks::ALL.iter().for_each(|check| walk(check, &mut Vec::new()));
    for check in checks::ALL {
        let registered = |cause: &&Check| checks::ALL.contains(cause);
        assert!(check.causes().all(|(cause, _)| registered(&cause)), "{}", check.code);
        let links: BTreeSet<_> = check.causes().map(|(cause, scope)| (cause.code, scope)).collect();
        assert_eq!(links.len(), check.causes().count(), "{} repeats a cause", check.code);
    }
}

#[test]
fn checks_read_what_they_declare() {
    let mut touched: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
    for (_, diagnosis) in DIAGNOSES.iter() {
        for outcome in &diagnosis.outcomes {
            touched.entry(outcome.check.code).or_default().extend(&outcome.touched);
        }
    }
    let mut wrong = Vec::new();
    for check in checks::ALL {
        let needs: BTreeSet<_> = check.needs.iter().copied().collect();
        let touched = &touched[check.code];
        let undeclared: Vec<_> = touched.difference(&needs).collect();
        let unused: Vec<_> = needs.difference(touched).collect();
        if !undeclared.is_empty() || !unused.is_empty() {
            wrong.push(format!("{}: undeclared {undeclared:?}, never read {unused:?}", check.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_of_the_table_of_reads_is_wanted() {
    let tables = overview::ALL.iter().flat_map(|overview| overview.needs);
    let wanted: BTreeSet<Row> = checks::ALL.iter().flat_map(|check| check.needs).chain(tables).copied().collect();
    let idle: Vec<&Row> = Row::ALL.iter().filter(|row| !wanted.contains(row)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn every_check_fires_and_has_a_near_miss() {
    let scenarios = Scenario::all();
    let mut wrong = Vec::new();
    for check in checks::ALL {
        let fires = DIAGNOSES.iter().any(|(_, diagnosis)| {
            diagnosis.outcomes.iter().any(|outcome| outcome.check == *check && outcome.status == Status::Found)
        });
        let missed = scenarios.iter().any(|scenario| scenario.expect.silent.iter().any(|code| code == check.code));
        if !fires {
            wrong.push(format!("{} fires nowhere", check.code));
        }
        if !missed {
            wrong.push(format!("{} has no near miss", check.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn messages_are_fragments() {
    for (name, diagnosis) in DIAGNOSES.iter() {
        for placed in &diagnosis.findings {
            for text in [placed.finding.summary.to_string(), placed.finding.remedy.summary.to_string()] {
                assert!(!text.ends_with('.'), "{name} {}: ends with a full stop: {text}", placed.id);
                let template = placed.finding.summary.template;
                let first = template.chars().next().unwrap_or('A');
                let upper = first.is_uppercase() && template.chars().nth(1).is_none_or(char::is_lowercase);
                assert!(
                    !upper || template.starts_with("Rook") || template.starts_with("Ceph"),
                    "{name} {}: {template}",
                    placed.id
                );
            }
        }
    }
}

/// A check that drops the reason of an unknown fact could call the unseen healthy.
#[test]
fn checks_do_not_swallow_gaps() {
    let mut wrong = Vec::new();
    let mut open = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for (number, line) in code.lines().enumerate() {
                let reads = line.contains("facts.") && !line.contains("settled()");
                if reads
                    && [".ok()", "is_err()", "is_ok()", "unwrap_or", "Err(_)"].iter().any(|word| line.contains(word))
                {
                    wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
