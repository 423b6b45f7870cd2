//! The page of a check, block by block: a heading, a paragraph, an item of a list, code.

use super::{Lang, catalogue};

/// A part of a page that is told as one.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    Heading(String),
    Paragraph(String),
    /// The mark (`-`, `1.`) and the words.
    Item(String, String),
    /// A line of code, never translated.
    Code(String),
}

impl Block {
    fn words(&mut self) -> Option<&mut String> {
        match self {
            Self::Heading(text) | Self::Paragraph(text) | Self::Item(_, text) => Some(text),
            Self::Code(_) => None,
        }
    }

    /// What is looked up in the catalogue.
    pub fn template(&mut self) -> Option<&str> {
        self.words().map(|text| text.as_str())
    }
}

/// The blocks of a page that is written in a little Markdown: headings, paragraphs, lists, code.
pub fn blocks(docs: &str, lang: Lang) -> Vec<Block> {
    let mut blocks = english(docs);
    for text in blocks.iter_mut().filter_map(Block::words) {
        if let Some(told) = catalogue::translation(lang, text) {
            told.clone_into(text);
        }
    }
    blocks
}

fn english(docs: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open = None;
    let mut code = false;
    for line in docs.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        let text = line.trim();
        if text.starts_with("```") {
            code = !code;
            blocks.extend(open.take());
        } else if code {
            blocks.push(Block::Code(line.to_owned()));
        } else if let Some(heading) = text.strip_prefix('#') {
            blocks.extend(open.take());
            blocks.push(Block::Heading(heading.trim_start_matches('#').trim().to_owned()));
        } else if let Some((mark, words)) = item(text) {
            blocks.extend(open.replace(Block::Item(mark.to_owned(), words.to_owned())));
        } else if text.is_empty() {
            blocks.extend(open.take());
        } else {
            match open.as_mut().and_then(Block::words) {
                Some(words) => {
                    words.push(' ');
                    words.push_str(text);
                }
                None => open = Some(Block::Paragraph(text.to_owned())),
            }
        }
    }
    blocks.extend(open);
    blocks
}

/// `- words`, `1. words`
fn item(text: &str) -> Option<(&str, &str)> {
    let (mark, words) = text.split_once(' ')?;
    let number = mark.strip_suffix('.').is_some_and(|number| number.parse::<u8>().is_ok());
    (mark == "-" || number).then_some((mark, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_paragraphs_lists_and_code() {
        let docs = " # What it looks at\n Some words that go on\n until they end.\n\n - one\n - two\n   more\n ```\n kubectl get  pods\n ```\n 1. first\n";
        let item = |mark: &str, words: &str| Block::Item(mark.into(), words.into());
        let expected = [
            Block::Heading("What it looks at".into()),
            Block::Paragraph("Some words that go on until they end.".into()),
            item("-", "one"),
            item("-", "two more"),
            Block::Code("kubectl get  pods".into()),
            item("1.", "first"),
        ];
        assert_eq!(blocks(docs, Lang::English), expected);
    }
}
