//! `examples`: the recorded clusters in this program.

use serde::Serialize;

use crate::cli::Format;
use crate::examples::ALL;
use crate::report::human::{Ink, Page};
use crate::screen::Screen;

#[derive(Serialize)]
struct Example {
    name: &'static str,
    about: &'static str,
}

pub(super) fn run(format: Format, screen: &Screen) -> anyhow::Result<()> {
    let examples: Vec<Example> =
        ALL.iter().map(|example| Example { name: example.name, about: example.about }).collect();
    super::print(screen, format, &examples, |examples| human(examples, screen.width))
}

fn human(examples: &[Example], width: usize) -> String {
    let longest = examples.iter().map(|example| example.name.len()).max().unwrap_or_default();
    let mut page = Page::new(width);
    for example in examples {
        let name = format!("{:longest$}  ", example.name);
        page.hang(&[(Ink::Command, &name)], Ink::Plain, example.about);
    }
    page.blank();
    page.line("", Ink::Dim, "kubectl rookdoctor diagnose --example NAME");
    page.finish()
}
