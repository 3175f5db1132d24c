//! What a model says about itself: ONNX metadata, and a sidecar file beside it.

use crate::ModelError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Keys and values, all as text. Lists are JSON or what Python prints for a dict or list, as Ultralytics writes them.
pub(crate) type Metadata = BTreeMap<String, String>;

/// The sidecar of a model, if there is one: `<model>.json|yaml|yml` with or without `.onnx`, or `<model>_plate_config.yaml`, the name
/// under which fast-plate-ocr ships it.
pub(crate) fn sidecar_of(model: &Path) -> Option<PathBuf> {
    let name = model.file_name()?.to_str()?;
    let stem = model.file_stem()?.to_str()?;
    let mut names = Vec::new();
    for base in [stem.to_owned(), name.to_owned(), format!("{stem}_plate_config"), format!("{stem}_config")] {
        names.extend(["json", "yaml", "yml"].map(|ext| format!("{base}.{ext}")));
    }
    names.into_iter().map(|n| model.with_file_name(n)).find(|path| path.is_file())
}

/// Reads a sidecar: a JSON object, or the top level `key: value` lines of YAML.
pub(crate) fn read_sidecar(path: &Path) -> Result<Metadata, ModelError> {
    let failed = |reason: String| ModelError::Sidecar { path: path.to_owned(), reason };
    let content = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    if path.extension().is_some_and(|ext| ext == "json") {
        let value: BTreeMap<String, Value> = serde_json::from_str(&content).map_err(|e| failed(e.to_string()))?;
        Ok(value.into_iter().map(|(key, value)| (key, plain(value))).collect())
    } else {
        flat_yaml(&content).map_err(failed)
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(s) => s,
        other => other.to_string(),
    }
}

/// Scalars at the top level; nested blocks and lists over several lines are left out.
fn flat_yaml(content: &str) -> Result<Metadata, String> {
    let mut entries = Metadata::new();
    for (number, line) in content.lines().enumerate() {
        let nested = line.starts_with([' ', '\t', '-', '#']) || line.trim().is_empty() || line.starts_with("---");
        if nested {
            continue;
        }
        let (key, value) = line.split_once(':').ok_or_else(|| format!("line {}: no `key: value`", number + 1))?;
        let value = scalar(value.trim()).ok_or_else(|| format!("line {}: a quote is not closed", number + 1))?;
        if !value.is_empty() {
            entries.insert(key.trim().to_owned(), value);
        }
    }
    Ok(entries)
}

fn scalar(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        let end = rest.rfind('\'')?;
        return Some(rest[..end].replace("''", "'"));
    }
    if value.starts_with('"') {
        let end = value.rfind('"').filter(|end| *end > 0)?;
        return serde_json::from_str(&value[..=end]).ok();
    }
    Some(value.split(" #").next().unwrap_or_default().trim().to_owned())
}

/// Class names by index: `{0: 'car', 1: 'plate'}` as Python prints it, or a JSON object or list.
pub(crate) fn class_names(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let inner =
        text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).or_else(|| text.strip_prefix('[').and_then(|t| t.strip_suffix(']')))?;
    let is_map = text.starts_with('{');
    let mut names = BTreeMap::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let index = if is_map {
            let (key, after) = rest.split_once(':')?;
            rest = after.trim_start();
            key.trim().trim_matches(['"', '\'']).parse::<usize>().ok()?
        } else {
            names.len()
        };
        let (name, after) = quoted(rest)?;
        names.insert(index, name);
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    let complete = names.keys().copied().eq(0..names.len());
    (complete && !names.is_empty()).then(|| names.into_values().collect())
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next().filter(|(_, c)| matches!(c, '\'' | '"'))?;
    let mut name = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            c if c == quote => return Some((name, &text[at + c.len_utf8()..])),
            c => name.push(c),
        }
    }
    None
}

/// Numbers of a list such as `[544, 960]`, or one number.
pub(crate) fn numbers(text: &str) -> Option<Vec<u32>> {
    let inner = text.trim().trim_matches(['[', ']', '(', ')']);
    inner.split(',').map(|n| n.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn class_names_are_read_as_python_and_as_json_write_them() {
        let names = |s: &str| class_names(s);
        assert_eq!(names("{0: 'vehicle', 1: 'plate'}").unwrap(), ["vehicle", "plate"]);
        assert_eq!(names(r#"{0: "driver's cab", 1: 'a, b: c'}"#).unwrap(), ["driver's cab", "a, b: c"]);
        assert_eq!(names(r#"{"1": "b", "0": "a"}"#).unwrap(), ["a", "b"]);
        assert_eq!(names(r#"["a", "b"]"#).unwrap(), ["a", "b"]);
        assert_eq!(names("{0: 'a', 2: 'c'}"), None);
        assert_eq!(names("{}"), None);
        assert_eq!(names("{0: 'open}"), None);
    }

    #[test]
    fn the_plate_config_of_fast_plate_ocr_is_read() {
        let yaml = "# Config\nmax_plate_slots: 9\nalphabet: '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_'\npad_char: \"_\"\nimg_height: 64 # px\n\
                    keep_aspect_ratio: false\nplate_regions:\n  - Argentina\n  - Brazil\nimage_color_mode: rgb\n";
        let entries = flat_yaml(yaml).unwrap();
        assert_eq!(entries["max_plate_slots"], "9");
        assert_eq!(entries["alphabet"].len(), 37);
        assert_eq!(entries["pad_char"], "_");
        assert_eq!(entries["img_height"], "64");
        assert_eq!(entries["image_color_mode"], "rgb");
        assert!(!entries.contains_key("plate_regions"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,60}") {
            let _ = (class_names(&text), numbers(&text), flat_yaml(&text));
        }

        #[test]
        fn class_names_survive_being_printed(names in proptest::collection::vec("[a-z_ ,:{}]{1,12}", 1..9)) {
            let printed = format!("{{{}}}", names.iter().enumerate().map(|(i, n)| format!("{i}: '{n}'")).collect::<Vec<_>>().join(", "));
            prop_assert_eq!(class_names(&printed), Some(names));
        }
    }
}
