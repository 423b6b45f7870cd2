//! Events of Kubernetes as moments. One that repeats is a span: it is told at its first time, with its last.

use jiff::Timestamp;

use super::sources::Sources;
use super::{MarkKind, Moment};
use crate::check::{ObjectRef, Place, Text};
use crate::checks::opr::reconcile_failing::CONFLICT;
use crate::facts::kinds;
use crate::objects::kube::{Event, Involved};
use crate::say;

/// Said time after time while all is well.
const IDLE: &[&str] = &[
    "NodeHasSufficientMemory",
    "NodeHasNoDiskPressure",
    "NodeHasSufficientPID",
    "NodeAllocatableEnforced",
    "RegisteredNode",
];
/// Events of type Normal that tell of trouble.
const BAD: &[&str] =
    &["NodeNotReady", "NodeHasDiskPressure", "NodeHasInsufficientMemory", "NodeHasInsufficientPID", "NodeShutdown"];
/// Warnings that every start of a kubelet, or every pod, brings.
const HARMLESS: &[&str] = &["InvalidDiskCapacity", "DNSConfigForming"];
/// What the kubelet says of a container that failed its probe, and not because its pod is to go.
const PROBE: &[&str] = &["failed liveness probe", "failed startup probe"];

/// The moments, and how many events bear no time.
pub fn moments(sources: &Sources<'_>) -> (Vec<Moment>, usize) {
    let told = |event: &&&Event| {
        !IDLE.contains(&event.reason.as_str()) && !event.message.contains(CONFLICT) && !is_told(event, sources)
    };
    let events: Vec<&Event> = sources.events.iter().filter(told).copied().collect();
    let moments: Vec<Moment> = events.iter().filter_map(|event| moment(event, sources)).collect();
    let undated = events.len() - moments.len();
    (moments, undated)
}

/// A boot is told of by what checks know of it, of which its event is a part.
fn is_told(event: &Event, sources: &Sources<'_>) -> bool {
    const TOGETHER: i64 = 600;
    let boot = sources.boots.seen.get(&event.involved_object.name).filter(|_| event.reason == "Rebooted");
    boot.zip(event.last_seen()).is_some_and(|(boot, at)| boot.at.duration_since(at).as_secs().abs() <= TOGETHER)
}

fn moment(event: &Event, sources: &Sources<'_>) -> Option<Moment> {
    let first = first_seen(event)?;
    let about = &event.involved_object;
    let from = format!("event {} of {} {}", event.reason, about.kind, about.name);
    let moment = Moment::new(first, kind(event), what(event, first), from).about(object(about)).bad(is_bad(event));
    let moment = moment.until(event.last_seen().unwrap_or(first));
    let known = sources.places.get(&(about.namespace.as_str(), about.name.as_str())).filter(|_| about.kind == "Pod");
    let kubelet = Some(event.node()).filter(|node| event.source.component == "kubelet" && !node.is_empty());
    let moment = moment.at(known.into_iter().flatten().cloned()).at(kubelet.map(Place::node));
    Some(if event.reason == "Rebooted" { moment.bad(false).may_begin() } else { moment })
}

fn kind(event: &Event) -> MarkKind {
    match (event.reason.as_str(), event.involved_object.kind.as_str()) {
        ("Rebooted", _) => MarkKind::Boot,
        ("Killing", _) => MarkKind::Restart,
        ("ScalingReplicaSet", _) => MarkKind::Change,
        (reason, _) if reason.starts_with("Reconcile") => MarkKind::Operator,
        (_, "Node") => MarkKind::Node,
        _ => MarkKind::Event,
    }
}

fn is_bad(event: &Event) -> bool {
    let reason = event.reason.as_str();
    match event.kind.as_str() {
        "Normal" => BAD.contains(&reason) || PROBE.iter().any(|text| event.message.contains(text)),
        _ => !HARMLESS.contains(&reason),
    }
}

/// Some writers give the last time only.
fn first_seen(event: &Event) -> Option<Timestamp> {
    event.first_seen().or_else(|| event.last_seen())
}

/// How often, as whichever of the two ways of counting says.
fn times(event: &Event) -> u32 {
    event.count.max(event.series.as_ref().map_or(0, |series| series.count)).max(1)
}

fn what(event: &Event, first: Timestamp) -> Text {
    let (reason, message, times) = (&event.reason, event.message.trim(), times(event));
    match event.last_seen().filter(|last| *last > first) {
        Some(last) if times > 1 => say!("{}: {} ({} times, until {})", reason, message, times, clock(last, first)),
        Some(last) => say!("{}: {} (until {})", reason, message, clock(last, first)),
        None if times > 1 => say!("{}: {} ({} times)", reason, message, times),
        None => say!("{}: {}", reason, message),
    }
}

/// The time of day; with its date where that is not the one of another moment.
pub fn clock(at: Timestamp, beside: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%F").to_string();
    at.strftime(if day(at) == day(beside) { "%H:%M:%SZ" } else { "%F %H:%M:%SZ" }).to_string()
}

/// An event does not say of which version its object is, where nothing here knows the kind.
fn object(about: &Involved) -> ObjectRef {
    let kind = kinds::ALL.iter().find(|kind| kind.kind == about.kind);
    let ns = if kind.is_none_or(|kind| kind.namespaced) { about.namespace.as_str() } else { "" };
    let named = |kind| ObjectRef::new(kind, ns, &about.name);
    kind.map(|kind| named(*kind)).unwrap_or_else(|| ObjectRef {
        api_version: String::new(),
        kind: about.kind.clone(),
        namespace: ns.to_owned(),
        name: about.name.clone(),
        stable: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(value: Value) -> Event {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_repeated_event_is_a_span() {
        let repeated = event(json!({
            "reason": "BackOff", "message": "Back-off restarting", "type": "Warning", "count": 7,
            "firstTimestamp": "2025-06-30T23:50:00Z", "lastTimestamp": "2025-07-01T00:10:00Z",
        }));
        let first = repeated.first_seen().unwrap();
        assert_eq!(first.to_string(), "2025-06-30T23:50:00Z");
        let told = what(&repeated, first).english();
        assert_eq!(told, "BackOff: Back-off restarting (7 times, until 2025-07-01 00:10:00Z)");
        let series = event(json!({
            "reason": "FailedScheduling", "message": "no", "type": "Warning", "eventTime": "2025-06-30T10:00:00.5Z",
            "series": {"count": 3, "lastObservedTime": "2025-06-30T10:05:00Z"},
        }));
        let told = what(&series, series.first_seen().unwrap()).english();
        assert_eq!(told, "FailedScheduling: no (3 times, until 10:05:00Z)");
        let once = event(
            json!({"reason": "Killing", "message": "m", "type": "Normal", "lastTimestamp": "2025-06-30T10:00:00Z"}),
        );
        assert_eq!(first_seen(&once).map(|first| what(&once, first).english()).as_deref(), Some("Killing: m"));
    }

    #[test]
    fn not_every_warning_is_bad_and_not_every_other_good() {
        let of = |reason: &str, kind: &str, message: &str| {
            is_bad(&event(json!({"reason": reason, "type": kind, "message": message})))
        };
        assert!(of("FailedMount", "Warning", ""));
        assert!(!of("InvalidDiskCapacity", "Warning", ""));
        assert!(of("NodeNotReady", "Normal", ""));
        assert!(!of("Killing", "Normal", "Stopping container osd"));
        assert!(of("Killing", "Normal", "Container osd failed liveness probe, will be restarted"));
    }
}
