//! What a container wrote.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::answer::{Answer, details};
use super::exec::container;
use super::resources::Target;
use super::state::State;
use super::{Asked, Server};
use crate::facts::archive::LOG_BYTES;
use crate::facts::{MALFORMED, NOT_CAPTURED};

/// What a client wants of a log.
struct Wanted {
    lines: usize,
    bytes: usize,
    since: Option<Timestamp>,
    stamps: bool,
}

impl Server {
    /// A log as far as it was recorded. It never grows: whoever follows it has come to its end at once.
    pub(super) fn log(&self, target: &Target<'_>, pod: &Value, asked: &Asked) -> Answer {
        let container = match container(pod, asked.get("container")) {
            Ok(container) => container,
            Err(answer) => return answer,
        };
        let (state, previous) = (self.state(), asked.is("previous"));
        match recorded(&state, target, &container, previous) {
            Ok(Some(log)) => Answer::text(200, &Wanted::new(asked, state.now).of(&String::from_utf8_lossy(&log))),
            Ok(None) => {
                let previous = if previous { "previous " } else { "" };
                let message = format!(
                    "this is a recorded cluster, and the {previous}log of container {container} in pod {} was not recorded",
                    target.name
                );
                Answer::failure(501, NOT_CAPTURED, &message, details(target))
            }
            Err(why) => Answer::failure(501, MALFORMED, &why, details(target)),
        }
    }
}

/// As much of a log as is kept; the first line may have lost its beginning and is then left out.
fn recorded(state: &State, target: &Target<'_>, container: &str, previous: bool) -> Result<Option<Vec<u8>>, String> {
    let (ns, pod) = (target.ns.as_deref().unwrap_or_default(), &target.name);
    let names: &[&str] = if previous { &["previous.log", "previous.insecure.log"] } else { &["current.log"] };
    let mut log = None;
    for name in names {
        let path = format!("namespaces/{ns}/pods/{pod}/{container}/{container}/logs/{name}");
        let Some(file) = state.bundle.tree().file(&path) else { continue };
        let bytes = file.bytes().map_err(|why| format!("{path}: {why}"))?;
        if log.is_none() || !bytes.is_empty() {
            log = Some(bytes.into_owned());
        }
        if log.as_ref().is_some_and(|log| !log.is_empty()) {
            break;
        }
    }
    Ok(log.map(|log| match log.len().checked_sub(LOG_BYTES).filter(|cut| *cut > 0) {
        Some(cut) => log[cut..].splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default().to_vec(),
        None => log,
    }))
}

impl Wanted {
    fn new(asked: &Asked, now: Timestamp) -> Self {
        let since = asked.get("sinceSeconds").parse().ok();
        let since = since.and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok());
        Self {
            lines: asked.get("tailLines").parse().unwrap_or(usize::MAX),
            bytes: asked.get("limitBytes").parse().unwrap_or(usize::MAX),
            since: since.or_else(|| asked.get("sinceTime").parse().ok()),
            stamps: asked.is("timestamps"),
        }
    }

    /// The recording keeps the stamps that the kubelet puts before each line on demand. A line without one is as old
    /// as the one before it; where none has one, no line is left out for its age.
    fn of(&self, log: &str) -> String {
        let (mut is_young, mut chosen) = (true, Vec::new());
        for line in log.lines() {
            let (stamp, rest) = match line.split_once(' ') {
                Some((stamp, rest)) => (stamp.parse::<Timestamp>().ok(), rest),
                None => (None, line),
            };
            if let (Some(at), Some(since)) = (stamp, self.since) {
                is_young = at >= since;
            }
            if is_young {
                chosen.push(if stamp.is_none() || self.stamps { line } else { rest });
            }
        }
        let chosen = &chosen[chosen.len().saturating_sub(self.lines)..];
        let mut text: String = chosen.iter().flat_map(|line| [line, "\n"]).collect();
        if text.len() > self.bytes {
            let end = (0..=self.bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            text.truncate(end);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-01T00:00:00Z one\n2026-01-01T00:00:05Z two\n  and more\n2026-01-01T00:00:09Z three\n";

    #[test]
    fn a_log_is_cut_as_it_is_asked_for() {
        let wanted = |since: Option<&str>, lines, bytes, stamps| {
            Wanted { since: since.map(|at| at.parse().unwrap()), lines, bytes, stamps }.of(LOG)
        };
        assert_eq!(wanted(None, usize::MAX, usize::MAX, true), LOG);
        assert_eq!(wanted(None, usize::MAX, usize::MAX, false), "one\ntwo\n  and more\nthree\n");
        assert_eq!(wanted(None, 1, usize::MAX, false), "three\n");
        assert_eq!(wanted(None, 0, usize::MAX, false), "");
        assert_eq!(wanted(None, usize::MAX, 5, false), "one\nt");
        assert_eq!(wanted(Some("2026-01-01T00:00:05Z"), usize::MAX, usize::MAX, false), "two\n  and more\nthree\n");
        assert_eq!(wanted(Some("2026-01-01T00:00:06Z"), usize::MAX, usize::MAX, false), "three\n");
        assert_eq!(wanted(Some("2027-01-01T00:00:00Z"), usize::MAX, usize::MAX, false), "");
    }
}
