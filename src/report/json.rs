//! The report for scripts: JSON, YAML, and the schema of both.

use serde::Serialize;
use serde_json::Value;

use super::Document;

/// Indented JSON, ending in a line break.
pub fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// The same as YAML.
pub fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(value)?)
}

/// The JSON Schema of what `-o json` prints.
pub fn schema() -> Value {
    schemars::schema_for!(Document).to_value()
}
