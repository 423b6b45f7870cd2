//! `explain`: the page of one check.

use serde::Serialize;

use super::checks::markdown::meeting;
use crate::check::Check;
use crate::cli::Format;
use crate::exit::Failed;
use crate::lookup;
use crate::report::human::{Ink, Page};
use crate::screen::Screen;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    code: &'static str,
    name: &'static str,
    area: &'static str,
    docs: String,
    reads: Vec<&'static str>,
    explained_by: Vec<Link>,
    explains: Vec<Link>,
    /// Without a cause its finding is shown as unexplained.
    symptom: bool,
    /// Its findings tell of a loss of sight.
    about_sight: bool,
    /// The tool can mend what it finds, where that is safe.
    can_fix: bool,
}

#[derive(Serialize)]
struct Link {
    code: &'static str,
    name: &'static str,
    /// Where the two must meet.
    scope: &'static str,
}

pub(super) fn run(name: &str, format: Format, screen: &Screen) -> Result<(), Failed> {
    let check = lookup::check(name).map_err(Failed::usage)?;
    super::print(screen, format, &explained(check), |explained| human(explained, screen.width))?;
    Ok(())
}

fn explained(check: &'static Check) -> Explained {
    let link = |check: &Check, scope| Link { code: check.code, name: check.name, scope: meeting(scope) };
    let explains = crate::checks::ALL.iter().flat_map(|effect| {
        let links = effect.causes().filter(|(cause, _)| *cause == check);
        links.map(|(_, scope)| link(effect, scope))
    });
    Explained {
        code: check.code,
        name: check.name,
        area: check.area.prefix(),
        docs: check.docs.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n"),
        reads: super::checks::reads(check),
        explained_by: check.causes().map(|(cause, scope)| link(cause, scope)).collect(),
        explains: explains.collect(),
        symptom: check.symptom,
        about_sight: check.about_sight,
        can_fix: check.fix.is_some(),
    }
}

fn human(explained: &Explained, width: usize) -> String {
    let mut page = Page::new(width);
    page.line("", Ink::Bold, &format!("{} {} ({})", explained.code, explained.name, explained.area));
    docs(&mut page, &explained.docs);
    section(&mut page, "Reads", &explained.reads.iter().map(|read| (*read).to_owned()).collect::<Vec<_>>());
    let links = |links: &[Link]| {
        links.iter().map(|link| format!("{} {}, at {}", link.code, link.name, link.scope)).collect::<Vec<_>>()
    };
    section(&mut page, "Its finding may be explained by", &links(&explained.explained_by));
    section(&mut page, "It may explain", &links(&explained.explains));
    if explained.can_fix {
        page.blank();
        let command = format!("kubectl rookdoctor fix {}", explained.code);
        page.hang(&[(Ink::Plain, "The tool can mend it, where that is safe: ")], Ink::Command, &command);
    }
    if explained.symptom {
        page.blank();
        page.hang(&[], Ink::Plain, "A symptom: without one of these causes its finding is shown as unexplained.");
    }
    if explained.about_sight {
        page.blank();
        page.hang(&[], Ink::Plain, "Tells of a loss of sight: its findings make the answer unknown, not bad.");
    }
    page.finish()
}

fn section(page: &mut Page, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    page.heading(title);
    for item in items {
        page.hang(&[(Ink::Plain, "  ")], Ink::Plain, item);
    }
}

/// The little Markdown that pages are written in: headings, paragraphs, lists, code.
fn docs(page: &mut Page, docs: &str) {
    let mut paragraph = String::new();
    let mut code = false;
    for line in docs.lines().chain([""]) {
        let text = line.trim();
        let fence = text.starts_with("```");
        let item = text.starts_with("- ") || text.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
        if code || fence || item || text.is_empty() || text.starts_with('#') {
            flush(page, &mut paragraph);
        }
        match text {
            _ if fence => code = !code,
            _ if code => page.line("      ", Ink::Command, line),
            "" => {}
            heading if heading.starts_with('#') => page.heading(heading.trim_start_matches('#').trim()),
            text => {
                if !paragraph.is_empty() {
                    paragraph.push(' ');
                }
                paragraph.push_str(text);
            }
        }
    }
}

fn flush(page: &mut Page, paragraph: &mut String) {
    let text = std::mem::take(paragraph);
    match text.split_once(' ') {
        None => {}
        Some(("-", rest)) => page.hang(&[(Ink::Plain, "  - ")], Ink::Plain, rest),
        Some((number, rest)) if number.ends_with('.') && number.starts_with(|c: char| c.is_ascii_digit()) => {
            page.hang(&[(Ink::Plain, &format!("  {number} "))], Ink::Plain, rest);
        }
        Some(_) => page.hang(&[(Ink::Plain, "  ")], Ink::Plain, &text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_in_paragraphs_lists_and_code() {
        let mut page = Page::new(30);
        docs(
            &mut page,
            "# What it looks at\nSome words that go on\nuntil they wrap.\n\n- one\n- two\n```\nkubectl get  pods\n```\n1. first",
        );
        let bare = anstream::adapter::strip_str(&page.finish()).to_string();
        let lines = [
            "",
            "What it looks at",
            "  Some words that go on until",
            "  they wrap.",
            "  - one",
            "  - two",
            "      kubectl get  pods",
            "  1. first",
        ];
        assert_eq!(bare.lines().collect::<Vec<_>>(), lines);
    }
}
