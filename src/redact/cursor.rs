//! A way through text that may be YAML, JSON, INI, a URL or a sentence, each escaped any number of times.

use std::ops::Range;

use super::REDACTED;
use super::values::says_nothing;

/// Where a name stands, which says how far its value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the beginning of a line: the value is the rest of it.
    Line,
    /// In a list of fields.
    Field,
    /// Before a word of its own.
    Word,
    /// `<name>value</name>`
    Tag,
    /// In a sentence.
    Prose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    Colon,
    Equals,
    Tag,
}

/// A place in a text that goes forward only.
pub struct Cursor<'t> {
    pub text: &'t [u8],
    pub at: usize,
}

/// A quote and the backslashes before it, as each level of escaping adds some.
#[derive(Clone, Copy)]
pub struct Quote {
    byte: u8,
    slashes: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t [u8] {
        &self.text[self.at.min(self.text.len())..]
    }

    pub fn blanks(&mut self) {
        self.at += self.rest().iter().take(16).take_while(|byte| b" \t".contains(byte)).count();
    }

    fn skip(&mut self, word: &[u8]) -> bool {
        let there = self.rest().len() >= word.len() && self.rest()[..word.len()].eq_ignore_ascii_case(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// Goes over a quote, in any of its spellings.
    pub fn quote(&mut self) -> Option<Quote> {
        if self.skip(b"%22") || self.skip(b"%27") {
            return Some(Quote { byte: b'%', slashes: 0 });
        }
        let slashes = self.rest().iter().take(64).take_while(|byte| **byte == b'\\').count();
        let byte = *self.rest().get(slashes)?;
        if !b"\"'`".contains(&byte) {
            return None;
        }
        self.at += slashes + 1;
        Some(Quote { byte, slashes })
    }

    pub fn separator(&mut self) -> Option<Separator> {
        let separators: [(&[u8], Separator); 7] = [
            (b"=>", Separator::Equals),
            (b":=", Separator::Equals),
            (b"==", Separator::Equals),
            (b"=", Separator::Equals),
            (b"%3D", Separator::Equals),
            (b":", Separator::Colon),
            (b">", Separator::Tag),
        ];
        if self.skip(b"%3A") {
            return Some(Separator::Colon);
        }
        separators.into_iter().find_map(|(word, separator)| self.skip(word).then_some(separator))
    }

    /// Goes from a flag to the word after it, also over the border of two list items.
    pub fn go_to_next_word(&mut self) -> bool {
        let start = self.at;
        self.quote();
        self.skip(b",");
        let from = self.at;
        self.at += self.rest().iter().take(256).take_while(|byte| byte.is_ascii_whitespace()).count();
        if self.rest().starts_with(b"- ") {
            self.at += 2;
            self.blanks();
        }
        self.at > from || (from > start && matches!(self.rest().first(), Some(b'"' | b'\'' | b'\\')))
    }

    /// Goes from a name to the field `value` right after it.
    pub fn go_to_value_field(&mut self) -> bool {
        self.quote();
        self.skip(b",");
        self.at += self.rest().iter().take(256).take_while(|byte| byte.is_ascii_whitespace()).count();
        self.quote();
        if !(self.skip(b"value") || self.skip(b"val")) {
            return false;
        }
        self.quote();
        self.blanks();
        let there = self.separator().is_some();
        self.blanks();
        there
    }

    /// The value that begins here, without its quotes.
    pub fn value(&mut self, name: &Range<usize>, place: Place) -> Option<Range<usize>> {
        if self.skip(b"[") {
            self.blanks();
        }
        if let Some(quote) = self.quote() {
            return Some(self.at..self.closing(quote));
        }
        let line = self.rest().iter().position(|byte| *byte == b'\n').unwrap_or(self.rest().len());
        let line = &self.rest()[..line];
        match line.first()? {
            b'{' if !line.starts_with(b"{{") => return None,
            b'|' | b'>' if place != Place::Tag => return self.block(name),
            _ => {}
        }
        let length = match place {
            Place::Tag => line.iter().position(|byte| *byte == b'<').unwrap_or(line.len()),
            Place::Line if !has_more_fields(line) => comment(line),
            _ => word(line),
        };
        Some(self.at..self.at + line[..length].trim_ascii_end().len())
    }

    /// Where the string ends that began with this quote.
    fn closing(&self, quote: Quote) -> usize {
        if quote.byte == b'%' {
            let end = self.rest().windows(3).position(|three| three == b"%22" || three == b"%27");
            return self.at + end.unwrap_or(word(self.rest()));
        }
        let mut slashes = 0;
        let mut bytes = self.rest().iter().enumerate().peekable();
        while let Some((at, &byte)) = bytes.next() {
            if byte == b'\\' {
                slashes += 1;
                continue;
            }
            if byte == quote.byte {
                let is_doubled =
                    byte == b'\'' && quote.slashes == 0 && bytes.peek().is_some_and(|(_, next)| **next == byte);
                let ends =
                    slashes <= quote.slashes || (slashes - quote.slashes).is_multiple_of(2 * (quote.slashes + 1));
                if is_doubled {
                    bytes.next();
                } else if ends || byte == b'\'' {
                    return self.at + at - if slashes >= quote.slashes { quote.slashes } else { slashes };
                }
            }
            slashes = 0;
        }
        self.text.len()
    }

    /// A block of YAML: the lines below that are further in than the name.
    fn block(&self, name: &Range<usize>) -> Option<Range<usize>> {
        let line = self.text[..name.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let depth = |line: &[u8]| line.iter().take_while(|byte| b" -".contains(byte)).count();
        let indent = depth(&self.text[line..name.start]);
        let first = self.rest().iter().position(|byte| *byte == b'\n')? + 1;
        if self.rest()[1..first].trim_ascii().iter().any(|byte| !b"0123456789+-".contains(byte)) {
            return Some(self.at..self.at + word(self.rest()));
        }
        let mut end = self.at + first;
        let lines = self.rest()[first..].split_inclusive(|byte| *byte == b'\n');
        for line in lines.take_while(|line| line.trim_ascii().is_empty() || depth(line) > indent) {
            end += line.len();
        }
        let (start, block) = (self.at + first, &self.text[self.at + first..end]);
        let lead = block.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let is_done = says_nothing(block.trim_ascii());
        (!is_done).then(|| start + lead.min(block.len())..start + block.trim_ascii_end().len().max(lead))
    }
}

/// Whether a line goes on with another `name=value`.
fn has_more_fields(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    words.any(|word| {
        word.iter().position(|byte| b"=:".contains(byte)).is_some_and(|at| at > 0 && word[0].is_ascii_alphabetic())
    })
}

/// The length of a line without the comment at its end.
fn comment(line: &[u8]) -> usize {
    line.windows(2).position(|two| two == b" #").unwrap_or(line.len())
}

/// The length of the word at the beginning of a line: to a blank or quote, or to what begins another field.
fn word(line: &[u8]) -> usize {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`\\<".contains(byte);
    let redacted = REDACTED.len() * usize::from(line.starts_with(REDACTED.as_bytes()));
    let mut length = redacted + line[redacted..].iter().position(ends).unwrap_or(line.len() - redacted);
    let begins_field = |rest: &[u8]| {
        let name = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte)).count();
        name > 0 && rest.get(name).is_some_and(|byte| b"=:".contains(byte))
    };
    for (at, byte) in line[..length].iter().enumerate() {
        if b",;&".contains(byte) && begins_field(&line[at + 1..length]) {
            length = at;
            break;
        }
    }
    let closers = line[..length].iter().rev().take_while(|byte| b",;)}]&".contains(byte)).count();
    length - closers
}
