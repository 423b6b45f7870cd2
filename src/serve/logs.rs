//! What a container wrote.

use jiff::Timestamp;
use serde_json::Value;

use super::answer::Answer;
use super::exec::container;
use super::resources::Target;
use super::{Asked, Server};
use crate::facts::{Answer as Known, Fact, Source};

impl Server {
    pub(super) async fn log(&self, target: &Target<'_>, pod: &Value, asked: &Asked) -> Answer {
        let container = match container(pod, asked.get("container")) {
            Ok(container) => container,
            Err(answer) => return answer,
        };
        let (ns, pod_name) = (target.ns.clone().unwrap_or_default(), target.name.clone());
        let previous = asked.is("previous");
        let fact = Fact::Log { ns: ns.clone(), pod: pod_name.clone(), container: container.clone(), previous };
        match self.state().bundle.fetch(&fact).await.map(|reading| reading.answer) {
            Ok(Known::Text(text)) => {
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                let tail = asked.get("tailLines").parse().unwrap_or(lines.len());
                let lines = &lines[lines.len().saturating_sub(tail)..];
                let stamped = asked.is("timestamps");
                let lines = lines.iter().map(|line| if stamped { line } else { without_stamp(line) });
                Answer::text(200, &lines.flat_map(|line| [line, "\n"]).collect::<String>())
            }
            _ => {
                let previous = if previous { "?previous=true" } else { "" };
                let message = format!(
                    "Get \"https://10.200.0.1:10250/containerLogs/{ns}/{pod_name}/{container}{previous}\": \
                     dial tcp 10.200.0.1:10250: connect: no route to host"
                );
                Answer::failure(500, "", &message, Value::Null)
            }
        }
    }
}

/// The recording keeps the stamps that the kubelet puts before each line on demand.
fn without_stamp(line: &str) -> &str {
    match line.split_once(' ') {
        Some((stamp, rest)) if stamp.parse::<Timestamp>().is_ok() => rest,
        _ => line,
    }
}
