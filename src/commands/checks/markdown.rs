//! The catalogue as a document: an index by area, then the page of every check.

use std::fmt::Write;

use crate::check::{Area, Check};
use crate::checks::{ALL, RETIRED};

/// The whole document. `src/checks/README.md` is a copy of it.
pub fn catalogue() -> String {
    let mut text = String::from(
        "# The catalogue of checks\n\nWhat `kubectl rookdoctor checks -o markdown` prints. One check is one question of the \
         troubleshooting tree; a fault low in the\ntree usually explains what is broken above it. Codes and names are stable: \
         scripts may rely on them.\n",
    );
    for area in Area::ALL {
        let checks: Vec<&Check> = ALL.iter().copied().filter(|check| check.area == *area).collect();
        section(&mut text, *area, &checks);
    }
    text.push_str("\n## Retired codes\n\n");
    for (code, heir) in RETIRED {
        line(&mut text, format_args!("- {code}: see {}", link(heir)));
    }
    text
}

fn section(text: &mut String, area: Area, checks: &[&Check]) {
    line(
        text,
        format_args!("\n## {}: {}\n\n| code | name | explained by |\n|---|---|---|", area.prefix(), area.title()),
    );
    for check in checks {
        let mut causes: Vec<String> = check.causes().map(|(cause, _)| link(cause.code)).collect();
        causes.dedup();
        line(text, format_args!("| {} | {} | {} |", link(check.code), check.name, causes.join(", ")));
    }
    checks.iter().for_each(|check| page(text, check));
}

fn page(text: &mut String, check: &Check) {
    line(text, format_args!("\n### {}\n\n*{}*\n", check.code, check.name));
    for words in check.docs.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        match words.strip_prefix("# ") {
            Some(heading) => line(text, format_args!("**{heading}.**")),
            None => line(text, format_args!("{words}")),
        }
    }
    let reads: Vec<&str> = check.needs.iter().map(|row| row.describe()).collect();
    line(text, format_args!("\n**Reads.** {}.", reads.join("; ")));
    let causes: Vec<String> =
        check.causes().map(|(cause, scope)| format!("{} ({})", link(cause.code), scope.words())).collect();
    if !causes.is_empty() {
        line(text, format_args!("\n**Explained by.** {}.", causes.join(", ")));
    }
    let note = match check {
        Check { symptom: true, .. } => "A symptom: without one of these causes its finding is shown as unexplained.",
        Check { about_sight: true, .. } => "Tells of a loss of sight: its findings make the answer unknown, not bad.",
        _ => return,
    };
    line(text, format_args!("\n{note}"));
}

/// To the heading of the check's page, as Git forges name it.
fn link(code: &str) -> String {
    format!("[{code}](#{})", code.to_lowercase())
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{words}");
}
