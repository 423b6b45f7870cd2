//! What follows from what, as a nested list: the picture's equal for who does not see it.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{Part, card};
use crate::say;

/// Every root with what follows from it; each finding once, below the first of its nearest causes.
pub(super) fn outline(part: &Part<'_>) -> Markup {
    let mut told = BTreeSet::new();
    html! {
        ul.outline {
            @for &root in &part.links.roots { li { (line(part, None, root)) (below(part, root, &mut told)) } }
        }
    }
}

fn below(part: &Part<'_>, cause: usize, told: &mut BTreeSet<usize>) -> Markup {
    let effects = part.links.effects(cause);
    let (before, fresh): (Vec<usize>, Vec<usize>) = effects.iter().partition(|effect| told.contains(effect));
    told.extend(&fresh);
    if effects.is_empty() {
        return html! {};
    }
    html! {
        ul {
            @for effect in fresh { li { (line(part, Some(cause), effect)) (below(part, effect, told)) } }
            @for effect in before { li { span.note { (say!("also, see above:")) } " " (line(part, Some(cause), effect)) } }
        }
    }
}

fn line(part: &Part<'_>, cause: Option<usize>, at: usize) -> Markup {
    let because = cause.and_then(|cause| part.links.direct.get(&(cause, at)));
    html! {
        (card::reference(part, at))
        @if let Some(because) = because { " " span.because { (because) } }
    }
}
