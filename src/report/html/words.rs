//! The words that several sections share, each with the mark that says the same without colour.

use std::cell::Cell;

use maud::{Markup, Render, html};

use crate::check::{Area, Severity, Text};
use crate::lang::Lang;
use crate::report::{CheckStatus, Report, Verdict};
use crate::say;

thread_local! {
    /// What the page is told in that is being made on this thread: `html!` renders a text without asking for more.
    static LANG: Cell<Lang> = const { Cell::new(Lang::English) };
}

/// Makes a page in a language.
pub(super) fn telling_in<T>(lang: Lang, make: impl FnOnce() -> T) -> T {
    let before = LANG.replace(lang);
    let made = make();
    LANG.set(before);
    made
}

/// A sentence of ours in the language of the page.
pub(super) fn told(text: &Text) -> String {
    text.told(LANG.get())
}

impl Render for Text {
    fn render_to(&self, page: &mut String) {
        told(self).render_to(page);
    }
}

/// A mark, the class that colours it, and the word for it.
pub(super) struct Word {
    pub class: &'static str,
    pub mark: &'static str,
    pub word: Text,
}

impl Word {
    /// Mark and word.
    pub fn badge(&self) -> Markup {
        html! { span.badge.(self.class) { span aria-hidden="true" { (self.mark) " " } (self.word) } }
    }

    /// The mark alone; the word is there for who does not see it.
    pub fn sign(&self) -> Markup {
        html! { span.sign.(self.class) { span aria-hidden="true" { (self.mark) } span.unseen { (self.word) } } }
    }
}

pub(super) fn severity(severity: Severity) -> Word {
    match severity {
        Severity::Critical => Word { class: "critical", mark: "✖", word: say!("critical") },
        Severity::Warning => Word { class: "warning", mark: "▲", word: say!("warning") },
        Severity::Info => Word { class: "info", mark: "i", word: say!("info") },
    }
}

pub(super) fn verdict(verdict: Verdict) -> Word {
    match verdict {
        Verdict::Critical => Word { class: "critical", mark: "✖", word: say!("critical") },
        Verdict::Warning => Word { class: "warning", mark: "▲", word: say!("warning") },
        Verdict::Unknown => Word { class: "unknown", mark: "?", word: say!("unknown") },
        Verdict::Healthy => Word { class: "good", mark: "✔", word: say!("healthy") },
    }
}

pub(super) fn status(status: CheckStatus) -> Word {
    match status {
        CheckStatus::Found => Word { class: "found", mark: "●", word: say!("found") },
        CheckStatus::Unknown => Word { class: "unknown", mark: "?", word: say!("unknown") },
        CheckStatus::Passed => Word { class: "good", mark: "✔", word: say!("passed") },
        CheckStatus::NotApplicable => Word { class: "none", mark: "–", word: say!("does not apply") },
    }
}

pub(super) fn area(area: Area) -> Text {
    match area {
        Area::Access => say!("Can we see?"),
        Area::Node => say!("The ground: nodes, clocks, DNS"),
        Area::Net => say!("Multus and network attachments"),
        Area::Ovn => say!("Kube-OVN"),
        Area::Opr => say!("The Rook operator"),
        Area::Mon => say!("Monitors"),
        Area::Osd => say!("OSDs"),
        Area::Ceph => say!("Data and services"),
        Area::Csi => say!("CSI"),
        Area::Img => say!("Images and versions"),
        Area::Ext => say!("External cluster"),
    }
}

/// `10:34:12Z (8m ago)`, and the whole of it for programs.
pub(super) fn time(at: jiff::Timestamp, report: &Report) -> Markup {
    html! { time datetime=(at.to_string()) { (crate::report::human::when(at, report)) } }
}
