//! `explain`: the page of one check.

use serde::Serialize;

use crate::check::{Check, Scope};
use crate::cli::Format;
use crate::exit::Failed;
use crate::lang::page::{Block, blocks};
use crate::lang::{Lang, Text, phrase};
use crate::lookup;
use crate::report::human::{Ink, Page};
use crate::say;
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

pub(super) fn run(name: &str, format: Format, lang: Lang, screen: &Screen) -> Result<(), Failed> {
    let check = lookup::check(name).map_err(Failed::usage)?;
    super::print(screen, format, &explained(check), |explained| {
        human(explained, blocks(check.docs, lang), lang, screen.width)
    })?;
    Ok(())
}

fn explained(check: &'static Check) -> Explained {
    let link = |check: &Check, scope: Scope| Link { code: check.code, name: check.name, scope: scope.words() };
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

fn human(explained: &Explained, page_of_check: Vec<Block>, lang: Lang, width: usize) -> String {
    let mut page = Page::new(width);
    page.line("", Ink::Bold, &format!("{} {} ({})", explained.code, explained.name, explained.area));
    docs(&mut page, page_of_check);
    let reads: Vec<Text> = explained.reads.iter().map(|read| phrase(read)).collect();
    section(&mut page, say!("Reads"), &reads, lang);
    let links = |links: &[Link]| -> Vec<Text> {
        links.iter().map(|link| say!("{} {}, at {}", link.code, link.name, phrase(link.scope))).collect()
    };
    section(&mut page, say!("Its finding may be explained by"), &links(&explained.explained_by), lang);
    section(&mut page, say!("It may explain"), &links(&explained.explains), lang);
    if explained.can_fix {
        page.blank();
        let command = format!("kubectl rookdoctor fix {}", explained.code);
        let can = say!("The tool can mend it, where that is safe: ").told(lang);
        page.hang(&[(Ink::Plain, &can)], Ink::Command, &command);
    }
    let symptom = say!("A symptom: without one of these causes its finding is shown as unexplained.");
    let about_sight = say!("Tells of a loss of sight: its findings make the answer unknown, not bad.");
    for (_, note) in [(explained.symptom, symptom), (explained.about_sight, about_sight)].iter().filter(|(is, _)| *is) {
        page.blank();
        page.hang(&[], Ink::Plain, &note.told(lang));
    }
    page.finish()
}

fn section(page: &mut Page, title: Text, items: &[Text], lang: Lang) {
    if items.is_empty() {
        return;
    }
    page.heading(&title.told(lang));
    for item in items {
        page.hang(&[(Ink::Plain, "  ")], Ink::Plain, &item.told(lang));
    }
}

fn docs(page: &mut Page, blocks: Vec<Block>) {
    for block in blocks {
        match block {
            Block::Heading(text) => page.heading(&text),
            Block::Paragraph(text) => page.hang(&[(Ink::Plain, "  ")], Ink::Plain, &text),
            Block::Item(mark, text) => page.hang(&[(Ink::Plain, &format!("  {mark} "))], Ink::Plain, &text),
            Block::Code(line) => page.line("      ", Ink::Command, &line),
        }
    }
}
