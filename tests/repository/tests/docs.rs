//! The docs say what is there.

use gantry_graph::{Graph, check, render};
use gantry_repository_tests::{blocks, files, pages, root};
use std::fmt::Write;
use std::path::Path;

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Faults of a graph that stands in `graphs/`.
fn faults(yaml: &str, page: &Path) -> String {
    match Graph::parse(yaml, page, root().join("graphs")) {
        Ok(graph) => render(&check(&graph)),
        Err(faults) => render(&faults),
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = String::new();
    for page in pages() {
        let content = text(&page);
        for target in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.is_empty() {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap_or(Path::new(".")).join(file) };
            if !path.exists() {
                let _ = writeln!(broken, "{}: `{target}` does not exist", page.display());
            } else if !heading.is_empty() && !text(&path).lines().any(|l| l.starts_with('#') && anchor(l) == heading) {
                let _ = writeln!(broken, "{}: `{target}`: no such heading", page.display());
            }
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

/// As GitHub makes anchors of headings.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn whole_graphs_on_the_pages_pass_the_check() {
    let mut graphs = 0;
    for page in pages() {
        for block in blocks(&text(&page), "yaml").iter().filter(|b| b.lines().any(|l| l == "nodes:")) {
            graphs += 1;
            let found = faults(block, &page);
            assert!(found.is_empty(), "{}:\n{found}", page.display());
        }
    }
    assert!(graphs >= 2, "docs/graphs.md shows graphs");
}

#[test]
fn the_snippets_of_the_node_pages_make_a_whole_graph() {
    let mut nodes = String::from("nodes:\n");
    let pages = files("docs/nodes", "md");
    for page in &pages {
        let content = text(page);
        let [snippet] = blocks(&content, "yaml")[..] else { panic!("{}: wants one snippet", page.display()) };
        let _ = writeln!(nodes, "{snippet}");
    }
    assert!(pages.len() >= 10, "one page per node");
    let found = faults(&nodes, Path::new("docs/nodes"));
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn every_node_has_a_page_in_the_book() {
    let book = text(&root().join("docs/README.md"));
    for page in files("docs/nodes", "md") {
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(book.contains(&format!("](nodes/{name})")), "docs/README.md does not list nodes/{name}");
    }
}

#[test]
fn the_operator_on_the_page_is_the_one_that_is_built() {
    let page = text(&root().join("docs/operators.md"));
    let [block] = blocks(&page, "rust")[..] else { panic!("docs/operators.md wants one operator") };
    assert_eq!(block.trim(), text(&root().join("runtime/operators/examples/invert.rs")).trim());
}

#[test]
fn the_tables_of_the_database_on_the_page_are_those_of_the_code() {
    let page = text(&root().join("docs/results.md"));
    let [tables] = blocks(&page, "sql")[..] else { panic!("docs/results.md wants the tables") };
    let code = text(&root().join("nodes/store/src/sqlite.rs"));
    assert!(code.contains(tables.trim()), "docs/results.md and nodes/store/src/sqlite.rs differ");
}

#[test]
fn every_message_in_troubleshooting_stands_in_the_code() {
    let mut code = String::new();
    for folder in ["runtime", "nodes", "xtask"] {
        files(folder, "rs").iter().for_each(|f| code.push_str(&text(f)));
    }
    let page = text(&root().join("docs/troubleshooting.md"));
    let mut missing = String::new();
    let mut messages = 0;
    let mut rest = page.as_str();
    while let Some((message, after)) = rest.split_once("`` ").and_then(|(_, from)| from.split_once(" ``")) {
        rest = after;
        messages += 1;
        // `…` stands for a value; what is between values is literal.
        for piece in message.split('…').map(str::trim).filter(|p| p.len() >= 8 && !code.contains(p)) {
            let _ = writeln!(missing, "`{message}`: `{piece}`");
        }
    }
    assert!(messages >= 20, "found {messages} messages");
    assert!(missing.is_empty(), "not in the code:\n{missing}");
}
