//! The shipped operators as kernels, with the options that their libraries take.

use gantry_contract::{Contract, Param, ParamSet, text};
use gantry_kernels::{Morphology, Operator, Surroundings};
use gantry_node::Fault;
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Clahe {
    clip_limit: f64,
    tiles: u32,
}

#[derive(Deserialize)]
struct AdaptiveThreshold {
    mean: String,
    block_px: u32,
    c: f64,
}

#[derive(Deserialize)]
struct Rectangle {
    operation: String,
    width_px: u32,
    height_px: u32,
}

#[derive(Deserialize)]
struct Sharpen {
    sigma_px: f64,
    amount: f64,
    threshold: i32,
}

/// The kernel that gives the bytes of operator `name` with `options` (`key=value;key=value`); `params` are those of its library, with their defaults.
///
/// # Errors
/// An operator that has no kernel; options that the library would refuse, too.
pub fn kernel_of(name: &str, params: &[Param], options: &str) -> Result<Operator, Fault> {
    let no_kernel = || {
        Fault::new(format!("operator `{name}` has no kernel, it runs on the CPU alone"))
            .hint("take it out of `OPERATORS`, or set `MEMORY: host` at `crop`, `enhance` and `recognize`")
    };
    let contract = Contract {
        name: text("operator"),
        summary: text(""),
        inputs: Cow::Borrowed(&[]),
        outputs: Cow::Borrowed(&[]),
        params: Cow::Owned(params.to_vec()),
    };
    let pairs = options.split(';').filter_map(|part| part.split_once('=')).map(|(key, value)| (key.trim(), value.trim()));
    let refused = |faults: Vec<gantry_contract::ParamError>| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Fault::new(lines.join("; ")).context(format!("options of operator `{name}`"))
    };
    let set = ParamSet::from_env(&contract, pairs).map_err(refused)?;
    Ok(match name {
        "clahe" => {
            let Clahe { clip_limit, tiles } = set.to()?;
            Operator::Clahe { clip_limit, tiles }
        }
        "equalize" => Operator::Equalize,
        "adaptive_threshold" => {
            let AdaptiveThreshold { mean, block_px, c } = set.to()?;
            let mean = if mean == "gaussian" { Surroundings::Gaussian } else { Surroundings::Mean };
            Operator::AdaptiveThreshold { mean, block_px, c: c.round() as i32 }
        }
        "morphology" => {
            let Rectangle { operation, width_px, height_px } = set.to()?;
            let operation = match operation.as_str() {
                "open" => Morphology::Open,
                "close" => Morphology::Close,
                "tophat" => Morphology::Tophat,
                "blackhat" => Morphology::Blackhat,
                "gradient" => Morphology::Gradient,
                "erode" => Morphology::Erode,
                "dilate" => Morphology::Dilate,
                _ => return Err(no_kernel()),
            };
            Operator::Morphology { operation, width_px, height_px }
        }
        "sharpen" => {
            let Sharpen { sigma_px, amount, threshold } = set.to()?;
            Operator::Sharpen { sigma_px, amount, threshold }
        }
        _ => return Err(no_kernel()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_contract::{f64_param, int_param};

    const CLAHE: &[Param] = &[f64_param("clip_limit", "", 1.0, 100.0, 2.0, ""), int_param("tiles", "", 1, 64, 8, "")];

    #[test]
    fn options_and_defaults_are_those_of_the_library() {
        assert_eq!(kernel_of("clahe", CLAHE, "").unwrap(), Operator::Clahe { clip_limit: 2.0, tiles: 8 });
        assert_eq!(kernel_of("clahe", CLAHE, "clip_limit = 3;tiles=4").unwrap(), Operator::Clahe { clip_limit: 3.0, tiles: 4 });
        let refused = kernel_of("clahe", CLAHE, "tiles=900").unwrap_err();
        assert!(refused.message().contains("`clahe`") && refused.message().contains("tiles"), "{refused}");
        let unknown = kernel_of("denoise", &[], "").unwrap_err();
        assert!(unknown.message().contains("no kernel") && unknown.hint_text().is_some(), "{unknown}");
    }
}
