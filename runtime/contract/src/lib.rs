//! The contract of a node, written once as data and read by the program, by `gantry check`, by the generated page
//! `docs/nodes/<name>.md` and by the tests.
//!
//! A node declares a `const CONTRACT: Contract` with the functions of this crate:
//!
//! ```
//! use gantry_contract::*;
//! const CONTRACT: Contract = Contract {
//!     name: text("detect"),
//!     summary: text("Finds vehicles and plates in frames of many cameras."),
//!     inputs: list(const { &[input("frames", "frames/v1", Arity::Many, "u8 [3, H, W] RGB, planar")] }),
//!     outputs: list(const { &[output("detections", "detections/v1", "one row per frame, empty boxes when nothing is found")] }),
//!     params: list(const { &[
//!         f64_param("min_confidence", "", 0.0, 1.0, 0.4, "drop detections below this score").live(),
//!         choice_param("device", const { &[text("auto"), text("cpu"), text("cuda")] }, "auto", "where the model runs"),
//!     ] }),
//! };
//! assert!(CONTRACT.param("min_confidence").is_some());
//! ```

mod page;
mod params;

pub use page::{json, page};
pub use params::{ParamError, ParamSet, distance};

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Text of a contract: static in the node that declares it, owned where it was read from JSON.
pub type Text = Cow<'static, str>;

/// What a node takes, what it gives and how it can be adjusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// Kind of the node: the name of its crate, its directory and its binary.
    pub name: Text,
    /// One sentence.
    pub summary: Text,
    /// Inputs; the timer input `tick` that every node has is not listed.
    pub inputs: Cow<'static, [Port]>,
    /// Outputs.
    pub outputs: Cow<'static, [Port]>,
    /// Parameters. In a graph a parameter stands in `env`, its name in upper case.
    pub params: Cow<'static, [Param]>,
}

/// How many edges may end in an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arity {
    /// Exactly one edge.
    One,
    /// No edge or one.
    Optional,
    /// One or more edges. The input ids are the port's name, or the name, `_` and anything (`frames_cam0`).
    Many,
    /// Any number of edges, with input ids as [`Arity::Many`].
    Any,
}

impl Arity {
    /// Whether a graph must connect it.
    pub fn is_required(self) -> bool {
        matches!(self, Self::One | Self::Many)
    }

    /// Whether more than one edge may end here.
    pub fn takes_several(self) -> bool {
        matches!(self, Self::Many | Self::Any)
    }
}

/// One input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Name; the input or output id in the graph.
    pub name: Text,
    /// Message type with its version, e.g. `frames/v1`.
    pub message: Text,
    /// How many edges may end here (inputs; [`Arity::One`] for outputs).
    pub arity: Arity,
    /// dtype, shape with named axes, layout, colour, coordinate frame, and when it is sent.
    pub about: Text,
    /// Buffers of the sender that this input can hold at once; 0 if its messages carry no handles.
    pub max_held: u32,
    /// Inputs of a node with `memory` `cuda`: buffers in host memory are taken, too, and what is made of them is uploaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uploads: bool,
    /// Inputs from a node further down: this one does not wait for their end, which would wait for its own. Outputs: to a node further up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub feedback: bool,
    /// Outputs: rows of others that this node passes on while they are asked for, handles and all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passed_on: bool,
}

/// Type, unit, range and default of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Name with its unit (`stall_timeout_ms`).
    pub name: Text,
    /// Type, range and default.
    pub kind: ParamKind,
    /// One sentence.
    pub about: Text,
    /// Whether `dora param set` changes it while the node runs.
    pub live: bool,
}

/// Type, range and default of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ParamKind {
    /// A real number.
    Float {
        /// Unit, or empty.
        unit: Text,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
        /// Value when the graph names none.
        default: f64,
    },
    /// A whole number.
    Int {
        /// Unit, or empty.
        unit: Text,
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
        /// Value when the graph names none.
        default: i64,
    },
    /// `true` or `false`.
    Bool {
        /// Value when the graph names none.
        default: bool,
    },
    /// One of a few words.
    Choice {
        /// The words.
        options: Cow<'static, [Text]>,
        /// Value when the graph names none.
        default: Text,
    },
    /// Free text. `None` as default: the parameter must be given if `required`, else it is absent.
    Text {
        /// Value when the graph names none.
        default: Option<Text>,
        /// Whether the graph must name it.
        required: bool,
    },
    /// A list of texts, separated by commas in the graph.
    List {
        /// Value when the graph names none.
        default: Cow<'static, [Text]>,
    },
    /// A path. Relative ones start at the folder of the graph file; `gantry check` reports a missing file.
    Path {
        /// Value when the graph names none.
        default: Option<Text>,
        /// Whether the graph must name it.
        required: bool,
        /// Whether the file must be there before the start.
        must_exist: bool,
    },
}

impl Contract {
    /// The parameter of that name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name == name)
    }

    /// The output of that name.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|p| p.name == name)
    }

    /// The input port that an input id of the graph belongs to: `frames` and `frames_cam0` belong to `frames`.
    pub fn input_port(&self, input_id: &str) -> Option<&Port> {
        self.inputs.iter().find(|p| {
            input_id == p.name
                || (p.arity.takes_several()
                    && input_id.strip_prefix(p.name.as_ref()).is_some_and(|rest| rest.starts_with('_') && rest.len() > 1))
        })
    }
}

impl Param {
    /// Marks the parameter as one that follows `dora param set` while the node runs.
    pub const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Name in the `env` of a graph: upper case.
    pub fn env_name(&self) -> String {
        self.name.to_ascii_uppercase()
    }
}

impl Port {
    /// States how many buffers of the sender this input can hold at once.
    pub const fn holding(mut self, buffers: u32) -> Self {
        self.max_held = buffers;
        self
    }

    /// States that with `memory` `cuda` buffers in host memory are taken, too.
    pub const fn uploading(mut self) -> Self {
        self.uploads = true;
        self
    }

    /// States that this input comes from a node further down, or that this output goes to one further up.
    pub const fn feedback(mut self) -> Self {
        self.feedback = true;
        self
    }

    /// States that this output passes rows of others on.
    pub const fn passing_on(mut self) -> Self {
        self.passed_on = true;
        self
    }
}

/// Output of a node that passes on frames which it reads itself ([`Port::passed_on`]): its rows carry the handles of its input `frames`, and whoever reads it
/// reads the pools behind that input. A name, because the harness knows no contract but its node's own.
pub const PASSED_ON: &str = "views";

/// Static text.
pub const fn text(s: &'static str) -> Text {
    Cow::Borrowed(s)
}

/// Static list.
pub const fn list<T: Clone>(items: &'static [T]) -> Cow<'static, [T]> {
    Cow::Borrowed(items)
}

/// An input port.
pub const fn input(name: &'static str, message: &'static str, arity: Arity, about: &'static str) -> Port {
    Port {
        name: text(name),
        message: text(message),
        arity,
        about: text(about),
        max_held: 0,
        uploads: false,
        feedback: false,
        passed_on: false,
    }
}

/// An output port.
pub const fn output(name: &'static str, message: &'static str, about: &'static str) -> Port {
    Port {
        name: text(name),
        message: text(message),
        arity: Arity::One,
        about: text(about),
        max_held: 0,
        uploads: false,
        feedback: false,
        passed_on: false,
    }
}

const fn param(name: &'static str, kind: ParamKind, about: &'static str) -> Param {
    Param { name: text(name), kind, about: text(about), live: false }
}

/// A real number in `min..=max`.
pub const fn f64_param(name: &'static str, unit: &'static str, min: f64, max: f64, default: f64, about: &'static str) -> Param {
    param(name, ParamKind::Float { unit: text(unit), min, max, default }, about)
}

/// A whole number in `min..=max`.
pub const fn int_param(name: &'static str, unit: &'static str, min: i64, max: i64, default: i64, about: &'static str) -> Param {
    param(name, ParamKind::Int { unit: text(unit), min, max, default }, about)
}

/// `true` or `false`.
pub const fn bool_param(name: &'static str, default: bool, about: &'static str) -> Param {
    param(name, ParamKind::Bool { default }, about)
}

/// One of `options`, which are given as a static slice of [`Text`] (`&[text("a"), text("b")]`).
pub const fn choice_param(name: &'static str, options: &'static [Text], default: &'static str, about: &'static str) -> Param {
    param(name, ParamKind::Choice { options: list(options), default: text(default) }, about)
}

/// Free text that may be left out.
pub const fn text_param(name: &'static str, default: Option<&'static str>, about: &'static str) -> Param {
    let default = match default {
        Some(s) => Some(text(s)),
        None => None,
    };
    param(name, ParamKind::Text { default, required: false }, about)
}

/// Free text that the graph must name.
pub const fn required_text_param(name: &'static str, about: &'static str) -> Param {
    param(name, ParamKind::Text { default: None, required: true }, about)
}

/// Texts separated by commas.
pub const fn list_param(name: &'static str, default: &'static [Text], about: &'static str) -> Param {
    param(name, ParamKind::List { default: list(default) }, about)
}

/// A file that must be there before the start (a model, a syntax table).
pub const fn file_param(name: &'static str, default: Option<&'static str>, required: bool, about: &'static str) -> Param {
    let default = match default {
        Some(s) => Some(text(s)),
        None => None,
    };
    param(name, ParamKind::Path { default, required, must_exist: true }, about)
}

/// A file or folder that the node makes.
pub const fn out_path_param(name: &'static str, default: Option<&'static str>, about: &'static str) -> Param {
    let default = match default {
        Some(s) => Some(text(s)),
        None => None,
    };
    param(name, ParamKind::Path { default, required: false, must_exist: false }, about)
}
