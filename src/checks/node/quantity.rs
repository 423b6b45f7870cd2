//! Kubernetes' quantities of memory.

use serde_json::Value;

pub(crate) const MIB: f64 = 1_048_576.0;

/// As it stands in the object, with its unit.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A Kubernetes quantity of bytes.
pub(crate) fn bytes(quantity: &str) -> Option<f64> {
    let at = quantity.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(at);
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => MIB,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn quantities_are_read() {
        for (quantity, expected) in [("50Mi", 52_428_800.0), ("2G", 2e9), ("1.5Gi", 1_610_612_736.0), ("1000", 1000.0)]
        {
            assert_eq!(bytes(quantity), Some(expected), "{quantity}");
        }
        assert_eq!(bytes("much"), None);
    }
}
