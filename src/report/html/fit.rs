//! How much text fits into a box of the picture. A picture cannot wrap text by itself, and the fonts of the reader are
//! not known: widths are those of a wide font.

/// The width of a character, in thousandths of the font's size.
fn advance(c: char) -> usize {
    match c {
        'i' | 'j' | 'l' | '\'' | '|' | '.' | ',' | ':' | ';' | '!' => 360,
        ' ' | 'f' | 'r' | 't' | 'I' | '(' | ')' | '[' | ']' | '/' | '-' | '·' => 430,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' | '✖' | '▲' => 1000,
        'A'..='Z' => 780,
        c if c.is_ascii() => 650,
        // Of other scripts each may be as wide as it is high, or a bit wider.
        _ => 1100,
    }
}

pub(super) fn width(text: &str, size: usize) -> usize {
    text.chars().map(advance).sum::<usize>() * size / 1000
}

/// As much of the text as fits into so many lines of this width; an ellipsis says that there is more.
pub(super) fn lines(text: &str, size: usize, room: usize, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let longer = if lines[last].is_empty() { word.to_owned() } else { format!("{} {word}", lines[last]) };
        if width(&longer, size) <= room {
            lines[last] = longer;
        } else if lines.len() == most || width(word, size) > room {
            lines[last] = cut(&longer, size, room);
            if lines.len() == most {
                return lines;
            }
            // The rest of a word that is longer than a line is left out: the tooltip and the list have it.
            lines.push(String::new());
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn cut(text: &str, size: usize, room: usize) -> String {
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width(&format!("{kept}…"), size) > room {
            kept.pop();
            break;
        }
    }
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_words_and_cut_at_the_end() {
        assert_eq!(lines("one two three", 10, 1000, 2), ["one two three"]);
        assert_eq!(lines("aaaa bbbb cccc", 10, 60, 2), ["aaaa bbbb", "cccc"]);
        assert_eq!(lines("aaaa bbbb cccc dddd eeee", 10, 60, 2).last().map(|line| line.ends_with('…')), Some(true));
        assert!(lines("", 10, 60, 2).is_empty());
    }

    #[test]
    fn no_line_is_wider_than_its_room() {
        for text in ["W".repeat(500), "漢字".repeat(99), format!("short {} then", "x".repeat(90)), "a b ".repeat(90)]
        {
            for line in lines(&text, 12, 200, 2) {
                assert!(width(&line, 12) <= 200, "{line}");
            }
        }
    }
}
