//! Every fix, end to end: the program itself against the double, from the finding to a cluster that is well again,
//! and broken off, refused, taken back on the way.
//!
//! A fix is one line in a table of [`Case`]s, in the file of its area. The tests here walk all of them.

mod core;
mod csi;
mod heal;
pub mod net;
pub mod opr;
mod ovn;
mod pods;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rookdoctor::facts::archive::Tree;
use serde_json::Value;
use tempfile::TempDir;

use crate::double::state::Changed;
use crate::double::{Double, Faults};
use crate::support::{self, Scenario};

/// A fix, and a cluster that needs it.
pub struct Case {
    /// Names the plan's snapshot.
    pub name: &'static str,
    /// A recorded cluster or a scenario.
    pub on: &'static str,
    /// What stands behind `fix`: `OVN007`, `NET003 --object Pod/x`.
    pub fix: &'static str,
    /// How the cluster gets well when the right things are done to it: hooks of the double.
    pub heals: fn(&Double),
    /// Objects that the fix changes and that taking it back must bring back: namespace, resource, name.
    pub changes: &'static [(&'static str, &'static str, &'static str)],
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [csi::CASES, net::CASES, opr::CASES, ovn::CASES, pods::CASES].into_iter().flatten()
}

/// A served cluster, and a home for the journal.
pub struct Bed {
    pub double: Double,
    home: TempDir,
}

/// How a run of the program ended.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The end of what it said is what a failing test needs.
impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = |text: &str| text.chars().skip(text.chars().count().saturating_sub(4000)).collect::<String>();
        write!(f, "{:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, end(&self.stdout), end(&self.stderr))
    }
}

impl Ran {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether something was said, on either stream.
    pub fn says(&self, text: &str) -> bool {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        [&self.stdout, &self.stderr].iter().any(|said| one_line(said).contains(text))
    }
}

/// A recorded cluster or a scenario by its name.
pub fn tree(name: &str) -> Tree {
    if support::root().join(name).join("scenario.yaml").exists() {
        Scenario::named(name).tree()
    } else {
        support::base(name)
    }
}

impl Bed {
    pub fn of(name: &str) -> Self {
        Self::serve(tree(name))
    }

    pub fn serve(tree: Tree) -> Self {
        Self::with(Double::serve(tree, Faults::none()))
    }

    pub fn with(double: Double) -> Self {
        Self { double, home: tempfile::tempdir().unwrap() }
    }

    /// A cluster that differs a little from a recorded one.
    pub fn changed(name: &str, change: impl Fn(&mut Changed<'_>) + Send + 'static) -> Self {
        let bed = Self::of(name);
        bed.double.change(change);
        bed
    }

    fn healing(case: &Case) -> Self {
        let bed = Self::of(case.on);
        (case.heals)(&bed.double);
        bed
    }

    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-rookdoctor"));
        command
            .args(arguments.split_whitespace())
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path())
            .env("LC_ALL", "C.UTF-8")
            .env("COLUMNS", "100")
            .env("KUBECONFIG", self.double.kubeconfig())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program: `fix OVN007 --yes`.
    pub fn run(&self, arguments: &str) -> Ran {
        Ran::new(&self.command(arguments).output().unwrap())
    }

    /// Runs the program, and kills it when it asks for one write more than so many. False if it never does.
    pub fn killed_after(&self, writes: usize, arguments: &str) -> bool {
        self.double.hold_after(Some(writes));
        let mut child = self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let killed = loop {
            if self.double.holds() {
                child.kill().unwrap();
                break true;
            }
            if child.try_wait().unwrap().is_some() {
                break false;
            }
            assert!(Instant::now() < end, "{arguments} neither ends nor asks for write {}", writes + 1);
            std::thread::sleep(Duration::from_millis(10));
        };
        child.wait().unwrap();
        self.double.hold_after(None);
        // What keeps others away from a fix that is under way ends with its time.
        self.double.advance(Duration::from_secs(300));
        killed
    }

    /// Where the journal lies.
    pub fn state(&self) -> &Path {
        self.home.path()
    }

    /// Waits for something to come true.
    pub fn until(&self, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < end, "it never came true; written was {:?}", self.double.writes());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self, child: &std::process::Child) {
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// The id of the fix that was broken off, if one is.
    pub fn unfinished(&self) -> Option<String> {
        let history = self.run("fix history -o json").json();
        let open = history["items"].as_array().unwrap().iter().find(|item| item["unfinished"] == true);
        open.map(|item| item["id"].as_str().unwrap().to_owned())
    }

    /// The objects that a fix changes, without what the server keeps count of.
    fn objects_of(&self, case: &Case) -> Vec<Value> {
        let object = |(ns, resource, name): &(&str, &str, &str)| {
            let mut object = self.double.object(ns, resource, name).unwrap_or_default();
            for counted in ["resourceVersion", "generation", "managedFields", "uid", "creationTimestamp"] {
                object["metadata"].as_object_mut().map(|metadata| metadata.remove(counted));
            }
            object.as_object_mut().map(|object| object.remove("status"));
            object
        };
        case.changes.iter().map(object).collect()
    }

    /// The writes of the fix itself: without its Lease and its Events.
    pub fn changes_made(&self) -> Vec<String> {
        let own = |write: &String| write.contains("/leases") || write.contains("/events");
        self.double.writes().into_iter().filter(|write| !own(write)).collect()
    }
}

/// Runs a test for each case, two at once, and tells of all that went wrong.
fn each_case(test: impl Fn(&Case) + Sync) {
    let all: Vec<&Case> = cases().collect();
    let wrong = std::sync::Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        while let Some(case) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(case)));
            if ended.is_err() {
                wrong.lock().unwrap().push(case.name);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:?}: see above");
}

#[test]
fn every_fix_is_planned_as_shown() {
    for case in cases() {
        let bed = Bed::healing(case);
        let shown = bed.run(&format!("fix {} --dry-run", case.fix));
        assert_eq!(shown.code, Some(0), "{}: {shown:?}", case.name);
        insta::assert_snapshot!(format!("plan_{}", case.name), shown.stdout);
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    each_case(|case| {
        let bed = Bed::healing(case);
        for mode in ["client", "server"] {
            let ran = bed.run(&format!("fix {} --dry-run={mode} --yes", case.fix));
            assert_eq!(ran.code, Some(0), "{}: {ran:?}", case.name);
        }
        let without = bed.run(&format!("fix {}", case.fix));
        assert_eq!(without.code, Some(5), "{}: {without:?}", case.name);
        assert!(bed.double.writes().is_empty(), "{}: {:?}", case.name, bed.double.writes());
        assert!(bed.run("fix history").says("no fix was applied"));
    });
}

#[test]
fn every_fix_ends_with_a_cluster_that_is_well() {
    each_case(|case| {
        let bed = Bed::healing(case);
        let ran = bed.run(&format!("fix {} --yes -o json", case.fix));
        assert_eq!((ran.code, &ran.json()["ended"]), (Some(0), &"verified".into()), "{}: {ran:?}", case.name);
        assert!(!bed.changes_made().is_empty(), "{}", case.name);
        let again = bed.run(&format!("fix {} --yes", case.fix));
        assert!(again.says("there is nothing to fix"), "{}: {again:?}", case.name);
        let lease = bed.double.object("rook-ceph", "leases", "kubectl-rookdoctor-fix");
        assert_eq!(lease, None, "{}: the Lease is given back", case.name);
    });
}

#[test]
fn every_fix_that_is_killed_between_two_steps_is_finished() {
    each_case(|case| {
        let whole = Bed::healing(case);
        whole.run(&format!("fix {} --yes", case.fix));
        let writes = whole.double.writes();
        let own = |write: &String| write.contains("/leases") || write.contains("/events");
        for (at, _) in writes.iter().enumerate().filter(|(_, write)| !own(write)) {
            let bed = Bed::healing(case);
            assert!(bed.killed_after(at, &format!("fix {} --yes", case.fix)), "{}: write {at}", case.name);
            let again = match bed.unfinished() {
                Some(id) => {
                    let refused = bed.run(&format!("fix {} --yes", case.fix));
                    let told = refused.says(&format!("fix finish {id}")) && refused.says(&format!("fix undo {id}"));
                    assert!(told || refused.says("nothing to fix"), "{}: {refused:?}", case.name);
                    bed.run(&format!("fix finish {id} --yes -o json"))
                }
                None => bed.run(&format!("fix {} --yes -o json", case.fix)),
            };
            assert_eq!((again.code, &again.json()["ended"]), (Some(0), &"verified".into()), "{}: {again:?}", case.name);
            assert_eq!(bed.unfinished(), None, "{}", case.name);
        }
    });
}

#[test]
fn what_is_taken_back_is_as_it_was() {
    each_case(|case| {
        let bed = Bed::healing(case);
        let before = bed.objects_of(case);
        let applied = bed.run(&format!("fix {} --yes -o json", case.fix)).json();
        let id = applied["id"].as_str().unwrap_or_else(|| panic!("{}: {applied}", case.name));
        if !case.changes.is_empty() {
            assert_ne!(bed.objects_of(case), before, "{}: the fix changes what it is said to change", case.name);
        }
        let undone = bed.run(&format!("fix undo {id} --yes"));
        assert_eq!(undone.code, Some(0), "{}: {undone:?}", case.name);
        assert_eq!(bed.objects_of(case), before, "{}", case.name);
        let twice = bed.run(&format!("fix undo {id} --yes"));
        let nothing = twice.says("was taken back before") || twice.says("changed nothing that could be taken back");
        assert!(nothing, "{}: {twice:?}", case.name);
    });
}

/// A fix that no case proves is none. What OSD011 takes away, an earlier fix must have left, and what NET015 releases
/// must have been seen before: their own tests make that.
#[test]
fn every_fix_has_a_case() {
    let proven: Vec<&str> = cases().filter_map(|case| case.fix.split(' ').next()).collect();
    let unproven = rookdoctor::checks::ALL.iter().filter(|check| {
        check.fix.is_some() && !proven.contains(&check.code) && !["OSD011", "NET015"].contains(&check.code)
    });
    assert_eq!(unproven.map(|check| check.code).collect::<Vec<_>>(), [] as [&str; 0]);
}

/// Every request that is made where fixes are shown, tried, applied and taken back.
pub fn requests() -> Vec<String> {
    let all = std::sync::Mutex::new(Vec::new());
    each_case(|case| {
        let bed = Bed::healing(case);
        bed.run(&format!("fix {} --dry-run=server", case.fix));
        let applied = bed.run(&format!("fix {} --yes -o json", case.fix)).json();
        let id = applied["id"].as_str().unwrap_or_else(|| panic!("{}: {applied}", case.name));
        bed.run(&format!("fix undo {id} --yes"));
        all.lock().unwrap().extend(bed.double.requests());
    });
    all.into_inner().unwrap()
}
