//! Lines of a page: indented, wrapped to its width, painted.

use owo_colors::OwoColorize;
use textwrap::core::{Word, display_width};
use textwrap::{Options, WordSeparator, WordSplitter};

/// What a piece of text means; the colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Plain,
    Bold,
    Dim,
    Critical,
    Warning,
    Good,
    Unknown,
    Info,
    Command,
}

impl Ink {
    fn paint(self, text: &str) -> String {
        match self {
            _ if text.trim().is_empty() => text.to_owned(),
            Self::Plain => text.to_owned(),
            Self::Bold => text.bold().to_string(),
            Self::Dim => text.dimmed().to_string(),
            Self::Critical => text.red().bold().to_string(),
            Self::Warning => text.yellow().bold().to_string(),
            Self::Good => text.green().to_string(),
            Self::Unknown => text.magenta().to_string(),
            Self::Info => text.blue().to_string(),
            Self::Command => text.cyan().to_string(),
        }
    }
}

/// A page in the making.
pub struct Page {
    width: usize,
    text: String,
}

impl Page {
    pub fn new(width: usize) -> Self {
        Self { width, text: String::new() }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether nothing is on it yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn finish(self) -> String {
        self.text
    }

    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    /// One line, never wrapped.
    pub fn line(&mut self, indent: &str, ink: Ink, text: &str) {
        self.text.push_str(indent);
        self.text.push_str(&ink.paint(text));
        self.blank();
    }

    /// The name of a part of the page.
    pub fn heading(&mut self, text: &str) {
        self.blank();
        self.line("", Ink::Bold, text);
    }

    /// The name of a part of a finding.
    pub fn label(&mut self, text: &str) {
        self.blank();
        self.line("  ", Ink::Dim, text);
    }

    /// A paragraph whose first line begins with these pieces; the others are indented as far.
    pub fn hang(&mut self, first: &[(Ink, &str)], ink: Ink, text: &str) {
        let indent = first.iter().map(|(_, piece)| display_width(piece)).sum();
        self.hang_below(first, &[(Ink::Plain, &" ".repeat(indent))], ink, text);
    }

    /// The same on one line, however long.
    pub fn hang_unwrapped(&mut self, first: &[(Ink, &str)], ink: Ink, text: &str) {
        for (ink, piece) in first {
            self.text.push_str(&ink.paint(piece));
        }
        self.line("", ink, text);
    }

    /// The same, where the following lines begin with pieces of their own (the trunk of a tree).
    pub fn hang_below(&mut self, first: &[(Ink, &str)], rest: &[(Ink, &str)], ink: Ink, text: &str) {
        let width = |pieces: &[(Ink, &str)]| pieces.iter().map(|(_, piece)| display_width(piece)).sum::<usize>();
        let room = self.width.saturating_sub(width(first).max(width(rest))).max(20);
        for (at, line) in wrap(text, room).iter().enumerate() {
            for (ink, piece) in if at == 0 { first } else { rest } {
                self.text.push_str(&ink.paint(piece));
            }
            self.text.push_str(&ink.paint(line));
            self.blank();
        }
    }

    /// A quotation below where it was read; on the same line if it fits.
    pub fn quote(&mut self, from: &str, excerpt: &str) {
        if excerpt.is_empty() {
            return self.hang(&[(Ink::Plain, "    ")], Ink::Dim, from);
        }
        if 6 + display_width(from) + display_width(excerpt) <= self.width {
            let from = format!("{from}: ");
            return self.hang(&[(Ink::Plain, "    "), (Ink::Dim, &from)], Ink::Plain, excerpt);
        }
        self.hang(&[(Ink::Plain, "    ")], Ink::Dim, from);
        self.hang(&[(Ink::Plain, "      ")], Ink::Plain, excerpt);
    }
}

/// At least one line. Names and paths are not broken, at their hyphens or elsewhere, where a line has room for them.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let options =
        Options::new(width).word_splitter(WordSplitter::NoHyphenation).word_separator(WordSeparator::Custom(words));
    textwrap::wrap(text, options).into_iter().map(String::from).collect()
}

/// Words end at a space, and in Chinese where Unicode allows a line to end.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let mut begin = 0;
    Box::new(WordSeparator::AsciiSpace.find_words(line).flat_map(move |word| {
        let whole = &line[begin..begin + word.word.len() + word.whitespace.len()];
        begin += whole.len();
        split_at_wide(whole)
    }))
}

/// The parts of a word between which a line may end.
fn split_at_wide(word: &str) -> Vec<Word<'_>> {
    let (mut parts, mut begin, mut end) = (Vec::new(), 0, 0);
    for part in WordSeparator::UnicodeBreakProperties.find_words(word) {
        if end > begin && is_wide_at(&word[begin..end], &word[end..]) {
            parts.push(Word::from(&word[begin..end]));
            begin = end;
        }
        end += part.word.len() + part.whitespace.len();
    }
    parts.push(Word::from(&word[begin..]));
    parts
}

fn is_wide_at(before: &str, after: &str) -> bool {
    let wide = |c: char| display_width(c.encode_utf8(&mut [0; 4])) > 1;
    before.ends_with(wide) || after.starts_with(wide)
}

/// The page for terminals that know only ASCII: drawings have a stand-in of the same width, the rest is `?`.
pub fn ascii(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    for c in page.chars() {
        match c {
            c if c.is_ascii() => text.push(c),
            '✖' => text.push('X'),
            '▲' => text.push('!'),
            '→' => text.push('>'),
            '×' => text.push('x'),
            '✔' => text.push('+'),
            '├' | '│' => text.push('|'),
            '└' => text.push('`'),
            '─' | '·' | '–' | '—' => text.push('-'),
            '…' => text.push_str("..."),
            _ => text.push('?'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_spaces_and_between_wide_letters() {
        let lines = |text: &str| wrap(text, 13);
        assert_eq!(lines("log of rook-ceph/a-b"), ["log of", "rook-ceph/a-b"].map(String::from));
        assert_eq!(lines("节点未就绪，守护进程不可用"), ["节点未就绪，", "守护进程不可", "用"].map(String::from));
        assert_eq!(lines("节点 ash-w2 未就绪"), ["节点 ash-w2", "未就绪"].map(String::from));
    }
}
