//! What holds for every fix, shown with one: who may begin, what is asked, what is kept.

use std::process::Stdio;

use rookdoctor::fix::Condition;
use rookdoctor::fix::apply::refusals;
use serde_json::{Value, json};

use super::{Bed, Ran, heal};
use crate::api;
use crate::support;

const STALE: &str = "story5-kubeovn-after-reboot";

fn bed() -> Bed {
    let bed = Bed::of(STALE);
    bed.double.on("DELETE /api/v1/namespaces/kube-system/pods/ovs-ovn-*", |cluster| heal::node(cluster, "ash-w2"));
    bed
}

#[test]
fn two_fixes_at_once_do_not_both_write() {
    let bed = bed();
    // The first has its Lease and waits before its first change.
    bed.double.hold_after(Some(1));
    let mut first = bed.command("fix OVN007 --yes").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    bed.until(|| bed.double.holds());
    bed.double.hold_after(None);
    // Another user, with another journal.
    let other = tempfile::tempdir().unwrap();
    let second = bed.command("fix OVN007 --yes").env("XDG_STATE_HOME", other.path()).output().unwrap();
    let second = Ran::new(&second);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.code, Some(5), "{second:?}");
    assert!(second.says("another fix is under way in rook-ceph: double with fix"), "{second:?}");
    assert_eq!(bed.changes_made(), [] as [&str; 0]);
}

/// A Lease whose holder died holds nobody up for longer than its time.
#[test]
fn a_dead_holder_is_not_waited_for() {
    let bed = bed();
    assert!(bed.killed_after(1, "fix OVN007 --yes"));
    assert!(bed.double.object("rook-ceph", "leases", "kubectl-rookdoctor-fix").is_some());
    let ran = bed.run(&format!("fix finish {} --yes", bed.unfinished().unwrap()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// What may be finished or taken back is completed from the journal.
#[test]
fn fixes_of_the_past_are_completed() {
    let bed = bed();
    assert!(bed.killed_after(1, "fix OVN007 --yes"));
    let id = bed.unfinished().unwrap();
    let answer = |action: &str| bed.run(&format!("complete -- fix {action} {}", &id[..4])).stdout;
    let offered = |answer: &str| {
        answer.starts_with(&format!("{id}\tOVN007/Pod/kube-system/ovs-ovn")) && answer.ends_with("\n:4\n")
    };
    assert!(offered(&answer("finish")) && offered(&answer("undo")), "{}{}", answer("finish"), answer("undo"));
    let ran = bed.run(&format!("fix finish {id} --yes"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(answer("finish"), ":4\n");
    assert!(offered(&answer("undo")), "{}", answer("undo"));
}

#[test]
fn the_changed_object_tells_who_changed_it() {
    let bed = bed();
    bed.run("fix OVN007 --yes");
    let events = api::shown(&bed.double, "get events -n kube-system -o json");
    let events: Value = serde_json::from_str(&events).unwrap();
    let ours: Vec<&Value> =
        events["items"].as_array().unwrap().iter().filter(|event| event["reason"] == "RookdoctorFix").collect();
    assert_eq!(ours.len(), 1, "{events}");
    let message = ours[0]["message"].as_str().unwrap();
    assert!(message.contains("delete pod ovs-ovn-kc2tb") && message.contains("fix OVN007"), "{message}");
    assert!(message.ends_with("by double"), "{message}");
    assert_eq!(ours[0]["involvedObject"]["name"], "ovs-ovn-kc2tb");
}

/// Events and reviews are a courtesy; a fix does without.
#[test]
fn a_fix_does_without_the_right_to_write_events() {
    let bed = bed();
    bed.double.deny("create", "events");
    let ran = bed.run("fix OVN007 --yes");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.says("note: no Event could be written"), "{ran:?}");
}

#[test]
fn without_a_lease_nothing_is_changed() {
    let bed = bed();
    bed.double.deny("create", "leases");
    let ran = bed.run("fix OVN007 --yes");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.says("you may not create leases.coordination.k8s.io in rook-ceph"), "{ran:?}");
    assert_eq!(bed.double.writes(), [] as [&str; 0]);
}

#[test]
fn the_journal_tells_the_story() {
    let bed = bed();
    bed.run("fix OVN007 --yes");
    let history = bed.run("fix history -o json").json();
    let item = &history["items"][0];
    assert_eq!((&item["state"], &item["user"]), (&json!("verified"), &json!("double")), "{item}");
    assert_eq!((&item["context"], &item["cluster"]), (&json!("double"), &json!("rook-ceph/rook-ceph")));
    assert!(item["steps"].as_array().unwrap().iter().all(|step| step["state"] == "done"), "{item}");
    let shown = bed.run("fix history");
    assert!(shown.says("verified OVN007/Pod/kube-system/ovs-ovn@ash-w2"), "{shown:?}");
    // A line that a crash cut off harms no other.
    let path = bed.state().join("kubectl-rookdoctor/fixes.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"schema\":1,\"id\":\"2026");
    std::fs::write(&path, text).unwrap();
    let shown = bed.run("fix history");
    assert!(shown.says("1 lines of") && shown.says("verified OVN007"), "{shown:?}");
}

#[cfg(unix)]
#[test]
fn the_journal_is_for_the_users_eyes() {
    use std::os::unix::fs::PermissionsExt;
    let bed = bed();
    bed.run("fix OVN007 --yes");
    let meta = std::fs::metadata(bed.state().join("kubectl-rookdoctor/fixes.jsonl")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

/// The journal of one cluster is no journal of another that has the same names.
#[test]
fn a_fix_is_taken_back_where_it_was_made() {
    let bed = bed();
    let id = bed.run("fix OVN007 --yes -o json").json()["id"].as_str().unwrap().to_owned();
    let other = Bed::changed(STALE, |cluster| {
        cluster.edit("rook-ceph", "cephclusters", "rook-ceph", |object| object["metadata"]["uid"] = "another".into());
    });
    let ran = other.command(&format!("fix undo {id} --yes")).env("XDG_STATE_HOME", bed.state()).output().unwrap();
    let ran = Ran::new(&ran);
    assert_eq!(ran.code, Some(64), "{ran:?}");
    assert!(ran.says("that is not the cluster at hand"), "{ran:?}");
}

#[test]
fn the_script_does_what_the_fix_does() {
    let bed = bed();
    let script = bed.run("fix OVN007 --script");
    assert_eq!(script.code, Some(0), "{script:?}");
    let path = bed.state().join("fix.sh");
    std::fs::write(&path, &script.stdout).unwrap();
    let mut bash = std::process::Command::new("timeout");
    let ran = api::on_path(bash.args(["60", "bash", "-x"]).arg(&path), &bed.double).output().unwrap();
    let ran = Ran::new(&ran);
    assert_eq!(ran.code, Some(0), "{ran:?}\n{}", script.stdout);
    let made = bed.changes_made();
    let expected = ["CEPH osd set-group noout osd.1 osd.4", "DELETE", "CEPH osd unset-group noout osd.1 osd.4"];
    assert!(made.len() == 3 && made.iter().zip(expected).all(|(made, wanted)| made.starts_with(wanted)), "{made:?}");
}

/// A terminal, as `script` makes one.
fn on_terminal(bed: &Bed, arguments: &str, typed: &str) -> Ran {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_kubectl-rookdoctor"));
    let mut command = bed.command("");
    let envs: Vec<_> = command.get_envs().map(|(key, value)| (key.to_owned(), value.unwrap().to_owned())).collect();
    command = std::process::Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).envs(envs).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), typed.as_bytes()).unwrap();
    Ran::new(&child.wait_with_output().unwrap())
}

#[test]
fn on_a_terminal_a_person_is_asked() {
    let bed = bed();
    let no = on_terminal(&bed, "fix OVN007", "explain\nno\n");
    assert_eq!(no.code, Some(5), "{no:?}");
    assert!(no.says("Apply?") && no.says("Why it matters"), "{no:?}");
    assert_eq!(bed.double.writes(), [] as [&str; 0]);
    let yes = on_terminal(&bed, "fix OVN007", "y\n");
    assert_eq!(yes.code, Some(0), "{yes:?}");
    assert!(yes.says("fixed and verified"), "{yes:?}");
}

#[test]
fn on_a_terminal_what_was_broken_off_is_offered() {
    let bed = bed();
    // The flag is set, and nothing more.
    assert!(bed.killed_after(3, "fix OVN007 --yes"), "{:?}", bed.double.writes());
    // Taken away while its OSDs are down, the flag would let them be marked out.
    let undone = on_terminal(&bed, "fix OVN007", "undo\n");
    assert!(undone.says("an earlier fix is not finished") && undone.says("osd.1, osd.4 is not up"), "{undone:?}");
    let finished = on_terminal(&bed, "fix OVN007", "finish\n");
    assert!(finished.says("fixed and verified"), "{finished:?}");
    assert_eq!(bed.unfinished(), None);
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    let bed = bed();
    for (arguments, code, said) in [
        ("fix NOPE001", 64, "no check or area is called"),
        ("fix NET007", 0, "NET007 finds nothing: there is nothing to fix"),
        ("fix OVN007 --object Pod/other", 64, "OVN007 finds nothing about Pod/other; there is OVN007/Pod"),
        ("fix --object Pod/x", 64, "required"),
        ("fix OVN007 --cluster-name other", 3, "no CephCluster is named \"other\"; there is rook-ceph/rook-ceph"),
        ("fix OVN007 -n elsewhere", 3, "OVN007 was not asked: there is no CephCluster"),
        ("fix EXT001", 0, "EXT001 does not apply here"),
        ("fix undo 2020", 64, "no fix has the id"),
        ("fix OVN007 --only NET", 64, "--only belongs to `diagnose`"),
        ("fix OVN007 --script --yes", 64, "cannot be used with"),
    ] {
        let ran = bed.run(arguments);
        assert!(ran.code == Some(code) && ran.says(said), "{arguments}: {ran:?}");
    }
    assert_eq!(bed.double.writes(), [] as [&str; 0]);
}

#[test]
fn the_list_tells_what_is_at_hand() {
    let bed = bed();
    let list = bed.run("fix -o json");
    assert_eq!(list.code, Some(0), "{list:?}");
    let list = list.json();
    let item = &list["items"][0];
    assert_eq!((&item["code"], &item["fix"], &item["risk"]), (&json!("OVN007"), &json!("auto"), &json!("disruptive")));
    let needs = item["needs"].to_string();
    assert!(needs.contains("delete pods in kube-system") && needs.contains("create pods/exec in rook-ceph"), "{needs}");
    let shown = bed.run("fix");
    assert!(shown.says("The tool can do") && shown.says("kubectl rookdoctor fix OVN007"), "{shown:?}");
}

#[test]
fn a_recorded_cluster_has_plans_and_no_changes() {
    let bed = bed();
    let ran = bed.run(&format!("fix OVN007 --example {STALE} --yes"));
    // Connecting and recording contradict each other only by flags; the kubeconfig of the environment is not used.
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.says("this is a recorded cluster"), "{ran:?}");
    assert_eq!(bed.double.requests(), [] as [&str; 0]);
}

/// Two findings of one code are two plans, and still one document.
#[test]
fn a_program_reads_one_document() {
    let bed = Bed::of("story3-mixed-images");
    let ran = bed.run("fix OPR006 -o json");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let list = ran.json();
    let kinds: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["kind"]).collect();
    assert_eq!((&list["kind"], kinds.as_slice()), (&json!("List"), [&json!("Runbook"), &json!("Runbook")].as_slice()));
    let one = bed.run("fix OPR006/Deployment/rook-ceph/rook-ceph-osd-7 -o json").json();
    assert_eq!(one["finding"], "OPR006/Deployment/rook-ceph/rook-ceph-osd-7");
    let none = bed.run("fix NET007 -o json");
    assert_eq!((none.code, &none.json()["items"]), (Some(0), &json!([])), "{none:?}");
}

/// Whoever leaves before the end of the verification can have it later.
#[test]
fn a_verification_that_was_left_is_made_up_for() {
    let bed = Bed::of(STALE);
    // The node comes back, but for the gateway's pod.
    bed.double.on("DELETE /api/v1/namespaces/kube-system/pods/ovs-ovn-*", |cluster| {
        heal::node(cluster, "ash-w2");
        cluster.edit("kube-system", "pods", "vpc-nat-gw-edge-0", |pod| {
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
            pod["status"]["containerStatuses"][0]["ready"] = false.into();
        });
    });
    let child = bed.command("fix OVN007 --yes").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bed.until(|| bed.changes_made().iter().any(|write| write.contains("unset-group")));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    bed.interrupt(&child);
    let left = Ran::new(&child.wait_with_output().unwrap());
    assert!(left.code == Some(130) && left.says("all steps are taken, and not yet verified"), "{left:?}");
    bed.double.change(|cluster| heal::node(cluster, "ash-w2"));
    let id = bed.run("fix history -o json").json()["items"][0]["id"].as_str().unwrap().to_owned();
    let verified = bed.run(&format!("fix finish {id} --yes"));
    assert!(verified.code == Some(0) && verified.says("fixed and verified"), "{verified:?}");
    assert!(bed.run(&format!("fix finish {id} --yes")).says("is verified: no step is left to take"));
}

/// A check that has nothing to ask any more has not passed: something else went with the fault.
#[test]
fn a_question_that_does_not_arise_any_more_is_no_proof() {
    let bed = bed();
    bed.double.on("CEPH osd unset-group", |cluster| {
        cluster.remove("kube-system", "daemonsets", "kube-ovn-cni");
        cluster.remove("kube-system", "daemonsets", "ovs-ovn");
    });
    let child = bed.command("fix OVN007 --yes").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bed.until(|| bed.changes_made().iter().any(|write| write.contains("unset-group")));
    std::thread::sleep(std::time::Duration::from_millis(2500));
    bed.interrupt(&child);
    let left = Ran::new(&child.wait_with_output().unwrap());
    assert!(left.code == Some(130) && left.says("OVN007 (cannot look any more)"), "{left:?}");
}

/// An answer that lacks what decides holds nothing together.
#[test]
fn answers_without_substance_hold_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let judge = |command: &str, edit: fn(&mut Value), condition: Condition| {
        let mut tree = super::tree("healthy-multus-kubeovn");
        let path =
            format!("ceph/namespaces/rook-ceph/must_gather_commands_json_output/ceph_{command}_--format_json-pretty");
        let mut answer: Value = serde_json::from_slice(&tree.file(&path).unwrap().bytes().unwrap()).unwrap();
        let whole = support::bundle(tree.clone());
        let cluster = support::run(&whole).cluster.unwrap();
        assert_eq!(runtime.block_on(refusals(&whole, &cluster, &[&condition])), [] as [&str; 0]);
        edit(&mut answer);
        tree.write(&path, answer.to_string().into_bytes());
        runtime.block_on(refusals(&support::bundle(tree), &cluster, &[&condition])).join("; ")
    };
    let pgs = judge("status", |status| status["pgmap"] = json!({}), Condition::PgsClean);
    assert!(pgs.contains("Ceph tells of no PG"), "{pgs}");
    let without = Condition::Quorum { without: vec!["a".to_owned()] };
    let mons = judge(
        "quorum_status",
        |quorum| {
            quorum["monmap"] = json!({});
            quorum["quorum_names"] = json!(["a", "b"]);
        },
        without,
    );
    assert!(mons.contains("only b of 2 would be in quorum, and 2 are needed"), "{mons}");
}
