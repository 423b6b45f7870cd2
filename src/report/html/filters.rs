//! The controls. They need the script, which shows them; without it everything is there.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{Part, words};
use crate::check::{Area, Severity};
use crate::lang::phrase;
use crate::say;

pub(super) fn bar(parts: &[Part<'_>]) -> Markup {
    let codes =
        parts.iter().flat_map(|part| &part.report.checks).filter_map(|it| crate::report::human::area_of(&it.code));
    let prefixes: BTreeSet<&str> = codes.map(Area::prefix).collect();
    html! {
        form.bar.scripted #filters hidden role="search" aria-label=(say!("Filters")) {
            label.text {
                span { (say!("Text")) }
                input #text type="search" autocomplete="off" spellcheck="false" placeholder=(say!("node, OSD, code …"));
            }
            label {
                span { (say!("Area")) }
                select #area {
                    option value="" { (say!("all areas")) }
                    @for &area in Area::ALL.iter().filter(|area| prefixes.contains(area.prefix())) {
                        option value=(area.prefix()) { (area.prefix()) " · " (phrase(area.title())) }
                    }
                }
            }
            fieldset {
                legend { (say!("Severity")) }
                @for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
                    @let word = words::severity(severity);
                    label.tick {
                        input type="checkbox" name="severity" value=(severity.word()) checked;
                        " " (word.badge())
                    }
                }
            }
            output #shown aria-live="polite"
                data-all=(say!("{} findings", "%all"))
                data-some=(say!("{} of {} findings", "%shown", "%all")) {}
            div.buttons {
                button #fold type="button" aria-pressed="false" { (say!("Unfold all")) }
                button #theme type="button" data-light=(say!("Light")) data-dark=(say!("Dark")) { (say!("Dark")) }
            }
        }
    }
}
