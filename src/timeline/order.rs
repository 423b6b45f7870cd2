//! One order, each thing once, the first bad one marked, and no more than a reader can take.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::{MarkKind, Moment};
use crate::check::{Finding, ObjectRef, Place, Severity};
use crate::diagnosis::{Placed, below};

/// A story has at most this many marks.
const MOST: usize = 200;
/// A boot or a change may be so many seconds older than what it led to.
const LEAD: i64 = 600;
/// A pause after which what is bad is another trouble.
const PAUSE: SignedDuration = SignedDuration::from_hours(12);

/// The moments in order, and how many were left out.
pub fn ordered(mut moments: Vec<Moment>, findings: &[Placed], roots: &[usize]) -> (Vec<Moment>, usize) {
    moments.sort_by_cached_key(|it| (it.at, it.kind, it.from.clone(), it.what.english()));
    let mut moments = each_once(moments);
    let mut trouble = roots.iter().map(|&root| Trouble::of(findings, root));
    let first = trouble.find_map(|trouble| Some((trouble.first_bad(&mut moments)?, trouble)));
    let Some((first, trouble)) = first else { return bounded(moments, |moment| !moment.bad) };
    moments[first].first_bad = true;
    let belongs: Vec<bool> = moments.iter().map(|moment| trouble.has(moment)).collect();
    let mut belongs = belongs.into_iter();
    bounded(moments, |moment| {
        let belongs = belongs.next().unwrap_or_default();
        (!moment.first_bad, !(moment.bad && belongs), !moment.bad)
    })
}

/// The most telling, and of those that tell as much the newest, in their order.
fn bounded<K: Ord>(moments: Vec<Moment>, mut rank: impl FnMut(&Moment) -> K) -> (Vec<Moment>, usize) {
    let left_out = moments.len().saturating_sub(MOST);
    let mut ranked: Vec<_> = moments.iter().enumerate().map(|(at, moment)| (rank(moment), Reverse(at))).collect();
    ranked.sort();
    let kept: BTreeSet<usize> = ranked.into_iter().take(MOST).map(|(_, Reverse(at))| at).collect();
    let kept = moments.into_iter().enumerate().filter(|(at, _)| kept.contains(at));
    (kept.map(|(_, moment)| moment).collect(), left_out)
}

/// What findings quote was often read for the story as well, and several quote the same: it is told once, and
/// remembers its finding.
fn each_once(moments: Vec<Moment>) -> Vec<Moment> {
    let mut all: Vec<Moment> = Vec::new();
    // Quotations come last, whatever their time: a span may begin before it is quoted.
    let (quotes, told): (Vec<Moment>, Vec<Moment>) = moments.into_iter().partition(|moment| moment.quote);
    let mut of: HashMap<String, Vec<usize>> = HashMap::new();
    for moment in told.into_iter().chain(quotes) {
        let known = of.get(source(&moment.from)).into_iter().flatten();
        match known.copied().find(|&at| is_same(&all[at], &moment)) {
            Some(at) => all[at].merge(moment),
            None => {
                of.entry(source(&moment.from).to_owned()).or_default().push(all.len());
                all.push(moment);
            }
        }
    }
    all.sort_by_key(|moment| (moment.at, moment.kind));
    all
}

/// The log, the event or the object, without the field.
fn source(from: &str) -> &str {
    if is_said(from) {
        return from;
    }
    let end = from.match_indices(' ').nth(1).map_or(from.len(), |(at, _)| at);
    &from[..end]
}

fn is_said(from: &str) -> bool {
    from.starts_with("log of ") || from.starts_with("event ")
}

/// Whether they tell the same of one source: the same words, or a quotation from what the other has whole.
/// Kubernetes rounds to seconds what others tell exactly.
fn is_same(known: &Moment, again: &Moment) -> bool {
    let within = (known.at.as_second()..=known.until.as_second()).contains(&again.at.as_second());
    if !within {
        return false;
    }
    let (what, words) = (known.what.english(), again.what.english());
    if !again.quote {
        return known.from == again.from && what == words;
    }
    // Of a log it must be this line; of an event, or of one object in one second, there is but one thing to tell.
    match known.from.starts_with("log of ") {
        true => shape(&what).starts_with(&shape(&words)),
        false => is_said(&known.from) || known.at.as_second() == again.at.as_second(),
    }
}

impl Moment {
    /// Keeps its own words, which say more than a quotation.
    fn merge(&mut self, other: Self) {
        self.bad |= other.bad && !self.may_begin;
        self.finding = self.finding.or(other.finding);
        self.places.extend(other.places);
    }
}

/// A root cause and all that it explains.
struct Trouble<'d> {
    findings: BTreeSet<usize>,
    objects: Vec<&'d ObjectRef>,
    /// Those of the root cause alone.
    guilty: &'d [ObjectRef],
    places: BTreeSet<&'d Place>,
    since: Option<Timestamp>,
}

impl<'d> Trouble<'d> {
    fn of(all: &'d [Placed], root: usize) -> Self {
        let mut findings = below(all, root);
        findings.retain(|&at| all[at].finding.severity > Severity::Info);
        let since = findings.iter().filter_map(|&at| all[at].finding.since).min();
        findings.insert(root);
        let each = || findings.iter().map(|&at| &all[at].finding);
        let root: &Finding = &all[root].finding;
        Self {
            objects: each().flat_map(|finding| &finding.objects).collect(),
            guilty: &root.objects,
            places: each().flat_map(|finding| &finding.at).collect(),
            since: root.since.or(since),
            findings,
        }
    }

    fn has(&self, moment: &Moment) -> bool {
        match (moment.finding, &moment.about) {
            (Some(finding), _) => self.findings.contains(&finding),
            (None, Some(about)) if self.objects.contains(&about) => true,
            _ => moment.places.iter().any(|place| self.places.contains(place)),
        }
    }

    /// Whether it is one that this trouble may have begun with.
    fn is_bad(&self, moment: &Moment) -> bool {
        let began = match moment.kind {
            MarkKind::Boot => true,
            _ => moment.about.as_ref().is_some_and(|about| self.guilty.contains(about)),
        };
        self.has(moment) && (moment.bad || (moment.may_begin && began))
    }

    /// The earliest, of moments in order; it is bad then, whatever it was.
    fn first_bad(&self, moments: &mut [Moment]) -> Option<usize> {
        let bad = |at: &usize| self.is_bad(&moments[*at]);
        let first = match self.since {
            // Some times are told in whole seconds.
            Some(since) => {
                let is_since = |at: &usize| {
                    let lead = if moments[*at].bad { 0 } else { LEAD };
                    moments[*at].at.as_second() >= since.as_second() - lead
                };
                (0..moments.len()).filter(is_since).find(bad)
            }
            None => {
                let all: Vec<usize> = (0..moments.len()).filter(bad).collect();
                last_row(&all, |at| moments[at].at)
            }
        }?;
        moments[first].bad = true;
        Some(first)
    }
}

/// The first of those at the end that follow each other without a pause.
fn last_row(all: &[usize], time: impl Fn(usize) -> Timestamp) -> Option<usize> {
    let pause = |pair: &[usize]| time(pair[1]).duration_since(time(pair[0])) > PAUSE;
    let after = all.windows(2).rposition(pause).map_or(0, |at| at + 1);
    all.get(after).copied()
}

/// A text without what differs from one object or time to the next: words with digits, or with parts.
pub fn shape(text: &str) -> String {
    let plain = |word: &str| !word.contains(|c: char| c.is_ascii_digit() || "-/\"[".contains(c));
    let words = text.split_whitespace().map(|word| if plain(word) { word } else { "#" });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Check, Remedy};
    use crate::checks::node::node_not_ready;
    use crate::checks::osd::osd_down;
    use crate::say;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_750_000_000 + minute * 60).unwrap()
    }

    fn moment(minute: i64, what: &str) -> Moment {
        Moment::new(at(minute), MarkKind::Event, say!("{}", what), format!("event {what} of Pod a"))
    }

    fn placed(check: &'static Check, node: &str, since: Option<i64>) -> Placed {
        let remedy = Remedy::advice(say!("none"));
        let finding = Finding::critical(ObjectRef::node(node), say!("broken"), remedy).at([Place::node(node)]);
        Placed {
            id: format!("{}/{node}", check.code),
            check,
            finding: finding.since(since.map(at)),
            causes: vec![],
            consequences: vec![],
            not_ruled_out: vec![],
        }
    }

    /// The words of the first bad one.
    fn first(moments: Vec<Moment>, findings: &[Placed], roots: &[usize]) -> Option<String> {
        let (told, _) = ordered(moments, findings, roots);
        assert!(told.iter().filter(|moment| moment.first_bad).all(|moment| moment.bad));
        told.iter().find(|moment| moment.first_bad).map(|moment| moment.what.english())
    }

    fn on(node: &str) -> [Place; 1] {
        [Place::node(node)]
    }

    #[test]
    fn an_old_or_foreign_warning_is_not_where_it_began() {
        let story = || {
            vec![
                moment(0, "old").bad(true).at(on("w1")),
                moment(100, "foreign").bad(true).at(on("w2")),
                moment(101, "good").at(on("w1")),
                moment(102, "first").bad(true).at(on("w1")),
                moment(103, "second").bad(true).at(on("w1")),
            ]
        };
        let root = |since| [placed(&node_not_ready::CHECK, "w1", since)];
        assert_eq!(first(story(), &root(Some(99)), &[0]).as_deref(), Some("first"));
        assert_eq!(first(story(), &root(Some(103)), &[0]).as_deref(), Some("second"));
        assert_eq!(first(story(), &root(None), &[0]).as_deref(), Some("old"), "within half a day");
        assert_eq!(first(story(), &[placed(&node_not_ready::CHECK, "w3", None)], &[0]), None);
        assert_eq!(first(story(), &[], &[]), None, "a healthy cluster has no trouble");
        let mut late = story();
        late[0].at = at(-800);
        assert_eq!(first(late, &root(None), &[0]).as_deref(), Some("first"), "before a long pause");
    }

    #[test]
    fn what_is_explained_tells_the_time_where_the_cause_does_not() {
        let mut findings = [placed(&node_not_ready::CHECK, "w1", None), placed(&osd_down::CHECK, "w2", Some(50))];
        findings[0].consequences.push(1);
        let story = vec![moment(10, "old").bad(true).at(on("w1")), moment(60, "first").bad(true).at(on("w2"))];
        assert_eq!(first(story, &findings, &[0]).as_deref(), Some("first"));
    }

    #[test]
    fn a_root_without_a_mark_leaves_it_to_the_next() {
        let findings = [placed(&node_not_ready::CHECK, "w9", Some(0)), placed(&osd_down::CHECK, "w1", Some(0))];
        let story = vec![moment(5, "of the second").bad(true).at(on("w1"))];
        assert_eq!(first(story, &findings, &[0, 1]).as_deref(), Some("of the second"));
    }

    #[test]
    fn a_boot_counts_where_it_belongs() {
        let boot = |node: &str| {
            let boot = Moment::new(at(95), MarkKind::Boot, say!("boot {}", node), "Node");
            boot.about(ObjectRef::node(node)).may_begin()
        };
        let story = |node| vec![boot(node), moment(100, "first").bad(true).at(on("w1"))];
        let root = [placed(&node_not_ready::CHECK, "w1", Some(100))];
        assert_eq!(first(story("w1"), &root, &[0]).as_deref(), Some("boot w1"));
        assert_eq!(first(story("w2"), &root, &[0]).as_deref(), Some("first"));
        let later = [placed(&node_not_ready::CHECK, "w1", Some(110))];
        assert_eq!(first(story("w1"), &later, &[0]), None, "fifteen minutes before");
    }

    #[test]
    fn the_same_is_told_once_and_in_a_stable_order() {
        let event = moment(0, "BackOff: Back-off restarting (7 times)").bad(true).until(at(9));
        let quote = Moment { at: at(9), until: at(9), quote: true, finding: Some(3), ..event.clone() };
        let other = moment(0, "A: first by its words");
        let (one, _) = ordered(vec![quote.clone(), event.clone(), other.clone()], &[], &[]);
        let (again, _) = ordered(vec![other, event, quote], &[], &[]);
        let told = |all: &[Moment]| all.iter().map(|it| it.what.english()).collect::<Vec<_>>();
        assert_eq!(told(&one), ["A: first by its words", "BackOff: Back-off restarting (7 times)"]);
        assert_eq!(told(&one), told(&again));
        assert_eq!(one[1].finding, Some(3));
    }

    #[test]
    fn what_is_too_much_is_counted_and_never_the_first_bad_one() {
        let mut story = vec![moment(0, "first").bad(true).at(on("w1"))];
        story.extend((1..500).map(|minute| moment(minute, &format!("noise {minute}"))));
        story.extend((500..900).map(|minute| moment(minute, &format!("bad {minute}")).bad(true)));
        let (told, left_out) = ordered(story, &[placed(&node_not_ready::CHECK, "w1", Some(0))], &[0]);
        assert_eq!((told.len(), left_out), (MOST, 700));
        assert!(told[0].first_bad);
        assert!(told.is_sorted_by_key(|moment| moment.at) && told.iter().all(|moment| moment.bad));
    }
}
