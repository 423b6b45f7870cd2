//! The comparison for a person: what came first, then what went, what stays, and what else differs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Change, Difference, Document, Stayed, Told};
use crate::check::Severity;
use crate::report::CheckStatus;
use crate::report::human::{Ink, Page};

/// Things named per change, and changes per area; `-v` shows all.
const NAMES: usize = 4;
const CHANGES: usize = 12;
/// Names that have room before what is said of them, in characters.
const SHORT: usize = 24;

/// The whole screen.
pub fn render(document: &Document, width: usize, verbose: bool) -> String {
    let mut page = Page::new(width);
    for (at, difference) in document.items.iter().enumerate() {
        if at > 0 {
            page.blank();
        }
        cluster(&mut page, difference, verbose);
    }
    for name in &document.unpaired {
        page.hang(&[(Ink::Unknown, "? ")], Ink::Plain, name);
    }
    page.finish()
}

fn cluster(page: &mut Page, it: &Difference, verbose: bool) {
    let name = if it.cluster.is_empty() { "no CephCluster was seen" } else { &it.cluster };
    page.hang(&[], Ink::Bold, &format!("{name}: {}", verdict(it)));
    let (old, new) = (minute(it.old.observed_at), minute(it.new.observed_at));
    let span = format!("{} {old} ({}) → {} {new} ({})", it.old.from, it.old.verdict, it.new.from, it.new.verdict);
    page.hang(&[(Ink::Plain, "  ")], Ink::Dim, &span);
    if it.new.observed_at < it.old.observed_at {
        let text = "the second is older than the first: were they given in the other order?";
        page.hang(&[(Ink::Unknown, "? ")], Ink::Plain, text);
    }
    if !it.came.is_empty() {
        page.heading("CAME");
        for came in &it.came {
            let note = if came.unseen_before { "its check could not look before" } else { "" };
            finding(page, &came.finding, note);
        }
    }
    if !it.went.is_empty() {
        page.heading("WENT");
        for went in &it.went {
            let note = if went.unseen_now { "not seen to be over: its check cannot look now" } else { "" };
            finding(page, &went.finding, note);
        }
    }
    stayed(page, &it.stayed, verbose);
    sight(page, it);
    changes(page, &it.changes, verbose);
    if !it.not_compared.is_empty() {
        page.heading("NOT COMPARED");
        it.not_compared.iter().for_each(|why| page.hang(&[(Ink::Unknown, "  ? ")], Ink::Plain, why));
    }
}

/// `2 came, 1 went, 3 stay`
fn verdict(it: &Difference) -> String {
    if it.is_empty() && it.stayed.is_empty() {
        return "nothing changed".to_owned();
    }
    let counts = [(it.came.len(), "came"), (it.went.len(), "went"), (it.stayed.len(), "stayed")];
    let told = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let findings = told.collect::<Vec<_>>().join(", ");
    let findings = if findings.is_empty() { "no findings".to_owned() } else { findings };
    match it.changes.len() {
        0 => findings,
        1 => format!("{findings}; 1 value changed"),
        changed => format!("{findings}; {changed} values changed"),
    }
}

fn minute(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%MZ").to_string()
}

fn finding(page: &mut Page, told: &Told, note: &str) {
    let (ink, mark) = match told.severity {
        Severity::Critical => (Ink::Critical, "✖"),
        Severity::Warning => (Ink::Warning, "▲"),
        Severity::Info => (Ink::Info, "i"),
    };
    let root = if told.is_root { "root cause: " } else { "" };
    let first = [(ink, mark), (Ink::Plain, " "), (ink, told.code.as_str()), (Ink::Plain, " ")];
    let suppressed = if told.suppressed { " (suppressed)".to_owned() } else { String::new() };
    page.hang(&first, Ink::Plain, &format!("{root}{}{suppressed}", told.summary));
    if !note.is_empty() {
        page.hang(&[(Ink::Unknown, "  ? ")], Ink::Plain, note);
    }
}

/// What stays is known; it is told in full where its weight changed, and else by code.
fn stayed(page: &mut Page, stayed: &[Stayed], verbose: bool) {
    if stayed.is_empty() {
        return;
    }
    page.heading("STAYED");
    let (told, rest): (Vec<&Stayed>, Vec<&Stayed>) =
        stayed.iter().partition(|it| verbose || changed(it) || it.finding.is_root);
    for it in told {
        let note = match () {
            () if it.finding.severity != it.severity_before => format!("was {}", it.severity_before.word()),
            () if it.suppressed_before && !it.finding.suppressed => "was suppressed".to_owned(),
            () => String::new(),
        };
        finding(page, &it.finding, &note);
    }
    let mut codes: Vec<&str> = rest.iter().map(|it| it.finding.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    if !codes.is_empty() {
        page.hang(&[(Ink::Plain, "  ")], Ink::Dim, &format!("and {} (-v tells)", codes.join(", ")));
    }
}

fn changed(it: &Stayed) -> bool {
    it.finding.severity != it.severity_before || it.finding.suppressed != it.suppressed_before
}

fn sight(page: &mut Page, it: &Difference) {
    if it.sight.is_empty() {
        return;
    }
    page.heading("SIGHT");
    for sight in &it.sight {
        let (ink, text) = match sight.now {
            CheckStatus::Unknown => (Ink::Unknown, format!("cannot look any more: {}", or_unknown(&sight.reason))),
            _ => (Ink::Good, "could not look before".to_owned()),
        };
        let mark = if sight.now == CheckStatus::Unknown { "? " } else { "✔ " };
        page.hang(&[(ink, mark), (Ink::Bold, &sight.code), (Ink::Plain, " ")], Ink::Plain, &text);
    }
}

fn or_unknown(reason: &Option<String>) -> &str {
    reason.as_deref().unwrap_or("no reason is given")
}

/// What changed the same way is told once, with the names of all.
fn changes(page: &mut Page, changes: &[Change], verbose: bool) {
    let mut areas: Vec<&str> = changes.iter().map(|change| change.area).collect();
    areas.dedup();
    for area in areas {
        page.heading(&area.to_uppercase());
        let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut order = Vec::new();
        for change in changes.iter().filter(|change| change.area == area) {
            let said = said(change);
            let names = alike.entry(said.clone()).or_insert_with(|| {
                order.push(said);
                Vec::new()
            });
            names.push(&change.what);
        }
        let most = if verbose { order.len() } else { CHANGES };
        for said in order.iter().take(most) {
            let names = alike.get(said).map(|names| listed(names, verbose)).unwrap_or_default();
            if names.chars().count() <= SHORT {
                page.hang(&[(Ink::Plain, "  "), (Ink::Bold, &names), (Ink::Plain, "  ")], Ink::Plain, said);
            } else {
                page.hang(&[(Ink::Plain, "  ")], Ink::Bold, &names);
                page.hang(&[(Ink::Plain, "      ")], Ink::Plain, said);
            }
        }
        if order.len() > most {
            page.line("  ", Ink::Dim, &format!("and {} more (-v tells)", order.len() - most));
        }
    }
}

fn listed(names: &[&str], verbose: bool) -> String {
    let most = if verbose { names.len() } else { NAMES };
    let more = names.len().saturating_sub(most);
    let shown = names.iter().take(most).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn said(change: &Change) -> String {
    match (change.attribute, &change.old, &change.new) {
        ("", Some(_), None) => "gone".to_owned(),
        ("", None, Some(_)) => "new".to_owned(),
        ("boot", Some(_), Some(_)) => "rebooted".to_owned(),
        ("pod", Some(_), Some(_)) => "made anew".to_owned(),
        ("image", Some(old), Some(new)) => {
            format!("image {} → {}", without(old, new), without(new, old))
        }
        (attribute, old, new) => {
            let old = old.as_deref().unwrap_or("none");
            let new = new.as_deref().unwrap_or("none");
            let space = if attribute.is_empty() { "" } else { " " };
            format!("{attribute}{space}{old} → {new}")
        }
    }
}

/// What stands in this list and not in the other.
fn without(list: &str, other: &str) -> String {
    let other: Vec<&str> = other.split(", ").collect();
    let own: Vec<&str> = list.split(", ").filter(|part| !other.contains(part)).collect();
    if own.is_empty() { "none".to_owned() } else { own.join(", ") }
}
