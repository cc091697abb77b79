//! What a caller asks of a trace: geth's `TraceConfig`.

use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

use super::struct_log::StructLogger;
use super::tracer::{Named, Tracer};
use crate::error::{Error, Result};
use crate::quantity;

/// geth's `defaultTraceTimeout`.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most tracers that one muxTracer runs.
const MAX_TRACERS: usize = 16;

/// The struct logger's options, which lie beside `tracer` in the object.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogOptions {
    pub enable_memory: bool,
    pub disable_stack: bool,
    pub disable_storage: bool,
    pub enable_return_data: bool,
    /// Stops recording when the result has grown over so many bytes; 0: never.
    pub limit: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Given {
    tracer: Option<String>,
    tracer_config: Value,
    timeout: Option<String>,
    tx_index: Value,
    state_overrides: Value,
    block_overrides: Value,
}

#[derive(Debug)]
pub struct Options {
    logs: LogOptions,
    tracer: String,
    config: Value,
    pub timeout: Duration,
    pub tx_index: Option<usize>,
    /// Of the state and of the block, for a call: JSON, each null where there are none.
    pub overrides: (String, String),
    /// More than one tracer, each under its name.
    pub mux: bool,
}

fn refused(why: impl Into<String>) -> Error {
    Error::InvalidTransaction(why.into())
}

impl Options {
    pub fn parse(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| Error::Invalid(format!("the options are not JSON: {error}")))?;
        if !value.is_object() {
            return Err(Error::Invalid("the options are not a JSON object".into()));
        }
        let wrong = |error: serde_json::Error| Error::Invalid(format!("the options: {error}"));
        let present: Value = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let logs = LogOptions::deserialize(&present).map_err(wrong)?;
        let given = Given::deserialize(&present).map_err(wrong)?;
        let tx_index = match &given.tx_index {
            Value::Null => None,
            index => Some(
                quantity::u256(index)
                    .and_then(|index| usize::try_from(index).ok())
                    .ok_or_else(|| Error::Invalid("txIndex is not a quantity".into()))?,
            ),
        };
        let tracer = given.tracer.unwrap_or_default();
        Ok(Self {
            logs,
            timeout: match &given.timeout {
                Some(text) => duration(text)
                    .ok_or_else(|| refused(format!("time: invalid duration {text:?}")))?,
                None => TIMEOUT,
            },
            tx_index,
            overrides: (
                given.state_overrides.to_string(),
                given.block_overrides.to_string(),
            ),
            mux: tracer == "muxTracer",
            config: given.tracer_config,
            tracer,
        })
    }

    /// The tracers, new.
    pub fn tracers(&self) -> Result<Vec<Named>> {
        if self.tracer.is_empty() {
            return Ok(vec![Named {
                name: String::new(),
                tracer: Tracer::StructLog(StructLogger::new(self.logs)),
            }]);
        }
        if !self.mux {
            return Ok(vec![Named::new(&self.tracer, &self.config)?]);
        }
        let Value::Object(parts) = &self.config else {
            return Err(refused(
                "muxTracer wants an object of tracers in tracerConfig",
            ));
        };
        if parts.len() > MAX_TRACERS {
            return Err(refused(format!(
                "muxTracer runs at most {MAX_TRACERS} tracers"
            )));
        }
        parts
            .iter()
            .map(|(name, config)| Named::new(name, config))
            .collect()
    }
}

/// Go's `time.ParseDuration`: "5s", "1m30s", "300ms". Negative ones are over at once.
fn duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        seconds += amount
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    if negative {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, wanted) in [
            ("5s", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("300ms", Some(300)),
            ("1.5h", Some(5_400_000)),
            ("0", Some(0)),
            ("-5s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("1.2.3s", None),
            ("5sx", None),
        ] {
            assert_eq!(
                duration(text).map(|found| found.as_millis()),
                wanted,
                "{text:?}"
            );
        }
        assert_eq!(duration(&format!("{}h", "9".repeat(400))), None);
    }
}
