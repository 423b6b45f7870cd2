//! Tables, lists, objects and logs.

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Live;
use super::api::{Failure, Get, PLAIN, encode, query};
use super::discovery::Resource;
use crate::facts::archive::LOG_BYTES;
use crate::facts::bundle::{LOG_LINES, end_of_log};
use crate::facts::{Kind, Select, Table, Why, kinds};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// A row is some 250 bytes, an object with its managed fields some 45 kB.
const ROWS_PER_PAGE: &str = "5000";
pub(super) const OBJECTS_PER_PAGE: &str = "500";
const PAGE_AT_MOST: usize = 256 << 20;
const LIST_AT_MOST: usize = 512 << 20;
/// How often a list whose continue token expired is read anew.
const RESTARTS: u32 = 2;

const LOG_AT_MOST: usize = 32 << 20;

/// Questions for events that are always of type Warning.
const WARNINGS: [&str; 8] = [
    "reason=Rebooted",
    "reason=EvictionThresholdMet",
    "reason=FailedCreatePodSandBox",
    "reason=ProvisioningFailed",
    "reason=VolumeFailedDelete",
    "reason=VolumeResizeFailed",
    "reason=FailedMount",
    "reason=FailedAttachVolume",
];

/// One page of a list, as a table or as objects.
pub(super) trait Page: DeserializeOwned {
    /// What the answer calls itself, and whether that was asked for.
    fn kind(&self) -> (&str, bool);
    /// Where the next page begins; empty on the last.
    fn next(&self) -> &str;
}

#[derive(Default, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub r#continue: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TablePage {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Option<Vec<Cells>>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

#[derive(Deserialize)]
struct Cells {
    cells: Vec<Value>,
}

impl Page for TablePage {
    fn kind(&self) -> (&str, bool) {
        (&self.kind, self.kind == "Table")
    }
    fn next(&self) -> &str {
        &self.metadata.r#continue
    }
}

#[derive(Deserialize)]
struct ListPage {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Meta,
    /// Some servers write null for none.
    items: Option<Vec<Value>>,
}

impl Page for ListPage {
    fn kind(&self) -> (&str, bool) {
        (&self.kind, self.kind.ends_with("List"))
    }
    fn next(&self) -> &str {
        &self.metadata.r#continue
    }
}

impl Live {
    /// The rows that the server prints. An empty `ns` means all namespaces.
    pub(super) async fn table(&self, kind: Kind, ns: &str, label: &str) -> Result<Table, Why> {
        let ns = (!ns.is_empty()).then_some(ns);
        let selection = [("includeObject", "None"), ("labelSelector", label), ("limit", ROWS_PER_PAGE)];
        let pages: Vec<TablePage> = self.pages(&self.path(kind, ns).await, TABLE, &selection).await?;
        let mut table = Table::default();
        for page in pages {
            if table.columns.is_empty() {
                table.columns = page.column_definitions.into_iter().map(|column| column.name).collect();
            }
            table.cells.extend(page.rows.unwrap_or_default().into_iter().map(|row| row.cells));
        }
        Ok(table)
    }

    /// Whole objects: all that the selector chooses, or none.
    pub(super) async fn list(&self, kind: Kind, ns: Option<&str>, select: &Select) -> Result<Vec<Value>, Why> {
        if kind == kinds::EVENT && ns.is_none() && WARNINGS.contains(&select.field.as_str()) {
            match self.warnings.get_or_init(|| self.few_warnings()).await {
                Ok(Some(all)) => return Ok(all.iter().filter(|event| select.matches(event)).cloned().collect()),
                Ok(None) => {}
                Err(why) => return Err(why.clone()),
            }
        }
        self.list_all(kind, ns, select).await
    }

    /// All warnings, if they fit on one page. Checks ask for them by reason, and each such question makes the
    /// server look at every event it has; only where there are many is each asked by itself.
    async fn few_warnings(&self) -> Result<Option<Vec<Value>>, Why> {
        let path = self.path(kinds::EVENT, None).await;
        let page = format!("{path}{}", query(&[("fieldSelector", "type=Warning"), ("limit", OBJECTS_PER_PAGE)]));
        let ask = Get { at_most: PAGE_AT_MOST, ..Get::new(&page, self.limits.list) };
        let body = self.api.get(&ask).await.map_err(Failure::why)?;
        let page: ListPage = page_of(&body)?;
        Ok(page.next().is_empty().then(|| page.items.unwrap_or_default()))
    }

    async fn list_all(&self, kind: Kind, ns: Option<&str>, select: &Select) -> Result<Vec<Value>, Why> {
        let selection =
            [("labelSelector", select.label.as_str()), ("fieldSelector", &select.field), ("limit", OBJECTS_PER_PAGE)];
        let pages: Vec<ListPage> = self.pages(&self.path(kind, ns).await, PLAIN, &selection).await?;
        Ok(pages.into_iter().flat_map(|page| page.items.unwrap_or_default()).collect())
    }

    /// One object, or none if the server knows that there is none of this name.
    pub(super) async fn object(&self, kind: Kind, ns: &str, name: &str) -> Result<Vec<Value>, Why> {
        let ns = (!ns.is_empty()).then_some(ns);
        let path = format!("{}/{}", self.path(kind, ns).await, encode(name));
        match self.api.get(&Get::new(&path, self.limits.small)).await {
            Ok(body) => Ok(vec![serde_json::from_slice(&body).map_err(|error| Why::Malformed(error.to_string()))?]),
            // Without a reason it is the path that was not found: the kind is not served.
            Err(Failure::Refused { status: StatusCode::NOT_FOUND, reason, .. }) if reason == "NotFound" => Ok(vec![]),
            Err(failure) => Err(failure.why()),
        }
    }

    /// The end of a log. A container that never ran has none, and that is an error, not an empty log.
    pub(super) async fn log(&self, ns: &str, pod: &str, container: &str, previous: bool) -> Result<Vec<u8>, Why> {
        // One byte more than is kept shows that there was more.
        let log = self.end_of(ns, pod, container, previous, (LOG_LINES, LOG_BYTES + 1)).await?;
        Ok(end_of_log(&log).to_vec())
    }

    /// So many lines and bytes of the end of a log.
    pub(super) async fn end_of(
        &self,
        ns: &str,
        pod: &str,
        container: &str,
        previous: bool,
        (lines, bytes): (usize, usize),
    ) -> Result<Vec<u8>, Why> {
        let path = format!("/api/v1/namespaces/{}/pods/{}/log", encode(ns), encode(pod));
        let previous = if previous { "true" } else { "" };
        let query = query(&[
            ("container", container),
            ("previous", previous),
            ("tailLines", &lines.to_string()),
            ("timestamps", "true"),
        ]);
        let path = path + &query;
        let ask = Get {
            accept: "*/*",
            at_most: LOG_AT_MOST,
            tail: Some(bytes),
            proxied: true,
            ..Get::new(&path, self.limits.small)
        };
        self.api.get(&ask).await.map_err(Failure::why)
    }

    /// Where a kind is served. Only kinds that come and go, and may be served in another version, wait for discovery.
    pub(super) async fn path(&self, kind: Kind, ns: Option<&str>) -> String {
        path_of(&self.resource(kind).await, ns)
    }

    /// All pages, or the reason why one of them is missing.
    pub(super) async fn pages<P: Page>(
        &self,
        path: &str,
        accept: &str,
        selection: &[(&str, &str)],
    ) -> Result<Vec<P>, Why> {
        let mut restarts = 0;
        loop {
            match self.pages_once(path, accept, selection).await {
                Err(Failed::Expired) if restarts < RESTARTS => restarts += 1,
                Err(Failed::Expired) => {
                    return Err(Why::Unreachable("410: the list changes faster than it can be read".into()));
                }
                Err(Failed::Other(why)) => return Err(why),
                Ok(pages) => return Ok(pages),
            }
        }
    }

    async fn pages_once<P: Page>(
        &self,
        path: &str,
        accept: &str,
        selection: &[(&str, &str)],
    ) -> Result<Vec<P>, Failed> {
        let (mut pages, mut next, mut bytes) = (Vec::new(), String::new(), 0);
        loop {
            let mut pairs = selection.to_vec();
            pairs.push(("continue", &next));
            let page = format!("{path}{}", query(&pairs));
            let ask = Get { accept, at_most: PAGE_AT_MOST, ..Get::new(&page, self.limits.list) };
            let body = self.api.get(&ask).await.map_err(|failure| match failure {
                Failure::Refused { status: StatusCode::GONE, .. } if !next.is_empty() => Failed::Expired,
                failure => Failed::Other(failure.why()),
            })?;
            bytes += body.len();
            if bytes > LIST_AT_MOST {
                return Err(Failed::Other(Why::OverBudget));
            }
            let page: P = page_of(&body).map_err(Failed::Other)?;
            let last = page.next().is_empty();
            if !last && page.next() == next {
                return Err(Failed::Other(Why::Malformed("the list never ends: its continue token repeats".into())));
            }
            page.next().clone_into(&mut next);
            pages.push(page);
            if last {
                return Ok(pages);
            }
        }
    }
}

/// The path of a kind, in one namespace or in all.
pub(super) fn path_of(resource: &Resource, ns: Option<&str>) -> String {
    let Resource { group, version, plural, namespaced } = resource;
    let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", encode(group)) };
    let within = ns.filter(|_| *namespaced).map(|ns| format!("/namespaces/{}", encode(ns)));
    format!("{root}/{}{}/{}", encode(version), within.unwrap_or_default(), encode(plural))
}

enum Failed {
    /// The continue token is too old: the list must be read from its beginning.
    Expired,
    Other(Why),
}

fn page_of<P: Page>(body: &[u8]) -> Result<P, Why> {
    let page: P = serde_json::from_slice(body).map_err(|error| Why::Malformed(error.to_string()))?;
    match page.kind() {
        (_, true) => Ok(page),
        (kind, false) => Err(Why::Malformed(format!("the server answered with kind {kind:.60?}"))),
    }
}
