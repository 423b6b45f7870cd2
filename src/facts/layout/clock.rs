//! When a recording was taken.

use jiff::Timestamp;

use super::{Tree, ancestors};

/// The newest time stamp, but not past the end that a must-gather or kubectl-gather noted.
pub(super) fn taken(source: &Tree, roots: &[String], newest: Timestamp) -> Timestamp {
    let notes = roots.iter().flat_map(|root| ancestors(root)).flat_map(|folder| {
        let end = |name: &str| source.file(&format!("{folder}{name}")).and_then(|file| end_of(&file.bytes().ok()?));
        [end("timestamp"), end("gather.log")]
    });
    match notes.flatten().max() {
        Some(end) if newest == Timestamp::UNIX_EPOCH || end < newest => end,
        _ => newest,
    }
}

/// The time in the last line: `2024-05-28 20:57:32.684 +0000 UTC m=+0.3`, as Go prints one, or
/// `2024-05-27T23:03:58.841+0300`.
fn end_of(text: &[u8]) -> Option<Timestamp> {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().take(20).find_map(|line| {
        let mut words = line.split_whitespace();
        let first = words.next()?;
        let stamp = match first.contains('T') {
            true => first.to_owned(),
            false => format!("{first}T{}{}", words.next()?, words.next()?),
        };
        Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", stamp).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_gathering_is_read() {
        let end = |text: &str| end_of(text.as_bytes()).map(|end| end.to_string());
        let two = "2021-06-02 15:54:13.5 +0200 CEST m=+0.27\n2021-06-02 15:55:13 +0200 CEST m=+60.2\n";
        assert_eq!(end(two).as_deref(), Some("2021-06-02T13:55:13Z"));
        let log = "2024-05-27T23:03:58.841+0300\tINFO\tgather\tx\nno time here\n";
        assert_eq!(end(log).as_deref(), Some("2024-05-27T20:03:58.841Z"));
        assert_eq!(end("when it was done\n"), None);
    }
}
