//! The words that several sections share, each with the mark that says the same without colour.

use std::cell::Cell;

use maud::{Markup, Render, html};

use crate::check::{Severity, Text};
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
    let (class, mark) = match severity {
        Severity::Critical => ("critical", "✖"),
        Severity::Warning => ("warning", "▲"),
        Severity::Info => ("info", "i"),
    };
    Word { class, mark, word: severity.text() }
}

pub(super) fn verdict(verdict: Verdict) -> Word {
    let (class, mark) = match verdict {
        Verdict::Critical => ("critical", "✖"),
        Verdict::Warning => ("warning", "▲"),
        Verdict::Unknown => ("unknown", "?"),
        Verdict::Healthy => ("good", "✔"),
    };
    Word { class, mark, word: verdict.text() }
}

pub(super) fn status(status: CheckStatus) -> Word {
    match status {
        CheckStatus::Found => Word { class: "found", mark: "●", word: say!("found") },
        CheckStatus::Unknown => Word { class: "unknown", mark: "?", word: say!("unknown") },
        CheckStatus::Passed => Word { class: "good", mark: "✔", word: say!("passed") },
        CheckStatus::NotApplicable => Word { class: "none", mark: "–", word: say!("does not apply") },
    }
}

/// `10:34:12Z (8m ago)`, and the whole of it for programs.
pub(super) fn time(at: jiff::Timestamp, report: &Report) -> Markup {
    html! { time datetime=(at.to_string()) { (crate::report::human::when(at, report)) } }
}
