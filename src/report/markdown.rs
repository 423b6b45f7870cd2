//! The report as Markdown, for tickets and chat: the verdict, each root cause with its evidence, remedy and
//! consequences, and what could not be seen.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::timeline::{Line, chosen, folded, label};
use super::{CheckStatus, Document, Evidence, Finding, Report, Suppressions, Unread, Unused};
use crate::check::{Area, Severity};
use crate::lang::{Lang, Text, phrase};
use crate::{plural, say};

/// The whole document.
pub fn markdown(document: &Document) -> String {
    let mut pages: Vec<String> = document.reports().iter().map(page).collect();
    if document.is_of_contexts() {
        pages.push(summary(document.reports()));
    }
    pages.join("\n---\n\n")
}

/// A line of the page. Writing to a string does not fail.
macro_rules! line {
    ($text:expr, $($said:tt)*) => {{
        let _ = writeln!($text, $($said)*);
    }};
}

fn page(report: &Report) -> String {
    let mut text = String::new();
    verdict(&mut text, report);
    for (at, root) in report.root_causes.iter().filter_map(|id| report.finding(id)).enumerate() {
        line!(text, "\n## {}\n", say!("Root cause {}: {} {}", at + 1, root.code, root.name).told(report.lang));
        root_cause(&mut text, report, root);
    }
    suppressed(&mut text, report);
    timeline(&mut text, report);
    others(&mut text, report);
    areas(&mut text, report);
    unknowns(&mut text, report);
    text
}

fn verdict(text: &mut String, report: &Report) {
    let lang = report.lang;
    let cluster = report.cluster.as_ref();
    let name = cluster.map_or_else(
        || say!("no CephCluster was seen").told(lang),
        |it| plain(&format!("{}/{}", it.namespace, it.name)),
    );
    let context = report.context.as_ref().map(|context| plain(&format!("{context} · "))).unwrap_or_default();
    line!(text, "# {context}{}\n", say!("{}: {}", name, report.verdict.text()).told(lang));
    let version = |name: &str, version: Option<&String>| version.map(|version| format!("{name} {}", plain(version)));
    let parts = [
        version("Rook", cluster.and_then(|it| it.rook_version.as_ref())),
        version("Ceph", cluster.and_then(|it| it.ceph_version.as_ref())),
        version("Kubernetes", cluster.and_then(|it| it.kubernetes_version.as_ref())),
        Some(say!("seen {}", report.observed_at).told(lang)),
        Some(format!("kubectl-rookdoctor {}", report.tool.version)),
    ];
    line!(text, "{}", parts.into_iter().flatten().collect::<Vec<_>>().join(" · "));
}

fn root_cause(text: &mut String, report: &Report, root: &Finding) {
    let lang = report.lang;
    let severity = root.severity.text();
    let state = root.since.map_or(severity.clone(), |since| say!("{}, since {}", severity, since));
    line!(text, "{}", say!("**{}** ({})", plain(&root.summary), state).told(lang));
    if let Some(note) = root.expired_note() {
        line!(text, "\n{}", plain(&note.told(lang)));
    }
    if root.unexplained {
        let alone = say!("A symptom without a cause: none of the checks found what leads to it.");
        line!(text, "\n{}", alone.told(lang));
    }
    if !root.not_ruled_out.is_empty() {
        let codes = root.not_ruled_out.join(", ");
        let open = say!("Not ruled out as its cause, because they could not look: {}", codes);
        line!(text, "\n{}", open.told(lang));
    }
    if !root.evidence.is_empty() {
        line!(text, "\n**{}**\n", say!("Evidence").told(lang));
        root.evidence.iter().for_each(|evidence| line!(text, "{}", quoted(evidence)));
    }
    line!(text, "\n{}", say!("**Remedy:** {}", plain(&root.remedy.summary)).told(lang));
    if !root.remedy.commands.is_empty() {
        fenced(text, "sh", &root.remedy.commands.join("\n"));
    }
    let below = below(report, root);
    if !below.is_empty() {
        let explains = plural!(below.len(), "Explains 1 finding", "Explains {} findings");
        line!(text, "\n**{}**\n", explains.told(lang));
        below.iter().for_each(|finding| line!(text, "- {} {}", finding.code, plain(&finding.summary)));
    }
}

fn quoted(evidence: &Evidence) -> String {
    let field = evidence.field.as_ref().map(|field| format!(" · {}", code(field))).unwrap_or_default();
    let at = evidence.at.map(|at| format!(" · {at}")).unwrap_or_default();
    let excerpt = if evidence.excerpt.is_empty() { String::new() } else { format!(": {}", code(&evidence.excerpt)) };
    format!("- {}{field}{at}{excerpt}", plain(&evidence.from))
}

/// Everything that follows from a finding, each once.
fn below<'r>(report: &'r Report, root: &'r Finding) -> Vec<&'r Finding> {
    let mut found: Vec<&Finding> = Vec::new();
    let mut known = BTreeSet::from([root.id.as_str()]);
    let mut open = vec![root];
    while let Some(cause) = open.pop() {
        for effect in cause.consequences.iter().filter_map(|id| report.finding(id)) {
            if known.insert(&effect.id) {
                found.push(effect);
                open.push(effect);
            }
        }
    }
    found
}

/// Lines of a story; the rest is counted.
const LINES: usize = 60;

/// What happened, in order.
fn timeline(text: &mut String, report: &Report) {
    let Some(timeline) = &report.timeline else { return };
    let lang = report.lang;
    line!(text, "\n## {}\n", say!("Timeline (UTC)").told(lang));
    let lines = folded(timeline, false);
    let shown = chosen(&lines, LINES);
    if !lines.is_empty() {
        header(text, [say!("time"), say!(""), say!("kind"), say!("what"), say!("from")], lang);
    }
    for Line { mark, more, last } in shown.iter().map(|&at| &lines[at]) {
        let sign = match (mark.first_bad, mark.bad) {
            (true, _) => format!("**{}**", say!("first bad").told(lang)),
            (_, true) => say!("bad").told(lang),
            _ => String::new(),
        };
        let until = last.strftime("%F %TZ");
        let [what, from] = [&mark.what, &mark.from].map(|cell| plain(cell));
        let what = if *more > 0 { say!("{} (and {} alike, until {})", what, more, until).told(lang) } else { what };
        let kind = plain(&label(mark, lang));
        line!(text, "| {} | {sign} | {kind} | {what} | {from} |", mark.at.strftime("%F %TZ"));
    }
    let left = lines.len() - shown.len();
    let left = [
        (left > 0).then(|| say!("lines not shown: {}", left)),
        (timeline.left_out > 0).then(|| say!("marks left out, or without a time: {}", timeline.left_out)),
    ];
    left.iter().flatten().for_each(|left| line!(text, "\n{}", left.told(lang)));
    timeline.blind.iter().for_each(|blind| line!(text, "\n{}", say!("not seen: {}", plain(blind)).told(lang)));
}

/// All contexts at a glance.
fn summary(reports: &[Report]) -> String {
    let head = [say!("context"), say!("cluster"), say!("verdict"), say!("first root cause"), say!("unknown")];
    let lang = reports.first().map(|report| report.lang).unwrap_or_default();
    let mut text = String::new();
    line!(text, "## {}\n", say!("All contexts").told(lang));
    header(&mut text, head, lang);
    for report in reports {
        let name = report.cluster.as_ref().map(|it| plain(&format!("{}/{}", it.namespace, it.name)));
        let root = report.root_causes.first().and_then(|id| report.finding(id));
        let root = root.map(|root| format!("{} {}", root.code, plain(&root.summary))).unwrap_or_default();
        let unknown = report.checks.iter().filter(|check| check.status == CheckStatus::Unknown).count();
        let context = plain(report.context.as_deref().unwrap_or_default());
        line!(
            text,
            "| {context} | {} | {} | {root} | {unknown} |",
            name.unwrap_or_default(),
            report.verdict.text().told(lang)
        );
    }
    text
}

/// Whether it counts and follows from nothing but what is suppressed.
fn is_left(told: &BTreeSet<&str>, finding: &Finding) -> bool {
    finding.counts() && !told.contains(finding.id.as_str())
}

/// Ids of the root causes and of what follows from them.
fn told_with_roots(report: &Report) -> BTreeSet<&str> {
    let roots = report.root_causes.iter().filter_map(|id| report.finding(id));
    roots.flat_map(|root| below(report, root).into_iter().chain([root])).map(|finding| finding.id.as_str()).collect()
}

/// What somebody decided to live with, and what follows from it and counts all the same.
fn suppressed(text: &mut String, report: &Report) {
    let lang = report.lang;
    let told = |it: &Finding| Some((it.code.clone(), it.object().to_owned(), it.suppressed.as_ref()?.told()));
    let all: Vec<_> = report.findings.iter().filter_map(told).collect();
    let Suppressions { unused, unread } = &report.suppressions;
    let unread: Vec<&Unread> = unread.iter().filter(|it| it.why != "not-captured").collect();
    if all.is_empty() && unused.is_empty() && unread.is_empty() {
        return;
    }
    line!(text, "\n## {}\n", say!("Suppressed ({})", all.len()).told(lang));
    for (code, object, told) in &all {
        line!(text, "- {code} {}: {}", plain(object), plain(&told.told(lang)));
    }
    let with_roots = told_with_roots(report);
    for it in report.findings.iter().filter(|finding| !all.is_empty() && is_left(&with_roots, finding)) {
        line!(text, "- {}", say!("still counts: {} {}", it.code, plain(&it.summary)).told(lang));
    }
    for Unused { code, object, suppression } in unused {
        let told = plain(&suppression.told().told(lang));
        line!(text, "- {}", say!("matches nothing: {} {}: {}", code, plain(object), told).told(lang));
    }
    for Unread { from, message, .. } in unread {
        line!(
            text,
            "- {}",
            say!("not read, so nothing is suppressed by it: {}: {}", plain(from), plain(message)).told(lang)
        );
    }
}

/// What is neither a root cause nor explained by one.
fn others(text: &mut String, report: &Report) {
    let with_roots = told_with_roots(report);
    let told = |it: &Finding| with_roots.contains(it.id.as_str()) || it.suppressed.is_some();
    // What follows from suppressed findings is told with them.
    let suppressed = report.findings.iter().any(|it| it.suppressed.is_some());
    let left = |it: &Finding| suppressed && is_left(&with_roots, it);
    let others: Vec<&Finding> = report.findings.iter().filter(|it| !told(it) && !left(it)).collect();
    if others.is_empty() {
        return;
    }
    line!(text, "\n## {}\n", say!("Worth knowing").told(report.lang));
    for finding in others {
        let mark = finding.severity.text().told(report.lang);
        let mark = if finding.severity == Severity::Info { "" } else { mark.as_str() };
        let space = if mark.is_empty() { "" } else { " " };
        line!(text, "- {}{space}{mark} {}", finding.code, plain(&finding.summary));
    }
}

fn areas(text: &mut String, report: &Report) {
    let lang = report.lang;
    line!(text, "\n## {}\n", say!("The tree, from the ground up").told(lang));
    header(text, [say!("area"), say!("found"), say!("unknown"), say!("passed"), say!("n/a")], lang);
    for area in Area::ALL {
        let of_area = |code: &str| code.trim_end_matches(|c: char| c.is_ascii_digit()) == area.prefix();
        let count = |status| report.checks.iter().filter(|it| of_area(&it.code) && it.status == status).count();
        line!(
            text,
            "| {} {} | {} | {} | {} | {} |",
            area.prefix(),
            phrase(area.title()).told(lang),
            count(CheckStatus::Found),
            count(CheckStatus::Unknown),
            count(CheckStatus::Passed),
            count(CheckStatus::NotApplicable)
        );
    }
}

fn unknowns(text: &mut String, report: &Report) {
    if report.unknowns.is_empty() {
        return;
    }
    line!(text, "\n## {}\n", say!("Not seen").told(report.lang));
    header(text, [say!("what"), say!("why"), say!("needed"), say!("blinds")], report.lang);
    for unseen in &report.unknowns {
        let cells = [&unseen.fact, &unseen.message, &unseen.need].map(|cell| plain(cell));
        line!(text, "| {} | {} |", cells.join(" | "), unseen.blinds.join(", "));
    }
}

/// The first two lines of a table.
fn header<const N: usize>(text: &mut String, columns: [Text; N], lang: Lang) {
    let columns = columns.map(|column| column.told(lang));
    line!(text, "| {} |\n|{}", columns.join(" | "), "---|".repeat(N));
}

/// Text of the cluster as text: nothing in it becomes a link, a picture, a mention, a table or a tag.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // A word joiner keeps `@name` and `#1` from becoming a mention or a link to an issue.
            '@' | '#' => safe.extend([c, '\u{2060}']),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '!' | '~' | '$' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}

/// Text of the cluster as code on one line, in a table, too.
fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn fenced(text: &mut String, language: &str, body: &str) {
    let fence = "`".repeat(longest_run(body).max(2) + 1);
    line!(text, "\n{fence}{language}\n{body}\n{fence}");
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(plain("![x](http://a) <b>|@all #1"), "\\!\\[x\\](http://a) &lt;b&gt;\\|@\u{2060}all #\u{2060}1");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        let mut text = String::new();
        fenced(&mut text, "sh", "echo ```");
        assert!(text.starts_with("\n````sh\n") && text.ends_with("\n````\n"));
    }
}
