//! The trail of fixes: one JSON line before and after each step, on disk before the step is taken.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Plan;

const SCHEMA: u32 = 1;

/// The file of all fixes of this user.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub schema: u32,
    /// The fix that it belongs to.
    pub id: String,
    pub at: Timestamp,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase")]
pub enum What {
    Begun(Box<Begun>),
    /// A step is about to be taken.
    Before {
        step: usize,
    },
    After {
        step: usize,
        outcome: Outcome,
    },
    Ended {
        how: Ended,
    },
    /// Another fix took this one back.
    Undone {
        by: String,
    },
    /// What a plan saw that proves enough only when it is seen again; no fix of its own.
    Sighted {
        cluster: ClusterId,
        seen: Vec<String>,
    },
}

/// What was to be done, and for whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// The finding: `OVN007/Pod/kube-system/ovs-ovn@w2`; of an undoing, that of the fix which it undoes.
    pub finding: String,
    /// What it explained, asked again at the end.
    pub consequences: Vec<String>,
    pub context: String,
    pub cluster: ClusterId,
    pub user: String,
    pub plan: Plan,
    /// The fix that this one takes back.
    pub undoes: Option<String>,
}

/// The CephCluster; one of the same name in another Kubernetes cluster has another UID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterId {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Done,
    /// It was as wanted already.
    Already,
    Failed(String),
}

/// How a fix ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "camelCase")]
pub enum Ended {
    /// The check that found the fault, and those of its consequences, find nothing any more.
    Verified,
    /// All steps are taken, and these findings are still there, or could not be asked.
    NotVerified {
        left: Vec<String>,
    },
    /// A step failed.
    Failed {
        step: usize,
        why: String,
    },
    /// A guard did not hold.
    Refused {
        step: usize,
        why: String,
    },
    Interrupted {
        step: usize,
    },
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    Open,
    /// Begun, and nothing is written of its end: it may or may not have been carried out.
    Begun,
    Done,
    /// Nothing had to be changed.
    Already,
    Failed(String),
}

/// One fix, put together from its lines.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: String,
    pub at: Timestamp,
    pub begun: Begun,
    pub steps: Vec<Stand>,
    pub ended: Option<Ended>,
    pub undone_by: Option<String>,
}

impl Run {
    /// Some steps are taken and others are not.
    pub fn is_unfinished(&self) -> bool {
        let changed = self
            .begun
            .plan
            .steps
            .iter()
            .zip(&self.steps)
            .any(|(step, stand)| step.act.writes() && matches!(stand, Stand::Done | Stand::Begun));
        let all = self.steps.iter().all(|stand| matches!(stand, Stand::Done | Stand::Already));
        changed && !all && self.undone_by.is_none()
    }

    /// The first step that is not known to be done.
    pub fn next(&self) -> usize {
        let open = |stand: &Stand| !matches!(stand, Stand::Done | Stand::Already);
        self.steps.iter().position(open).unwrap_or(self.steps.len())
    }

    /// In one word, for the history.
    pub fn word(&self) -> &'static str {
        match &self.ended {
            _ if self.undone_by.is_some() => "undone",
            Some(Ended::Verified) => "verified",
            Some(Ended::NotVerified { .. }) => "not verified",
            Some(Ended::Failed { .. }) => "failed",
            Some(Ended::Refused { .. }) if self.is_unfinished() => "stopped by a guard",
            Some(Ended::Refused { .. }) => "refused",
            Some(Ended::Interrupted { .. }) => "interrupted",
            None => "broken off",
        }
    }
}

/// The fixes, oldest first, and how many lines could not be read.
#[derive(Debug, Default)]
pub struct History {
    pub runs: Vec<Run>,
    /// What was seen in which cluster, and when.
    sightings: Vec<(ClusterId, Timestamp, Vec<String>)>,
    pub unreadable: usize,
}

impl Journal {
    /// Below the user's state directory (on macOS and Windows that of local data).
    pub fn of_user() -> io::Result<Self> {
        let folder = dirs::state_dir().or_else(dirs::data_local_dir);
        let none = || io::Error::other("there is no home directory to keep the journal of fixes in: set HOME");
        Ok(Self::below(&folder.ok_or_else(none)?))
    }

    pub fn below(folder: &Path) -> Self {
        Self { path: folder.join("kubectl-rookdoctor").join("fixes.jsonl") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line, and returns when it is on the disk.
    pub fn write(&self, id: &str, at: Timestamp, what: What) -> io::Result<()> {
        let entry = Entry { schema: SCHEMA, id: id.to_owned(), at, what };
        let line = serde_json::to_string(&entry)? + "\n";
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = self.open()?;
        file.lock()?;
        // A line that a crash cut off must not swallow this one.
        let whole = self.ends_well(&file)?;
        let text = if whole { line } else { format!("\n{line}") };
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Plans hold objects of the cluster: for the user's eyes only.
    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    fn ends_well(&self, mut file: &File) -> io::Result<bool> {
        use std::io::{Read, Seek, SeekFrom};
        if file.metadata()?.len() == 0 {
            return Ok(true);
        }
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }

    /// Every fix so far. No file means none.
    pub fn history(&self) -> io::Result<History> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(History::default()),
            file => file?,
        };
        let mut history = History::default();
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) if entry.schema <= SCHEMA => history.add(entry),
                _ => history.unreadable += 1,
            }
        }
        Ok(history)
    }
}

impl History {
    fn add(&mut self, Entry { id, at, what, .. }: Entry) {
        if let What::Begun(begun) = what {
            let steps = vec![Stand::Open; begun.plan.steps.len()];
            self.runs.push(Run { id, at, begun: *begun, steps, ended: None, undone_by: None });
            return;
        }
        if let What::Sighted { cluster, seen } = what {
            self.sightings.push((cluster, at, seen));
            return;
        }
        let Some(run) = self.runs.iter_mut().rfind(|run| run.id == id) else {
            self.unreadable += 1;
            return;
        };
        match what {
            What::Begun(_) | What::Sighted { .. } => {}
            What::Before { step } => run.mark(step, Stand::Begun),
            What::After { step, outcome: Outcome::Done } => run.mark(step, Stand::Done),
            What::After { step, outcome: Outcome::Already } => run.mark(step, Stand::Already),
            What::After { step, outcome: Outcome::Failed(why) } => run.mark(step, Stand::Failed(why)),
            What::Ended { how } => run.ended = Some(how),
            What::Undone { by } => run.undone_by = Some(by),
        }
    }

    /// What was seen in this cluster within the last day, and when first. What is older may have come back since.
    pub fn sighted(&self, cluster: &ClusterId, now: Timestamp) -> BTreeMap<String, Timestamp> {
        const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
        let mut first = BTreeMap::new();
        let recent = |at: &Timestamp| now.duration_since(*at) < REMEMBERED;
        for (_, at, seen) in self.sightings.iter().filter(|(of, at, _)| of == cluster && recent(at)) {
            seen.iter().for_each(|what| {
                first.entry(what.clone()).or_insert(*at);
            });
        }
        first
    }

    /// The one fix whose id begins so.
    pub fn find(&self, id: &str) -> Result<&Run, String> {
        let mut found = self.runs.iter().filter(|run| run.id.starts_with(id));
        match (found.next(), found.next()) {
            (Some(run), None) => Ok(run),
            (None, _) => Err(format!("no fix has the id {id:?}; see `kubectl rookdoctor fix history`")),
            (Some(_), Some(_)) => Err(format!("several fixes have an id that begins with {id:?}: give more of it")),
        }
    }

    /// Ceph's flags that fixes of this cluster set and did not take away: `noout`, or `noout osd.3` for one OSD.
    pub fn flags_left(&self, cluster: &ClusterId) -> Vec<String> {
        let mut left: Vec<String> = Vec::new();
        for run in self.runs.iter().filter(|run| run.begun.cluster == *cluster) {
            for (step, stand) in run.begun.plan.steps.iter().zip(&run.steps) {
                let super::Act::Ceph { words, .. } = &step.act else { continue };
                if !matches!(stand, Stand::Done | Stand::Begun) {
                    continue;
                }
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let (verb, flags) = match words.as_slice() {
                    ["osd", verb @ ("set" | "unset"), flag] => (*verb, vec![(*flag).to_owned()]),
                    ["osd", verb @ ("set-group" | "unset-group"), flags, who @ ..] => (
                        *verb,
                        flags.split(',').flat_map(|flag| who.iter().map(move |it| format!("{flag} {it}"))).collect(),
                    ),
                    _ => continue,
                };
                left.retain(|flag| !flags.contains(flag));
                if verb.starts_with("set") {
                    left.extend(flags);
                }
            }
        }
        left
    }
}

impl Run {
    fn mark(&mut self, step: usize, stand: Stand) {
        if let Some(slot) = self.steps.get_mut(step) {
            *slot = stand;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fix::{Plan, Risk, Step};
    use crate::say;

    #[test]
    fn flags_are_left_until_they_are_taken_away_from_the_same() {
        let cluster = ClusterId { namespace: "rook-ceph".into(), name: "c".into(), uid: "1".into() };
        let step = |words: &[&str]| Step::ceph(say!("x"), words, None);
        let steps = [
            step(&["osd", "set", "noout"]),
            step(&["osd", "set-group", "noout,noin", "osd.3", "osd.4"]),
            step(&["osd", "unset-group", "noout", "osd.3"]),
            step(&["osd", "unset-group", "noin", "osd.3", "osd.4"]),
            step(&["osd", "set", "nodown"]),
            step(&["osd", "unset", "nodown"]),
        ];
        let plan = Plan::new(say!("x"), Risk::Safe).steps(steps);
        let begun = Begun {
            finding: String::new(),
            consequences: Vec::new(),
            context: String::new(),
            cluster: cluster.clone(),
            user: String::new(),
            plan,
            undoes: None,
        };
        let stands = vec![Stand::Done, Stand::Done, Stand::Done, Stand::Begun, Stand::Failed("x".into()), Stand::Open];
        let run = Run { id: "1".into(), at: Timestamp::UNIX_EPOCH, begun, steps: stands, ended: None, undone_by: None };
        let history = History { runs: vec![run], ..History::default() };
        assert_eq!(history.flags_left(&cluster), ["noout", "noout osd.4"]);
        assert!(history.flags_left(&ClusterId { uid: "2".into(), ..cluster }).is_empty());
    }
}
