//! Links between the pages of the repository lead somewhere.

use super::Finding;
use super::repository::{File, Repository};

/// Every relative link of a Markdown page names a file or folder that is there. Addresses elsewhere are not looked at.
pub(super) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in repository.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&page.text) {
            if !leads_somewhere(&repository.files, &page.path, target) {
                findings.push(Finding::error(format!("{}:{line}", page.path), format!("{target} is not there")));
            }
        }
    }
    findings
}

/// The targets of `[text](target)`, with their lines.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).flat_map(|(number, line)| {
        let after_brackets = line.split("](").skip(1);
        after_brackets.filter_map(move |rest| Some((number, rest.split_once(')')?.0)))
    })
}

fn leads_somewhere(files: &[File], page: &str, target: &str) -> bool {
    let target = target.split(['#', ' ']).next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let inside = |file: &File| file.path.strip_prefix(&path).is_some_and(|rest| rest.starts_with('/'));
    files.iter().any(|file| file.path == path || inside(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_somewhere() {
        let cases = [
            ("[a](../README.md)", true),
            ("[a](other.md#part)", true),
            ("[a](#part) and [b](https://example.com/x)", true),
            ("[the folder](../pkg/x)", true),
            ("[a](README.md)", false),
            ("[a](other.md) and [b](missing.md)", false),
            ("[a](../../outside.md)", false),
            ("[half of a folder](../pk)", false),
        ];
        for (text, fine) in cases {
            let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
            let files = vec![
                file("docs/page.md", text),
                file("docs/other.md", ""),
                file("README.md", ""),
                file("pkg/x/src/lib.rs", ""),
            ];
            let repository = Repository { files, ..Repository::default() };
            assert_eq!(check(&repository).is_empty(), fine, "{text}");
        }
    }
}
