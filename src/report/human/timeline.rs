//! The story for a person: a line for each mark, alike ones folded, around what the trouble began with.

use jiff::Timestamp;
use textwrap::core::display_width;

use super::{Ink, Look, Page};
use crate::lang::Text;
use crate::report::clean::clean;
use crate::report::timeline::{Line, chosen, folded, label};
use crate::report::{Mark, MarkKind, Object, Report};
use crate::say;

/// Lines shown unless all are asked for.
const SHOWN: usize = 24;
/// Longest message.
const LENGTH: usize = 200;
/// A pause of more seconds than this is told.
const PAUSE: i64 = 1800;

pub(super) fn draw(page: &mut Page, report: &Report, look: Look) {
    let Some(timeline) = &report.timeline else { return };
    page.heading(&say!("TIMELINE (UTC)").told(report.lang));
    let lines = folded(timeline, look.verbose);
    let shown = chosen(&lines, if look.verbose { lines.len() } else { SHOWN });
    let mut before: Option<Timestamp> = None;
    for line in shown.iter().map(|&at| &lines[at]) {
        pause(page, report, before, line.mark.at);
        draw_line(page, report, line, look);
        before = Some(line.last.max(before.unwrap_or(line.last)));
    }
    let dim = |page: &mut Page, text: String| page.hang(&[(Ink::Plain, "  ")], Ink::Dim, &text);
    if timeline.entries.is_empty() && timeline.blind.is_empty() {
        dim(page, say!("nothing that bears a time was seen").told(report.lang));
    }
    if !report.root_causes.is_empty() && !timeline.entries.iter().any(|mark| mark.first_bad) {
        dim(page, say!("where the trouble began is not among what was seen").told(report.lang));
    }
    if shown.len() < lines.len() {
        dim(page, say!("lines not shown: {} (-v shows all)", lines.len() - shown.len()).told(report.lang));
    }
    if timeline.left_out > 0 {
        dim(page, say!("marks left out, or without a time: {}", timeline.left_out).told(report.lang));
    }
    for blind in &timeline.blind {
        page.hang(&[(Ink::Unknown, "? ")], Ink::Plain, blind);
    }
    // What follows without a heading stands apart.
    if report.verdict == super::Verdict::Healthy && !look.verbose {
        page.blank();
    }
}

/// The day where it changes, and how long nothing was told.
fn pause(page: &mut Page, report: &Report, before: Option<Timestamp>, at: Timestamp) {
    let day = |at: Timestamp| at.strftime("%F").to_string();
    let gap = before.map_or(0, |before| at.duration_since(before).as_secs());
    let later =
        if gap > PAUSE { format!(" ({})", say!("{} later", span(gap)).told(report.lang)) } else { String::new() };
    if before.is_none_or(|before| day(before) != day(at)) {
        page.line("  ", Ink::Bold, &format!("{}{later}", day(at)));
    } else if !later.is_empty() {
        page.line("  ", Ink::Dim, later.trim_start());
    }
}

/// `42 min`, `3 h 12 min`, `9 d 4 h`
fn span(seconds: i64) -> Text {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours) {
        (0, 0) => say!("{} min", minutes),
        (0, _) => say!("{} h {} min", hours, minutes % 60),
        _ => say!("{} d {} h", days, hours % 24),
    }
}

fn draw_line(page: &mut Page, report: &Report, line: &Line<'_>, look: Look) {
    let Line { mark, more, last } = line;
    let (ink, sign) = match (mark.first_bad, mark.bad) {
        (true, _) => (Ink::Critical, "→ ✖ "),
        (_, true) => (Ink::Warning, "  ▲ "),
        _ => (Ink::Plain, "    "),
    };
    let time = format!("{} ", mark.at.strftime("%T"));
    let kind = label(mark, report.lang);
    let kind = format!("{kind}{} ", " ".repeat(8_usize.saturating_sub(display_width(&kind))));
    let what = brief(mark, look);
    let mut what = if mark.first_bad { say!("FIRST BAD: {}", what).told(report.lang) } else { what };
    if *more > 0 {
        what = say!("{} (and {} alike, until {})", what, more, last.strftime("%TZ")).told(report.lang);
    }
    let text_ink = if mark.first_bad { Ink::Bold } else { Ink::Plain };
    page.hang(&[(Ink::Dim, &time), (ink, sign), (Ink::Dim, &kind)], text_ink, &what);
    if mark.first_bad || look.verbose {
        let indent = " ".repeat(time.len() + 4 + display_width(&kind));
        page.hang(&[(Ink::Plain, &indent)], Ink::Dim, &say!("from {}", mark.from).told(report.lang));
    }
}

/// What happened, with whom it is about where the words do not say; a long message is cut unless all is asked for.
fn brief(mark: &Mark, look: Look) -> String {
    let named = |about: &&Object| !mark.what.contains(&about.name) && mark.kind != MarkKind::Finding;
    let about = mark.about.as_ref().filter(named).filter(|_| !mark.from.starts_with("log of "));
    let whole =
        about.map_or_else(|| mark.what.clone(), |about| format!("{} {}: {}", about.kind, about.name, mark.what));
    if look.verbose { whole } else { clean(&whole, LENGTH) }
}
