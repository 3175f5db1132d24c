//! The contracts of the nodes of this project, as their crates generate them.

use gantry_contract::Contract;
use std::collections::BTreeMap;
use std::sync::OnceLock;

const JSON: &[&str] = &[
    include_str!("../../../nodes/camera/contract.json"),
    include_str!("../../../nodes/crop/contract.json"),
    include_str!("../../../nodes/decode/contract.json"),
    include_str!("../../../nodes/detect/contract.json"),
    include_str!("../../../nodes/enhance/contract.json"),
    include_str!("../../../nodes/kafka_sink/contract.json"),
    include_str!("../../../nodes/metrics/contract.json"),
    include_str!("../../../nodes/mqtt_sink/contract.json"),
    include_str!("../../../nodes/pack/contract.json"),
    include_str!("../../../nodes/preview/contract.json"),
    include_str!("../../../nodes/recognize/contract.json"),
    include_str!("../../../nodes/record/contract.json"),
    include_str!("../../../nodes/resize/contract.json"),
    include_str!("../../../nodes/store/contract.json"),
    include_str!("../../../nodes/track/contract.json"),
    include_str!("../../../nodes/unpack/contract.json"),
    include_str!("../../../nodes/visits/contract.json"),
    include_str!("../../../nodes/vote/contract.json"),
    include_str!("../../../nodes/webhook_sink/contract.json"),
];

/// All contracts by node kind.
pub(crate) fn contracts() -> &'static BTreeMap<String, Contract> {
    static ALL: OnceLock<BTreeMap<String, Contract>> = OnceLock::new();
    ALL.get_or_init(|| {
        let read = |text: &&str| serde_json::from_str::<Contract>(text).ok().map(|c| (c.name.to_string(), c));
        JSON.iter().filter_map(read).collect()
    })
}

/// The contract of a node kind: the file name of the node's `path`, without extension.
pub fn contract_of(kind: &str) -> Option<&'static Contract> {
    contracts().get(kind)
}

/// Whether an output of a node kind goes down the stream; of a node that is not ours each does.
pub fn goes_downstream(kind: &str, output: &str) -> bool {
    !contract_of(kind).and_then(|contract| contract.output(output)).is_some_and(|port| port.feedback)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_contract_is_readable() {
        assert_eq!(super::contracts().len(), super::JSON.len());
    }
}
