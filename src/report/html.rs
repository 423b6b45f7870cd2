//! The report as one page that needs nothing else: no network, no font, no picture, and without script it is whole.
//!
//! Whatever is put into the page is escaped by `html!`; only our own style and script are not. They are the only ones
//! that a browser runs here, because the page's policy names their hashes and forbids everything else.

mod areas;
mod card;
mod commands;
mod filters;
mod findings;
mod fit;
mod graph;
mod head;
mod layout;
mod links;
mod outline;
mod picture;
#[cfg(test)]
mod sample;
mod tables;
mod timeline;
mod unseen;
mod verdict;
mod words;

use maud::{DOCTYPE, Markup, html};

use super::{Document, Report};
use crate::lang::{Lang, Text};
use crate::say;
use links::Links;

/// The whole page, all clusters in it.
pub fn html(document: &Document) -> String {
    let lang = document.reports().first().map(|report| report.lang).unwrap_or_default();
    words::telling_in(lang, || page(document, lang))
}

fn page(document: &Document, lang: Lang) -> String {
    let reports = document.reports();
    let alone = reports.len() == 1;
    let parts: Vec<Part<'_>> = reports.iter().enumerate().map(|(at, report)| Part::new(report, at, alone)).collect();
    let page = html! {
        (DOCTYPE)
        html lang=(lang.tag()) {
            (head::head(&parts))
            body {
                a.skip href="#main" { (say!("Skip to the diagnosis")) }
                header.top { (verdict::banner(&parts)) }
                (filters::bar(&parts))
                main #main tabindex="-1" {
                    @for part in &parts { (cluster(part, alone)) }
                }
                footer { (verdict::footer(&parts)) }
                (head::script())
            }
        }
    };
    page.into_string()
}

/// One cluster's part of the page.
struct Part<'r> {
    report: &'r Report,
    links: Links,
    /// What its anchors begin with.
    prefix: String,
    /// The rank of its sections' headings.
    rank: u8,
}

impl<'r> Part<'r> {
    fn new(report: &'r Report, at: usize, alone: bool) -> Self {
        Self { report, links: Links::of(report), prefix: format!("c{}", at + 1), rank: if alone { 2 } else { 3 } }
    }

    /// The anchor of a section. Anchors are made of our own words and numbers only.
    fn anchor(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The anchor of a finding, by its place in the report.
    fn finding(&self, at: usize) -> String {
        format!("{}-finding-{}", self.prefix, at + 1)
    }

    /// A heading so many ranks below those of the sections.
    fn heading(&self, below: u8, anchor: Option<&str>, text: &Markup) -> Markup {
        match self.rank + below {
            2 => html! { h2 id=[anchor] { (text) } },
            3 => html! { h3 id=[anchor] { (text) } },
            4 => html! { h4 id=[anchor] { (text) } },
            _ => html! { h5 id=[anchor] { (text) } },
        }
    }
}

/// A section of a cluster's part; nothing is made of what has nothing to say.
struct Section {
    name: &'static str,
    title: Text,
    /// How many things are in it, for the table of contents.
    count: Option<usize>,
    body: Markup,
}

fn sections(part: &Part<'_>) -> Vec<Section> {
    let all = [
        findings::roots(part),
        graph::section(part),
        findings::consequences(part),
        timeline::section(part),
        findings::beside(part),
        unseen::section(part),
        areas::section(part),
    ];
    all.into_iter().flatten().chain(tables::sections(part)).collect()
}

fn cluster(part: &Part<'_>, alone: bool) -> Markup {
    let sections = sections(part);
    let body = html! {
        (contents(part, &sections))
        @for section in &sections {
            @let anchor = part.anchor(section.name);
            @let heading = format!("{anchor}-heading");
            section id=(anchor) aria-labelledby=(heading) {
                (part.heading(0, Some(&heading), &html! { (section.title) }))
                (section.body)
            }
        }
    };
    if alone {
        return body;
    }
    html! { div.cluster { (verdict::of_several(part)) (body) } }
}

fn contents(part: &Part<'_>, sections: &[Section]) -> Markup {
    let label = say!("Contents of {}", verdict::name(part.report));
    html! {
        nav.contents aria-label=(label) {
            ul {
                @for section in sections {
                    li {
                        a href={ "#" (part.anchor(section.name)) } {
                            (section.title)
                            @if let Some(count) = section.count { " " span.count { (count) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{Told, report};
    use super::*;
    use crate::check::Severity;

    const HOSTILE: &str = r#"</style></script><script>x</script>"'><img src=x onerror=x> javascript:x &lt;"#;

    /// Whatever is a word of the cluster, as hostile as it can be.
    fn hostile() -> Report {
        let mut report = report(&[Told("OVN007", Severity::Critical, &[]), Told("MON002", Severity::Warning, &[0])]);
        for finding in &mut report.findings {
            finding.summary = HOSTILE.into();
            finding.remedy.summary = HOSTILE.into();
            finding.remedy.commands = vec![HOSTILE.into()];
            finding.causes.iter_mut().for_each(|cause| cause.because = HOSTILE.into());
            let evidence = crate::report::Evidence {
                from: HOSTILE.into(),
                field: Some(HOSTILE.into()),
                at: None,
                excerpt: HOSTILE.into(),
            };
            finding.evidence = vec![evidence];
        }
        report.recording = Some(crate::report::Recording { format: HOSTILE.into(), lacks: HOSTILE.into() });
        report
    }

    #[test]
    fn words_of_the_cluster_stay_words() {
        let page = html(&Document::new(vec![hostile()]));
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</style").count(), 1);
        assert!(!page.contains("<img") && page.contains("&lt;img src=x onerror=x&gt;"));
        // Within attributes the quote cannot end them, and links lead to anchors only.
        assert!(page.contains("aria-label=\"Copy: &lt;/style&gt;&lt;/script&gt;"));
        assert!(page.split("href=\"").skip(1).all(|rest| rest.starts_with('#')));
    }

    #[test]
    fn anchors_are_there_once_and_every_link_leads_to_one() {
        let page = html(&Document::new(vec![hostile(), hostile()]));
        let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
        let once: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), once.len());
        for link in page.split("href=\"#").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)) {
            assert!(once.contains(link), "{link}");
        }
    }

    #[test]
    fn the_same_report_is_the_same_page() {
        let page = || html(&Document::new(vec![hostile()]));
        assert_eq!(page(), page());
    }
}
