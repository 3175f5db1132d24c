//! Values of parameters: from the `env` of a graph, checked against the contract.

use crate::{Contract, Param, ParamKind};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

/// Why a parameter was refused. `Display` says what, where and why; [`ParamError::hint`] what to do.
#[derive(Debug, Error, PartialEq)]
pub enum ParamError {
    /// The contract has no such parameter.
    #[error("node kind `{node}` has no parameter `{name}`")]
    Unknown {
        /// Node kind.
        node: String,
        /// What the graph says.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// The text is not of the parameter's type.
    #[error("parameter `{name}`: `{value}` is not {wanted}")]
    Type {
        /// Parameter.
        name: String,
        /// What the graph says.
        value: String,
        /// What is wanted, in words.
        wanted: String,
    },
    /// Outside the range or not one of the options.
    #[error("parameter `{name}`: {value} is outside {range}")]
    Range {
        /// Parameter.
        name: String,
        /// What the graph says.
        value: String,
        /// The range in words.
        range: String,
    },
    /// A required parameter is missing.
    #[error("parameter `{name}` is missing")]
    Missing {
        /// Parameter.
        name: String,
        /// What it is for.
        about: String,
    },
    /// The parameter cannot be changed while the node runs.
    #[error("parameter `{name}` cannot be changed while the node runs")]
    NotLive {
        /// Parameter.
        name: String,
    },
    /// The node's own `Params` type does not fit its contract: a bug in the node.
    #[error("parameters do not fit the node's own table: {0}")]
    Shape(String),
}

impl ParamError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(n), .. } => Some(format!("did you mean `{n}`?")),
            Self::Unknown { node, .. } => Some(format!("see docs/nodes/{node}.md for the parameters it has")),
            Self::Missing { name, about } => Some(format!("set `{}` in the node's `env`: {about}", name.to_ascii_uppercase())),
            Self::NotLive { name } => {
                Some(format!("set `{}` in the node's `env` and restart it: dora node restart", name.to_ascii_uppercase()))
            }
            Self::Type { .. } | Self::Range { .. } | Self::Shape(_) => None,
        }
    }
}

/// The complete, checked parameters of a node: given values over defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSet {
    values: Map<String, Value>,
}

impl ParamSet {
    /// The defaults of `contract`; required parameters are left out.
    pub fn defaults(contract: &Contract) -> Self {
        let values = contract.params.iter().filter_map(|p| Some((p.name.to_string(), default_of(p)?))).collect();
        Self { values }
    }

    /// Checks `env` (names in upper case, as in the graph) against `contract`, all faults at once.
    ///
    /// # Errors
    /// Every unknown name, wrong type, value out of range and missing required parameter.
    pub fn from_env<'a>(contract: &Contract, env: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<ParamError>> {
        let mut set = Self::defaults(contract);
        let mut faults = Vec::new();
        for (key, value) in env {
            let name = key.to_ascii_lowercase();
            match contract.param(&name) {
                None => faults.push(unknown(contract, key)),
                Some(param) => match parse(param, value) {
                    Ok(v) => {
                        set.values.insert(name, v);
                    }
                    Err(fault) => faults.push(fault),
                },
            }
        }
        for p in contract.params.iter() {
            let required = matches!(&p.kind, ParamKind::Text { required: true, .. } | ParamKind::Path { required: true, .. });
            if required && !set.values.contains_key(p.name.as_ref()) && !faults.iter().any(|f| f.names(&p.name)) {
                faults.push(ParamError::Missing { name: p.name.to_string(), about: p.about.to_string() });
            }
        }
        if faults.is_empty() { Ok(set) } else { Err(faults) }
    }

    /// Applies one change from `dora param set`.
    ///
    /// # Errors
    /// As [`ParamSet::from_env`], and [`ParamError::NotLive`]. Nothing is changed on an error.
    pub fn set_live(&mut self, contract: &Contract, key: &str, value: &Value) -> Result<(), ParamError> {
        let name = key.to_ascii_lowercase();
        let param = contract.param(&name).ok_or_else(|| unknown(contract, key))?;
        let text = match value {
            Value::String(s) => s.clone(),
            Value::Array(items) => {
                items.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        let parsed = parse(param, &text)?;
        if !param.live {
            return Err(ParamError::NotLive { name });
        }
        self.values.insert(name, parsed);
        Ok(())
    }

    /// The node's own parameter struct (serde, `deny_unknown_fields`).
    ///
    /// # Errors
    /// [`ParamError::Shape`] if the struct and the contract differ, which a test of every node excludes.
    pub fn to<P: DeserializeOwned>(&self) -> Result<P, ParamError> {
        serde_json::from_value(Value::Object(self.values.clone())).map_err(|e| ParamError::Shape(e.to_string()))
    }

    /// One value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// All values, sorted by name.
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }
}

impl ParamError {
    fn names(&self, param: &str) -> bool {
        match self {
            Self::Type { name, .. } | Self::Range { name, .. } => name == param,
            _ => false,
        }
    }
}

fn default_of(param: &Param) -> Option<Value> {
    match &param.kind {
        ParamKind::Float { default, .. } => Some(Value::from(*default)),
        ParamKind::Int { default, .. } => Some(Value::from(*default)),
        ParamKind::Bool { default } => Some(Value::from(*default)),
        ParamKind::Choice { default, .. } => Some(Value::from(default.as_ref())),
        ParamKind::Text { default, .. } | ParamKind::Path { default, .. } => default.as_ref().map(|d| Value::from(d.as_ref())),
        ParamKind::List { default } => Some(default.iter().map(|s| Value::from(s.as_ref())).collect()),
    }
}

fn parse(param: &Param, text: &str) -> Result<Value, ParamError> {
    let name = || param.name.to_string();
    let wrong = |wanted: &str| ParamError::Type { name: name(), value: text.to_owned(), wanted: wanted.to_owned() };
    let outside = |range: String| ParamError::Range { name: name(), value: text.to_owned(), range };
    match &param.kind {
        ParamKind::Float { min, max, .. } => {
            let v: f64 = text.trim().parse().map_err(|_| wrong("a number"))?;
            if v.is_finite() && (*min..=*max).contains(&v) { Ok(Value::from(v)) } else { Err(outside(format!("{min}..={max}"))) }
        }
        ParamKind::Int { min, max, .. } => {
            let v: i64 = text.trim().parse().map_err(|_| wrong("a whole number"))?;
            if (*min..=*max).contains(&v) { Ok(Value::from(v)) } else { Err(outside(format!("{min}..={max}"))) }
        }
        ParamKind::Bool { .. } => match text.trim() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(wrong("`true` or `false`")),
        },
        ParamKind::Choice { options, .. } => {
            if options.iter().any(|o| o == text.trim()) {
                Ok(Value::from(text.trim()))
            } else {
                Err(outside(options.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(", ")))
            }
        }
        ParamKind::Text { .. } | ParamKind::Path { .. } => {
            if text.is_empty() {
                Err(wrong("a text (leave the parameter out to have none)"))
            } else {
                Ok(Value::from(text))
            }
        }
        ParamKind::List { .. } => Ok(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Value::from).collect()),
    }
}

fn unknown(contract: &Contract, key: &str) -> ParamError {
    let name = key.to_ascii_lowercase();
    let nearest = contract
        .params
        .iter()
        .map(|p| (distance(&name, &p.name), p))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, p)| *d <= 1 + p.name.len() / 4)
        .map(|(_, p)| p.env_name());
    ParamError::Unknown { node: contract.name.to_string(), name: key.to_owned(), nearest }
}

/// Levenshtein distance, for "did you mean".
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;
    use serde::Deserialize;

    const CONTRACT: Contract = Contract {
        name: text("detect"),
        summary: text("Finds plates."),
        inputs: list(&[]),
        outputs: list(&[]),
        params: list(
            const {
                &[
                    f64_param("min_confidence", "", 0.0, 1.0, 0.4, "drop below").live(),
                    int_param("max_wait_ms", "ms", 0, 1000, 5, "wait"),
                    bool_param("enabled", true, "on"),
                    choice_param("device", const { &[text("cpu"), text("cuda")] }, "cpu", "where"),
                    file_param("model", None, true, "the ONNX file"),
                    list_param("variants", const { &[text("clahe")] }, "which"),
                ]
            },
        ),
    };

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Params {
        min_confidence: f32,
        max_wait_ms: u64,
        enabled: bool,
        device: String,
        model: String,
        variants: Vec<String>,
    }

    #[test]
    fn fills_defaults_and_reads_given_values() {
        let set = ParamSet::from_env(&CONTRACT, [("MODEL", "a.onnx"), ("MIN_CONFIDENCE", "0.25"), ("VARIANTS", "a, b")]).unwrap();
        let p: Params = set.to().unwrap();
        let wanted = Params {
            min_confidence: 0.25,
            max_wait_ms: 5,
            enabled: true,
            device: "cpu".into(),
            model: "a.onnx".into(),
            variants: vec!["a".into(), "b".into()],
        };
        assert_eq!(p, wanted);
    }

    #[test]
    fn reports_every_fault_at_once_with_a_near_miss() {
        let faults =
            ParamSet::from_env(&CONTRACT, [("MIN_CONFIDENSE", "0.4"), ("MAX_WAIT_MS", "2000"), ("DEVICE", "tpu"), ("ENABLED", "yes")])
                .unwrap_err();
        assert_eq!(faults.len(), 5);
        assert_eq!(faults[0].hint().as_deref(), Some("did you mean `MIN_CONFIDENCE`?"));
        assert_eq!(faults[1].to_string(), "parameter `max_wait_ms`: 2000 is outside 0..=1000");
        assert!(matches!(faults[4], ParamError::Missing { .. }));
    }

    #[test]
    fn changes_live_parameters_only() {
        let mut set = ParamSet::defaults(&CONTRACT);
        set.set_live(&CONTRACT, "min_confidence", &Value::from(0.9)).unwrap();
        assert_eq!(set.get("min_confidence"), Some(&Value::from(0.9)));
        assert!(matches!(set.set_live(&CONTRACT, "max_wait_ms", &Value::from(7)), Err(ParamError::NotLive { .. })));
        assert!(matches!(set.set_live(&CONTRACT, "MIN_CONFIDENCE", &Value::from(7)), Err(ParamError::Range { .. })));
    }

    #[test]
    fn survives_json() {
        let text = crate::json(&CONTRACT);
        let back: Contract = serde_json::from_str(&text).unwrap();
        assert_eq!(back, CONTRACT);
    }

    #[test]
    fn finds_the_port_of_an_input_id() {
        let contract = Contract {
            inputs: vec![input("frames", "frames/v1", Arity::Many, ""), input("tracks", "tracks/v1", Arity::One, "")].into(),
            ..CONTRACT
        };
        assert_eq!(contract.input_port("frames_cam0").unwrap().name, "frames");
        assert_eq!(contract.input_port("frames").unwrap().name, "frames");
        assert!(contract.input_port("tracks_cam0").is_none());
        assert!(contract.input_port("frames_").is_none());
    }
}
