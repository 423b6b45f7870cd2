//! The story of a cluster as scripts read it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::clean::{self, clean};
use super::{Object, object, sentence};
use crate::lang::{Lang, Text};
use crate::say;
pub use crate::timeline::MarkKind;
use crate::timeline::{Moment, Story, shape};

/// What happened, in order.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// Oldest first.
    pub entries: Vec<Mark>,
    /// What could not be read, and so may be missing.
    pub blind: Vec<String>,
    /// How many marks there are beyond those in `entries`.
    pub left_out: usize,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When it began.
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub kind: MarkKind,
    pub what: String,
    pub about: Option<Object>,
    /// Where it was read.
    pub from: String,
    pub bad: bool,
    /// Where the present trouble begins, as far as can be told; at most one of all has it.
    pub first_bad: bool,
}

pub(super) fn timeline(story: &Story, lang: Lang) -> Timeline {
    Timeline {
        entries: story.moments.iter().map(|moment| mark(moment, lang)).collect(),
        blind: story.blind.iter().map(|text| sentence(text.told(lang))).collect(),
        left_out: story.left_out,
    }
}

fn mark(moment: &Moment, lang: Lang) -> Mark {
    Mark {
        at: moment.at,
        kind: moment.kind,
        what: clean(&moment.what.told(lang), clean::EXCERPT),
        about: moment.about.as_ref().map(object),
        from: sentence(&moment.from),
        bad: moment.bad,
        first_bad: moment.first_bad,
    }
}

/// Lines before and after the first bad one that are always shown.
const AROUND: usize = 3;
/// Alike marks within so many seconds are one line.
const TOGETHER: i64 = 600;
/// Of so many lines before, the one that is alike is looked for.
const NEAR: usize = 24;

/// A mark, and those like it soon after.
pub(crate) struct Line<'t> {
    pub mark: &'t Mark,
    pub more: usize,
    pub last: Timestamp,
}

/// Marks that differ only in names and numbers, soon after each other, as one; the first bad one stands alone.
pub(crate) fn folded(timeline: &Timeline, all: bool) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for mark in &timeline.entries {
        let alike = |line: &&mut Line<'_>| {
            let soon = mark.at.duration_since(line.last).as_secs() <= TOGETHER;
            !line.mark.first_bad && soon && line.mark.bad == mark.bad && line.mark.kind == mark.kind
        };
        let same = |line: &&mut Line<'_>| alike(line) && gist(&line.mark.what) == gist(&mark.what);
        match lines.iter_mut().rev().take(NEAR).find(same).filter(|_| !all && !mark.first_bad) {
            Some(line) => (line.more, line.last) = (line.more + 1, mark.at),
            None => lines.push(Line { mark, more: 0, last: mark.at }),
        }
    }
    lines
}

/// The beginning of a text without names and numbers.
fn gist(what: &str) -> String {
    shape(what).split(' ').take(12).collect::<Vec<_>>().join(" ")
}

/// What is shown of them: what is around the first bad one, then what is bad, then the rest; the nearer the first
/// bad one, or else the newer, the sooner.
pub(crate) fn chosen(lines: &[Line<'_>], most: usize) -> Vec<usize> {
    let first = lines.iter().position(|line| line.mark.first_bad);
    let distance = |at: usize| first.map_or(lines.len() - at, |first| at.abs_diff(first));
    let is_near = |at: usize| first.is_some() && distance(at) <= AROUND;
    let mut ranked: Vec<usize> = (0..lines.len()).collect();
    ranked.sort_by_key(|&at| (Reverse(is_near(at)), !lines[at].mark.bad, distance(at)));
    let kept: BTreeSet<usize> = ranked.into_iter().take(most).collect();
    kept.into_iter().collect()
}

/// A finding's code says more than that it is one.
pub(crate) fn label(mark: &Mark, lang: Lang) -> String {
    let code = mark.from.split(' ').next().filter(|_| mark.kind == MarkKind::Finding);
    let code = code.filter(|code| code.ends_with(|c: char| c.is_ascii_digit()));
    code.map_or_else(|| word(mark.kind).told(lang), str::to_owned)
}

/// The word that stands for it in lines and tables.
fn word(kind: MarkKind) -> Text {
    match kind {
        MarkKind::Boot => say!("boot"),
        MarkKind::Node => say!("node"),
        MarkKind::Change => say!("change"),
        MarkKind::Restart => say!("restart"),
        MarkKind::Failover => say!("failover"),
        MarkKind::Operator => say!("operator"),
        MarkKind::Health => say!("health"),
        MarkKind::Crash => say!("crash"),
        MarkKind::Event => say!("event"),
        MarkKind::Log => say!("log"),
        MarkKind::Finding => say!("finding"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(second: i64, what: &str, first_bad: bool) -> Mark {
        Mark {
            at: Timestamp::from_second(1_750_000_000 + second).unwrap(),
            kind: MarkKind::Event,
            what: what.to_owned(),
            about: None,
            from: "event".to_owned(),
            bad: true,
            first_bad,
        }
    }

    fn story(entries: Vec<Mark>) -> Timeline {
        Timeline { entries, blind: Vec::new(), left_out: 0 }
    }

    #[test]
    fn alike_marks_are_folded() {
        let story = story(vec![
            mark(0, "pod osd-1 became unready", true),
            mark(1, "pod osd-2 became unready", false),
            mark(2, "container osd ended", false),
            mark(3, "pod osd-3 became unready", false),
            mark(4000, "pod osd-4 became unready", false),
        ]);
        let told = |all| folded(&story, all).iter().map(|line| (line.mark.what.clone(), line.more)).collect::<Vec<_>>();
        let words = |text: &str, more| (text.to_owned(), more);
        let expected = [
            words("pod osd-1 became unready", 0),
            words("pod osd-2 became unready", 1),
            words("container osd ended", 0),
            words("pod osd-4 became unready", 0),
        ];
        assert_eq!(told(false), expected);
        assert_eq!(told(true).len(), 5);
    }

    #[test]
    fn what_is_around_the_first_bad_one_is_always_shown() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let mut entries: Vec<Mark> = (0..).zip(names).map(|(at, name)| mark(at * 1000, name, at == 5)).collect();
        entries[4].bad = false;
        let story = story(entries);
        let lines = folded(&story, false);
        assert_eq!(chosen(&lines, 7), [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(chosen(&lines, 100).len(), lines.len());
    }
}
