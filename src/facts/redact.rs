//! Removes secrets from text.

/// Ceph keys are base64 and begin with `AQ` (40 characters) or `Ag` (longer, since Ceph 20).
const SHORTEST_KEY: usize = 38;

/// Replaces whatever looks like a Ceph key.
pub fn keys(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("AQ").into_iter().chain(rest.find("Ag")).min() {
        let (before, from) = rest.split_at(at);
        clean.push_str(before);
        let end = from.bytes().position(|b| !(b.is_ascii_alphanumeric() || b"+/=".contains(&b))).unwrap_or(from.len());
        let (run, after) = from.split_at(end.max(2));
        clean.push_str(if run.len() >= SHORTEST_KEY { "<key>" } else { run });
        rest = after;
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_are_removed_wherever_they_stand() {
        let key = "AQDkFq1nAAAAABAA9mY8xgQ4kq3L2l0o7y3l2w==";
        assert_eq!(super::keys(&format!("val={key}, key = {key}\nAQ Agent é")), "val=<key>, key = <key>\nAQ Agent é");
        let once = super::keys(key);
        assert_eq!(super::keys(&once), once);
    }
}
