//! Changes within a JSON text that leave everything else as somebody wrote it: blanks, the order of keys, keys that
//! nobody here knows.

use std::ops::Range;

/// A value in a text, and where it stands.
#[derive(Debug)]
pub struct Part {
    /// Of a member of an object; empty otherwise.
    pub key: String,
    /// From the first byte of the key, or of the value where there is none, to behind the value.
    pub whole: Range<usize>,
    pub value: Range<usize>,
    /// Members or elements.
    pub parts: Vec<Part>,
}

impl Part {
    /// The value that a text holds; none if it is not JSON.
    pub fn parse(text: &str) -> Option<Self> {
        // Whether it is JSON decides a parser that everybody uses; here it is only measured.
        serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
        let from = blanks(text.as_bytes(), 0);
        Some(part(text, from))
    }

    /// A member by its key. Of a key that is written twice the last counts.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.parts.iter().rev().find(|part| part.key == key)
    }

    pub fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.value.clone()]
    }

    /// The places to cut so that these members or elements go, each with the comma that it had.
    pub fn cuts(&self, goes: impl Fn(usize, &Self) -> bool) -> Vec<Range<usize>> {
        let goes: Vec<bool> = self.parts.iter().enumerate().map(|(at, part)| goes(at, part)).collect();
        let mut cuts = Vec::new();
        let mut at = 0;
        while at < goes.len() {
            let run = goes[at..].iter().take_while(|goes| **goes).count();
            if run > 0 {
                let (first, last) = (&self.parts[at].whole, &self.parts[at + run - 1].whole);
                cuts.push(match (at.checked_sub(1), self.parts.get(at + run)) {
                    (_, Some(next)) => first.start..next.whole.start,
                    (Some(before), None) => self.parts[before].whole.end..last.end,
                    (None, None) => first.start..last.end,
                });
            }
            at += run.max(1);
        }
        cuts
    }
}

/// The text with other words at these places, which must not overlap.
pub fn replaced(text: &str, mut changes: Vec<(Range<usize>, String)>) -> String {
    changes.sort_by_key(|(place, _)| place.start);
    let mut result = text.to_owned();
    for (place, new) in changes.into_iter().rev() {
        result.replace_range(place, &new);
    }
    result
}

/// The value that begins here, in a text that is known to be JSON.
fn part(text: &str, from: usize) -> Part {
    let bytes = text.as_bytes();
    let (open, close) = (bytes.get(from), [b'}', b']']);
    let is_object = open == Some(&b'{');
    let mut parts = Vec::new();
    let to = match open {
        Some(b'{' | b'[') => {
            let mut at = blanks(bytes, from + 1);
            while at < bytes.len() && !close.contains(&bytes[at]) {
                let member = if is_object { member(text, at) } else { part(text, at) };
                at = blanks(bytes, member.whole.end);
                parts.push(member);
                if bytes.get(at) == Some(&b',') {
                    at = blanks(bytes, at + 1);
                }
            }
            (at + 1).min(bytes.len())
        }
        Some(b'"') => string_end(bytes, from),
        _ => {
            let ends = |byte: &u8| b",}] \t\r\n".contains(byte);
            bytes[from..].iter().position(ends).map_or(bytes.len(), |length| from + length)
        }
    };
    Part { key: String::new(), whole: from..to, value: from..to, parts }
}

fn member(text: &str, from: usize) -> Part {
    let bytes = text.as_bytes();
    let end = string_end(bytes, from);
    let colon = blanks(bytes, end);
    let value = part(text, blanks(bytes, colon + 1));
    let key = serde_json::from_str(&text[from..end]).unwrap_or_default();
    Part { key, whole: from..value.whole.end, ..value }
}

fn blanks(bytes: &[u8], from: usize) -> usize {
    let is_blank = |byte: &u8| b" \t\r\n".contains(byte);
    from + bytes.iter().skip(from).take_while(|byte| is_blank(byte)).count()
}

/// Behind the closing quote of the string that begins here.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str, goes: impl Fn(usize, &Part) -> bool) -> String {
        let root = Part::parse(text).unwrap();
        replaced(text, root.cuts(goes).into_iter().map(|cut| (cut, String::new())).collect())
    }

    #[test]
    fn what_goes_takes_one_comma_with_it() {
        for (text, gone, left) in [
            ("[1, 2, 3]", vec![0], "[2, 3]"),
            ("[1, 2, 3]", vec![1], "[1, 3]"),
            ("[1, 2, 3]", vec![2], "[1, 2]"),
            ("[1, 2, 3]", vec![0, 1], "[3]"),
            ("[1, 2, 3]", vec![1, 2], "[1]"),
            ("[1, 2, 3]", vec![0, 2], "[2]"),
            ("[ 1 ]", vec![0], "[  ]"),
            ("{\n  \"a\": 1,\n  \"b\": [{}, {}]\n}", vec![1], "{\n  \"a\": 1\n}"),
            ("{\n  \"a\": 1,\n  \"b\": 2\n}", vec![0], "{\n  \"b\": 2\n}"),
        ] {
            assert_eq!(without(text, |at, _| gone.contains(&at)), left, "{text}");
        }
    }

    #[test]
    fn parts_are_found_behind_strings_that_look_like_json() {
        let text = "{\"a\": \"}, \\\"b\\\": ]\", \"ü\": {\"x\": [true , null,-1.5e3]} , \"a\":7}";
        let root = Part::parse(text).unwrap();
        assert_eq!(root.get("a").unwrap().text(text), "7");
        let list = root.get("ü").and_then(|part| part.get("x")).unwrap();
        let texts: Vec<&str> = list.parts.iter().map(|part| part.text(text)).collect();
        assert_eq!(texts, ["true", "null", "-1.5e3"]);
        assert!(Part::parse("{\"a\": }").is_none() && Part::parse("").is_none());
    }
}
