//! What could not be seen, together where the same thing would open it.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::{Part, Section, tables};
use crate::report::Unseen;
use crate::say;

/// Facts named per reason; the rest is folded.
const FACTS: usize = 6;

pub(super) fn section(part: &Part<'_>) -> Option<Section> {
    let groups = groups(&part.report.unknowns);
    let table = html! {
        table.wide {
            caption.unseen { (say!("What could not be seen, why, and what would open it")) }
            thead {
                tr {
                    th scope="col" { (say!("What")) }
                    th scope="col" { (say!("Why")) }
                    th scope="col" { (say!("What opens it")) }
                    th scope="col" { (say!("Blind checks")) }
                }
            }
            tbody { @for group in &groups { (row(group)) } }
        }
    };
    let title = say!("What could not be seen");
    let body = tables::sideways(&title, table);
    (!groups.is_empty()).then_some(Section { name: "unseen", title, count: Some(part.report.unknowns.len()), body })
}

/// In the order of the report.
fn groups(unknowns: &[Unseen]) -> Vec<Vec<&Unseen>> {
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut groups: Vec<Vec<&Unseen>> = Vec::new();
    for unseen in unknowns {
        let at = *places.entry((&unseen.need, &unseen.message)).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push(unseen);
    }
    groups
}

fn row(group: &[&Unseen]) -> Markup {
    let Some(same) = group.first() else { return html! {} };
    let (shown, rest) = group.split_at(group.len().min(FACTS));
    let blinds: BTreeSet<&str> = group.iter().flat_map(|unseen| &unseen.blinds).map(String::as_str).collect();
    let list = |facts: &[&Unseen]| html! { ul.plain { @for unseen in facts { li { (unseen.fact) } } } };
    html! {
        tr {
            th scope="row" {
                (list(shown))
                @if !rest.is_empty() {
                    details.rest { summary { (say!("and {} more", rest.len())) } (list(rest)) }
                }
            }
            td { (same.message) }
            td { (same.need) }
            td { @for code in blinds { code { (code) } " " } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_same_thing_opens_stands_together() {
        let unseen = |fact: &str, need: &str| Unseen {
            fact: fact.into(),
            why: "forbidden".into(),
            message: "m".into(),
            blinds: Vec::new(),
            need: need.into(),
        };
        let unknowns = [unseen("a", "x"), unseen("b", "y"), unseen("c", "x")];
        let facts: Vec<Vec<&str>> =
            groups(&unknowns).iter().map(|group| group.iter().map(|it| it.fact.as_str()).collect()).collect();
        assert_eq!(facts, [vec!["a", "c"], vec!["b"]]);
    }
}
