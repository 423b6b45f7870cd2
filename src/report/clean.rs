//! The one door between the cluster's text and a reader's terminal.

/// Longest text of a sentence, a name, a path.
pub const SENTENCE: usize = 1000;
/// Longest quotation.
pub const EXCERPT: usize = 400;
/// Longest command; one that had to be cut could do harm and is left out instead.
pub const COMMAND: usize = 4000;

/// The text on one line, without terminal escapes, control and invisible characters, and at most this long.
pub fn clean(text: &str, at_most: usize) -> String {
    let bare = anstream::adapter::strip_str(text).to_string();
    let visible = bare.chars().filter_map(|c| match c {
        c if c.is_whitespace() => Some(' '),
        c if c.is_control() || is_invisible(c) => None,
        c => Some(c),
    });
    let mut cleaned = String::with_capacity(bare.len().min(4 * at_most));
    for (count, c) in visible.skip_while(|c| *c == ' ').enumerate() {
        if count >= at_most {
            cleaned.push('…');
            break;
        }
        cleaned.push(c);
    }
    cleaned.truncate(cleaned.trim_end().len());
    cleaned
}

/// Characters that change how their neighbours are shown, or that hide: bidirectional controls, zero widths, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_cluster_reaches_the_terminal_raw() {
        for (hostile, cleaned) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("title\u{1b}]0;owned\u{7} end", "title end"),
            ("two\nlines\tand\r\nmore", "two lines and  more"),
            ("abc\u{202e}fed\u{200b}", "abcfed"),
            ("bell\u{7}\u{0}\u{9b}31m", "bell31m"),
            ("  spaces  ", "spaces"),
            ("Ünïcode ✔", "Ünïcode ✔"),
        ] {
            assert_eq!(clean(hostile, 100), cleaned, "{hostile:?}");
        }
    }

    #[test]
    fn length_is_bounded_in_characters() {
        assert_eq!(clean(&"é".repeat(50), 10), format!("{}…", "é".repeat(10)));
        assert_eq!(clean("exactly", 7), "exactly");
    }
}
