//! Rows of server-printed tables. Cheap by design: no object comes with them. A row has no labels, owner or
//! UID, and its age is rounded, so neither time nor identity is computed from one.

use serde_json::Value;

use super::{Kind, Table, kinds};

/// A row that can be read from a table.
pub trait FromRow: Sized + Send + Sync + 'static {
    const KIND: Kind;
    fn from_row(row: &Cells<'_>) -> Result<Self, String>;
}

/// One row of a table, its cells found by the column's name.
pub struct Cells<'t> {
    columns: &'t [String],
    cells: &'t [Value],
}

impl Cells<'_> {
    /// The cell as text; `<none>` and `<unknown>` are the printer's words for nothing.
    pub fn text(&self, column: &str) -> Result<String, String> {
        Ok(match self.cell(column)? {
            Value::String(text) if text == "<none>" || text == "<unknown>" || text == "<unset>" => String::new(),
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        })
    }

    /// The name of an object, such as an API server takes.
    fn name(&self, column: &str) -> Result<String, String> {
        let name = self.text(column)?;
        if kinds::is_name(&name) { Ok(name) } else { Err(format!("column {column} holds {name:.40?}, not a name")) }
    }

    fn cell(&self, column: &str) -> Result<&Value, String> {
        let at = self.columns.iter().position(|name| name.eq_ignore_ascii_case(column));
        at.and_then(|at| self.cells.get(at)).ok_or_else(|| format!("the table has no column {column}"))
    }

    fn number(&self, column: &str) -> Result<u32, String> {
        let text = self.text(column)?;
        let digits = text.split_whitespace().next().unwrap_or_default();
        digits.parse().map_err(|_| format!("column {column} holds {text:?}, not a number"))
    }

    fn ratio(&self, column: &str) -> Result<(u32, u32), String> {
        let text = self.text(column)?;
        let parsed = text.split_once('/').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        parsed.ok_or_else(|| format!("column {column} holds {text:?}, not n/m"))
    }
}

/// Reads every row.
pub fn rows<T: FromRow>(table: &Table) -> Result<Vec<T>, String> {
    table.cells.iter().map(|cells| T::from_row(&Cells { columns: &table.columns, cells })).collect()
}

/// A pod as `kubectl get pods -o wide` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRow {
    /// Empty in a table of all namespaces.
    pub ns: String,
    pub name: String,
    /// Ready containers and all containers.
    pub ready: (u32, u32),
    /// kubectl's status word: `Running`, `Pending`, `Init:CrashLoopBackOff`, …
    pub status: String,
    pub restarts: u32,
    /// When it last restarted, as the printer says it: `4m50s ago`; empty if it never did.
    pub restarted: String,
    /// `47m`, `2d23h`: rounded, so it only tells what to look at.
    pub age: String,
    pub ip: String,
    /// Empty while the pod is not placed.
    pub node: String,
}

impl PodRow {
    /// The rows whose names begin so. Tables of pods are sorted by name.
    pub fn named<'r>(rows: &'r [Self], prefix: &str) -> &'r [Self] {
        let from = rows.partition_point(|row| row.name.as_str() < prefix);
        let rows = &rows[from..];
        &rows[..rows.partition_point(|row| row.name.starts_with(prefix))]
    }

    /// Running with every container ready, as far as a row can tell.
    pub fn is_well(&self) -> bool {
        self.is_done() || (self.status == "Running" && self.ready.0 == self.ready.1)
    }

    /// Completed: a job's pod that ended well.
    pub fn is_done(&self) -> bool {
        self.status == "Completed"
    }

    /// Whether another pod stands in its place: it is on its way out, or it failed for good and was only left
    /// behind, as evictions and shutdowns of nodes leave them.
    pub fn is_replaced(&self) -> bool {
        const LEFT: &[&str] = &["Evicted", "ContainerStatusUnknown", "NodeShutdown", "Shutdown", "Terminated"];
        const REFUSED: &[&str] = &["NodeAffinity", "NodePorts", "UnexpectedAdmissionError", "Preempting"];
        let status = self.status.as_str();
        status == "Terminating" || LEFT.contains(&status) || REFUSED.contains(&status) || status.starts_with("OutOf")
    }

    /// Made within the last three days, as far as a rounded age can tell.
    pub fn is_young(&self) -> bool {
        match self.age.split_once('d') {
            Some((days, _)) => days.parse().is_ok_and(|days: u32| days < 3),
            None => !self.age.contains('y'),
        }
    }

    /// Made within the last five minutes, as far as a rounded age can tell.
    pub fn is_new(&self) -> bool {
        match self.age.split_once('m') {
            Some((minutes, _)) => minutes.parse().is_ok_and(|minutes: u32| minutes < 5),
            None => self.age.ends_with('s'),
        }
    }

    pub fn is_pending(&self) -> bool {
        self.status == "Pending" || self.status == "SchedulingGated"
    }

    /// Whether a Deployment of this name owns the pod: `<name>-<hash>-<suffix>`. The server cuts what comes
    /// before the suffix to 58 characters, and the last dash with it.
    pub fn is_of_deployment(&self, deployment: &str) -> bool {
        let rest = self.name.strip_prefix(deployment).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| rest.split('-').count() == 2 || (self.name.len() == 63 && !rest.contains('-')))
    }

    /// Whether a DaemonSet (or Job) of this name owns the pod: `<name>-<suffix>`.
    pub fn is_of_daemon_set(&self, daemon_set: &str) -> bool {
        let rest = self.name.strip_prefix(daemon_set).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| rest.len() == 5 && !rest.contains('-'))
    }

    /// The id in a Rook daemon's pod name: `a` of `rook-ceph-mon-a-5d4…-x2x9k` under the prefix `rook-ceph-mon-`.
    pub fn daemon_id(&self, prefix: &str) -> Option<&str> {
        let rest = self.name.strip_prefix(prefix)?;
        let (rest, _suffix) = rest.rsplit_once('-')?;
        let (id, _hash) = rest.rsplit_once('-')?;
        Some(id)
    }
}

impl FromRow for PodRow {
    const KIND: Kind = kinds::POD;
    fn from_row(row: &Cells<'_>) -> Result<Self, String> {
        let restarts = row.text("Restarts")?;
        Ok(Self {
            ns: String::new(),
            name: row.name("Name")?,
            ready: row.ratio("Ready")?,
            status: row.text("Status")?,
            restarts: row.number("Restarts")?,
            restarted: restarts
                .split_once('(')
                .map(|(_, age)| age.trim_end_matches(')').to_owned())
                .unwrap_or_default(),
            age: row.text("Age")?,
            ip: row.text("IP")?,
            node: row.name("Node")?,
        })
    }
}

/// A node as `kubectl get nodes -o wide` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    pub name: String,
    /// `Ready`, `NotReady`, `Unknown`, with `,SchedulingDisabled` when cordoned.
    pub status: String,
    pub roles: String,
    pub version: String,
    pub address: String,
    /// `6.1.0-18-amd64 (amd64)` on newer servers, without the architecture on older ones.
    pub kernel: String,
}

impl NodeRow {
    pub fn is_ready(&self) -> bool {
        self.status.split(',').any(|word| word == "Ready")
    }
    pub fn is_cordoned(&self) -> bool {
        self.status.split(',').any(|word| word == "SchedulingDisabled")
    }
}

impl FromRow for NodeRow {
    const KIND: Kind = kinds::NODE;
    fn from_row(row: &Cells<'_>) -> Result<Self, String> {
        Ok(Self {
            name: row.name("Name")?,
            status: row.text("Status")?,
            roles: row.text("Roles")?,
            version: row.text("Version")?,
            address: row.text("Internal-IP")?,
            kernel: row.text("Kernel-Version")?,
        })
    }
}

/// A Deployment as `kubectl get deployments -o wide` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRow {
    pub name: String,
    pub ready: (u32, u32),
    pub containers: Vec<String>,
    pub images: Vec<String>,
}

impl DeploymentRow {
    /// The image of a container by its name.
    pub fn image_of(&self, container: &str) -> Option<&str> {
        let at = self.containers.iter().position(|name| name == container)?;
        self.images.get(at).map(String::as_str)
    }
}

impl FromRow for DeploymentRow {
    const KIND: Kind = kinds::DEPLOYMENT;
    fn from_row(row: &Cells<'_>) -> Result<Self, String> {
        let list = |text: String| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Ok(Self {
            name: row.name("Name")?,
            ready: row.ratio("Ready")?,
            containers: list(row.text("Containers")?),
            images: list(row.text("Images")?),
        })
    }
}

/// A Job as `kubectl get jobs` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    pub name: String,
    /// `Complete`, `Running`, `Failed`, `Suspended`; empty on servers before 1.31.
    pub status: String,
    /// `1/1`, `0/1`
    pub completions: String,
}

impl FromRow for JobRow {
    const KIND: Kind = kinds::JOB;
    fn from_row(row: &Cells<'_>) -> Result<Self, String> {
        Ok(Self {
            name: row.name("Name")?,
            status: row.text("Status").unwrap_or_default(),
            completions: row.text("Completions")?,
        })
    }
}

/// A PersistentVolumeClaim of any namespace; the row does not say which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRow {
    pub name: String,
    /// `Bound`, `Pending`, `Lost`, `Terminating`
    pub status: String,
    pub volume: String,
    pub storage_class: String,
}

impl FromRow for ClaimRow {
    const KIND: Kind = kinds::CLAIM;
    fn from_row(row: &Cells<'_>) -> Result<Self, String> {
        Ok(Self {
            name: row.name("Name")?,
            status: row.text("Status")?,
            volume: row.name("Volume")?,
            storage_class: row.text("StorageClass")?,
        })
    }
}

/// A PersistentVolume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRow {
    pub name: String,
    pub status: String,
    /// `namespace/name` of the claim; empty if it has none.
    pub claim: String,
    pub storage_class: String,
}

impl FromRow for VolumeRow {
    const KIND: Kind = kinds::PERSISTENT_VOLUME;
    fn from_row(row: &Cells<'_>) -> Result<Self, String> {
        Ok(Self {
            name: row.name("Name")?,
            status: row.text("Status")?,
            claim: row.text("Claim")?,
            storage_class: row.text("StorageClass")?,
        })
    }
}

/// A VolumeAttachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentRow {
    pub name: String,
    pub attacher: String,
    pub volume: String,
    pub node: String,
    pub attached: bool,
}

impl FromRow for AttachmentRow {
    const KIND: Kind = kinds::VOLUME_ATTACHMENT;
    fn from_row(row: &Cells<'_>) -> Result<Self, String> {
        Ok(Self {
            name: row.name("Name")?,
            attacher: row.text("Attacher")?,
            volume: row.name("PV")?,
            node: row.name("Node")?,
            attached: row.text("Attached")? == "true",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str) -> PodRow {
        PodRow {
            ns: "rook-ceph".into(),
            name: name.into(),
            ready: (1, 1),
            status: "Running".into(),
            restarts: 0,
            restarted: String::new(),
            age: "2d23h".into(),
            ip: String::new(),
            node: "w1".into(),
        }
    }

    #[test]
    fn owners_are_told_from_pod_names() {
        let mon = pod("rook-ceph-mon-a-fh7gzp5tkt-rsp9b");
        assert_eq!(mon.daemon_id("rook-ceph-mon-"), Some("a"));
        assert!(mon.is_of_deployment("rook-ceph-mon-a"));
        assert!(!mon.is_of_deployment("rook-ceph-mon"));
        let cut = pod("openshift-storage.cephfs.csi.ceph.com-ctrlplugin-6f9b6c5c6cpwq7");
        assert!(cut.is_of_deployment("openshift-storage.cephfs.csi.ceph.com-ctrlplugin"));
        assert!(pod("csi-rbdplugin-5fp48").is_of_daemon_set("csi-rbdplugin"));
        assert!(!pod("csi-rbdplugin-provisioner-69k8ltsjn6-7fqbc").is_of_daemon_set("csi-rbdplugin"));
        assert_eq!(pod("rook-ceph-mds-myfs-a-abc-de").daemon_id("rook-ceph-mds-"), Some("myfs-a"));
    }

    #[test]
    fn columns_are_found_by_name() {
        let table = Table {
            columns: ["Age", "Node", "IP", "Restarts", "Status", "Ready", "Name"].map(String::from).to_vec(),
            cells: vec![vec![
                json!("6y32d"),
                json!("<none>"),
                json!("<none>"),
                json!("9 (4m50s ago)"),
                json!("Init:Error"),
                json!("0/2"),
                json!("x"),
            ]],
        };
        let rows: Vec<PodRow> = rows(&table).unwrap();
        assert_eq!((rows[0].ready, rows[0].restarts, rows[0].restarted.as_str()), ((0, 2), 9, "4m50s ago"));
        assert!(rows[0].node.is_empty() && !rows[0].is_well() && !rows[0].is_young());
        assert!(["12s", "7h59m", "2d23h"].iter().all(|age| PodRow { age: (*age).into(), ..pod("x") }.is_young()));
        assert!(!PodRow { age: "3d1h".into(), ..pod("x") }.is_young());
        assert!(["0s", "119s", "4m59s"].iter().all(|age| PodRow { age: (*age).into(), ..pod("x") }.is_new()));
        assert!(["5m", "3h4m", "2d", ""].iter().all(|age| !PodRow { age: (*age).into(), ..pod("x") }.is_new()));
        let missing = Table { columns: vec!["Name".into()], cells: vec![vec![json!("x")]] };
        assert!(super::rows::<PodRow>(&missing).unwrap_err().contains("no column"));
    }
}
