//! The frames that `kubectl cluster-info dump` puts around the log of each container.

/// One container's log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'t> {
    pub ns: &'t str,
    pub pod: &'t str,
    pub container: &'t str,
    pub log: &'t [u8],
    /// Where the frame ends in the text.
    pub end: usize,
}

/// What kubectl writes in place of a log that it could not get.
const FAILED: [&[u8]; 2] = [b"Create log request error: ", b"Request log error: "];

impl Frame<'_> {
    /// Whether there is a log, and not the reason why there is none.
    pub fn is_log(&self) -> bool {
        let is_one_line = || self.log.iter().filter(|&&byte| byte == b'\n').count() <= 1;
        !FAILED.iter().any(|failed| self.log.starts_with(failed) && is_one_line())
    }

    /// Where the log lies in our layout. A name with a slash or a dot alone is none.
    pub fn place(&self) -> Option<String> {
        let is_name = |name: &str| !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        let Self { ns, pod, container, .. } = self;
        [ns, pod, container]
            .iter()
            .all(|name| is_name(name))
            .then(|| format!("namespaces/{ns}/pods/{pod}/{container}/{container}/logs/current.log"))
    }
}

/// The frame that begins at the start of this text. One without an end reaches to the end of the text.
pub(super) fn frame(text: &[u8]) -> Option<Frame<'_>> {
    let line = text.split(|&byte| byte == b'\n').next()?;
    let of = std::str::from_utf8(line).ok()?.trim_end();
    let of = of.strip_prefix("==== START logs for ")?.strip_suffix(" ====")?;
    let (container, pod) = of.strip_prefix("container ")?.split_once(" of pod ")?;
    let (ns, pod) = pod.split_once('/')?;
    let start = (line.len() + 1).min(text.len());
    let last = format!("==== END logs for {of} ====");
    let body = &text[start..];
    let (length, end) = match position(body, last.as_bytes()) {
        Some(at) => (at, start + at + last.len()),
        None => (body.len(), text.len()),
    };
    Some(Frame { ns, pod, container, log: &body[..length], end })
}

/// Where this begins in the text. The log before it may end without a newline.
fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| byte == first) {
        if text[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Every frame of a text. What lies between them is skipped by lines.
pub(super) fn frames(text: &[u8]) -> Vec<Frame<'_>> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match frame(&text[at..]) {
            Some(found) => {
                at += found.end;
                frames.push(found);
            }
            None => at += text[at..].iter().position(|&byte| byte == b'\n').map_or(text.len() - at, |end| end + 1),
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_has_its_frame() {
        let text =
            b"==== START logs for container a of pod n/p ====\none\n==== START logs for container x of pod n/q ====\n\
            ==== END logs for container a of pod n/p ====\n\
            ==== START logs for container b of pod n/p ====\nRequest log error: container b is waiting\n\
            ==== END logs for container b of pod n/p ====\n\
            ==== START logs for container c of pod n/p ====\nno newline==== END logs for container c of pod n/p ====\n\
            ==== START logs for container d of pod n/p ====\ncut off";
        let read = frames(text);
        let of: Vec<(&str, bool)> = read.iter().map(|frame| (frame.container, frame.is_log())).collect();
        assert_eq!(of, [("a", true), ("b", false), ("c", true), ("d", true)]);
        assert_eq!(read[0].log, b"one\n==== START logs for container x of pod n/q ====\n");
        assert_eq!((read[2].log, read[3].log), (&b"no newline"[..], &b"cut off"[..]));
        assert_eq!(read[0].place().unwrap(), "namespaces/n/pods/p/a/a/logs/current.log");
    }

    #[test]
    fn a_frame_that_leads_out_has_no_place() {
        for of in ["a of pod ../p", "a of pod n/../../x", ".. of pod n/p", "a of pod n/"] {
            let text = format!("==== START logs for container {of} ====\nx\n");
            assert_eq!(frame(text.as_bytes()).and_then(|frame| frame.place()), None, "{of}");
        }
        assert_eq!(frame(b"==== START logs for nothing ===="), None);
    }
}
