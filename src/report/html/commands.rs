//! Commands that are there to be pasted.

use maud::{Markup, html};

use crate::check::FixKind;
use crate::report::Finding;
use crate::say;

/// What to do about a finding, and how.
pub(super) fn remedy(finding: &Finding) -> Markup {
    let auto = finding.remedy.fix == FixKind::Auto;
    html! {
        p { (finding.remedy.summary) }
        @if auto {
            (command(&format!("kubectl rookdoctor fix {}", finding.code)))
            @if !finding.remedy.commands.is_empty() { p.note { (say!("or by hand")) } }
        }
        @for text in &finding.remedy.commands { (command(text)) }
    }
}

/// One command. It is one line, however it is wrapped; the button is there only where a script can copy.
fn command(text: &str) -> Markup {
    html! {
        div.command {
            pre { code { (text) } }
            button.copy.scripted type="button" hidden aria-label=(say!("Copy: {}", text)) data-done=(say!("Copied")) {
                (say!("Copy"))
            }
        }
    }
}
