//! Finding, loading and setting up the operators.

use gantry_node::Fault;
use gantry_operators::{Instance, Library, library_file};
use std::path::{Path, PathBuf};

/// Folders in which operators are looked for.
///
/// # Errors
/// If the program does not know where it lies.
pub fn folders(operator_path: Option<&str>) -> Result<Vec<PathBuf>, Fault> {
    if let Some(path) = operator_path {
        return Ok(std::env::split_paths(path).collect());
    }
    let program = std::env::current_exe().map_err(|e| Fault::from(e).context("path of this program").hint("set `OPERATOR_PATH`"))?;
    let folder = program.parent().unwrap_or(Path::new(".")).to_owned();
    Ok(vec![folder.clone(), folder.join("deps")])
}

/// The options of one operator out of `name.key=value;name.key=value`, as `key=value;key=value`.
///
/// # Errors
/// If a part is no `operator.key=value` or names an operator that does not run.
pub fn split_options(options: &str, operators: &[String]) -> Result<Vec<String>, Fault> {
    let mut split = vec![String::new(); operators.len()];
    for part in options.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let wrong = |why: String, hint: String| Fault::new(why).context("parameter `options`").hint(hint);
        let parsed = part.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
        let Some(((operator, key), value)) = parsed else {
            return Err(wrong(
                format!("`{part}` is no `operator.key=value`"),
                "for example `clahe.clip_limit=3;sharpen.amount=0.8`".to_owned(),
            ));
        };
        let Some(index) = operators.iter().position(|o| o == operator.trim()) else {
            let why = format!("`{part}` is for operator `{}`, which is not run", operator.trim());
            return Err(wrong(why, format!("add it to `OPERATORS` or take one of: {}", operators.join(", "))));
        };
        if !split[index].is_empty() {
            split[index].push(';');
        }
        split[index].push_str(&format!("{}={}", key.trim(), value.trim()));
    }
    Ok(split)
}

/// Loads and sets up all operators, in order.
///
/// # Errors
/// A library that is missing, is of another ABI or calls itself otherwise; options that are refused; a name that is not plain.
pub fn load(operators: &[String], folders: &[PathBuf], options: &str) -> Result<Vec<Instance>, Fault> {
    let options = split_options(options, operators)?;
    let mut loaded = Vec::with_capacity(operators.len());
    for (i, (name, options)) in operators.iter().zip(&options).enumerate() {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') || name == "original" {
            return Err(Fault::new(format!("`{name}` is no operator name"))
                .context("parameter `operators`")
                .hint("lower case letters, digits and underscores"));
        }
        if operators[..i].contains(name) {
            return Err(Fault::new(format!("operator `{name}` is named twice")).context("parameter `operators`").hint("name each once"));
        }
        let file = library_file(name);
        let Some(path) = folders.iter().map(|f| f.join(&file)).find(|p| p.is_file()) else {
            let looked = folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join("`, `");
            return Err(Fault::new(format!("operator `{name}`: no `{file}` in `{looked}`"))
                .context("parameter `operators`")
                .hint("build it with `cargo build --release`, name its folder in `OPERATOR_PATH`, or take it out of `OPERATORS`"));
        };
        let library = Library::open(&path).map_err(|e| {
            let hint = e.hint();
            Fault::from(e).context(format!("operator `{name}`")).hint(hint)
        })?;
        if library.name() != name {
            return Err(Fault::new(format!("`{}` holds operator `{}`, not `{name}`", path.display(), library.name()))
                .hint("give the library its operator's name"));
        }
        let instance = library.create(options).map_err(|e| {
            let known = library.params().iter().map(|p| format!("`{name}.{}`", p.name)).collect::<Vec<_>>().join(", ");
            let hint = if known.is_empty() { format!("`{name}` has no options") } else { format!("its options: {known}") };
            Fault::from(e).context("parameter `options`").hint(hint)
        })?;
        tracing::info!(operator = name, version = library.version(), path = %path.display(), "operator loaded");
        loaded.push(instance);
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_to_the_operator_that_they_name() {
        let operators = ["clahe".to_owned(), "sharpen".to_owned()];
        let split = split_options("clahe.clip_limit=3; sharpen.amount = 0.8;clahe.tiles=4", &operators).unwrap();
        assert_eq!(split, ["clip_limit=3;tiles=4", "amount=0.8"]);
        assert_eq!(split_options("", &operators).unwrap(), ["", ""]);
        assert!(split_options("clip_limit=3", &operators).unwrap_err().message().contains("is no `operator.key=value`"));
        assert!(split_options("equalize.a=3", &operators).unwrap_err().message().contains("which is not run"));
    }
}
