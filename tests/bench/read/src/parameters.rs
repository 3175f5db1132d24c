//! Parameters of all stages, from the graph file that `gantry read` runs: both sides do the same work.

use gantry_contract::{Contract, ParamSet};
use gantry_graph::Graph;
use gantry_node::Fault;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

/// See the contracts of the nodes.
pub struct Parameters {
    /// Width and height of the detector's input in px.
    pub input: (usize, usize),
    /// `detect`, its model as a path from here.
    pub detect: gantry_node_detect::Params,
    /// `track`.
    pub track: gantry_node_track::Params,
    /// `crop`.
    pub crop: gantry_node_crop::Params,
    /// `enhance`.
    pub enhance: gantry_node_enhance::Params,
    /// `recognize`, its model as a path from here.
    pub recognize: gantry_node_recognize::Params,
    /// `vote`.
    pub vote: gantry_node_vote::Params,
}

impl Parameters {
    /// Reads them from a graph with one node of each kind.
    ///
    /// # Errors
    /// A graph that cannot be read, has no such node, or asks for what the straight line does not do.
    pub fn read(file: &Path) -> Result<Self, Fault> {
        let graph = Graph::read(file).map_err(|faults| Fault::new(gantry_graph::render(&faults)))?;
        let set = |contract: &Contract| -> Result<ParamSet, Fault> {
            let node = graph.nodes.iter().find(|n| n.kind() == contract.name);
            let node = node.ok_or_else(|| Fault::new(format!("{}: no node `{}`", file.display(), contract.name)))?;
            let env = node.env.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            ParamSet::from_env(contract, env).map_err(|faults| {
                Fault::new(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")).context(node.id.clone())
            })
        };
        fn params<P: DeserializeOwned>(set: &ParamSet) -> Result<P, Fault> {
            Ok(set.to()?)
        }
        let from_graph = |path: &str| graph.folder.join(path).display().to_string();
        let resize = set(&gantry_node_resize::CONTRACT)?;
        let word = |name: &str| resize.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if (word("dtype").as_str(), word("layout").as_str()) != ("u8", "nchw") {
            return Err(Fault::new(format!("{}: `resize` makes {} {}", file.display(), word("dtype"), word("layout")))
                .hint("the straight line makes u8 nchw only"));
        }
        let px = |name: &str| resize.get(name).and_then(Value::as_u64).unwrap_or(0) as usize;
        let mut detect: gantry_node_detect::Params = params(&set(&gantry_node_detect::CONTRACT)?)?;
        detect.model = from_graph(&detect.model);
        let mut recognize: gantry_node_recognize::Params = params(&set(&gantry_node_recognize::CONTRACT)?)?;
        recognize.model = from_graph(&recognize.model);
        Ok(Self {
            input: (px("width"), px("height")),
            detect,
            track: params(&set(&gantry_node_track::CONTRACT)?)?,
            crop: params(&set(&gantry_node_crop::CONTRACT)?)?,
            enhance: params(&set(&gantry_node_enhance::CONTRACT)?)?,
            recognize,
            vote: params(&set(&gantry_node_vote::CONTRACT)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters;
    use std::path::Path;

    #[test]
    fn the_shipped_graph_gives_parameters_for_every_stage() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../graphs/read.yml");
        let p = Parameters::read(&file).unwrap();
        assert_eq!(p.input, (960, 544));
        assert_eq!((p.crop.min_track_frames, p.crop.min_plate_confidence), (5, 0.75));
        assert_eq!(p.enhance.operators.len(), 5);
        assert!(Path::new(&p.detect.model).is_file() && Path::new(&p.recognize.model).is_file());
    }
}
