//! `cargo xtask new-operator NAME [FOLDER]`: a crate that builds and is loaded as it stands, to be changed from there.

use crate::steps::{root, say};
use std::fs;
use std::path::{Path, PathBuf};

const CODE: &str = include_str!("template.rs");
const WORKSPACE: &str =
    "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true";
const ALONE: &str =
    "version = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n[workspace]\n\n[profile.release]\ndebug = 0\nincremental = false";

/// Makes the crate: in `operators/NAME` and the workspace, or in `FOLDER` with a workspace of its own.
pub fn new(arguments: &[String]) -> Result<(), String> {
    let (name, folder) = match arguments {
        [name] => (name, None),
        [name, folder] => (name, Some(PathBuf::from(folder))),
        _ => return Err("`cargo xtask new-operator NAME [FOLDER]`".to_owned()),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !is_name || name == "original" {
        return Err(format!(
            "`{name}` is no name for an operator: lower-case letters, digits and `_`, beginning with a letter, and not `original`"
        ));
    }
    let inside = folder.is_none();
    let folder = folder.unwrap_or_else(|| root().join("operators").join(name));
    if folder.exists() {
        return Err(format!("{} is there already", folder.display()));
    }
    write(&folder.join("Cargo.toml"), &manifest(name, inside))?;
    write(&folder.join("src/lib.rs"), &CODE.replace("OPERATOR_NAME", name).replace("Template", &type_name(name)))?;
    if inside {
        add_member(&root().join("Cargo.toml"), name)?;
        say(&format!("operators/{name}: change src/lib.rs, then `cargo build --release -p gantry-operator-{}`", name.replace('_', "-")));
    } else {
        // The versions of this checkout, so that nothing is compiled or resolved anew.
        fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).map_err(|e| format!("{}: {e}", folder.display()))?;
        say(&format!(
            "{}: change src/lib.rs, then `cargo build --release` there; OPERATOR_PATH names its target/release",
            folder.display()
        ));
    }
    say(&format!("`gantry read CLIP --set enhance.OPERATORS=clahe,{name}` reads with it"));
    Ok(())
}

fn manifest(name: &str, inside: bool) -> String {
    let package = format!("gantry-operator-{}", name.replace('_', "-"));
    let library = format!("gantry_operator_{name}");
    let checkout = root();
    let (about, lints, dependencies) = if inside {
        (
            WORKSPACE,
            "\n[lints]\nworkspace = true\n",
            "gantry-unify.workspace = true\ngantry-operators.workspace = true\nserde.workspace = true".to_owned(),
        )
    } else {
        let operators = checkout.join("runtime/operators");
        (ALONE, "", format!("gantry-operators = {{ path = {operators:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}"))
    };
    format!(
        "[package]\nname = \"{package}\"\ndescription = \"Operator `{name}`.\"\n{about}\n\n[lib]\nname = \"{library}\"\ncrate-type = [\"cdylib\", \"rlib\"]\n{lints}\n[dependencies]\n{dependencies}\n"
    )
}

/// `stretch_contrast` as `StretchContrast`.
fn type_name(name: &str) -> String {
    let word = |word: &str| {
        word.chars().next().map(|c| c.to_ascii_uppercase().to_string() + word.get(1..).unwrap_or_default()).unwrap_or_default()
    };
    name.split('_').map(word).collect()
}

/// Puts the crate into the list of members, behind the last operator before it in the alphabet.
fn add_member(path: &Path, name: &str) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let line = format!("    \"operators/{name}\",");
    let mut lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().rposition(|l| l.starts_with("    \"operators/") && *l < line.as_str()).map(|at| at + 1);
    let at = at.or_else(|| lines.iter().position(|l| l.starts_with("    \"operators/"))).ok_or("Cargo.toml lists no operators")?;
    lines.insert(at, &line);
    fs::write(path, lines.join("\n") + "\n").map_err(|e| format!("{}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_sorted() {
        let path = std::env::temp_dir().join(format!("gantry-xtask-{}.toml", std::process::id()));
        fs::write(&path, "members = [\n    \"nodes/a\",\n    \"operators/clahe\",\n    \"operators/sharpen\",\n    \"runtime/x\",\n]\n")
            .unwrap();
        for name in ["invert", "alpha", "zoom"] {
            add_member(&path, name).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let operators: Vec<&str> = text.lines().filter(|l| l.contains("operators/")).map(str::trim).collect();
        assert_eq!(
            operators,
            ["\"operators/alpha\",", "\"operators/clahe\",", "\"operators/invert\",", "\"operators/sharpen\",", "\"operators/zoom\","]
        );
    }

    #[test]
    fn names_of_types_are_made_of_words() {
        assert_eq!(type_name("stretch_contrast2"), "StretchContrast2");
    }
}
